"""Video ResNets of basic blocks: R3D, MC3 and R(2+1)D (Tran et al. 2018, arXiv 1711.11248).

A stem, then four stages of blocks. A block is two convolutions, its input is added, and a ReLU follows the sum. The
first block of conv3_x to conv5_x halves the map, and its input goes through a 1 x 1 x 1 convolution of stride 2 with
batch norm. R3D has 3 x 3 x 3 convolutions. MC3 has them in the stem and conv2_x, and 1 x 3 x 3 above, where time keeps
its length. R(2+1)D parts each into 1 x 3 x 3 in space, batch norm, ReLU, and 3 x 1 x 1 in time.

The paper gives the width between the two halves, `midplanes`: as many parameters as the convolution that was parted.
Its code uses 45 in the stem, where the formula would give 83; so do all its ports, and so does this one. torchvision
computes the width once a block, from the first convolution of the block: its R(2+1)D-18 is 1.9 M parameters smaller.
The paper leaves open the batch norm's settings: epsilon is 1e-5 in torchvision, 1e-3 in the paper's own code (VMZ) and
in the weights of IG-65M. Moving statistics keep a share of 0.9 in all of them; ig65m-pytorch sets PyTorch's momentum to
0.9, which would keep 0.1, and which nothing was trained with. Padding is half the kernel on both sides, as in PyTorch
and Caffe2. No code has dropout.

| row | parameters | and moving statistics | multiply-adds | of a clip | frames seen | pixels seen |
|---|---|---|---|---|---|---|
| R3D18 | 33,371,472 | 33,381,072 | 40.70 G | 16 x 112 x 112 | 109 | 219 |
| MC318 | 11,695,440 | 11,705,040 | 43.35 G | 16 x 112 x 112 | 11 | 219 |
| R2Plus1D18 | 31,505,325 | 31,530,675 | 40.52 G | 16 x 112 x 112 | 109 | 219 |
| R2Plus1D18-paper | 33,370,839 | 33,396,999 | 41.50 G | 16 x 112 x 112 | 109 | 219 |
| R3D34 | 63,681,104 | 63,698,128 | 150.76 G | 32 x 112 x 112 | 225 | 451 |
| R2Plus1D34 | 63,697,175 | 63,747,463 | 152.36 G | 32 x 112 x 112 | 225 | 451 |

Parameters are those at 400 classes. "Seen" is the receptive field of a step of the last block. All take 1 frame and 32
pixels a side or more. A step of the body is 8 frames, and 1 in MC3; `time_steps` counts them. It is centred on its
first frame, so a chunk of a video that starts on a multiple of the step has the rows of logits of the single pass,
`halo` steps from each cut.
"""

import dataclasses
import functools
import math

import keras
from keras import layers

from keras_i3d.models.blocks import ClipCheck, conv_unit, scaled_width, separable_unit
from keras_i3d.models.family import Family
from keras_i3d.models.inception import HEAD, check_arguments, clip_shape, head, pooled
from keras_i3d.specs import FLOW_BOUND, MIN_SIZE, ClipSpec

FULL, FLAT, PARTED = "3 x 3 x 3", "1 x 3 x 3", "1 x 3 x 3, 3 x 1 x 1"  # kinds of convolution

# name, filters, stride of the first block   16 x 112 x 112 becomes
STAGES = (
    ("conv2", 64, 1),  #                     16 x 56 x 56, as the stem leaves it
    ("conv3", 128, 2),  #                    8 x 28 x 28
    ("conv4", 256, 2),  #                    4 x 14 x 14
    ("conv5", 512, 2),  #                    2 x 7 x 7
)
STEM, STEM_FILTERS, STEM_MIDDLE = "conv1", 64, 45
CROP = 112


@dataclasses.dataclass(frozen=True)
class Network:
    """What tells one of these networks from the others.

    Attributes:
        title: in words.
        code: whose settings it has.
        blocks: how many each stage has.
        stem: kind of the stem's convolution.
        kinds: those of the stages.
        midplanes: how the width between the halves is found: "paper", for each convolution, or "torchvision", once a
            block. None where none is parted.
        epsilon: of the batch norm.
    """

    title: str
    code: str
    blocks: tuple
    stem: str
    kinds: tuple
    midplanes: str | None = None
    epsilon: float = 1e-5


SHALLOW, DEEP = (2, 2, 2, 2), (3, 4, 6, 3)
NETWORKS = {
    "R3D18": Network("R3D-18", "torchvision", SHALLOW, FULL, (FULL,) * 4),
    "MC318": Network("MC3-18", "torchvision", SHALLOW, FULL, (FULL, FLAT, FLAT, FLAT)),
    "R2Plus1D18": Network("R(2+1)D-18", "torchvision", SHALLOW, PARTED, (PARTED,) * 4, "torchvision"),
    "R2Plus1D18-paper": Network("R(2+1)D-18", "VMZ", SHALLOW, PARTED, (PARTED,) * 4, "paper", epsilon=1e-3),
    "R3D34": Network("R3D-34", "VMZ", DEEP, FULL, (FULL,) * 4, epsilon=1e-3),
    "R2Plus1D34": Network("R(2+1)D-34", "ig65m-pytorch", DEEP, PARTED, (PARTED,) * 4, "paper", epsilon=1e-3),
}


