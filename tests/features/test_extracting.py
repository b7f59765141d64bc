"""Features of many videos: in memory, in a folder, in shards, stopped and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from made import ROOT, small_features
from made.killing import killed
from made.small_features import SMALL, contents

from keras_i3d import features
from keras_i3d.errors import FeaturesError, VideoError
from keras_i3d.features import Layout, extract, extracting, read
from keras_i3d.features.presets import PRESETS


@pytest.fixture(scope="module")
def rgb(tmp_path_factory):
    return str(small_features.network(tmp_path_factory.mktemp("network") / "rgb.keras", "rgb"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos, of 24 to 27 frames; the second one is cut to nothing."""
    paths = small_features.videos(tmp_path_factory.mktemp("videos"), 4)
    with open(paths[1], "wb") as file:
        file.write(b"broken")
    return paths


@pytest.fixture(scope="module")
def whole(rgb, videos, tmp_path_factory):
    """The output of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    report = extract(videos, folder, rgb=rgb, progress=False, **SMALL)
    assert (report.videos, report.written, report.skipped) == (4, 3, 0)
    return folder


def test_in_memory_and_in_files_the_same(rgb, videos, whole):
    good = [*videos[:1], *videos[2:]]
    made = extract(good, rgb=rgb, progress=False, **SMALL)
    assert [each.frames for each in made] == [24, 26, 27]
    folder = read(whole)
    assert list(folder) == ["v000", "v002", "v003"]
    for each, name in zip(made, folder):
        assert each.arrays["rgb"].shape == (1, (each.frames - 9) // 4 + 1, folder[name].arrays["rgb"].shape[-1])
        small_features.equal(folder[name], each)
    times = folder["v002"]
    np.testing.assert_allclose(times.start["rgb"], [0, 0.16, 0.32, 0.48, 0.64], atol=1e-9)
    np.testing.assert_allclose(times.end["rgb"], [0.36, 0.52, 0.68, 0.84, 1.0], atol=1e-9)
    assert times.notes["networks"]["rgb"]["sha256"] == made[0].notes["networks"]["rgb"]["sha256"]
    assert times.notes["layout"]["window"] == 9
    assert np.std(np.load(whole / "v000.npy"), 0).max() > 0.01  # of frames that move


def test_a_video_that_fails(rgb, videos, whole):
    with pytest.raises(VideoError, match="v001.mkv"):
        extract(videos[1], rgb=rgb, progress=False, **SMALL)
    line = json.loads((whole / "failed.jsonl").read_text())
    assert (line["name"], line["path"]) == ("v001", videos[1])
    assert line["reason"]


def test_the_same_call_again(rgb, videos, whole, tmp_path, monkeypatch):
    """Does what is missing; a video that failed is tried again, and leaves the list when it succeeds."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    for path in videos:
        shutil.copy(path, tmp_path)
    moved = [str(tmp_path / os.path.basename(path)) for path in videos]
    (out / "v002.json").unlink()
    report = extract(moved, out, rgb=rgb, progress=False, **SMALL)
    assert (report.written, report.skipped, [path for path, _ in report.failed]) == (1, 2, moved[1:2])
    assert contents(out)["v002.json"] == contents(whole)["v002.json"]
    shutil.copy(videos[0], moved[1])
    report = extract(moved, out, rgb=rgb, progress=False, **SMALL)
    assert (report.written, report.skipped, report.failed) == (1, 3, [])
    assert not (out / "failed.jsonl").exists()
    assert (out / "v001.npy").read_bytes() == (out / "v000.npy").read_bytes()
    with pytest.raises(FeaturesError, match="layout.step is 4 there, and 8 here"):
        extract(moved, out, rgb=rgb, progress=False, **{**SMALL, "step": 8})
    other = small_features.network(tmp_path / "other.keras", "rgb", seed=8)
    with pytest.raises(FeaturesError, match=r"networks.rgb.sha256 is \"\w{64}\" there, and \"\w{64}\" here"):
        extract(moved, out, rgb=str(other), progress=False, **SMALL)
    shutil.move(rgb, tmp_path / "renamed.keras")
    try:  # it is known by its numbers
        assert extract(moved, out, rgb=str(tmp_path / "renamed.keras"), progress=False, **SMALL).skipped == 4
    finally:
        shutil.move(tmp_path / "renamed.keras", rgb)


