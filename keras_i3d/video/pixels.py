"""Decoded frames to upright RGB of square pixels: size, orientation, fields, colour.

Frames are scaled with FFmpeg's `bilinear` kernel (libswscale), which goes from the decoded planes to RGB in one step
and averages over the covered area when it shrinks.
"""

import collections
import re

import numpy as np

from keras_i3d.errors import VideoError

MAX_PIXELS = 1 << 26  # of a stored frame: 8192 x 8192
SMALL = 1 << 19  # pixels below which a frame is scaled on one core
MAX_ASPECT = 16  # how many times longer than the shorter side the longer one may be
# FFmpeg's numbers of the matrices between YUV and RGB. Those that libswscale converts by, and those that it has not.
RESERVED, UNSPECIFIED = 3, 2
CONVERTED = {0, 1, UNSPECIFIED, 4, 5, 6, 7, 9}
MATRICES = {8: "YCgCo", 10: "BT.2020 constant luminance", 11: "SMPTE 2085", 14: "ICtCp", 15: "IPT-C2"}
MATRICES |= {12: "chromaticity-derived", 13: "chromaticity-derived constant luminance", 16: "YCgCo-Re", 17: "YCgCo-Ro"}
RESIZE = re.compile(r"(?P<how>short|least):(?P<side>[1-9]\d*)|(?P<width>[1-9]\d*)x(?P<height>[1-9]\d*)|stored")


def scaled_size(width, height, short_side):
    """Returns (width, height) with the shorter one `short_side` and the aspect kept, rounded to whole pixels."""
    short = min(width, height)
    return tuple(short_side if side == short else round(side * short_side / short) for side in (width, height))


def is_resize(rule):
    """Whether a value says how frames are scaled, as `resized` takes it."""
    return isinstance(rule, str) and RESIZE.fullmatch(rule) is not None


def resized(width, height, rule):
    """Returns the (width, height), in whole pixels, that a rule makes of an upright frame of square pixels.

    Args:
        width, height: of the frame.
        rule: "short:256", the shorter side, the aspect kept; "least:226", the same where the shorter side is below, and
            the frame as it is elsewhere; "340x256", width and height, whatever the aspect; or "stored".
    """
    found = RESIZE.fullmatch(rule)
    if found["width"]:
        return int(found["width"]), int(found["height"])
    if found["how"] == "short" or (found["how"] == "least" and min(width, height) < int(found["side"])):
        return scaled_size(width, height, int(found["side"]))
    return round(width), round(height)


