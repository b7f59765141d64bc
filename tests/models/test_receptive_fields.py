"""Receptive fields: the published ones, and those that a network shows when its input is changed place by place."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from made import tiny

from keras_i3d.models import blocks, families, s3d
from keras_i3d.models.receptive_fields import ReceptiveField, of_layers
from keras_i3d.specs import INPUT_CHANNELS

ANY = (None, None, None, 3)

# (time, height and width) of Inception I3D, derived by hand.
I3D = {
    "Conv3d_1a_7x7": (7, 7),
    "MaxPool3d_2a_3x3": (7, 11),
    "Conv3d_2c_3x3": (11, 19),
    "MaxPool3d_3a_3x3": (11, 27),
    "MaxPool3d_4a_3x3": (23, 75),
    "Mixed_4f": (63, 235),
    "MaxPool3d_5a_2x2": (67, 251),
    "Mixed_5c": (99, 379),
    "Logits_AvgPool3d_0a_7x7": (107, 571),
}


def test_those_of_inception_i3d():
    model = families.find("I3D").build(input_shape=ANY, depth_multiplier=0.1)
    fields = of_layers(model, (64, 224, 224))
    assert {name: fields[name].size for name in I3D} == {name: (t, s, s) for name, (t, s) in I3D.items()}
    assert fields["Mixed_5c"] == ReceptiveField((99, 379, 379), (8, 32, 32), (-44, -166, -166))
    assert fields["Logits"] == fields["Predictions"] == ReceptiveField(*[(None, None, None)] * 3)
    # An odd size has three zeros in front of the first convolution, an even one two.
    assert of_layers(model, (65, 224, 225))["Conv3d_1a_7x7"].start == (-3, -2, -3)
    with pytest.raises(
        ValueError, match=r"SAME padding of Conv3d_1a_7x7_conv_3d depends on the size.*clip=\(T, H, W\)"
    ):
        of_layers(model)


def test_those_of_a_fixed_size_need_no_clip():
    model = families.find("S3D").build(input_shape=(16, 64, 64, 3), depth_multiplier=0.1)
    assert of_layers(model)["Mixed_5c"] == ReceptiveField((99, 379, 379), (8, 32, 32), (-47, -181, -181))


def test_a_gate_sees_the_whole_clip_at_the_stride_of_its_input():
    fields = of_layers(s3d.s3d(input_shape=ANY, variant="S3DG-milnce", depth_multiplier=0.1), (16, 64, 64))
    assert fields["Conv3d_1a_7x7"] == ReceptiveField((4, 8, 8), (2, 2, 2), (0, -2, -2))  # the space-to-depth stem
    assert fields["Mixed_5c"] == ReceptiveField((None,) * 3, (8, 32, 32), (None,) * 3)


# Measured: which places of the input change which position of a layer


def positive(model):
    """Gives a model weights of which none is 0 or below, so that nothing a position sees leaves it as it is."""
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 1 / max(np.prod(weight.shape[:-1]), 1)))
    return model


def measured(model, names, clip, axis):
    """The places along an axis that change each position of a layer's output along it: {layer: [(first, last)]}."""
    part = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    still = np.ones((1, *clip, model.input.shape[-1]), "float32")
    before = {name: np.asarray(y)[0] for name, y in part(still).items()}
    changed = {name: [] for name in names}
    for place in range(clip[axis]):
        x = still.copy()
        np.moveaxis(x, axis + 1, 0)[place] += 1e20
        for name, y in part(x).items():
            differs = np.abs(np.asarray(y)[0] - before[name]) > 1e-6 * before[name]
            changed[name].append(np.moveaxis(differs, axis, 0).reshape(differs.shape[axis], -1).any(1))
    ends = {name: [np.flatnonzero(each)[[0, -1]] for each in np.transpose(rows)] for name, rows in changed.items()}
    return {name: [(int(first), int(last)) for first, last in each] for name, each in ends.items()}


def expected(field, axis, positions, size):
    """What `measured` gives of a layer of this field: the part of each position's field that is in the clip."""
    if field.size[axis] is None:
        return [(0, size - 1)] * positions
    starts = [field.start[axis] + place * field.stride[axis] for place in range(positions)]
    return [(max(start, 0), min(start + field.size[axis], size) - 1) for start in starts]


def odd_network():
    """A network of no family: every kind of window, padding and branch."""
    inputs = keras.Input(ANY)
    x = layers.Conv3D(2, (3, 1, 4), (2, 1, 3), padding="same", name="same")(inputs)
    x = layers.ZeroPadding3D(((1, 0), (0, 2), (1, 1)), name="zeros")(x)
    x = layers.AveragePooling3D((2, 3, 2), (1, 2, 1), name="pool")(x)
    wider = layers.Conv3D(2, (3, 3, 1), padding="same", name="wider")(x)
    x = layers.Concatenate(name="joined")([x, wider])
    x = x[:, 1::2, :-1]
    x = layers.Cropping3D(((0, 0), (0, 0), (1, 0)), name="cropped")(x)
    x = blocks.SpaceToDepth3D(name="deep")(x)
    x = blocks.HeadPool(2, 2, name="head")(x)
    return keras.Model(inputs, x)