def test_shards(rgb, videos, whole, tmp_path):
    """Each a part of the sorted list; together what one run gives."""
    for shard in ("2/2", "1/2"):
        report = extract(videos[::-1], tmp_path / "out", rgb=rgb, shard=shard, progress=False, **SMALL)
        assert report.videos == 2
    assert contents(tmp_path / "out") == contents(whole)
    paths = [f"v/{i}.mp4" for i in (3, 1, 2, 0, 4)]
    assert extracting.of_shard(paths, "1/2") == ["v/0.mp4", "v/2.mp4", "v/4.mp4"]
    assert extracting.of_shard(paths, "2/2") == ["v/1.mp4", "v/3.mp4"]
    assert extracting.of_shard(paths, None) == paths
    for shard in ("0/2", "3/2", "2", "a/b", "1/", "-1/2"):
        with pytest.raises(ValueError, match=r"shard must be i/n with i from 1 to n.*Received: shard="):
            extracting.of_shard(paths, shard)


def test_interrupted(rgb, videos, whole, tmp_path, monkeypatch):
    """Ctrl-C in the middle of a file: nothing half-written, and the rest by the same call."""
    save = np.save

    def interrupted(file, array, **settings):
        save(file, array, **settings)
        if (tmp_path / "out/v000.json").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(videos, tmp_path / "out", rgb=rgb, progress=False, **SMALL)
    assert sorted(contents(tmp_path / "out")) == [".features.json", "failed.jsonl", "v000.json", "v000.npy"]
    monkeypatch.setattr(np, "save", save)
    assert extract(videos, tmp_path / "out", rgb=rgb, progress=False, **SMALL).written == 2
    assert contents(tmp_path / "out") == contents(whole)


BY_COMMAND = "import sys; from keras_i3d import cli; cli.main(sys.argv[3:])"


def command(rgb, videos, output, *more):
    small = [f"--{name}={value}" for name, value in SMALL.items()]
    return ["features", *videos, f"--output={output}", f"--rgb={rgb}", *small, *more]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    ["after v002.npy", "before v002.json", "after .features.json", "after failed.jsonl", "call numpy:save#2"],
)
def test_killed(stage, rgb, videos, whole, tmp_path):
    out = tmp_path / "out"
    killed(stage, BY_COMMAND, *command(rgb, videos, out))
    report = extract(videos, out, rgb=rgb, progress=False, **SMALL)
    assert report.videos == 4
    assert contents(out) == contents(whole)


