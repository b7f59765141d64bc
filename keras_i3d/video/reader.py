"""Frames at a constant rate and of one size, as a stream or as an array."""

import math
import os
from fractions import Fraction

import numpy as np

from keras_i3d import paths
from keras_i3d.errors import VideoError, notice
from keras_i3d.plurals import counted
from keras_i3d.specs import FPS, SHORT_SIDE
from keras_i3d.video.decoding import Decoder
from keras_i3d.video.pixels import Converter, deinterlaced, is_resize
from keras_i3d.video.timestamps import growing

LONG_GAP = 30  # seconds without a new frame that are worth a line
MAX_SECONDS = 4 * 3600


def read(source, fps=FPS, short_side=SHORT_SIDE, start=None, end=None, max_seconds=MAX_SECONDS, resize=None):
    """Reads a whole video, or its part from `start` to `end`, into memory; a line says if it is damaged or cut short.

    Args, errors: as for `Reader`, but for one `resize`.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    reader = Reader(source, fps, short_side, start, end, max_seconds, resize)
    frames = np.stack(list(reader))
    if reader.damaged or reader.cut_short:
        notice(f"{reader.name}: {damage(reader)}")
    return frames


def damage(found):
    """Returns what is wrong with a video, as "2 damaged packets, cut short"; "" if nothing.

    Args:
        found: what has the attributes `damaged` and `cut_short`, as `Reader` and `Classification`.
    """
    packets = counted(found.damaged, "damaged packet") if found.damaged else ""
    return ", ".join(filter(None, [packets, "cut short" if found.cut_short else ""]))


class Reader:
    """Iterates over a video's frames, uint8 (H, W, 3), RGB, in bounded memory; each iteration starts anew.

    Frames are resampled by their timestamps, variable frame rates included, as FFmpeg's filter `fps` does: a picture is
    shown from its own time after the first frame, rounded to a whole frame, until that of the next one. Frames are as
    a player shows them: upright by the rotation and mirroring that the file notes, with square pixels, interlaced ones
    with the lines of a field filled in. Of several streams the default one is read.

    Args:
        source: a path, the bytes of a file, or a binary file object that can seek. Whatever FFmpeg
            decodes: mp4, avi, webm, mkv, mov, gif and more.
        fps: frames per second, or None for each frame as it is stored.
        short_side: pixels of the shorter side, the aspect kept, or None for the stored size.
        start, end: seconds after the first frame between which the video is read; None for its own ends. Decoding
            begins at the keyframe before `start` if the file can seek, and stops at `end`.
        max_seconds: seconds that the video, or its part, may last. A small file may claim any length, all of which
            would be filled with frames.
        resize: how frames are scaled otherwise, in the place of `short_side`: "short:256"; "340x256", width and height,
            whatever the aspect; "least:226", the shorter side, only if it is below; or "stored". A tuple of several
            makes a tuple of images of each frame, which is decoded once.

    Attributes:
        name: what messages call the video.
        frames: how many frames the last iteration gave so far.
        times: when each of these begins, float seconds after the first one.
        seconds: how long they last in all; known when the iteration has come to its end.
        damaged: how many packets of it could not be decoded, or only with errors; of the part read, if it is one.
        cut_short: whether the last iteration came to the end of a file that lacks a part which its container announces.

    Raises:
        VideoError: while iterating, when the file is missing, is not a video, gives no frame, ends before `start`,
            lasts longer than `max_seconds`, has frames of more than 8192 x 8192 pixels or, if they are scaled, of an
            aspect beyond 16:1, or colours that FFmpeg cannot convert.
    """

    def __init__(
        self, source, fps=FPS, short_side=SHORT_SIDE, start=None, end=None, max_seconds=MAX_SECONDS, resize=None
    ):
        if fps is not None and not fps > 0:
            raise ValueError(f"fps must be positive, or None. Received: fps={fps!r}")
        if short_side is not None and not short_side >= 1:
            raise ValueError(f"short_side must be a number of pixels, or None. Received: short_side={short_side!r}")
        if not 0 <= (start or 0) < (math.inf if end is None else end):
            raise ValueError(f"start and end must be seconds, 0 <= start < end. Received: start={start!r}, end={end!r}")
        if not 0 < max_seconds < math.inf:
            raise ValueError(f"max_seconds must be a number of seconds above 0. Received: max_seconds={max_seconds!r}")
        if resize is None:
            resize = "stored" if short_side is None else f"short:{short_side}"
        self.resize = resize if isinstance(resize, tuple) else (resize,)
        if not self.resize or not all(map(is_resize, self.resize)):
            raise ValueError(f"resize must be short:SIDE, least:SIDE, WIDTHxHEIGHT or stored. Received: {resize!r}")
        self.fps = None if fps is None else Fraction(fps).limit_denominator(1001)
        self._single = not isinstance(resize, tuple)
        self.start = Fraction(start or 0).limit_denominator(10**6)
        self.end = None if end is None else Fraction(end).limit_denominator(10**6)
        self.max_seconds = max_seconds
        self.frames, self.times, self.seconds = 0, [], None
        self.cut_short = False
        self._decoder = self._decoder_of(source)
        self.name = self._decoder.name

    def _decoder_of(self, source):
        source = paths.expand(source)
        if not isinstance(source, str | os.PathLike | bytes | bytearray) and not hasattr(source, "seek"):
            raise ValueError(
                "A video is a path, the bytes of a file, or a binary file object that can seek. "
                f"Received: {type(source).__name__}. Frames in memory go to the model as they are."
            )
        named = str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "<bytes>"))
        return Decoder(source, named)

    @property
    def damaged(self):
        return self._decoder.damaged

    def __iter__(self):
        self.frames, self.times, self.seconds = 0, [], None
        converters = None  # to the first frame's size: a stream that changes its size does not change the clip's
        for frame, repeats, time in self._resampled(deinterlaced(self._timed())):
            converters = converters or [Converter(self.name, rule, self._decoder.aspect) for rule in self.resize]
            if self.fps is not None and repeats > LONG_GAP * self.fps:
                seconds = float(repeats / self.fps)
                notice(f"{self.name}: nothing new for {seconds:.0f} s after frame {self.frames}; it is repeated")
            images = tuple(convert(frame) for convert in converters)
            for _ in range(repeats):
                self.times.append(float(time if self.fps is None else self.frames / self.fps))
                self.frames += 1
                yield images[0] if self._single else images

    def header(self):
        """Returns what the file's container says, without decoding: a `decoding.Header`."""
        return self._decoder.header()

    def count(self):
        """Returns how many frames an iteration gives: decodes the video once, without converting it."""
        return sum(repeats for _, repeats, _ in self._resampled(self._timed()))

    def _timed(self):
        """Yields (seconds, duration in seconds, frame)."""
        return growing(self._decoder.frames(self.start))

    def _resampled(self, timed):
        """Yields (decoded frame, how many times it is shown, its own time in seconds); sets `seconds` at the end."""
        self.cut_short = False
        shown, begin, previous, now, length = 0, None, None, None, None
        limit = math.inf if self.end is None else self.end - self.start  # seconds, then frames
        if self.fps is not None and self.end is not None:
            limit = max(_nearest(limit * self.fps), 1)
        for time, duration, frame in timed:
            begin = time + self.start if begin is None else begin
            if self.fps is None:
                if time - begin >= limit:
                    self.seconds = float(limit)
                    break
                self._check_length(time - begin)
                if time >= begin:
                    shown += 1
                    yield frame, 1, time - begin
            elif previous is not None:
                due = min(_nearest((time - begin) * self.fps), limit)
                if due > shown:
                    self._check_length(due / self.fps)
                    yield previous, due - shown, now - begin
                    shown = due
                if shown == limit:
                    self.seconds = float(limit / self.fps)
                    return
            previous, now, length = frame, time, duration
        else:
            self.cut_short = self._decoder.ends_early()
        left = now + length - begin
        if left <= 0 or (self.fps is None and not shown):
            last = float(left + self.start)
            reason = f"it ends after {last:.2f} s, before the start at {float(self.start):.2f} s"
            raise VideoError(self.name, f"{reason}{self._decoder.cut_short()}")
        if self.fps is not None:
            total = min(max(_nearest(left * self.fps), 1), limit)
            if total > shown:
                self._check_length(total / self.fps)
                yield previous, total - shown, now - begin
            self.seconds = float(total / self.fps)
        elif self.seconds is None:
            self.seconds = float(min(left, limit))

    def _check_length(self, seconds):
        if seconds > self.max_seconds:
            raise VideoError(
                self.name,
                f"it lasts longer than max_seconds={self.max_seconds:g}; raise that if it is meant to",
            )


def _nearest(number):
    """The nearest whole number, halves upwards."""
    return math.floor(number + Fraction(1, 2))
