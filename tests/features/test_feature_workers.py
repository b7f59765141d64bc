"""Workers of Beam: what they are given and what they write. Real ones run in test_extracting.py."""

import errno
import os
import pathlib

import pytest
from made import small_features
from made.small_features import SMALL, contents

from keras_i3d import pipelines
from keras_i3d.errors import FeaturesError
from keras_i3d.features import extract, feature_workers
from keras_i3d.features.layouts import Layout
from keras_i3d.features.output_folder import OutputFolder


@pytest.fixture
def in_process(monkeypatch):
    """The same work without Beam; returns the groups that were asked for."""
    given = []

    def local(function, items, settings, workers):
        given.append((items, workers))
        for item in items:
            function(item, settings)

    monkeypatch.setattr(pipelines, "check_installed", lambda what: None)
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    monkeypatch.setattr(pipelines, "local", local)
    return given


def test_the_same_bytes_as_one_process(in_process, tmp_path, monkeypatch):
    small_features.op_by_op(monkeypatch)
    rgb = small_features.network(tmp_path / "rgb.keras", "rgb")
    paths = small_features.videos(tmp_path / "videos", 9, frames=12)
    pathlib.Path(paths[3]).write_bytes(b"broken")
    one = extract(paths, tmp_path / "one", rgb=rgb, progress=False, **SMALL)
    assert not in_process
    # pathlib's paths, and Layout's tuples, have to survive the way to another process.
    settings = {**SMALL, "rgb": rgb, "beside": ()}
    two = extract(paths, tmp_path / "two", workers=2, progress=False, **settings)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert (two.written, two.failed) == (one.written, one.failed)
    ((groups, workers),) = in_process
    assert workers == 2
    assert [len(group) for group in groups] == [1] * 9
    again = extract(paths, tmp_path / "two", runner="DirectRunner", progress=False, **settings)
    assert (again.written, again.skipped, len(again.failed)) == (0, 8, 1)
    assert in_process[1] == ([[paths[3]]], 2)


def test_groups_are_large_where_there_are_many(in_process, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_workers, "_loaded", lambda text: (None, Folder()))
    bar = Counted()
    for videos, size in ((8, 1), (40, 5), (1000, 16)):
        feature_workers.run(feature_workers.Work("x", (), Layout(), {}), [*range(videos)], Folder(), bar)
        assert len(in_process[-1][0][0]) == size
        assert [video for group in in_process[-1][0] for video in group] == [*range(videos)]
    assert bar.done == 1048


class Counted:
    done = 0

    def update(self, count):
        self.done += count


class Folder:
    def write_all(self, extractor, videos):
        pass

    def done(self, videos):
        return 3


def test_a_full_disk_is_one_line(in_process, tmp_path, monkeypatch):
    def full(self, extractor, videos):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/x.npy")

    monkeypatch.setattr(OutputFolder, "write_all", full)
    monkeypatch.setattr(feature_workers, "_loaded", lambda text: (None, OutputFolder("out", ["x.mp4"], Layout())))
    with pytest.raises(FeaturesError, match=r"^out/x.npy: the disk is full. Free some space"):
        feature_workers.write(["x.mp4"], "")


def test_lost_workers(tmp_path, monkeypatch):
    def lost(*arguments):
        raise pipelines.WorkersError("a worker process was lost")

    monkeypatch.setattr(pipelines, "local", lost)
    monkeypatch.setattr(pipelines, "remote", lost)
    work = feature_workers.Work("x", (), Layout(), {})
    for runner in (None, "FlinkRunner"):
        with pytest.raises(
            FeaturesError, match=r"^The workers stopped: a worker process was lost. What is complete is"
        ):
            feature_workers.run(work, ["x"], Folder(), Counted(), runner)
