"""I3D-ResNet: a 2D ResNet inflated over time, with non-local blocks or without (Wang et al. 2018, arXiv 1711.07971).

The paper inflates the first 1 x 1 convolution of a bottleneck to 3 x 1 x 1: in all blocks of res2, in every second one
of res3 and res4, in the middle one of res5. Published code agrees on that, and differs in what stands around it,
VARIANTS: how time is strided and pools are padded, the head, the non-local blocks, and what a clip is.

| variant | clip | frames a step | fewest frames | multiply-adds, R50 | non-local blocks |
|---|---|---|---|---|---|
| slowfast | 8 frames, every 8th | 2 | 8 | 28.41 G | thinned before phi and g, scaled |
| nonlocal | 32 frames, every 2nd | 8 | 7 | 32.83 G | as slowfast |
| gluon | 32 frames, every 2nd | 8 | 5 | 33.13 G | not thinned, scaled |
| mmaction2 | 32 frames, every 2nd | 8 | 5 | 33.13 G | thinned after phi and g, not scaled, W without bias |
| mmaction2-heavy | 32 frames, every 2nd | 2 | 2 | 126.79 G | as mmaction2 |
| keras | 8 frames, every 8th | 2 | 8 | 26.25 G | as slowfast |

Parameters at 400 classes: 28,043,472 (R50), 51,754,192 (R101), 33,024,208 (heavy); five non-local blocks add 7,358,464,
ten 14,716,928. Multiply-adds are those of all kernels at 224 x 224; the products of positions in non-local blocks are
not in them.

Padding is PyTorch's: half a kernel on both sides. All take 32 pixels a side or more. A network with non-local blocks
sees the whole clip in each step, so that no chunk of a video equals the single pass; of the others `halo` tells how far
a step sees.
"""

import dataclasses
import functools
import math

import keras
from keras import layers

from keras_i3d.models.blocks import ClipCheck, conv_unit, max_pool, scaled_width
from keras_i3d.models.family import Family, Flat
from keras_i3d.models.inception import HEAD, check_arguments, clip_shape, head, pooled
from keras_i3d.models.nonlocal_block import MODES, NonLocal, check_mode, nonlocal_block
from keras_i3d.specs import MIN_SIZE, ClipSpec

CONV, POOL, STAGE = "conv", "pool", "stage"

# name, kind, then: filters, kernel | nothing, as pools are a variant's | filters of the bottleneck, stride in space,
# and for each block whether it is inflated.
TABLES = {
    depth: (  #                                        8 x 224 x 224 becomes, in "slowfast"
        ("conv1", CONV, 64, (5, 7, 7)),  #             8 x 112 x 112
        ("pool1", POOL),  #                            8 x 56 x 56
        ("res2", STAGE, 64, 1, (1, 1, 1)),  #          256 channels
        ("pool2", POOL),  #                            4 x 56 x 56
        ("res3", STAGE, 128, 2, (1, 0, 1, 0)),  #      4 x 28 x 28, 512
        ("res4", STAGE, 256, 2, inflated),  #          4 x 14 x 14, 1024
        ("res5", STAGE, 512, 2, (0, 1, 0)),  #         4 x 7 x 7, 2048
    )
    for depth, inflated in ((50, (1, 0) * 3), (101, (1, 0) * 11 + (1,)))
}

