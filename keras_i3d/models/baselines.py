"""The 2D baselines of the I3D paper (Carreira and Zisserman 2017, arXiv 1705.07750, sections 2.1 and 2.3).

Under all of them lies Inception-V1 with batch norm, as TF-Slim's `inception_v1.py` has it: Inception I3D's table
(`inception.LAYERS`) with kernels that reach over no time. Layers have I3D's names, so that what inflates an ImageNet
checkpoint into I3D finds them by the same rule; here each kernel is "repeated" once. Convolutions have no bias, batch
norms no scale and an epsilon of 1e-3, and sizes are padded as TensorFlow's SAME does.

Every network takes a clip and gives a row of logits for each frame, stack or snippet of it; the mean of the rows is its
answer, as the paper averages snapshots in test. So a clip of one row is what the paper trains on, and a longer one is
tested as it tests.

| network | takes | frames of a row, of the next one | parameters, 400 classes |
|---|---|---|---|
| InceptionV1, rgb | RGB | 1, 1 | 6,002,624 |
| InceptionV1-stack10, flow | fields | 10, 1 | 6,055,936 |
| TwoStreamConvNet | RGB and fields | 10, 1 | 12,058,560 |
| FusedTwoStream | RGB and fields | 50, 10 | 39,755,824 |

A clip of both, "both", is one tensor: RGB of frame i and the field from frame i to i + 1 side by side, in this order.
"""

import dataclasses
import functools

import keras
from keras import layers

from keras_i3d.models.blocks import (
    ClipCheck,
    HeadPool,
    MaxPool3D,
    conv_unit,
    max_pool,
    scaled_width,
    sonnet_initializer,
)
from keras_i3d.models.family import Family
from keras_i3d.models.inception import (
    HEAD,
    INCEPTION_V1,
    LAYERS,
    MIXED,
    POOL,
    check_arguments,
    clip_shape,
    cuts,
    head,
    mixed,
    pooled,
)
from keras_i3d.models.stacking import FIELDS, FlowStacks, MeanOfHeads, StackFrames, check_stack
from keras_i3d.specs import BOTH, CLIPS, FLOW_BOUND, MIN_SIZE, ClipSpec

SNIPPETS = 5  # of a row of the fused network
FUSED, FUSED_POOL = "Fused_Conv3d_3x3x3", "Fused_MaxPool3d_3x3x3"
BOTH_CLIP = ClipSpec(BOTH, flow_method="tvl1", flow_bound=FLOW_BOUND, flow_scheme="exact", frames=FIELDS)


