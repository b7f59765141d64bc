"""A training run's folder, as the rest of the package reads it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from made import small_runs, tiny

import keras_i3d
from keras_i3d import WeightsError, facts, networks, runs, threshold_files
from keras_i3d.export import card
from keras_i3d.specs import RecordSpec
from keras_i3d.training import run_start
from keras_i3d.weights import download


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_runs.run(tmp_path_factory.mktemp("runs") / "flow", "flow", seed=1, best_seed=2)


def test_read(folder):
    run = runs.read(folder)
    assert (run.stream, run.labels, run.recipe.clip_frames, run.recipe.size) == ("flow", ("left", "right", "up"), 9, 32)
    assert run.spec == RecordSpec(short_side=40, flow_method="dis")
    assert (run.folder, run.facts.depth_multiplier, run.recipe.precision) == (folder, 0.01, "float32")
    assert run.log()[1]["val_top1"] == pytest.approx(0.7)
    assert runs.read(folder / "best.weights.h5") == run
    assert runs.is_run(folder)
    assert not runs.is_run(folder.parent)
    assert not runs.is_run("kinetics")
    assert not runs.is_run(None)


def test_load_model_takes_the_best_or_the_last(folder, capsys):
    last, best = (small_runs.model("flow", seed).get_weights() for seed in (1, 2))
    for path, settings, expected in (
        (folder, {}, best),
        (folder, {"best": False}, last),
        (folder / "model.keras", {}, last),
        (folder / "best.weights.h5", {}, best),
        (folder / "best.weights.h5", {"best": False}, last),
    ):
        model = runs.load_model(path, **settings)
        assert model.input_shape == (None, None, None, None, 2)
        for array, wanted in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(array, wanted)
    assert any((a != b).any() for a, b in zip(last, best))
    said = capsys.readouterr().err
    assert said.count("\n") == 1  # of the one that did not say which
    assert f"the best weights are taken, best.weights.h5; {folder / 'model.keras'} names the last" in said


def test_all_roads_take_the_same_weights(folder):
    """Whatever loads a run by its folder: verbs, builders, a run that starts from it, and the card of an export."""
    best = small_runs.model("flow", 2).get_weights()
    network = networks.load(folder)
    built = keras_i3d.I3D(weights=folder, stream="flow", input_shape=(None, None, None, 2))
    for found in (network.model, built, runs.load_model(run_start.initial_weights(began(folder)))):
        for array, wanted in zip(found.get_weights(), best, strict=True):
            np.testing.assert_array_equal(array, wanted)
    assert network.origin == str(folder / "best.weights.h5")
    assert card.provenance(folder, "flow", network.model)["file"] == "best.weights.h5"
    assert card.provenance(folder / "model.keras", "flow", network.model)["file"] == "model.keras"
    assert run_start._weights_digest(folder) == download.sha256(folder / "best.weights.h5")


def began(folder):
    """A Run that starts from another one."""
    return dataclasses.replace(runs.read(folder), weights=str(folder))


def test_what_is_no_run(folder, tmp_path):
    with pytest.raises(ValueError, match="A training run is a folder with a run.json. Received: .*nowhere"):
        runs.read(tmp_path / "nowhere")
    content = json.loads((folder / "run.json").read_text())
    for broken in (
        "{",
        "[]",
        json.dumps({**content, "spec": {"colour": 3}}),
        json.dumps({**content, "stream": "depth"}),
    ):
        (tmp_path / "run.json").write_text(broken)
        with pytest.raises(ValueError, match="is not of a run that this version reads"):
            runs.read(tmp_path)


def test_a_run_that_has_not_ended(folder, tmp_path, capsys):
    shutil.copy(folder / "run.json", tmp_path)
    with pytest.raises(ValueError, match=r"no model\.keras: its training has not ended.*again to end it\.$"):
        runs.load_model(tmp_path)
    with pytest.raises(ValueError, match="no best.weights.h5"):
        runs.load_model(tmp_path, best=True)
    shutil.copy(folder / "best.weights.h5", tmp_path)
    assert runs.weights_file(tmp_path) == tmp_path / "best.weights.h5"
    assert "its training has not ended" in capsys.readouterr().err
    with pytest.raises(ValueError, match="for its best weights so far"):
        runs.load_model(tmp_path / "model.keras")


def test_a_model_that_does_not_fit(folder, tmp_path):
    content = json.loads((folder / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**content, "labels": ["left", "right"]}))
    shutil.copy(folder / "model.keras", tmp_path)
    with pytest.raises(WeightsError, match="says flow, 2 classes; the model has 2 channels, 3 classes"):
        runs.load_model(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"PK broken")
    with pytest.raises(WeightsError, match="not a readable .keras model"):
        runs.load_model(tmp_path)


def test_a_run_of_several_heads(folder, tmp_path):
    """Each of its folders is a run; it is none itself. Its names come from a file, which may be anybody's."""
    shutil.copytree(folder, tmp_path / "a")
    (tmp_path / "run.json").write_text(runs.text_of_heads(["a", "b"]))
    assert runs.head_names(tmp_path) == ("a", "b")
    assert runs.head_names(folder) == runs.head_names(tmp_path / "nowhere") == ("",)
    assert runs.is_run(tmp_path)
    choices = f"a head for each. Received: .* Pass one of: {tmp_path}/a, {tmp_path}/b$"
    for refused in (runs.read, runs.weights_file, runs.load_model):
        with pytest.raises(ValueError, match=choices):
            refused(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path}/a/best.weights.h5, {tmp_path}/b/best.weights.h5$"):
        runs.read(tmp_path / "best.weights.h5")
    content = json.loads((folder / "run.json").read_text())
    (tmp_path / "a/run.json").write_text(json.dumps({**content, "shared_with": ["b"]}))
    assert runs.read(tmp_path / "a").facts.source == f"training run {tmp_path.name}/a"
    for names in (["../a"], ["a/b"], "a", [1], ["val_a"], [".."]):
        (tmp_path / "run.json").write_text(json.dumps({"heads": names}))
        with pytest.raises(ValueError, match="its heads are no names of folders"):
            runs.read(tmp_path)
    (tmp_path / "a/run.json").write_text(json.dumps({**content, "shared_with": [1]}))
    with pytest.raises(ValueError, match="shared_with are names of data sets"):
        runs.read(tmp_path / "a")


