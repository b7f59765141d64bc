"""Video files to frames: size, colour, orientation, and what is no video."""

import io
import os
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest
from made import films
from made.films import shown

from keras_i3d import VideoError, video
from keras_i3d.video import codec_names, decoding, pixels

PICTURES = [films.picture(i) for i in range(30)]


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


def test_every_frame_at_its_own_size(mp4):
    assert video.read(mp4, fps=None, short_side=None).shape == (30, 48, 64, 3)
    assert video.read(films.film(PICTURES, rate=50), fps=None).shape[0] == 30
    assert video.read(mp4, fps=5).shape[0] == 6
    assert video.read(mp4, short_side=24).shape[1:3] == (24, 32)


@pytest.mark.parametrize(
    ("container", "codec", "pixels", "rate"),
    [("mp4", "mpeg4", "yuv420p", 30), ("matroska", "ffv1", "yuv420p", 25), ("gif", "gif", "rgb8", 10)],
)
def test_the_header_alone(container, codec, pixels, rate, monkeypatch):
    reader = video.Reader(films.film(PICTURES, container, codec, pixels=pixels, rate=rate), fps=None, short_side=None)
    monkeypatch.setattr(decoding.Decoder, "_through", None)  # nothing is decoded
    header = reader.header()
    assert (header.codec, header.fps, header.frames, header.size) == (codec, rate, 30, (48, 64))
    with pytest.raises(VideoError, match="not a video"):
        video.Reader(b"no video").header()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((320, 240), (341, 256)), ((240, 320), (256, 341)), ((1920, 1080), (455, 256)), ((99, 99), (256, 256))],
)
def test_scaled_size(size, expected):
    assert video.scaled_size(*size, 256) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("stored", (48, 64)),
        ("short:24", (24, 32)),
        ("340x256", (256, 340)),
        ("least:48", (48, 64)),
        ("least:96", (96, 128)),
        ("20x33", (33, 20)),
    ],
)
def test_resize(mp4, rule, expected):
    assert video.read(mp4, resize=rule).shape == (30, *expected, 3)
    turned = films.turned(mp4, (0, 1, -1, 0))  # the rule is of what is seen, not of what is stored
    assert video.read(turned, resize=rule).shape == (30, *(expected if "x" in rule else expected[::-1]), 3)


def test_two_sizes_of_one_decoding(mp4):
    pairs = list(video.Reader(mp4, resize=("stored", "340x256")))
    for index, rule in enumerate(("stored", "340x256")):
        np.testing.assert_array_equal(np.stack([pair[index] for pair in pairs]), video.read(mp4, resize=rule))


@pytest.mark.parametrize("rule", ["340", "short:0", "0x4", "most:4", (), ("stored", 3)])
def test_a_resize_that_is_none(mp4, rule):
    with pytest.raises(ValueError, match="resize must be short:SIDE, least:SIDE, WIDTHxHEIGHT or stored. Received"):
        video.Reader(mp4, resize=rule)


def test_when_frames_are():
    """At a constant rate by their number; as they are stored, by their own times."""
    times = [0, 40, 100, 360, 400]
    film = films.film(PICTURES[:5], "matroska", times=times)
    stored, constant = video.Reader(film, fps=None), video.Reader(film, fps=25)
    assert (stored.times, stored.seconds) == ([], None)
    assert len(list(stored)) == 5
    np.testing.assert_allclose(stored.times, np.divide(times, 1000))
    assert stored.seconds == pytest.approx(0.44, abs=0.03)  # the last frame's own length is the container's
    assert len(list(constant)) == constant.frames
    np.testing.assert_allclose(constant.times, np.arange(constant.frames) / 25)
    assert constant.seconds == constant.frames / 25
    part = video.Reader(film, fps=None, start=0.05, end=0.38)
    assert len(list(part)) == 2
    np.testing.assert_allclose(part.times, [0.05, 0.31])  # from the start of the part
    assert part.seconds == pytest.approx(0.33)


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
    original = reader._decoder.frames

    def counted(start):
        for item in original(start):
            decoded.append(item)
            yield item

    monkeypatch.setattr(reader._decoder, "frames", counted)
    frames = iter(reader)
    assert next(frames).shape == (256, 341, 3)
    assert len(decoded) <= 3
    frames.close()


