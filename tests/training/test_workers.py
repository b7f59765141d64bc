"""Several processes that train one model together, on this machine's loopback."""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import ROOT, tiny

from keras_i3d import training
from keras_i3d.training import workers
from keras_i3d.weights.by_name import layer_weights
from keras_i3d.weights.h5_files import read_h5

RECIPE = {
    "steps": 6, "batch_size": 4, "learning_rate": 0.05, "depth_multiplier": 0.125, "clip_frames": 9, "size": 32,
    "save_every": 2, "precision": "float32", "sync_bn": True, "dropout": 0.0,
}  # fmt: skip

# What each device, or worker, could do to its own part of the batch, and must do to the whole.
ALL = {
    "optimizer": "adamw", "learning_rate": 0.01, "schedule": "cosine", "warmup_steps": 2, "layer_decay": 0.7,
    "weight_decay": 0.05, "clip_norm": 0.5, "ema": 0.8, "train_from": "Mixed_3b", "unfreeze": [[3, "all"]],
    "label_smoothing": 0.1, "precise_bn": 2,
}  # fmt: skip

WORKER = """
import json, os, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from made import mirrors, tiny
first = os.environ.get("FIRST_WEIGHTS")
if first:
    from keras_i3d.weights import registry
    mirrors.narrow()
    mirrors.register(pathlib.Path(os.environ["KERAS_I3D_MIRROR"]), registry, lambda d, k, v: d.__setitem__(k, v))
else:
    tiny.shorten()
from keras_i3d import cli, training
from keras_i3d.training.run_writer import RunWriter
records, output, recipe, pause = sys.argv[2], pathlib.Path(sys.argv[3]), json.loads(sys.argv[4]), float(sys.argv[5])
whole = RunWriter.on_train_batch_end
def end(self, batch, logs=None):
    whole(self, batch, logs)
    print("step", self.step, flush=True)
    time.sleep(pause)
RunWriter.on_train_batch_end = end
try:
    training.train(f"{records}/train-*", output, recipe=training.Recipe(**recipe), weights=first, seed=3,
                   validation=f"{records}/test-*", progress=False)
except (training.TrainingError, ValueError) as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    tiny.write(folder, videos=8)
    return tiny.write(folder, "test", videos=6)


def by_one(records, output, **changes):
    """The weights and the log of one process with the whole batch."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        recipe = training.Recipe(**{**RECIPE, **changes})
        settings = {"weights": None, "seed": 3, "validation": f"{records}/test-*", "progress": False}
        model = training.train(f"{records}/train-*", output, recipe=recipe, **settings)
        return layer_weights(model), (output / "log.csv").read_text()


@pytest.fixture(scope="module")
def alone(records, tmp_path_factory):
    return by_one(records, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def all_alone(records, tmp_path_factory):
    """(the run's folder, weights, log) with everything on."""
    output = tmp_path_factory.mktemp("all")
    return output, *by_one(records, output, **ALL)


TWO_DEVICES = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from made import tiny
tiny.shorten()
from keras_i3d import training
records, output, recipe = sys.argv[2], pathlib.Path(sys.argv[3]), json.loads(sys.argv[4])
settings = {"weights": None, "seed": 3, "validation": f"{records}/test-*", "progress": False}
devices = ["/cpu:0", "/cpu:1"]
for steps in json.loads(sys.argv[5]):  # stopped, as it were, and started again
    part = training.Recipe(**{**recipe, "steps": steps})
    plan = output / "run.json"
    if plan.exists():
        content = json.loads(plan.read_text())
        content["recipe"]["steps"] = steps
        plan.write_text(json.dumps(content))
    training.train(f"{records}/train-*", output, recipe=part, devices=devices, **settings)
try:
    training.train(f"{records}/train-*", output / "no", recipe=training.Recipe(**{**recipe, "accumulate": 2}),
                   devices=devices, **settings)
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("ends", [(6,), pytest.param((4, 6), marks=pytest.mark.slow)])
def test_two_devices_are_one_with_the_whole_batch(ends, alone, records, tmp_path):
    """Also stopped and started again on the way; gradient accumulation is refused there in one line."""
    command = [sys.executable, "-c", TWO_DEVICES, str(ROOT / "tests"), str(records), str(tmp_path), json.dumps(RECIPE)]
    command.append(json.dumps(ends))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert ("resuming after step 4 of 6" in done.stderr) == (len(ends) > 1)
    assert difference(tmp_path, alone[0]) < 1e-4
    assert "Gradients are accumulated on one device only" in done.stdout


def by_two_devices(records, output, recipe):
    command = [sys.executable, "-c", TWO_DEVICES, str(ROOT / "tests"), str(records), str(output)]
    command += [json.dumps({**RECIPE, **recipe}), "[6]"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.mark.slow
def test_two_devices_with_everything_on(all_alone, records, tmp_path):
    """Each on its own, too: what is not right shows in weights that Adam makes all alike."""
    by_two_devices(records, tmp_path / "all", ALL)
    assert difference(tmp_path / "all", all_alone[1]) < 1e-4
    sgd = {"optimizer": "sgd", "clip_norm": 0.5, "weight_decay": 0.05, "layer_decay": 0.7, "ema": 0.8}
    by_two_devices(records, tmp_path / "sgd", sgd)
    assert difference(tmp_path / "sgd", by_one(records, tmp_path / "one", **sgd)[0]) < 1e-4


@pytest.mark.slow
def test_two_workers_with_everything_on(all_alone, records, tmp_path):
    processes, _ = start(records, tmp_path, **ALL)
    ended(processes)
    assert difference(tmp_path, all_alone[1]) < 1e-4


@pytest.mark.slow
def test_a_run_resumes_on_other_devices(all_alone, records, tmp_path):
    """The same sequence of global batches: from one process to two devices, and to two workers, after four steps."""
    for place in ("devices", "workers"):
        shutil.copytree(all_alone[0], tmp_path / place)
        for name in ("step-000000006.npz", "../model.keras", "../best.weights.h5"):
            (tmp_path / place / "checkpoints" / name).unlink()
    said = by_two_devices(records, tmp_path / "devices", ALL)
    processes, _ = start(records, tmp_path / "workers", **ALL)
    for lines in (said, ended(processes)[0]):
        assert "resuming after step 4 of 6" in lines
    for place in ("devices", "workers"):
        assert difference(tmp_path / place, all_alone[1]) < 1e-4


def addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def start(records, output, pause=0.0, jobs=("worker", "worker"), variables=None, **changes):
    """Starts two workers, or others; returns their processes and addresses."""
    hosts, processes, cluster = addresses(len(jobs)), [], {}
    for job, host in zip(jobs, hosts):
        cluster.setdefault(job, []).append(host)
    for number, job in enumerate(jobs):
        task = {"type": job, "index": jobs[:number].count(job)}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables[number] if variables else {})}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
        words = [ROOT / "tests", records, output, json.dumps({**RECIPE, **changes}), pause]
        command = [sys.executable, "-c", WORKER, *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **streams))
    return processes, hosts


