"""Weights: healthy, with a head that was never trained, statistics that never arrived, NaN, dead filters."""

import numpy as np
import pytest
from made import sick, small_runs, tiny

from keras_i3d import facts
from keras_i3d.checkup import network_state
from keras_i3d.facts import Facts
from keras_i3d.weights import h5_files


@pytest.fixture(scope="module", autouse=True)
def short():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield


@pytest.fixture
def model():
    made = small_runs.model("rgb")
    sick.arrive(made)
    return facts.note(made, Facts("rgb", classes=3, labels=small_runs.LABELS, depth_multiplier=0.01))


def examined(model):
    """Findings about a model."""
    return network_state.examine(model)[1]


def examined_file(model, path, stream=None):
    """The same of a file of it."""
    file = path / "a.weights.h5"
    h5_files.save_h5(model, file, **facts.of(model).record() if facts.of(model) else {"stream": "rgb"})
    return network_state.examine(str(file), stream)


def test_healthy_weights(model, tmp_path):
    network, found = examined_file(model, tmp_path)
    assert network.facts.classes == 3
    assert sick.wrong(found) == {}
    assert {finding.code for finding in found if finding.level != "fine"} == {"weights.clip"}
    assert "labels for 3 classes: left, right, up" in [finding.found for finding in found]


def test_another_stream_than_asked_for(model, tmp_path):
    _, found = examined_file(model, tmp_path, "flow")
    assert sick.wrong(found) == {"weights.stream": "fault"}
    assert "weights of the rgb stream (3 channels), asked for as flow" in sick.said(found, "weights.stream").found


def head_of(model):
    return next(layer for layer in model.layers if layer.name.startswith("Logits_Conv3d"))


def test_a_head_that_was_never_trained(model):
    kernel, bias = head_of(model).get_weights()
    head_of(model).set_weights([kernel, 0 * bias])
    assert sick.wrong(examined(model))["weights.head"] == "fault"


def test_statistics_that_never_arrived():
    fresh = facts.note(small_runs.model("rgb"), Facts("rgb", labels=small_runs.LABELS, depth_multiplier=0.01))
    found = examined(fresh)
    assert sick.wrong(found) == {"weights.batch_norm": "fault"}
    assert "--set=precise_bn=100" in sick.said(found, "weights.batch_norm").remedy


@pytest.mark.parametrize(
    ("mean", "variance", "level"), [(0.0, 1.0, "warning"), (0.01, 1.02, "warning"), (0.5, 2, "fine")]
)
def test_statistics_that_hardly_arrived(mean, variance, level, model):
    network, _ = network_state.load(model)
    for layer in network_state.norms(network)[: None if mean else 2]:
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, mean))
        layer.moving_variance.assign(np.full(layer.moving_variance.shape, variance))
    (found,) = network_state.batch_norms(network, None)
    assert found.level == level


def test_nan_and_dead_filters(model):
    first = model.get_layer("Conv3d_1a_7x7_conv_3d")
    (kernel,) = first.get_weights()
    kernel[..., 1] = 0
    first.set_weights([kernel])
    found = examined(model)
    assert sick.said(found, "weights.filters").found.startswith("1 of ")
    assert sick.said(found, "weights.filters").level == "note"
    kernel[0, 0, 0, 0, 0] = np.nan
    first.set_weights([kernel])
    assert sick.wrong(examined(model))["weights.finite"] == "fault"


def test_labels_that_are_missing(model):
    facts.note(model, Facts("rgb", classes=3, depth_multiplier=0.01))
    assert sick.said(examined(model), "weights.labels").level == "note"


def test_nothing_is_fetched(cache, monkeypatch):
    monkeypatch.setattr("keras_i3d.weights.download.fetch", lambda *_: pytest.fail("fetched"))
    network, (found,) = network_state.examine("kinetics", "flow")
    assert network is None
    assert (found.code, found.level) == ("weights.not_cached", "note")
    assert "flow_imagenet-1.weights.h5 is not there in the cache" in found.found
    assert not cache.exists()


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "a.weights.h5").write_bytes(b"nothing")
    _, (found,) = network_state.examine(str(tmp_path / "a.weights.h5"))
    assert (found.code, found.level) == ("weights.unreadable", "fault")