def gated_network():
    """A residual block, a gate on the axes of space, a recurrent layer over time."""
    inputs = keras.Input((None, 8, 8, 3))
    x = layers.Conv3D(2, (3, 3, 3), (1, 2, 2), padding="same", name="first")(inputs)
    y = layers.Conv3D(2, (1, 3, 3), padding="same", name="second")(x)
    x = layers.Add(name="residual")([x, y])
    gate = ops.mean(x, axis=(2, 3), keepdims=True)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.GlobalAveragePooling3D(keepdims=True, name="pooled")(x) + x
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("make", "names", "clip"),
    [
        (odd_network, ("same", "pool", "wider", "joined", "cropped", "deep", "head"), (19, 17, 22)),
        (odd_network, ("same", "pool", "wider", "joined", "cropped", "deep", "head"), (22, 20, 25)),
        (gated_network, ("first", "residual", "gated", "pooled"), (11, 8, 8)),
    ],
)
def test_a_network_shows_what_its_fields_say(make, names, clip):
    model = positive(make())
    fields = of_layers(model, clip)
    for axis in range(3):
        for name, found in measured(model, names, clip, axis).items():
            assert found == expected(fields[name], axis, len(found), clip[axis]), (name, axis)


def test_holes_count_as_seen():
    inputs = keras.Input((9, 9, 9, 3))
    x = layers.Conv3D(2, 3, padding="same", dilation_rate=(2, 1, 1), name="dilated")(inputs)
    fields = of_layers(keras.Model(inputs, layers.MaxPool3D(1, 4, name="sparse")(x)))
    assert fields["sparse"] == ReceptiveField((5, 3, 3), (4, 4, 4), (-2, -1, -1))


def test_a_recurrent_layer_sees_every_step_before_it():
    inputs = keras.Input((8, 32, 32, 3))
    x = layers.Conv3D(4, (1, 3, 3), (1, 2, 2), padding="same", name="frames")(inputs)
    x = layers.Reshape((8, 4), name="vectors")(layers.AveragePooling3D((1, 16, 16), name="pool")(x))
    x = layers.LSTM(4, return_sequences=True, name="steps")(x)
    fields = of_layers(keras.Model(inputs, layers.LSTM(4, name="last")(x)))
    assert fields["vectors"].size == (1, 33, 33)
    assert fields["steps"] == ReceptiveField((None, 33, 33), (1, 32, 32), (None, 0, 0))
    assert fields["last"].size == (None, 33, 33)


def test_of_a_model_inside_a_model():
    inner = odd_network()
    inputs = keras.Input(ANY)
    outer = keras.Model(inputs, layers.Conv3D(2, 3, padding="same", name="last")(inner(inputs)))
    clip = (22, 20, 25)
    size, stride, start = (getattr(of_layers(inner, clip)["head"], name) for name in ("size", "stride", "start"))
    last = of_layers(outer, clip)["last"]
    assert last.size == tuple(s + 2 * j for s, j in zip(size, stride))
    assert last.start == tuple(o - j for o, j in zip(start, stride))


def test_what_is_not_known_is_refused():
    inputs = keras.Input((8, 32, 32, 3))
    model = keras.Model(inputs, layers.UpSampling3D(name="larger")(inputs))
    with pytest.raises(ValueError, match="Received: larger, a UpSampling3D. Add its class"):
        of_layers(model)
    one = layers.Conv3D(3, 1, 2, name="one")(inputs)
    model = keras.Model(inputs, layers.Add()([one[:, :2, :1, :1], layers.MaxPool3D(1, 4)(inputs)[:, :, :1, :1]]))
    with pytest.raises(ValueError, match="Branches that join have the same stride"):
        of_layers(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", tiny.short_rows())
def test_a_short_network_shows_what_its_fields_say(name):
    """Of every network, cut short and narrow, along time."""
    row = tiny.short_rows()[name]
    stream = next(iter(row.clips))
    clip = (row.min_frames + 6 * row.step + 1, row.min_size, row.min_size)
    shape = (*clip, INPUT_CHANNELS[stream])
    model = positive(row.build(input_shape=shape, stream=stream, depth_multiplier=0.05, classes=2))
    fields = {each: field for each, field in of_layers(model).items() if field.size[0] is not None}
    names = [each for each in row.endpoints if each in fields]
    for each, found in measured(model, names, clip, 0).items():
        field = fields[each]
        for place, (first, last) in enumerate(found):
            start = field.start[0] + place * field.stride[0]
            if start >= 0 and start + field.size[0] <= clip[0]:
                assert (first, last) == (start, start + field.size[0] - 1), each
            else:  # at an end of the clip may be a hole, where a stride is above its window
                assert start <= first <= last < start + field.size[0], each
