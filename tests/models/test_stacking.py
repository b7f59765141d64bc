"""The layers of stacks, against NumPy's of `flow.stacks`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_i3d import flow
from keras_i3d.models.stacking import FlowStacks, MeanOfHeads, StackFrames
from keras_i3d.specs import FLOW_BOUND

FIELDS = 4


@pytest.fixture(scope="module")
def fields():
    """Smooth fields of up to some 3 pixels, (2, 7, 9, 11, 2) in [-1, 1]: random ones would make paths chaotic."""
    draw = np.random.RandomState(0)
    small = draw.uniform(-0.15, 0.15, (14, 3, 4, 2))
    return tf.image.resize(small, (9, 11)).numpy().reshape(2, 7, 9, 11, 2)


def stacked(fields, **settings):
    """All stacks of clips in [-1, 1], by NumPy: (B, N, H, W, 2 FIELDS)."""

    def one(clip):
        pixels = clip * np.float32(FLOW_BOUND)
        if settings.get("subtract_mean"):
            pixels = flow.subtract_mean(pixels)
        made = flow.stack_along_trajectories if settings.get("trajectories") else flow.stack
        return made(pixels) / FLOW_BOUND

    return np.stack([[one(clip[n : n + FIELDS]) for n in range(len(clip) - FIELDS + 1)] for clip in fields])


@pytest.mark.parametrize("settings", [{}, {"subtract_mean": True}, {"trajectories": True}], ids=str)
def test_stacks_are_those_of_numpy(fields, settings):
    layer = FlowStacks(FIELDS, **settings)
    wanted = stacked(fields, **settings)
    np.testing.assert_allclose(layer(fields), wanted, atol=1e-5)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, None, 2))])
    np.testing.assert_allclose(traced(fields), wanted, atol=1e-5)
    assert layer.compute_output_shape((None, None, 9, 11, 2)) == (None, None, 9, 11, 2 * FIELDS)
    assert FlowStacks.from_config(layer.get_config()).get_config() == layer.get_config()


def test_paths_follow_the_whole_field_where_its_mean_is_subtracted(fields):
    """What is read loses its mean; where it is read does not depend on it."""
    found = FlowStacks(FIELDS, trajectories=True, subtract_mean=True)(fields)[:, 0]
    paths = FlowStacks(FIELDS, trajectories=True)(fields)[:, 0]
    means = fields[:, :FIELDS].mean(axis=(2, 3))  # (B, FIELDS, 2)
    wanted = paths - np.concatenate([means[..., 0], means[..., 1]], axis=-1)[:, None, None]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_pairs_are_the_planes_in_another_order(fields):
    planes = np.asarray(FlowStacks(FIELDS)(fields))
    pairs = np.asarray(FlowStacks(FIELDS, order="pairs")(fields))
    np.testing.assert_array_equal(pairs[..., 0::2], planes[..., :FIELDS])
    np.testing.assert_array_equal(pairs[..., 1::2], planes[..., FIELDS:])


def test_apart_and_next_to_frames():
    """A clip of both: stacks of its last two channels, and of each the frame in its middle."""
    clip = np.random.RandomState(1).uniform(-1, 1, (1, 11, 3, 4, 5)).astype("float32")
    each = np.asarray(FlowStacks(FIELDS)(clip))
    apart = FlowStacks(FIELDS, stride=3)
    assert apart.compute_output_shape(clip.shape) == (1, 3, 3, 4, 2 * FIELDS)
    np.testing.assert_array_equal(apart(clip), each[:, ::3])
    np.testing.assert_array_equal(each[0, 2], flow.stack(clip[0, 2 : 2 + FIELDS, ..., 3:]))
    np.testing.assert_array_equal(StackFrames(FIELDS, stride=3)(clip), clip[:, 2::3, ..., :3][:, :3])
    np.testing.assert_array_equal(StackFrames(FIELDS)(clip), clip[:, 2:10, ..., :3])


def test_bidirectional_fields_are_a_clip_of_one_stack():
    frames = np.random.RandomState(2).randint(0, 255, (FIELDS + 1, 32, 32), dtype="uint8")
    fields = flow.bidirectional(frames, FIELDS)
    found = FlowStacks(FIELDS)(fields[None] / np.float32(FLOW_BOUND))
    np.testing.assert_allclose(found[0, 0], flow.stack(fields) / FLOW_BOUND, atol=1e-6)
    with pytest.raises(ValueError, match=r"no fields back in time.*flow\.bidirectional"):
        FlowStacks(FIELDS, order="bidirectional")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"fields": 0}, "at least 1"), ({"fields": 2.5}, "at least 1"), ({"order": "rows"}, "'planes', 'pairs'")],
)
def test_bad_stacks(settings, message):
    with pytest.raises(ValueError, match=message):
        FlowStacks(**settings)


def test_the_mean_of_heads():
    x = np.random.RandomState(3).normal(size=(2, 3, 1, 1, 8)).astype("float32")
    layer = MeanOfHeads(5)
    layer(x)
    values = [np.random.RandomState(i).normal(size=weight.shape) for i, weight in enumerate(layer.weights)]
    layer.set_weights(values)
    heads = [
        x[..., half] @ values[0][0, 0, 0, half] + bias
        for half, bias in ((slice(4), values[1]), (slice(4, 8), values[2]))
    ]
    np.testing.assert_allclose(layer(x), (heads[0] + heads[1]) / 2, rtol=1e-5, atol=1e-6)
    again = MeanOfHeads.from_config(
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).get_config()
    )
    assert (again.classes, again.name) == (5, layer.name)
