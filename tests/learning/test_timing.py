"""What is trained, and what the machine makes of it."""

import pytest
from made import films, tiny

from keras_i3d.errors import WeightsUnreachableError
from keras_i3d.learning import timing
from keras_i3d.learning.choices import Asked
from keras_i3d.learning.surveying import Part, Survey
from keras_i3d.training import step_memory


@pytest.mark.parametrize(
    ("asked", "family", "streams"),
    [
        ({}, "I3D", ("rgb", "flow")),
        ({"stream": "both"}, "I3D", ("rgb", "flow")),
        ({"stream": "flow", "weights": None}, "I3D", ("flow",)),
        ({"weights": "kinetics600"}, "I3D", ("rgb",)),
        ({"weights": "imagenet"}, "I3D", ("rgb", "flow")),
        ({"model": "S3D"}, "S3D", ("rgb",)),
        ({"weights": "S3D:kinetics"}, "S3D", ("rgb",)),
        ({"model": "S3D", "weights": None}, "S3D", ("rgb", "flow")),
        ({"model": "FusedTwoStream", "weights": None, "stream": "both"}, "FusedTwoStream", ("both",)),
        ({"model": "C3D", "weights": None}, "C3D", ("rgb",)),
    ],
)
def test_streams(asked, family, streams):
    found = timing.streams(Asked("v", **asked))
    assert found[:2] == (family, streams)
    assert found[2]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"weights": "kinetics600", "stream": "both"}, "kinetics600 are of the stream rgb. Received: stream=both"),
        ({"model": "C3D", "stream": "flow", "weights": None}, "C3D takes the stream rgb. Received: stream='flow'"),
        ({"model": "TopHeavyI3D"}, "TopHeavyI3D has no weights"),
        ({"model": "I4D"}, "A network is one of"),
        ({"weights": "nowhere.h5"}, "Unknown weights 'nowhere.h5'"),
    ],
)
def test_streams_that_are_not_there(asked, message):
    with pytest.raises(ValueError, match=message):
        timing.streams(Asked("v", **asked))


def test_the_width_of_weights(tmp_path, monkeypatch):
    tiny.shorten(monkeypatch)
    assert timing.width_of_weights(Asked("v")) == timing.width_of_weights(Asked("v", weights=None)) == 1.0
    tiny.i3d(input_shape=(9, 32, 32, 3), classes=3, depth_multiplier=0.125).save(tmp_path / "a.keras")
    assert timing.width_of_weights(Asked("v", weights=str(tmp_path / "a.keras"))) == 0.125


def test_weights_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path))
    with pytest.raises(WeightsUnreachableError, match=r"The mirror folder .*--weights=none starts without any"):
        timing.fetch(Asked("v"), "I3D", ("rgb", "flow"))
    timing.fetch(Asked("v", weights=None), "I3D", ("rgb", "flow"))


def test_the_network_and_the_machine(tmp_path, monkeypatch):
    tiny.shorten(monkeypatch)
    monkeypatch.setattr(timing, "STEPS", 1)
    monkeypatch.setattr(timing, "CLIPS", {False: (4, 9, 32), True: (4, 9, 32)})
    asked, width = Asked("v", weights=None), 0.125
    network = timing.network(asked, "I3D", ("rgb", "flow"), width, "modern-scratch")
    whole = timing.network(asked, "I3D", ("rgb",), 0.25, "modern-scratch")
    assert 2 < whole.multiply_adds / network.multiply_adds < 4.2, "about as the square of the width"
    clips = 4 * 3 * step_memory.BATCHES_AHEAD  # bytes of a pixel, whatever the width
    assert 1.5 < (whole.memory - clips) / (network.memory - clips) < 2.1
    (tmp_path / "a.mp4").write_bytes(films.film([films.picture(i) for i in range(12)]))
    found = Survey(
        {"": Part("v", 1, (1,), 1.0)}, ("a",), "single", (1, 1), (48, 64), (), (1,), True, str(tmp_path / "a.mp4")
    )
    machine = timing.machine(asked, found, network, "modern-scratch")
    assert machine.step > 0
    assert machine.start > 0
    assert 1e-9 < machine.flow < 1e-3
    assert machine.cores >= 1
    (tmp_path / "a.mp4").write_bytes(b"gone bad")
    assert timing._flow(str(tmp_path / "a.mp4")) > 0, "of drawn frames"