def inception_v1(
    include_top=True,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.2,
    depth_multiplier=1.0,
    bn_momentum=0.9997,
    name=None,
    fields=FIELDS,
    order="planes",
    trajectories=False,
    subtract_mean=False,
    table=LAYERS,
):
    """Builds a 2D Inception-V1 over video with fresh weights: every frame, or stack of fields, by itself.

    Args:
        include_top, input_shape, pooling, classes, classifier_activation, depth_multiplier, name: as for
            `s3d.s3d`.
        stream: "rgb"; or "flow", fields of which each stack of neighbours is one input of 2 * `fields` channels.
        dropout, bn_momentum: 0.2 and 0.9997 in TF-Slim.
        fields, order, trajectories, subtract_mean: of the stacks, as `FlowStacks` takes them.
        table: rows of `inception.LAYERS`, all of them but in tests.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, C) to float32 (B, classes). Its head gives a row of logits
        a frame, or a stack: (B, T - fields + 1, ...).

    Raises:
        ValueError: an argument out of its range.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    check_stack(fields, order)
    stacked = stream == "flow"
    min_frames = fields if stacked else 1
    inputs = keras.Input(clip_shape(input_shape, stream, min_frames, "InceptionV1"), name=stream, dtype="float32")
    x = ClipCheck(min_frames, MIN_SIZE, dtype=_exact(stacked and trajectories))(inputs)
    if stacked:
        x = _stacks(x, 1, fields, order, trajectories, subtract_mean)
    x = body(x, table, depth_multiplier, bn_momentum)
    x = head(x, classes, dropout, classifier_activation, steps=1) if include_top else pooled(x, pooling)
    return keras.Model(inputs, x, name=name or f"inception_v1_{stream}")


def two_stream_conv_net(
    include_top=True,
    input_shape=None,
    stream=BOTH,
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.2,
    depth_multiplier=1.0,
    bn_momentum=0.9997,
    name=None,
    fields=FIELDS,
    order="planes",
    trajectories=False,
    subtract_mean=False,
    table=LAYERS,
):
    """Builds the Two-Stream network, (c) of the paper, with fresh weights: a frame, and a stack of fields around it.

    The paper: two ImageNet ConvNets, one of a single RGB frame, one of 10 fields, whose predictions are averaged, and
    trained end to end with the averaging. It leaves open what is averaged, where the frame lies and how fields are laid
    out. Here the logits are averaged, as the paper's released code joins the streams of (e); the frame is the one in
    the middle of the stack; the layout is an argument.

    Args:
        stream: "both" alone.
        others: as for `inception_v1`.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, 5) to float32 (B, classes), with the endpoints of both
        networks, `rgb_Conv3d_1a_7x7` to `rgb_Mixed_5c`, and the same of `flow_`.

    Raises:
        ValueError: an argument out of its range.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    check_stack(fields, order)
    shape = clip_shape(input_shape, stream, fields, "TwoStreamConvNet", streams=(BOTH,))
    inputs = keras.Input(shape, name=stream, dtype="float32")
    x = ClipCheck(fields, MIN_SIZE, dtype=_exact(trajectories))(inputs)
    settings = {"fields": fields, "order": order, "trajectories": trajectories, "subtract_mean": subtract_mean}
    x = _both_bodies(x, 1, settings, table, depth_multiplier, bn_momentum)
    if include_top:
        x = HeadPool(steps=1, dtype="float32", name="Logits_AvgPool3d_0a_7x7")(x)
        x = layers.Dropout(dropout, dtype="float32", name="Logits_Dropout3d_0b")(x)
        x = MeanOfHeads(classes, sonnet_initializer(x.shape[-1] // 2), dtype="float32", name=HEAD)(x)
        x = layers.GlobalAveragePooling3D(data_format="channels_last", dtype="float32", name="Logits")(x)
        x = layers.Activation(classifier_activation, dtype="float32", name="Predictions")(x)
    else:
        x = pooled(x, pooling)
    return keras.Model(inputs, x, name=name or "two_stream_conv_net")


def fused_two_stream(
    include_top=True,
    input_shape=None,
    stream=BOTH,
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    dropout=0.2,
    depth_multiplier=1.0,
    bn_momentum=0.9997,
    name=None,
    order="planes",
    table=LAYERS,
):
    """Builds the 3D-fused Two-Stream network, (d) of the paper, with fresh weights.

    The paper: 5 RGB frames, 10 apart, and the 10 fields of each; the features of both networks before the last average
    pool, 5 x 7 x 7, go through a 3 x 3 x 3 convolution of 512 outputs, a 3 x 3 x 3 max pool and a fully connected
    layer, all trained end to end, the new layers from Gaussian noise. It leaves open how the two are joined, padding,
    the pool's stride and what the last layer sees. Here they are concatenated. Neither convolution nor pool is padded
    in time, so that 5 steps become 3 and then 1, and a longer clip gives a row for every 5 snippets in turn, each by
    itself. In space both are padded, and the pool has stride 2. The last layer sees the 512 means over space: 39.76 M
    parameters, where the paper prints 39 M; with a map of 2 x 2 it would be 40.37 M. The convolution has batch norm and
    ReLU, which the paper's section 2.5 puts after every convolution but the last; the noise has a deviation of 0.01. A
    snippet's frame is the one in its middle.

    Args:
        stream: "both" alone.
        others: as for `inception_v1`. A clip of T frames has T // 10 snippets; frames after the last are not seen.

    Returns:
        A functional `keras.Model` from float32 (B, T, H, W, 5), T from 50, to float32 (B, classes), with the endpoints
        of both networks, as `two_stream_conv_net` has them, `Fused_Conv3d_3x3x3` and `Fused_MaxPool3d_3x3x3`. Without
        its top it ends in the latter.

    Raises:
        ValueError: an argument out of its range.
    """
    check_arguments(include_top, pooling, classes, dropout, depth_multiplier, bn_momentum)
    check_stack(FIELDS, order)
    frames = SNIPPETS * FIELDS
    shape = clip_shape(input_shape, stream, frames, "FusedTwoStream", streams=(BOTH,))
    inputs = keras.Input(shape, name=stream, dtype="float32")
    x = ClipCheck(frames, MIN_SIZE)(inputs)
    x = _both_bodies(x, FIELDS, {"fields": FIELDS, "order": order}, table, depth_multiplier, bn_momentum)
    x = layers.ZeroPadding3D((0, 1, 1), data_format="channels_last", name=f"{FUSED}_pad")(x)
    noise = keras.initializers.RandomNormal(stddev=0.01)
    width = scaled_width(512, depth_multiplier)
    x = layers.Conv3D(
        width,
        3,
        data_format="channels_last",
        use_bias=False,
        kernel_initializer=noise,
        name=f"{FUSED}_conv_3d",
    )(x)
    x = layers.BatchNormalization(axis=-1, momentum=bn_momentum, epsilon=1e-3, scale=False, name=f"{FUSED}_batch_norm")(
        x
    )
    x = layers.ReLU(name=FUSED)(x)
    x = max_pool(x, (1, 3, 3), (1, 2, 2), name=f"{FUSED_POOL}_space")
    x = MaxPool3D((3, 1, 1), (1, 1, 1), data_format="channels_last", name=FUSED_POOL)(x)
    x = head(x, classes, dropout, classifier_activation, None, 1) if include_top else pooled(x, pooling)
    return keras.Model(inputs, x, name=name or "fused_two_stream")


def body(x, table, depth_multiplier, bn_momentum, before=""):
    """The 2D network up to its last Inception block, frame by frame.

    Args:
        x: (B, T, H, W, C).
        table: rows of `inception.LAYERS`.
        depth_multiplier, bn_momentum: as the builders take them.
        before: what its layers' names begin with.
    """
    for endpoint, kind, *numbers in table:
        name = f"{before}{endpoint}"
        if kind == MIXED:
            widths = [scaled_width(filters, depth_multiplier) for filters in numbers]
            x = mixed(x, widths, (1, 1), name=name, bn_momentum=bn_momentum)
        elif kind == POOL:
            window, strides = numbers
            x = max_pool(x, (1, *window[1:]), (1, *strides[1:]), name=name)
        else:
            filters, kernel, strides = numbers
            width = scaled_width(filters, depth_multiplier)
            x = conv_unit(x, width, (1, *kernel[1:]), (1, *strides[1:]), name=name, bn_momentum=bn_momentum)
    return x


def _both_bodies(x, stride, settings, table, depth_multiplier, bn_momentum):
    """Both networks, each on its part of a clip of both: (B, T, H, W, 5) to (B, N, h, w, 2 C), RGB first.

    Args:
        x: the clip.
        stride: frames from a stack to the next one.
        settings: of the stacks, as `_stacks` takes them.
        table, depth_multiplier, bn_momentum: as `body` takes them.
    """
    frames = StackFrames(settings["fields"], stride, name="rgb_frames")(x)
    rgb = body(frames, table, depth_multiplier, bn_momentum, "rgb_")
    flow = body(_stacks(x, stride, **settings), table, depth_multiplier, bn_momentum, "flow_")
    return layers.Concatenate(axis=-1, name="rgb_and_flow")([rgb, flow])


def _stacks(x, stride, fields, order, trajectories=False, subtract_mean=False):
    given = fields, stride, order, trajectories, subtract_mean
    return FlowStacks(*given, dtype=_exact(trajectories), name="flow_stacks")(x)


def _exact(wanted):
    """The dtype of what moves points by fields: below float32 they would miss their place."""
    return "float32" if wanted else None


# The ways to make stacks that have rows of their own: {what a name ends in: options}.
PLAIN = {"order": "planes", "trajectories": False, "subtract_mean": False}
STACKS = {
    "": PLAIN,
    "-pairs": {**PLAIN, "order": "pairs"},
    "-mean": {**PLAIN, "subtract_mean": True},
    "-trajectories": {**PLAIN, "trajectories": True},
}
SOURCE = "Kinetics-400 test set, from ImageNet (arXiv 1705.07750, table 3; top-1 alone is given)"


def rows(table=LAYERS):
    """The rows of the 2D networks; with a shorter or narrower table, those of small ones for tests."""
    ends = ("Logits", "Predictions")
    names = tuple(row[0] for row in table)
    first, kernel = f"{names[0]}_conv_3d", (1, *table[0][3][1:])
    in_turn = tuple(f"{stream}_{name}" for name in names for stream in ("rgb", "flow"))
    common = {"head": HEAD, "logits": "Logits", "predictions": "Predictions", "min_size": 32, "halo": 0, "window": 1}
    inception = Family(
        name="InceptionV1",
        title="Inception-V1 frame by frame (Ioffe and Szegedy 2015, arXiv 1502.03167, as in TF-Slim)",
        builder=functools.partial(inception_v1, table=table),
        first=first,
        kernels={first: kernel},
        endpoints=(*names, *ends),
        cuts=cuts(table),
        min_frames=1,
        step=1,
        steps=_frames,
        clips={"rgb": dataclasses.replace(CLIPS["rgb"], frames=1)},
        parameters={"rgb": 6_002_624},
        macs=1.5,
        accuracy={"rgb": (62.2, None)},
        protocol=SOURCE,
        inflated_from=INCEPTION_V1,
        shares="I2D",
        **common,
    )
    two_stream = dataclasses.replace(
        inception,
        name="TwoStreamConvNet",
        shares="",
        of="TwoStreamConvNet",
        title="Two-Stream ConvNet, (c) of Carreira and Zisserman 2017 (arXiv 1705.07750)",
        builder=functools.partial(two_stream_conv_net, table=table),
        first=f"rgb_{first}",
        kernels={f"rgb_{first}": kernel},
        endpoints=(*in_turn, *ends),
        cuts=(),
        min_frames=FIELDS,
        steps=_stacks_of,
        clips={BOTH: BOTH_CLIP},
        parameters={BOTH: 12_058_560},
        macs=3.66,
        accuracy={BOTH: (65.6, None)},
    )
    flow = dataclasses.replace(
        inception,
        name=f"InceptionV1-stack{FIELDS}",
        shares="",
        title=f"Inception-V1 of stacks of {FIELDS} flow fields (Simonyan and Zisserman 2014, arXiv 1406.2199)",
        min_frames=FIELDS,
        steps=_stacks_of,
        clips={"flow": dataclasses.replace(CLIPS["flow"], frames=FIELDS)},
        parameters={"flow": 6_055_936},
        macs=2.17,
        accuracy={"flow": (52.4, None)},
    )
    fused = dataclasses.replace(
        two_stream,
        name="FusedTwoStream",
        of="FusedTwoStream",
        title="3D-fused Two-Stream, (d) of Carreira and Zisserman 2017 (arXiv 1705.07750)",
        builder=functools.partial(fused_two_stream, table=table),
        endpoints=(*in_turn, FUSED, FUSED_POOL, *ends),
        min_frames=SNIPPETS * FIELDS,
        step=FIELDS,
        steps=_fused_steps,
        clips={BOTH: dataclasses.replace(BOTH_CLIP, frames=SNIPPETS * FIELDS)},
        parameters={BOTH: 39_755_824},
        macs=22.48,
        accuracy={BOTH: (67.2, None)},
    )
    stacked = [_with(row, ending, options) for row in (flow, two_stream) for ending, options in STACKS.items()]
    return (inception, *stacked, fused)


def _with(row, ending, options):
    """A row whose stacks are made in another way."""
    builder = functools.partial(row.builder, **options)
    accuracy = {} if ending else row.accuracy  # the paper does not say which way was measured
    return dataclasses.replace(row, name=f"{row.name}{ending}", builder=builder, accuracy=accuracy, options=options)


def _frames(frames):
    return frames


def _stacks_of(frames):
    return frames - FIELDS + 1


def _fused_steps(frames):
    return frames // FIELDS - SNIPPETS + 1
