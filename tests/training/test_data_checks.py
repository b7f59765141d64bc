"""What a fit check finds before a long run: sick records, and learning rates far off."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import tiny
from made.tiny_runs import RECIPE

from keras_i3d import training
from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import RecordSpec
from keras_i3d.training import checkpoints, fit_checking, optimizing, rate_range
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.data_checks import check_labels


@pytest.fixture
def sick(tmp_path, monkeypatch):
    """Six videos in folders of three classes, labelled as the next class: four of one picture, two without flow."""
    spec, ids, draw = RecordSpec(short_side=32), [], np.random.default_rng(0)
    fields = np.zeros((11, 32, 40, 2), "float32")
    monkeypatch.setattr(sequence_example, "stream", lambda frames, method, workers: fields[: len([*frames]) - 1])
    name = manifest.shard_name("train", 0, 1)
    with tf.io.TFRecordWriter(str(tmp_path / name)) as file:
        for i in range(6):
            index = (i + 1) % 3
            frames = draw.integers(0, 256, (12, 32, 40, 3), "uint8")
            frames = frames if i < 2 else frames[:1].repeat(12, axis=0)
            ids.append(f"{tiny.LABELS[i % 3].upper()}/{i}.mp4")
            said = {"id": ids[-1], "label": tiny.LABELS[index], "index": index, "split": "train"}
            file.write(sequence_example.encode(frames, spec, workers=1, **said))
    shard = manifest.Shard(name, tuple(ids), (tmp_path / name).stat().st_size)
    manifest.Manifest("train", tiny.LABELS, spec, (shard,)).write(tmp_path)
    return tmp_path


def linear(run, *_, **__):
    """In the place of `run.build`: a network that learns a few clips in no time."""
    size = run.recipe.size
    layers = [keras.layers.AveragePooling3D((9, 4, 4)), keras.layers.Flatten(), keras.layers.Dense(len(run.labels))]
    return keras.Sequential([keras.Input((9, size, size, 3)), *layers])


def test_sick_records_do_not_pass(sick, monkeypatch):
    monkeypatch.setattr(fit_checking, "build", linear)
    result = training.fit_check(sick, recipe=RECIPE, weights=None, clips=6, range_steps=0)
    assert result.top1 == 1
    assert not result.passed
    assert str(result).splitlines()[1:] == [
        "WRONG: labels: of 6 records in a folder of a class's name, 6 have another label: LEFT/0.mp4 is labelled "
        "right, RIGHT/1.mp4 is labelled still, STILL/2.mp4 is labelled left, and 3 more. The labels belong to other "
        "videos; correct the annotations, or take the folders as labels, and make the records again.",
        "WRONG: frames: in 4 of 6 clips all frames are equal: STILL/2.mp4, LEFT/3.mp4, RIGHT/4.mp4, and 1 more. Look "
        "at them (`keras-i3d show`): a video of one picture holds no motion to learn.",
        "WRONG: flow: 2 of 2 clips whose frames change have no flow: LEFT/0.mp4, RIGHT/1.mp4. Make the records again "
        "with --flow_method=tvl1.",
    ]


def test_labels_are_held_against_folders_of_their_names_alone():
    labels = ("apply eye makeup", "archery")
    right = [("ApplyEyeMakeup/v_1.avi", (0,)), ("a/Archery/2.avi", (0, 1)), ("train/3", (1,)), ("4.avi", (0,))]
    assert check_labels(right, labels) == []
    (found,) = check_labels([*right, ("archery/5.avi", (0,)), ("archery/6.avi", ())], labels)
    assert (found.wrong, "of 3 records" in found.text, "1 have another label: archery/5.avi is" in found.text) == (
        False, True, True
    )  # fmt: skip


def test_the_range_of_a_network_whose_range_is_known():
    """Of least squares whose curvature is c along each axis, gradient descent falls below 2 / c and diverges above."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False), keras.layers.Dropout(0.0)])
    held = optimizing.HeldRate()
    model.compile(keras.optimizers.SGD(held, momentum=0.5), "mse")
    model.optimizer.build(model.trainable_variables)
    model.layers[0].set_weights([np.full((4, 1), 3, "float32")])
    x = np.eye(4, dtype="float32") * 2  # the mean square of 4 rows: curvature 2 * 4 / 4 = 2
    before = [np.asarray(variable).copy() for variable in checkpoints.variables(model)]
    measured = rate_range.measure(model, held, [(x, np.zeros((4, 1)))] * 41, (1e-5, 100.0))
    for variable, value in zip(checkpoints.variables(model), before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert 1e-3 < measured.low < 0.1 < measured.suggested < measured.high < 4
    assert measured.rates[-1] < 100  # it stopped where it diverged
    assert measured.suggested == pytest.approx((measured.low * measured.high) ** 0.5)
    far = measured.high * 11
    assert measured.finding(far).wrong
    assert f"{far:g} is more than 10 times above where the loss falls" in measured.finding(far).text
    assert measured.finding(measured.low / 11).wrong
    assert [measured.finding(rate).wrong for rate in (measured.high * 9, measured.suggested, measured.low / 9)] == [
        False
    ] * 3


def test_a_loss_that_does_not_fall_says_nothing_of_the_rate():
    losses = 1.1 + 0.1 * np.random.default_rng(1).normal(size=41)
    measured = rate_range.analysed(np.geomspace(1e-5, 10, 40), losses)
    assert (measured.low, measured.suggested, measured.finding(0.1).wrong) == (None, None, False)
    assert "none from 1e-05 to 1e+01 lets the loss fall within 40 steps" in measured.finding(0.1).text
    falls = np.concatenate([losses[:20], np.linspace(1.1, 0.1, 10), np.linspace(0.1, 3, 11)])
    measured = rate_range.analysed(np.geomspace(1e-5, 10, 40) * 12, falls, share=12)
    assert 19 <= np.searchsorted(measured.rates, measured.low) < np.searchsorted(measured.rates, measured.high) <= 31
    # In proportion to a batch 12 times as large; below, the rates that were tried count.
    assert [measured.finding(measured.low / by).wrong for by in (11 * 12, 9 * 12)] == [True, False]


@pytest.mark.slow
def test_a_check_begins_with_the_weights_of_the_run(records, tmp_path, monkeypatch, capsys):
    """The range test before it changes nothing of what is learnt by heart, and is drawn."""
    monkeypatch.setattr(fit_checking, "build", linear)
    found = []
    for steps in (0, 3):
        keras.utils.set_random_seed(0)
        result = training.fit_check(
            f"{records}/train-*", recipe=RECIPE, weights=None, steps=2, range_steps=steps, output=tmp_path / "run"
        )
        found.append(result.loss)
    assert found[0] == found[1]
    assert len(result.rates.rates) == 3
    assert (tmp_path / "run/range.png").read_bytes()[:4] == b"\x89PNG"
    assert "range.png: the loss at each learning rate" in capsys.readouterr().err


def test_held_rates_are_those_of_the_next_step():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    compile_model(model, training.Recipe(steps=5, batch_size=2, learning_rate=0.1, momentum=0.0))
    model.optimizer.learning_rate = held = optimizing.HeldRate(0.0)
    x, y, kept = np.ones((2, 3), "float32"), np.array([0, 1]), model.get_weights()
    model.train_on_batch(x, y)
    np.testing.assert_array_equal(model.get_weights()[0], kept[0])
    held.rate.assign(0.5)
    model.train_on_batch(x, y)
    assert np.abs(model.get_weights()[0] - kept[0]).max() > 0.01
