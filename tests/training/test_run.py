"""Training runs: what they write, that they go on to the step, and what stops them."""

import contextlib
import csv
import dataclasses
import errno
import functools
import io
import json
import os
import shutil
import signal
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import fake_services, tiny
from made.tiny_runs import RECIPE, curves, images, leave, left_at, logged, losses, state, train
from PIL import Image

from keras_i3d import charts, data, recipes, runs, training
from keras_i3d.errors import TrainingError
from keras_i3d.models.inception import HEAD
from keras_i3d.training import run, run_summary, workers
from keras_i3d.training.checkpoints import Checkpoints, newest
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.confusions import Confusions
from keras_i3d.training.objective import SmoothedCrossentropy
from keras_i3d.training.run_progress import Progress
from keras_i3d.training.run_writer import RunWriter
from keras_i3d.weights import h5_files, sources
from keras_i3d.weights.by_name import layer_weights

pytestmark = pytest.mark.usefixtures("short")


@pytest.fixture(scope="module")
def finished(records, tmp_path_factory):
    """A run that nothing interrupted, and its model."""
    output = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        leave(patch, output, 5)
        return output, train(records, output, pictures=4)


@pytest.fixture(scope="module")
def killed(finished):
    """The folder as a kill after step 5 leaves it."""
    return left_at(finished[0], 5)


def test_what_a_run_writes(finished, records):
    output, model = finished
    assert sorted(p.name for p in output.iterdir() if p.name not in ("tensorboard", ".lock", "pictures")) == [
        "best.weights.h5", "best.weights.h5.sha256", "checkpoints", "labels.txt", "log.csv", "model.keras", "run.json"
    ]  # fmt: skip
    assert (output / "labels.txt").read_text().split() == list(tiny.LABELS)
    plan = json.loads((output / "run.json").read_text())
    assert plan["spec"]["short_side"] == 32
    assert (plan["stream"], plan["clips"], plan["recipe"]["validate_every"]) == ("rgb", 9, 3)
    assert plan["recipe"]["bn_momentum"] == recipes.bn_momentum(7) == 0.9
    rows = list(csv.DictReader((output / "log.csv").open()))
    assert [row["step"] for row in rows] == ["3", "6", "7"]
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("top1", "top5", "val_top1"))
    assert [0 <= float(row["waiting"]) <= 1 for row in rows[:2]] == [True, True]
    assert rows[2]["clips_per_second"] == ""  # an epoch of one step, which may have compiled it
    assert len(list((output / "checkpoints").iterdir())) == 2
    clip = np.random.default_rng(0).uniform(-1, 1, (2, 12, 48, 40, 3)).astype("float32")
    scores = keras.models.load_model(output / "model.keras").predict_on_batch(clip)
    np.testing.assert_allclose(scores, model.predict_on_batch(clip), rtol=1e-5)
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-5)
    best = max(float(row["val_top1"]) for row in rows)
    assert f"val_top1 {best:.4f}" in h5_files.facts_of(output / "best.weights.h5").source
    for name in ("best.weights.h5", "model.keras"):
        facts = sources.find(output / name, "rgb").facts
        assert dataclasses.replace(facts, source="") == dataclasses.replace(runs.read(output).facts, source="")
    assert (facts.clip.short_side, facts.clip.crop, facts.clip.fps, facts.clip.frames) == (32, 32, 25, 9)


def test_tensorboard_has_the_curves_of_the_log(finished):
    found = curves(finished[0])
    assert found == logged(finished[0])
    assert {*found} > {(part, name) for part in ("train", "validation") for name in ("loss", "top1", "top5")}
    rates = [float(np.float32(rate)) for rate in (0.05, 0.01, 0.01)]
    assert [(step, rate) for step, rate, _ in found["train", "learning_rate"]] == [*zip((3, 6, 7), rates)]


