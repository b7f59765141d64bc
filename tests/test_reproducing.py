"""docs/reproducing.md: a shell runs its commands up to the library, on folders as the data sets are published."""

import fnmatch
import json
import os
import re
import subprocess

import pytest
from made import ROOT

from keras_i3d import cli, evaluation, recipe_files, records, training
from keras_i3d.evaluation import protocols
from keras_i3d.recipes import RECIPES
from keras_i3d.weights import registry

PAGE = (ROOT / "docs/reproducing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
PUBLISHED = {
    "UCF-101/Run/v_Run_g01_c01.avi": "",
    "UCF-101/Jump/v_Jump_g02_c01.avi": "",
    "ucfTrainTestlist/classInd.txt": "1 Jump\n2 Run\n",
    **{f"ucfTrainTestlist/trainlist0{n}.txt": "Run/v_Run_g01_c01.avi 2\n" for n in (1, 2, 3)},
    **{f"ucfTrainTestlist/testlist0{n}.txt": "Jump/v_Jump_g02_c01.avi\n" for n in (1, 2, 3)},
    "hmdb51_org/wave/a.avi": "",
    "hmdb51_org/wave/b.avi": "",
    **{f"testTrainMulti_7030_splits/wave_test_split{n}.txt": "a.avi 1\nb.avi 2\n" for n in (1, 2, 3)},
    "kinetics400/air drumming/aaaaaaaaaaa_000001_000011.mp4": "",
    "kinetics400/bbbbbbbbbbb.mp4": "",
    "label_map.txt": "abseiling\nair drumming\n",
    "train.csv": "label,youtube_id,time_start,time_end,split,is_cc\nair drumming,aaaaaaaaaaa,1,11,train,0\n",
    "val.csv": "label,youtube_id,time_start,time_end,split,is_cc\nair drumming,bbbbbbbbbbb,1,11,validate,0\n",
    "Charades_v1_480/AAAA1.mp4": "",
    "Charades/Charades_v1_classes.txt": "c000 Holding some clothes\n",
    "Charades/Charades_v1_train.csv": "id,actions\nAAAA1,c000 0.00 12.60\n",
    "Charades/Charades_v1_test.csv": "id,actions\nAAAA1,c000 0.00 12.60\n",
}


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """The words of each `keras-i3d` that the blocks of the page call, as a shell gives them."""
    folder = tmp_path_factory.mktemp("shell")
    program = folder / "keras-i3d"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "" >> words\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    script = "set -eu\n" + "\n".join(BLOCKS)
    subprocess.run(["sh", "-c", script], cwd=folder, env=environment, check=True)
    return [command.split("\n") for command in (folder / "words").read_text().rstrip("\n").split("\n\n")]


def weights_of(network, name, stream):
    """Whether weights of a network are published under a name, for a stream."""
    return registry.has_imagenet(network) if name == registry.IMAGENET else registry.find(name, stream)


@pytest.fixture
def library(tmp_path, monkeypatch):
    """In a folder of all data sets: in place of what computes, what checks and notes; {what: notes}."""
    for name, text in PUBLISHED.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    noted = {"splits": [], "runs": {}, "reports": []}
    report = type("Report", (), {"failed": (), "written": 1, "__str__": lambda self: ""})()

    def there(pattern):
        """The data set whose split, made by an earlier command, a pattern names."""
        folder, _, name = pattern.partition("/")
        found = [made for made in noted["splits"] if made[0] == folder and fnmatch.fnmatch(f"{made[1]}-00000", name)]
        assert len(found) == 1, pattern
        return found[0]

    def build(listing, output, *_, **__):
        assert len(listing.examples) == 1
        assert not listing.missing
        assert (output, listing.split) not in [split[:2] for split in noted["splits"]]
        noted["splits"].append((output, listing.split, listing.name, listing.labels))
        return report

    def train(pattern, output, *, stream, recipe, weights, settings, validation, model, **_):
        assert recipe_files.find(recipe).with_settings(settings) is not None
        assert weights_of("I3D", weights, stream)
        assert (validation, model, output in noted["runs"]) == (None, None, False)
        noted["runs"][output] = (*there(pattern)[:2], stream, recipe, tuple(settings.items()))

    def evaluate(pattern, rgb, flow, protocol, *, fusion, output, **_):
        folder, split, *_ = there(pattern)
        assert split != "train"
        assert str(protocols.parse(protocol)) == "whole"
        for stream, weights in (("rgb", rgb), ("flow", flow)):
            trained_on = noted["runs"].get(weights)
            assert trained_on is None or trained_on[:3] == (folder, "train", stream)
            assert trained_on or weights_of("I3D", weights, stream)
        assert fusion == "sum"
        noted["reports"].append((output, folder, rgb, flow))

    monkeypatch.setattr(records, "build", build)
    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr("keras_i3d.training.run_summary.ending", lambda output, test: ())
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    return noted


def test_every_command_runs_up_to_the_library(commands, library, capsys):
    """What one makes, a later one takes; both streams of each run are of one data set, its training split."""
    for words in commands:
        assert cli.main(words) == 0, (words, capsys.readouterr().err)
    assert {name for _, _, name, _ in library["splits"]} >= {f"ucf101-split{n}" for n in (1, 2, 3)}
    assert {name for _, _, name, _ in library["splits"]} >= {f"hmdb51-split{n}" for n in (1, 2, 3)}
    recipes = {recipe for *_, recipe, _ in library["runs"].values()}
    assert recipes == {*RECIPES} - {"modern-scratch"}
    for data, recipe in (("ucf101-3", "modern-finetune"), ("hmdb51-2", "full-ft"), ("charades", "modern-finetune")):
        trained = [run[2] for run in library["runs"].values() if (run[0], run[3]) == (data, recipe)]
        assert sorted(trained) == ["flow", "rgb"]
    measured = {name for *_, rgb, flow in library["reports"] for name in (rgb, flow)}
    assert {*library["runs"]} - measured == {"runs/fixed-rgb", "runs/original-rgb"}
    assert len({output for output, *_ in library["reports"]}) == len(library["reports"]) == 17
    labels = {folder: labels for folder, _, _, labels in library["splits"]}
    assert labels["k400"] == ("abseiling", "air drumming")  # in the order of the published weights


def test_the_mean_of_three_splits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for n, top1 in ((1, 0.5), (2, 0.75), (3, 1.0)):
        folder = tmp_path / f"reports/ucf101-{n}"
        folder.mkdir(parents=True)
        each = {"rgb": {"top1": top1}, "flow": {"top1": 0.25}, "fused": {"top1": 1.0}}
        (folder / "results.json").write_text(json.dumps({"metrics": each}))
    (script,) = re.findall(r"^```python\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(script, {})
    assert capsys.readouterr().out.splitlines() == ["rgb 75.0", "flow 25.0", "fused 100.0"]


def test_the_figures_are_those_of_the_recipes():
    """What a recipe's docstring expects of top-1 stands on the page. What nobody has checked does not."""
    for name in ("kinetics-rgb", "kinetics-flow", "full-ft", "fixed", "original"):
        figures = re.findall(r"\d+\.\d", re.split(r"Expect\s", RECIPES[name].__doc__)[1])
        assert len(figures) in (2, 4)
        for figure in figures[::2] if name.startswith("kinetics") else figures:  # every other one is top-5
            assert figure in PAGE, (name, figure)
    assert "17.2" not in PAGE
