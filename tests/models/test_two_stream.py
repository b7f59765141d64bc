"""Late fusion."""

import keras
import numpy as np
import pytest
from made import synthetic

import keras_i3d
from keras_i3d.errors import WeightsError
from keras_i3d.models.inception import inception_i3d
from keras_i3d.models.two_stream import fuse
from keras_i3d.weights import cache


@pytest.fixture(scope="module")
def streams():
    return {
        s: inception_i3d(input_shape=(None, 32, 32, c), stream=s, classes=6, depth_multiplier=0.1)
        for s, c in (("rgb", 3), ("flow", 2))
    }


@pytest.fixture(scope="module")
def clips():
    return {"rgb": synthetic.clip((2, 12, 32, 32, 3), 1), "flow": synthetic.clip((2, 11, 32, 32, 2), 2)}


def test_logits_are_summed_before_softmax(streams, clips):
    model = fuse(**streams)
    logits = sum(np.asarray(keras.Model(m.input, m.get_layer("Logits").output)(clips[s])) for s, m in streams.items())
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_on_batch(clips), softmax, rtol=1e-5)
    np.testing.assert_allclose(fuse(**streams, classifier_activation=None)(clips), logits, rtol=1e-5)


def test_streams_must_agree_on_classes(streams):
    other = inception_i3d(input_shape=(None, 32, 32, 2), stream="flow", classes=5, depth_multiplier=0.1)
    with pytest.raises(ValueError, match="rgb 6, flow 5"):
        fuse(streams["rgb"], other)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_saved_and_loaded_by_path(suffix, streams, tmp_path):
    settings = {"input_shape": (None, 32, 32), "depth_multiplier": 0.1}
    model = fuse(**streams)
    path = tmp_path / f"two{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    again = keras_i3d.TwoStreamI3D(weights=path, **settings)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_from_two_files(streams, tmp_path):
    paths = {stream: tmp_path / f"{stream}.weights.h5" for stream in streams}
    for stream, model in streams.items():
        model.save_weights(paths[stream])
    model = keras_i3d.TwoStreamI3D(weights=paths, input_shape=(None, 32, 32), depth_multiplier=0.1)
    for a, b in zip(model.get_weights(), fuse(**streams).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_licence_is_accepted_by_the_argument(monkeypatch):
    monkeypatch.setattr(cache, "published", lambda *_: pytest.fail("fetched"))
    settings = {"weights": {"rgb": "kinetics", "flow": None}, "rgb": "I3DResNet50-nonlocal"}
    with pytest.raises(WeightsError, match="Accept it by accept_licence=True, or by the env"):
        keras_i3d.TwoStreamI3D(**settings)
    with pytest.raises(pytest.fail.Exception, match="fetched"):
        keras_i3d.TwoStreamI3D(**settings, accept_licence="CC-BY-NC-4.0")


def test_published_weights(repository):
    model = keras_i3d.TwoStreamI3D()
    for stream in ("rgb", "flow"):
        alone = keras_i3d.I3D(stream=stream)
        for a, b in zip(alone.get_weights(), model.get_layer(f"{stream}_stream").get_weights()):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": {"rgb": None}}, "names both streams"),
        ({"weights": "kinetics600"}, "stream rgb only"),
        ({"weights": None, "input_shape": (16, 32, 32, 3)}, "without channels"),
        ({"weights": None, "rgb": "I4D"}, "near are .*I3D.* Received: 'I4D'"),
        ({"weights": "no/such.keras", "flow": ["I3D"]}, r"`keras-i3d models` lists. Received: \['I3D'\]"),
        (
            {"weights": None, "flow": "InceptionV1"},
            "^flow= names a network that takes the flow stream. Received: InceptionV1, which takes rgb. ",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_i3d.TwoStreamI3D(**arguments)


@pytest.mark.parametrize("ending", [".keras", pytest.param(".weights.h5", marks=pytest.mark.slow)])
def test_any_two_networks_saved_and_loaded_by_path(ending, tmp_path):
    settings = {"classes": 5, "depth_multiplier": 0.1, "input_shape": (16, 32, 32), "rgb": "R2Plus1D18", "flow": "S3D"}
    model = keras_i3d.TwoStreamI3D(weights=None, **settings)
    path = tmp_path / f"two{ending}"
    model.save(path) if ending == ".keras" else model.save_weights(path)
    again = keras_i3d.TwoStreamI3D(weights=path, **settings)
    clips = {"rgb": synthetic.clip((1, 16, 32, 32, 3), 1), "flow": synthetic.clip((1, 16, 32, 32, 2), 2)}
    np.testing.assert_array_equal(again(clips, training=False), model(clips, training=False))
    other = keras_i3d.TwoStreamI3D(weights=path, **{**settings, "classes": 7})
    assert other.output_shape == (None, 7)
