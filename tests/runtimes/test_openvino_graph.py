"""OpenVINO: the graph that it is given, the shapes that it keeps, and what is said where it cannot run."""

import sys

import keras
import numpy as np
import pytest
from made import tiny

from keras_i3d import optimize, precision, runtimes
from keras_i3d.models import blocks, recurrent
from keras_i3d.runtimes import openvino_graph


def test_a_missing_package_is_said_with_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"not installed. Run: pip install 'keras-i3d\[openvino\]'"):
        runtimes.compile_for(keras.Model(x := keras.Input((2, 2, 2, 3)), keras.layers.Conv3D(1, 1)(x)), "openvino")


def test_an_openvino_that_is_broken_is_not_taken_where_nobody_asked_for_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it raises
    monkeypatch.setattr(openvino_graph, "is_installed", lambda module: True)
    openvino_graph._can_be_imported.cache_clear()
    model = keras.Model(x := keras.Input((1, 2, 2, 3)), keras.layers.Conv3D(1, 1)(x))
    assert runtimes.compile_for(model, "auto").predict_on_batch(np.zeros((1, 1, 2, 2, 3))).shape == (1, 1, 2, 2, 1)
    openvino_graph._can_be_imported.cache_clear()
    assert "OpenVINO is installed and cannot be imported (" in capsys.readouterr().err


def test_clips_that_keras_refuses_are_refused():
    pytest.importorskip("openvino", reason="needs openvino")
    x = keras.Input((None, None, None, 3))
    model = keras.Model(x, keras.layers.Conv3D(1, 1)(blocks.ClipCheck(9, 32)(x)), name="net")
    compiled = runtimes.compile_for(model, "openvino")
    for shape, line in (
        ((1, 8, 32, 32, 3), "at least 9 frames; received 8"),
        ((1, 9, 31, 32, 3), "at least 32 pixels; received height 31"),
        ((1, 9, 32, 32, 2), r"net takes clips of the shape \(None, None, None, None, 3\). Received: .* 2\)"),
        ((9, 32, 32, 3), r"net takes clips of the shape .*Received: \(9, 32, 32, 3\)"),
    ):
        with pytest.raises(ValueError, match=line):
            compiled.predict_on_batch(np.zeros(shape, "float32"))
    assert compiled.predict_on_batch(np.zeros((2, 9, 32, 32, 3), "float32")).shape == (2, 9, 32, 32, 1)


def test_a_network_that_goes_step_by_step_has_a_graph_for_each_number_of_steps():
    pytest.importorskip("openvino", reason="needs openvino")
    keras.utils.set_random_seed(0)
    x = keras.Input((None, 3))
    model = keras.Model(x, recurrent.BatchNormLSTM(4)(x), name="steps")
    compiled = runtimes.compile_for(model, "openvino")
    clip = np.random.default_rng(0).normal(size=(2, 3, 3)).astype("float32")
    np.testing.assert_allclose(compiled.predict_on_batch(clip), model(clip, training=False), atol=1e-5)


def test_a_head_in_float32_keeps_its_digits():
    pytest.importorskip("openvino", reason="needs openvino")
    keras.utils.set_random_seed(0)
    x = keras.Input((1, 4, 4, 3))
    with precision.policy("mixed_bfloat16"):
        body = keras.layers.Conv3D(8, 1, name="body")(x)
    model = keras.Model(x, keras.layers.Conv3D(400, 1, dtype="float32", name="head")(body))
    clip = np.random.default_rng(0).normal(size=(1, 1, 4, 4, 3)).astype("float32")
    found = runtimes.compile_for(model, "openvino").predict_on_batch(clip)
    np.testing.assert_allclose(found, model(clip, training=False), atol=0.1)
    assert len(np.unique(found)) > 0.99 * found.size  # rounded to bfloat16, a tenth of them would be


@pytest.mark.slow
def test_bfloat16_is_the_rearranged_graph_with_weights_in_float32(monkeypatch):
    pytest.importorskip("openvino", reason="needs openvino")
    monkeypatch.setattr(openvino_graph, "SHAPES", 1)
    tiny.shorten(monkeypatch)
    keras.utils.set_random_seed(0)
    settings = {"input_shape": (None, None, None, 3), "classes": 5, "depth_multiplier": 0.125}
    exact = tiny.i3d(**settings)
    with precision.policy("mixed_bfloat16"):
        model = tiny.i3d(**settings)
    model.set_weights(exact.get_weights())
    exact, model = (keras.Model(m.input, m.get_layer("Logits").output) for m in (exact, model))
    copy = optimize.optimize_for_inference(model, "float32")
    assert {weight.dtype for weight in copy.weights} == {"float32"}
    if not keras.distribution.list_devices("gpu"):
        assert copy.get_layer("Conv3d_1a_7x7").kernel.shape[:4] == (4, 4, 4, 24)
    runtime = openvino_graph.OpenVINO(model)
    for frames in (9, 12, 9):  # each compiled anew: one shape stays
        x = np.random.default_rng(0).uniform(-1, 1, (1, frames, 32, 32, 3)).astype("float32")
        wanted, found = np.asarray(exact(x, training=False)), runtime.predict_on_batch(x)
        assert np.linalg.norm(np.asarray(copy(x)) - wanted) < 1e-5 * np.linalg.norm(wanted)
        assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted)


def test_what_has_several_inputs_is_refused():
    pytest.importorskip("openvino", reason="needs openvino")
    one, two = keras.Input((2, 2, 2, 3)), keras.Input((2, 2, 2, 3))
    with pytest.raises(TypeError, match="one input and one output. Received: pair, with 2 and 1"):
        openvino_graph.graph(keras.Model([one, two], keras.layers.Add()([one, two]), name="pair"))
