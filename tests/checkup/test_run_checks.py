"""Runs: healthy, unfinished, with NaN in the log, at chance, with statistics that had no time to arrive."""

import dataclasses
import json

import pytest
from made import sick, small_runs, tiny

from keras_i3d import runs
from keras_i3d.checkup import run_checks
from keras_i3d.checkup.findings import look
from keras_i3d.data import record_files


@pytest.fixture(scope="module", autouse=True)
def short():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield


def test_a_healthy_run(tmp_path):
    folder = sick.run(tmp_path / "rgb")
    network, found = run_checks.examine(folder)
    assert network.run.stream == "rgb"
    assert sick.wrong(found) == {}
    assert "it ended after 50 steps" in sick.said(found, "run.ended").found
    assert sick.said(found, "run.curve").found == "val_top1 0.880 at the last step, 0.880 at best (step 50)"


def examined(folder, rows=None, **recipe):
    """What is said of a run without its weights."""
    small_runs.run(folder, "rgb", network=False, **recipe)
    if rows is not None:
        header = "epoch,step,loss,top1,val_loss,val_top1,waiting"
        (folder / "log.csv").write_text("\n".join([header, *rows]) + "\n")
    return list(look(folder, run_checks.CHECKS, runs.read(folder)))


@pytest.mark.parametrize(
    ("rows", "code", "level", "words"),
    [
        (["1,10,nan,0.4,1.2,0.5,0"], "run.loss", "fault", "loss is nan at step 10"),
        (["1,10,1.1,0.4,1.2,0.34,0"], "run.chance", "warning", "chance is 0.333"),
        (["1,10,1,0.7,1,0.8,0", "2,20,1,0.8,1,0.6,0"], "run.worse", "note", "0.800 at best (step 10)"),
        (["1,10,1,0.99,1,0.6,0"], "run.overfit", "note", "top1 0.990 in training, 0.600 on held-out"),
        (["1,10,1,0.7,,,0"], "run.validation", "note", "never measured"),
        (["1,10,1,0.7,1,0.7,0", "2,20,1,0.7,1,0.7,0.5"], "run.waiting", "note", "50% of its time"),
    ],
)
def test_logs(rows, code, level, words, tmp_path):
    found = examined(tmp_path / "run", rows)
    assert sick.said(found, code).level == level
    assert words in sick.said(found, code).found
    assert sick.wrong(found).keys() <= {code, "run.ended"}


def test_a_run_that_was_stopped(tmp_path):
    found = sick.said(examined(tmp_path / "run"), "run.ended")
    assert found.level == "warning"
    assert "stopped after 50 of 50 steps" in found.found
    assert f"--output={tmp_path / 'run'} ..." in found.remedy
    found = sick.said(examined(tmp_path / "it's"), "run.ended")
    assert f"--output='{tmp_path}/it'\"'\"'s' ..." in found.remedy


@pytest.mark.parametrize(
    ("momentum", "steps", "level"), [(0.999, 400, "warning"), (0.999, 5000, None), (0.9, 400, None)]
)
def test_momentum_and_steps(momentum, steps, level, tmp_path):
    found = examined(tmp_path / "run", bn_momentum=momentum, steps=steps)
    assert sick.wrong(found).get("run.batch_norm") == level
    if level:
        assert "leaves 67%" in sick.said(found, "run.batch_norm").found


def test_a_run_that_cannot_be_read(tmp_path):
    (tmp_path / "run.json").write_text("{")
    network, (found,) = run_checks.examine(tmp_path)
    assert network is None
    assert (found.code, found.level, found.about) == ("run.unreadable", "fault", str(tmp_path))


def test_a_log_that_is_damaged(tmp_path):
    found = examined(tmp_path / "run", ["1,ten,1,1,1,1,0"])
    assert {f.level for f in found if f.code == "unchecked"} == {"warning"}
    assert json.dumps([f.record() for f in found])


def test_the_records_that_a_run_names(tmp_path, monkeypatch):
    """They are followed from its folder, as if they had been named, unless they are."""
    no_flow = dataclasses.replace(sick.SPEC, flow_method=None)
    place = sick.records(tmp_path / "records", monkeypatch, videos=3, spec=no_flow)
    digest = record_files.find(place).digest
    more = {"records": f"{place}/train-*", "records_digest": digest, "validation": "nowhere/test-*"}
    folder = sick.run(tmp_path / "rgb", labels=("up", "left", "right"), more=more)
    network, found = run_checks.examine(folder)
    assert sick.wrong(found) == {"records.label_order": "fault"}
    said = sick.said(found, "records.label_order")
    assert said.found.startswith(f"{place}/train-*: the network's labels in another order, 3 of 3 elsewhere")
    assert said.about == folder
    assert sick.said(found, "run.records").found == "nowhere/test-* is not here"
    assert list(run_checks.own_records(network.run, network, [place])) == []  # it is said with the records
    healthy = dataclasses.replace(
        network.run, labels=("left", "right", "up"), records=", ".join(record_files.find(place).files), validation=None
    )
    facts = dataclasses.replace(network.facts, labels=healthy.labels)
    (fine,) = run_checks.own_records(healthy, dataclasses.replace(network, facts=facts))
    assert fine.level == "fine"
    others = dataclasses.replace(healthy, records_digest="0" * 64)
    (changed,) = run_checks.own_records(others, None)
    assert "is not what it was then" in changed.found
    (tmp_path / "records/train.json").write_text("{")
    (damaged,) = run_checks.own_records(healthy, None)
    assert (damaged.code, damaged.level) == ("run.records", "note")
    (remote,) = run_checks.own_records(dataclasses.replace(healthy, records="gs://nowhere/train-*"), None)
    assert "is not here" in remote.found
