"""Which runtime computed features: noted, refused where another one is asked for, and continued with where none is."""

import json
import types

import numpy as np
import pytest
from made import small_features
from made.small_features import SMALL, contents

from keras_i3d import pipelines, runtimes
from keras_i3d.errors import FeaturesError
from keras_i3d.features import extract, noted_runtimes
from keras_i3d.runtimes import running


class Machine:
    """Stand-ins for both runtimes: OpenVINO's answers are a little off, and which is taken is said."""

    def __init__(self):
        self.faster, self.has_openvino = "openvino", True

    def keras(self, model):
        return self._made("tensorflow", model, 0)

    def __call__(self, model):  # as OpenVINO's class
        return self._made("openvino", model, 1e-3)

    def suits(self, model):
        return self.has_openvino

    def _made(self, name, model, off):
        def answer(x):
            return np.asarray(model(x, training=False)) + np.float32(off)

        return types.SimpleNamespace(used=(name,), predict_on_batch=answer)


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    monkeypatch.setattr(running, "_own", made.keras)
    monkeypatch.setattr(running, "OpenVINO", made)
    monkeypatch.setattr(running.FasterRuntime, "_choice", lambda self, kind, x: made.faster)
    monkeypatch.setattr(running, "imported", lambda why: None)
    for module in (runtimes, running):
        monkeypatch.setattr(module, "version", lambda name: "1.2")
    return made


@pytest.fixture(scope="module")
def rgb(tmp_path_factory):
    return str(small_features.network(tmp_path_factory.mktemp("network") / "rgb.keras", "rgb"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return small_features.videos(tmp_path_factory.mktemp("videos"), 3, frames=12)


def noted(path):
    about = json.loads(path.read_text())["notes"]["networks"]["rgb"]
    return about["runtime"], about["runtime_version"]


def test_a_stopped_run_continues_with_the_same_runtime(machine, rgb, videos, tmp_path, monkeypatch, capsys):
    """Also where the other one is the faster by now; so both ways give the same files."""

    def run(folder, videos, runtime="auto", **settings):
        return extract(videos, tmp_path / folder, rgb=rgb, runtime=runtime, progress=False, **SMALL, **settings)

    run("whole", videos)
    assert noted(tmp_path / "whole/v000.json") == noted(tmp_path / "whole/v002.json") == ("openvino", "1.2")
    run("parts", videos[:1])
    machine.faster = "tensorflow"
    run("parts", videos[:2])
    monkeypatch.setattr(pipelines, "check_installed", lambda what: None)
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    monkeypatch.setattr(pipelines, "local", lambda function, groups, text, workers: [function(g, text) for g in groups])
    run("parts", videos, workers=1)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    run("other", videos)
    assert noted(tmp_path / "other/v000.json") == ("tensorflow", "1.2")
    assert (tmp_path / "other/v000.npy").read_bytes() != (tmp_path / "whole/v000.npy").read_bytes()
    # What is asked for is a setting as others are, and what is there is refused, whoever chose it.
    for folder, runtime, there in (("whole", "tensorflow", "openvino"), ("other", "openvino", "tensorflow")):
        with pytest.raises(FeaturesError, match=f'networks.rgb.runtime is "{there}" there, and "{runtime}" here'):
            run(folder, videos, runtime)
    assert run("whole", videos, "openvino").skipped == 3
    assert capsys.readouterr().err == ""
    # A folder that was begun by one, and has nothing yet, is of that one.
    (tmp_path / "begun").mkdir()
    begun = json.loads((tmp_path / "whole/.features.json").read_text())
    begun["networks"]["rgb"]["runtime"] = "openvino"  # as where it was asked for
    (tmp_path / "begun/.features.json").write_text(json.dumps(begun))
    run("begun", videos[:1])
    assert noted(tmp_path / "begun/v000.json") == ("openvino", "1.2")
    # Where it cannot be taken, a line says so, and each video by what it is.
    machine.has_openvino = False
    (tmp_path / "whole/v002.json").unlink()
    assert run("whole", videos).written == 1
    assert noted(tmp_path / "whole/v002.json") == ("tensorflow", "1.2")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "are there by openvino, which cannot be taken here; those that follow are by tensorflow 1.2" in said


def test_one_that_stood_in_for_the_other_is_continued_with(capsys):
    kept = []
    model = types.SimpleNamespace(used=(), keep=kept.append)
    for earlier in ("openvino and tensorflow", "jax", None, 5):
        noted_runtimes.continue_with({"rgb": model}, {"networks": {"rgb": {"runtime": earlier}}})
    noted_runtimes.continue_with({"rgb": model}, {})
    assert kept == ["tensorflow"]
    assert "there by jax, which cannot be taken here; those that follow are by the one that is faster" in (
        capsys.readouterr().err
    )
