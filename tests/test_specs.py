"""What a clip is: scaling and its refusals."""

import numpy as np
import pytest

from keras_i3d import preprocess_input


def test_rgb_is_scaled_to_plus_minus_one():
    frames = np.array([[0, 127, 255], [51, 204, 128]], "uint8")
    scaled = preprocess_input(frames)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, frames / 127.5 - 1, atol=1e-6)


def test_flow_is_clamped_and_scaled():
    field = np.array([[-30, -20], [0, 5], [20, 100]], "float32")
    np.testing.assert_allclose(preprocess_input(field, "flow"), [[-1, -1], [0, 0.25], [1, 1]])


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_tensors_give_what_arrays_give(stream):
    import tensorflow as tf

    values = np.random.RandomState(0).uniform(0, 40, (2, 4, 3 if stream == "rgb" else 2)).astype("float32")
    traced = tf.function(lambda x: preprocess_input(x, stream))
    np.testing.assert_allclose(traced(values), preprocess_input(values, stream), atol=1e-6)


@pytest.mark.parametrize(
    ("values", "stream", "message"),
    [
        (np.zeros((4, 2)), "rgb", "3 channels"),
        (np.zeros((4, 3)), "flow", "2 channels"),
        (np.array([[-0.5, 0.2, 0.9]]), "rgb", r"\[0, 255\] before scaling"),
        (np.array([[0.5, 0.2, 0.9]]), "rgb", r"\[0, 255\] before scaling"),
        (np.array([[0, 0, 256.0]]), "rgb", "maximum 256"),
        (np.array([[0, np.nan, 1.0]]), "rgb", "finite"),
        (np.array([[np.inf, 0]]), "flow", "finite"),
        (np.zeros((4, 2), "uint8"), "flow", "Decode quantised flow"),
        (np.zeros((4, 3)), "depth", '"rgb" or "flow"'),
    ],
)
def test_refusals(values, stream, message):
    with pytest.raises(ValueError, match=message):
        preprocess_input(values, stream)
