"""keras-i3d as a user types it."""

import importlib
import json
import os
import subprocess
import sys

import pytest
from made import ROOT, films, synthetic

from keras_i3d import cli
from keras_i3d.cli.classify import expand
from keras_i3d.records.annotations import find


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos, one broken file, a file that is no video, and an rgb checkpoint for 3 classes with its labels."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "videos/deep").mkdir(parents=True)
    (folder / "videos/a.mp4").write_bytes(films.film([films.picture(i) for i in range(12)]))
    (folder / "videos/deep/b [x].avi").write_bytes(films.film([films.picture(2 * i) for i in range(10)], "avi"))
    (folder / "videos/c.mp4").write_bytes(b"broken")
    (folder / "videos/notes.txt").write_text("not listed")
    synthetic.write(synthetic.sonnet_shapes(synthetic.i3d_shapes(classes=3)), 7, folder / "model.ckpt")
    (folder / "labels.txt").write_text("run\njump\nrest\n")
    return folder


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "keras_i3d", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_json_of_good_and_bad_videos(folder):
    result = run(
        "classify", folder / "videos", folder / "none.mp4", "--streams=rgb", f"--rgb_weights={folder / 'model.ckpt'}",
        f"--labels={folder / 'labels.txt'}", "--json", "--top=2",
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [os.path.basename(r["video"]) for r in records] == ["a.mp4", "c.mp4", "b [x].avi", "none.mp4"]
    assert ["error" in r for r in records] == [False, True, False, True]
    assert records[3]["error"].endswith("none.mp4: no such file")
    assert records[0]["predictions"][0]["label"] in ("run", "jump", "rest")
    assert len(records[0]["predictions"]) == 2
    assert records[0]["frames"] == 12
    assert "2 classified, 2 failed" in result.stderr
    assert "Traceback" not in result.stderr


def here(*arguments):
    """Runs a command in this process, for TensorFlow takes its time to start."""
    return cli.main([str(argument) for argument in arguments])


def test_text(folder, capsys):
    weights = f"--rgb_weights={folder / 'model.ckpt'}"
    assert here("classify", folder / "videos/a.mp4", "--streams=rgb", weights, "--labels=none") == 0
    printed = capsys.readouterr().out
    assert "12 frames at 25 fps; rgb" in printed
    assert "probability    logit  label" in printed
    assert "decode" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the first word must be one of: classify, records"),
        (["dance"], "Received: 'dance'"),
        (["classify"], "at least one video"),
        (["classify", "x.mp4", "--streams=sound"], "streams"),
        (["classify", "x.mp4", "--shards=2"], "Unknown command line flag 'shards'"),
        (["classify", "x.mp4", "--top=0"], "top"),
        (["records", "--source=x"], "records takes --source and --output"),
        (["show", "x.mp4"], "show takes one video"),
        (["show", "records", "--output=x.png", "--start=5", "--flow=none"], "--start, --flow of show is for a video"),
        (["train", "--records=x", "--output=y", "--set=steps"], "--set takes FIELD=VALUE"),
    ],
)
def test_usage(arguments, message, capsys):
    assert here(*arguments) == 2
    assert message in capsys.readouterr().err


def test_how_long_a_video_may_last(tmp_path, monkeypatch):
    given = []

    def called(*arguments, **settings):
        given.append(settings["max_seconds"])
        raise ValueError("enough")

    monkeypatch.setattr("keras_i3d.inference.Classifier", called)
    monkeypatch.setattr("keras_i3d.records.build.build", called)
    (tmp_path / "videos/run").mkdir(parents=True)
    (tmp_path / "videos/run/x.mp4").write_bytes(b"x")
    for settings, expected in (([], 14400), (["--max_seconds=7"], 7)):
        assert here("classify", tmp_path / "videos/run/x.mp4", *settings) == 1
        assert here("records", f"--source={tmp_path / 'videos'}", f"--output={tmp_path / 'out'}", *settings) == 1
        assert given[-2:] == [expected, expected]


def test_unreachable_weights_are_one_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path))
    assert here("classify", folder / "videos/a.mp4", "--json") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: The mirror folder")
    assert json.loads(captured.out)["error"].startswith("The mirror folder")


def test_version_and_help(capsys):
    assert here("version") == 0
    assert capsys.readouterr().out.startswith("keras-i3d 0.")
    assert here("--help") == 0
    printed = capsys.readouterr().out
    for verb in cli.VERBS:
        assert f"keras-i3d {verb} " in printed
        assert here(verb, "--help") == 0
        text = capsys.readouterr().out
        module = importlib.import_module(f"keras_i3d.cli.{verb}")
        assert [name for name in module.FLAGS if f"--{name}" not in text and f"--no{name}" not in text] == []


def test_a_reader_that_has_seen_enough(folder):
    """`... | head -1` ends the command without a traceback."""
    command = f"{sys.executable} -m keras_i3d classify {folder / 'videos'} {folder / 'videos'} --streams=rgb --json "
    command += f"--labels=none --rgb_weights={folder / 'model.ckpt'} | head -1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)
    assert len(result.stdout.splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_expand(folder, monkeypatch):
    monkeypatch.chdir(folder / "videos")
    assert expand(["deep/b [x].avi"]) == [("deep/b [x].avi", None)]
    assert expand(["*.mp4"]) == [("a.mp4", None), ("c.mp4", None)]
    assert expand(["*.mkv"]) == [("*.mkv", "the pattern matches no file")]
    assert [os.path.basename(p) for p, _ in expand(["."])] == ["a.mp4", "c.mp4", "b [x].avi"]
    assert expand(["none.mp4"]) == [("none.mp4", "no such file")]
    assert expand(["deep", "*"])[:3] == [("deep/b [x].avi", None), ("a.mp4", None), ("c.mp4", None)]
    (folder / "out[1]").mkdir()
    (folder / "out[1]/d.mp4").touch()
    monkeypatch.chdir(folder)
    assert expand(["out[1]/*.mp4"]) == [("out[1]/d.mp4", None)]


def test_expand_takes_what_records_takes_and_names_the_rest(tmp_path, monkeypatch, capsys):
    names = ("run/a.vob", "run/b.MTS", "run/notes.txt", "run/.hidden.mp4", ".cache/c.mp4", "jump/more/d.mp4")
    for name in names:
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "v" / name).touch()
    (tmp_path / "v/again").symlink_to("run")
    (tmp_path / "v/run/nowhere.mp4").symlink_to("none.mp4")
    monkeypatch.chdir(tmp_path)
    assert expand(["v"]) == [
        ("v/jump/more/d.mp4", None),
        ("v/run/a.vob", None),
        ("v/run/b.MTS", None),
        ("v/run/nowhere.mp4", "it is no file, but a link that leads nowhere, or a pipe"),
    ]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "keras_i3d: v: 1 files are no videos, and left out (first: run/notes.txt)",
        "keras_i3d: v: 2 names begin with a dot, and left out (first: .cache)",
        "keras_i3d: v: 1 linked folders are taken once already, and left out (first: again)",
    ]
    listing = find("v")
    assert [example.id for example in listing.examples] == ["run/a.vob", "run/b.MTS"], "classes are one level deep"
    assert [path for path, _ in expand(["v/j*"])] == ["v/jump/more/d.mp4"]
    assert [path for path, _ in expand(["v/jump/**"])] == ["v/jump/more/d.mp4"]
