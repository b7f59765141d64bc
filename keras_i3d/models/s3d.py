"""S3D and S3D-G: Inception-V1 with convolutions parted into space and time (Xie et al. 2018, arXiv 1712.04851).

The table is Inception I3D's (`inception.LAYERS`). Each 3 x 3 x 3 convolution becomes 1 x 3 x 3 in space, then 3 x 1 x 1
in time. S3D-G also weighs channels by gates. The paper leaves open where batch norm and biases stand, how the first
convolution is parted, where the gates are and how sizes are padded. Published weights settle it in six ways, VARIANTS.

| network | fewest frames, without top | parameters | and moving statistics | multiply-adds | gates |
|---|---|---|---|---|---|
| S3D (torchvision's) | 13, 5 | 8,320,048 | 8,341,264 | 71.92 G | none |
| S3D-kylemin | 13, 5 | 8,320,048 | 8,341,264 | 71.92 G | none |
| S3D-slim | 9, 1 | 8,299,520 | 8,314,080 | 64.18 G | none |
| S3DG (TF-Slim's) | 9, 1 | 9,518,848 | 9,533,408 | 64.18 G | each branch, no bias |
| S3DG-garden | 1, 1 | 12,136,240 | 12,157,328 | 64.19 G | each block, with bias |
| S3DG-milnce | 1, 1 | 9,670,800 | 9,691,888 | 72.59 G | each branch, with bias |

Parameters are those at 400 classes, at 512 outputs for S3DG-milnce; multiply-adds are those of all convolutions at
64 x 224 x 224, the paper's input. Rows have those of a clip of their own.

All take 32 pixels a side or more. torchvision's code refuses less than 209, TF-Slim's more than 224, MIL-NCE's odd
sizes: there, the head's window is cut to a smaller map and slides over a larger one, and an odd
size gets a zero in front, as in Inception I3D.

In time: a step of the body is 8 frames, and `time_steps` counts them. A step depends on 99 frames, in torchvision's
from 47 before its first frame to 51 after it. A chunk of a video that starts on a multiple of 8 frames has the rows of
logits of the single pass, HALO steps from each cut. The variants without symmetric pools also need a chunk as long as
the video modulo 8. A gate sees the whole clip: no chunk of a network with gates equals the single pass.
"""

import dataclasses
import functools

import keras
from keras import layers

from keras_i3d.models.blocks import ClipCheck, SpaceToDepth3D, conv_unit, max_pool, self_gating, separable_unit
from keras_i3d.models.family import Family
from keras_i3d.models.inception import (
    LAYERS,
    MIXED,
    POOL,
    check_arguments,
    clip_shape,
    head,
    layer_names,
    pooled,
    scaled_width,
    timing,
)
from keras_i3d.specs import CLIPS, MIN_SIZE

NAMES = tuple(row[0] for row in LAYERS)
ENDPOINTS = (*NAMES, "Logits", "Predictions")
STEP = 8  # frames a time step of the body
RECEPTIVE_FRAMES = 99  # that a step of Mixed_5c depends on
HALO = 7  # steps at a cut that may depend on frames beyond it


@dataclasses.dataclass(frozen=True)
class Variant:
    """How an implementation settles what the paper leaves open.

    Attributes:
        stem: kernel of the first convolution, (t, h, w).
        separable_stem: whether it is parted too.
        space_to_depth: whether it runs at stride 1 on 2 x 2 x 2 neighbours moved to the channels.
        padding: of convolutions of stride 2, as `conv_unit` takes it.
        pool_padding: of the pools between blocks, as `max_pool` takes it.
        epsilon, scale: of the batch norm.
        temporal_norm: batch norm after temporal convolutions; else they have a bias.
        temporal_first: time before space, in the parted convolutions.
        temporal_from: the first endpoint with temporal convolutions; before it they are 1 x 3 x 3 alone.
        flat_pools: whether the pools inside blocks before `temporal_from` are 1 x 3 x 3 too.
        gates: what has gates, of "branch" and "cell", the whole block; either brings one after Conv3d_2c_3x3.
        gates_from: the first endpoint that may have one.
        gate_bias: whether gates have a bias.
        pool_last: whether the pool of Branch_3 comes after its convolution.
        window, window_steps: of the head's average pool, as `HeadPool` takes them.
        momentum: of the batch norm's moving statistics.
    """

    stem: tuple = (7, 7, 7)
    separable_stem: bool = False
    space_to_depth: bool = False
    padding: str = "same"
    pool_padding: str = "same"
    epsilon: float = 1e-3
    scale: bool = False
    temporal_norm: bool = True
    temporal_first: bool = False
    temporal_from: str = "Conv3d_2c_3x3"
    flat_pools: bool = False
    gates: tuple = ()
    gates_from: str = "Conv3d_2c_3x3"
    gate_bias: bool = True
    pool_last: bool = False
    window: int | None = 7
    window_steps: int = 2
    momentum: float = 0.999

    def is_temporal(self, endpoint):
        """Whether the convolutions of an endpoint reach over time."""
        return NAMES.index(endpoint) >= NAMES.index(self.temporal_from)

    def has_gate(self, endpoint, *kinds):
        """Whether an endpoint has a gate of any of these kinds."""
        return bool({*kinds} & {*self.gates}) and NAMES.index(endpoint) >= NAMES.index(self.gates_from)


