"""Files whose names and shapes are those of several networks: what is asked for is taken, and what is not is named."""

import numpy as np
import pytest
from made import tiny

import keras_i3d
from keras_i3d import builders, networks
from keras_i3d.models import families
from keras_i3d.weights import by_name

ROWS = tiny.short_rows()


@pytest.fixture(autouse=True)
def short(monkeypatch):
    tiny.shorten(monkeypatch)


def plain(name, path):
    """A network saved by Keras, which notes nothing in a `.weights.h5`."""
    row = families.find(name)
    model = builders.build(name, classes=5, depth_multiplier=0.1, stream=next(iter(row.clips)))
    model.save_weights(path)
    return model


@pytest.mark.parametrize(
    "name",
    ["S3D-kylemin", "I3DResNet50-mmaction2", "I3DResNet50-keras", "TwoStreamConvNet-pairs", "ConvNetLSTM-sonnet"],
)
def test_the_network_that_is_asked_for(name, tmp_path, capsys):
    path = tmp_path / "a.weights.h5"
    model = plain(name, path)
    row = families.find(name)
    again = getattr(keras_i3d, row.of)(weights=path, stream=next(iter(row.clips)), **row.options)
    assert families.of(again) is row
    np.testing.assert_equal(by_name.layer_weights(again), by_name.layer_weights(model))
    assert "too, by its layers" not in capsys.readouterr().err


def test_a_line_where_nobody_says(tmp_path, capsys):
    path = tmp_path / "a.weights.h5"
    plain("S3D-kylemin", path)
    assert networks.load(path).family.name == "S3D"
    assert "a.weights.h5 may be of S3D-kylemin too, by its layers; S3D is taken" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_two_streams_that_are_not_i3d(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    asked = {"input_shape": (16, 32, 32), "rgb": "S3D", "flow": "S3D"}
    model = keras_i3d.TwoStreamI3D(None, 5, depth_multiplier=0.1, **asked)
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    again = keras_i3d.TwoStreamI3D(path, **asked)
    np.testing.assert_equal(by_name.layer_weights(again), by_name.layer_weights(model))