def check_stored_size(name, width, height):
    """Raises VideoError if frames of a file have more pixels than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise VideoError(name, f"its frames are {width} x {height} pixels, and the limit is {MAX_PIXELS:,} in all")


class Converter:
    """Turns the decoded frames of one video into arrays of one size, that of the first.

    Args:
        name: what messages call the video.
        rule: how frames are scaled, as for `resized`. Where pixels are not square, their shorter side is stretched
            before.
        aspect: width over height of a stored pixel, a Fraction.
    """

    def __init__(self, name, rule, aspect):
        import av

        self.name, self.rule, self.aspect = name, rule, aspect
        self.size = None  # (width, height) of what is given
        self.reformatter = av.video.reformatter.VideoReformatter()
        # From version 17 on PyAV scales on all cores, which takes small frames up to twice as long.
        # Before, it takes every colour matrix for BT.601 unless it is told another, and one to convert to.
        self.by_hand = int(av.__version__.split(".")[0]) < 17

    def __call__(self, frame):
        """Returns uint8 (H, W, 3), RGB.

        Raises:
            VideoError: it cannot be converted; the message has the reason.
        """
        transposed, rows, columns = orientation(frame)
        if self.size is None:
            self.size = self._size(frame, transposed)
        width, height = self.size[::-1] if transposed else self.size
        matrix = frame.colorspace
        if matrix == RESERVED:
            frame.colorspace = matrix = UNSPECIFIED
        if matrix not in CONVERTED and not frame.format.is_rgb:
            raise VideoError(self.name, f"FFmpeg cannot convert its colours to RGB: {MATRICES.get(matrix, matrix)}")
        if not self.by_hand:
            settings = {"threads": 1} if frame.width * frame.height < SMALL else {}
        elif matrix in (1, 4, 7, 9):
            settings = {"src_colorspace": matrix, "dst_colorspace": 5}
        else:
            settings = {}
        try:
            image = self.reformatter.reformat(
                frame, width, height, format="rgb24", interpolation="BILINEAR", **settings
            ).to_ndarray()
        except Exception as error:
            raise VideoError(
                self.name,
                f"FFmpeg cannot convert its frames to RGB, of {frame.width} x {frame.height} pixels and the format "
                f"{frame.format.name} ({error})",
            ) from error
        if transposed:
            image = image.swapaxes(0, 1)
        return np.ascontiguousarray(image[::rows, ::columns])

    def _size(self, frame, transposed):
        """(width, height) of what is made of a frame, whose rows become columns if it is `transposed`."""
        check_stored_size(self.name, frame.width, frame.height)
        width, height = frame.width, frame.height
        if self.aspect > 1:
            width = width * self.aspect
        else:
            height = height / self.aspect
        if transposed:
            width, height = height, width
        size = resized(width, height, self.rule)
        keeps = size == (round(width), round(height))
        if not keeps and "x" not in self.rule and max(width, height) > MAX_ASPECT * min(width, height):
            raise VideoError(
                self.name,
                f"its frames are {round(width)} x {round(height)} pixels, and the limit is an aspect of {MAX_ASPECT}:1",
            )
        check_stored_size(self.name, *size)
        return size


def orientation(frame):
    """Returns (transposed, rows, columns): whether rows become columns, and then the step of each, 1 or -1.

    The display matrix says where the corners go: x' = a x + c y, y' = b x + d y. All eight turns and mirrors are kept;
    an angle between them is taken for the nearest.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # some other side data is of a kind that this PyAV does not know
        turns = round(frame.rotation / 90) % 4
        return ((False, 1, 1), (True, -1, 1), (False, -1, -1), (True, 1, -1))[turns]
    if matrix is None:
        return False, 1, 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, -1 if d < 0 else 1, -1 if a < 0 else 1
    return True, -1 if b < 0 else 1, -1 if c < 0 else 1


def deinterlaced(timed):
    """Yields (seconds, duration, frame), interlaced frames with the lines of one field filled in (FFmpeg's `yadif`).

    A frame depends on those next to it alone, so that a part of a video is a slice of the whole.

    Args:
        timed: an iterable of (seconds, duration, frame).
    """
    filter_, previous = None, None
    for time, duration, frame in timed:
        if filter_ is not None and filter_.kind != _kind(frame):
            yield from filter_.rest()
            filter_, previous = None, None
        if filter_ is None:
            if not frame.interlaced_frame:
                previous = frame
                yield time, duration, frame
                continue
            filter_ = _Yadif(frame)
            if previous is not None and _kind(previous) == filter_.kind:
                filter_.add(None, None, previous)
        filter_.add(time, duration, frame)
        yield from filter_.ready()
    if filter_ is not None:
        yield from filter_.rest()


def _kind(frame):
    return frame.width, frame.height, frame.format.name


class _Yadif:
    """FFmpeg's filter, which gives each frame when it has the next."""

    def __init__(self, frame):
        import av

        self.kind = _kind(frame)
        self.graph = av.filter.Graph()
        nodes = (
            self.graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            ),
            self.graph.add("yadif", "mode=send_frame:deint=interlaced"),
            self.graph.add("buffersink"),
        )
        self.graph.link_nodes(*nodes).configure()
        self.times = collections.deque()

    def add(self, time, duration, frame):
        self.graph.push(frame)
        self.times.append((time, duration))

    def ready(self):
        import av

        while True:
            try:
                frame = self.graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            time, duration = self.times.popleft()
            if time is not None:  # the frame before the first interlaced one was given as it is
                yield time, duration, frame

    def rest(self):
        self.graph.push(None)
        yield from self.ready()