def test_a_run_draws_its_validations(finished):
    output = finished[0]
    names = sorted(path.name for path in (output / "pictures").iterdir())
    assert names == [f"{tag}-00000000{step}.png" for tag in ("confusions", "examples") for step in (3, 6, 7)]
    found = images(output)
    assert {*found} == {("validation", "examples"), ("validation", "confusions")}
    for (_, tag), points in found.items():
        for (step, image), expected in zip(points, (3, 6, 7), strict=True):
            content = (output / f"pictures/{tag}-{expected:09}.png").read_bytes()
            assert (step, image.encoded_image_string) == (expected, content)
            assert Image.open(io.BytesIO(content)).size == (image.width, image.height)


def test_the_mean_accuracy_of_the_classes_is_logged(finished):
    """Of six clips, two a class; the last row's confusions are those of `model.keras`."""
    output, model = finished
    run = runs.read(output)
    counts = np.zeros((3, 3), int)
    for x, y in data.load(run.validation, clip_frames=9, size=32):
        counts[int(y[0]), int(np.argmax(model(x)))] += 1
    last = run.log()[-1]
    assert last["val_mean_class"] == pytest.approx(np.mean(np.diag(counts) / 2))
    metric = Confusions(3)
    metric.counts.assign(counts)
    assert charts.confusion(metric.matrix(), run.labels) == (output / "pictures/confusions-000000007.png").read_bytes()


def test_a_killed_run_ends_with_the_same_weights(finished, killed, records, tmp_path, capsys, monkeypatch):
    """Killed in the middle of an epoch, one step after a checkpoint. By SIGKILL, at every stage: `test_kills.py`."""
    output = shutil.copytree(killed, tmp_path / "run")
    assert sorted(p.name for p in (output / "checkpoints").iterdir()) == ["step-000000003.npz", "step-000000004.npz"]
    # Pictures that it draws anew: of an update that is not in the log yet, and one that was being written.
    shutil.copy(finished[0] / "pictures/examples-000000006.png", output / "pictures/examples-000000005.png")
    (output / "pictures/.00000000-77-000000-examples-000000003.png").write_bytes(b"half")
    wandb = fake_services.Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(records, output, pictures=4, log="wandb")
    assert "resuming after step 4 of 7" in capsys.readouterr().err
    expected = state(finished[0])
    for name, value in state(output).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert losses(output) == losses(finished[0])
    assert curves(output) == logged(output)  # the epoch before the kill is there, and once
    drawn = [{path.name: path.read_bytes() for path in (each / "pictures").iterdir()} for each in (output, finished[0])]
    assert drawn[0] == drawn[1]
    steps = {key: [step for step, _ in points] for key, points in images(output).items()}
    assert steps == {("validation", "examples"): [3, 6, 7], ("validation", "confusions"): [3, 6, 7]}
    norms = [[row["gradient_norm"] for row in runs.read(folder).log()] for folder in (output, finished[0])]
    assert norms[0] == norms[1]
    assert all(norm > 0 for norm in norms[0])
    rows = [{name: value for name, value in row.items() if value is not None} for row in runs.read(output).log()]
    (sent,) = wandb.runs.values()
    assert [(step, figures["loss"]) for step, figures in sent.rows] == [(row["step"], row["loss"]) for row in rows]
    assert [{*figures, "step", "time"} for _, figures in sent.rows] == [{*row} for row in rows]


def test_a_run_killed_after_an_epoch_logs_the_same(finished, records, tmp_path):
    """The newest checkpoint holds the metrics of the validation then, which are not the next epoch's to begin with."""
    output = shutil.copytree(finished[0], tmp_path / "run")
    (output / "checkpoints/step-000000007.npz").unlink()
    train(records, output)
    assert losses(output) == losses(finished[0])


