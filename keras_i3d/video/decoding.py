"""A file to its decoded frames: opening it, which stream, damage, and where decoding begins."""

import collections
import contextlib
import dataclasses
import errno
import functools
import io
import itertools
import math
import os
from fractions import Fraction

from keras_i3d.errors import VideoError, missing_package
from keras_i3d.plurals import counted
from keras_i3d.specs import FPS
from keras_i3d.video.codec_names import codec_name
from keras_i3d.video.pixels import MAX_PIXELS, check_stored_size
from keras_i3d.video.timestamps import Clock, fraction
from keras_i3d.video.truncation import ends_early

NOT_VIDEO = {"tty"}  # FFmpeg would film a text file as it scrolls by
# Formats that name other files or streams, which FFmpeg would open: a file of a stranger must not make it do so.
LISTS = {"hls", "concat", "dash", "webm_dash_manifest", "imf", "sdp", "rtsp", "rtp", "sap", "lavfi"}
CLOCK_MAY_JUMP = 0x200  # FFmpeg's flag AVFMT_TS_DISCONT of a container
DEFAULT, COVER = 0x1, 0x400  # and AV_DISPOSITION_DEFAULT, AV_DISPOSITION_ATTACHED_PIC of a stream
THREADS = 0  # FFmpeg's own choice, which depends on the cores
# Codecs whose damage several threads notice as one does. Others, HEVC and VP8 among them, pass some of it over in
# silence, and what they then show depends on the threads.
THREADED = {"h264", "vp9", "libdav1d"}
HELD, HELD_BYTES = 16, 1 << 26  # a frame may be stored before as many that are shown earlier


@dataclasses.dataclass(frozen=True)
class Header:
    """What a container says of its video, which need not be true.

    Attributes:
        codec: FFmpeg's name of its decoder, such as "h264".
        fps: frames per second, on average; None if it does not say.
        frames: how many it has; None if it does not say.
        size: (height, width) as it is stored.
    """

    codec: str
    fps: float | None
    frames: int | None
    size: tuple