def test_thresholds_come_with_the_weights_of_a_run(tmp_path, capsys, monkeypatch):
    """Built in Python, in the file that it is saved as, with a line where they are of others; not with a new head."""
    tiny.shorten(monkeypatch)
    made = small_runs.run(tmp_path / "rgb", "rgb", network=False, best_seed=3, more={"labelling": "multi"})
    head = facts.head_digest(runs.load_model(made))
    threshold_files.Chosen(small_runs.LABELS, (0.25, 0.5, 0.75), "val", head).write(made)
    for path in (made, made / "best.weights.h5"):
        model = keras_i3d.I3D(weights=str(path), input_shape=(9, 32, 32, 3))
        assert keras_i3d.Classifier(rgb=model).thresholds == (0.25, 0.5, 0.75)
    model.save(tmp_path / "a.keras")
    assert networks.load(str(tmp_path / "a.keras")).facts.thresholds == (0.25, 0.5, 0.75)
    logits = keras_i3d.I3D(weights=str(made), classifier_activation=None)
    assert facts.of(logits).thresholds == (0.25, 0.5, 0.75)
    capsys.readouterr()
    assert facts.of(keras_i3d.I3D(weights=str(made), classes=5)) is None
    assert facts.of(keras_i3d.I3D(weights=str(made), include_top=False)).thresholds is None
    assert "thresholds.json" not in capsys.readouterr().err
    threshold_files.Chosen(small_runs.LABELS, (0.25, 0.5, 0.75), "val", "other").write(made)
    assert facts.of(keras_i3d.I3D(weights=str(made))).thresholds is None
    assert "thresholds.json was chosen for other weights of the run, and is left out" in capsys.readouterr().err
