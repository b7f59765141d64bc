"""Video files to frames: timing, size, colour, rotation, and files that are broken."""

import io
import os
import subprocess
import sys
import textwrap

import films
import numpy as np
import pytest
from conftest import ROOT

from keras_i3d import VideoError, video

PICTURES = [films.picture(i) for i in range(30)]


def shown(frames):
    """Which picture each frame shows, from its red."""
    return [round((float(frame[..., 0].mean()) - 40) / 4) for frame in frames]


@pytest.fixture(scope="module")
def mp4():
    return films.film(PICTURES)


def test_frames_sizes_and_colours(mp4):
    frames = video.read(mp4)
    assert (frames.dtype, frames.shape) == (np.uint8, (30, 256, 341, 3))
    assert shown(frames) == list(range(30))
    small = frames[5, 2:-2:5, 2:-2:5].astype(int)
    expected = films.picture(5, 256, 341)[2:-2:5, 2:-2:5].astype(int)
    assert np.abs(small - expected).mean() < 3  # what mpeg4 loses


@pytest.mark.parametrize(
    ("container", "codec", "pixels"),
    [
        ("mp4", "mpeg4", "yuv420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("matroska", "mpeg4", "yuv420p"),
        ("mov", "mjpeg", "yuvj420p"),
        ("webm", "libvpx", "yuv420p"),
        ("gif", "gif", "rgb8"),
    ],
)
def test_containers(container, codec, pixels):
    frames = video.read(films.film(PICTURES, container, codec, pixels=pixels))
    assert frames.shape == (30, 256, 341, 3)
    red = frames[..., 0].mean(axis=(1, 2))
    assert abs(red - [40 + 4 * i for i in range(30)]).max() < (20 if codec == "gif" else 6)  # a palette is coarse


@pytest.mark.parametrize("rate", [10, 24, 25, 30, 50, 60])
def test_resampled_to_25_by_time(rate):
    frames = video.read(films.film(PICTURES, rate=rate))
    assert len(frames) == int(30 / rate * 25 + 0.5)
    times = np.arange(len(frames)) / 25
    nearest = np.clip(np.abs(times[:, None] - np.arange(30)[None] / rate).argmin(axis=1), 0, 29)
    assert max(abs(np.array(shown(frames)) - nearest)) <= (1 if rate in (10, 50) else 0)  # ties go either way


def test_variable_frame_rate():
    """20 frames 20 ms apart, then 10 frames 200 ms apart: 0.4 s and 2 s, 60 frames at 25."""
    times = [20 * i for i in range(20)] + [400 + 200 * i for i in range(10)]
    frames = video.read(films.film(PICTURES, "matroska", times=times))
    seen = shown(frames)
    assert abs(len(frames) - 60) <= 5  # the container does not say how long the last frame lasts
    assert all(abs(times[s] - 40 * k) <= 101 for k, s in enumerate(seen[:56]))
    assert seen[:10] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert seen.count(22) == 5


def test_every_frame_at_its_own_size(mp4):
    assert video.read(mp4, fps=None, short_side=None).shape == (30, 48, 64, 3)
    assert video.read(films.film(PICTURES, rate=50), fps=None).shape[0] == 30
    assert video.read(mp4, fps=5).shape[0] == 6
    assert video.read(mp4, short_side=24).shape[1:3] == (24, 32)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((320, 240), (341, 256)), ((240, 320), (256, 341)), ((1920, 1080), (455, 256)), ((99, 99), (256, 256))],
)
def test_scaled_size(size, expected):
    assert video.scaled_size(*size, 256) == expected


def test_paths_bytes_and_file_objects(mp4, tmp_path):
    (tmp_path / "x.mp4").write_bytes(mp4)
    expected = video.read(mp4)
    for source in (tmp_path / "x.mp4", str(tmp_path / "x.mp4"), io.BytesIO(mp4)):
        np.testing.assert_array_equal(video.read(source), expected)


def test_a_reader_counts_and_starts_anew(mp4):
    for source in (mp4, io.BytesIO(mp4)):
        reader = video.Reader(source)
        assert reader.count() == 30
        assert sum(1 for _ in reader) == 30
        assert sum(1 for _ in reader) == 30
        assert (reader.frames, reader.damaged) == (30, 0)


def test_frames_come_as_a_stream(mp4, monkeypatch):
    """One frame taken is a few decoded: the decoder's threads look ahead, the rest of the film is not touched."""
    reader = video.Reader(films.film(PICTURES * 10))
    decoded = []
    original = reader._decoded

    def counted():
        for item in original():
            decoded.append(item)
            yield item

    monkeypatch.setattr(reader, "_decoded", counted)
    frames = iter(reader)
    assert next(frames).shape == (256, 341, 3)
    assert len(decoded) <= 3
    frames.close()


def test_a_colon_in_a_name(mp4, tmp_path, monkeypatch):
    (tmp_path / "12:30.mp4").write_bytes(mp4)
    monkeypatch.chdir(tmp_path)
    assert len(video.read("12:30.mp4")) == 30


def test_a_long_gap_is_said(capsys):
    film = films.film(PICTURES[:3], "matroska", times=[0, 40, 100_000])
    reader = video.Reader(film)
    assert reader.count() > 1200
    assert capsys.readouterr().err == ""
    assert sum(1 for _ in reader) == reader.frames
    assert "nothing new for 50 s after frame" in capsys.readouterr().err


