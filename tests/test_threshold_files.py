"""thresholds.json: written, read, given by a user, damaged."""

import json

import pytest

from keras_i3d import threshold_files
from keras_i3d.threshold_files import Chosen

LABELS = ("left", "right")


def test_round_trip_and_what_a_user_gives(tmp_path):
    chosen = Chosen(LABELS, (0.25, 0.75), "val", "abc")
    path = chosen.write(tmp_path)
    assert path == tmp_path / "thresholds.json"
    assert threshold_files.read(path) == threshold_files.read(tmp_path) == chosen
    for value in (path, str(path), str(tmp_path), [0.25, 0.75]):
        assert threshold_files.given(value, LABELS) == (0.25, 0.75)
    assert threshold_files.given(path, LABELS[::-1]) == (0.75, 0.25)  # by name
    assert threshold_files.given("0.3", LABELS) == threshold_files.given(0.3, LABELS) == (0.3, 0.3)


@pytest.mark.parametrize("value", [1.5, "-1", [0.5], [0.5, float("nan")], ["a", "b"], True, []])
def test_what_is_no_threshold(value):
    with pytest.raises(ValueError, match="must be a number in .0, 1., one for each of the 2 classes"):
        threshold_files.given(value, LABELS)


def test_files_that_cannot_be_taken(tmp_path):
    with pytest.raises(ValueError, match="thresholds.json, no file"):
        threshold_files.given(tmp_path, LABELS)
    Chosen(("left", "up"), (0.25, 0.75)).write(tmp_path)
    with pytest.raises(ValueError, match="of the same classes as the network. Received: .*'(right|up)' is not in both"):
        threshold_files.given(tmp_path, LABELS)
    content = json.loads((tmp_path / "thresholds.json").read_text())
    for change in ({"format": 2}, {"thresholds": {"left": 2}}, {"thresholds": []}, {"head": 1}, {"chosen_on": None}):
        (tmp_path / "thresholds.json").write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=r"is no thresholds.json that this version reads: "):
            threshold_files.read(tmp_path)
    with pytest.raises(ValueError, match="by the names of the classes, each once"):
        Chosen(("left", "left"), (0.25, 0.75)).write(tmp_path)
