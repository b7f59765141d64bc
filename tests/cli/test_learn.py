"""keras-i3d learn: what it runs, what it says, how it continues; and once all of it."""

import json
import pathlib

import pytest
from made import films, tiny

from keras_i3d import atomic, cli

SETTLED = ("--weights=none", "--set=clip_frames=9", "--set=size=32", "--set=steps=4", "--set=depth_multiplier=0.125")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    tiny.shorten(monkeypatch)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with `videos`: four of each of two classes."""
    for place, label in enumerate(("jump", "run")):
        (tmp_path / "videos" / label).mkdir(parents=True)
        for number in range(4):
            pictures = [films.picture((3 * place + 1) * i + number) for i in range(12)]
            (tmp_path / "videos" / label / f"{number}.mp4").write_bytes(films.film(pictures))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def commands(monkeypatch):
    """The commands that are run, in place of which nothing is done but the file that the summary reads."""
    ran, whole = [], cli.main
    failing = []

    def run(words):
        if words[0] == "learn":
            return whole(words)
        ran.append(words)
        if words[0] in failing:
            return 1
        if words[0] == "evaluate":
            pathlib.Path("report").mkdir()
            metrics = {"rgb": {"top1": 0.5}, "flow": {"top1": 0.75}, "fused": {"top1": 1.0}}
            found = {"videos": 20, "split": "test", "chance": 0.5, "metrics": metrics}
            found["top1_intervals"] = {"rgb": [0.3, 0.7], "flow": [0.531, 0.888], "fused": [0.839, 1.0]}
            pathlib.Path("report/results.json").write_text(json.dumps(found))
        return 0

    monkeypatch.setattr(cli, "main", run)
    run.ran, run.failing = ran, failing
    return run


def test_it_runs_each_command_once_and_continues(here, commands, capsys):
    commands.failing.append("evaluate")
    learn = ("learn", "videos", "--output=out", *SETTLED)
    assert cli.main(learn) == 1
    assert [words[0] for words in commands.ran] == ["records", "train", "train", "evaluate"]
    said = capsys.readouterr()
    assert "  splits: train:0.8,test:0.2; by source video" in said.out
    assert "  recipe: modern-scratch; no weights to start from" in said.out
    assert (
        "\n$ cd out\n\n$ keras-i3d records --source=../videos --split=train:0.8,test:0.2 --output=records" in said.out
    )
    assert "stopped in command 4 of 5; the same `keras-i3d learn` continues there" in said.err
    assert pathlib.Path.cwd() == here
    state = json.loads((here / "out/learn.json").read_text())
    assert (state["done"], state["commands"][3]) == (3, list(commands.ran[3]))
    commands.failing.clear()
    commands.ran.clear()
    assert cli.main(learn) == 0
    assert [words[0] for words in commands.ran] == ["evaluate", "export"]
    said = capsys.readouterr().out
    assert "out was begun before: 3 of 5 commands are done." in said
    assert "Chosen:" not in said
    summary = said[said.index("Accuracy") :]
    assert summary.startswith(
        "Accuracy on 20 videos of the split test (chance 50.0%), and where it lies with 95% certainty:\n"
        "  rgb    50.0%  30% to 70%\n  flow   75.0%  53% to 89%\n  fused  100.0%  84% to 100%\n"
    )
    assert "report: out/report/report.html" in summary
    assert "  keras-i3d classify VIDEO --rgb=out/runs/rgb/model.keras --flow=out/runs/flow/model.keras" in summary
    assert "  sh out/models/serve.sh  # then: keras-i3d ask localhost:8500 VIDEO" in summary
    commands.ran.clear()
    assert cli.main(learn) == 0
    assert commands.ran == [], "it has ended"
    assert capsys.readouterr().out.endswith(summary[-200:])


def test_other_arguments_are_refused(here, commands, capsys):
    learn = ("learn", "videos", "--output=out", "--noexport", *SETTLED)
    assert cli.main(learn) == 0
    assert [words[0] for words in commands.ran] == ["records", "train", "train", "evaluate"]
    commands.ran.clear()
    for more, message in (("--seed=2", "--seed=2 instead of 0"), ("--time=2h", "--time=2h instead of none")):
        assert cli.main([*learn, more]) == 1
        assert message in capsys.readouterr().err
    assert cli.main(["learn", str(here / "videos"), *learn[2:]]) == 0, "the same folder by another name"
    assert cli.main([*learn[:4], *SETTLED[::-1]]) == 0, "the same settings in another order"
    assert commands.ran == []


def test_an_export_that_is_there_is_not_made_again(here, commands):
    commands.failing.append("export")
    learn = ("learn", "videos", "--output=out", "--stream=rgb", *SETTLED)
    assert cli.main(learn) == 1
    (here / "out/models/i3d/1").mkdir(parents=True)
    commands.ran.clear()
    assert cli.main(learn) == 0
    assert commands.ran == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "learn takes one folder of videos, and --output"),
        (["videos"], 2, "learn takes one folder of videos, and --output"),
        (["videos", "--output=out", "--set=steps"], 2, "--set takes FIELD=VALUE"),
        (["videos", "--output=out", "--set=stops=3"], 1, "A recipe has no stops"),
        (["videos", "--output=out", "--time=soon"], 1, "A time is given as 20m, 90s, 2h or 1h30m. Received: --time="),
        (["none", "--output=out", "--weights=none"], 1, "No such file or folder: none"),
        (["videos/run", "--output=out", "--weights=none"], 1, "A dataset is a folder of class folders"),
        (
            ["videos", "--output=videos", "--weights=none"],
            1,
            "has no learn.json and is not empty. Name another --output=",
        ),
        (["videos", "--output=out"], 1, "--weights=none starts without any"),
        (["videos", "--output=out", "--weights=none", "--model=C3D", "--stream=flow"], 1, "Received: --stream='flow'"),
    ],
)
def test_what_cannot_be_done_is_one_line(here, commands, capsys, monkeypatch, words, status, message):
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(here / "nowhere"))
    assert cli.main(["learn", *words]) == status
    said = capsys.readouterr().err
    assert message in said
    assert [line for line in said.splitlines() if line.startswith("error: ")] == [said.splitlines()[-status]]
    assert not (here / "out").exists()
    assert commands.ran == []


def test_splits_whose_classes_differ_get_a_list_of_labels(here, commands):
    (here / "videos").rename(here / "train")
    (here / "all/test/run").mkdir(parents=True)
    (here / "train").rename(here / "all/train")
    (here / "all/train/run/0.mp4").rename(here / "all/test/run/0.mp4")
    assert cli.main(["learn", "all", "--output=out", "--stream=rgb", *SETTLED]) == 0
    assert (here / "out/labels.txt").read_text() == "jump\nrun\n"
    assert [word for words in commands.ran for word in words if word.startswith("--labels")] == [
        "--labels=labels.txt"
    ] * 2


def test_a_start_that_was_killed_before_its_first_command_begins(here, commands, monkeypatch):
    (here / "all/test/run").mkdir(parents=True)
    (here / "videos").rename(here / "all/train")
    (here / "all/train/run/0.mp4").rename(here / "all/test/run/0.mp4")
    learn = ("learn", "all", "--output=out", "--stream=rgb", *SETTLED)
    whole = atomic.write_text

    def write(path, text):
        whole(path, text)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write_text", write)
        for _ in range(2):  # after learn.json, after labels.txt
            cli.main(learn)
    assert commands.ran == []
    assert cli.main(learn) == 0
    assert (here / "out/labels.txt").read_text() == "jump\nrun\n"
    assert len(commands.ran) == 5


@pytest.mark.slow
def test_all_of_it(here, capsys):
    learn = ("learn", "videos", "--output=out", *SETTLED, "--set=precision=float32")
    assert cli.main(learn) == 0
    said = capsys.readouterr().out
    assert "Accuracy on 2 videos of the split test (chance 50.0%)" in said
    for name in (
        "records/train.json",
        "runs/rgb/model.keras",
        "runs/flow/model.keras",
        "report/report.html",
        "models/i3d/1",
    ):
        assert (here / "out" / name).exists(), name
    classify = ["classify", "videos/run/0.mp4", "--rgb=out/runs/rgb/model.keras", "--flow=out/runs/flow/model.keras"]
    assert cli.main(classify) == 0
    assert "run" in capsys.readouterr().out


@pytest.mark.slow
def test_several_labels(here, capsys):
    films_there = sorted((here / "videos").glob("*/*.mp4"))
    lines = []
    for number in range(24):
        source = films_there[number % len(films_there)]
        (here / f"videos/{number}.mp4").write_bytes(source.read_bytes())
        lines.append(f"videos/{number}.mp4,{('jump', 'run', 'jump;run')[number % 3]}\n")
    (here / "list.csv").write_text("".join(lines))
    assert cli.main(["learn", "list.csv", "--output=out", "--stream=rgb", "--noexport", *SETTLED]) == 0
    said = capsys.readouterr().out
    assert "Mean average precision on " in said
    assert "--choose_thresholds" in said
    assert (here / "out/runs/rgb/thresholds.json").is_file()