def test_a_colon_in_a_name(mp4, tmp_path, monkeypatch):
    (tmp_path / "12:30.mp4").write_bytes(mp4)
    monkeypatch.chdir(tmp_path)
    assert len(video.read("12:30.mp4")) == 30


@pytest.mark.parametrize("source", [None, np.zeros((4, 8, 8, 3), "uint8"), 3])
def test_sources_that_are_none(source):
    with pytest.raises(ValueError, match="path, the bytes of a file, or a binary file object"):
        video.Reader(source)


# What a player shows of each display matrix (a, b, c, d): FFmpeg's names of them.
ORIENTATIONS = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # how phones say "turn clockwise by 90"
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): np.rot90,
    (-1, 0, 0, 1): np.fliplr,  # hflip
    (1, 0, 0, -1): np.flipud,  # vflip
    (0, 1, 1, 0): lambda image: image.swapaxes(0, 1),  # transpose
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).swapaxes(0, 1),  # antitranspose
}


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_turned_and_mirrored(matrix, mp4):
    upright, frames = video.read(mp4, short_side=48), video.read(films.turned(mp4, matrix), short_side=48)
    np.testing.assert_array_equal(frames[3], ORIENTATIONS[matrix](upright[3]))


def test_side_data_that_pyav_does_not_know():
    """PyAV refuses all of a frame's side data where one entry is of a kind newer than itself."""

    class Frame:
        rotation = 90

        @property
        def side_data(self):
            raise ValueError("37 is not a valid Type")

    transposed, rows, columns = pixels.orientation(Frame())
    image = films.picture(0)
    assert transposed
    np.testing.assert_array_equal(image.swapaxes(0, 1)[::rows, ::columns], np.rot90(image))


@pytest.mark.parametrize(
    ("ratio", "short_side", "expected"),
    [
        (Fraction(64, 45), 48, (48, 91)),
        (Fraction(64, 45), None, (48, 91)),
        (Fraction(1, 2), 48, (72, 48)),  # now the width is the shorter side
        (Fraction(1, 2), None, (96, 64)),
        (Fraction(1), None, (48, 64)),
    ],
)
def test_pixels_become_square(ratio, short_side, expected):
    film = films.film(PICTURES[:3], "mp4", "libx264", sample_aspect_ratio=ratio)
    frames = video.read(film, short_side=short_side)
    assert frames.shape == (3, *expected, 3)
    height, width = expected  # the whole picture, from edge to edge
    assert np.abs(frames[1].astype(int) - films.picture(1, height, width)).mean() < 4


def test_pixels_become_square_before_the_turn(mp4):
    """The ratio is of the stored pixels."""
    film = films.film(PICTURES[:3], "mp4", "libx264", sample_aspect_ratio=Fraction(2))
    assert video.read(films.turned(film, (0, 1, -1, 0)), short_side=48).shape == (3, 128, 48, 3)


def bars(count=20):
    """A white bar that moves by 4 pixels a field, the two fields of a frame in its odd and even lines."""
    frames = np.zeros((count, 96, 128, 3), "uint8")
    for i, frame in enumerate(frames):
        frame[0::2, 4 * i : 4 * i + 24] = 255
        frame[1::2, 4 * i + 4 : 4 * i + 28] = 255
    return list(frames)


def combing(frames):
    """The mean difference of neighbouring lines."""
    return np.abs(np.diff(frames.astype(int), axis=1)).mean()


INTERLACED = {
    "mpeg2": {"container": "mpeg", "codec": "mpeg2video", "options": {"flags": "+ildct+ilme"}, "bit_rate": 8_000_000},
    "h264": {"container": "mp4", "codec": "libx264", "options": {"x264-params": "tff=1"}, "gap": 5, "b_frames": 1},
}


