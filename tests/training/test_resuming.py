"""Which starts are of one run, what they need, and what refuses them: paths, locks, weights, records."""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
from made import ROOT, tiny, tiny_runs
from made.tiny import i3d

from keras_i3d import cli, locks, runs, training
from keras_i3d.errors import TrainingError
from keras_i3d.facts import Facts
from keras_i3d.records import manifest
from keras_i3d.training import checkpoints, run, run_errors, run_start
from keras_i3d.training.run_writer import RunWriter
from keras_i3d.weights import h5_files, sources

RECIPE = training.Recipe(
    steps=3, batch_size=4, learning_rate=0.05, depth_multiplier=0.125, clip_frames=9, size=32, save_every=1,
    precision="float32", validate_every=2,
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("short")


def train(records, output, recipe=RECIPE, **settings):
    """A run without validation, unless `settings` name one."""
    return tiny_runs.train(records, output, recipe, **{"validation": None, **settings})


@pytest.fixture(scope="module")
def finished(records, tmp_path_factory):
    """A run from the weights of a file, with a validation."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        folder = tmp_path_factory.mktemp("runs")
        settings = {"classes": 3, "depth_multiplier": RECIPE.depth_multiplier}
        h5_files.save_h5(i3d(**settings), folder / "first.weights.h5")
        train(records, folder / "run", weights=folder / "first.weights.h5", validation=f"{records}/test-*")
        return folder


@pytest.fixture
def ended(finished, tmp_path):
    """A copy of the run's folder: the run was moved, so to say."""
    return shutil.copytree(finished / "run", tmp_path / "moved" / "run")


def test_weights_are_those_of_the_network_that_is_asked_for(monkeypatch):
    """Files of several networks have the same names and shapes: what a run starts from is read as its own network's."""
    asked = []
    known = Facts("rgb", family="I3DResNet50-nonlocal")
    monkeypatch.setattr(
        run_start.sources, "find", lambda *_, wanted, **__: asked.append(wanted) or sources.Source("", known, None)
    )
    assert run_start._known("baseline.pkl", "rgb", None, known.family, None)[0] is known
    run_start._known("baseline.pkl", "rgb", None, None, None)
    assert asked == [[known.family], ()]


def test_validations_are_a_pass_apart():
    recipe = dataclasses.replace(RECIPE, steps=20, batch_size=4)
    found = [run_start._validate_every(dataclasses.replace(recipe, repeats=repeats), 10) for repeats in (1, 2, 4)]
    assert found == [3, 5, 10], "each of the 10 clips is drawn so often"
    assert run_start._validate_every(dataclasses.replace(recipe, steps=2000, repeats=2), 10) == 20, "4 of 400 passes"


def settled(records, output, weights, validation=None):
    return run_start.settled(records, validation, "rgb", weights, 3, RECIPE.scaled(), output)[0]


def test_one_run_by_any_path(records, finished, ended, tmp_path, monkeypatch):
    """From another working directory, by relative paths, and after everything was moved."""
    moved = shutil.copytree(records, tmp_path / "data")
    shutil.copy(finished / "first.weights.h5", tmp_path / "copied.weights.h5")
    monkeypatch.chdir(tmp_path)
    for path in (f"{records}/train-*", f"{moved}/train-*", "data/train-*", "./data/../data/train-0*"):
        for start in (finished / "first.weights.h5", "copied.weights.h5", "/gone/first.weights.h5"):
            plan = settled(path, ended, start, "data/test-*")
            assert (plan.records, plan.labels) == (path, tiny.LABELS)
    with pytest.raises(ValueError, match="weights: .*first.weights.h5' and '/gone/other.weights.h5'"):
        settled("data/train-*", ended, "/gone/other.weights.h5", "data/test-*")
    with pytest.raises(ValueError, match="weights: .* and None"):
        settled("data/train-*", ended, None, "data/test-*")


def test_other_records_are_another_run(finished, ended, tmp_path):
    """Also under the same path, and where there are as many."""
    tiny.write(tmp_path, videos=9)
    tiny.write(tmp_path, "test", videos=6)
    start = finished / "first.weights.h5"
    settled(f"{tmp_path}/train-*", ended, start, f"{tmp_path}/test-*")
    found = manifest.read(tmp_path / "train.json")
    (shard,) = found.shards
    ids = ("another", *shard.ids[1:])
    dataclasses.replace(found, shards=(dataclasses.replace(shard, ids=ids),)).write(tmp_path)
    with pytest.raises(ValueError, match="records_digest: "):
        settled(f"{tmp_path}/train-*", ended, start, f"{tmp_path}/test-*")
    with pytest.raises(ValueError, match="validation: .* and None"):
        settled(f"{tmp_path}/train-*", ended, start)


def test_a_run_goes_on_without_the_weights_it_began_with(records, finished, ended, capsys):
    (ended / "checkpoints/step-000000003.npz").unlink()
    with np.load(finished / "run/checkpoints/step-000000003.npz") as file:
        expected = {name: file[name] for name in file.files if name != "about"}
    train(records, ended, weights="/gone/first.weights.h5", validation=f"{records}/test-*")
    assert "resuming after step 2 of 3" in capsys.readouterr().err
    with np.load(ended / "checkpoints/step-000000003.npz") as file:
        for name, value in expected.items():
            np.testing.assert_array_equal(file[name], value, name)
    for path in (ended / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="Unknown weights '/gone/first.weights.h5': no such file"):
        train(records, ended, weights="/gone/first.weights.h5", validation=f"{records}/test-*")


@pytest.mark.parametrize("name", ["", "model.keras", "best.weights.h5"])
def test_a_run_begins_with_what_another_ended_with(finished, records, tmp_path, name):
    source = finished / "run" / name
    plan = settled(f"{records}/train-*", tmp_path, source)
    found = run.build(plan, run_start.initial_weights(plan)).get_weights()
    expected = runs.load_model(source).get_weights()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_cannot_be_begun_with(finished, ended, records, tmp_path):
    begin = finished / "run"
    with pytest.raises(ValueError, match=r"was trained with depth_multiplier=0.125. Received: depth_multiplier=1. "):
        train(records, tmp_path / "a", weights=begin, settings={"depth_multiplier": "1"})
    with pytest.raises(ValueError, match="is a run of rgb. Received: stream='flow'"):
        train(records, tmp_path / "b", weights=begin, stream="flow")
    (ended / "model.keras").unlink()
    (ended / "best.weights.h5").unlink()
    with pytest.raises(ValueError, match="has no model.keras: its training has not ended"):
        train(records, tmp_path / "c", weights=ended)


def test_a_run_that_is_refused_leaves_nothing_and_may_be_corrected(finished, records, tmp_path):
    for wrong in (
        {"weights": "kinetic"},
        {"weights": finished / "run", "settings": {"depth_multiplier": "1"}},
        {"settings": {"clip_frames": "3"}},
        {"weights": "kinetics"},  # they have another width
    ):
        with pytest.raises(ValueError, match="."):
            train(records, tmp_path / "run", **wrong)
        assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    content = json.loads((finished / "run/run.json").read_text(encoding="utf-8"))
    (tmp_path / "run/run.json").write_text(json.dumps({**content, "seed": 99}), encoding="utf-8")  # killed at its start
    train(records, tmp_path / "run")
    assert json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))["seed"] == 3


