"""keras-i3d stream: what it takes, what it prints, how it ends."""

import json
import os
import signal
import threading

import pytest
from made import live, live_networks

from keras_i3d import cli
from keras_i3d.inference import live_classifier


@pytest.fixture
def loaded(live_rgb, monkeypatch):
    """Networks that need not be loaded again."""
    monkeypatch.setattr("keras_i3d.inference.Classifier", lambda **settings: live_rgb)


def here(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_json_of_a_pipe(live_runs, tmp_path, capsys):
    with live.fed(tmp_path / "pipe", live_networks.film(60)) as pipe:
        assert here("stream", f"--rgb={live_runs['rgb']}", "--json", "--every=0", "--top=2", pipe) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["end"] for record in records] == [0.64, 0.96, 1.28, 1.6, 1.92, 2.24, 2.4]
    assert [len(record["predictions"]) for record in records] == [2] * 7
    assert {record["dropped"] for record in records} == {0}


def test_standard_input(loaded, tmp_path, capsys):
    """As text, of rows that wait for half a second."""
    (tmp_path / "x.ts").write_bytes(live_networks.film(60))
    kept = os.dup(0)
    with open(tmp_path / "x.ts", "rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        assert here("stream", "--delay=0.5", "-") == 0
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("    0.00 to 0.64 s: ")
    assert " s behind, 0 dropped" in lines[0]


def test_an_interruption_prints_the_last_answers(loaded, tmp_path, capsys):
    """The pipe stays open until the command has ended."""
    closed, before = threading.Event(), signal.getsignal(signal.SIGINT)

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        closed.wait(20)

    with live.fed(tmp_path / "pipe", live_networks.film(60), then=interrupt) as pipe:
        assert here("stream", pipe) == 130
        closed.set()
    assert signal.getsignal(signal.SIGINT) is before
    assert not [each for each in threading.enumerate() if each.name == live_classifier.THREAD]
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_is_gone(loaded, tmp_path, monkeypatch):
    """`keras-i3d stream ... | head -1`: status 141, as of other commands, and no thread is left."""
    (tmp_path / "x.ts").write_bytes(live_networks.film(60))
    monkeypatch.setattr(cli, "_forget_output", lambda: None)

    def broken(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    assert here("stream", tmp_path / "x.ts") == 141
    assert not [each for each in threading.enumerate() if each.name == live_classifier.THREAD]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "stream takes one source"),
        (["a", "b"], "stream takes one source"),
        (["x", "--exact", "--delay=1"], "--exact waits as long as it takes"),
        (["x", "--exact", "--window=1"], "--window is of answers of the latest frames"),
        (["-", "--reconnect"], "--reconnect is of cameras and URLs. Received: standard input, a pipe."),
        (["x", "--every=-1"], "every"),
    ],
)
def test_usage(arguments, message, capsys):
    assert here("stream", *arguments) == 2
    assert message in capsys.readouterr().err


def test_sources_that_are_none_fail_before_weights_are_fetched(tmp_path, capsys):
    assert here("stream", tmp_path / "none.mp4") == 1
    assert "none.mp4: no such file" in capsys.readouterr().err
    assert here("stream", "ftp://me:s3cret@host/x") == 1
    captured = capsys.readouterr().err
    assert "A URL begins with one of rtsp, rtsps, http" in captured
    assert "s3cret" not in captured
