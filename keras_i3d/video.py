"""A video file to RGB frames at 25 per second, as a stream.

Frames are scaled to a short side of 256 with FFmpeg's `bilinear` kernel (libswscale), which goes from the
decoded planes to RGB in one step and averages over the covered area when it shrinks.
"""

import contextlib
import io
import itertools
import math
import os
from fractions import Fraction

import numpy as np

from keras_i3d import paths
from keras_i3d.messages import VideoError, missing_package, notice
from keras_i3d.specs import FPS, SHORT_SIDE

LONG_GAP = 30  # seconds without a new frame that are worth a line
NOT_VIDEO = {"tty"}  # FFmpeg would film a text file as it scrolls by


def read(source, fps=FPS, short_side=SHORT_SIDE, start=None, end=None):
    """Reads a whole video, or its part from `start` to `end`, into memory.

    Args, errors: as for `Reader`.

    Returns:
        uint8 (T, H, W, 3), RGB.
    """
    return np.stack(list(Reader(source, fps, short_side, start, end)))


class Reader:
    """Iterates over a video's frames, uint8 (H, W, 3), RGB, in bounded memory; each iteration starts anew.

    Frames are resampled by their timestamps, variable frame rates included: frame k shows what was
    nearest to start + k / fps seconds after the first frame. Rotation metadata is obeyed.

    Args:
        source: a path, the bytes of a file, or a binary file object that can seek. Whatever FFmpeg
            decodes: mp4, avi, webm, mkv, mov, gif and more.
        fps: frames per second, or None for each frame as it is stored.
        short_side: pixels of the shorter side, the aspect kept, or None for the stored size.
        start, end: seconds after the first frame between which the video is read; None for its own ends. Decoding
            begins at the keyframe before `start` where the file can seek, and stops at `end`.

    Attributes:
        name: what messages call the video.
        frames: how many frames the last iteration gave so far.
        damaged: how many packets of it could not be decoded, or only with errors; of the part read, if it is one.

    Raises:
        VideoError: while iterating, when the file is missing, is not a video, gives no frame, or ends before `start`.
    """

    def __init__(self, source, fps=FPS, short_side=SHORT_SIDE, start=None, end=None):
        source = paths.expand(source)
        if fps is not None and not fps > 0:
            raise ValueError(f"fps must be positive, or None. Received: fps={fps!r}")
        if short_side is not None and not short_side >= 1:
            raise ValueError(f"short_side must be a number of pixels, or None. Received: short_side={short_side!r}")
        if not 0 <= (start or 0) < (math.inf if end is None else end):
            raise ValueError(f"start and end must be seconds, 0 <= start < end. Received: start={start!r}, end={end!r}")
        self.source = source
        self.fps = None if fps is None else Fraction(fps).limit_denominator(1001)
        self.short_side = short_side
        self.start = Fraction(start or 0).limit_denominator(10**6)
        self.end = None if end is None else Fraction(end).limit_denominator(10**6)
        if not isinstance(source, str | os.PathLike | bytes | bytearray) and not hasattr(source, "seek"):
            raise ValueError(
                "A video is a path, the bytes of a file, or a binary file object that can seek. "
                f"Received: {type(source).__name__}. Frames in memory go to the model as they are."
            )
        self.name = str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "<bytes>"))
        self.frames = 0
        self.damaged = 0

    def __iter__(self):
        self.frames = 0
        size = None  # the first frame's: a stream that changes its size does not change the clip's
        for frame, repeats in self._resampled():
            size = size or self._size(frame)
            if self.fps is not None and repeats > LONG_GAP * self.fps:
                seconds = float(repeats / self.fps)
                notice(f"{self.name}: nothing new for {seconds:.0f} s after frame {self.frames}; it is repeated")
            image = self._to_rgb(frame, size)
            for _ in range(repeats):
                self.frames += 1
                yield image

    def count(self):
        """Returns how many frames an iteration gives: decodes the video once, without converting it."""
        return sum(repeats for _, repeats in self._resampled())

    def _resampled(self):
        """Yields (decoded frame, how many times it is shown)."""
        shown, begin, previous, now, length = 0, None, None, None, None
        limit = math.inf if self.end is None else self.end - self.start  # seconds, then frames
        if self.fps is not None and self.end is not None:
            limit = max(_nearest(limit * self.fps), 1)
        for time, duration, frame in self._timed():
            begin = time + self.start if begin is None else begin
            if self.fps is None:
                if time - begin >= limit:
                    break
                if time >= begin:
                    shown += 1
                    yield frame, 1
            elif previous is not None:
                # Until half way between the two, the previous frame is the nearer one.
                due = min(math.ceil(((now + time) / 2 - begin) * self.fps), limit)
                if due > shown:
                    yield previous, due - shown
                    shown = due
                if shown == limit:
                    return
            previous, now, length = frame, time, duration
        left = now + length - begin
        if left <= 0 or (self.fps is None and not shown):
            last = float(left + self.start)
            raise VideoError(self.name, f"it ends after {last:.2f} s, before the start at {float(self.start):.2f} s")
        if self.fps is not None:
            total = min(max(_nearest(left * self.fps), 1), limit)
            if total > shown:
                yield previous, total - shown

    def _timed(self):
        """Yields (seconds, duration in seconds, frame), times as exact fractions that only grow."""
        latest = None
        for frame, nominal in self._decoded():
            base = frame.time_base or Fraction(1, 1)
            time = None if frame.pts is None else frame.pts * base
            if latest is not None and (time is None or time <= latest):
                time = latest + nominal
            latest = Fraction(0) if time is None else time
            duration = frame.duration * base if frame.duration else nominal
            yield latest, duration, frame

    def _decoded(self):
        """Yields (frame, nominal duration in seconds) for each frame that can be decoded.

        With `start`, the first frame, whose time is zero, and then those from the keyframe before `start`.
        """
        skipped = 0
        if self.start:
            try:
                yield from self._through(jump=True)
                return
            except _CannotSeekError:  # after the first frame
                skipped = 1
        yield from itertools.islice(self._through(), skipped, None)

    def _through(self, jump=False):
        """Yields (frame, nominal duration), from the first frame to the last; `jump` as `_decoded` says."""
        self.damaged = 0
        with self._open() as container:
            stream = _video_stream(container)
            if stream is None:
                raise VideoError(self.name, "it has no video stream")
            stream.thread_type = "AUTO"
            nominal = 1 / Fraction(stream.average_rate or stream.guessed_rate or FPS)
            first = None
            for frame in self._frames(container, stream):
                yield frame, nominal
                if jump:
                    first = frame
                    break
            if first is not None:
                frames = self._after(first, container, stream)
                yield from ((frame, nominal) for frame in frames)

    def _after(self, first, container, stream):
        """Yields the frames from the keyframe before `start`, or raises _CannotSeekError before it yields any."""
        import av

        target = None if first.pts is None else first.pts + math.floor(self.start / first.time_base)
        try:
            if target is None:
                raise _CannotSeekError
            container.seek(target, stream=stream)
        except (av.error.FFmpegError, OSError) as error:
            raise _CannotSeekError from error
        landed = False
        for frame in self._frames(container, stream, timed=True):
            if not landed and (frame.pts is None or frame.pts > target):
                raise _CannotSeekError
            landed = True
            if frame.pts is None or frame.pts > first.pts:
                yield frame
        if not landed:
            raise _CannotSeekError

    def _frames(self, container, stream, timed=False):
        """Yields the frames from where the container stands; `timed`: packets without times cannot be sought in."""
        import av

        packets, found = 0, False
        for packet in self._packets(container, stream):
            packets += packet.size > 0
            if timed and not found and packet.size and packet.pts is None:
                raise _CannotSeekError
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.damaged += 1
                continue
            for frame in frames:
                found = True
                self.damaged += bool(frame.is_corrupt)
                yield frame
        if not timed:
            self.damaged += max(stream.frames - packets, 0)  # a file cut short has fewer than its header says
            if not found:
                raise VideoError(self.name, f"no frame of it could be decoded ({self.damaged} damaged packets)")

    def _packets(self, container, stream):
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:  # the rest of the file cannot be split into packets
                self.damaged += 1
                return
            yield packet

    @contextlib.contextmanager
    def _open(self):
        try:
            import av
        except ImportError as error:
            raise missing_package("av", "av", "Reading a video") from error
        # Its logging stays off, as it is by default: set to any level, even PANIC, FFmpeg's decoding threads call
        # into Python for each error and wait for the lock that this thread holds, for ever.
        source = self.source
        if isinstance(source, bytes | bytearray):
            source = io.BytesIO(source)
        elif isinstance(source, str | os.PathLike):
            source = os.path.abspath(os.fspath(source))  # a colon in a relative path would name a protocol
            if not os.path.isfile(source):
                odd = "a folder" if os.path.isdir(source) else "a pipe or device"
                raise VideoError(self.name, f"{odd}, not a file" if os.path.exists(source) else "no such file")
            if os.path.getsize(source) == 0:
                raise VideoError(self.name, "the file is empty")
        else:
            source.seek(0)
        try:
            container = av.open(source, metadata_errors="ignore")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                self.name, f"not a video that FFmpeg can open ({getattr(error, 'strerror', None) or error})"
            ) from error
        with container:
            if container.format.name in NOT_VIDEO:
                raise VideoError(self.name, "a text file, not a video")
            yield container

    def _size(self, frame):
        if self.short_side is None:
            return frame.width, frame.height
        return scaled_size(frame.width, frame.height, self.short_side)

    def _to_rgb(self, frame, size):
        width, height = size
        image = frame.reformat(width, height, format="rgb24", interpolation="BILINEAR").to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class _CannotSeekError(Exception):
    """The file has to be decoded from its first frame."""


def _nearest(number):
    """The nearest whole number, halves upwards."""
    return math.floor(number + Fraction(1, 2))


def scaled_size(width, height, short_side):
    """Returns (width, height) with the shorter one `short_side` and the aspect kept, rounded to whole pixels."""
    short = min(width, height)
    return tuple(short_side if side == short else round(side * short_side / short) for side in (width, height))


def _video_stream(container):
    """The first stream of moving pictures; a cover picture of a sound file is none."""
    import av

    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)
