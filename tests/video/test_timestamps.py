"""When frames are shown: rates, held frames, clocks that jump, parts of a video, and how long one may last."""

import io
import math
from fractions import Fraction

import numpy as np
import pytest
from made import films
from made.films import shown

from keras_i3d import VideoError, video

PICTURES = [films.picture(i) for i in range(50)]


def latest(times, count, fps=25):
    """Which picture each frame shows: the last one whose time in seconds, rounded to a whole frame, has come."""
    due = np.array([math.floor(Fraction(time).limit_denominator(1000) * fps + Fraction(1, 2)) for time in times])
    return [int(np.flatnonzero(due <= k)[-1]) for k in range(count)]


@pytest.mark.parametrize("rate", [10, 24, 25, 30, 50, 60])
def test_resampled_to_25_by_time(rate):
    frames = video.read(films.film(PICTURES[:30], rate=rate))
    assert len(frames) == int(30 / rate * 25 + 0.5)
    assert shown(frames) == latest(np.arange(30) / rate, len(frames))


def test_variable_frame_rate():
    """20 frames 20 ms apart, then 10 frames 200 ms apart: 0.4 s and 2 s, 60 frames at 25."""
    times = [20 * i for i in range(20)] + [400 + 200 * i for i in range(10)]
    seen = shown(video.read(films.film(PICTURES[:30], "matroska", times=times)))
    assert abs(len(seen) - 60) <= 5  # the container does not say how long the last frame lasts
    assert seen[:56] == latest(np.array(times) / 1000, 56)
    assert seen[:10] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert seen.count(22) == 5


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("matroska", "mpeg4"), ("avi", "mpeg4")])
def test_a_frame_is_held_until_the_next_ones_time(container, codec):
    """Not until half way: a change is seen when it comes."""
    film = films.film(PICTURES[:4], container, codec, rate=1)
    assert shown(video.read(film, short_side=48)) == [0] * 25 + [1] * 25 + [2] * 25 + [3] * 25


def test_delays_of_a_gif():
    from PIL import Image

    buffer = io.BytesIO()
    first, *others = (Image.fromarray(films.picture(10 * i)) for i in range(4))
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=[2000, 40, 40, 400])
    seen = [round(number, -1) for number in shown(video.read(buffer.getvalue(), short_side=48))]
    assert [seen.count(10 * i) for i in range(4)] == [50, 1, 1, 10]


def test_dropped_frames():
    """AVI stores an empty packet for each: no damage, and the frame before is held."""
    places = [0, 1, 2, 10, 11, 20]
    reader = video.Reader(films.film(PICTURES[:6], "avi", "mpeg4", places=places), short_side=48)
    assert shown(reader) == latest(np.array(places) / 25, 21)
    assert (reader.damaged, reader.cut_short) == (0, False)


def test_a_trim_by_an_edit_list():
    """The packets before the first frame shown are decoded and not shown: no damage."""
    film = films.film(PICTURES, "mp4", "libx264", gap=50, b_frames=2)
    reader = video.Reader(films.trimmed(film, 30), short_side=48)
    assert shown(reader) == list(range(30, 50))
    assert (reader.damaged, reader.cut_short) == (0, False)


@pytest.mark.parametrize("rate", [24, 30, 50])
@pytest.mark.parametrize(("container", "codec"), [("h264", "libx264"), ("mpeg2video", "mpeg2video")])
def test_the_rate_of_an_elementary_stream(container, codec, rate):
    """Its frames have no times, and the average rate of the file is 25 whatever it holds."""
    film = films.film(PICTURES, container, codec, rate)
    assert len(video.read(film, short_side=48)) == int(50 / rate * 25 + 0.5)


def test_a_long_gap_is_said(capsys):
    film = films.film(PICTURES[:3], "matroska", times=[0, 40, 100_000])
    reader = video.Reader(film)
    assert reader.count() > 1200
    assert capsys.readouterr().err == ""
    assert sum(1 for _ in reader) == reader.frames
    assert "nothing new for 100 s after frame 1" in capsys.readouterr().err


def test_how_long_a_video_may_last():
    film = films.film(PICTURES[:3], "matroska", times=[0, 40, 36_000_000])  # two kilobytes, ten hours
    for fps in (25, None):
        with pytest.raises(VideoError, match=r"it lasts longer than max_seconds=14400; raise that if it is meant to"):
            video.Reader(film, fps).count()
    assert video.Reader(film, max_seconds=40_000).count() > 900_000
    assert video.Reader(film, end=60).count() == 1500  # a part lasts as long as it is
    with pytest.raises(VideoError, match="longer than max_seconds=2"):
        video.read(films.film(PICTURES[:3], rate=1), max_seconds=2)
    assert len(video.read(films.film(PICTURES[:3], rate=1), max_seconds=3)) == 75


def from_second(second, pictures, container="mpegts", codec="libx264", **settings):
    """25 pictures a second apart by 40 ms from a time on."""
    times = [1000 * second + 40 * i for i in range(len(pictures))]
    return films.film(pictures, container, codec, times=times, **settings)


HALVES = PICTURES[:25], PICTURES[25:]
JUMPS = {
    "back by 10 minutes": (600, 0),
    "forward by 10 minutes": (0, 600),
    "back by a second": (0, 0),
    "forward by 11 seconds": (0, 12),
}


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_clocks_that_jump(seconds):
    """Transport streams put together: the clock starts again, and the frames follow each other."""
    film = b"".join(from_second(*pair, gap=5, b_frames=2) for pair in zip(seconds, HALVES))
    whole = video.read(film, short_side=48)
    assert shown(whole) == list(range(50))
    for first, last in ((10, 20), (20, 30), (30, 45)):
        part = video.read(film, short_side=48, start=first / 25, end=last / 25)
        np.testing.assert_array_equal(part, whole[first:last])


def test_a_pause_is_no_jump():
    film = from_second(0, HALVES[0], gap=25) + from_second(9, HALVES[1], gap=25)
    assert len(video.read(film, short_side=24)) == 9 * 25 + 25


def test_program_streams_put_together():
    film = b"".join(films.film(half, "mpeg", "mpeg2video", bit_rate=4_000_000) for half in HALVES)
    seen = shown(video.read(film, short_side=48))
    assert len(seen) == 50
    assert np.abs(np.array(seen) - range(50)).max() <= 2  # what mpeg2 loses


def test_one_damaged_time():
    """A packet that is to be shown 25 minutes after it is decoded."""
    film = bytearray(from_second(0, PICTURES, gap=5))
    at, stamp = films.packets(bytes(film))[20][0], b"\0\0\1\xe0"  # where a packet of the video begins
    at = film.index(stamp, at) + 9
    assert film[at] >> 4 in (2, 3)  # its time follows, 33 bits in five bytes
    film[at + 1] ^= 0x20
    assert abs(len(video.read(bytes(film), short_side=24)) - 50) <= 1


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
