"""Frames of what cannot seek are those of the file; gaps, clocks, connections that break off."""

import io
import os
import socket
import traceback

import numpy as np
import pytest
from made import films, live

from keras_i3d import VideoError, video
from keras_i3d.video import live_sources
from keras_i3d.video.live_reader import LiveReader

PICTURES = [films.picture(i) for i in range(40)]


def read(source, fps=25, **settings):
    """Returns (frames, times, places at which stretches begin)."""
    shown = list(LiveReader(live_sources.find(source), fps, 48, **settings))
    begins = [i for i, each in enumerate(shown) if each.begins]
    return np.stack([each.image for each in shown]), [each.time for each in shown], begins


FILMS = {
    "mpegts": lambda: films.film(PICTURES, "mpegts", "libx264", gap=10, b_frames=2),
    "matroska": lambda: films.film(PICTURES, "matroska", "mpeg4"),
    "rate": lambda: films.film(PICTURES, "matroska", "libx264", rate=30),
    "variable": lambda: films.film(
        PICTURES[:20], "matroska", "libx264", times=[int(i * 37 + 11 * (i % 3)) for i in range(20)]
    ),
    "clock": lambda: (
        films.film(PICTURES[:20], "mpegts", "mpeg2video") + films.film(PICTURES[20:], "mpegts", "mpeg2video")
    ),
    "gap": lambda: films.film(PICTURES[:10], "matroska", "mpeg4", places=[*range(5), *range(100, 105)]),
}


@pytest.mark.parametrize("name", FILMS)
def test_frames_of_a_pipe_are_those_of_the_file(name, tmp_path):
    film = FILMS[name]()
    expected = video.read(film, short_side=48)
    with live.fed(tmp_path / "pipe", film) as pipe:
        frames, times, begins = read(pipe)
    np.testing.assert_array_equal(frames, expected)
    assert begins == [0]
    assert times == pytest.approx(np.arange(len(expected)) / 25)


def test_a_file_object_need_not_seek():
    class Socket(io.RawIOBase):
        def __init__(self, content):
            self.content = io.BytesIO(content)

        def readable(self):
            return True

        def readinto(self, buffer):
            return self.content.readinto(memoryview(buffer)[:1000])

    film = FILMS["mpegts"]()
    frames, *_ = read(io.BufferedReader(Socket(film)))
    np.testing.assert_array_equal(frames, video.read(film, short_side=48))


def test_a_live_gap_begins_anew_and_is_said(tmp_path, capsys):
    """5 frames, 3.8 s of nothing, 5 frames: a file is filled up, live video is not."""
    (tmp_path / "x.mkv").write_bytes(FILMS["gap"]())
    frames, times, begins = read(tmp_path / "x.mkv", realtime=True, clock=live.EagerClock())
    assert films.shown(frames) == list(range(10))
    assert begins == [0, 5]
    assert times == pytest.approx([*np.arange(5) / 25, *(4 + np.arange(5) / 25)], abs=0.002)
    assert "x.mkv: nothing new for 3.8 s after 0.16 s; the answers begin anew" in capsys.readouterr().err


def test_a_live_clock_that_jumps_begins_anew(tmp_path, capsys):
    class Device(live_sources.LiveSource):
        pass

    (tmp_path / "x.ts").write_bytes(FILMS["clock"]())
    source = Device(str(tmp_path / "x.ts"), "camera", live_sources.DEVICE, "mpegts")
    shown = list(LiveReader(source, 25, 48))
    assert sum(each.begins for each in shown) == 2
    assert len(shown) == 40
    assert "camera: its clock jumps after 0." in capsys.readouterr().err


def test_realtime_waits_for_the_timestamps(tmp_path):
    clock = live.EagerClock()
    (tmp_path / "x.ts").write_bytes(FILMS["mpegts"]())
    _, times, _ = read(tmp_path / "x.ts", realtime=True, clock=clock)
    assert sum(max(wait, 0) for wait in clock.waits) == pytest.approx(times[-1])
    assert max(clock.waits) == pytest.approx(0.04)


def test_only_live_video_is_late_and_only_when_its_time_has_come(tmp_path):
    clock = live.EagerClock()
    (tmp_path / "x.ts").write_bytes(FILMS["mpegts"]())
    source = live_sources.find(tmp_path / "x.ts")
    file, paced = (LiveReader(source, 25, 48, realtime=realtime, clock=clock) for realtime in (False, True))
    for reader in (file, paced):
        next(iter(reader))
    clock.time += 3
    assert [paced.is_late(2.9), paced.is_late(3.1), file.is_late(2.9)] == [True, False, False]


def test_a_device_is_opened_by_its_format(monkeypatch):
    """FFmpeg's source of test pictures in the place of a camera."""
    monkeypatch.setattr(live_sources, "DEVICES", ("lavfi",))
    reader = LiveReader(live_sources.find("lavfi:testsrc=size=64x48:rate=25:duration=0.4"), 25, 48)
    assert reader.live
    assert [each.image.shape for each in reader] == [(48, 64, 3)] * 10