def residual(
    include_top=True,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.0,
    depth_multiplier=1.0,
    bn_momentum=0.9,
    name=None,
    network="R2Plus1D18",
    table=STAGES,
):
    """Builds a video ResNet of basic blocks with fresh weights.

    Args:
        include_top: whether the class layer is part of it.
        input_shape: (T, H, W, C), each a number or None for any; (None, 112, 112, C) by default.
        stream: "rgb" or "flow", of 3 and 2 channels.
        pooling: without the top, None, "avg" or "max".
        classes: of the class layer.
        classifier_activation: on the logits; None for the logits themselves.
        dropout: share of the pooled features dropped in training; none in the originals.
        depth_multiplier: of all widths.
        bn_momentum: share that the moving statistics keep; 0.9 in the originals, which PyTorch calls 0.1.
        name: of the model; the network's with the stream by default.
        network: a name in NETWORKS.
        table: rows of STAGES, all of them but in tests.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, C) to float32 (B, classes), in which every name of
        `endpoints` is a layer. A block's two convolutions are `{block}_a` and `{block}_b`.

    Raises:
        ValueError: an argument out of its range, or a network that is not there.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}. Received: network={network!r}")
    kind = NETWORKS[network]
    shape = clip_shape(input_shape, stream, 1, network, crop=CROP)
    settings = {"padding": "symmetric", "bn_momentum": bn_momentum, "epsilon": kind.epsilon, "scale": True}

    def width(filters):
        return scaled_width(filters, depth_multiplier)

    inputs = keras.Input(shape, name=stream, dtype="float32")
    x = ClipCheck(1, MIN_SIZE)(inputs)
    x = _stem(x, kind.stem, width, **settings)
    before = STEM_FILTERS
    for endpoint, what, filters, stride in _blocks(kind, table):
        middles = _middles(kind.midplanes, before, filters) if what == PARTED else (None, None)
        x = _block(x, what, filters, stride, middles, width, name=endpoint, **settings)
        before = filters
    x = head(x, classes, dropout, classifier_activation, None, 1) if include_top else pooled(x, pooling)
    return keras.Model(inputs, x, name=name or f"{network.replace('-', '_').lower()}_{stream}")


def midplanes(before, filters):
    """The width between 1 x 3 x 3 and 3 x 1 x 1 that has no more parameters than 3 x 3 x 3 from `before` to `filters`.

    The paper's section 3.5: M = floor(t d^2 N N' / (d^2 N + t N')), with t = d = 3.
    """
    return 27 * before * filters // (9 * before + 3 * filters)


def _middles(rule, before, filters):
    """The widths between the halves of both convolutions of a block."""
    first = midplanes(before, filters)
    return first, first if rule == "torchvision" else midplanes(filters, filters)


def _blocks(kind, table):
    """(endpoint, kind of convolution, filters, stride) of each block."""
    rows = zip(table, kind.blocks, kind.kinds)
    return [
        (f"{stage}_{number}", what, filters, stride if number == 1 else 1)
        for (stage, filters, stride), count, what in rows
        for number in range(1, count + 1)
    ]


def _stem(x, what, width, **settings):
    """3 x 7 x 7, or 1 x 7 x 7 and 3 x 1 x 1, of stride 1 x 2 x 2."""
    place = {"filters": width(STEM_FILTERS), "kernel": (3, 7, 7), "strides": (1, 2, 2), "name": STEM}
    if what == PARTED:
        return separable_unit(x, middle=width(STEM_MIDDLE), **place, **settings)
    return conv_unit(x, **place, **settings)


def _block(x, what, filters, stride, middles, width, *, name, **settings):
    """A basic block: two convolutions, the sum with what came in, ReLU."""
    strides = (1 if what == FLAT else stride, stride, stride)
    shortcut = x
    for letter, middle in zip("ab", middles):
        place = {"filters": width(filters), "strides": strides if letter == "a" else (1, 1, 1)}
        place |= {"name": f"{name}_{letter}", "relu": letter == "a"}  # the second has its ReLU after the sum
        if what == PARTED:
            x = separable_unit(x, kernel=(3, 3, 3), middle=width(middle), **place, **settings)
        else:
            x = conv_unit(x, kernel=(1 if what == FLAT else 3, 3, 3), **place, **settings)
    if shortcut.shape[-1] != x.shape[-1] or stride > 1:
        shortcut = conv_unit(
            shortcut, width(filters), (1, 1, 1), strides, name=f"{name}_shortcut", relu=False, **settings
        )
    return layers.ReLU(name=name)(layers.Add(name=f"{name}_sum")([x, shortcut]))


def time_steps(frames, network="R2Plus1D18", table=STAGES):
    """How many time steps of the last block a clip of `frames` frames gives."""
    return math.ceil(frames / _reach(network, table)[0])


def _reach(network, table):
    """(frames a step of the last block, frames on either side of its centre that it depends on)."""
    kind = NETWORKS[network]
    step, reach = 1, 1  # the stem reaches one frame
    for _, what, _, stride in _blocks(kind, table):
        if what != FLAT:
            reach += step  # the first convolution, which may stride
            step *= stride
            reach += step
    return step, reach


# What is published of each: clip in frames and fps, trainable parameters of rgb and flow, multiply-adds, accuracy.
TORCHVISION = "Kinetics-400 validation, {} of 16 frames at 15 fps, frames of 128 x 171 (torchvision's {}_Weights)"
VMZ = "Kinetics-400 validation, 10 clips of {} frames a video, central crop (facebookresearch/VMZ's models.md)"
IG65M = "Kinetics-400 validation, after IG-65M, clips of 32 frames, no more is said (moabitcoin/ig65m-pytorch)"
R3D, MC3 = TORCHVISION.format("5 clips a video", "R3D_18"), TORCHVISION.format("single clips", "MC3_18")
R2PLUS1D = TORCHVISION.format("single clips", "R2Plus1D_18")
PUBLISHED = {
    "R3D18": (16, 15, 33_371_472, 33_362_064, 40.7, (63.2, 83.5), R3D),
    "MC318": (16, 15, 11_695_440, 11_686_032, 43.35, (53.9, 76.3), MC3),
    "R2Plus1D18": (16, 15, 31_505_325, 31_503_120, 40.52, (57.5, 78.8), R2PLUS1D),
    "R2Plus1D18-paper": (16, 30, 33_370_839, 33_368_634, 41.5, (68.5, 87.5), VMZ.format(16)),
    "R3D34": (32, 30, 63_681_104, 63_671_696, 150.76, None, ""),
    "R2Plus1D34": (32, 30, 63_697_175, 63_694_970, 152.36, (80.0, 94.2), IG65M),
}
# The first of a builder is the one that it makes by default.
BUILDERS = {"R2Plus1D18-paper": ("R2Plus1D18", {"midplanes": "paper"})}


def endpoints(network, table=STAGES):
    """The names of the layers that the paper names, the blocks numbered from 1."""
    return (STEM, *(row[0] for row in _blocks(NETWORKS[network], table)), "Logits", "Predictions")


def rows(table=STAGES):
    """The rows of these networks; with fewer or narrower stages, those of small ones for tests."""
    return tuple(_row(name, table) for name in NETWORKS)


def _row(name, table):
    frames, fps, rgb, flow, macs, accuracy, protocol = PUBLISHED[name]
    kind = NETWORKS[name]
    step, reach = _reach(name, table)
    of, options = BUILDERS.get(name, (name, {}))
    if of == "R2Plus1D18":
        options = {"midplanes": kind.midplanes}
    return Family(
        name=name,
        title=f"{kind.title} (Tran et al. 2018, arXiv 1711.11248), as in {kind.code}",
        builder=functools.partial(residual, network=name, table=table),
        first=f"{STEM}_{'spatial_' if kind.stem == PARTED else ''}conv_3d",
        head=HEAD,
        logits="Logits",
        predictions="Predictions",
        endpoints=endpoints(name, table),
        cuts=endpoints(name, table)[:-2],
        min_frames=1,
        min_size=MIN_SIZE,
        step=step,
        steps=functools.partial(time_steps, network=name, table=table),
        halo=math.ceil(reach / step),
        window=1,
        clips=_clips(frames, fps),
        parameters={"rgb": rgb, "flow": flow},
        macs=macs,
        accuracy={"rgb": accuracy} if accuracy else {},
        protocol=protocol,
        unchecked="" if kind.code == "torchvision" else f"the {fps} frames per second of its clips",
        of=of,
        options=options,
    )


def _clips(frames, fps):
    """{stream: ClipSpec}: frames of a short side of 128; red, green and blue as torchvision normalises them.

    torchvision resizes frames to 128 x 171 whatever their shape; here a frame keeps its shape, and its short side
    becomes 128, as in VMZ and ig65m-pytorch. The paper's flow is Farneback's; here it is TV-L1, as for I3D.
    """
    common = {"fps": fps, "short_side": 128, "crop": CROP, "frames": frames}
    normal = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
    flow = {"flow_method": "tvl1", "flow_bound": FLOW_BOUND, "flow_scheme": "exact"}
    return {"rgb": ClipSpec("rgb", **common, **normal), "flow": ClipSpec("flow", **common, **flow)}
