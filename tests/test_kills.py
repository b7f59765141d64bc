"""Killed at a named stage, and the same command again: the result of an uninterrupted one, nothing beside it."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
from made import films, small_exports, small_records, small_runs, tiny, tiny_runs
from made.killing import killed

from keras_i3d import cli, evaluation, video
from keras_i3d.models import families
from keras_i3d.records import distribute, shards
from keras_i3d.weights import conversion, download, h5_files, registry, sources
from keras_i3d.weights.cache import published

BY_COMMAND = "import sys; from keras_i3d import cli; cli.main(sys.argv[3:])"


def slow(*stages):
    """Stages of tests that take long."""
    return [pytest.param(stage, marks=pytest.mark.slow) for stage in stages]


def contents(folder):
    """{path in the folder: bytes}; None for a folder. Locks stay, and hold nothing.

    Of an mp4 it is how many frames it has: H.264's encoder does not always write the same bytes of the same frames.
    """
    found = (path for path in pathlib.Path(folder).rglob("*") if path.suffix != ".lock" and path.name != ".lock")
    return {str(path.relative_to(folder)): _content(path) if path.is_file() else None for path in found}


def _content(path):
    return len(video.read(path, fps=None, short_side=None)) if path.suffix == ".mp4" else path.read_bytes()


def here(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A glob of the records of a split."""
    return small_records.split(tmp_path_factory.mktemp("clips"), "test", 3, shards=1)


@pytest.fixture(scope="module")
def scored(clips, tmp_path_factory):
    """The scores.npz of a split, and all that an evaluation leaves."""
    pytest.importorskip("matplotlib", reason="the report needs matplotlib")
    folder = tmp_path_factory.mktemp("scored")
    small_runs.run(folder / "rgb", "rgb", network=False)
    small_runs.small("rgb").save(folder / "rgb/model.keras")
    evaluation.evaluate(clips, rgb=str(folder / "rgb"), output=folder / "scores", report=False)
    scores = folder / "scores/scores.npz"
    assert here("evaluate", f"--scores={scores}", f"--output={folder / 'whole'}") == 0
    return scores, contents(folder / "whole")


EVALUATED = ("scores.npz", "results.json", "per_class.csv", "confusion.png", "worst_confusions.png", "report.html")
EVALUATED = (*EVALUATED, "wrong.html")


