"""Files of segments: ActivityNet's form, CSV, and what the endings mean."""

import csv
import json

import numpy as np
import pytest

from keras_i3d import evaluation, segments
from keras_i3d.inference.labels_in_time import LabelsInTime, StreamInTime
from keras_i3d.segments import Segment, segment_files
from keras_i3d.specs import RGB_CLIP

FOUND = (Segment("run, fast", 1, 0.25, 0.04, 2.0), Segment('a "b" é', 0, 1 / 3, 1.5, 3.1234567))


@pytest.fixture(scope="module")
def timeline():
    rows = {"rgb": StreamInTime(np.array([0.5, 1.5]), np.float32([[5, 0], [0, 5]]))}
    return segments.find(LabelsInTime("/d/v_GGSY1Qvo990.mp4", rows, ["run", "jump"], "softmax", 50, 25.0, RGB_CLIP))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/v_GGSY1Qvo990.mp4", "GGSY1Qvo990"),  # ActivityNet's files, whose IDs are YouTube's
        ("v_-_abcDEF123.mkv", "-_abcDEF123"),
        ("v_CricketShot_g04_c01.avi", "v_CricketShot_g04_c01"),  # UCF101's begin so, too
        ("GGSY1Qvo990.mp4", "GGSY1Qvo990"),
        ("a.b.mp4", "a.b"),
    ],
)
def test_ids_of_videos(path, name):
    assert segment_files.video_id(path) == name


def test_two_videos_of_one_id_are_refused():
    assert segment_files.video_ids(["x/a.mp4", "x/b.mp4"]) == {"x/a.mp4": "a", "x/b.mp4": "b"}
    with pytest.raises(ValueError, match="Received: x/a.mp4 and y/a.avi, both 'a'. Rename one"):
        segment_files.video_ids(["x/a.mp4", "y/a.avi"])


def test_activitynets_form(tmp_path):
    """The three keys that its evaluation code asks for, and what it reads of a result."""
    segment_files.write_json(tmp_path / "x.json", {"a": FOUND, "b": ()}, "how")
    content = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert set(content) == {"version", "results", "external_data"}
    assert content["version"] == "VERSION 1.3"
    assert content["results"] == {
        "a": [
            {"label": "run, fast", "score": 0.25, "segment": [0.04, 2.0]},
            {"label": 'a "b" é', "score": 0.333333, "segment": [1.5, 3.123]},
        ],
        "b": [],
    }
    assert content["external_data"]["used"] is True
    assert content["external_data"]["details"].endswith(": how")


def test_what_is_written_is_what_is_measured(tmp_path):
    """As its own truth, all of it is right."""
    segment_files.write_json(tmp_path / "x.json", {"a": FOUND})
    results = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["results"]
    truth = {"database": {video: {"annotations": entries} for video, entries in results.items()}}
    assert evaluation.temporal_map(truth, str(tmp_path / "x.json")).average == 1


def test_csv(tmp_path):
    segment_files.write_csv(tmp_path / "x.csv", {"d/a.mp4": FOUND, "b.mp4": ()})
    with open(tmp_path / "x.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["video", "label", "score", "start", "end"],
        ["d/a.mp4", "run, fast", "0.250000", "0.040", "2.000"],
        ["d/a.mp4", 'a "b" é', "0.333333", "1.500", "3.123"],
    ]


def test_the_ending_says_what_is_written(tmp_path, timeline):
    for name in ("x.json", "x.csv", "x.srt", "x.vtt"):
        segments.save(tmp_path / name, timeline)
    assert list(json.loads((tmp_path / "x.json").read_text())["results"]) == ["GGSY1Qvo990"]
    # Half a second at 5, then down to 0: the mean of the logistic function over the 25 frames of the first second.
    ahead = 5 * np.clip(2 - 2 * (np.arange(25) + 0.5) / 25, 0, 1)
    score = (1 / (1 + np.exp(-ahead))).mean()
    row = f"/d/v_GGSY1Qvo990.mp4,run,{score:.6f},0.000,1.000"
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == row
    assert (tmp_path / "x.srt").read_text().startswith("1\n00:00:00,000 --> 00:00:01,000\nrun 93%\n")
    assert (tmp_path / "x.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nrun 93%\n")
    assert "rgb at 25 fps; softmax, threshold 0.3, smooth 1 s, shortest 0.5 s" in (tmp_path / "x.json").read_text()
    with pytest.raises(ValueError, match=r"ends in .json, .csv, .srt, .vtt, .png, .mp4. Received: x.txt"):
        segments.save("x.txt", timeline)
