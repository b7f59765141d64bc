"""Averages of weights and statistics, and runs with all that a recipe can turn on: what they keep, that they resume."""

import csv
import dataclasses
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import tiny
from made.tiny_runs import EVERYTHING, RECIPE, leave, left_at, losses, state, train

from keras_i3d import runs
from keras_i3d.models.recurrent import BatchNormLSTM
from keras_i3d.training import checkpoints, run
from keras_i3d.training.averaging import Averages, renew_statistics
from keras_i3d.training.run_writer import RunWriter
from keras_i3d.weights import h5_files
from keras_i3d.weights.by_name import layer_weights

pytestmark = pytest.mark.usefixtures("short")


def test_averages_of_three_updates():
    """Shares 9/11 and 9/12 of the way, until 1 - decay is more; the statistics of batch norms with the weights."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)])
    model.set_weights([np.full(2, value, "float32") for value in (1.0, 0.0, 0.0, 1.0)])
    averages, expected = Averages(model, 0.3), [1.0, 0.0, 0.0, 1.0]
    assert [averages.share(update) for update in (1, 2, 3)] == pytest.approx([9 / 11, 9 / 12, 0.7])
    for update, part in ((1, 9 / 11), (2, 9 / 12), (3, 0.7)):
        for place, weight in enumerate(model.weights):
            weight.assign(np.full(2, 10.0 * update + place))
            expected[place] += part * (10 * update + place - expected[place])
        averages.move(update)
    own = model.get_weights()
    with averages.in_place():
        np.testing.assert_allclose([weight[0] for weight in model.get_weights()], expected, rtol=1e-6)
    np.testing.assert_array_equal(model.get_weights(), own)


def test_renewed_statistics_are_means_over_the_batches():
    """Of two layers, the second under the first; a frozen one keeps its own, and so does the momentum."""
    norms = [keras.layers.BatchNormalization(axis=-1, momentum=0.99, epsilon=0.0) for _ in range(3)]
    model = keras.Sequential([keras.Input((4, 3)), *norms])
    norms[2].trainable = False
    norms[0].gamma.assign(np.full(3, 2.0))
    x = np.random.default_rng(0).normal(3.0, 2.0, (2, 5, 4, 3)).astype("float32")
    clips = tf.data.Dataset.from_tensor_slices((x, np.zeros((2, 5)))).repeat()
    renew_statistics(model, clips, 2)
    np.testing.assert_allclose(norms[0].moving_mean, x.mean((1, 2)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(norms[0].moving_variance, x.var((1, 2)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(norms[1].moving_variance, np.full(3, 4.0), rtol=1e-4)  # gamma ** 2, in each batch
    np.testing.assert_array_equal(norms[2].moving_variance, np.ones(3))
    assert [layer.momentum for layer in norms] == [0.99] * 3


def test_no_statistics_to_renew(capsys):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="plain")
    renew_statistics(model, tf.data.Dataset.from_tensors((np.ones((2, 3)), np.zeros(2))), 9)
    assert "precise_bn has nothing to do: plain has no batch norm" in capsys.readouterr().err


def test_renewed_statistics_of_a_recurrent_layer():
    """Its steps share them, and count alike: the mean over batches and steps."""
    layer = BatchNormLSTM(2, norms="x")
    model = keras.Sequential([keras.Input((3, 4)), layer])
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4)).astype("float32")
    renew_statistics(model, tf.data.Dataset.from_tensor_slices((x, np.zeros((2, 5)))), 2)
    products = x @ np.asarray(layer.kernel)  # (batches, clips, steps, width)
    np.testing.assert_allclose(layer.means["x"][0], products.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(layer.variances["x"][0], products.var(1).mean((0, 1)), rtol=1e-4)


# Batches, two an update, after which the run is killed: before more is trained, just then, and in the midst of both.
LEFT = {
    7: pytest.param(7, id="before unfreezing", marks=pytest.mark.slow),
    8: pytest.param(8, id="at it", marks=pytest.mark.slow),
    9: pytest.param(9, id="after it"),
    12: pytest.param(12, id="after a validation", marks=pytest.mark.slow),
}


@pytest.fixture(scope="module")
def finished(records, tmp_path_factory):
    """A run with everything on, and copies of what a kill after some batches leaves: see `LEFT`."""
    output = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        for step in LEFT:
            leave(patch, output, step)
        train(records, output, EVERYTHING)
    return output


@pytest.mark.parametrize("step", LEFT.values())
def test_a_killed_run_ends_with_the_same_weights(step, finished, records, tmp_path):
    """With everything on, to the bit: weights, averages, momenta, statistics, figures. By SIGKILL: `test_kills.py`."""
    output = shutil.copytree(left_at(finished, step), tmp_path / "run")
    train(records, output, EVERYTHING)
    expected = state(finished)
    for name, value in state(output).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert losses(output) == losses(finished)
    for a, b in zip(*(runs.load_model(each, best=False).get_weights() for each in (finished, output))):
        np.testing.assert_array_equal(a, b)


def averages_of(output):
    """{layer: arrays} of the averages in the last checkpoint of a run with everything on."""
    saved, found = checkpoints.newest(output / "checkpoints"), runs.read(output)
    model = run.build(found)
    model.set_weights(saved.arrays[-len(model.weights) :])
    return layer_weights(model)


def test_what_is_kept_are_the_averages(finished, records):
    """In `model.keras`, with statistics of their own; the best weights are those of a validation, as measured."""
    averages, final = averages_of(finished), layer_weights(runs.load_model(finished, best=False))
    moved = []
    for name, arrays in final.items():
        for place, array in enumerate(arrays):
            if "batch_norm" in name and place > 0:  # beta, mean, variance
                moved.append((array != averages[name][place]).any())
            else:
                np.testing.assert_array_equal(array, averages[name][place], err_msg=name)
    assert len(moved) > 2
    assert all(moved)
    best = h5_files.facts_of(finished / "best.weights.h5").source
    model = runs.load_model(finished, best=True)
    model.compile(metrics=["accuracy"], loss="sparse_categorical_crossentropy")
    clips = run._clips(runs.read(finished), f"{records}/test-*")
    assert f"val_top1 {model.evaluate(clips, verbose=0)[1]:.4f}" in best


def test_layers_begin_to_learn_when_they_are_to(finished):
    """Four updates of the first convolution's seven are none: its state is of a run that left it alone until then."""
    before = checkpoints.newest(left_at(finished, 7) / "checkpoints")
    after = checkpoints.newest(finished / "checkpoints")
    found = runs.read(finished)
    names = [weight.path for weight in run.build(found).variables]
    first = names.index("Conv3d_1a_7x7_conv_3d/kernel")
    keras.utils.set_random_seed(found.seed)
    np.testing.assert_array_equal(before.arrays[first], run.build(found).variables[first])
    assert (after.arrays[first] != before.arrays[first]).all()
    assert len(after.arrays) > len(before.arrays)  # momenta


