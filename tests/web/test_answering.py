"""What is found for a video of the page: what `classify` and `segments` find, without paths of the machine."""

import json
import shutil

import numpy as np
import pytest

from keras_i3d import inference, runtimes, segments, video
from keras_i3d.runtimes import faster_runtime, running
from keras_i3d.web import answering, jobs


@pytest.fixture
def job(made, tmp_path):
    """A Job with `a.mp4`."""
    return of(made.folder / "a.mp4", tmp_path)


def of(path, folder):
    job = jobs.Job(folder, path.name, ".mp4")
    job.folder.mkdir()
    shutil.copy(path, job.path)
    return job


def test_the_answer_is_that_of_classify_and_segments(made, answers, job):
    data = answers.answer(job)
    classifier, path = answers.classifier, str(made.folder / "a.mp4")
    alone = classifier(path).record()
    for unlike in ("video", "seconds"):
        alone.pop(unlike)
    assert {name: data["record"][name] for name in alone} == alone
    assert data["record"]["video"] == "a.mp4"
    timeline = segments.find(classifier.in_time(path), 0.2, 0, 0)
    assert [tuple(each.values()) for each in data["segments"]] == [
        (each.label, each.index, each.score, each.start, each.end) for each in timeline.segments
    ]
    assert data["segments"]
    lane = data["lanes"][0]
    moments = np.linspace(0, 0.56, len(lane["values"]))
    wanted = timeline.found.probabilities(moments, [lane["index"]])[:, 0]
    assert np.allclose(lane["values"], wanted, atol=1e-4)
    assert json.loads((job.folder / "labels.json").read_text(encoding="utf-8")) == data["record"]
    assert "a" in json.loads((job.folder / "segments.json").read_text(encoding="utf-8"))["results"]
    assert (job.folder / "segments.csv").read_text(encoding="utf-8").splitlines()[1].startswith("a.mp4,")


def test_facts_are_in_words_and_without_paths(made, answers, tmp_path):
    job = of(made.folder / "short.mp4", tmp_path)
    job.lines += [
        f"{job.path}: nothing new for 40 s after frame 3; it is repeated",
        f"{job.path}: 5 frames, looped to 9",
    ]
    data = answers.answer(job)
    facts = " ".join(data["facts"])
    assert "0.20 seconds: 5 frames at 25 a second" in facts
    assert "repeated to 9 frames" in facts
    assert (
        f"RGB network: I3D, computes in float32 by {runtimes.with_version('tensorflow')}, sees every frame, 32 x"
        in facts
    )
    assert "short.mp4: nothing new for 40 s" in facts
    assert "looped" not in facts
    said = json.dumps([data, answers.about()])
    assert str(made.folder) not in said
    assert str(tmp_path) not in said


def test_paths_are_taken_out(answers, job):
    origin = answers.classifier.networks["flow"].origin
    text = f"{job.path}: wrong; {origin} fails; /home/me/x y; see https://a.example/b/c and 3/4, and/or"
    assert answers.without_paths(text, job) == (
        "a.mp4: wrong; the flow network fails; (a path) y; see https://a.example/b/c and 3/4, and/or"
    )


def test_the_film_has_every_frame_and_its_flow(answers, job):
    answers.answer(job)
    data = answers.film(job)
    frames = video.read(job.folder / data["file"], resize="stored")
    height, width = next(iter(video.Reader(job.path, resize="short:256"))).shape[:2]
    assert frames.shape == (14, height, 2 * width, 3)
    assert float(data["bound"]) >= 0.5
    grey = np.ptp(frames[5].astype(int), axis=-1).mean(axis=0)
    assert grey[width:].mean() > 1  # flow in colours


def test_the_evidence_adds_up(answers, job):
    answer = answers.answer(job)
    best = answer["record"]["predictions"][0]
    data = answers.evidence(job, best["index"], 0.1)
    assert (data["label"], data["whole"], data["start"]) == (best["label"], True, 0)
    assert sum(each["logit"] for each in data["streams"]) == pytest.approx(best["logit"], abs=1e-4)
    for each in data["streams"]:
        assert each["map"] + each["bias"] == pytest.approx(each["logit"], abs=1e-4)
        assert sum(each["steps"]) == pytest.approx(each["map"], abs=1e-4)
        assert len(each["steps"]) == len(each["times"])
    frames = video.read(job.folder / data["file"], resize="stored")
    assert len(frames) == 14
    assert frames.shape[2] == pytest.approx(3 * frames.shape[1], abs=3)  # three tiles


def test_of_a_long_video_the_part_around_a_moment_is_explained(answers):
    assert answers.part(8, 3) == (0, None)
    assert answers.part(20, 3) == (0, 8)
    assert answers.part(20, 10) == (6, 14)
    assert answers.part(20, 19.9) == (12, 20)


class Other:
    """What stands for OpenVINO: it is always faster, and its answers are a little others."""

    used = ("openvino",)

    def __init__(self, model):
        self.model = model

    def predict_on_batch(self, x):
        return self.model.predict_on_batch(x) * np.float32(1 + 1e-5)

    @staticmethod
    def suits(model):
        return True


def test_a_video_that_is_sent_twice_has_one_answer(made, job, monkeypatch, capsys):
    """The first one was answered by Keras, and those after it by OpenVINO."""
    monkeypatch.setattr(running, "OpenVINO", Other)
    monkeypatch.setattr(running, "version", lambda name: "1")
    monkeypatch.setattr(faster_runtime, "machine", dict)  # which asks OpenVINO for its version
    monkeypatch.setattr(faster_runtime, "GAIN", np.inf)
    found = answering.Answers(inference.Classifier(rgb=made.runs["rgb"], runtime="auto"), 0.2, 0, 0)
    capsys.readouterr()
    found.settle_runtimes()
    assert "openvino 1 runs the RGB network, for every video\n" in capsys.readouterr().err
    first, second = found.answer(job), found.answer(job)
    assert [data["record"]["predictions"] for data in (first, second)] == 2 * [first["record"]["predictions"]]
    assert found.classifier.models["rgb"].used == ("openvino",)
    assert "computes in float32 by openvino 1, sees" in " ".join(first["facts"])
    assert capsys.readouterr().err == ""


def test_without_a_choice_nothing_is_settled(answers, capsys):
    answers.settle_runtimes()
    assert capsys.readouterr().err == ""
