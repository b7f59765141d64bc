"""Inception-V1 I3D, layer by layer as DeepMind's kinetics-i3d/i3d.py (arXiv 1705.07750, figure 3)."""

import dataclasses
import functools
import math
import numbers

import keras
from keras import layers

from keras_i3d.models.blocks import ClipCheck, HeadPool, conv_unit, max_pool, scaled_width, sonnet_initializer
from keras_i3d.models.family import Family, Flat
from keras_i3d.specs import CHANNELS, CROP, INPUT_CHANNELS, MIN_FRAMES, MIN_SIZE, check_stream

CONV, POOL, MIXED = "conv", "pool", "mixed"

# name, kind, then: filters, kernel, strides | window, strides | the six widths of an Inception block, after which may
# stand how far its 3 x 3 convolutions and its pool reach in time: 3 and 3 by default.
LAYERS = (  #                                                      64 x 224 x 224 becomes
    ("Conv3d_1a_7x7", CONV, 64, (7, 7, 7), (2, 2, 2)),  #           32 x 112 x 112
    ("MaxPool3d_2a_3x3", POOL, (1, 3, 3), (1, 2, 2)),  #            32 x 56 x 56
    ("Conv3d_2b_1x1", CONV, 64, (1, 1, 1), (1, 1, 1)),
    ("Conv3d_2c_3x3", CONV, 192, (3, 3, 3), (1, 1, 1)),
    ("MaxPool3d_3a_3x3", POOL, (1, 3, 3), (1, 2, 2)),  #            32 x 28 x 28
    ("Mixed_3b", MIXED, 64, 96, 128, 16, 32, 32),  #                256 channels
    ("Mixed_3c", MIXED, 128, 128, 192, 32, 96, 64),  #              480
    ("MaxPool3d_4a_3x3", POOL, (3, 3, 3), (2, 2, 2)),  #            16 x 14 x 14
    ("Mixed_4b", MIXED, 192, 96, 208, 16, 48, 64),  #               512
    ("Mixed_4c", MIXED, 160, 112, 224, 24, 64, 64),  #              512
    ("Mixed_4d", MIXED, 128, 128, 256, 24, 64, 64),  #              512
    ("Mixed_4e", MIXED, 112, 144, 288, 32, 64, 64),  #              528
    ("Mixed_4f", MIXED, 256, 160, 320, 32, 128, 128),  #            832
    ("MaxPool3d_5a_2x2", POOL, (2, 2, 2), (2, 2, 2)),  #            8 x 7 x 7
    ("Mixed_5b", MIXED, 256, 160, 320, 32, 128, 128),  #            832
    ("Mixed_5c", MIXED, 384, 192, 384, 48, 128, 128),  #            1024
)

# The units of an Inception block whose published name breaks the pattern.
PUBLISHED_NAMES = {"Mixed_5b_Branch_2_Conv3d_0b_3x3": "Mixed_5b_Branch_2_Conv3d_0a_3x3"}

TEMPORAL_STRIDES = (2, 2, 2)  # of Conv3d_1a_7x7, MaxPool3d_4a_3x3 and MaxPool3d_5a_2x2

INCEPTION_V1 = Flat("TF-Slim's Inception V1")  # the 2D network of the same blocks

# The one layer whose shape depends on the number of classes.
HEAD = "Logits_Conv3d_0c_1x1_conv_3d"


