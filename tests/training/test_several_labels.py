"""Runs of several labels a clip and of labels over time: what they end in, measure and resume with."""

import csv
import dataclasses

import numpy as np
import pytest
from made import label_records, small_records, tiny, tiny_runs

from keras_i3d import average_precision, data, networks, runs, time_steps, training
from keras_i3d.models.inception import HEAD
from keras_i3d.weights import h5_files

RECIPE = dataclasses.replace(
    tiny_runs.RECIPE, steps=6, boundaries=(), rates=(), short_sides=None, color_jitter=0.0, validate_every=3,
    balance="equal", class_weights="sqrt", label_smoothing=0.1, learning_rate=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records of both kinds: MULTI/train, and so on."""
    folder = tmp_path_factory.mktemp("labels")
    for labelling in ("multi", "timed"):
        label_records.split(folder / labelling, "train", 10, labelling)
        label_records.split(folder / labelling, "test", 7, labelling, first=20)
    return folder


def rows(output):
    return list(csv.DictReader((output / "log.csv").open()))


def same(one, other):
    """Whether two runs ended with the same state to the bit, and said the same on the way."""
    first, second = tiny_runs.state(one), tiny_runs.state(other)
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    said = [[{k: v for k, v in row.items() if k not in ("time", *NOISE)} for row in rows(o)] for o in (one, other)]
    assert said[0] == said[1]


NOISE = ("clips_per_second", "waiting")


@pytest.mark.slow
def test_labels_over_time(short, folder, tmp_path, monkeypatch):
    """A run resumes to the bit; its mean average precision is that of the frames by what it saved."""
    output = tmp_path / "run"
    tiny_runs.leave(monkeypatch, output, 4)
    tiny_runs.train(folder / "timed", output, RECIPE)
    monkeypatch.undo()
    tiny.shorten(monkeypatch)
    tiny_runs.train(folder / "timed", tiny_runs.left_at(output, 4), RECIPE)
    same(output, tiny_runs.left_at(output, 4))
    assert {"loss", "exact", "val_loss", "val_exact", "val_map"} <= set(rows(output)[0])
    assert not {"map", "top1", "val_top1"} & set(rows(output)[0])

    network = networks.load(output / runs.MODEL)
    assert (network.facts.activation, network.run.labelling, network.run.measure) == ("sigmoid", "timed", "map")
    model, family = network.to_rows(), network.family
    scores, truths = [], []
    for x, y in data.load(folder / "timed" / "test-00000-of-00001.tfrecord", clip_frames=9, size=32):
        found = model.predict(x, verbose=0).mean((2, 3))
        scores.append(time_steps.matrix(9, found.shape[1], family.step, family.window) @ found[0])
        truths.append(y[0])
    found = average_precision.average_precision(np.concatenate(scores), np.concatenate(truths))
    assert average_precision.mean(found) == pytest.approx(float(rows(output)[-1]["val_map"]), rel=1e-4)
    reached = max(float(row["val_map"]) for row in rows(output))
    assert f"val_map {reached:.4f}" in h5_files.facts_of(output / runs.BEST).source


@pytest.mark.slow
def test_a_head_of_the_same_labels_is_where_another_run_starts(short, folder, tmp_path, capsys):
    """As of the published Charades weights: a run of labels over time from weights with a sigmoid head."""
    recipe = dataclasses.replace(RECIPE, steps=1, validate_every=1, learning_rate=1e-9, warmup_steps=0)
    first = tiny_runs.train(
        folder / "multi", tmp_path / "multi", dataclasses.replace(recipe, mixup=0.4), validation=None
    )
    second = tiny_runs.train(folder / "timed", tmp_path / "timed", recipe, weights=tmp_path / "multi", validation=None)
    for one, other in zip(first.get_layer(HEAD).get_weights(), second.get_layer(HEAD).get_weights()):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert "is new and must be trained" not in capsys.readouterr().err


def test_fit_check(short, folder):
    found = training.fit_check(folder / "multi" / "train-00000-of-00001.tfrecord", recipe=RECIPE, weights=None, clips=6)
    assert found.passed, found
    assert "all labels right of 100%" in str(found)


def test_what_cannot_be_trained_together(short, folder, tmp_path):
    train = {labelling: f"{folder}/{labelling}/train-*" for labelling in ("multi", "timed")}
    with pytest.raises(ValueError, match="one class a video. Received: multi, whose labelling is multi"):
        training.train(train, tmp_path / "run", recipe=RECIPE, weights=None, progress=False)
    with pytest.raises(ValueError, match="labelled alike. Received: .*, multi, and .*, timed"):
        tiny_runs.train(folder / "multi", tmp_path / "run", RECIPE, validation=f"{folder}/timed/test-*")


@pytest.mark.slow
def test_everything_on_resumes_to_the_bit(short, folder, tmp_path, monkeypatch):
    """Mixed clips, repeats, balance, accumulation: killed in the middle of an epoch, and right after a validation."""
    drawn = {"mixup": 0.4, "cutmix": 1.0, "repeats": 2, "accumulate": 2, "erase": 0.3, "ema": 0.9, "optimizer": "adamw"}
    recipe = dataclasses.replace(RECIPE, **drawn, batch_size=8, learning_rate=0.01, save_every=1, clip_norm=None)
    output = tmp_path / "run"
    for step in (5, 7):
        tiny_runs.leave(monkeypatch, output, step)
    tiny_runs.train(folder / "multi", output, recipe)
    monkeypatch.undo()
    tiny.shorten(monkeypatch)
    for step in (5, 7):
        tiny_runs.train(folder / "multi", tiny_runs.left_at(output, step), recipe)
        same(output, tiny_runs.left_at(output, step))


@pytest.mark.slow
def test_balance_and_weights_of_one_class_a_clip_resume(short, tmp_path, monkeypatch):
    small_records.split(
        tmp_path / "records", "train", 12, spec=dataclasses.replace(small_records.SPEC, flow_method=None)
    )
    recipe = dataclasses.replace(RECIPE, balance="sqrt", class_weights="equal", validate_every=2)
    output = tmp_path / "run"
    tiny_runs.leave(monkeypatch, output, 3)
    tiny_runs.train(tmp_path / "records", output, recipe, validation=None)
    monkeypatch.undo()
    tiny.shorten(monkeypatch)
    tiny_runs.train(tmp_path / "records", tiny_runs.left_at(output, 3), recipe, validation=None)
    same(output, tiny_runs.left_at(output, 3))
