"""The folder of a server: it stays while the server lives, and is removed after it, also if it was killed."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
from made import ROOT

from keras_i3d import locks
from keras_i3d.web import temporary_folder

SERVER = """
import pathlib, sys
from keras_i3d.web import temporary_folder
with temporary_folder.of_server() as folder:
    pathlib.Path(folder, "video").mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """What stands for /tmp."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@contextlib.contextmanager
def other_server(place):
    """A server in another process: (the process, its folder)."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            yield process, pathlib.Path(process.stdout.readline().strip())
        finally:
            process.stdin.close()


def test_what_killed_servers_left_is_removed_and_the_living_keep_theirs(place, capsys):
    with other_server(place) as (killed, left), other_server(place) as (_, living):
        killed.kill()
        killed.wait()
        assert left.is_dir()
        with temporary_folder.of_server() as own:
            assert sorted(place.iterdir()) == sorted([living, pathlib.Path(own)])
        assert (living / "video").is_dir()
        said = f"keras_i3d: {left}, which a server that was killed left, is removed; videos in it: 1\n"
        assert capsys.readouterr().err == said
    assert list(place.iterdir()) == []


def test_what_is_no_servers_is_left(place, tmp_path):
    """A link to somebody's folder, one whose lock is still to be made, and a file of that name."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / temporary_folder.LOCK).touch()
    (place / "keras_i3d_web_link").symlink_to(tmp_path / "mine")
    (place / "keras_i3d_web_new").mkdir()
    (place / "keras_i3d_web_file").touch()
    before = sorted(place.iterdir())
    temporary_folder.sweep()
    assert sorted(place.iterdir()) == before
    assert (tmp_path / "mine" / temporary_folder.LOCK).is_file()


def test_folders_of_other_users_are_left(place, monkeypatch):
    (place / "keras_i3d_web_a").mkdir()
    (place / "keras_i3d_web_a" / temporary_folder.LOCK).touch()
    monkeypatch.setattr(os, "getuid", lambda: -1)
    temporary_folder.sweep()
    assert len(list(place.iterdir())) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_folder_that_is_swept_while_it_is_made(place, monkeypatch, moment):
    """Another server starts between its making and its lock: then a new one is made."""
    real, calls = locks.hold, []

    @contextlib.contextmanager
    def hold(path, **settings):
        calls.append(path)
        if len(calls) == 1 and moment == "before":
            shutil.rmtree(path.parent)
        with real(path, **settings):
            if len(calls) == 1 and moment == "after":
                shutil.rmtree(path.parent)
            yield

    monkeypatch.setattr(locks, "hold", hold)
    with temporary_folder.of_server() as own:
        assert len(calls) == 2
        assert list(place.iterdir()) == [pathlib.Path(own)] == [calls[1].parent]
    assert list(place.iterdir()) == []
