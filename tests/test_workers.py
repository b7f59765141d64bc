"""Several processes that train one model together, on this machine's loopback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tiny
from conftest import ROOT

from keras_i3d import training
from keras_i3d.conversion import layer_weights

RECIPE = {
    "steps": 6, "batch_size": 4, "learning_rate": 0.05, "depth_multiplier": 0.125, "clip_frames": 9, "size": 32,
    "save_every": 2, "precision": "float32", "sync_bn": True, "dropout": 0.0,
}  # fmt: skip

WORKER = """
import json, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import tiny
tiny.shorten()
from keras_i3d import cli, training
from keras_i3d.training.keeper import Keeper
records, output, recipe, pause = sys.argv[2], pathlib.Path(sys.argv[3]), json.loads(sys.argv[4]), float(sys.argv[5])
whole = Keeper.on_train_batch_end
def end(self, batch, logs=None):
    whole(self, batch, logs)
    print("step", self.step, flush=True)
    time.sleep(pause)
Keeper.on_train_batch_end = end
try:
    training.train(f"{records}/train-*", output, recipe=training.Recipe(**recipe), weights=None, seed=3,
                   validation=f"{records}/test-*", progress=False)
except training.TrainingError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    tiny.write(folder, videos=8)
    return tiny.write(folder, "test", videos=6)


@pytest.fixture(scope="module")
def alone(records, tmp_path_factory):
    """The weights of one process with the whole batch."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        recipe, output = training.Recipe(**RECIPE), tmp_path_factory.mktemp("alone")
        settings = {"weights": None, "seed": 3, "validation": f"{records}/test-*", "progress": False}
        model = training.train(f"{records}/train-*", output, recipe=recipe, **settings)
        return layer_weights(model), (output / "log.csv").read_text()


TWO_DEVICES = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import tiny
tiny.shorten()
from keras_i3d import training
records, output, recipe = sys.argv[2], pathlib.Path(sys.argv[3]), json.loads(sys.argv[4])
settings = {"weights": None, "seed": 3, "validation": f"{records}/test-*", "progress": False}
devices = ["/cpu:0", "/cpu:1"]
for steps in (4, recipe["steps"]):  # stopped, as it were, and started again
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


def test_two_devices_are_one_with_the_whole_batch(alone, records, tmp_path):
    """Stopped and started again on the way; gradient accumulation is refused there in one line."""
    command = [sys.executable, "-c", TWO_DEVICES, str(ROOT / "tests"), str(records), str(tmp_path), json.dumps(RECIPE)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "going on after step 4 of 6" in done.stderr
    assert difference(tmp_path, alone[0]) < 1e-4
    assert "Gradients are accumulated on one device only" in done.stdout


def addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def start(records, output, pause=0.0, **changes):
    """Starts two workers; returns their processes and addresses."""
    hosts, processes = addresses(2), []
    for index in range(2):
        cluster = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(cluster)}
        words = [ROOT / "tests", records, output, json.dumps({**RECIPE, **changes}), pause]
        command = [sys.executable, "-c", WORKER, *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **streams))
    return processes, hosts


def difference(output, expected):
    """The largest relative difference of a run's weights."""
    found = layer_weights(keras.models.load_model(output / "model.keras"))
    pairs = [(a, b) for name in expected for a, b in zip(found[name], expected[name])]
    return max(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-6) for a, b in pairs)


def test_two_workers_are_one_process_with_the_whole_batch(alone, records, tmp_path):
    """Up to the order of float32 sums: batch norm and gradients are added up in two parts."""
    processes, _ = start(records, tmp_path)
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-3000:]
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
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-3000:]
    assert "going on after step" in errors
    assert difference(tmp_path, alone[0]) < 1e-4
