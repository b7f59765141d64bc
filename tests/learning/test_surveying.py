"""What there is to learn from, found in folders and lists of small videos."""

import pytest
from made import films

from keras_i3d.learning import surveying


@pytest.fixture(scope="module")
def film():
    """The bytes of videos of 50 and of 25 frames, 48 x 64 pixels."""
    return {count: films.film([films.picture(i % 20) for i in range(count)]) for count in (50, 25)}


def place(folder, content, **classes):
    """Writes FOLDER/CLASS/N.mp4."""
    for label, count in classes.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / label / f"{number}.mp4").write_bytes(content)


def survey(*arguments, **settings):
    return surveying.survey(*arguments, progress=False, **settings)


def test_a_folder_of_classes(film, tmp_path, capsys):
    place(tmp_path / "v", film[50], run=3, jump=2)
    place(tmp_path / "v", film[25], wave=2)
    (tmp_path / "v/run/broken.mp4").write_bytes(b"broken")
    found = survey(str(tmp_path / "v"))
    assert not found.divided
    assert (found.labels, found.counts, found.videos) == (("jump", "run", "wave"), (2, 3, 2), 7)
    assert found.seconds == (pytest.approx(1.0), pytest.approx(2.0))
    assert found.parts[""].seconds == pytest.approx(5 * 2 + 2 * 1)
    assert found.size == (48, 64)
    assert [path for path, _ in found.unreadable] == [str(tmp_path / "v/run/broken.mp4")]
    assert "1 of 8 videos cannot be read, and are left out" in capsys.readouterr().err


def test_folders_of_splits(film, tmp_path, capsys):
    place(tmp_path / "train", film[25], run=2, jump=2)
    place(tmp_path / "val", film[25], run=1)
    place(tmp_path / "test", film[25], run=1, jump=1)
    place(tmp_path / "more", film[25], run=1)
    found = survey(str(tmp_path))
    assert {split: (part.source, part.counts) for split, part in found.parts.items()} == {
        "train": (str(tmp_path / "train"), (2, 2)),
        "test": (str(tmp_path / "test"), (1, 1)),
        "val": (str(tmp_path / "val"), (0, 1)),
    }
    assert found.divided
    assert not found.same_labels, "val finds one class by itself"
    said = capsys.readouterr().err
    assert "test, train, val are splits; 1 other folders are left out (first: more)" in said
    assert "no video of 1 of 2 classes (first: jump)" in said
    (tmp_path / "validation").mkdir()
    place(tmp_path / "validation", film[25], run=1)
    with pytest.raises(ValueError, match="at most one of test and one of validation. Received: test, train, val, vali"):
        survey(str(tmp_path))


def test_classes_that_are_called_like_splits(film, tmp_path):
    place(tmp_path, film[25], train=2, test=2)
    found = survey(f"folder:{tmp_path}")
    assert (found.labels, found.divided) == (("test", "train"), False)
    place(tmp_path / "again", film[25], train=2)
    place(tmp_path / "again/test", film[25], run=2, jump=2)
    assert not surveying._splits(str(tmp_path / "again")), "train holds videos, no classes"


def test_lists_of_videos(film, tmp_path):
    place(tmp_path, film[50], all=4)
    (tmp_path / "a.csv").write_text("all/0.mp4,run;jump\nall/1.mp4,run\nall/2.mp4,jump\nall/3.mp4,jump\n")
    found = survey(str(tmp_path / "a.csv"))
    assert (found.labelling, found.labels, found.counts) == ("multi", ("jump", "run"), (3, 2))
    parts = "all/0.mp4,run,0,1\nall/0.mp4,jump,1,1.5\nall/1.mp4,run,0,0.5\nall/2.mp4,jump,0,1\n"
    (tmp_path / "b.csv").write_text(parts)
    found = survey(str(tmp_path / "b.csv"))
    assert (found.labelling, found.counts, found.sources) == ("single", (2, 2), (2, 2))
    assert found.parts[""].seconds == pytest.approx(3.0), "each part counts by itself"
    timed = survey(str(tmp_path / "b.csv"), labelling="timed")
    assert (timed.labelling, timed.videos) == ("timed", 3)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"run": 3}, "needs at least two. Received: .*, of one class: run"),
        ({"run": 2, "jump": 1, "wave": 1}, "A class needs at least 2 videos.*with fewer of jump, wave. Add videos"),
        ({}, "A dataset is a folder of class folders"),
    ],
)
def test_too_little(film, tmp_path, classes, message):
    place(tmp_path, film[25], **classes)
    with pytest.raises(ValueError, match=message):
        survey(str(tmp_path))


def test_records_are_no_videos():
    with pytest.raises(ValueError, match="`learn` takes videos, and makes the records itself. Received: records:r"):
        survey("records:r")


def test_nothing_that_can_be_read(tmp_path):
    place(tmp_path, b"no video", run=2, jump=2)
    with pytest.raises(ValueError, match="Videos are needed that can be read.* none of the 4 looked at can"):
        survey(str(tmp_path))


def test_a_class_that_only_the_test_has(film, tmp_path):
    place(tmp_path / "train", film[25], run=2, jump=2)
    place(tmp_path / "test", film[25], run=1, wave=1)
    with pytest.raises(ValueError, match="A class needs videos to train on. Received: .*train, with none of wave"):
        survey(str(tmp_path))
