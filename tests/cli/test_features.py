"""keras-i3d features as a user types it."""

import json

import numpy as np
import pytest
from made import small_features

from keras_i3d import cli
from keras_i3d.features import PRESETS, extracting


def here(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "features takes --output, and at least one video"),
        (["x.mp4"], "features takes --output"),
        (["x.mp4", "--output=y", "--window=some"], "--window must be a number, or all. Received: --window=some"),
        (["x.mp4", "--output=y", "--fps=slow"], "--fps must be a number, or native or weights."),
        (["x.mp4", "--output=y", "--crops=5", "--crop_order=c,tl"], "--crop_order must name each of --crops=5"),
        (["x.mp4", "--output=y", "--set=mean"], "--set takes FIELD=VALUE"),
        (["x.mp4", "--output=y", "--crops=3"], "crops"),
        (["--list_presets", "x.mp4"], "takes no further words"),
        (["--compare=x.npy"], "features --compare=THEIRS takes one more file, OURS"),
    ],
)
def test_usage(arguments, message, capsys):
    assert here("features", *arguments) == 2
    assert message in capsys.readouterr().err


def test_flags_are_settings(tmp_path, monkeypatch):
    given = []

    class Report:
        failed = ()

    def extract(*arguments, **settings):
        given.append((arguments, settings))
        return Report()

    monkeypatch.setattr(extracting, "extract", extract)
    video = tmp_path / "x.mp4"
    video.touch()
    assert here("features", video, f"--output={tmp_path}") == 0
    usual = {"shard": None, "runner": None, "workers": None, "beam_args": []}
    usual |= {"batch_size": 8, "chunk_frames": 512, "max_seconds": 14400, "accept_licence": False}
    assert given[-1] == (([str(video)], str(tmp_path), None), usual)
    words = "--window=all --fps=native --streams=flow,rgb --crops=5 --crop_order=c,tl,tr,bl,br --set=mean=0.5,0.4,0.3"
    words += " --set=drop-last=true --set=stride=1 --set=name={stem}_i3d --axes=TNC --preset=rtfm --shard=2/3 --step=7"
    words += " --rgb=kinetics --runner=FlinkRunner -- --flink_master=x"
    assert here("features", video, f"--output={tmp_path}", *words.split()) == 0
    (_, _, preset), settings = given[-1]
    expected = {**usual, "shard": "2/3", "runner": "FlinkRunner", "beam_args": ["--flink_master=x"], "window": "all"}
    expected |= {
        "fps": None,
        "streams": ("flow", "rgb"),
        "crops": ("c", "tl", "tr", "bl", "br"),
        "axes": "TNC",
        "step": 7,
    }
    expected |= {"mean": (0.5, 0.4, 0.3), "drop_last": True, "stride": 1, "name": "{stem}_i3d", "rgb": "kinetics"}
    assert (preset, settings) == ("rtfm", expected)
    assert here("features", video, f"--output={tmp_path}", "--window=24", "--fps=12.5", "--streams=both") == 0
    settings = given[-1][1]
    assert (settings["window"], settings["fps"], settings["streams"]) == (24, 12.5, "both")


def test_features_of_a_folder(tmp_path, capsys):
    rgb = small_features.network(tmp_path / "rgb.keras", "rgb")
    small_features.videos(tmp_path / "videos", 2)
    (tmp_path / "videos/broken.mp4").write_bytes(b"broken")
    words = [f"--{name}={value}" for name, value in small_features.SMALL.items()]
    words = ["features", tmp_path / "videos", f"--output={tmp_path / 'out'}", f"--rgb={rgb}", *words]
    assert here(*words) == 1
    said = capsys.readouterr()
    assert "broken.mp4: " in said.err
    assert f"{tmp_path / 'out'}: 2 of 3 videos written, 1 failed ({tmp_path / 'out/failed.jsonl'}); " in said.out
    assert np.load(tmp_path / "out/v000.npy").shape[0] == 4
    assert json.loads((tmp_path / "out/v000.json").read_text())["notes"]["layout"]["streams"] == ["rgb"]
    (tmp_path / "videos/broken.mp4").unlink()
    assert here(*words) == 0
    assert "0 of 2 videos written, 2 were there; " in capsys.readouterr().out
    assert here(*words, "--step=3") == 1
    assert "is of other settings: layout.step is 4 there, and 3 here" in capsys.readouterr().err
    assert here(*words[:2], "--output=x", "--crops=5", "--rgb=kinetics") == 1
    assert "TNC or NTC for several crops in one file. Received: --axes='TC'" in capsys.readouterr().err
    assert here("features", tmp_path / "none.mp4", "--output=x") == 1
    assert "none.mp4: no such file" in capsys.readouterr().err


def test_presets_are_listed(capsys):
    assert here("features", "--list_presets") == 0
    said = capsys.readouterr().out
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.title}" in said
        assert preset.source.split()[0] in said
    assert "Not published: " in said
    assert max(map(len, said.splitlines())) <= 120


def test_two_files_are_compared(tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(20, 8)).astype("float32")
    np.save(tmp_path / "theirs.npy", rows)
    np.save(tmp_path / "ours.npy", np.concatenate([rows[:, 4:], rows[:, :4]], 1))
    assert here("features", f"--compare={tmp_path / 'theirs.npy'}", tmp_path / "ours.npy") == 0
    assert "swapped" in capsys.readouterr().out
