"""keras-i3d segments, as a user types it."""

import json
import os
import re

import pytest
from made import films, labelled

from keras_i3d import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three videos, the last one broken, and two networks of red, green and blue."""
    folder = tmp_path_factory.mktemp("segments")
    (folder / "videos").mkdir()
    (folder / "videos/v_GGSY1Qvo990.mp4").write_bytes(
        films.film(list(labelled.frames({0: (0, 50), 1: (50, 100)}, 100)))
    )
    (folder / "videos/b.mp4").write_bytes(films.film(list(labelled.frames([2], 30))))
    (folder / "videos/c.mp4").write_bytes(b"broken")
    labelled.network("softmax").save(folder / "one.keras")
    labelled.network().save(folder / "several.keras")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def run(*words):
        return cli.main(["segments", *words])

    return run


def test_all_files_of_several_videos(here, folder, tmp_path, capsys):
    """A broken video does not stop the rest."""
    names = ["all.json", "all.csv", "of/*.srt", "of/*.vtt", "of/*.json"]
    status = here("videos", "--rgb=one.keras", f"--output={','.join(f'{tmp_path}/{name}' for name in names)}")
    printed = capsys.readouterr()
    assert status == 1
    assert re.search(r"^   0:0[12].\d to  0:04.0  0.9\d  green$", printed.out, re.MULTILINE)
    assert f"-> {tmp_path}/of/v_GGSY1Qvo990.srt\n" in printed.out
    assert "error: videos/c.mp4: " in printed.err
    assert printed.err.endswith("2 done, 1 failed\n")
    results = json.loads((tmp_path / "all.json").read_text())["results"]
    assert list(results) == ["b", "GGSY1Qvo990"]
    found = [(each["label"], *each["segment"]) for each in results["GGSY1Qvo990"]]
    assert found == [("red", 0.0, pytest.approx(2, abs=0.1)), ("green", pytest.approx(2, abs=0.1), 4.0)]
    assert [line.split(",")[0] for line in (tmp_path / "all.csv").read_text().splitlines()] == [
        "video", "videos/b.mp4", *["videos/v_GGSY1Qvo990.mp4"] * 2,
    ]  # fmt: skip
    kinds = ("json", "srt", "vtt")
    assert sorted(os.listdir(tmp_path / "of")) == sorted(f"{n}.{k}" for n in ("b", "v_GGSY1Qvo990") for k in kinds)
    assert list(json.loads((tmp_path / "of/b.json").read_text())["results"]) == ["b"]


def test_several_labels_have_thresholds(here, capsys):
    assert here("videos/b.mp4", "--rgb=several.keras") == 0
    printed = capsys.readouterr()
    assert "no thresholds were chosen, so a class counts as there from 0.5 on" in printed.err
    assert [line.split()[-1] for line in printed.out.splitlines()[1:]] == ["blue"]
    assert here("videos/b.mp4", "--rgb=several.keras", "--threshold=0.01", "--smooth=0") == 0
    printed = capsys.readouterr()
    assert "thresholds were chosen" not in printed.err
    assert sorted(line.split()[-1] for line in printed.out.splitlines()[1:]) == ["blue", "green", "red"]


def test_the_threshold_and_the_shortest(here, capsys):
    words = ("videos/v_GGSY1Qvo990.mp4", "--rgb=one.keras")
    for more in (["--threshold=1"], ["--shortest=3"]):
        assert here(*words, *more) == 0
        assert capsys.readouterr().out.endswith("; 0 segments\n")
    assert here(*words, "--threshold=2") == 1
    assert "threshold must be a probability in [0, 1]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "at least one video"),
        (["videos", "--output=x.txt"], "A file of segments ends in .json, .csv, .srt, .vtt, .png, .mp4. Received"),
        (["videos", "--output=x.srt"], "segments of several videos needs a * in the name of --output"),
        (["videos", "--output=videos/*.mp4"], "another file than each of the videos. Received: --output=videos/"),
    ],
)
def test_mistakes(here, words, said, capsys):
    assert here(*words) == 2
    assert said in capsys.readouterr().err


def test_no_video_is_replaced_by_the_file_of_another(tmp_path, monkeypatch, capsys):
    """The file of a.mp4 would be out/a.mp4, which is a video, too: of `segments` and of `show`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    for name in ("a.mp4", "out/a.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    for verb in ("segments", "show"):
        assert cli.main([verb, "a.mp4", "out/a.mp4", "--output=out/*.mp4"]) == 2
        assert "another file than each of the videos. Received: --output=out/a.mp4" in capsys.readouterr().err
    assert (tmp_path / "out/a.mp4").read_bytes() == b"out/a.mp4"


def test_a_folder_that_cannot_be_is_found_before_the_networks(here, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert here("videos/b.mp4", "--rgb=nothing", f"--output={tmp_path}/file/x.json") == 1
    assert f"error: {tmp_path}/file: " in capsys.readouterr().err


def test_videos_that_are_not_there_need_no_weights(here, capsys):
    assert here("none.mp4", "--rgb=nothing") == 1
    assert capsys.readouterr().err == "error: none.mp4: no such file\n"