@pytest.mark.parametrize("name", ["first.weights.h5", "run/best.weights.h5", "run/model.keras"])
def test_narrow_weights_bring_their_width(finished, records, tmp_path, name, capsys):
    moved = shutil.copy(finished / name, tmp_path / f"moved{name[-11:] if name.endswith('h5') else '.keras'}")
    free = dataclasses.replace(RECIPE, depth_multiplier=None, frame_stride=1)
    plan, source = run_start.settled(f"{records}/train-*", None, "rgb", moved, 3, free.scaled(), tmp_path / "new")
    assert plan.recipe.depth_multiplier == RECIPE.depth_multiplier
    run.build(plan, run_start.initial_weights(plan, source))
    assert "this run takes" not in capsys.readouterr().err
    apart = dataclasses.replace(free, frame_stride=2)
    run_start.settled(f"{records}/train-*", None, "rgb", moved, 3, apart.scaled(), tmp_path / "new")
    said = capsys.readouterr().err
    assert ("this run takes 25 fps, every 2nd frame" in said) == (name != "first.weights.h5")


HOLDING = """
import pathlib, sys
from keras_i3d import locks
with locks.hold(pathlib.Path(sys.argv[1]) / ".lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_runs_in_one_folder(records, finished, ended, capsys):
    """The later one is refused in a line, at once, and changes nothing."""
    command = [sys.executable, "-c", HOLDING, str(ended)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    before = {path: path.read_bytes() for path in ended.rglob("*") if path.is_file()}
    with subprocess.Popen(command, env=environment, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TrainingError, match=r"Another run writes in .*run\. Wait for it, stop it, or choose"):
            train(records, ended, weights=finished / "first.weights.h5", validation=f"{records}/test-*")
        holder.stdin.close()
        holder.wait()
    assert {path: path.read_bytes() for path in ended.rglob("*") if path.is_file()} == before


def test_what_killed_runs_left_is_removed(records, finished, ended):
    """Of any machine, for the lock says that nobody else writes here."""
    left = [ended / ".00000000-1-000000-model.keras", ended / "checkpoints/.00000000-1-000000-step-000000002.npz"]
    for path in left:
        path.write_bytes(b"half")
    train(records, ended, weights=finished / "first.weights.h5", validation=f"{records}/test-*")
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("code", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks(code, tmp_path, monkeypatch, capsys):
    """A file stands for the lock, and a line says so; as safe, for processes and for threads."""
    import errno
    import fcntl

    def flock(file, operation):
        raise OSError(getattr(errno, code), "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)
    order = []

    def second():
        with locks.hold(tmp_path / "lock", waiting="waiting for the first"):
            order.append("second")

    with locks.hold(tmp_path / "lock"):
        assert f"{tmp_path}/lock.held stands for one" in capsys.readouterr().err
        with pytest.raises(TrainingError, match="busy"), locks.hold(tmp_path / "lock", busy=TrainingError("busy")):
            pass
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not (tmp_path / "lock.held").exists()


def test_one_class_is_refused(tmp_path):
    tiny.write(tmp_path, labels=("only",))
    with pytest.raises(ValueError, match="needs at least two. Received: .*, of one class: only"):
        train(tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def damaged(records, tmp_path):
    """The same records, of which one of each split is damaged: a bit of a frame, under a right checksum of its own."""
    folder = shutil.copytree(records, tmp_path / "damaged")
    for path in folder.glob("*.tfrecord"):
        content = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        at = content[4].rindex(b"\xff\xd9") - 20  # in the last JPEG
        content[4] = content[4][:at] + bytes([content[4][at] ^ 1]) + content[4][at + 1 :]
        with tf.io.TFRecordWriter(str(path)) as file:
            for record in content:
                file.write(record)
    return folder


def command_on(damaged, output):
    """The command that trains on all frames of each of these videos."""
    recipe = dataclasses.asdict(dataclasses.replace(RECIPE, clip_frames=12))
    recipe = [f"--set={name}={value}" for name, value in recipe.items() if value is not None]
    data = [f"--records={damaged}/train-*", f"--validation={damaged}/test-*"]
    return ["train", *data, "--weights=none", f"--output={output}", *recipe]


def reads(model, clips, callbacks, validation_data, **epochs):
    """In place of `workers.fit`: reads what that reads, and trains nothing."""
    for _ in clips.take(3):
        pass
    for _ in validation_data:
        pass
    next(each for each in callbacks if isinstance(each, RunWriter)).on_epoch_end(0, {})


def check_one_line(said):
    lines = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "train-00000-of-00001.tfrecord: train/4: damaged" in lines[0]
    assert "--errors=count" in lines[0]


def test_a_damaged_record(damaged, tmp_path, capsys, monkeypatch):
    """One line without the flag; with it, a run to the end that says what it dropped."""
    monkeypatch.setattr(run.workers, "fit", reads)
    command = command_on(damaged, tmp_path / "run")
    assert cli.main(command) == 1
    check_one_line(capsys.readouterr().err)
    assert cli.main([*command, "--errors=count"]) == 0
    assert "2 damaged records were dropped since the run began" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "run/log.csv").open()))
    assert rows[-1]["dropped"] == "2"
    assert checkpoints.newest(tmp_path / "run/checkpoints").facts["dropped"] == [
        f"{damaged}/test-00000-of-00001.tfrecord: test/4", f"{damaged}/train-00000-of-00001.tfrecord: train/4"
    ]  # fmt: skip


@pytest.mark.slow
def test_training_on_damaged_records(damaged, tmp_path, capsys):
    """The same, with nothing put in the place of anything."""
    command = command_on(damaged, tmp_path / "run")
    assert cli.main(command) == 1
    check_one_line(capsys.readouterr().err)
    for _ in range(2):  # the second time it has ended; what it dropped is still known
        assert cli.main([*command, "--errors=count"]) == 0
        assert "2 damaged records were dropped since the run began" in capsys.readouterr().err


def test_memory_that_runs_out(records, tmp_path, monkeypatch):
    """By a step that asks TensorFlow for more than there is."""
    monkeypatch.setattr(run.workers, "fit", lambda *_, **__: tf.zeros((1 << 40, 1 << 20)))
    with pytest.raises(TrainingError) as error:
        train(records, tmp_path)
    said = str(error.value)
    assert "\n" not in said
    assert "Memory ran out with 4 clips a step of 9 frames of 32 pixels" in said
    assert "batch_size=4, accumulate=1, remat=False, size=32" in said


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "Memory ran out"),
        (tf.errors.InternalError(None, None, "CUDA: Out of memory while trying"), "Memory ran out"),
        (
            tf.errors.InternalError(None, None, "Graph execution error:\nDetected at\n x\n\tx\nbad\nmore"),
            "stopped: bad",
        ),
        (tf.errors.DataLossError(None, None, "corrupted record at 7"), "corrupted record at 7. Make the records again"),
        (tf.errors.UnimplementedError(None, None, "no such kernel\nfor it"), "TensorFlow stopped: no such kernel"),
    ],
)
def test_what_tensorflow_says_in_a_line(error, message):
    with pytest.raises(TrainingError, match=message) as raised, run_errors.told(RECIPE):
        raise error
    assert "\n" not in str(raised.value)


def test_runs_of_before_have_no_digests(records, finished, ended):
    """Their paths are compared as text."""
    content = json.loads((ended / "run.json").read_text())
    content = {name: value for name, value in content.items() if not name.endswith("_digest")}
    (ended / "run.json").write_text(json.dumps(content))
    start = finished / "first.weights.h5"
    settled(f"{records}/train-*", ended, start, f"{records}/test-*")
    with pytest.raises(ValueError, match="records: "):
        settled(f"{records}/./train-*", ended, start, f"{records}/test-*")