@pytest.mark.parametrize(
    "stage",
    [
        "after results.json",
        *slow(
            *(f"before {name}" for name in EVALUATED),
            "after scores.npz",
            "after report.html",
            "after wrong.html",
            "call keras_i3d.video.writing:write#2",
            "call tempfile:TemporaryFile",
            "call keras_i3d.visualize:gif",
            "call numpy.lib.format:write_array#2",
        ),
    ],
)
def test_evaluate(stage, scored, tmp_path, monkeypatch):
    scores, whole = scored
    command = "evaluate", f"--scores={scores}", f"--output={tmp_path / 'out'}"
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    killed(stage, BY_COMMAND, *command)
    assert contents(tmp_path / "out") != whole or stage == "after wrong.html"
    assert here(*command) == 0
    assert contents(tmp_path / "out") == whole
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("stage", ["before x.gif", *slow("after x.gif", "call PIL.Image:Image.save")])
def test_show(stage, clips, tmp_path):
    (tmp_path / "out").mkdir()
    command = "show", clips, f"--output={tmp_path / 'out/x.gif'}"
    assert here(*command) == 0
    whole = contents(tmp_path / "out")
    (tmp_path / "out/x.gif").unlink()
    killed(stage, BY_COMMAND, *command)
    assert here(*command) == 0
    assert contents(tmp_path / "out") == whole


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Five videos of two classes, one of them broken."""
    folder = tmp_path_factory.mktemp("videos")
    for i, name in enumerate(("jump/a.mp4", "jump/b.mp4", "run/c.mp4", "run/d.mp4", "run/e.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        content = films.film([films.picture(i + j) for j in range(6 + i)], "mp4", "mpeg4")
        (folder / name).write_bytes(content if i else b"no video")
    return folder


IN_PROCESS = """
from keras_i3d.records import distribute, shards
distribute.check_installed = lambda: None
distribute.local = lambda folder, offsets, workers: [shards.write_shard(folder, offset) for offset in offsets]
"""


@pytest.mark.parametrize(
    "stage",
    [
        "call tensorflow:io.TFRecordWriter.write#2",
        *slow(
            *("before plan.jsonl", "after plan.jsonl", "before train-00001-of-00002.tfrecord"),
            *("after train-00001-of-00002.tfrecord", "before 00001.json", "after 00001.json", "before failed.jsonl"),
            *("after failed.jsonl", "before labels.txt", "after labels.txt", "before train.json", "after train.json"),
        ),
    ],
)
def test_records(stage, videos, tmp_path, monkeypatch):
    def local(folder, offsets, workers):
        for offset in offsets:
            shards.write_shard(folder, offset)

    monkeypatch.setattr(distribute, "check_installed", lambda: None)
    monkeypatch.setattr(distribute, "local", local)
    command = "records", f"--source={videos}", "--split=train", "--short_side=32", "--flow_method=none", "--shards=2"
    assert here(*command, f"--output={tmp_path / 'whole'}") == 0
    killed(stage, IN_PROCESS + BY_COMMAND, *command, f"--output={tmp_path / 'out'}")
    assert here(*command, f"--output={tmp_path / 'out'}") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert here("records", f"--check={tmp_path / 'out'}") == 0


NARROW = """
import pathlib; from made import mirrors
from keras_i3d.weights import conversion, registry
from keras_i3d.weights.cache import published
mirrors.narrow()
mirrors.register(pathlib.Path(sys.argv[3]), registry, lambda entries, key, value: entries.__setitem__(key, value))
"""
PUBLISHED = f"import sys{NARROW}published(registry.CHECKPOINTS['kinetics', 'rgb'])"
CONVERTED = f"import sys{NARROW}conversion.convert_sonnet(sys.argv[4], sys.argv[5])"
WRITING = (
    *("call h5py:Group.create_dataset#9", "before *.weights.h5", "after *.weights.h5"),
    *("before *.weights.h5.sha256", "after *.weights.h5.sha256"),
)


@pytest.mark.parametrize("stage", [WRITING[2], *slow(WRITING[0], WRITING[1], WRITING[3], WRITING[4])])
def test_published_weights(stage, repository, cache):
    """The cache: what was fetched for a conversion goes with it, also when the process ended just before that."""
    killed(stage, PUBLISHED, repository)
    path = published(registry.CHECKPOINTS["kinetics", "rgb"])
    found = contents(cache)
    labels = "data/label_map.txt"
    left = {name for name, content in found.items() if content is not None and not name.endswith(labels)}
    assert left == {path.name, f"{path.name}.sha256"}
    whole = found[path.name]
    path.unlink()
    assert published(registry.CHECKPOINTS["kinetics", "rgb"]).read_bytes() == whole


@pytest.mark.parametrize("stage", [WRITING[2], *slow(WRITING[0], WRITING[1], WRITING[3], WRITING[4])])
def test_conversion(stage, repository, tmp_path):
    """Over a file that is there: at every moment it can be read, the old one or the new one."""
    checkpoint, output = f"{repository}/data/checkpoints/rgb_imagenet/model.ckpt", tmp_path / "out/x.weights.h5"
    output.parent.mkdir()
    conversion.convert_sonnet(checkpoint, output)
    old = dataclasses.replace(h5_files.facts_of(output), source="the old one")
    h5_files.write_h5(h5_files.read_h5(output), output, families.find("I3D").groups(), **old.record())
    killed(stage, CONVERTED, repository, checkpoint, output)
    found = sources.find(output, "rgb")
    found.read()
    assert (found.facts.source == old.source) == (stage in WRITING[:2])
    conversion.convert_sonnet(checkpoint, output)
    conversion.convert_sonnet(checkpoint, tmp_path / "whole.weights.h5")
    assert sorted(contents(output.parent)) == ["x.weights.h5", "x.weights.h5.sha256"]
    assert output.read_bytes() == (tmp_path / "whole.weights.h5").read_bytes()


SMALL = """
import sys
from made import small_exports
from keras_i3d import cli
with small_exports.small(): cli.main(sys.argv[3:])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with small_exports.small():
        return small_exports.write_runs(tmp_path_factory.mktemp("runs"))["rgb"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    [
        *("call tensorflow:saved_model.save", "call tarfile:TarFile.addfile#3", "before film-1.tar.gz"),
        *("after film-1.tar.gz", "after SHA256SUMS", "after models.config", "before serve.sh", "after serve.sh"),
        *("before 1", "after 1"),
    ],
)
def test_export(stage, run, tmp_path):
    """The version comes last, so that it is there with all that belongs to it, or the same command makes it."""
    command = "export", f"--rgb={run}", "--version=1", "--frames=9", "--archive"
    killed(stage, SMALL, *command, f"--output={tmp_path / 'out/film'}")
    with small_exports.small():
        again = here(*command, f"--output={tmp_path / 'out/film'}")
        assert again == (1 if stage == "after 1" else 0)  # there, and complete: refused as after any export
        assert here(*command, f"--output={tmp_path / 'whole/film'}") == 0
    found, whole = contents(tmp_path / "out"), contents(tmp_path / "whole")
    assert found.keys() == whole.keys()
    for name in ("models.config", "batching.config", "film/1/assets.extra/keras_i3d.json"):
        assert found[name] == whole[name]
    assert os.access(tmp_path / "out/serve.sh", os.X_OK)
    assert download.sha256(tmp_path / "out/film-1.tar.gz") in found["SHA256SUMS"].decode()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["after .replaced-1", "after 1"])