@pytest.mark.slow
def test_two_workers_killed_and_resumed(rgb, tmp_path):
    """Real workers: kill -9 in the middle, none outlives the command, and the same bytes as one process gives."""
    pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install 'keras-i3d[beam]'")
    paths = small_features.videos(tmp_path / "videos", 24)
    extract(paths, tmp_path / "whole", rgb=rgb, progress=False, **SMALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_HOME": str(tmp_path / "marked")}
    words = [sys.executable, "-m", "keras_i3d", *command(rgb, paths, tmp_path / "out", "--workers=2")]
    first = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + 240
    while not list((tmp_path / "out").glob("v*.json")) and time.monotonic() < until:
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    while marked(tmp_path / "marked") and time.monotonic() < until:
        time.sleep(0.05)
    assert not marked(tmp_path / "marked")
    assert 1 <= len(list((tmp_path / "out").glob("v*.json"))) < 24
    result = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def marked(folder):
    """Processes with this KERAS_HOME."""
    found = []
    for process in os.listdir("/proc"):
        try:
            with open(f"/proc/{process}/environ", "rb") as file:
                found += [process] if f"KERAS_HOME={folder}".encode() in file.read() else []
        except OSError:
            continue
    return found


def test_settings():
    layout, others = extracting.settings_of(None, {"window": 24, "rgb": "kinetics"})
    assert (layout.window, layout.step, layout.streams, others) == (24, 24, ("rgb",), {"rgb": "kinetics"})
    assert extracting.settings_of(None, {})[0] == Layout()
    assert extracting.settings_of(None, {"streams": "both"})[0].streams == ("rgb", "flow")
    assert extracting.settings_of(None, {"both": "x.keras"})[0].streams == ("both",)
    for model, streams in (("I3D", ("rgb", "flow")), ("S3D", ("rgb",)), ("I3DResNet50-nonlocal", ("rgb",))):
        assert extracting.settings_of(None, {"model": model})[0].streams == streams  # those that are published
    assert extracting.settings_of(None, {"model": "S3D", "flow": "x.keras"})[0].streams == ("flow",)
    assert extracting.settings_of(None, {"model": "S3D", "streams": "both"})[0].streams == ("rgb", "flow")
    assert extracting.settings_of(None, {"streams": ["flow", "rgb"]})[0].streams == ("flow", "rgb")
    alone = extracting.settings_of(None, {"beside": "fps", "crops": "tl_mirrored"})[0]
    assert (alone.beside, alone.crops) == (("fps",), ("tl_mirrored",))
    names = {"one": "{stem}", "per_stream": "{stem}_{stream}", "per_crop": "{stem}_{stream}__{crop}"}
    for files, name in names.items():
        assert extracting.settings_of(None, {"files": files})[0].name == name
    assert extracting.settings_of(None, {"files": "per_stream", "name": "{stream}/{stem}"})[0].name == "{stream}/{stem}"


def test_settings_of_presets(tmp_path):
    """What is given replaces a part; what depends on it follows."""
    for name, preset in PRESETS.items():
        assert extracting.settings_of(name, {}) == (preset.layout, {"model": preset.model})
    assert extracting.settings_of("thumos14-actionformer", {"window": 32})[0].step == 4
    assert extracting.settings_of("activitynet", {"window": 32})[0].step == 32
    assert extracting.settings_of("activitynet", {"window": "all", "step": None})[0].step is None
    assert extracting.settings_of("thumos14-actionformer", {"window": "all", "drop_last": False})[0].step is None
    assert extracting.settings_of("video-features", {"files": "one"})[0].name == "{stem}"  # both streams are in it
    assert extracting.settings_of("xd-violence", {"crops": 1, "files": "per_stream"})[0].name == "{stem}_{stream}"
    assert extracting.settings_of("activitynet", {"files": "per_stream"})[0].name == "{stem}_{stream}"
    (tmp_path / "mine.keras").touch()
    mine = str(tmp_path / "mine.keras")
    assert extracting.settings_of("rtfm", {"rgb": mine})[1] == {"rgb": mine}
    assert "model" in extracting.settings_of("activitynet", {"rgb": mine})[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"windows": 3}, r"Settings are .*attempts.*Received: 'windows'. Did you mean window\?"),
        ({"preset": "rtmf"}, r"Presets are .*Received: 'rtmf'. Did you mean rtfm\?"),
        ({"window": 0}, 'window must be a number of frames, or "all"'),
        ({"workers": 2}, "runner and workers write files, so they need output"),
        ({"videos": []}, "at least one video"),
        ({"shard": "5/4"}, "shard must be i/n"),
        ({"workers": 0, "output": "x"}, "workers must be at least 1"),
        ({"workers": 2, "output": "x", "runner": "FlinkRunner"}, "FlinkRunner takes its own flags"),
        (
            {"beam_args": ["--x"], "output": "x", "runner": "DirectRunner"},
            "beam_args are of another runner than Direct",
        ),
        ({"workers": 2, "output": "x", "rgb": np.zeros(3)}, "must be a name, a path or a number: save a model"),
    ],
)
def test_what_cannot_be(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        features.extract(**{"videos": ["a.mp4"], **arguments})
    assert os.listdir(tmp_path) == []
