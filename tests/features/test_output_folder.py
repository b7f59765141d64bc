"""A folder of features of many videos: what is finished, what failed, and what is not this run's own."""

import errno
import json
import os
import pickle

import numpy as np
import pytest
from made import small_features

from keras_i3d.errors import FeaturesError, VideoError
from keras_i3d.features import Layout
from keras_i3d.features.output_folder import OutputFolder, differences, names_of


class Made:
    """Gives features of paths as an Extractor does; a path with "bad" in it fails."""

    notes = small_features.NOTES

    def __init__(self, **settings):
        self.settings, self.asked = settings, []

    def many(self, videos):
        for video in videos:
            self.asked.append(os.path.basename(video))
            bad = VideoError(video, "no frame\ncan be decoded") if "bad" in video else None
            yield video, bad or small_features.features(rows=2 + len(os.path.basename(video)), **self.settings)


def test_a_name_that_is_too_long_is_that_videos_failure(tmp_path, monkeypatch):
    """It fits as the video's, and not with what a temporary file has in front of it."""
    (tmp_path / "v").mkdir()
    videos = [str(tmp_path / "v" / name) for name in ("a.mp4", f"{'n' * 245}.mp4", "z.mp4")]
    for path in videos:
        with open(path, "wb"):
            pass
    _, folder = run(tmp_path / "out", videos)
    ((path, reason),) = folder.failed(videos)
    assert path == videos[1]
    assert reason.endswith(".npy: the name is too long. Rename the video")
    assert (tmp_path / "out/z.json").exists()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OutputFolder, "write", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "out2", videos)


@pytest.fixture
def videos(tmp_path):
    """Three videos, one of which cannot be used."""
    (tmp_path / "videos").mkdir()
    for name in ("c.mp4", "a.mp4", "bad.avi"):
        (tmp_path / "videos" / name).write_bytes(name.encode())
    return [str(tmp_path / "videos" / name) for name in ("c.mp4", "a.mp4", "bad.avi")]


def run(output, videos, notes=small_features.NOTES, layout=Layout(), **settings):  # noqa: B008
    """What `extract` does with a folder; returns (which videos were asked for, the folder)."""
    folder, extractor = OutputFolder(output, videos, layout), Made(**settings)
    folder.begin(notes)
    folder.write_all(extractor, folder.pending(videos))
    return extractor.asked, folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert names_of(["v/a.mp4", "w/b.c.avi", "v/a.mp4"]) == ({"v/a.mp4": "a", "w/b.c.avi": "b.c"}, "")
    paths = ["v/run/a.mp4", str(tmp_path / "v/jump/a.avi"), "v/b.mp4"]
    folder = OutputFolder("out", paths, Layout())
    assert list(folder.names.values()) == ["run/a", "jump/a", "b"]
    assert capsys.readouterr().err == ""
    folder.begin({})
    said = capsys.readouterr().err
    assert f"a.avi have one name, so the output has the folders below {tmp_path / 'v'}\n" in said
    with pytest.raises(ValueError, match=r"two in one folder need two names.*Received: v/a.mp4 and v/a.avi"):
        names_of(["v/a.mp4", "v/b.mp4", "v/a.avi"])
    with pytest.raises(ValueError, match=r"Received: a_fps.npy, of v/a.mp4 and of w/a_fps.mp4"):
        OutputFolder("out", ["v/a.mp4", "w/a_fps.mp4"], Layout(beside=("fps",)))
    with pytest.raises(ValueError, match=r"Received: all.npy, of all videos in one file and of v/all.mp4"):
        OutputFolder("out", ["v/all.mp4"], Layout(gathered="all.npy"))


def test_only_what_is_missing_is_made(videos, tmp_path):
    out = tmp_path / "out"
    asked, folder = run(out, videos)
    assert asked == ["c.mp4", "a.mp4", "bad.avi"]
    first = contents(out)
    assert sorted(first) == [
        *(".features.json", ".features.lock", "a.json", "a.npy", "c.json", "c.npy", "failed.jsonl"),
    ]
    assert json.loads(first["failed.jsonl"]) == {
        "name": "bad",
        "path": videos[2],
        "reason": "no frame can be decoded",
    }
    assert folder.failed(videos) == [(videos[2], "no frame can be decoded")]
    assert folder.done(videos) == 3
    (out / "a.json").unlink()  # as if the run had ended just before it
    asked, _ = run(out, videos)
    assert asked == ["a.mp4", "bad.avi"]
    assert contents(out) == first
    (out / "c.npy").write_bytes(b"cut")
    assert run(out, videos[:2])[0] == ["c.mp4"]
    assert contents(out) == first
    assert run(out, videos[:2])[0] == []