def ended(processes):
    """The standard errors of processes that end well."""
    said = []
    try:
        for process in processes:
            said.append(process.communicate(timeout=600)[1])
            assert process.returncode == 0, said[-1][-3000:]
    finally:
        for process in processes:
            process.kill()
    return said


def difference(output, expected):
    """The largest relative difference of a run's weights."""
    found = layer_weights(keras.models.load_model(output / "model.keras"))
    pairs = [(a, b) for name in expected for a, b in zip(found[name], expected[name])]
    return max(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-6) for a, b in pairs)


@pytest.mark.slow  # two devices of one process are held to the same at once
def test_two_workers_are_one_process_with_the_whole_batch(alone, records, tmp_path):
    """Up to the order of float32 sums: batch norm and gradients are added up in two parts."""
    processes, _ = start(records, tmp_path)
    ended(processes)
    weights, log = alone
    assert difference(tmp_path, weights) < 1e-4
    rows = [[line.split(",")[:8] for line in text.splitlines()] for text in (log, (tmp_path / "log.csv").read_text())]
    assert rows[0][0] == rows[1][0]
    np.testing.assert_allclose(np.float64(rows[0][1:]), np.float64(rows[1][1:]), rtol=1e-3)


@pytest.mark.slow
def test_a_lost_worker_is_named_and_all_go_on_together(alone, records, tmp_path):
    processes, hosts = start(records, tmp_path, pause=1.0)
    for line in processes[1].stdout:
        if line.strip() == "step 3":
            break
    began = time.monotonic()
    processes[1].send_signal(signal.SIGKILL)
    _, errors = processes[0].communicate(timeout=60)
    assert processes[0].returncode not in (0, None)
    assert time.monotonic() - began < 60
    assert hosts[1] in errors or "task:1" in errors, errors[-3000:]
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("step*"))[-1] < "step-000000004.npz"
    processes, _ = start(records, tmp_path)
    errors = ended(processes)[-1]
    assert "resuming after step" in errors
    assert difference(tmp_path, alone[0]) < 1e-4


def clusters(**settings):
    return {name: [f"{name}{i}:1" for i in range(count)] for name, count in settings.items()}


@pytest.mark.parametrize(
    ("cluster", "task", "expected"),
    [
        (clusters(chief=1, worker=2), ("chief", 0), (0, 3)),
        (clusters(chief=1, worker=2), ("worker", 1), (2, 3)),
        (clusters(worker=2, evaluator=1), ("worker", 1), (1, 2)),
        (clusters(worker=2), ("worker", 0), (0, 2)),
        (clusters(chief=1), ("chief", 0), (0, 1)),
        (clusters(worker=1), ("worker", 0), (0, 1)),
    ],
)
def test_places_are_tensorflows(cluster, task, expected, monkeypatch):
    from tensorflow.python.distribute import multi_worker_util as theirs

    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": task[0], "index": task[1]}}))
    assert workers.shard() == expected
    assert workers.shard() == (theirs.id_in_cluster(cluster, *task), theirs.worker_count(cluster, task[0]))
    assert workers.is_chief() == theirs.is_chief(cluster, *task)


