"""What can be seen of a run: its pictures, and the norm of its gradients; those of a whole run are in `test_run.py`."""

import dataclasses

import keras
import numpy as np
import pytest
from made import tiny
from made.tiny_runs import RECIPE

from keras_i3d import data, runs, training
from keras_i3d.specs import RecordSpec
from keras_i3d.training import example_clips, optimizing
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.confusions import Confusions
from keras_i3d.training.example_clips import Example, Examples, choose
from keras_i3d.training.run_pictures import RIGHT, WRONG, _named, contact_sheet


def test_a_sheet_shows_each_clip_with_its_flow_and_its_strip(records):
    recipe = dataclasses.replace(RECIPE, frame_stride=1)
    run = runs.Run(stream="rgb", labels=tiny.LABELS, spec=RecordSpec(short_side=32), recipe=recipe)
    examples = [*Examples(run, f"{records}/test-*", 3)]
    assert [(example.id, int(example.y)) for example in examples] == [("test/0", 0), ("test/1", 1), ("test/2", 2)]
    for x, (_, example) in zip(data.load(f"{records}/test-*", "both", 9, size=32), zip(range(3), examples)):
        for stream in ("rgb", "flow"):
            np.testing.assert_array_equal(x[0][stream][0], example.x[stream])
    answers = iter(([0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]))
    sheet = contact_sheet(examples, lambda clip, training: np.array([next(answers)]), run, "now")
    above, clip = 14, 14 + 2 * 112 + 14 + 2 + 6  # the title; of each clip its line, pictures, times and what is between
    assert sheet.shape == (above + 2 * clip, 2 * (4 + 3 * 114 + 8), 3)
    assert [tuple(sheet[above + 50, 2]), tuple(sheet[above + 50, 356]), tuple(sheet[above + clip + 50, 2])] == [
        RIGHT, WRONG, RIGHT
    ]  # fmt: skip
    flows = [sheet[above + 14 + 112 + 56, left + 4 + 56] for left in (0, 354)]
    assert [int(np.argmax(colour)) for colour in flows] == [2, 0]  # to the left is cyan and blue, to the right red


def test_of_several_labels_those_are_named_that_are_probable():
    run = runs.Run(stream="rgb", labels=("a", "b", "c"), spec=RecordSpec(), recipe=RECIPE, labelling="multi")

    def named(classes, answers, run=run):
        example = Example("id", np.array(classes, np.float32), {"rgb": np.zeros((9, 8, 8, 3), np.float32)})
        return _named(example, lambda clip, training: np.array([answers]), run)

    assert named([1, 1, 1], [0.9, 0.8, 0.01]) == ("a + b + c", "a 90% + b 80%", False)
    assert named([1, 0, 1], [0.6, 0.1, 0.7]) == ("a + c", "c 70% + a 60%", True)
    assert named([0, 0, 0], [0.1, 0.4, 0.2]) == ("no label", "nothing, at most b 40%", True)
    assert named([0, 0, 0], [0.5, 0.1, 0.2]) == ("no label", "a 50%", False)
    assert named([1, 0, 0], [0.4, 0.1, 0.2]) == ("a", "nothing, at most a 40%", False)
    single = dataclasses.replace(run, labelling="single")
    assert named(0, [0.4, 0.3, 0.3], single) == ("a", "a 40%", True), "the most probable one"


def test_small_clips_are_decoded_once_and_large_ones_each_time(records, monkeypatch):
    recipe = dataclasses.replace(RECIPE, frame_stride=1)
    run = runs.Run(stream="rgb", labels=tiny.LABELS, spec=RecordSpec(short_side=32), recipe=recipe)
    whole, passes = Examples._decoded, []
    monkeypatch.setattr(Examples, "_decoded", lambda self: passes.append(0) or whole(self))
    examples = Examples(run, f"{records}/test-*", 2)
    size = sum(clip.nbytes for example in examples for clip in example.x.values())
    assert [example.id for example in examples] == [example.id for example in examples] == ["test/0", "test/1"]
    assert len(passes) == 1
    monkeypatch.setattr(example_clips, "KEPT", size - 1)
    examples = Examples(run, f"{records}/test-*", 2)
    assert [example.id for example in examples] == [example.id for example in examples] == ["test/0", "test/1"]
    assert len(passes) == 3


def test_examples_are_of_as_many_classes_as_can_be():
    source = data.Source(
        files=("a", "b"),
        ids=(tuple(f"a{i}" for i in range(5)), ("b0", "b1", "b2")),
        sizes=(None, None),
        classes=(((0,), (0,), (0,), (0,), (1,)), ((0,), (2,), (0,))),
    )
    assert choose(source, 3) == [(0, 0), (0, 4), (1, 1)]
    assert choose(source, 5) == [(0, 0), (0, 1), (0, 4), (1, 0), (1, 1)]
    assert len(choose(source, 100)) == 8
    unknown = dataclasses.replace(source, classes=())
    assert choose(unknown, 3) == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradient_norms_are_those_before_clipping(accumulate):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.1))])
    recipe = training.Recipe(steps=5, batch_size=4, learning_rate=0.1, clip_norm=0.01, accumulate=accumulate)
    compile_model(model, recipe)
    draw = np.random.default_rng(0)
    found = []
    for _ in range(3):
        x, y = draw.normal(size=(4, 3)).astype("float32"), draw.integers(0, 4, 4)
        kernel, bias = model.get_weights()
        wrong = np.exp(x @ kernel + bias)
        wrong = (wrong / wrong.sum(axis=1, keepdims=True) - np.eye(4)[y]) / 4
        found.append(np.sqrt(((x.T @ wrong + 0.2 * kernel) ** 2).sum() + (wrong.sum(axis=0) ** 2).sum()))
        for part in range(accumulate):
            model.train_on_batch(x[part::accumulate], y[part::accumulate])
    assert optimizing.mean_norm(model.optimizer) == pytest.approx(np.mean(found), rel=1e-5)
    assert optimizing.mean_norm(model.optimizer) is None


def test_confusions_of_a_head_leave_out_the_clips_of_others():
    metric = Confusions(2, first=1)
    assert np.isnan(metric.result())
    logits = np.eye(4, dtype="float32")[[1, 2, 2, 0, 3]]  # of the head's own two classes: 0, 1, 1, 0 by place, 0
    metric.update_state(np.array([1, 1, 2, 2, 0]), logits)
    np.testing.assert_array_equal(metric.matrix(), [[1, 1], [1, 1]])
    metric.update_state(np.eye(4, dtype="float32")[[2]] * 0.7, np.eye(4, dtype="float32")[[2]])  # a mixed target
    np.testing.assert_array_equal(metric.matrix(), [[1, 1], [1, 2]])
    assert float(metric.result()) == pytest.approx((1 / 2 + 2 / 3) / 2)
