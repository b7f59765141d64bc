"""A network as one graph of constants: its answers, what it refuses, what it consists of."""

import collections
import concurrent.futures

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import tiny

from keras_i3d import runtimes
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.precision import policy
from keras_i3d.runtimes import frozen_graph


def build(**settings):
    """I3D cut short, its batch norm as of a network that has seen data."""
    keras.utils.set_random_seed(0)
    model = tiny.i3d(input_shape=(None, 32, 32, 3), classes=5, depth_multiplier=0.125, **settings)
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw.uniform(0.3, 2, weight.shape) for weight in layer.weights])
    return model


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield build()


@pytest.fixture(scope="module")
def frozen(model):
    return frozen_graph.FrozenGraph(model)


def clips(frames, batch=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, frames, 32, 32, 3)).astype("float32")


def test_threads_get_what_the_model_gives_at_every_length(model, frozen):
    batches = [clips(frames, batch, seed) for seed, (frames, batch) in enumerate([(9, 1), (16, 2), (17, 1), (12, 3)])]
    expected = [np.asarray(model(x, training=False)) for x in batches]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(frozen.predict_on_batch, batches * 3))
    for got, wanted in zip(found, expected * 3):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)


def test_its_weights_are_constants_and_each_convolution_one_operation_with_its_bias_and_relu(model):
    graph, clip, answer = frozen_graph.graph(model)
    assert not [operation for operation in graph.get_operations() if "Var" in operation.type]
    with tf.compat.v1.Session(graph=graph, config=frozen_graph.settings()) as session:
        about = tf.compat.v1.RunMetadata()
        options = tf.compat.v1.RunOptions(output_partition_graphs=True)
        session.run(answer, {clip: clips(9)}, options=options, run_metadata=about)
    count = collections.Counter(node.op for graph in about.partition_graphs for node in graph.node)
    convolutions = sum(number for kind, number in count.items() if "Conv3D" in kind)
    if not convolutions:
        pytest.skip("this TensorFlow has other names for its convolutions")
    units = sum(isinstance(layer, keras.layers.Conv3D) for layer in model.layers)
    assert convolutions == units
    if any("Mkl" in kind for kind in count):  # without oneDNN nothing is fused
        assert sum(number for kind, number in count.items() if "FusedConv3D" in kind) == units
        assert not count["Relu"]


def test_a_batch_that_the_network_does_not_take_is_refused_in_its_words(frozen):
    with pytest.raises(ValueError, match="at least 9 frames; received 8"):
        frozen.predict_on_batch(clips(8))
    with pytest.raises(ValueError, match=r"takes \(None, None, 32, 32, 3\). Received: a batch of \(9, 32, 32, 3\)"):
        frozen.predict_on_batch(clips(9)[0])
    with pytest.raises(ValueError, match=r"Received: a batch of \(1, 9, 32, 32, 2\)"):
        frozen.predict_on_batch(clips(9)[..., :2])


def test_in_bfloat16_too(monkeypatch):
    tiny.shorten(monkeypatch)
    with policy("mixed_bfloat16"):
        model = build()
    found = frozen_graph.FrozenGraph(model).predict_on_batch(clips(12))
    expected = optimize_for_inference(model).predict_on_batch(clips(12))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_many_weights_stay_variables_and_a_line_says_so(model, monkeypatch, capsys):
    monkeypatch.setattr(frozen_graph, "LIMIT", 0)
    compiled = runtimes.compiled(model)
    assert not isinstance(compiled, frozen_graph.FrozenGraph)
    assert "stay variables" in capsys.readouterr().err
    np.testing.assert_allclose(
        compiled.predict_on_batch(clips(9)), np.asarray(model(clips(9), training=False)), rtol=1e-5, atol=1e-7
    )
