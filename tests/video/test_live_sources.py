"""What a user may name as live video, and what messages call it."""

import io
import os

import pytest
from made import films

from keras_i3d import VideoError
from keras_i3d.video.live_sources import DEVICE, FILE, PIPE, URL, find


def test_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b.mp4").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    assert find("a:b.mp4").kind == FILE
    assert find("a:b.mp4").opened == str(tmp_path / "a:b.mp4")  # else FFmpeg takes "a" for a protocol
    assert find(tmp_path / "pipe").kind == PIPE
    assert (find("-").kind, find("-").name) == (PIPE, "standard input")
    assert find(io.BytesIO(films.film([films.picture(0)]))).kind == PIPE
    camera = find("avfoundation:0")
    assert (camera.kind, camera.opened, camera.format, camera.name) == (DEVICE, "0", "avfoundation", "avfoundation:0")
    assert find("dshow:video=Cam: 2").opened == "video=Cam: 2"
    assert find("RTSP://x/1").scheme == "rtsp"


def test_a_url_is_called_without_its_password():
    found = find("rtsp://me:s3cret@camera:554/1")
    assert (found.kind, found.name) == (URL, "rtsp://***@camera:554/1")
    assert found.opened == "rtsp://me:s3cret@camera:554/1"


def test_what_is_no_source(tmp_path):
    (tmp_path / "empty").touch()
    for source, message in ((tmp_path, "a folder"), (tmp_path / "x", "no such file"), (tmp_path / "empty", "is empty")):
        with pytest.raises(VideoError, match=message):
            find(source)
    with pytest.raises(ValueError, match=r"A URL begins with one of rtsp, .*Received: file://\*\*\*@x"):
        find("file://me:s3cret@x")
    with pytest.raises(ValueError, match="A source is a path.*Received: int"):
        find(3)