def test_a_video_that_succeeds_leaves_the_list(videos, tmp_path):
    out = tmp_path / "out"
    worse = [*videos, str(tmp_path / "worse_bad.mp4")]
    assert run(out, worse)[1].failed(worse) == [(v, "no frame can be decoded") for v in worse[2:]]
    for left, name in ((["worse_bad"], "bad"), ([], "worse_bad")):
        folder = OutputFolder(out, worse, Layout())
        folder.begin(small_features.NOTES)
        video = next(video for video, each in folder.names.items() if each == name)
        folder.write(video, small_features.features())
        assert [json.loads(line)["name"] for line in _lines(out / "failed.jsonl")] == left
    assert not (out / "failed.jsonl").exists()


def _lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_other_settings_are_named(videos, tmp_path):
    run(tmp_path / "out", videos)
    before = contents(tmp_path / "out")
    notes = {"layout": {"window": 16, "step": 8}, "networks": {"rgb": {"weights": "y.keras", "sha256": "cd"}}}
    notes["networks"]["rgb"]["licence"] = "MIT"  # of the same weights by another name it may be said or not
    with pytest.raises(FeaturesError) as raised:
        run(tmp_path / "out", videos, notes)
    said = 'layout.step is 4 there, and 8 here; networks.rgb.sha256 is "ab" there, and "cd" here. Choose'
    assert said in str(raised.value)
    assert "Choose another output, give the same settings, or remove what is there" in str(raised.value)
    assert contents(tmp_path / "out") == before
    (tmp_path / "out/.features.json").unlink()  # the JSON of each video says it too
    with pytest.raises(FeaturesError, match=r"[ac].json is of other settings: layout.step is 4 there, and 8 here"):
        run(tmp_path / "out", videos, notes)
    run(tmp_path / "out", videos)  # which it was not taken for


def test_another_version_is_said_and_kept(videos, tmp_path, capsys):
    run(tmp_path / "out", videos[:2])
    assert run(tmp_path / "out", videos[:2], {**small_features.NOTES, "keras_i3d": "2"})[0] == []
    assert "has features by version 1 of this package; they are kept" in capsys.readouterr().err
    assert differences({"a": (1, 2), "b": None}, {"a": [1, 2], "c": 3}) == []


def test_nothing_of_others_is_overwritten(videos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.npy").write_bytes(b"theirs")
    with pytest.raises(FeaturesError, match=r"a.npy is there, and no a.json says what it is. Choose another output"):
        run(out, videos)
    (out / "a.json").write_text('{"labels": []}')
    with pytest.raises(FeaturesError, match=r"a.json is of something else. Choose another output"):
        run(out, videos)
    assert (out / "a.npy").read_bytes() == b"theirs"


def test_another_video_of_the_same_name(videos, tmp_path):
    run(tmp_path / "out", videos)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.mp4").write_bytes(b"longer than the first")
    for path in ("other/a.mp4", "other/a.avi"):
        (tmp_path / path).write_bytes(b"longer than the first")
        with pytest.raises(FeaturesError, match=r"a.json is of a.mp4 of 5 bytes, and not of .*, which has 21"):
            run(tmp_path / "out", [str(tmp_path / path)])
    os.remove(videos[1])
    assert run(tmp_path / "out", videos[1:2])[0] == []  # what is finished needs its video no more


def test_one_array_of_all_videos(videos, tmp_path, capsys):
    """As the code that reads it does: in the order asked for, when all are there."""
    out, layout = tmp_path / "out", Layout(gathered="all.npy", streams=("rgb",))
    _, folder = run(out, videos, layout=layout, streams=("rgb",))
    assert not folder.gather()
    assert "1 of 3 videos are not there, so all.npy is not written" in capsys.readouterr().err
    _, folder = run(out, videos[:2], layout=layout, streams=("rgb",))
    assert folder.gather()
    whole = (out / "all.npy").read_bytes()
    every = np.load(out / "all.npy", allow_pickle=True)
    assert [each.shape for each in every] == [(7, 3), (7, 3)]
    np.testing.assert_array_equal(every[1], np.load(out / "a.npy"))
    assert type(every[0]) is np.ndarray
    assert b"memmap" not in pickle.dumps(every)
    assert json.loads((out / "all.json").read_text())["videos"] == ["c", "a"]
    stamp = os.stat(out / "all.npy").st_mtime_ns
    assert folder.gather()
    assert os.stat(out / "all.npy").st_mtime_ns == stamp
    folder = run(out, videos[1::-1], layout=layout, streams=("rgb",))[1]
    assert folder.gather()
    assert json.loads((out / "all.json").read_text())["videos"] == ["a", "c"]
    assert len((out / "all.npy").read_bytes()) == len(whole)


def test_a_list_that_is_damaged(videos, tmp_path):
    run(tmp_path / "out", videos)
    (tmp_path / "out/failed.jsonl").write_text("{}\n")
    with pytest.raises(FeaturesError, match="failed.jsonl is damaged. Remove it"):
        run(tmp_path / "out", videos)
