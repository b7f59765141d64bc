"""The figures of a run at Weights & Biases and MLflow; a run of `train` sends them in `test_run.py`."""

import contextlib
import json
import os
import struct
import sys
import time
import types

import pytest
from made import fake_services, tiny
from made.tiny_runs import RECIPE

from keras_i3d import runs
from keras_i3d.errors import TrainingError
from keras_i3d.specs import RecordSpec
from keras_i3d.training import run_loggers

ROWS = [
    {"epoch": 1, "step": 3, "time": 100.0, "loss": 1.5, "val_top1": 0.25, "learning_rate": 0.1},
    {"epoch": 2, "step": 6, "time": 200.0, "loss": 1.25, "val_top1": float("nan"), "learning_rate": 0.1},
    {"epoch": 3, "step": 9, "time": 300.5, "loss": 1.0, "val_top1": 0.75, "learning_rate": 0.01},
]


@pytest.fixture
def writer(tmp_path):
    """A RunWriter after its first epoch, as far as a logger knows it."""
    output = tmp_path / "run"
    output.mkdir()
    run = runs.Run(stream="rgb", labels=tiny.LABELS, spec=RecordSpec(short_side=32), recipe=RECIPE, seed=3)
    return types.SimpleNamespace(output=output, run=run, rows=ROWS[:1], step=3, total=9)


def go_on(writer, names, rows=3):
    """Sends as a run does that resumes with the rows that there are, and has so many at its end."""
    with run_loggers.started(run_loggers.find(names), writer) as logger:
        for count in range(len(writer.rows) + 1, rows + 1):
            writer.rows, writer.step = ROWS[:count], ROWS[count - 1]["step"]
            logger.on_epoch_end(count - 1)


def test_a_service_has_each_row_once_in_one_run(writer, monkeypatch):
    wandb, mlflow = fake_services.Wandb(), fake_services.Mlflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    with contextlib.suppress(KeyboardInterrupt), run_loggers.started(run_loggers.find(["wandb", "mlflow"]), writer):
        writer.rows, writer.step = ROWS[:2], 6
        raise KeyboardInterrupt  # after the epoch of its checkpoint, before it was sent
    go_on(writer, ("wandb", "mlflow"))
    ((id, run),) = wandb.runs.items()
    assert [asked["id"] for asked in wandb.opened] == [None, id]
    asked = wandb.opened[0]
    assert (asked["project"], asked["name"], asked["resume"], asked["dir"]) == (
        "keras_i3d", "run", "allow", str(writer.output)
    )  # fmt: skip
    assert (asked["config"]["recipe.learning_rate"], asked["config"]["recipe.short_sides"]) == (0.05, "(32, 40)")
    assert run.ends == [1, 0]
    assert run.rows == [
        (3, {"epoch": 1, "loss": 1.5, "val_top1": 0.25, "learning_rate": 0.1}),
        (6, {"epoch": 2, "loss": 1.25, "learning_rate": 0.1}),
        (9, {"epoch": 3, "loss": 1.0, "val_top1": 0.75, "learning_rate": 0.01}),
    ]
    (run,) = mlflow.runs.values()
    assert [point for point in run.metrics if point[1] == "loss"] == [
        (3, "loss", 1.5, 100_000), (6, "loss", 1.25, 200_000), (9, "loss", 1.0, 300_500)
    ]  # fmt: skip
    assert (run.params["stream"], run.params["recipe.steps"], run.name) == ("rgb", "7", "run")
    assert run.states == ["KILLED", "RUNNING", "FINISHED"]
    assert mlflow.where == f"sqlite:///{os.path.abspath('mlflow.db')}"


def test_what_a_service_did_not_take_is_sent_later(writer, monkeypatch, capsys):
    mlflow = fake_services.Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    mlflow.fails = True
    go_on(writer, "mlflow", rows=2)
    assert capsys.readouterr().err.count("mlflow did not take the figures of update 3 (no route to host)") == 1
    assert json.loads((writer.output / "loggers.json").read_text())["mlflow"]["step"] == 0
    mlflow.fails = False
    go_on(writer, "mlflow")
    (run,) = mlflow.runs.values()
    assert [step for step, name, *_ in run.metrics if name == "loss"] == [3, 6, 9]
    mlflow.runs.clear()
    writer.step = 9
    with pytest.raises(TrainingError, match=r"mlflow took no run: .*Set MLFLOW_TRACKING_URI .* Remove .*loggers.json"):
        go_on(writer, "mlflow")


def test_a_run_that_begins_anew_in_a_folder_is_another_run_there(writer, monkeypatch):
    wandb = fake_services.Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    go_on(writer, "wandb", rows=2)
    writer.rows, writer.step = [], 0
    go_on(writer, "wandb")
    assert [[step for step, _ in run.rows] for run in wandb.runs.values()] == [[3, 6], [3, 6, 9]]


def test_unknown_and_missing_services(monkeypatch):
    assert run_loggers.find(None) == run_loggers.find(()) == []
    with pytest.raises(ValueError, match="log must be of wandb, mlflow. Received: log='tensorboard'"):
        run_loggers.find("tensorboard")
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=rf"Run: pip install 'keras-i3d\[{name}\]'"):
            run_loggers.find(name)


def records_of(content):
    """Yields the records of a `.wandb` file: LevelDB's log, after a header of 7 bytes."""
    at, parts = 7, []
    while at + 7 <= len(content):
        room = 32768 - at % 32768
        if room < 7:  # what is left of a block holds no header
            at += room
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        parts.append(content[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


def test_the_offline_mode_of_wandb(writer, monkeypatch):
    """Its own files: two starts of one run."""
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    go_on(writer, "wandb", rows=2)
    time.sleep(1.1)  # its folders are named after the second
    go_on(writer, "wandb")
    found, ids = [], set()
    for path in sorted(writer.output.glob("wandb/offline-run-*/*.wandb")):
        ids.add(path.name)
        for content in records_of(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(content)
            if record.WhichOneof("record_type") == "history":
                values = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
                found.append((values["_step"], values["loss"], values.get("val_top1")))
    assert len(ids) == 1
    assert found == [(3, 1.5, 0.25), (6, 1.25, None), (9, 1.0, 0.75)]


def test_a_local_store_of_mlflow(writer, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    go_on(writer, "mlflow", rows=2)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "sqlite:///elsewhere.db")  # from another directory, say
    go_on(writer, "mlflow")
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("keras_i3d").experiment_id])
    assert (run.info.status, run.data.params["recipe.steps"]) == ("FINISHED", "7")
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value, point.timestamp) for point in history) == [
        (3, 1.5, 100_000), (6, 1.25, 200_000), (9, 1.0, 300_500)
    ]  # fmt: skip