PYTORCH = Variant(separable_stem=True, padding="symmetric", pool_padding="symmetric", scale=True)
SLIM = Variant(stem=(3, 7, 7), temporal_norm=False)

VARIANTS = {  # by the name of the row
    # torchvision.models.video.s3d: PyTorch's padding.
    "S3D": PYTORCH,
    # kylemin/S3D: the same with another pool in its head.
    "S3D-kylemin": dataclasses.replace(PYTORCH, window=None),
    # TF-Slim's s3dg without its gates: temporal convolutions have a bias and no batch norm.
    "S3D-slim": SLIM,
    # TF-Slim's s3dg.
    "S3DG": dataclasses.replace(SLIM, gates=("branch",), gate_bias=False),
    # TF Model Garden's projects/s3d.
    "S3DG-garden": Variant(
        stem=(3, 7, 7), flat_pools=True, gates=("cell",), pool_last=True, window=None, window_steps=1
    ),
    # antoine77340/S3D_HowTo100M: an embedding of 512 values stands where the logits do.
    "S3DG-milnce": Variant(
        stem=(2, 4, 4),
        space_to_depth=True,
        padding="symmetric",
        pool_padding="after",
        epsilon=1e-5,
        scale=True,
        gates=("branch",),
        window=None,
        window_steps=1,
        momentum=0.9,
    ),
}


def s3d(
    include_top=True,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.2,
    depth_multiplier=1.0,
    bn_momentum=None,
    name=None,
    variant="S3D",
    table=LAYERS,
):
    """Builds an S3D or S3D-G with fresh weights.

    Published accuracy on Kinetics-400: torchvision's weights 68.368 / 88.050 % (top-1 / top-5; one clip of 128 frames
    at 15 fps, frames resized to 256 x 256 without keeping their shape, centre crop 224); kylemin's 72.08 / 90.35 %; the
    paper's S3D 72.2 / 90.6 % and S3D-G 74.7 / 93.4 %, both as other papers cite them.

    Args:
        include_top: whether the class layer is part of it.
        input_shape: (T, H, W, C), each a number or None for any; (None, 224, 224, C) by default.
        stream: "rgb" or "flow", of 3 and 2 channels.
        pooling: without the top, None, "avg" or "max".
        classes: of the class layer.
        classifier_activation: on the logits; None for the logits themselves.
        dropout: share of the pooled features dropped in training. 0.2 in torchvision's and TF-Slim's code, none in the
            others.
        depth_multiplier: of all widths.
        bn_momentum: of the batch norms; None for the original's, 0.999, in MIL-NCE's 0.9.
        name: of the model; "s3d_" or "s3dg_" with the stream by default.
        variant: a name in VARIANTS, or a Variant. Weights of one do not fit another.
        table: rows of `inception.LAYERS`, all of them but in tests.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, C) to float32 (B, classes), in which every name in
        ENDPOINTS is a layer. What a clip's values mean depends on the weights, not on the network.

    Raises:
        ValueError: an argument out of its range, or a variant that is not there.
    """
    kind = check_variant(variant)
    bn_momentum = kind.momentum if bn_momentum is None else bn_momentum
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    network = variant if isinstance(variant, str) else "S3D"
    settings = {"bn_momentum": bn_momentum, "epsilon": kind.epsilon, "scale": kind.scale}

    def width(filters):
        return scaled_width(filters, depth_multiplier)

    min_frames = fewest_frames(kind, include_top)
    inputs = keras.Input(clip_shape(input_shape, stream, min_frames, network), name=stream, dtype="float32")
    x = ClipCheck(min_frames, MIN_SIZE)(inputs)
    for endpoint, what, *numbers in table:
        if endpoint == NAMES[0]:
            x = _stem(x, width(numbers[0]), kind, name=endpoint, **settings)
        elif what == POOL:
            x = max_pool(x, *numbers, name=endpoint, padding=kind.pool_padding)
        elif what == MIXED:
            x = _block(x, [width(filters) for filters in numbers], kind, name=endpoint, **settings)
        else:
            filters, kernel, _ = numbers
            # Conv3d_2c_3x3 has a gate in both styles.
            gate = endpoint if kernel != (1, 1, 1) and kind.has_gate(endpoint, *kind.gates) else None
            x = _unit(x, width(filters), kernel, kind, name=endpoint, endpoint=endpoint, gate=gate, **settings)

    if include_top:
        x = head(x, classes, dropout, classifier_activation, kind.window, kind.window_steps)
    else:
        x = pooled(x, pooling)
    return keras.Model(inputs, x, name=name or f"s3d{'g' if kind.gates else ''}_{stream}")