# Depth and number of non-local blocks: {stage: blocks that one follows}.
PLACES = {
    (50, 5): {"res3": (1, 3), "res4": (1, 3, 5)},
    (50, 10): {"res3": (0, 1, 2, 3), "res4": (0, 1, 2, 3, 4, 5)},
    (101, 5): {"res3": (1, 3), "res4": (6, 13, 20)},
    (101, 10): {"res3": (0, 1, 2, 3), "res4": (2, 6, 10, 14, 18, 22)},
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """How an implementation settles what the paper leaves open.

    Attributes:
        stride: of the first convolution in time.
        pool1, pool1_strides: of the first pool, (t, h, w).
        pool_padding: of both pools, as `max_pool` takes it.
        every_block: whether all blocks are inflated.
        stride_first: whether a bottleneck is strided in its first convolution, not in that of 3 x 3.
        epsilon: of the batch norm.
        window, window_steps: of the head's average pool, as `HeadPool` takes them.
        non_local: the NonLocal of its non-local blocks.
        clip: the ClipSpec that its weights take.
    """

    stride: int = 2
    pool1: tuple = (1, 3, 3)
    pool1_strides: tuple = (2, 2, 2)
    pool_padding: str = "symmetric"
    every_block: bool = False
    stride_first: bool = False
    epsilon: float = 1e-5
    window: int | None = None
    window_steps: int = 1
    non_local: NonLocal = NonLocal()
    clip: ClipSpec | None = None


SHORT = ClipSpec("rgb", fps=30, frames=8, frame_stride=8, mean=(0.45,) * 3, std=(0.225,) * 3)
LONG = dataclasses.replace(SHORT, frames=32, frame_stride=2)
IMAGENET = dataclasses.replace(LONG, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

# PySlowFast's I3D_8x8_R50 and I3D_NLN_8x8_R50; pytorchvideo's i3d_r50 is the former.
SLOWFAST = Variant(stride=1, pool1_strides=(1, 2, 2), window=7, window_steps=4, clip=SHORT)
# mmaction2's i3d_r50.
MMACTION2 = Variant(non_local=NonLocal("after", scale=False, bias=False), clip=IMAGENET)
VARIANTS = {
    "slowfast": SLOWFAST,
    # video-nonlocal-net's networks of the paper, 32 x 2, which Tushar-N/pytorch-resnet3d converted.
    "nonlocal": Variant(pool1=(2, 3, 3), pool_padding="valid", clip=LONG),
    # gluon-cv's i3d_resnet.
    "gluon": Variant(non_local=NonLocal(None), clip=IMAGENET),
    "mmaction2": MMACTION2,
    "mmaction2-heavy": dataclasses.replace(MMACTION2, stride=1, pool1_strides=(1, 2, 2), every_block=True),
    # keras.applications' ResNet50 and ResNet101, inflated. They take levels in [0, 255] minus a mean.
    "keras": dataclasses.replace(
        SLOWFAST,
        stride_first=True,
        epsilon=1.001e-5,
        clip=dataclasses.replace(
            SHORT, mean=tuple(level / 255 for level in (123.68, 116.779, 103.939)), std=(1 / 255,) * 3
        ),
    ),
}


def i3d_resnet(
    include_top=True,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.5,
    depth_multiplier=1.0,
    bn_momentum=0.9,
    name=None,
    depth=50,
    variant="slowfast",
    non_local=0,
    mode="embedded_gaussian",
    table=None,
):
    """Builds an I3D-ResNet with fresh weights.

    The last batch norm of each block, and that of each non-local block, starts at a scale of 0, as the originals'
    configs have it.

    Args:
        include_top: whether the class layer is part of it.
        input_shape: (T, H, W, C), each a number or None for any; (None, 224, 224, C) by default.
        stream: "rgb" or "flow", of 3 and 2 channels.
        pooling: without the top, None, "avg" or "max".
        classes: of the class layer.
        classifier_activation: on the logits; None for the logits themselves.
        dropout: share of the pooled features dropped in training, 0.5 in all originals.
        depth_multiplier: of all widths.
        bn_momentum: of the batch norms, 0.9 in all originals.
        name: of the model; "i3d_resnet50_rgb" and so on by default.
        depth: 50 or 101.
        variant: a name in VARIANTS, or a Variant.
        non_local: number of non-local blocks, 0, 5 or 10, where PLACES has them.
        mode: of the non-local blocks, see `nonlocal_block`.
        table: rows as in TABLES, all those of the depth but in tests.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, C) to float32 (B, classes), in which every name in
        `endpoints` is a layer. What a clip's values mean depends on the weights, not on the network.

    Raises:
        ValueError: an argument out of its range.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    kind, places = check_variant(variant), check_places(depth, non_local)
    check_mode(mode)
    table = table or TABLES[depth]
    settings = {"bn_momentum": bn_momentum, "epsilon": kind.epsilon}

    def width(filters):
        return scaled_width(filters, depth_multiplier)

    min_frames = fewest_frames(kind, include_top)
    called = row_name(depth, variant, non_local, mode) if isinstance(variant, str) else f"I3DResNet{depth}"
    inputs = keras.Input(clip_shape(input_shape, stream, min_frames, called), name=stream, dtype="float32")
    x = ClipCheck(min_frames, MIN_SIZE)(inputs)
    for endpoint, what, *numbers in table:
        if what == CONV:
            filters, kernel = numbers
            x = _unit(x, width(filters), kernel, (kind.stride, 2, 2), name=endpoint, **settings)
        elif what == POOL:
            window, strides = _pool(endpoint, kind)
            x = max_pool(x, window, strides, name=endpoint, padding=kind.pool_padding)
        else:
            filters, stride, inflated = numbers
            for number, is_inflated in enumerate(inflated):
                block = f"{endpoint}_{number}"
                widths = [width(filters)] * 2 + [width(4 * filters)]
                steps = 3 if is_inflated or kind.every_block else 1
                first = number == 0
                x = bottleneck(x, widths, steps, stride if first else 1, kind, name=block, projects=first, **settings)
                if number in places.get(endpoint, ()):
                    inner, block = width(2 * filters), f"{block}_nonlocal"
                    x = nonlocal_block(x, inner, kind.non_local, mode, name=block, **settings)

    if include_top:
        x = head(x, classes, dropout, classifier_activation, kind.window, kind.window_steps)
    else:
        x = pooled(x, pooling)
    return keras.Model(inputs, x, name=name or f"i3d_resnet{depth}_{stream}")


def bottleneck(x, widths, steps, stride, kind, *, name, projects, **settings):
    """A residual block: ReLU(x + 1x1x1(1x3x3(steps x 1x1(x)))), each convolution with batch norm.

    Args:
        x: (B, T, H, W, C).
        widths: of the three convolutions.
        steps: of the first kernel in time.
        stride: in space.
        kind: the Variant.
        name: the endpoint. Its units are `{name}_branch2a` to `..._branch2c`, and `..._branch1`.
        projects: whether x goes through a 1 x 1 x 1 convolution before it is added.
        **settings: of the batch norms.
    """
    first, second = (stride, 1) if kind.stride_first else (1, stride)
    y = _unit(x, widths[0], (steps, 1, 1), (1, first, first), name=f"{name}_branch2a", **settings)
    y = _unit(y, widths[1], (1, 3, 3), (1, second, second), name=f"{name}_branch2b", **settings)
    y = _unit(y, widths[2], (1, 1, 1), name=f"{name}_branch2c", relu=False, gamma="zeros", **settings)
    if projects:
        x = _unit(x, widths[2], (1, 1, 1), (1, stride, stride), name=f"{name}_branch1", relu=False, **settings)
    return layers.ReLU(name=name)(layers.Add(name=f"{name}_sum")([x, y]))


def _unit(x, filters, kernel, strides=(1, 1, 1), **settings):
    """A `conv_unit` as ResNets have it."""
    he_normal = keras.initializers.HeNormal()
    return conv_unit(x, filters, kernel, strides, padding="symmetric", scale=True, initializer=he_normal, **settings)


def _pool(endpoint, kind):
    """The window and the strides of a pool."""
    return (kind.pool1, kind.pool1_strides) if endpoint == "pool1" else ((2, 1, 1), (2, 1, 1))


def check_variant(variant):
    """Returns the Variant that a name or a Variant stands for, or raises ValueError."""
    kind = variant if isinstance(variant, Variant) else VARIANTS.get(variant)
    if kind is None:
        known = ", ".join(f'"{name}"' for name in VARIANTS)
        raise ValueError(f"variant must be one of {known}. Received: variant={variant!r}")
    return kind


def check_places(depth, non_local):
    """Returns {stage: blocks that a non-local block follows}, or raises ValueError."""
    if depth not in TABLES:
        raise ValueError(f"depth must be one of {', '.join(map(str, TABLES))}. Received: depth={depth!r}")
    places = PLACES | {(depth, 0): {}}
    if (depth, non_local) not in places:
        raise ValueError(f"non_local is the number of non-local blocks, 0, 5 or 10. Received: non_local={non_local!r}")
    return places[depth, non_local]


# Time. A table of the kernels and strides on the way of a frame, from which the rest is computed.


def _in_time(kind, table):
    """(kernel, stride, padding in front and behind) in time, layer by layer; 1 x h x w kernels of stride 1 left out."""
    for endpoint, what, *numbers in table:
        if what == CONV:
            yield numbers[1][0], kind.stride, numbers[1][0] // 2
        elif what == POOL:
            (size, *_), (stride, *_) = _pool(endpoint, kind)
            yield size, stride, 0  # neither padding of `max_pool` pads a window of 1 or 2 in front
        else:
            yield from [(3, 1, 1)] * sum(1 for inflated in numbers[2] if inflated or kind.every_block)


def time_steps(frames, variant="slowfast"):
    """How many steps of the last endpoint a clip of `frames` frames gives."""
    for kernel, stride, padding in _in_time(check_variant(variant), TABLES[50]):
        frames = (frames + 2 * padding - kernel) // stride + 1
    return frames


def fewest_frames(variant="slowfast", include_top=True):
    """The fewest frames that give the steps which the head, or without it the body, needs."""
    kind = check_variant(variant)
    needed = kind.window_steps if include_top else 1
    return next(frames for frames in range(1, 100) if time_steps(frames, kind) >= needed)


def reach(variant="slowfast", table=TABLES[50]):
    """Returns (step, before, after): step i depends on the frames from i * step - before to i * step + after.

    Args:
        variant: a name in VARIANTS, or a Variant.
        table: rows as in TABLES.
    """
    step, before, after = 1, 0, 0
    for kernel, stride, padding in reversed([*_in_time(check_variant(variant), table)]):
        step, before, after = step * stride, before * stride + padding, after * stride + kernel - 1 - padding
    return step, before, after


def halo(variant="slowfast", table=TABLES[50]):
    """The steps at a cut that may depend on frames beyond it."""
    kind = check_variant(variant)
    step, before, after = reach(kind, table)
    # Of a chunk of whole steps and `more` frames, the last step may begin less than a step before its end.
    steps = {more: time_steps(step * 100 + more, kind) for more in range(step)}
    behind = max(step * (count - 1) + after - (step * 100 + more - 1) for more, count in steps.items())
    return math.ceil(max(before, behind) / step)


# Rows: depth, variant, non-local blocks, their mode; parameters at 400 classes, multiply-adds in 1e9; published
# accuracy in percent (top-1, top-5), None where none is.

EMBEDDED, GAUSSIAN, DOT = MODES
ROWS = (
    (50, "slowfast", 0, EMBEDDED, 28_043_472, 28.41, (73.5, 90.8)),  # pytorchvideo's weights: 73.27, 90.70
    (50, "slowfast", 5, EMBEDDED, 35_401_936, 36.54, (74.0, 91.1)),
    (50, "nonlocal", 0, EMBEDDED, 28_043_472, 32.83, (73.6, 90.8)),
    (50, "nonlocal", 5, EMBEDDED, 35_401_936, 40.96, (74.9, 91.6)),
    (50, "gluon", 0, EMBEDDED, 28_043_472, 33.13, (74.0, None)),
    (50, "gluon", 5, EMBEDDED, 35_401_936, 53.31, (75.2, None)),
    (50, "gluon", 10, EMBEDDED, 42_760_400, 73.49, (75.3, None)),
    (50, "mmaction2", 0, EMBEDDED, 28_043_472, 33.13, (73.47, None)),
    (50, "mmaction2", 5, EMBEDDED, 35_397_840, 44.34, (74.73, None)),
    (50, "mmaction2", 5, GAUSSIAN, 31_723_728, 41.73, (73.97, None)),
    (50, "mmaction2", 5, DOT, 35_397_840, 44.34, (74.80, None)),
    (50, "mmaction2-heavy", 0, EMBEDDED, 33_024_208, 126.79, (76.21, None)),
    (50, "keras", 0, EMBEDDED, 28_043_472, 26.25, None),
    (101, "slowfast", 0, EMBEDDED, 51_754_192, 46.96, None),
    (101, "slowfast", 5, EMBEDDED, 59_112_656, 55.08, None),
    (101, "nonlocal", 0, EMBEDDED, 51_754_192, 51.38, (74.4, 91.1)),
    (101, "nonlocal", 5, EMBEDDED, 59_112_656, 59.51, (76.0, 92.1)),
    (101, "gluon", 0, EMBEDDED, 51_754_192, 51.68, (75.1, None)),
    (101, "gluon", 5, EMBEDDED, 59_112_656, 71.86, (76.0, None)),
    (101, "gluon", 10, EMBEDDED, 66_471_120, 92.04, (76.1, None)),
    (101, "keras", 0, EMBEDDED, 51_754_192, 44.80, None),
)
VALIDATION = "Kinetics-400 validation"
PROTOCOLS = {
    (50, "slowfast"): f"{VALIDATION}, 10 clips of 3 crops of 256 pixels (PySlowFast's model zoo)",
    (50, "nonlocal"): f"{VALIDATION}, 10 clips of 3 crops of 256 pixels (video-nonlocal-net)",
    (101, "nonlocal"): f"{VALIDATION}, 10 clips, fully convolutional (arXiv 1711.07971, table 2)",
    (50, "gluon"): f"{VALIDATION} (gluon-cv's model zoo)",
    (101, "gluon"): f"{VALIDATION} (gluon-cv's model zoo)",
    (50, "mmaction2"): f"{VALIDATION}, 10 clips of 3 crops of 256 pixels (mmaction2's model zoo)",
    (50, "mmaction2-heavy"): f"{VALIDATION}, 10 clips of 3 crops of 256 pixels (mmaction2's model zoo)",
}
SOURCES = {
    "slowfast": "as in PySlowFast and pytorchvideo",
    "nonlocal": "as in video-nonlocal-net, 32 x 2",
    "gluon": "as in gluon-cv",
    "mmaction2": "as in mmaction2",
    "mmaction2-heavy": "as in mmaction2, each block inflated",
    "keras": "strided as keras.applications' ResNets",
}


def row_name(depth, variant, non_local, mode):
    """The name of a row: what differs from "slowfast", no non-local blocks, and embedded gaussian ones."""
    words = [f"I3DResNet{depth}"]
    words += [variant] * (variant != "slowfast") + [f"nl{non_local}"] * (non_local > 0)
    words += [{DOT: "dot"}.get(mode, mode)] * (non_local > 0 and mode != EMBEDDED)
    return "-".join(words)


def rows(table=None):
    """The rows of all that is published; with a shorter table, those of small networks for tests."""
    return tuple(_row(table, *each) for each in ROWS)


def _row(table, depth, variant, non_local, mode, parameters, macs, accuracy):
    kind, layers_in_order = VARIANTS[variant], table or TABLES[depth]
    options = {"variant": variant, "non_local": non_local} | ({"mode": mode} if non_local else {})
    blocks = f", {non_local} non-local blocks ({mode.replace('_', ' ')})" if non_local else ""
    # PySlowFast has those of R101 after the blocks of R50, and no weights.
    places = ", non-local blocks at the paper's places" if (depth, variant) == (101, "slowfast") and non_local else ""
    endpoints, cuts = _endpoints(layers_in_order, PLACES.get((depth, non_local), {}))
    return Family(
        name=row_name(depth, variant, non_local, mode),
        title=f"I3D-ResNet-{depth}{blocks} (Wang et al. 2018, arXiv 1711.07971), {SOURCES[variant]}{places}",
        builder=functools.partial(i3d_resnet, depth=depth, table=table, **options),
        first=f"{layers_in_order[0][0]}_conv_3d",
        head=HEAD,
        logits="Logits",
        predictions="Predictions",
        endpoints=(*endpoints, "Logits", "Predictions"),
        cuts=cuts,
        min_frames=fewest_frames(variant),
        min_size=MIN_SIZE,
        step=reach(variant)[0],
        steps=functools.partial(time_steps, variant=variant),
        halo=None if non_local else halo(variant, layers_in_order),
        window=kind.window_steps,
        clips={"rgb": kind.clip},
        parameters={"rgb": parameters},
        macs=macs,
        accuracy={"rgb": accuracy} if accuracy else {},
        protocol=PROTOCOLS[depth, variant] if accuracy else "",
        unchecked="" if kind.stride_first else f"the {kind.clip.fps} frames per second of its clips",
        of=f"I3DResNet{depth}",
        options=options,
        inflated_from=_flat(depth, kind),
    )


def _flat(depth, kind):
    """The 2D ResNet that is strided alike."""
    if kind.stride_first:
        return Flat(f"keras.applications' ResNet{depth}", depth, strided_first=True)
    return Flat(f"torchvision's or gluon-cv's ResNet-{depth}", depth, fetched=False)


def _endpoints(table, places):
    """Returns the endpoints of a table in order, and those at which rematerialisation cuts.

    It cuts at all but those before a pool, which are larger than the pool, and cheap to compute again.
    """
    endpoints, cuts = [], []
    for (name, what, *numbers), (_, after, *_) in zip(table, [*table[1:], (None, None)]):
        if what != STAGE:
            endpoints.append(name)
            cuts += [name] * (what == POOL)
            continue
        for number in range(len(numbers[2])):
            block = f"{name}_{number}"
            blocks = [block] + [f"{block}_nonlocal"] * (number in places.get(name, ()))
            endpoints += blocks
            is_last = number == len(numbers[2]) - 1
            cuts += [] if is_last and after == POOL else blocks
    return tuple(endpoints), tuple(cuts)
