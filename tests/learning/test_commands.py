"""The commands of `learn`, and the file that it continues by."""

import dataclasses
import json

import pytest

from keras_i3d.learning import commands
from keras_i3d.learning.choices import Asked, Choices
from keras_i3d.learning.surveying import Part, Survey

CHOSEN = Choices(
    splits={"train": "train", "validation": "validation", "test": "test"},
    fractions="train:0.7,validation:0.1,test:0.2",
    streams=("rgb", "flow"), family="I3D", recipe="modern-finetune", settings={"clip_frames": "16", "passes": "20"},
    short_side=128, fps=25.0, seconds={"records": 20.0}, said=("videos: 60",), left_out=("flow",),
)  # fmt: skip
PART = Part("/home/me/v", 60, (30, 30), 120.0)
FOUND = Survey({"": PART}, ("a", "b"), "single", (2, 2), (240, 320), (), (30, 30), True, "x")


def typed(asked=None, chosen=CHOSEN, found=FOUND, folder="/home/me/out", **fields):
    asked = asked or Asked("/home/me/v", **fields)
    place = lambda path: commands.seen_from(folder, path, Asked("v"))  # noqa: E731
    return [" ".join(command) for command in commands.planned(asked, chosen, found, place)]


def test_commands_of_a_folder():
    train = (
        "train --records=records/train-* --validation=records/validation-* --test=records/test-* --stream={0} "
        "--recipe=modern-finetune --weights=kinetics --seed=3 --output=runs/{0} --set=clip_frames=16 --set=passes=20"
    )
    assert typed(seed=3) == [
        "records --source=../v --split=train:0.7,validation:0.1,test:0.2 --output=records --short_side=128 --seed=3",
        train.format("rgb"),
        train.format("flow"),
        "evaluate --records=records/test-* --rgb=runs/rgb --flow=runs/flow --output=report",
        "export --rgb=runs/rgb --flow=runs/flow --output=models/i3d --version=1",
    ]


def test_an_export_takes_frames_enough_for_flow():
    short = dataclasses.replace(CHOSEN, settings={"clip_frames": "9"})
    assert typed(chosen=short)[-1].endswith("--version=1 --frames=10")
    assert typed(chosen=dataclasses.replace(short, streams=("rgb",)))[-1].endswith("--version=1")


def test_thresholds_of_several_labels_are_chosen_on_the_validation():
    multi = typed(found=dataclasses.replace(FOUND, labelling="multi"))
    assert len(multi) == 6
    assert multi[3] == "evaluate --records=records/validation-* --rgb=runs/rgb --flow=runs/flow --choose_thresholds"
    assert multi[4].endswith("--output=report")
    two = dataclasses.replace(CHOSEN, splits={"train": "train", "test": "test"})
    assert len(typed(chosen=two, found=dataclasses.replace(FOUND, labelling="multi"))) == 5


def test_commands_of_what_is_divided():
    parts = {split: Part(f"csv:/data/{split}", 20, (10, 10), 40.0) for split in ("train", "test")}
    found = dataclasses.replace(FOUND, parts=parts, same_labels=False)
    chosen = dataclasses.replace(
        CHOSEN, fractions="", splits={"train": "train", "test": "test"}, streams=("rgb",), fps=15.0
    )
    asked = {
        "weights": "/data/w.h5",
        "accept_licence": True,
        "export": False,
        "labelling": "multi",
        "model": "S3D",
    }
    records, again, train, evaluate = typed(None, chosen, found, "/data/out", annotations="/data/a.csv", **asked)
    more = "--short_side=128 --fps=15 --flow_method=none --annotations=../a.csv --labels=labels.txt --labelling=multi"
    assert records == f"records --source=csv:../train --split=train --output=records {more}"
    assert again == f"records --source=csv:../test --split=test --output=records {more}"
    assert "--validation=records/test-* --test=records/test-* --stream=rgb" in train
    assert "--weights=../w.h5 --model=S3D --accept_licence" in train
    # Nothing was set apart to choose the best weights by: the last ones are evaluated.
    assert evaluate == "evaluate --records=records/test-* --rgb=runs/rgb/model.keras --output=report --accept_licence"


def test_paths_as_typed_in_the_folder():
    assert commands.seen_from("/a/out", "/a/v", Asked("v")) == "../v"
    assert commands.seen_from("/a/out", "csv:/a/v", Asked("csv:v")) == "csv:../v"
    assert commands.seen_from("/a/out", "/a/v", Asked("/a/v")) == "/a/v"


def test_a_state_is_read_as_it_was_written(tmp_path):
    asked = Asked(str(tmp_path / "v"), seconds=60.0, settings=(("size", "112"),))
    state = commands.State(asked, CHOSEN, (("records", "--source=v"), ("train",)), ("a", "b"), 1, 12.5)
    state.write(tmp_path)
    assert commands.read(tmp_path) == state
    assert list(tmp_path.iterdir()) == [tmp_path / "learn.json"], "no temporary file is left"
    commands.check_same(state.asked, asked, tmp_path)
    settings = ("size", "112"), ("flip", "false")
    two, turned = (dataclasses.replace(asked, settings=each) for each in (settings, settings[::-1]))
    commands.check_same(two, turned, tmp_path)  # no other settings
    for change, message in (
        ({"seed": 1}, "seed=1 instead of 0"),
        ({"seconds": None}, "time=none instead of 1m"),
        ({"settings": ()}, "set=none instead of size=112"),
        ({"weights": None}, "weights=none instead of kinetics"),
    ):
        with pytest.raises(ValueError, match=message):
            commands.check_same(state.asked, dataclasses.replace(asked, **change), tmp_path)
    (tmp_path / "learn.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(ValueError, match="is not of a `learn` that this version continues"):
        commands.read(tmp_path)


def test_a_folder_of_something_else(tmp_path):
    assert commands.read(tmp_path / "none") is None
    assert commands.read(tmp_path) is None
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"has no learn.json and is not empty. Name another output=."):
        commands.read(tmp_path)
    with pytest.raises(ValueError, match="Name another output="):
        commands.read(tmp_path / "thesis.txt")


def test_the_same_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = commands.absolute(Asked("csv:v", weights="kinetics", labels="l.txt"))
    assert (first.source, first.weights, first.labels) == (f"csv:{tmp_path}/v", "kinetics", f"{tmp_path}/l.txt")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert commands.absolute(Asked("csv:../v", labels="../l.txt")) == first