def epochs(model, clips, callbacks, validation_data, steps_per_epoch, initial_epoch, epochs):
    """In place of `workers.fit`: epochs of one step, in which nothing is trained, with these accuracies."""
    del clips, validation_data, steps_per_epoch
    model.stop_training = False
    (writer,) = (each for each in callbacks if isinstance(each, RunWriter))
    for epoch in range(initial_epoch, epochs):
        writer.set_model(model)
        writer.step += 1
        figures = {"loss": 1.0, "top1": 0.0, "top5": 0.0, "val_top1": (0.5, 0.75, 0.75, 0.5, 1.0, 1.0)[epoch]}
        writer.on_epoch_end(epoch, figures)
        if model.stop_training:
            break


@pytest.mark.parametrize("trains", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_that_ends_early(trains, records, tmp_path, monkeypatch, capsys):
    """After two validations without a better one; the same command leaves it as it is."""
    if trains:
        whole, figures = RunWriter.on_epoch_end, iter((0.5, 0.75, 0.75, 0.5, 1.0, 1.0))
        changed = lambda self, epoch, logs=None: whole(self, epoch, {**logs, "val_top1": next(figures)})  # noqa: E731
        monkeypatch.setattr(RunWriter, "on_epoch_end", changed)
    else:
        monkeypatch.setattr(run.workers, "fit", epochs)
    recipe = dataclasses.replace(RECIPE, steps=6, validate_every=1, patience=2)
    first = "ended early, after step 4 of 6: 2 validations without a better one than val_top1 0.7500 (patience=2)"
    for expected in (first, f"{first}, and nothing was written. More patience continues it"):
        train(records, tmp_path, recipe)
        assert expected in capsys.readouterr().err
        rows = list(csv.DictReader((tmp_path / "log.csv").open()))
        assert [float(row["val_top1"]) for row in rows] == [0.5, 0.75, 0.75, 0.5]
    assert (tmp_path / "model.keras").exists()
    train(records, tmp_path, recipe, settings={"patience": "4"})  # more of it continues the run
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [float(row["val_top1"]) for row in rows] == [0.5, 0.75, 0.75, 0.5, 1.0, 1.0]


def test_patience_needs_a_validation(records, tmp_path):
    with pytest.raises(ValueError, match="patience counts validations. Received: patience=2 without a validation"):
        train(records, tmp_path / "run", dataclasses.replace(RECIPE, patience=2), validation=None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_steps": 7}, "warmup_steps must end before the last update. Received: warmup_steps of 7 and steps=7"),
        (
            {"train_from": "Mixed_5b", "unfreeze": ((3, "Mixed_4b"), (7, "all"))},
            "unfreeze must end before the last update. Received: unfreeze of 7 and steps=7",
        ),
    ],
)
def test_what_a_run_would_end_before_is_refused(records, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(records, tmp_path / "run", dataclasses.replace(RECIPE, **settings))
    assert not (tmp_path / "run").exists()