def _stem(x, filters, kind, *, name, **settings):
    """The first convolution, which halves time, height and width."""
    if kind.space_to_depth:
        x = SpaceToDepth3D(name=f"{name}_space_to_depth")(x)
        return conv_unit(x, filters, kind.stem, name=name, **settings)
    unit = separable_unit if kind.separable_stem else conv_unit
    return unit(x, filters, kind.stem, (2, 2, 2), name=name, padding=kind.padding, **settings)


def _unit(x, filters, kernel, kind, *, name, endpoint, gate=None, **settings):
    """A convolution of stride 1, parted if it is temporal there.

    Args:
        x: (B, T, H, W, C).
        filters, kernel: of the convolution.
        kind: the Variant.
        name: of the unit.
        endpoint: the row of the table that it belongs to.
        gate: what a gate and its output are named after; None for none. Where that is `name`, the convolution's own
            output is `{name}_ungated`.
        **settings: of the batch norms.
    """
    settings |= {"name": name, "endpoint": f"{name}_ungated" if gate == name else name}
    if kernel[0] > 1 and kind.is_temporal(endpoint):
        order = {"temporal_first": kind.temporal_first, "temporal_norm": kind.temporal_norm}
        x = separable_unit(x, filters, kernel, **order, **settings)
    else:
        x = conv_unit(x, filters, (1, *kernel[1:]), **settings)
    return self_gating(x, name=gate, use_bias=kind.gate_bias) if gate else x


def _block(x, widths, kind, *, name, **settings):
    """An Inception block of six `widths`, as `inception.mixed` has it, with the variant's convolutions and gates.

    A gate's output is `{name}_Branch_0` and so on, or `name` itself.
    """
    branch_gates = kind.has_gate(name, "branch")
    cell_gate = kind.has_gate(name, "cell")

    def unit(x, index, branch, place, side, last=True):
        return _unit(
            x,
            widths[index],
            (side, side, side),
            kind,
            name=f"{name}_Branch_{branch}_Conv3d_{place}_{side}x{side}",
            endpoint=name,
            gate=f"{name}_Branch_{branch}" if last and branch_gates else None,
            **settings,
        )

    def pool(x):
        flat = kind.flat_pools and not kind.is_temporal(name)
        return max_pool(x, (1 if flat else 3, 3, 3), (1, 1, 1), name=f"{name}_Branch_3_MaxPool3d_0a_3x3")

    branch_0 = unit(x, 0, 0, "0a", 1)
    branch_1 = unit(unit(x, 1, 1, "0a", 1, last=False), 2, 1, "0b", 3)
    branch_2 = unit(unit(x, 3, 2, "0a", 1, last=False), 4, 2, "0b", 3)
    if kind.pool_last:
        branch_3 = pool(unit(x, 5, 3, "0b", 1, last=False))
        if branch_gates:
            branch_3 = self_gating(branch_3, name=f"{name}_Branch_3", use_bias=kind.gate_bias)
    else:
        branch_3 = unit(pool(x), 5, 3, "0b", 1)
    branches = [branch_0, branch_1, branch_2, branch_3]
    x = layers.Concatenate(axis=-1, name=f"{name}_ungated" if cell_gate else name)(branches)
    return self_gating(x, name=name, use_bias=kind.gate_bias) if cell_gate else x


def check_variant(variant):
    """Returns the Variant that a name or a Variant stands for, or raises ValueError."""
    kind = variant if isinstance(variant, Variant) else VARIANTS.get(variant)
    if kind is None:
        known = ", ".join(f'"{name}"' for name in VARIANTS)
        raise ValueError(f"variant must be one of {known}. Received: variant={variant!r}")
    return kind


def time_steps(frames, variant="S3D", table=LAYERS):
    """How many time steps of Mixed_5c a clip of `frames` frames gives.

    The last pool drops an odd step in the variants with symmetric pools; the others round up.
    """
    symmetric = check_variant(variant).pool_padding == "symmetric"
    for _, kind, *settings in table:
        if kind != MIXED and settings[-1][0] == 2:
            drops = symmetric and kind == POOL and settings[0][0] == 2
            frames = frames // 2 if drops else -(-frames // 2)
    return frames