def test_waiting_and_clips_a_second_are_of_the_training_alone():
    """Data that comes slowly, and a validation that takes long."""

    def slow():
        for _ in range(6):
            time.sleep(0.05)
            yield np.zeros((2, 4), "float32"), np.zeros((2, 1), "float32")

    kinds = tf.TensorSpec((2, 4)), tf.TensorSpec((2, 1))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with contextlib.closing(Progress(6, 0, 2, False)) as bar:
        validating = keras.callbacks.Callback()
        validating.on_test_begin = lambda logs=None: time.sleep(1)
        clips = tf.data.Dataset.from_generator(slow, output_signature=kinds)
        done = model.fit(clips, validation_data=clips.take(1), callbacks=[bar, validating], verbose=0).history
    assert 0.5 < done["waiting"][0] <= 1
    assert done["clips_per_second"][0] > 2 * 5 / 1  # with the validation it took more than a second


def test_the_time_of_a_run_is_said_after_its_first_steps(capsys):
    with contextlib.closing(Progress(10_003, 0, 4, False, accumulate=2)) as bar:
        bar.bar.done, bar.begin, bar.now, bar.batches = 3, 100.0, 101.0, 2
        bar._say_time()
        assert "about 1 h 23 min for 5,000 steps, 1 s each, by the first ones" in capsys.readouterr().err
        bar.bar.done = 9_900
        bar._say_time()
        assert capsys.readouterr().err == ""  # a minute, which the bar will say