@pytest.mark.parametrize("settings", INTERLACED.values(), ids=INTERLACED)
def test_interlaced_frames_are_not_combed(settings):
    film = films.film(bars(), **settings)
    frames = video.read(film, short_side=96)
    assert len(frames) == 20
    assert combing(frames) < 1.5
    progressive = films.film(bars(), "mp4", "libx264")
    assert combing(video.read(progressive, short_side=96)) > 8  # the same lines, not said to be fields
    # Where they are is what the frame's first field says, within the 4 pixels of a field.
    columns = (frames[..., 0] > 128).mean(axis=1) @ np.arange(128) / (frames[..., 0] > 128).mean(axis=1).sum(axis=1)
    assert np.abs(columns[1:-1] - (4 * np.arange(20) + 12)[1:-1]).max() < 4


@pytest.mark.parametrize("settings", INTERLACED.values(), ids=INTERLACED)
def test_a_part_of_an_interlaced_video_is_a_slice_of_the_whole(settings):
    """The missing lines come from the frames next to it."""
    film = films.film(bars(), **settings)
    whole = video.read(film, short_side=48)
    for first in range(1, 18):
        part = video.read(film, short_side=48, start=first / 25, end=(first + 2) / 25)
        np.testing.assert_array_equal(part, whole[first : first + 2], err_msg=str(first))


@pytest.mark.parametrize(("number", "name"), [(8, "YCgCo"), (10, r"BT\.2020 constant luminance")])
def test_colours_that_cannot_be_converted(number, name, tmp_path):
    (tmp_path / "x.mp4").write_bytes(films.film(PICTURES[:3], "mp4", "libx264", colorspace=number))
    with pytest.raises(VideoError, match=rf"x\.mp4: FFmpeg cannot convert its colours to RGB: {name}"):
        video.read(tmp_path / "x.mp4")


def test_a_reserved_colour_matrix_says_nothing():
    """In MPEG-2, because FFmpeg's H.264 decoder does not pass it on. One encoding, tagged anew, has equal pixels."""
    film = films.film(PICTURES[:3], "matroska", "mpeg2video")
    reserved = films.filtered(film, "mpeg2_metadata=matrix_coefficients=3")
    assert (films.matrix(film), films.matrix(reserved)) == (2, 3)
    np.testing.assert_array_equal(video.read(reserved), video.read(film))


def test_any_failure_of_conversion_names_file_and_reason(mp4, tmp_path, monkeypatch):
    (tmp_path / "x.mp4").write_bytes(mp4)
    original = pixels.Converter.__init__

    def broken(self, *settings):
        original(self, *settings)
        self.reformatter = None

    monkeypatch.setattr(pixels.Converter, "__init__", broken)
    with pytest.raises(VideoError, match=r"x\.mp4: FFmpeg cannot convert its frames to RGB, of 64 x 48 .* yuv420p"):
        video.read(tmp_path / "x.mp4")


COVER, DEFAULT = 0x400, 0x1


@pytest.mark.parametrize(("dispositions", "expected"), [((0, DEFAULT), 20), ((DEFAULT, 0), 0), ((0, 0), 0)])
def test_of_several_streams_the_default_one_is_read(dispositions, expected):
    film = films.streams(PICTURES[:10], PICTURES[20:], dispositions=dispositions)
    assert shown(video.read(film, short_side=48)) == list(range(expected, expected + 10))


def test_a_cover_is_no_video():
    cover = {"dispositions": [COVER, DEFAULT], "container": "mp4", "codecs": ("mjpeg", "libx264")}
    film = films.streams(PICTURES[:1], PICTURES[20:], **cover)
    assert shown(video.read(film, short_side=48)) == list(range(20, 30))
    with pytest.raises(VideoError, match="it has no video stream"):
        video.read(films.streams(PICTURES[:1], **cover))