def fewest_frames(variant="S3D", include_top=True):
    """The fewest frames that give the time steps which the head, or without it the body, needs."""
    kind = check_variant(variant)
    needed = kind.window_steps if include_top else 1
    return 8 * needed - 3 if kind.pool_padding == "symmetric" else 8 * (needed - 1) + 1


TORCHVISION = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
UNIT = {"mean": (0.0,) * 3, "std": (1.0,) * 3}  # values in [0, 1]
PAPER = "(Xie et al. 2018, arXiv 1712.04851)"


def rows(table=LAYERS):
    """The rows of S3D and S3D-G, those of torchvision and of TF-Slim first; `table` is as for `inception.rows`."""
    made = functools.partial(_row, table=table)
    return (
        made(
            "S3D",
            f"S3D {PAPER} as in torchvision",
            # torchvision scales frames to 256 x 256 whatever their shape; here they keep it.
            clips=_clips(15, 128, **TORCHVISION),
            options={"variant": "torchvision"},
            parameters={"rgb": 8_320_048, "flow": 8_316_912},
            macs=143.83,
            accuracy={"rgb": (68.4, 88.1)},
            protocol="Kinetics-400 validation, one clip of 128 frames at 15 fps, frames scaled to 256 x 256 without "
            "keeping their shape (torchvision's S3D_Weights.KINETICS400_V1)",
        ),
        made(
            "S3D-kylemin",
            f"S3D {PAPER} as in kylemin/S3D",
            clips={"rgb": CLIPS["rgb"]},
            options={"variant": "kylemin"},
            parameters={"rgb": 8_320_048},
            macs=71.92,
            accuracy={"rgb": (72.1, 90.4)},
            protocol="Kinetics-400 validation, as kylemin/S3D says: 72.08 / 90.35",
        ),
        made(
            "S3D-slim",
            f"S3D {PAPER} as in TF-Slim, without gates",
            options={"variant": "slim"},
            parameters={"rgb": 8_299_520, "flow": 8_290_112},
            macs=64.18,
            accuracy={"rgb": (72.2, 90.6)},
            protocol="Kinetics-400 validation, of the paper's own S3D, as kylemin/S3D cites it",
        ),
        made(
            "S3DG",
            f"S3D-G {PAPER} as in TF-Slim",
            options={"variant": "slim"},
            parameters={"rgb": 9_518_848, "flow": 9_509_440},
            macs=64.18,
            accuracy={"rgb": (74.7, 93.4), "both": (77.2, 93.0)},
            protocol="Kinetics-400 validation, of the paper's own S3D-G, as later papers cite it",
        ),
        made(
            "S3DG-garden",
            f"S3D-G {PAPER} as in TF Model Garden",
            options={"variant": "garden"},
            parameters={"rgb": 12_136_240, "flow": 12_126_832},
            macs=64.19,
        ),
        made(
            "S3DG-milnce",
            "S3D-G of MIL-NCE (Miech et al. 2020, arXiv 1912.06430), an embedding of 512 values",
            clips={"rgb": dataclasses.replace(CLIPS["rgb"], fps=10, frames=32, **UNIT)},
            options={"variant": "milnce"},
            classes=512,
            activation="linear",
            parameters={"rgb": 9_670_800},
            macs=36.29,
            unchecked="the 10 frames per second of its clips",
        ),
    )


def _clips(fps, frames, **scaling):
    """{stream: ClipSpec} of clips of both streams; `scaling` is that of rgb."""
    changed = {"rgb": scaling, "flow": {}}
    return {name: dataclasses.replace(clip, fps=fps, frames=frames, **changed[name]) for name, clip in CLIPS.items()}


def _row(name, title, table, *, clips=CLIPS, **facts):
    kind = VARIANTS[name]
    first = "spatial_conv_3d" if kind.separable_stem else "conv_3d"
    stem = (1, *kind.stem[1:]) if kind.separable_stem else kind.stem
    return Family(
        name=name,
        title=title,
        builder=functools.partial(s3d, variant=name, table=table),
        min_frames=fewest_frames(name),
        step=timing(table)["step"],
        steps=functools.partial(time_steps, variant=name, table=table),
        halo=None if kind.gates else HALO,
        window=kind.window_steps,
        clips=clips,
        of=name.partition("-")[0],
        **facts,
        kernels={f"{table[0][0]}_{first}": stem},
        **layer_names(table, first),
    )
