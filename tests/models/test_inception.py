"""The I3D graph: sizes, names, counts, and what it computes, against DeepMind's."""

import functools

import keras
import numpy as np
import pytest
from made import synthetic

from keras_i3d.models import families
from keras_i3d.models.inception import HEAD, inception_i3d
from keras_i3d.precision import policy
from keras_i3d.weights import by_name
from keras_i3d.weights.originals import deepmind

I3D = families.find("I3D")

ANY = (None, None, None)


@functools.lru_cache
def built(stream="rgb", classes=400):
    """A full-size model for tests that do not ask what its weights are."""
    return inception_i3d(stream=stream, classes=classes)


@pytest.fixture(scope="module")
def small():
    """A narrow model that takes any size."""
    keras.utils.set_random_seed(3)
    return inception_i3d(input_shape=(*ANY, 3), classes=7, depth_multiplier=0.1)


@pytest.mark.parametrize(
    ("stream", "classes", "trainable", "total"),
    [
        ("rgb", 400, 12_689_984, 12_704_544),
        ("flow", 400, 12_668_032, 12_682_592),
        ("rgb", 600, 12_894_984, 12_909_544),
        ("flow", 600, 12_873_032, 12_887_592),
    ],
)
def test_parameter_counts_are_the_checkpoints(stream, classes, trainable, total):
    model = built(stream, classes)
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == trainable
    assert model.count_params() == total


def test_endpoints_are_layers_of_the_published_sizes():
    model = inception_i3d(input_shape=(64, 224, 224, 3))
    sizes = {name: tuple(model.get_layer(name).output.shape[1:]) for name in I3D.endpoints}
    assert list(sizes.values()) == [
        (32, 112, 112, 64),
        (32, 56, 56, 64),
        (32, 56, 56, 64),
        (32, 56, 56, 192),
        (32, 28, 28, 192),
        (32, 28, 28, 256),
        (32, 28, 28, 480),
        (16, 14, 14, 480),
        (16, 14, 14, 512),
        (16, 14, 14, 512),
        (16, 14, 14, 512),
        (16, 14, 14, 528),
        (16, 14, 14, 832),
        (8, 7, 7, 832),
        (8, 7, 7, 832),
        (8, 7, 7, 1024),
        (400,),
        (400,),
    ]
    assert model.get_layer("Logits_AvgPool3d_0a_7x7").output.shape[1:] == (7, 1, 1, 1024)


def test_settings_of_the_original():
    model = built("rgb", 400)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 57
    assert {(n.momentum, n.epsilon, n.scale, n.center) for n in norms} == {(0.999, 1e-3, False, True)}
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv3D)]
    assert [c.name for c in convolutions if c.use_bias] == [HEAD]
    assert {c.padding for c in convolutions if c.name != HEAD} == {"same"}


def test_initial_values_of_the_original():
    kernel = inception_i3d().get_layer("Conv3d_2c_3x3_conv_3d").get_weights()[0]
    stddev = 1 / np.sqrt(27 * 64)
    assert abs(kernel).max() <= 2 * stddev
    # a normal truncated at two standard deviations keeps 0.8796 of its spread
    assert kernel.std() == pytest.approx(0.8796 * stddev, rel=0.01)