@pytest.mark.parametrize(
    ("container", "codec", "name", "other"),
    [
        ("mp4", "libx264", b"avc1", b"zzzz"),
        ("mov", "libx264", b"avc1", b"zz\0\xff"),
        ("avi", "mpeg4", b"FMP4", b"ZZZZ"),
        ("matroska", "libx264", b"V_MPEG4/ISO/AVC", b"V_ZPEG9/ZZZ/ZZZ"),
    ],
)
def test_no_decoder(container, codec, name, other, tmp_path):
    """The codec is named; of a file, too, whose header comes after its frames."""
    film = films.film(PICTURES[:5], container, codec)
    assert name in film
    film = film.replace(name, other)
    (tmp_path / "film").write_bytes(film)
    said = repr(other.decode("ascii", "backslashreplace"))
    for source in (film, tmp_path / "film"):
        with pytest.raises(VideoError) as raised:
            video.read(source)
        assert raised.value.reason == (
            f"no decoder in this FFmpeg for its codec {said}: encode it as H.264, for example"
        )


def test_a_codec_that_is_not_found_has_no_name():
    for content in (b"", b"GIF89a" + bytes(99), bytes(4) + b"moov" + bytes(20), b"\0\0\0\x08free\0\0\0\x07mdat"):
        assert codec_names.codec_name(io.BytesIO(content)) == ""


def test_animated_webp():
    """Newer FFmpegs have a decoder, with others it is said that there is none."""
    import av

    if "webp_anim" in av.codecs_available:
        assert shown(video.read(films.webp(5), short_side=48)) == list(range(5))
    else:
        with pytest.raises(VideoError, match="no decoder for animated WebP"):
            video.read(films.webp(5))


def test_frames_have_a_largest_size(mp4, monkeypatch):
    monkeypatch.setattr(pixels, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match=r"its frames are 64 x 48 pixels, and the limit is 3,071 in all"):
        video.read(mp4)


@pytest.mark.parametrize("size", [(1000, 2), (4000, 2), (8, 1000)])
def test_frames_have_a_largest_aspect(size):
    """Scaled to a short side of 256, a frame of 2 x 4000 pixels would take 393 MB."""
    film = films.film([films.picture(i, *size) for i in range(2)], "gif", "gif", pixels="rgb8")
    with pytest.raises(VideoError, match=r"pixels, and the limit is an aspect of 16:1"):
        video.read(film)
    assert video.read(film, short_side=None).shape == (2, *size, 3)


def test_frames_have_a_largest_aspect_on_any_screen():
    film = films.film(PICTURES[:2], "mp4", "libx264", sample_aspect_ratio=Fraction(16))
    with pytest.raises(VideoError, match=r"its frames are 1024 x 48 pixels"):
        video.read(film)


FFMPEG = shutil.which("ffmpeg")


@pytest.mark.skipif(not FFMPEG, reason="needs the ffmpeg command line, to compare with")
@pytest.mark.parametrize("rate", [10, 12, 24, 30, 48, 60])
def test_frames_are_those_of_the_ffmpeg_command(rate, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(films.film(PICTURES, "mp4", "libx264", rate, b_frames=2))
    command = [FFMPEG, "-v", "error", "-i", path, "-vf", "fps=25", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    expected = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "uint8")
    frames = video.read(path, short_side=None)
    assert shown(frames) == shown(expected.reshape(frames.shape))


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


def test_the_real_video(shared):
    """355 frames of 981/50 per second are 18.09 s, 452 frames at 25; by FFmpeg 7 the last frame lasts 1/981 s."""
    import av

    count = 452 if av.library_versions["libavcodec"] >= (62,) else 451
    frames = video.read(shared / "media/v_GGSY1Qvo990.mp4")
    assert frames.shape == (count, 256, 341, 3)
    assert video.read(shared / "media/v_CricketShot_g04_c01_rgb.gif", short_side=None).shape == (79, 224, 224, 3)
