"""Damage: what is counted, the same on any number of cores, and files that are cut short."""

import contextlib
import os
import subprocess
import sys
import textwrap

import av
import numpy as np
import pytest
from made import ROOT, films

from keras_i3d import VideoError, video
from keras_i3d.video import decoding, live_sources
from keras_i3d.video.live_reader import LiveDecoder

PICTURES = [films.picture(i) for i in range(30)]
H264 = films.film(PICTURES, "mp4", "libx264", b_frames=2, gap=10)


def test_damage_is_counted():
    film = bytearray(films.film(PICTURES, "avi", "mjpeg", pixels="yuvj420p"))
    at = len(film) // 2
    film[at : at + 3000] = bytes(3000)
    reader = video.Reader(bytes(film))
    frames = sum(1 for _ in reader)
    assert reader.damaged > 0
    assert frames > 0


def test_damaged_h264_does_not_hang(tmp_path):
    """FFmpeg's decoding threads complain of it; a callback in Python would wait for a lock that the reader holds."""
    draw = np.random.default_rng(0)
    film = bytearray(films.film([draw.integers(0, 255, (240, 320, 3), "uint8") for _ in range(40)], "mp4", "libx264"))
    for at in range(20_000, len(film) - 60_000, 3001):
        film[at : at + 200] = draw.bytes(200)
    (tmp_path / "x.mp4").write_bytes(film)
    code = """
        import av
        from keras_i3d import video
        reader = video.Reader("x.mp4")
        for taken in range(1, 21):
            frames = iter(reader)
            for _ in range(taken):
                next(frames, None)
            frames.close()
        print(sum(1 for _ in reader), reader.damaged, av.logging.get_level())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "numpy"}  # which starts sooner
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    frames, damaged, level = result.stdout.split()
    assert int(frames) > 0
    assert int(damaged) > 0
    assert level == "None", "log callbacks are on: this hangs in two runs of three"


def read(film, **part):
    """Returns all that a reader gives, in a form that can be compared."""
    reader = video.Reader(film, short_side=48, **part)
    try:
        frames = list(reader)
    except VideoError as error:
        return str(error)
    return len(frames), reader.damaged, reader.cut_short, [frame.tobytes() for frame in frames]


def overwritten(film, number):
    """A film with a packet of 0xff."""
    at, size = films.packets(film)[number]
    return film[:at] + b"\xff" * size + film[at + size :]


def test_damage_at_the_end():
    """Frame threads lose the errors of the last packets, and with them the frames behind."""
    count, damaged, cut_short, _ = read(overwritten(H264, -1))
    assert (count, damaged, cut_short) == (29, 1, False)


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("number", [0, 1, 5, 14, -3, -1])
def test_damage_is_the_same_on_any_number_of_threads(number, threads, monkeypatch):
    film = overwritten(H264, number)
    parts = {}, {"start": 0.2}, {"start": 0.4, "end": 0.6}, {"end": 0.5}
    monkeypatch.setattr(decoding, "THREADS", 1)
    expected = [read(film, **part) for part in parts]
    assert expected[0][1] > 0
    monkeypatch.setattr(decoding, "THREADS", threads)
    assert [read(film, **part) for part in parts] == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the cores of a process can be chosen on Linux alone")
def test_damage_is_the_same_on_any_number_of_cores():
    draw = np.random.default_rng(1)
    noisy = [draw.integers(0, 255, (96, 128, 3), "uint8") for _ in range(40)]
    film = bytearray(films.film(noisy, "matroska", "libx264", b_frames=2))
    for at in range(4000, len(film) - 100, len(film) // 7):
        film[at : at + 60] = draw.bytes(60)
    cores = os.sched_getaffinity(0)
    everywhere = read(bytes(film))
    try:
        os.sched_setaffinity(0, {min(cores)})
        alone = read(bytes(film))
    finally:
        os.sched_setaffinity(0, cores)
    assert alone == everywhere
    assert everywhere[1] > 0


def test_a_sound_file_is_decoded_once(monkeypatch):
    passes, original = [], decoding.Decoder._through
    monkeypatch.setattr(decoding.Decoder, "_through", lambda *given: passes.append(given) or original(*given))
    for film in (H264, films.film(PICTURES, "webm", "libvpx"), films.film(PICTURES, "avi", "mpeg4", b_frames=2)):
        assert read(film)[:3] == (30, 0, False)
    assert len(passes) == 3
    read(overwritten(H264, 10))
    assert len(passes) == 5


CUT = {
    "avi": films.film(PICTURES, "avi", "mjpeg", pixels="yuvj420p"),
    "gif": films.film(PICTURES, "gif", "gif", pixels="rgb8"),
    "matroska": films.film(PICTURES, "matroska", "libx264", b_frames=2),
    "webm": films.film(PICTURES, "webm", "libvpx"),
    "asf": films.film(PICTURES, "asf", "mpeg4"),
}


@pytest.fixture(scope="module")
def streamable(tmp_path_factory):
    """An mp4 whose index comes before its frames."""
    import av

    path = tmp_path_factory.mktemp("films") / "x.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in PICTURES:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())
    return path.read_bytes()


@pytest.mark.parametrize("name", [*CUT, "mp4"])
def test_a_file_cut_short_says_so(name, streamable):
    """Wherever it is cut, and only then."""
    film = CUT.get(name, streamable)
    assert read(film)[:3] == (30, 0, False)
    assert read(film + bytes(9))[2] is False  # padding is no part
    for length in range(len(film) // 2, len(film), max(len(film) // 44, 1)):
        found = read(film[:length])
        if isinstance(found, str):
            assert found.endswith("the file is cut short")
        else:
            assert found[0] <= 30
            assert found[2] is True
    assert read(film[:-1])[2] is True


@pytest.mark.parametrize(("container", "codec"), [("mpeg", "mpeg1video"), ("vob", "mpeg2video"), ("flv", "flv")])
def test_formats_that_say_their_streams_late(container, codec):
    assert len(video.read(films.film(PICTURES, container, codec), None, None)) == 30


def test_no_options_of_streams_are_given(monkeypatch):
    """PyAV before 18 crashes if it is given some, `options` among them, where streams are found late."""
    given, opened = [], av.open
    monkeypatch.setattr(av, "open", lambda *args, **settings: given.append(settings) or opened(*args, **settings))
    assert len(video.read(H264)) == 30
    assert given
    given += [LiveDecoder(live_sources.find(url), 1, None)._settings() for url in ("http://x/1", "rtsp://x/1")]
    assert [settings for settings in given if {"options", "stream_options"} & set(settings)] == []
    assert all(settings["container_options"] for settings in given)


def test_only_who_comes_to_the_end_finds_it_cut_short():
    film = CUT["avi"][: len(CUT["avi"]) * 2 // 3]
    reader = video.Reader(film, end=0.2)
    assert reader.count() == 5
    assert reader.cut_short is False
    with pytest.raises(VideoError, match=r"it ends after 0\.\d+ s, before the start at 1.10 s; the file is cut short"):
        video.read(film, start=1.1)


def test_files_that_announce_no_size():
    """Transport streams, and recordings that were never ended."""
    film = films.film(PICTURES, "mpegts", "libx264")
    assert read(film[: len(film) // 376 * 188])[2] is False
    live = bytearray(CUT["matroska"])
    at = live.index(bytes.fromhex("18538067")) + 4
    live[at : at + 8] = b"\x01" + b"\xff" * 7
    assert read(bytes(live))[:3] == (30, 0, False)


def test_read_says_what_is_wrong(capsys, tmp_path):
    (tmp_path / "x.mp4").write_bytes(overwritten(H264, -1))
    video.read(tmp_path / "x.mp4")
    assert "x.mp4: 1 damaged packet\n" in capsys.readouterr().err
    (tmp_path / "x.gif").write_bytes(CUT["gif"][:-1])
    video.read(tmp_path / "x.gif")
    assert "x.gif: cut short\n" in capsys.readouterr().err
    video.read(H264)
    assert capsys.readouterr().err == ""


def test_a_demuxer_that_stumbles_at_the_end(monkeypatch):
    """PyAV raises IndexError after the last packet of a file in which a stream begins late."""
    original = decoding.Decoder._open

    class Stumbling:
        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def demux(self, stream):
            yield from (packet for packet in self._container.demux(stream) if packet.size)
            raise IndexError("list index out of range")

    @contextlib.contextmanager
    def opened(self):
        with original(self) as container:
            yield Stumbling(container)

    monkeypatch.setattr(decoding.Decoder, "_open", opened)
    assert read(H264)[:3] == (30, 0, False)


# What ../shared/cases holds: (frames at 25 per second, damaged packets, cut short), or the reason it is refused.
CASES = {
    "video/base.mp4": (50, 0, False),
    "video/back.ts": (50, 0, False),
    "video/gap.ts": (50, 0, False),
    "video/tail.mp4": (49, 1, False),
    "video/delays.gif": (62, 0, False),
    "video/fps1.mp4": (100, 0, False),
    "video/drop.avi": (100, 0, False),
    "video/trim.mp4": (25, 0, False),
    "video/cut.mkv": (28, 0, True),
    "video/bar.mpg": (5, 0, False),
    "video/sar.mp4": (10, 0, False),
    "video/two.mkv": (25, 0, False),
    "video/raw30.h264": (25, 0, False),
    "video/ycgco.mp4": "FFmpeg cannot convert its colours to RGB: YCgCo",
    "video/bt2020c.mp4": "FFmpeg cannot convert its colours to RGB: BT.2020 constant luminance",
    "video/unknown.mp4": "no decoder in this FFmpeg for its codec 'zzzz': encode it as H.264, for example",
    "hostile/thin_2x1000.gif": "its frames are 2 x 1000 pixels, and the limit is an aspect of 16:1",
    "hostile/late_stream.min.ts": (20, 10, False),
}
TURNED = {
    "hflip": np.fliplr,
    "vflip": np.flipud,
    "transpose": lambda image: image.swapaxes(0, 1),
    "antitranspose": lambda image: np.rot90(image, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cases(name, shared):
    path = shared / "cases" / name
    found = read(path)
    expected = CASES[name]
    assert found == f"{path}: {expected}" if isinstance(expected, str) else found[:3] == expected


def test_the_cases_as_a_player_shows_them(shared):
    folder = shared / "cases/video"
    base = video.read(folder / "base.mp4", short_side=None)
    for name, turn in TURNED.items():
        frames = video.read(folder / f"{name}.mp4", short_side=None)
        np.testing.assert_array_equal(frames, [turn(frame) for frame in base])
    assert video.read(folder / "sar.mp4", short_side=48).shape[1:3] == (48, 85)
    two = video.read(folder / "two.mkv", short_side=48)
    assert np.abs(two[..., 0].astype(int) - two[..., 1]).mean() > 20  # the test pattern has more colours than red
    assert two[..., 1].mean() > 40
    bar = video.read(folder / "bar.mpg").astype(int)
    assert np.abs(np.diff(bar, axis=1)).mean() < 0.5
    seen = video.read(folder / "fps1.mp4", short_side=48)
    assert np.flatnonzero(np.abs(np.diff(seen.astype(int), axis=0)).mean(axis=(1, 2, 3)) > 1).tolist() == [24, 49, 74]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n"),
        ("a.txt", "ffconcat version 1.0\nfile other.ts\n"),
    ],
)
def test_a_file_that_names_others_opens_none(tmp_path, name, content):
    """FFmpeg would play them: whoever may send a video would see every video whose path he guesses."""
    other = tmp_path / "other.ts"
    other.write_bytes(films.film([films.picture(i) for i in range(12)], container="mpegts", codec="libx264"))
    assert len(video.read(other)) == 12
    (tmp_path / name).write_text(content.format(other=other))
    with av.open(str(tmp_path / name)) as container:  # FFmpeg alone
        assert sum(1 for _ in container.decode(video=0)) == 12
    for source in (tmp_path / name, (tmp_path / name).read_bytes()):
        with pytest.raises(VideoError, match="not a video that FFmpeg can open"):
            video.read(source)