@pytest.mark.parametrize("source", [None, np.zeros((4, 8, 8, 3), "uint8"), 3])
def test_sources_that_are_none(source):
    with pytest.raises(ValueError, match="path, the bytes of a file, or a binary file object"):
        video.Reader(source)


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_metadata(matrix, turns, mp4):
    """The display matrix of the track header; (0, 1, -1, 0) is how phones say "turn clockwise by 90"."""
    at = mp4.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65536).to_bytes(4, "big", signed=True) for value in matrix)
    zero = bytes(4)
    turned = mp4[:at] + a + b + zero + c + d + mp4[at + 20 :]
    upright, frames = video.read(mp4, short_side=48), video.read(turned, short_side=48)
    assert frames.shape[1:3] == ((64, 48) if turns % 2 else (48, 64))
    np.testing.assert_array_equal(frames[3], np.rot90(upright[3], turns))


def test_bt709_is_not_bt601():
    """A colour tagged BT.709 decodes by BT.709: the wrong matrix would be off by ten levels and more."""
    import av

    buffer = io.BytesIO()
    image = np.full((48, 64, 3), (200, 40, 90), "uint8")
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = 1
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.colorspace = 1
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    frames = video.read(buffer.getvalue())
    assert np.abs(frames.astype(int) - (200, 40, 90)).max() <= 4


def test_damage_is_counted(mp4):
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


def test_a_file_cut_short_says_so():
    """The header promises 30 frames, the file ends before."""
    film = films.film(PICTURES, "avi", "mjpeg", pixels="yuvj420p")
    reader = video.Reader(film[: len(film) // 2])
    frames = sum(1 for _ in reader)
    assert 0 < frames < 30
    assert reader.damaged >= 30 - frames - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a text file\n" * 100, "x.mp4"),
        (films.sound, "no video stream"),
        (lambda: films.film(PICTURES)[:60], "x.mp4"),
    ],
)
def test_what_is_no_video(content, message, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(content() if callable(content) else content)
    with pytest.raises(VideoError, match=message) as caught:
        video.read(path)
    assert caught.value.path == str(path)
    assert caught.value.reason


def test_text_is_not_filmed(tmp_path):
    (tmp_path / "x.txt").write_text("hello\n" * 100)
    with pytest.raises(VideoError, match=r"x\.txt"):
        video.read(tmp_path / "x.txt")


def test_missing_and_folder(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        video.read(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="a folder"):
        video.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoError, match="a pipe or device, not a file"):
        video.read(tmp_path / "pipe")


@pytest.mark.parametrize(
    "settings",
    [{"fps": 0}, {"fps": -1}, {"short_side": 0}, {"start": -1}, {"end": 0}, {"start": 2, "end": 2}, {"start": 1e400}],
)
def test_bad_settings(settings, mp4):
    with pytest.raises(ValueError, match="must be"):
        video.read(mp4, **settings)


def gops(container, codec, **settings):
    """80 frames at 30 per second, a keyframe every 12."""
    return films.film([films.picture(i // 2) for i in range(80)], container, codec, 30, gap=12, **settings)


TRIMMED = {
    "mp4, B-frames": gops("mp4", "libx264", b_frames=2),
    "mp4": gops("mp4", "mpeg4"),
    "avi": gops("avi", "mpeg4"),
    "avi, B-frames": gops("avi", "mpeg4", b_frames=2),
    "webm": gops("webm", "libvpx"),
    "mpegts": gops("mpegts", "libx264", b_frames=2),
}


@pytest.mark.parametrize("film", TRIMMED.values(), ids=TRIMMED)
def test_a_trim_is_a_slice_of_the_whole(film):
    whole = video.read(film, short_side=24)
    assert len(whole) == 67
    for first, last in ((0, 20), (1, 3), (11, 12), (25, 60), (50, None), (66, 67), (60, 90)):
        reader = video.Reader(film, 25, 24, first / 25, last and last / 25)
        np.testing.assert_array_equal(np.stack(list(reader)), whole[first:last], err_msg=f"{first} to {last}")
        assert reader.count() == reader.frames == len(whole[first:last])
        assert reader.damaged == 0
    stored = video.read(film, None, 24)
    np.testing.assert_array_equal(video.read(film, None, 24, start=1.0, end=2.0), stored[30:60])


@pytest.mark.parametrize("name", ["mp4, B-frames", "webm"])
def test_a_trim_decodes_only_what_it_shows(name, monkeypatch):
    reader = video.Reader(TRIMMED[name], short_side=24, start=1.6, end=1.8)  # frames 48 to 54, a keyframe at 48
    decoded, original = [], reader._timed
    monkeypatch.setattr(reader, "_timed", lambda: (decoded.append(item[0]) or item for item in original()))
    assert sum(1 for _ in reader) == 5
    assert len(decoded) <= 12
    assert min(decoded[1:]) - decoded[0] >= 1.19


@pytest.mark.parametrize("name", TRIMMED)
def test_a_start_beyond_the_end(name):
    for fps in (25, None):
        with pytest.raises(VideoError, match=r"it ends after 2\.6\d s, before the start at 9.00 s"):
            video.read(TRIMMED[name], fps, start=9)


def test_the_real_video(shared):
    """355 frames of 981/50 per second are 18.09 s, 452 frames at 25."""
    frames = video.read(shared / "media/v_GGSY1Qvo990.mp4")
    assert frames.shape == (452, 256, 341, 3)
    assert video.read(shared / "media/v_CricketShot_g04_c01_rgb.gif", short_side=None).shape == (79, 224, 224, 3)
