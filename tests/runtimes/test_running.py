"""What runs a network: which one is chosen, and that the answers are the model's."""

import sys

import keras
import numpy as np
import pytest
from made import tiny

import keras_i3d
from keras_i3d import runtimes
from keras_i3d.precision import policy


def build(**settings):
    """I3D cut short, at an eighth of its width, up to its logits."""
    keras.utils.set_random_seed(0)
    model = tiny.i3d(input_shape=(None, None, None, 3), classes=5, depth_multiplier=0.125, **settings)
    return keras.Model(model.input, model.get_layer("Logits").output, name="i3d")


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield build()


def clips(frames, size=32, batch=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, frames, size, size, 3)).astype("float32")


def apart(found, expected):
    """Relative L2."""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_a_compiled_model_answers_as_the_model_at_every_length(model, runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs openvino")
    compiled = keras_i3d.compile_for(model, runtime)
    for frames, batch in ((9, 1), (16, 2), (17, 1)):
        x = clips(frames, batch=batch)
        found = compiled.predict_on_batch(x)
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float32
        assert apart(found, np.asarray(model(x, training=False))) < 1e-5


def test_which_runtime_is_taken_where_nobody_says(model, monkeypatch):
    assert runtimes.chosen(None) == "tensorflow"  # what the tests' environment says
    monkeypatch.delenv("KERAS_I3D_RUNTIME")
    assert runtimes.chosen(None) == "auto"
    assert runtimes.chosen("openvino") == "openvino"
    for wrong in ("tensorrt", ""):
        with pytest.raises(ValueError, match=f"runtime must be one of 'auto', .*Received: runtime='{wrong}'"):
            keras_i3d.compile_for(model, wrong)


def test_what_cannot_be_taken_is_said_before_any_work(monkeypatch):
    monkeypatch.setenv("KERAS_I3D_RUNTIME", "tensorrt")
    with pytest.raises(
        ValueError, match="KERAS_I3D_RUNTIME must be one of auto, tensorflow, openvino. Received: .*rt$"
    ):
        runtimes.chosen(None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"Run: pip install 'keras-i3d\[openvino\]'"):
        keras_i3d.Classifier("no weights", runtime="openvino")
    inputs = [keras.Input((2,), name=name) for name in ("rgb", "flow")]
    two = keras.Model(inputs, keras.layers.Add()(inputs), name="two")
    for runtime in runtimes.RUNTIMES[:2]:
        with pytest.raises(TypeError, match="one input and one output. Received: two, with 2 and 1"):
            keras_i3d.compile_for(two, runtime)


def test_float16_is_no_precision_of_openvino(model):
    pytest.importorskip("openvino", reason="needs openvino")
    with policy("mixed_float16"):
        half = keras.Sequential([keras.Input((1, 8, 8, 3)), keras.layers.Conv3D(2, 1)])
    half = keras.Model(half.inputs[0], half.outputs[0], name="half")
    with pytest.raises(ValueError, match="float32 or bfloat16 here. Received: half in float16"):
        keras_i3d.compile_for(half, "openvino")
    assert keras_i3d.compile_for(half, "auto").predict_on_batch(np.zeros((1, 1, 8, 8, 3), "float32")).shape[-1] == 2


def test_each_verb_refuses_what_is_no_runtime_before_anything_else(tmp_path):
    for verb in (
        lambda **settings: keras_i3d.Classifier("rgb", **settings),
        lambda **settings: keras_i3d.evaluation.evaluate(tmp_path / "none", rgb="none", **settings),
        lambda **settings: keras_i3d.features.Extractor(**settings),
    ):
        with pytest.raises(ValueError, match="runtime must be one of"):
            verb(runtime="tensorrt")
