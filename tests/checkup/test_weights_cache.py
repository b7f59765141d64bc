"""The cache: a file that was changed, temporary ones, third-party ones, a disk that is full."""

import shutil
import types

import numpy as np
from made import sick

from keras_i3d.checkup import weights_cache
from keras_i3d.checkup.findings import look
from keras_i3d.weights import download, registry
from keras_i3d.weights.h5_files import write_h5


def examined():
    return list(look("cache", weights_cache.CHECKS))


def filled(cache):
    """A cache with a file of weights, and a list of labels that is what was published."""
    cache.mkdir(parents=True)
    name = "rgb_imagenet-1.weights.h5"
    write_h5({"first": [np.ones(4, "float32")]}, cache / name, {"first": "dense"}, stream="rgb")
    return cache / name


def test_an_empty_and_a_healthy_cache(cache):
    assert {finding.level for finding in examined()} == {"fine"}
    assert not cache.exists()
    filled(cache)
    found = examined()
    assert {finding.level for finding in found} == {"fine"}
    assert sick.said(found, "cache.hash").found == "1 file matches its hash"


def test_a_file_of_which_one_byte_is_another(cache):
    path = filled(cache)
    path.write_bytes(sick.damaged_copy(path.read_bytes(), 900))
    found = examined()
    assert sick.wrong(found) == {"cache.hash": "fault"}
    assert f"rm {path}" in sick.said(found, "cache.hash").remedy


def test_a_list_of_labels_that_was_changed(cache, monkeypatch):
    remote = registry.LABELS["kinetics400"].file
    path = cache / remote.path
    path.parent.mkdir(parents=True)
    path.write_text("a\nb\n")
    assert sick.wrong(examined()) == {"cache.hash": "fault"}
    same = {"kinetics400": types.SimpleNamespace(file=types.SimpleNamespace(
        path=remote.path, bytes=4, git_blob=download.git_blob(path), sha256=None))}  # fmt: skip
    monkeypatch.setattr(registry, "LABELS", same)
    assert sick.wrong(examined()) == {}
    assert path.exists()


def test_temporary_and_third_party_files(cache):
    filled(cache)
    (cache / "downloads/data").mkdir(parents=True)
    (cache / "downloads/data/model.ckpt.index.part").write_bytes(bytes(2_000_000))
    (cache / ".0123abcd-77-a1b2c3-x.weights.h5").touch()
    (cache / "mine.weights.h5").touch()
    (cache / "notes.txt").touch()
    found = examined()
    assert "2 temporary files, 2.0 MB" in sick.said(found, "cache.temporary").found
    assert sick.said(found, "cache.third_party").found.endswith("mine.weights.h5, notes.txt")


def test_a_full_disk(cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1e8))
    assert sick.wrong(examined()) == {"cache.disk": "warning"}
    monkeypatch.setattr(weights_cache.os, "access", lambda *_: False)
    assert "cannot be written" in sick.said(examined(), "cache.disk").found
