"""keras-i3d evaluate as a user types it."""

import json

import pytest
from made import small_records, small_runs

from keras_i3d import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli_evaluate")
    small_records.split(folder / "records", "test", 3, shards=1)
    small_records.split(folder / "records", "val", 3, seed=50, shards=1)
    for stream in ("rgb", "flow"):
        small_runs.run(folder / stream, stream, network=False)
        small_runs.small(stream).save(folder / stream / "model.keras")
    return folder


def here(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_both_streams_then_fused_again(folder, capsys, tmp_path):
    streams = f"--rgb={folder / 'rgb'}", f"--flow={folder / 'flow'}", "--noreport"
    for split in ("test", "val"):
        records = f"--records={folder}/records/{split}-*"
        assert here("evaluate", records, *streams, f"--output={tmp_path / split}") == 0
    printed = capsys.readouterr()
    assert "split test: 3 videos, 0 not scored" in printed.out
    assert "split val: 3 videos, 0 not scored" in printed.out
    assert printed.out.count("sum of logits") == 2
    assert f"written: {tmp_path / 'val'}" in printed.err
    test, val = tmp_path / "test/scores.npz", tmp_path / "val/scores.npz"
    assert (
        here("evaluate", f"--scores={test}", "--fusion=weights", f"--fit_on={val}", f"--output={tmp_path / 'w'}") == 0
    )
    assert "weighted sum of logits (rgb" in capsys.readouterr().out
    assert "fitted on val" in json.loads((tmp_path / "w/results.json").read_text())["fusion"]


def test_what_cannot_be_done_is_one_line(folder, capsys):
    assert here("evaluate", "--records=/nowhere", f"--rgb={folder / 'rgb'}") == 1
    assert capsys.readouterr().err.startswith("error: No files of records: pattern='/nowhere'")
    assert here("evaluate", f"--records={folder}/records/test-*", f"--rgb={folder / 'rgb'}", "--protocol=views:3") == 1
    assert 'error: A protocol is "whole", "middle", or "views:NxM"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["word"], "takes flags alone"),
        (["--rgb=a"], "takes --records and at least one"),
        (["--records=a"], "takes --records and at least one"),
        (["--scores=a", "--rgb=b"], "takes no --records"),
    ],
)
def test_usage(arguments, message, capsys):
    assert here("evaluate", *arguments) == 2
    assert message in capsys.readouterr().err