def test_a_pipe_that_gives_nothing_can_be_stopped(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    asked = []

    def stopped():
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(VideoError, match="pipe: not a video that FFmpeg can open"):
        read(tmp_path / "pipe", stopped=stopped)


def test_a_url_that_breaks_off_is_an_error(capsys):
    film = FILMS["mpegts"]()
    with live.served(film[: len(film) // 2], claimed=len(film)) as address:
        reader = LiveReader(live_sources.find(f"http://me:s3cret@{address}/x.ts"), 25, 48)
        with pytest.raises(VideoError, match=r"it broke off after 0\.\d\d s \(") as raised:
            list(reader)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    assert reader.frames > 5


def test_a_url_that_cannot_be_opened_keeps_its_password():
    with live.served() as address:
        reader = LiveReader(live_sources.find(f"http://me:s3cret@{address}/x.ts"), 25, 48)
    with pytest.raises(VideoError, match=r"http://\*\*\*@127.*refused") as raised:
        list(reader)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


def test_a_url_that_gives_nothing_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(VideoError, match=r"can open \(nothing came for 0\.2 s\)"):
            read(f"http://127.0.0.1:{port}/x.ts", timeout=0.2)


def test_reconnecting(capsys):
    """Two connections, each with a stretch of its own; nobody there at the third and fourth attempt."""
    clock, film = live.EagerClock(), FILMS["mpegts"]()
    with live.served(film, film) as address:
        source = live_sources.find(f"http://me:s3cret@{address}/x.ts")
        reader = LiveReader(source, 25, 48, reconnect=True, clock=clock, stopped=lambda: len(clock.waits) > 3)
        shown = list(reader)
    assert reader.live
    assert films.shown([each.image for each in shown]) == [*range(40)] * 2
    assert [i for i, each in enumerate(shown) if each.begins] == [0, 40]
    assert np.all(np.diff([each.time for each in shown]) > 0.039)
    assert clock.waits == [1, 1, 2, 4]
    said = capsys.readouterr().err
    assert f"http://***@{address}/x.ts: " in said
    assert said.count("; connecting again in 1 s") == 2
    assert "404" in said
    assert "s3cret" not in said


def test_damage_is_counted_over_all_connections():
    """Two connections, with a damaged packet each. That they break off is none."""
    film = films.film(PICTURES[:20], "matroska", "mjpeg", pixels="yuvj420p")
    middle = len(film) // 2
    film = film[:middle] + bytes(100) + film[middle + 100 :]
    with live.served(film, film) as address:
        clock, counts = live.EagerClock(), []
        source = live_sources.find(f"http://{address}/x.mkv")
        reader = LiveReader(source, 25, 48, reconnect=True, clock=clock, stopped=lambda: len(clock.waits) > 2)
        for _ in reader:
            counts.append(reader.damaged)
    assert (counts[0], counts[20], reader.damaged) == (0, 1, 2)
    assert counts == sorted(counts)


def test_only_a_file_is_known_to_be_cut_short(tmp_path):
    film = films.film(PICTURES, "avi", "mjpeg", pixels="yuvj420p")
    (tmp_path / "x.avi").write_bytes(film[: len(film) * 2 // 3])
    reader = LiveReader(live_sources.find(tmp_path / "x.avi"), 25, 48)
    assert list(reader)
    assert reader.cut_short
    with open(tmp_path / "x.avi", "rb") as file:
        reader = LiveReader(live_sources.find(file), 25, 48)
        assert list(reader)
        assert not reader.cut_short


def test_rtsp_that_hangs_up_is_opened_again(capsys):
    """By a server that asks for the password; nobody sees it."""
    clock, film = live.EagerClock(), FILMS["mpegts"]()
    with live.rtsp(film, film) as port:
        source = live_sources.find(f"rtsp://me:s3cret@127.0.0.1:{port}/1")
        reader = LiveReader(source, 25, 48, reconnect=True, clock=clock, stopped=lambda: len(clock.waits) > 2)
        shown = list(reader)
    assert reader.live
    pictures = films.shown([each.image for each in shown])
    assert pictures == [*range(39)] * 2  # in MPEG-TS a frame ends where the next one begins
    assert [i for i, each in enumerate(shown) if each.begins] == [0, 39]
    assert clock.waits == [1, 1, 2]
    said = capsys.readouterr().err
    assert said.count(f"rtsp://***@127.0.0.1:{port}/1: ") == 3
    assert "s3cret" not in said


def test_bad_settings(tmp_path):
    (tmp_path / "x.ts").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"reconnect= is of cameras and URLs. Received: .*x\.ts, a file"):
        read(tmp_path / "x.ts", reconnect=True)
    with pytest.raises(ValueError, match="timeout must be"):
        read("rtsp://x", timeout=0)
