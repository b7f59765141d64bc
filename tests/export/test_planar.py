"""Networks in two dimensions: the same answers, layer by layer and whole."""

import keras
import numpy as np
import pytest
from made import tiny

from keras_i3d.export.planar import planar, sized
from keras_i3d.models import blocks, families
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.specs import INPUT_CHANNELS


def both(layer, shape):
    """(what a layer makes of a clip, what its planar form does)."""
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layer(inputs))
    made = planar(model, shape)
    assert not any(isinstance(each, keras.layers.Conv3D | keras.layers.MaxPooling3D) for each in made.layers)
    return model.predict_on_batch(x), np.asarray(made(x))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "strides"),
    [((3, 3, 3), (1, 1, 1)), ((7, 5, 5), (2, 2, 2)), ((3, 1, 1), (2, 1, 1)), ((1, 3, 3), (1, 2, 2))]
    + [((1, 1, 1), (2, 2, 2)), ((2, 1, 1), (1, 1, 1)), ((3, 1, 1), (1, 2, 2))],
)
def test_a_convolution(kernel, strides, padding):
    layer = keras.layers.Conv3D(4, kernel, strides, padding=padding, bias_initializer="ones", activation="relu")
    wanted, found = both(layer, (2, 10, 9, 8, 3))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("window", "strides"), [((3, 3, 3), (1, 1, 1)), ((2, 2, 2), (2, 2, 2)), ((1, 3, 3), (1, 2, 2)), ((2, 1, 1), 2)]
)
def test_a_pool_is_exact(window, strides, padding):
    wanted, found = both(keras.layers.MaxPooling3D(window, strides, padding), (2, 9, 8, 7, 3))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow  # each network of the family, cut short
@pytest.mark.parametrize("name", list(families.FAMILIES))
def test_a_network(name):
    row = tiny.short_rows()[name]
    channels = INPUT_CHANNELS[next(iter(row.clips))]
    keras.utils.set_random_seed(0)
    model = row.build(input_shape=(None, None, None, channels), classes=5, depth_multiplier=0.125)
    fast = optimize_for_inference(keras.Model(model.input, model.get_layer(row.logits).output), "float32")
    size = max(row.min_size, 40)
    x = np.random.default_rng(0).uniform(-1, 1, (1, max(row.min_frames, 10), size, size, channels)).astype("float32")
    wanted, found = np.asarray(fast(x)), np.asarray(planar(fast, x.shape)(x))
    assert np.linalg.norm(found - wanted) <= 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize(("window", "steps", "size"), [(7, 2, (9, 8)), (7, 2, (3, 7)), (None, 1, (4, 5))])
def test_the_heads_average(window, steps, size):
    shape = (2, 5, *size, 3)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, blocks.HeadPool(window, steps)(inputs))
    made = sized(model, (None, *shape[1:]))
    assert not any(isinstance(layer, blocks.HeadPool) for layer in made.layers)
    wanted, found = (each.predict_on_batch(x) for each in (model, made))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-6)
