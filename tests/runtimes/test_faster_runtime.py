"""The faster of two runtimes: measured once for a shape, kept, read again. Seconds here are told, not measured."""

import json

import keras
import numpy as np
import pytest

from keras_i3d.runtimes import faster_runtime
from keras_i3d.runtimes.faster_runtime import FasterRuntime, shape_kind

pytest.importorskip("openvino", reason="needs openvino, whose version is a part of what is kept")


class Clock:
    """What `time.perf_counter` says; runtimes move it on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Runtime:
    def __init__(self, clock, seconds, answer):
        self.clock, self.seconds, self.answer, self.calls = clock, seconds, answer, 0

    def predict_on_batch(self, x):
        self.calls += 1
        self.clock.now += self.seconds
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.float32(self.answer) + np.zeros((len(x), 2), np.float32)


@pytest.fixture
def make(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(faster_runtime.time, "perf_counter", clock)
    keras.utils.set_random_seed(0)
    x = keras.Input((None, None, None, 3))
    model = keras.Model(x, keras.layers.Conv3D(2, 1, name="conv")(x), name="net")

    def made(keras_seconds, openvino_seconds, answer=1.0, **settings):
        runtimes = Runtime(clock, keras_seconds, 1.0), Runtime(clock, openvino_seconds, answer)
        return FasterRuntime(model, lambda _: runtimes[0], lambda _: runtimes[1], **settings), *runtimes

    return made


def clip(frames=16):
    return np.zeros((1, frames, 8, 8, 3), np.float32)


def twice(runtime):
    """What is answered to the second clip of a kind, at which it is measured."""
    runtime.predict_on_batch(clip())
    return runtime.predict_on_batch(clip())


def test_the_faster_one_is_taken_and_kept(make, cache, capsys):
    faster, ours, other = make(0.3, 0.2)
    faster.predict_on_batch(clip())
    assert (ours.calls, other.calls) == (1, 0)  # it may be the only clip
    for _ in range(3):
        assert faster.predict_on_batch(clip()).shape == (1, 2)
    assert (ours.calls, other.calls) == (1 + 1 + 5, 1 + 5 + 3)
    said = capsys.readouterr().err
    assert "net, clips up to 1 x 16 x 8 x 8 x 3: tensorflow 0.3 s, openvino 0.2 s, measured now and kept in" in said
    assert "openvino is taken" in said
    (path,) = (cache / "runtimes").iterdir()
    kept = json.loads(path.read_text())
    assert kept["seconds"] == {"tensorflow": pytest.approx(0.3), "openvino": pytest.approx(0.2)}
    assert kept["of"]["shape"] == [1, 16, 8, 8, 3]
    assert set(kept["of"]["versions"]) == {"keras_i3d", "keras", "tensorflow", "openvino"}
    # Another one reads it, and measures nothing; its first clip may be the only one, too.
    again, ours, other = make(0.1, 0.2)
    again.predict_on_batch(clip(12))
    assert (ours.calls, other.calls) == (1, 0)
    assert "openvino" not in capsys.readouterr().err
    again.predict_on_batch(clip(12))
    assert (ours.calls, other.calls) == (1, 1)
    assert "measured before. openvino is taken" in capsys.readouterr().err
    for frames in (17, 18):  # longer than any of that kind
        again.predict_on_batch(clip(frames))
    assert (ours.calls, other.calls) == (1 + 1 + 1 + 5 + 1, 1 + 1 + 5)


def test_what_gains_nothing_is_not_taken(make, capsys):
    faster, ours, other = make(0.2, 0.195)
    twice(faster)
    assert ours.calls == 1 + 1 + 5 + 1
    assert "tensorflow is taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "line"),
    [(1.01, r"OpenVINO's answers are 0.01 from Keras's"), (RuntimeError("no rule\nfor it"), "cannot run it")],
)
def test_another_answer_is_not_taken(make, cache, capsys, answer, line):
    faster, ours, other = make(0.2, 0.1, answer)
    assert twice(faster)[0, 0] == 1
    assert line in capsys.readouterr().err
    for frames in (16, 40, 40):  # nor for clips of another shape, of which nothing is said
        faster.predict_on_batch(clip(frames))
    assert (ours.calls, other.calls) == (6, 1)
    assert capsys.readouterr().err == ""
    assert faster.used == ("tensorflow",)
    assert not (cache / "runtimes").exists()


def test_what_breaks_later_costs_a_line_and_no_clip(make, capsys):
    """As after an update of a library below it: what was measured before is read, and does not run."""
    twice(make(0.3, 0.2)[0])
    capsys.readouterr()
    faster, ours, other = make(0.3, 0.2, ImportError("libopenvino.so.2 is not there"))
    assert twice(faster)[0, 0] == 1
    twice(faster)
    said = capsys.readouterr().err
    assert said.count("net: OpenVINO cannot run it (libopenvino.so.2 is not there). tensorflow is taken") == 1
    assert (ours.calls, other.calls) == (4, 1)
    faster, ours, other = make(0.3, 0.2, once=True)
    faster.predict_on_batch(clip())
    other.answer = RuntimeError("no memory for this shape")
    assert faster.predict_on_batch(clip(64))[0, 0] == 1
    assert faster.used == ("openvino", "tensorflow")
    assert "OpenVINO cannot run it (no memory for this shape)" in capsys.readouterr().err


def test_what_no_runtime_takes_changes_nothing(make, capsys):
    faster, ours, other = make(0.3, 0.2, once=True)
    faster.predict_on_batch(clip())
    capsys.readouterr()
    answers, ours.answer, other.answer = other.answer, ValueError("too small"), ValueError("another form")
    with pytest.raises(ValueError, match="too small"):
        faster.predict_on_batch(clip(3))
    other.answer = answers
    faster.predict_on_batch(clip())
    assert faster.used == ("openvino",)
    assert capsys.readouterr().err == ""


def test_once_for_all_is_chosen_at_the_first_clip(make):
    faster, ours, other = make(0.3, 0.2, once=True)
    for frames in (16, 64, 64):
        faster.predict_on_batch(clip(frames))
    assert (ours.calls, other.calls) == (1 + 5, 1 + 5 + 3)
    assert faster.used == ("openvino",)
    assert list(faster._runtimes) == ["openvino"]  # the other one's graph takes no memory any more
    faster, ours, other = make(0.3, 0.2, once=True)
    faster.keep("tensorflow")
    twice(faster)
    assert (ours.calls, other.calls) == (2, 0)
    assert faster.used == ("tensorflow",)


def test_a_damaged_file_is_measured_again(make, cache):
    twice(make(0.3, 0.2)[0])
    (path,) = (cache / "runtimes").iterdir()
    path.write_text('{"of": 3')
    faster, ours, other = make(0.2, 0.3)
    twice(faster)
    assert ours.calls == 1 + 1 + 5 + 1
    assert json.loads(path.read_text())["seconds"]["openvino"] == pytest.approx(0.3)


def test_long_runs_are_timed_less_often(make):
    faster, ours, other = make(3.0, 4.0)
    twice(faster)
    assert (ours.calls, other.calls) == (1 + 1 + 1 + 1, 1 + 1)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((1, 16, 8, 9, 3), (1, 16, 8, 9, 3)), ((2, 17, 8, 8, 3), (2, 32, 8, 8, 3)), ((1, 1, 8, 8, 3), (1, 1, 8, 8, 3))],
)
def test_shapes_that_count_as_one(shape, kind):
    assert shape_kind(shape) == kind


def test_a_settled_one_measures_nothing_any_more(make):
    """What was measured stays; all else is for Keras. The one that it was made of still measures."""
    faster, ours, other = make(0.3, 0.2)
    twice(faster)
    settled = faster.settled()
    calls = ours.calls, other.calls
    settled.predict_on_batch(clip())
    for _ in range(3):
        settled.predict_on_batch(clip(64))
    assert (ours.calls, other.calls) == (calls[0] + 3, calls[1] + 1)
    faster.predict_on_batch(clip(64))
    faster.predict_on_batch(clip(64))
    assert ours.calls > calls[0] + 3 + 5


def test_it_can_be_had_to_choose_before_the_first_clip(make, capsys):
    """By a clip that is usual; the choice holds for all shapes, also if some were seen before."""
    faster, ours, other = make(0.3, 0.2)
    assert faster.choose(clip()) == "openvino"
    assert other.calls == 1 + 5 + 1
    for frames in (16, 64):
        faster.predict_on_batch(clip(frames))
    assert faster.used == ("openvino",)
    assert capsys.readouterr().err.count("openvino is taken") == 1
    faster, ours, other = make(0.3, 0.2)
    twice(faster)
    assert faster.choose(clip()) == "openvino"
    faster.predict_on_batch(clip(64))
    assert ours.calls == 1
    faster, ours, other = make(0.3, 0.2, RuntimeError("broken"))
    assert faster.choose(clip()) == "tensorflow"
    assert "OpenVINO cannot run it (broken). tensorflow is taken" in capsys.readouterr().err
