"""Downloads from a server that misbehaves in every way: one clear error, the cache untouched."""

import base64
import contextlib
import errno
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

import pytest
from made import ROOT

from keras_i3d import WeightsError
from keras_i3d.errors import WeightsUnreachableError
from keras_i3d.weights import download
from keras_i3d.weights.registry import RemoteFile

CONTENT = bytes(range(256)) * 4096  # 1 MiB
REMOTE = RemoteFile(
    "data/file.bin", len(CONTENT), hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest(), "http://127.0.0.1:9"
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT as the server's `mode` says, and notes what was asked."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        server.logins.append(self.headers.get("Authorization"))
        content, mode = CONTENT, server.mode
        if mode == "missing":
            return self.send_error(404)
        if mode == "broken" or (mode == "broken once" and len(server.asked) == 1):
            return self.send_error(503)
        if mode == "html":
            content = b"<!DOCTYPE html><html>please log in</html>"
        if mode == "flipped":
            content = content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
        if mode == "short":
            content = content[:-100]
        begin = int(self.headers["Range"].split("=")[1].rstrip("-")) if "Range" in self.headers else 0
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        content = content[begin:]
        if mode == "cut once" and len(server.asked) == 1:
            self.wfile.write(content[: len(content) // 2])
            return self.connection.close()
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(content), 65536):
                self.wfile.write(content[at : at + 65536])
                time.sleep(server.pause)
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.asked, server.logins, server.pause = "good", [], [], 0
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("KERAS_I3D_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    yield server
    server.shutdown()
    server.server_close()


def files(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_good(server, tmp_path, capsys):
    path = download.fetch(REMOTE, tmp_path)
    assert path == tmp_path / REMOTE.path
    assert path.read_bytes() == CONTENT
    assert "downloading http://127.0.0.1" in capsys.readouterr().err
    download.fetch(REMOTE, tmp_path)
    assert len(server.asked) == 1, "a verified copy needs no second download"
    assert files(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("mode", ["broken once", "cut once"])
def test_passing_faults_are_tried_again(mode, server, tmp_path):
    server.mode = mode
    assert download.fetch(REMOTE, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 2
    if mode == "cut once":
        assert server.asked[1].startswith("bytes="), "the second try goes on where the first was cut"


@pytest.mark.parametrize(
    ("mode", "error", "message", "tries"),
    [
        ("missing", WeightsUnreachableError, "HTTP 404.*KERAS_I3D_MIRROR", 1),
        ("broken", WeightsUnreachableError, "HTTP 503", 3),
        ("html", WeightsError, "an HTML page came in its place", 1),
        ("flipped", WeightsError, "its git blob id is .* instead of", 1),
        ("short", WeightsError, "1,048,476 bytes instead of 1,048,576", 1),
    ],
)
def test_faults(mode, error, message, tries, server, tmp_path):
    server.mode = mode
    with pytest.raises(error, match=message):
        download.fetch(REMOTE, tmp_path)
    assert len(server.asked) == tries
    assert files(tmp_path) == []


def test_nobody_there(monkeypatch, tmp_path):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with pytest.raises(WeightsUnreachableError, match=r"Cannot fetch http://127.0.0.1:9/.*set KERAS_I3D_MIRROR"):
        download.fetch(REMOTE, tmp_path)
    assert files(tmp_path) == []


def test_connecting_is_given_up(monkeypatch, tmp_path):
    """The time-outs that requests gets: 5 seconds to connect, and few tries."""
    import requests

    monkeypatch.setattr(download, "_reach", lambda url: None)

    seen = []

    def get(url, timeout, **settings):
        seen.append(timeout)
        raise requests.ConnectTimeout("timed out")

    monkeypatch.setattr(requests, "get", get)
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with pytest.raises(WeightsUnreachableError, match="timed out"):
        download.fetch(REMOTE, tmp_path)
    assert seen == [(5, 30)] * 3


def test_many_silent_addresses_take_no_longer_than_one(monkeypatch, tmp_path):
    """A firewall that drops packets answers no address of a host; neither may a name that does not resolve wait on."""
    hosts = [f"127.0.0.{i}" for i in range(1, 9)]
    with contextlib.ExitStack() as sockets:
        port = 0
        for host in hosts:
            server = sockets.enter_context(socket.socket())
            server.bind((host, port))
            server.listen(0)
            port = server.getsockname()[1]
            for _ in range(4):  # once its queue is full, it leaves further connections without an answer
                client = sockets.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex((host, port))
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
        monkeypatch.setattr(download, "CONNECT_SECONDS", 0.5)
        monkeypatch.setenv("KERAS_I3D_MIRROR", "http://silent.example")
        for getaddrinfo in (lambda *a, **k: addresses, lambda *a, **k: time.sleep(4) or addresses):
            monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
            began = time.monotonic()
            with pytest.raises(WeightsUnreachableError, match=r"no connection to silent.example within 0.5 seconds"):
                download.fetch(REMOTE, tmp_path, attempts=1)
            assert time.monotonic() - began < 3  # eight addresses, one after the other, take 4


def test_part_of_another_file_is_thrown_away(server, tmp_path):
    part = tmp_path / (REMOTE.path + ".part")
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    assert download.fetch(REMOTE, tmp_path).read_bytes() == CONTENT


def test_killed_in_the_middle_goes_on(server, tmp_path, monkeypatch):
    server.pause = 0.05
    code = (
        "import pathlib; from keras_i3d.weights import download; from keras_i3d.weights.registry import RemoteFile;"
        f"download.fetch({REMOTE!r}, pathlib.Path({str(tmp_path)!r}))"
    )
    part = tmp_path / (REMOTE.path + ".part")
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    monkeypatch.undo()  # the real clock
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    server.pause = 0
    monkeypatch.setenv("KERAS_I3D_MIRROR", f"http://127.0.0.1:{server.server_port}")
    assert download.fetch(REMOTE, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={have}-"]


def test_mirror_folder(tmp_path, monkeypatch):
    (tmp_path / "mirror/data").mkdir(parents=True)
    (tmp_path / "mirror/data/file.bin").write_bytes(CONTENT)
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path / "mirror"))
    assert download.fetch(REMOTE, tmp_path / "cache").read_bytes() == CONTENT
    (tmp_path / "mirror/data/file.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="1,048,575 bytes instead of"):
        download.fetch(REMOTE, tmp_path / "other")
    assert (tmp_path / "mirror/data/file.bin").exists()
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsUnreachableError, match="has no data/file.bin"):
        download.fetch(REMOTE, tmp_path / "other")


def test_disk_full_before_and_during(server, tmp_path, monkeypatch):
    usage = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(WeightsError, match="too full.*bytes are missing.*KERAS_HOME"):
        download.fetch(REMOTE, tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage)

    def full(url, remote, part, login):
        part.write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_receive", full)
    with pytest.raises(WeightsError, match="The disk is full"):
        download.fetch(REMOTE, tmp_path)
    assert files(tmp_path) == []


def test_little_space_is_enough_for_what_is_missing(server, tmp_path, monkeypatch):
    part = tmp_path / (REMOTE.path + ".part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:-1000])
    usage = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage._replace(free=500))
    with pytest.raises(WeightsError, match="1,000 bytes are missing"):
        download.fetch(REMOTE, tmp_path)
    assert part.exists(), "what was fetched is kept"
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage._replace(free=2000))
    assert download.fetch(REMOTE, tmp_path).read_bytes() == CONTENT


def test_mirror_that_is_neither_url_nor_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_I3D_MIRROR", "ftp://somewhere")
    with pytest.raises(WeightsError, match=r"http\(s\) URL or a folder. Received: ftp"):
        download.fetch(REMOTE, tmp_path)
    (tmp_path / "mirror/data").mkdir(parents=True)
    (tmp_path / "mirror/data/file.bin").write_bytes(CONTENT)
    monkeypatch.setenv("KERAS_I3D_MIRROR", f"file://{tmp_path}/mirror")
    assert download.fetch(REMOTE, tmp_path / "cache").read_bytes() == CONTENT


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="Cannot write in the cache folder.*Set the environment variable KERAS_HOME"):
        download.fetch(REMOTE, tmp_path / "file")


@pytest.mark.parametrize("mode", ["good", "missing", "broken", "html", "short"])
def test_credentials_of_a_mirror_are_sent_and_never_told(mode, server, tmp_path, monkeypatch, capsys):
    server.mode = mode
    monkeypatch.setenv("KERAS_I3D_MIRROR", f"http://anna:se%2Fcr%40et@127.0.0.1:{server.server_port}/x")
    told = ""
    try:
        download.fetch(REMOTE, tmp_path)
    except WeightsError as error:
        told = "".join(traceback.format_exception(error))  # with all that it came from
    told += capsys.readouterr().err
    assert f"http://127.0.0.1:{server.server_port}/x/data/file.bin" in told
    assert not any(word in told for word in ("anna", "se%2F", "se/cr"))
    assert {base64.b64decode(login.removeprefix("Basic ")) for login in server.logins} == {b"anna:se/cr@et"}


@pytest.mark.parametrize(
    "mirror",
    [
        "ftp://anna:secret@host/x",
        "http://anna:sec/ret@host/x",
        "http://anna:secret@:80/x",
        "http://anna:secret@host:port/x",
        "http://anna:secret@127.0.0.1:9/x",
        "http://127.0.0.1:9/anna:secret@host",
        "http://anna:1/secret@host",
    ],
)
def test_credentials_of_a_mirror_that_does_not_work_are_not_told(mirror, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.2)
    monkeypatch.setenv("KERAS_I3D_MIRROR", mirror)
    with pytest.raises(WeightsError) as error:
        download.fetch(REMOTE, tmp_path, attempts=1)
    told = "".join(traceback.format_exception(error.value)) + capsys.readouterr().err
    assert "secret" not in told
    assert "sec/ret" not in told


def test_no_home(monkeypatch):
    """A user without an entry in /etc/passwd, and no HOME: as containers are started."""
    import pwd

    def nobody(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(WeightsError, match="this user has no home. Set the environment variable KERAS_HOME"):
        download.cache_folder()