def inception_i3d(
    include_top=True,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.0,
    depth_multiplier=1.0,
    bn_momentum=0.999,
    name=None,
    temporal_strides=TEMPORAL_STRIDES,
    table=LAYERS,
    network="I3D",
    window=2,
):
    """Builds an Inception I3D with fresh weights; `keras_i3d.I3D` documents the arguments.

    Args:
        temporal_strides: of the three places that halve the frames, 1 or 2 each. What is 1 keeps its window in time.
        table: rows as those of LAYERS.
        network: its name, for people.
        window: steps that the head averages, 2 or 1.

    Returns a functional `keras.Model` from float32 (B, T, H, W, C) in [-1, 1] to float32 (B, classes),
    in which every name in the table is a layer.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    if len(tuple(temporal_strides)) != 3 or not {1, 2}.issuperset(temporal_strides):
        raise ValueError(f"temporal_strides are three of 1 or 2. Received: temporal_strides={temporal_strides!r}")

    def width(filters):
        return scaled_width(filters, depth_multiplier)

    min_frames = fewest_frames(temporal_strides, window) if include_top else 1  # the head alone needs more than one
    inputs = keras.Input(clip_shape(input_shape, stream, min_frames, network), name=stream, dtype="float32")
    x = ClipCheck(min_frames, MIN_SIZE)(inputs)
    for endpoint, kind, *settings in strided(table, temporal_strides):
        if kind == CONV:
            filters, kernel, strides = settings
            x = conv_unit(x, width(filters), kernel, strides, name=endpoint, bn_momentum=bn_momentum)
        elif kind == POOL:
            x = max_pool(x, *settings, name=endpoint)
        else:
            widths, depths = [width(filters) for filters in settings[:6]], settings[6:] or (3, 3)
            x = mixed(x, widths, depths, name=endpoint, bn_momentum=bn_momentum)

    x = head(x, classes, dropout, classifier_activation, steps=window) if include_top else pooled(x, pooling)
    return keras.Model(inputs, x, name=name or f"{network.lower().replace('-', '_')}_{stream}")


def mixed(x, widths, depths=(3, 3), *, name, bn_momentum):
    """An Inception block: 1x1x1 | 1x1x1 -> 3x3x3 | 1x1x1 -> 3x3x3 | max pool -> 1x1x1, concatenated.

    `depths` are how far the 3 x 3 convolutions and the pool reach in time.
    """

    def unit(x, place):
        full_name, filters, side = units[place]
        kernel = (depths[0] if side > 1 else 1, side, side)
        return conv_unit(x, filters, kernel, name=full_name, bn_momentum=bn_momentum)

    units = _units(name, widths)
    branch_0 = unit(x, 0)
    branch_1 = unit(unit(x, 1), 2)
    branch_2 = unit(unit(x, 3), 4)
    branch_3 = max_pool(x, (depths[1], 3, 3), (1, 1, 1), name=f"{name}_Branch_3_MaxPool3d_0a_3x3")
    branch_3 = unit(branch_3, 5)
    return layers.Concatenate(axis=-1, name=name)([branch_0, branch_1, branch_2, branch_3])


def _units(name, widths):
    """(name, filters, side of the kernel) of the six convolutions of an Inception block."""
    kernels = ("0_Conv3d_0a_1x1", "1_Conv3d_0a_1x1", "1_Conv3d_0b_3x3", "2_Conv3d_0a_1x1", "2_Conv3d_0b_3x3")
    names = [f"{name}_Branch_{kernel}" for kernel in (*kernels, "3_Conv3d_0b_1x1")]
    return [(_published(n), width, int(n[-1])) for n, width in zip(names, widths)]


def _published(name):
    """The published name of a unit, whatever stands before it."""
    for ours, published in PUBLISHED_NAMES.items():
        if name.endswith(ours):
            return name.removesuffix(ours) + published
    return name


def head(x, classes, dropout, classifier_activation, window=7, steps=2):
    """Average pool, dropout, a 1x1x1 convolution, the mean over time and space, softmax: all in float32.

    Args:
        x: (B, T, H, W, C).
        classes, dropout, classifier_activation: as the builders take them.
        window, steps: of the average pool, as `HeadPool` takes them.
    """
    x = HeadPool(window, steps, dtype="float32", name="Logits_AvgPool3d_0a_7x7")(x)
    x = layers.Dropout(dropout, dtype="float32", name="Logits_Dropout3d_0b")(x)
    x = layers.Conv3D(
        classes,
        1,
        data_format="channels_last",
        kernel_initializer=sonnet_initializer(x.shape[-1]),
        dtype="float32",
        name=HEAD,
    )(x)
    x = layers.GlobalAveragePooling3D(data_format="channels_last", dtype="float32", name="Logits")(x)
    return layers.Activation(classifier_activation, dtype="float32", name="Predictions")(x)


def pooled(x, pooling):
    """What a network without its top returns: (B, T, H, W, C), or float32 (B, C) by the mean or the maximum of all."""
    if pooling == "avg":
        return layers.GlobalAveragePooling3D(data_format="channels_last", dtype="float32", name="avg_pool")(x)
    if pooling == "max":
        return layers.GlobalMaxPooling3D(data_format="channels_last", dtype="float32", name="max_pool")(x)
    return x


def clip_shape(
    input_shape, stream, min_frames=MIN_FRAMES, network="I3D", min_size=MIN_SIZE, crop=CROP, streams=CHANNELS
):
    """Returns the (T, H, W, C) that a model of `stream` takes, or raises ValueError, which names the network.

    Args:
        input_shape: as the builders take it; None for any number of frames of `crop` x `crop` pixels.
        stream: one of `streams`, those that the network takes.
        min_frames, min_size: the least frames and pixels a side.
        network: its name.
        crop: pixels a side.
        streams: keys of `specs.INPUT_CHANNELS`.
    """
    channels = INPUT_CHANNELS[check_stream(stream, streams)]
    if input_shape is None:
        return (None, crop, crop, channels)
    input_shape = tuple(input_shape)
    if len(input_shape) != 4:
        raise ValueError(
            "input_shape is (time, height, width, channel), without the batch, each a number or None. "
            f"Received: input_shape={input_shape}"
        )
    if input_shape[-1] != channels:
        raise ValueError(
            f'The "{stream}" stream has {channels} channels. Received: input_shape={input_shape}. '
            f"Pass {input_shape[:-1] + (channels,)}"
            + "".join(f', or stream="{other}"' for other in streams if INPUT_CHANNELS[other] == input_shape[-1])
            + "."
        )
    for size, least, what in zip(input_shape, (min_frames, min_size, min_size), ("frames", "high", "wide")):
        if size is not None and size < least:
            raise ValueError(
                f"{network} takes clips of at least {min_frames} frames, {min_size} pixels high and {min_size} wide. "
                f"Received: input_shape={input_shape}, {size} {what}. Pass {least} or more, or None for any."
            )
    return input_shape


def check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum):
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'pooling must be None, "avg" or "max". Received: pooling={pooling!r}')
    if include_top and pooling is not None:
        raise ValueError(f"pooling is for include_top=False. Received: include_top=True, pooling={pooling!r}")
    if include_top and (isinstance(classes, bool) or not isinstance(classes, numbers.Integral) or classes < 1):
        raise ValueError(f"classes must be a positive integer. Received: classes={classes!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is the share of units dropped, in [0, 1). Received: dropout={dropout!r}")
    if not depth_multiplier > 0:
        raise ValueError(f"depth_multiplier must be positive. Received: depth_multiplier={depth_multiplier!r}")
    if not 0 <= bn_momentum < 1:
        raise ValueError(f"bn_momentum must be in [0, 1). Received: bn_momentum={bn_momentum!r}")


def cuts(table=LAYERS):
    """Returns the endpoints at which rematerialisation cuts the graph: each keeps only its own output for the gradient.

    They are the pools, and the Inception blocks before another one. An endpoint before a pool is larger than the pool,
    and cheap to compute again.
    """
    followers = [*(row[1] for row in table[1:]), None]
    return tuple(
        name for (name, kind, *_), after in zip(table, followers) if kind == POOL or (kind == MIXED and after != POOL)
    )


def strided(table, temporal_strides):
    """Returns the table with these strides in time where its own are 2; windows stay."""
    strides = iter(temporal_strides)

    def changed(row):
        halves = row[1] != MIXED and row[-1][0] == 2
        return (*row[:-1], (next(strides), *row[-1][1:])) if halves else row

    return tuple(map(changed, table))


def fewest_frames(temporal_strides=TEMPORAL_STRIDES, window=2):
    """The fewest frames that give the steps of which the head averages `window`."""
    return math.prod(temporal_strides) * (window - 1) + 1


def timing(table):
    """Returns what a Family says of time: {"step", "steps", "halo"}.

    SAME padding puts its windows by the parity of the length, so a step reaches at most so far on either side.
    """
    step, before, after = 1, 0, 0
    for _, kind, *settings in table:
        reach, stride = (max(settings[6:] or (3,)), 1) if kind == MIXED else (settings[-2][0], settings[-1][0])
        before += (reach - 1) // 2 * step
        after += (reach - 1 - max(reach - stride, 0) // 2) * step
        step *= stride
    return {"step": step, "steps": lambda frames: -(-frames // step), "halo": -(-max(before, after) // step)}


def layer_names(table, first="conv_3d"):
    """Returns what a Family says of layers; `first` is the ending of the first one."""
    return {
        "first": f"{table[0][0]}_{first}",
        "head": HEAD,
        "logits": "Logits",
        "predictions": "Predictions",
        "endpoints": (*(row[0] for row in table), "Logits", "Predictions"),
        "cuts": cuts(table),
        "min_size": MIN_SIZE,
    }


def kernels(table):
    """Returns `Family.kernels` of such a table: of each row that has any, those that may reach over time."""
    found = {}
    for name, kind, *settings in table:
        if kind == CONV:
            found[f"{name}_conv_3d"] = settings[1]
        elif kind == MIXED:
            found[f"{name}_Branch_1_Conv3d_0b_3x3_conv_3d"] = ((settings[6:] or (3,))[0], 3, 3)
    return found


# Multiply-adds, in 1e9, of I3D without down-sampling in time, by its temporal strides.
FINER = {(2, 2, 1): 113.02, (2, 1, 1): 135.24, (1, 1, 1): 270.48}


def rows(table=LAYERS):
    """The rows of the Inception I3D; with a shorter or narrower table, those of small ones for tests.

    The first is DeepMind's. The others keep more steps in time.
    """
    row = Family(
        name="I3D",
        title="Inception-V1 I3D (Carreira and Zisserman 2017, arXiv 1705.07750)",
        builder=functools.partial(inception_i3d, table=table),
        min_frames=fewest_frames(),
        window=2,
        parameters={"rgb": 12_689_984, "flow": 12_668_032},
        macs=111.15,
        accuracy={"rgb": (71.1, 89.3), "flow": (63.4, 84.9), "both": (74.2, 91.3)},
        protocol="Kinetics-400 test set, whole videos, ImageNet and Kinetics (arXiv 1705.07750, table 5)",
        inflated_from=INCEPTION_V1,
        options={"temporal_strides": TEMPORAL_STRIDES},
        kernels=kernels(table),
        **timing(table),
        **layer_names(table),
    )
    return (row, *(_finer(row, strides, table) for strides in FINER))


def _finer(row, strides, table):
    """The row of an I3D with these temporal strides, whose weights are those of I3D."""
    name = f"I3D-strides-{'-'.join(map(str, strides))}"
    step = math.prod(strides)
    return dataclasses.replace(
        row,
        name=name,
        title=f"Inception-V1 I3D with a step each {step} frames" if step > 1 else "Inception-V1 I3D, each frame a step",
        builder=functools.partial(inception_i3d, temporal_strides=strides, table=table, network=name),
        min_frames=fewest_frames(strides),
        macs=FINER[strides],
        accuracy={},
        protocol="",
        of="I3D",
        options={"temporal_strides": strides},
        shares="I3D",
        **timing(strided(table, strides)),
    )