class Decoder:
    """Decodes the video of one file, in the order it is shown, the same on any number of cores.

    FFmpeg decodes several frames at once as long as nothing is wrong. What it makes of a damaged frame then depends on
    how many, and errors at the end of a file are lost. So at the first sign of damage the file is decoded anew, one
    frame after the other, and continues after the last one given: those were whole, and are the same either way. A
    frame is given when `HELD` more are decoded, because one that is shown earlier may have been made from a damaged
    one.

    Args:
        source: what `video.Reader` takes.
        name: what messages call the video.

    Attributes:
        damaged: how many packets could not be decoded, or only with errors, so far.
        broken: the error for which the rest could not be split into packets; None if there was none.
        aspect: width over height of a pixel, a Fraction; known with the first frame.
    """

    def __init__(self, source, name):
        self.source, self.name = source, name
        self.damaged = 0
        self.broken = None
        self.aspect = Fraction(1)

    def frames(self, start=0):
        """Yields (frame, time base, duration, nominal duration), in seconds, for each frame that can be decoded.

        With `start`, the first frame, whose time is zero, and then those from the keyframe before `start`.

        Raises:
            VideoError: the file cannot be opened, or gives no frame.
        """
        given = 0
        try:
            for item in self._pass(start, THREADS):
                given += 1
                yield item
            return
        except _DamageError:
            pass
        yield from itertools.islice(self._pass(start, 1), given, None)

    def ends_early(self):
        """Returns whether the file lacks a part that its container announces."""
        with self._bytes() as file:
            return ends_early(file)

    def header(self):
        """Returns what the container says of the video, without decoding any of it: a Header.

        Raises:
            VideoError: the file cannot be opened, or has no video.
        """
        with self._open() as container:
            stream = self._stream(container)
            rate = fraction(stream.average_rate) or fraction(stream.guessed_rate)
            if stream.duration:
                seconds = stream.duration * (fraction(stream.time_base) or 0)
            else:
                seconds = Fraction(container.duration or 0, 1_000_000)
            counted = round(seconds * rate) if seconds and rate else None
            codec = stream.codec_context
            size = codec.height, codec.width
            return Header(codec.name, float(rate) if rate else None, stream.frames or counted, size)

    def cut_short(self):
        """Returns what a message says of a file that lacks its end, after its reason."""
        return "; the file is cut short" if self.ends_early() else ""

    def _pass(self, start, threads):
        skipped = 0
        if start:
            try:
                yield from self._through(threads, start)
                return
            except _CannotSeekError:  # after the first frame
                skipped = 1
        yield from itertools.islice(self._through(threads), skipped, None)

    def _through(self, threads, start=0):
        """Yields what `frames` does, or raises _CannotSeekError after the first frame, or _DamageError if threaded."""
        self.damaged = 0
        with self._open() as container:
            stream, threads = self._begun(container, threads)
            frames = self._frames(container, stream, threads)
            if not start:
                yield from frames if threads == 1 else _held_back(frames)
                return
            first = next(frames)
            yield first
        # Anew: what the decoder has seen beyond the first frame depends on its threads.
        with self._open() as container:
            stream, threads = self._begun(container, threads)
            frames = self._after(first, container, stream, threads, start)
            yield from frames if threads == 1 else _held_back(frames)

    def _begun(self, container, threads):
        """Returns the stream to decode and by how many threads, and sets its decoder up."""
        stream = self._stream(container)
        if stream.codec_context.name not in THREADED:
            threads = 1
        options = {"max_pixels": str(MAX_PIXELS)}
        if threads != 1:
            options["err_detect"] = "explode"  # a damaged packet gives no frame, so that the lost one is noticed
        stream.codec_context.options = options
        stream.codec_context.thread_count = threads
        stream.thread_type = "FRAME"  # if the slices of a frame are decoded at once, their errors are by chance
        return stream, threads

    def _after(self, first, container, stream, threads, start):
        """Yields the frames from the keyframe before `start`, or raises _CannotSeekError before it yields any."""
        import av

        frame, base, _, nominal = first
        if frame.pts is None or (container.format.flags & CLOCK_MAY_JUMP and self._clock_jumps()):
            raise _CannotSeekError
        target = frame.pts + math.floor(start / base)
        # The lines of a field are filled in from the frame before.
        early = math.ceil(2 * nominal / base) if frame.interlaced_frame else 0
        try:
            container.seek(target - early, stream=stream)
        except (av.error.FFmpegError, OSError) as error:
            raise _CannotSeekError from error
        landed = False
        for item in self._frames(container, stream, threads, sought=True):
            pts = item[0].pts
            if not landed and (pts is None or pts > target - early or (item[0].interlaced_frame and not early)):
                raise _CannotSeekError
            landed = True
            if pts is None or pts > frame.pts:
                yield item
        if not landed:
            raise _CannotSeekError

    def _clock_jumps(self):
        """Whether the clock of the whole file does: then no time can be sought in it. Reads packets, decodes none."""
        other = Decoder(self.source, self.name)  # whose damage is not that of the part
        with other._open() as container:
            stream = other._stream(container)
            clock = Clock(_nominal(stream)[0])
            for packet in other._packets(container, stream):
                clock.correct(packet)
                if clock.jumps:
                    return True
        return False

    def _frames(self, container, stream, threads, sought=False):
        """Yields what `frames` does from where the container stands; `sought`: after a jump to there."""
        import av

        nominal, untimed = _nominal(stream)
        clock = self._clock(container, nominal)
        own_base = fraction(stream.time_base) or Fraction(1)
        durations = {}  # by time, if frames do not say themselves (PyAV 14)
        packets = frames = 0
        for packet in itertools.chain(self._packets(container, stream), [None]):  # None: what the decoder still has
            if packet is not None:
                if clock:
                    clock.correct(packet)
                if sought and not frames and packet.pts is None:
                    raise _CannotSeekError
                packets += not packet.is_discard
                if len(durations) > 100:
                    durations.clear()
                durations[packet.pts] = packet.duration
            try:
                decoded = stream.codec_context.decode(packet)
            except av.error.FFmpegError:
                decoded = []
                self.damaged += 1
            self.damaged += sum(frame.is_corrupt for frame in decoded)
            if threads != 1 and self.damaged:
                raise _DamageError
            for frame in decoded:
                frames += 1
                base = fraction(frame.time_base) or own_base
                frame.time_base = base
                duration = getattr(frame, "duration", None) or durations.pop(frame.pts, None)
                usual = untimed if frame.pts is None else nominal
                yield frame, base, duration * base if duration else usual, nominal
        if threads != 1 and (self.damaged or frames != packets):  # the last errors of frame threads are lost
            raise _DamageError
        if not frames and not sought:
            raise VideoError(self.name, self._nothing_decoded(stream))

    def _clock(self, container, nominal):
        """What puts the times of packets right; None of a container whose clock does not jump."""
        return Clock(nominal) if container.format.flags & CLOCK_MAY_JUMP else None

    def _nothing_decoded(self, stream):
        if self._is_animated_webp():
            return "no decoder for animated WebP in this FFmpeg"
        packets = counted(self.damaged, "damaged packet")
        return f"no frame of it could be decoded by {stream.codec_context.name} ({packets}){self.cut_short()}"

    def _is_animated_webp(self):
        with self._bytes() as file:
            head = file.read(21)
        return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)

    def _packets(self, container, stream):
        """Yields the packets of the stream that are not empty; AVI has empty ones if a frame was dropped."""
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):  # PyAV stumbles over a stream that only begins within the file
                return
            except av.error.FFmpegError as error:  # the rest of the file cannot be split into packets
                self.damaged += 1
                self.broken = error
                return
            if packet.size:
                yield packet

    def _stream(self, container):
        """The stream of moving pictures that a player would show."""
        candidates = [s for s in container.streams.video if not _disposition(s) & COVER]
        if not candidates:
            raise VideoError(self.name, "it has no video stream")
        best = container.streams.best("video")
        if best not in candidates:
            best = max(candidates, key=lambda stream: _disposition(stream) & DEFAULT)
        if best.codec_context is None:
            with self._bytes() as file:
                name = codec_name(file)
            its = f"its codec {name!r}" if name else "its video"
            raise VideoError(self.name, f"no decoder in this FFmpeg for {its}: encode it as H.264, for example")
        check_stored_size(self.name, best.codec_context.width, best.codec_context.height)
        self.aspect = fraction(best.sample_aspect_ratio) or Fraction(1)
        return best

    @contextlib.contextmanager
    def _file(self):
        """Gives a path that is a file, or a binary file object at its start."""
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
        yield source

    @contextlib.contextmanager
    def _bytes(self):
        """Gives the file as a binary file object at its start."""
        with (
            self._file() as source,
            open(source, "rb") if isinstance(source, str) else contextlib.nullcontext(source) as file,
        ):
            yield file

    def _settings(self):
        """What `av.open` is told next to what it opens.

        Options are the container's: those of streams too crash PyAV before 18 where a format, such as MPEG-PS or FLV,
        says only later which streams it has.
        """
        return {"container_options": {"format_whitelist": _formats()}}

    @contextlib.contextmanager
    def _open(self):
        try:
            import av
        except ImportError as error:
            raise missing_package("av", "av", "Reading a video") from error
        # Its logging stays off, as it is by default: set to any level, even PANIC, FFmpeg's decoding threads call
        # into Python for each error and wait for the lock that this thread holds, for ever.
        settings = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}
        with self._file() as source:
            try:
                container = av.open(source, **settings, **self._settings())
            except (av.error.FFmpegError, OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                if getattr(error, "errno", None) == errno.EINVAL:  # FFmpeg's for a format that is not in the list
                    reason = f"{reason}; a playlist, which names other files, is not opened"
                raise VideoError(self.name, f"not a video that FFmpeg can open ({reason}){self.cut_short()}") from error
            with container:
                if container.format.name in NOT_VIDEO:
                    raise VideoError(self.name, "a text file, not a video")
                yield container


@functools.cache
def _formats():
    """FFmpeg's formats but for `LISTS`, as it takes a list of them."""
    import av

    return ",".join(sorted(av.formats_available - LISTS))


class _CannotSeekError(Exception):
    """The file has to be decoded from its first frame."""


class _DamageError(Exception):
    """The file has to be decoded without frame threads."""


def _held_back(items):
    """Yields the items, each when as many more are there as a damaged frame may have been used for unseen."""
    held = collections.deque()
    for item in items:
        held.append(item)
        frame = item[0]
        if len(held) > min(HELD, max(HELD_BYTES // (2 * frame.width * frame.height), 4)):
            yield held.popleft()
    yield from held


def _disposition(stream):
    disposition = getattr(stream, "disposition", 0)
    return getattr(disposition, "value", disposition)


def _nominal(stream):
    """Returns the seconds that a frame lasts which does not say so: one that has a time, and one that has none.

    Where frames have no times the average rate is the demuxer's, which knows none; the guessed one is the codec's.
    """
    average, guessed = fraction(stream.average_rate), fraction(stream.guessed_rate)
    return 1 / (average or guessed or Fraction(FPS)), 1 / (guessed or average or Fraction(FPS))