def test_export_by_force(stage, run, tmp_path):
    command = "export", f"--rgb={run}", "--version=1", "--frames=9", f"--output={tmp_path / 'out/film'}", "--force"
    with small_exports.small():
        assert here(*command) == 0
        names = sorted(contents(tmp_path / "out"))
        killed(stage, SMALL, *command)
        assert here(*command) == 0
    assert sorted(contents(tmp_path / "out")) == names


def test_an_export_that_failed_can_be_given_again(run, tmp_path, monkeypatch):
    """The archive on a full disk: no version, so that the same command is not refused, and nothing beside it."""

    def full(*arguments):
        raise OSError(28, "No space left on device")

    command = "export", f"--rgb={run}", "--version=1", "--frames=9", "--archive", f"--output={tmp_path / 'out/film'}"
    with small_exports.small():
        with monkeypatch.context() as patch:
            patch.setattr("tarfile.TarFile.addfile", full)
            assert here(*command) == 1
        assert [name for name, content in contents(tmp_path / "out").items() if content is not None] == []
        assert here(*command) == 0
    assert (tmp_path / "out/film/1/saved_model.pb").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(records, the folder of a run that nothing interrupted)."""
    folder = tmp_path_factory.mktemp("trained")
    tiny.write(folder)
    tiny.write(folder, "test", videos=6)
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        tiny_runs.train(folder, folder / "run")
    return folder, folder / "run"


@pytest.fixture(scope="module")
def trained_with_all(trained, tmp_path_factory):
    """The folder of a run with everything on, of the same records."""
    output = tmp_path_factory.mktemp("all")
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        tiny_runs.train(trained[0], output, tiny_runs.EVERYTHING)
    return output


TRAIN = """
import pathlib, sys
from made import tiny, tiny_runs
tiny.shorten()
tiny_runs.train(sys.argv[3], pathlib.Path(sys.argv[4]))
"""
TRAIN_WITH_ALL = TRAIN.replace("argv[4])", "argv[4]), tiny_runs.EVERYTHING")


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    [
        *("after run.json", "before step-000000003.npz", "after step-000000003.npz", "call numpy:savez#3"),
        *("before log.csv#2", "after log.csv#2", "call h5py:Group.create_dataset#3", "after best.weights.h5"),
        *("after best.weights.h5.sha256", "after step-000000007.npz", "before model.keras", "after model.keras"),
    ],
)
def test_train(stage, trained, tmp_path, monkeypatch):
    folder, whole = trained
    tiny.shorten(monkeypatch)
    killed(stage, TRAIN, folder, tmp_path / "run")
    if (tmp_path / "run/best.weights.h5").exists():
        sources.find(tmp_path / "run/best.weights.h5", "rgb").read()
    tiny_runs.train(folder, tmp_path / "run")
    expected = tiny_runs.state(whole)
    for name, value in tiny_runs.state(tmp_path / "run").items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert tiny_runs.losses(tmp_path / "run") == tiny_runs.losses(whole)
    assert tiny_runs.curves(tmp_path / "run") == tiny_runs.logged(tmp_path / "run")
    for name in ("best.weights.h5", "best.weights.h5.sha256", "labels.txt"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()
    found = {name for name in contents(tmp_path / "run") if not name.startswith("tensorboard/")}
    assert found == {name for name in contents(whole) if not name.startswith("tensorboard/")}
    assert len(list((tmp_path / "run/tensorboard").glob("*/*"))) == len(list((whole / "tensorboard").glob("*/*")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    [
        *("after step-000000006.npz", "after step-000000008.npz", "call numpy:savez#5", "before log.csv#2"),
        *("call keras_i3d.training.averaging:Averages.move#5", "call keras_i3d.training.workers:evaluate"),
        *("call keras_i3d.training.optimizing:keep_state", "before model.keras"),
    ],
)
def test_train_with_everything_on(stage, trained, trained_with_all, tmp_path, monkeypatch):
    """Averages, AdamW, rates by layer, unfreezing, accumulation, mixup, balance, precise batch norm: to the bit."""
    tiny.shorten(monkeypatch)
    killed(stage, TRAIN_WITH_ALL, trained[0], tmp_path / "run")
    tiny_runs.train(trained[0], tmp_path / "run", tiny_runs.EVERYTHING)
    expected = tiny_runs.state(trained_with_all)
    for name, value in tiny_runs.state(tmp_path / "run").items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert tiny_runs.losses(tmp_path / "run") == tiny_runs.losses(trained_with_all)
    for name in ("best.weights.h5", "labels.txt"):
        assert (tmp_path / "run" / name).read_bytes() == (trained_with_all / name).read_bytes()