@pytest.mark.parametrize("name", ["rgb_t16", "flow_t12", "kin600_t9"])
def test_every_endpoint_is_deepminds(name, goldens, checkpoints):
    case = goldens[name]
    stream = "rgb" if case["channels"] == 3 else "flow"
    model = built(stream, case["num_classes"])
    by_name.assign(model, deepmind.read_sonnet(checkpoints[name]), name)
    endpoints = keras.Model(model.input, {e: model.get_layer(e).output for e in case["endpoints"]})
    values = endpoints(
        synthetic.clip((1, case["frames"], 224, 224, case["channels"]), case["clip_seed"]), training=False
    )
    for endpoint, golden in case["endpoints"].items():
        value = np.float64(values[endpoint])
        assert list(value.shape) == golden["shape"], endpoint
        assert np.linalg.norm(value) == pytest.approx(golden["l2"], rel=1e-5), endpoint
        middle = value.ravel()[value.size // 2 :][:8]
        np.testing.assert_allclose(middle, golden["centre"], rtol=1e-4, atol=1e-4, err_msg=endpoint)
    assert relative(values["Logits"][0], case["logits"]) < 1e-5


def test_head_averages_every_position_of_a_larger_map(small):
    """On an 8 x 9 map, the 7 x 7 windows at stride 1 have 2 x 3 positions, and the logits are their mean."""
    clip = synthetic.clip((1, 9, 256, 260, 3), 5)
    parts = keras.Model(small.input, [small.get_layer(name).output for name in ("Mixed_5c", "Logits")])
    features, found = map(np.asarray, parts(clip, training=False))
    assert features.shape[1:4] == (2, 8, 9)
    kernel, bias = small.get_layer(HEAD).get_weights()
    pairs = (features[0, :-1] + features[0, 1:]) / 2
    windows = [pairs[:, y : y + 7, x : x + 7].mean(axis=(1, 2)) for y in range(2) for x in range(3)]
    np.testing.assert_allclose(found[0], np.mean(windows, axis=(0, 1)) @ kernel[0, 0, 0] + bias, rtol=1e-4)


def test_logits_come_before_softmax(small):
    clip = synthetic.clip((2, 9, 32, 32, 3), 5)
    raw = inception_i3d(input_shape=(*ANY, 3), classes=7, depth_multiplier=0.1, classifier_activation=None)
    raw.set_weights(small.get_weights())
    values = outputs(raw, clip)
    np.testing.assert_allclose(values, logits(small, clip), rtol=1e-6)
    softmax = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs(small, clip), softmax, rtol=1e-5)


@pytest.mark.parametrize(("pooling", "shape"), [(None, (1, 2, 2, 2, 102)), ("avg", (1, 102)), ("max", (1, 102))])
def test_without_top(pooling, shape, small):
    model = inception_i3d(False, (*ANY, 3), pooling=pooling, depth_multiplier=0.1)
    by_name.assign(model, by_name.layer_weights(small), "small", skip={HEAD})
    clip = synthetic.clip((1, 9, 64, 64, 3), 5)
    value = outputs(model, clip)
    features = outputs(keras.Model(small.input, small.get_layer("Mixed_5c").output), clip)
    expected = {None: features, "avg": features.mean(axis=(1, 2, 3)), "max": features.max(axis=(1, 2, 3))}[pooling]
    assert value.shape == shape
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_dropout_acts_in_training_only():
    model = inception_i3d(input_shape=(9, 32, 32, 3), classes=7, depth_multiplier=0.1, dropout=0.5)
    clip = synthetic.clip((1, 9, 32, 32, 3), 5)
    still = np.asarray(model(clip, training=False))
    np.testing.assert_array_equal(still, model(clip, training=False))
    head = keras.Model(model.get_layer("Mixed_5c").output, model.output)
    features = np.random.RandomState(0).rand(1, 2, 1, 1, 102).astype("float32")
    assert not np.array_equal(head(features, training=True), head(features, training=True))


def test_bn_momentum_reaches_every_layer():
    model = inception_i3d(depth_multiplier=0.1, bn_momentum=0.9)
    assert {n.momentum for n in model.layers if isinstance(n, keras.layers.BatchNormalization)} == {0.9}


def outputs(model, clip):
    """What a model computes layer by layer: for a single call that is quicker than tracing a graph."""
    return np.asarray(model(clip, training=False))


def logits(model, clip):
    return outputs(keras.Model(model.input, model.get_layer("Logits").output), clip)


def relative(value, reference):
    return np.linalg.norm(np.float64(value) - np.float64(reference)) / np.linalg.norm(np.float64(reference))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_under_another_floatx(dtype, small):
    """Positions are whole numbers under any floatx, and the input is float32 as it says."""
    clip = synthetic.clip((1, 10, 40, 48, 3), 1)
    with policy(dtype):
        keras.config.set_floatx("float16")
        try:
            model = inception_i3d(input_shape=(*ANY, 3), classes=7, depth_multiplier=0.1)
        finally:
            keras.config.set_floatx("float32")
    model.set_weights(small.get_weights())
    assert (model.input.dtype, model.output.dtype) == ("float32", "float32")
    keras.config.set_floatx("float16")
    try:
        scores = model(clip)
    finally:
        keras.config.set_floatx("float32")
    np.testing.assert_allclose(scores, small(clip), rtol=1e-6 if dtype == "float32" else 40 * 2**-12)