@pytest.mark.parametrize("text", [None, "", " ", "{}", '{"cluster": {}}'])
def test_no_cluster(text, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert workers.shard() == (0, 1)
    assert workers.is_chief()


def config(cluster, kind, index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (config(clusters(chief=1, worker=2), "evaluator"), "leave an evaluator nothing to do"),
        (config(clusters(chief=1, worker=2, ps=1), "ps"), "without parameter servers.* Received: ps"),
        (config(clusters(chief=1, worker=2, ps=1), "worker"), "without parameter servers.* Received: ps"),
        (config(clusters(worker=2), "worker", 2), "names a task of its cluster"),
        (config(clusters(chief=2, worker=2), "worker"), "at most one chief"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "names a task of its cluster"),
        ('{"cluster"', "TF_CONFIG takes JSON such as"),
        ("[3]", "TF_CONFIG takes JSON such as"),
        ('{"cluster": 3}', "TF_CONFIG takes JSON such as"),
    ],
)
def test_clusters_that_are_refused(text, message, monkeypatch, tmp_path):
    """At the start of training, in a line."""
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=message) as error:
        training.train(tmp_path / "nothing", tmp_path / "run")
    assert "\n" not in str(error.value)


def test_each_device_of_a_worker_takes_its_part_of_the_batch():
    """Two devices, a batch of 5: elements of 3 and 2, in order."""
    x = np.arange(10)
    found = list(workers.for_replicas(tf.data.Dataset.from_tensor_slices((x, x)).batch(5), 2).as_numpy_iterator())
    assert [a.tolist() for a, _ in found] == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]]
    assert all((a == b).all() for a, b in found)


@pytest.mark.parametrize(("devices", "within"), [([], False), (["a GPU"], True)])
def test_graphs_are_not_remapped_in_training_on_a_cpu(devices, within, monkeypatch):
    """Its remapper fails on the gradients of S3D, and says so. Afterwards it is as before, if training fails too."""

    def remapping():
        return tf.config.optimizer.get_experimental_options().get("remapping", True)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    clips = tf.data.Dataset.from_tensors((np.ones((2, 3), "float32"), np.array([0, 1])))
    seen = []

    def look(batch, logs=None):
        seen.append(remapping())
        if len(seen) == 2:
            raise RuntimeError("stopped")

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices)
    with pytest.raises(RuntimeError, match="stopped"):
        workers.fit(model, clips.repeat(), [callback], steps_per_epoch=2, initial_epoch=0, epochs=1)
    assert seen == [within, within]
    assert remapping()


@pytest.mark.slow
def test_a_chief_and_two_workers(records, tmp_path):
    """One batch of 6 among the three, and one writer: the losses are those of one process with that batch.

    Not every weight is: in a third of the batch a unit next to zero may fall to the other side of it.
    """
    recipe = {**RECIPE, "batch_size": 6, "steps": 2}
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        settings = {"weights": None, "seed": 3, "validation": f"{records}/test-*", "progress": False}
        training.train(f"{records}/train-*", tmp_path / "a", recipe=training.Recipe(**recipe), **settings)
    processes, _ = start(records, tmp_path / "b", jobs=("chief", "worker", "worker"), batch_size=6, steps=2)
    ended(processes)
    rows = [next(csv.DictReader((tmp_path / run / "log.csv").open())) for run in "ab"]
    for name in ("step", "loss", "top1", "val_loss", "val_top1"):
        np.testing.assert_allclose(*(float(row[name]) for row in rows), rtol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [("worker", "worker"), ("chief", "worker")])
def test_first_use_of_published_weights_by_two_workers(jobs, records, narrow_mirror, tmp_path):
    """With an empty cache that they share; then with caches of their own, of which one is empty."""
    first = {"FIRST_WEIGHTS": "kinetics", "KERAS_I3D_MIRROR": str(narrow_mirror), "KERAS_HOME": str(tmp_path / "k")}
    changes = {"depth_multiplier": 1.0, "steps": 1, "sync_bn": False}
    processes, _ = start(records, tmp_path / "run", jobs=jobs, variables=[first, first], **changes)
    ended(processes)
    (path,) = (tmp_path / "k/keras_i3d").glob("*.weights.h5")
    assert {array.dtype.name for arrays in read_h5(path).values() for array in arrays} == {"float32"}
    own = [first, {**first, "KERAS_HOME": str(tmp_path / "empty")}]
    processes, _ = start(records, tmp_path / "again", jobs=jobs, variables=own, **changes)
    ended(processes)


def test_workers_do_not_drop_records(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CONFIG", config(clusters(worker=2), "worker"))
    with pytest.raises(ValueError, match='Received: errors="count" with 2 workers'):
        training.train(tmp_path, tmp_path / "run", errors="count")