def test_ctrl_c_saves_and_a_finished_run_is_left_alone(finished, records, tmp_path, monkeypatch, capsys):
    done = shutil.copytree(finished[0], tmp_path / "done")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in done.rglob("*") if path.is_file()}
    again = train(records, done)
    assert "this run has ended: 7 of 7 steps are done, and nothing was written" in capsys.readouterr().err
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in done.rglob("*") if path.is_file()} == before
    for array, expected in zip(again.get_weights(), finished[1].get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)

    whole = RunWriter.on_train_batch_end

    def interrupt(self, batch, logs=None):
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        whole(self, batch, logs)

    monkeypatch.setattr(RunWriter, "on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(records, tmp_path / "stopped")
    assert "stopping after this step" in capsys.readouterr().err
    assert (tmp_path / "stopped/checkpoints/step-000000005.npz").exists()


def test_more_steps_continue_a_run(finished, records, tmp_path, capsys):
    """From the short epoch that it ended with: the log, `run.json`, and what is said of it."""
    output = shutil.copytree(finished[0], tmp_path / "run")
    train(records, output, settings={"steps": "9"}, progress=True)
    said = capsys.readouterr().err
    assert f"{output}: 9 steps instead of 7, from step 7 on, at a learning rate of 0.01\n" in said
    assert f"{output}: resuming after step 7 of 9" in said
    assert runs.read(output).recipe == dataclasses.replace(runs.read(finished[0]).recipe, steps=9)
    rows = runs.read(output).log()
    assert [row["step"] for row in rows] == [3, 6, 7, 9]
    assert losses(output)[:3] == losses(finished[0])
    assert f"epoch 3, step 9 of 9: loss {rows[-1]['loss']:.3g}, top1 {rows[-1]['top1']:.2%}, validation top1" in said
    assert rows[-1]["top1"] * 8 == pytest.approx(round(rows[-1]["top1"] * 8))  # of two batches alone
    first = next(row for row in rows if row["val_top1"] == max(row["val_top1"] for row in rows))
    assert run_summary.ending(output) == [
        f"best: step {first['step']:.0f}, val_top1 {first['val_top1']:.4f}: {output}/best.weights.h5",
        f"trained: {output}/model.keras",
        f"files: {output} (log.csv, tensorboard, pictures, checkpoints)",
        f"next: keras-i3d evaluate '--records={records}/test-*' --rgb={output}",
    ]
    held_out = f"{records}/test-*"
    for test, weights in ((held_out, f"{output}/model.keras"), ("other/test-*", output)):
        said = run_summary.ending(output, test)[-1]
        assert said == f"next: keras-i3d evaluate '--records={test}' --rgb={weights}"
    with pytest.raises(ValueError, match="steps: 9 and 7"):
        train(records, output)


@pytest.mark.parametrize(
    ("stream", "part"), [("rgb", "head"), pytest.param("flow", "head", marks=pytest.mark.slow), ("rgb", "all")]
)
def test_what_a_recipe_freezes_does_not_change(records, tmp_path, stream, part, finished):
    """Not one bit of it, moving statistics included; all of the rest does. At full width: test_finetuning."""
    source = finished[0] / "best.weights.h5" if stream == "rgb" else None
    recipe = training.Recipe(**{**vars(RECIPE), "steps": 2, "warmup_steps": 1, "part": part})
    settings = {"stream": stream, "weights": source, "validation": None}
    keras.utils.set_random_seed(3)
    model = train(records, tmp_path, recipe, **settings)
    after = layer_weights(model)
    if source:
        before = h5_files.read_h5(source)
    else:
        keras.utils.set_random_seed(3)
        before = layer_weights(run.build(runs.read(tmp_path)))
    everything = [(n, i) for n in after for i in range(len(after[n]))]
    changed = [(n, i) for n, i in everything if (after[n][i] != before[n][i]).any()]
    head = [(n, i) for n, i in everything if n == HEAD]
    assert sum(len(v) for v in after.values()) == len(model.weights)
    assert changed == (head if part == "head" else everything)


def test_another_recipe_in_the_same_folder_is_refused(finished, records):
    with pytest.raises(ValueError, match="learning_rate: 0.05 and 0.1"):
        train(records, finished[0], settings={"learning_rate": "0.1"})
    with pytest.raises(ValueError, match="seed: 3 and 4"):
        train(records, finished[0], seed=4)


def test_a_run_that_cannot_be_kept_does_not_start(records, tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(TrainingError, match="Free some space, or choose another output"):
        train(records, tmp_path / "full")
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="Cannot write in"):
        train(records, tmp_path / "file")


def test_devices_and_batches_that_do_not_divide(records, tmp_path):
    with pytest.raises(ValueError, match="at least 1, or None"):
        training.Recipe(steps=1, batch_size=1, learning_rate=0.1, validate_every=0)
    with pytest.raises(ValueError, match="a divisor of batch_size=4"):
        training.Recipe(steps=1, batch_size=4, accumulate=3, learning_rate=0.1)


def small_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_checkpoints(tmp_path, capsys):
    model = small_model()
    checkpoints = Checkpoints(tmp_path, model)
    assert newest(tmp_path) is newest(tmp_path / "none") is None
    for step in (1, 2, 3):
        model.train_on_batch(np.ones((2, 3)), np.zeros((2, 2)))
        checkpoints.save(step, rows=[step])
        kept = [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["step-000000002.npz", "step-000000003.npz"]
    other = small_model()
    (tmp_path / ".00000000-77-000000-step-000000009.npz").write_bytes(b"half")
    saved = newest(tmp_path)
    assert (saved.step, saved.facts) == (3, {"rows": [3]})
    checkpoints.note(best=0.5)
    saved = newest(tmp_path)
    assert (saved.step, saved.facts) == (3, {"rows": [3], "best": 0.5})
    Checkpoints(tmp_path, other).restore(saved)
    for variable, value in zip((*other.variables, *other.optimizer.variables), kept):
        np.testing.assert_array_equal(variable, value)
    wider = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    wider.compile("sgd", "mse")
    wider.optimizer.build(wider.trainable_variables)
    with pytest.raises(ValueError, match="belongs to another model or optimizer"):
        Checkpoints(tmp_path, wider).restore(saved)


def damaged(content):
    """{kind of damage: bytes}, each of which NumPy or JSON meets with an error of another type."""

    def archive(**arrays):
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()

    def about(text):
        return archive(about=np.frombuffer(text.encode(), np.uint8))

    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    encrypted = bytearray(content)
    encrypted[6] |= 1
    encrypted[content.rindex(b"PK\1\2") + 8] |= 1
    encrypted[content.index(b"PK\1\2") + 8] |= 1
    return {
        "empty": b"", "no zip": b"x" * 100, "cut": content[: len(content) // 2], "flipped": bytes(flipped),
        "an array": array.getvalue(), "pickled": b"\x80\x04N.", "encrypted": bytes(encrypted),
        "no facts": archive(a=np.zeros(3)), "deep": about("[" * 100_000), "null": about("null"), "no JSON": about("{"),
        "another layout": about('{"step": 3, "layout": ["(7,) float32"]}'),
    }  # fmt: skip


def test_every_kind_of_damage_is_damage(tmp_path, capsys):
    model = small_model()
    checkpoints = Checkpoints(tmp_path, model)
    for step in (1, 2):
        checkpoints.save(step)
    path = tmp_path / "step-000000002.npz"
    for kind, content in damaged(path.read_bytes()).items():
        path.write_bytes(content)
        assert newest(tmp_path).step == 1, kind
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        assert f"{path} cannot be read" in said
    (tmp_path / "step-000000001.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="None of the 2 checkpoints in .* can be read. Remove them to restart"):
        newest(tmp_path)


def test_a_checkpoint_that_fails_leaves_the_last_good_one(tmp_path, monkeypatch):
    model = small_model()
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(1)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            checkpoints.save(2)
    model.layers[0].kernel.assign(np.full((3, 2), np.nan))
    with pytest.raises(FloatingPointError, match="not finite after step 2"):
        checkpoints.save(2)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000001.npz"]


def test_a_loss_that_is_not_finite_stops_the_run(records, tmp_path):
    with pytest.raises(TrainingError, match=r"The loss is nan at step \d.*lower learning_rate"):
        train(records, tmp_path, settings={"learning_rate": 1e25, "warmup_steps": 0, "clip_norm": None})


def test_fit_check_learns_a_few_clips_by_heart(records, capsys):
    from keras_i3d import cli

    common = ["train", f"--records={records}/train-*", "--fit_check", "--weights=none", "--set=size=32"]
    small = [
        "--set=clip_frames=9",
        "--set=depth_multiplier=0.125",
        "--set=precision=float32",
        "--set=learning_rate=0.1",
    ]
    assert cli.main([*common, *small, "--set=reference_batch=none"]) == 0
    assert "fit check passed: 8 clips" in capsys.readouterr().out
    result = training.fit_check(
        f"{records}/train-*", recipe=RECIPE, weights=None, settings={"learning_rate": 1e-9}, steps=2
    )
    assert not result.passed
    assert "FAILED: 8 clips, 2 steps" in str(result)


def test_crossentropy_is_kerass():
    logits = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    y = np.array([0, 4, 2, 2])
    ours = SmoothedCrossentropy(0.1)(y, logits)
    kerass = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(np.eye(5)[y], logits)
    np.testing.assert_allclose(ours, kerass, rtol=1e-6)


def test_rows_of_logits_are_each_trained_and_the_last_answers():
    """As of a network that reads a clip frame by frame: (B, rows, classes)."""
    logits = np.random.default_rng(0).normal(size=(4, 3, 7)).astype("float32")
    y = np.array([0, 4, 2, 2])
    each = [SmoothedCrossentropy(0.1)(y, logits[:, row]) for row in range(3)]
    np.testing.assert_allclose(SmoothedCrossentropy(0.1)(y, logits), np.mean(each), rtol=1e-6)
    model = keras.Sequential([keras.Input((3, 7)), keras.layers.Activation("linear")])
    compile_model(model, recipes.find("full-ft"))
    found = model.evaluate(logits, y, verbose=0, return_dict=True)
    assert found["top1"] == pytest.approx(np.mean(logits[:, -1].argmax(axis=-1) == y))
    best = np.argsort(-logits[:, -1], axis=-1)[:, :5]
    assert found["top5"] == pytest.approx(np.mean([label in row for label, row in zip(y, best)]))


def test_released_schedules():
    """kinetics-i3d README: 115k and 155k steps, minibatch 6 on 64 replicas."""
    rgb, flow = recipes.find("kinetics-rgb"), recipes.find("kinetics-flow")
    assert (rgb.steps, rgb.boundaries, rgb.rates, rgb.weight_decay) == (115_000, (97_000, 108_000), (0.01, 0.001), 1e-7)
    assert (flow.steps, flow.boundaries[2], flow.rates[2]) == (155_000, 115_000, 0.1)
    small = rgb.with_settings({"batch_size": "24"}).scaled()
    assert (small.steps, small.boundaries, small.reference_batch) == (1_840_000, (1_552_000, 1_728_000), None)
    np.testing.assert_allclose([small.learning_rate, *small.rates], [0.00625, 0.000625, 0.0000625])
    assert rgb.scaled().steps == 115_000


def test_settings_refuse_typos():
    with pytest.raises(ValueError, match="A recipe has no learningrate. Its fields: steps"):
        RECIPE.with_settings({"learningrate": "1"})
    for field, text, kind in (
        ("steps", "many", "int or none"), ("steps", "2.5", "int or none"), ("batch_size", "none", "int"),
        ("freeze_bn", "1", "bool"),
        ("learning_rate", "true", "float"), ("clip_norm", "(1, 2)", "float or none"), ("rates", "a", "tuple"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{field} takes {kind}. Received: {field}="):
            RECIPE.with_settings({field: text})
    given = {"clip_norm": "none", "freeze_bn": "true", "precision": "float32", "rates": "[0.5]", "learning_rate": "1"}
    changed = RECIPE.with_settings({**given, "boundaries": "3"})  # a tuple of one, as one writes it
    assert {name: getattr(changed, name) for name in (*given, "boundaries")} == {
        "clip_norm": None, "freeze_bn": True, "precision": "float32", "rates": (0.5,), "learning_rate": 1,
        "boundaries": (3,),
    }  # fmt: skip
    changed = RECIPE.with_settings(
        {"balance": "none", "train_from": "None"}
    )  # of which one is a word, the other nothing
    assert (changed.balance, changed.train_from) == ("none", None)
    with pytest.raises(ValueError, match=r"short_sides must be \(low, high\), or None. Received: short_sides=\(40,\)"):
        RECIPE.with_settings({"short_sides": "40"})
    with pytest.raises(ValueError, match="recipe must be one of kinetics-rgb"):
        recipes.find("best")


def test_no_run_that_could_go_on(finished, tmp_path):
    with pytest.raises(ValueError, match="A training run is a folder with a run.json"):
        runs.read(tmp_path)
    plan = json.loads((finished[0] / "run.json").read_text())
    plan |= {"recipe": plan["recipe"] | {"colour": 1}, "version": "9.1"}
    (tmp_path / "run.json").write_text(json.dumps(plan))
    with pytest.raises(
        ValueError, match=r"run.json is not of a run that this version reads: .*colour.*keras_i3d 9.1 wrote it"
    ):
        runs.read(tmp_path)


@pytest.mark.parametrize("flip", [True, False])
def test_a_recipe_says_whether_to_mirror(finished, records, flip):
    plan = runs.read(finished[0])
    plan = dataclasses.replace(plan, recipe=plan.recipe.with_settings({"flip": str(flip)}))
    asked = run._clips(plan, records, training=True, load=lambda _, **settings: settings)
    assert asked["flip"] is flip


def test_a_range_of_strides_is_for_training_alone(finished, records):
    """The validation keeps the stride of the network's clips."""
    plan = runs.read(finished[0])
    plan = dataclasses.replace(plan, recipe=plan.recipe.with_settings({"strides": "1,3", "frame_stride": 2}))
    asked = functools.partial(run._clips, plan, records, load=lambda _, **settings: settings)
    training_clips, validation = asked(training=True), asked()
    assert (training_clips["strides"], training_clips["frame_stride"]) == ((1, 3), 1)
    assert (validation.get("strides"), validation["frame_stride"]) == (None, 2)


def test_best_precision_is_a_policy():
    assert workers.best_precision() in ("float32", "mixed_bfloat16", "mixed_float16")
