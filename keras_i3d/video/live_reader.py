"""Frames from a source that cannot seek and may never end: a pipe, a camera, a URL, or a file that is read as one."""

import contextlib
import dataclasses
import io
import os
import select
import time

import numpy as np

from keras_i3d.errors import VideoError, notice, without_credentials
from keras_i3d.video.decoding import Decoder
from keras_i3d.video.live_sources import DEVICE, FILE, INPUT, MAY_BE_FILES, PIPE, URL, LiveSource
from keras_i3d.video.pixels import Converter, deinterlaced
from keras_i3d.video.reader import LONG_GAP, Reader
from keras_i3d.video.timestamps import Clock, growing

ENDLESS = 1e12  # seconds
GAP = 2  # seconds without a frame after which a live source begins anew; of a file or a pipe it is LONG_GAP
TIMEOUT = 10.0  # seconds to wait for a URL
LONGEST_WAIT = 60  # seconds between two attempts to connect again
TIMED_OUT = "Immediate exit requested"  # FFmpeg's words
TURN = 0.1  # seconds after which a wait looks whether it is still wanted
# What a URL, or the playlist behind it, may make FFmpeg open: no file of this machine.
PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,udplite,rtp,srtp,rtmp,rtmps,srt,crypto"
BEGINS = {"analyzeduration": "1000000"}  # microseconds that FFmpeg looks at before it gives the first frame


class WallClock:
    """The time that passes."""

    def now(self):
        """Returns seconds since any moment."""
        return time.monotonic()

    def wait(self, seconds, stopped):
        """Returns after so many seconds, or soon after `stopped()` is true."""
        end = self.now() + seconds
        while not stopped() and (left := end - self.now()) > 0:
            time.sleep(min(left, TURN))


@dataclasses.dataclass(frozen=True)
class Shown:
    """A frame: uint8 (H, W, 3), RGB; seconds after the first one of the source; whether a stretch begins with it."""

    image: np.ndarray
    time: float
    begins: bool


class LiveReader(Reader):
    """Iterates over the frames of a source, as Shown, once, as they come.

    They are resampled, turned and scaled as `Reader` does it, so that those of a pipe are those of the file. They come
    in stretches, each resampled from its own first frame. One begins with the source; after seconds without a frame,
    `GAP` of a live source and `LONG_GAP` of others; where a live clock jumps; and with each new connection. A line says
    so.

    A source is live if it does not wait for its reader: a camera; a URL, but for http that says how long it is; and
    all with `realtime`.

    Args:
        source: a LiveSource.
        fps, short_side: as for `Reader`.
        realtime: whether a file or pipe is paced by its timestamps, as a camera is.
        timeout: seconds to wait for a URL.
        reconnect: whether a URL or a camera that ends or breaks off, once it gave a frame, is opened again, after
            waits that double from 1 second to `LONGEST_WAIT`. A line says so.
        clock: what tells the time and waits.
        stopped: a function that says whether reading is to end.

    Attributes:
        live: whether the source does not wait; known with the first frame.
        damaged: packets that could not be decoded, or only with errors, of all connections so far.
        cut_short: as of `Reader`; False of what cannot be read again: all but a file.

    Raises:
        ValueError: `reconnect` of a file or pipe, or `timeout` not above 0.
        VideoError: while iterating: the source cannot be opened, gives no frame, or breaks off.
    """

    def __init__(
        self,
        source: LiveSource,
        fps,
        short_side,
        realtime=False,
        timeout=TIMEOUT,
        reconnect=False,
        clock=None,
        stopped=lambda: False,
    ):
        if reconnect and source.kind not in (DEVICE, URL):
            raise ValueError(f"reconnect= is of cameras and URLs. Received: {source.name}, a {source.kind}")
        if not timeout > 0:
            raise ValueError(f"timeout must be a number of seconds above 0. Received: timeout={timeout!r}")
        self.live_source, self.timeout, self.stopped = source, timeout, stopped
        super().__init__(source, fps, short_side, max_seconds=ENDLESS)
        self.realtime, self.reconnect = realtime, reconnect
        self.clock = clock or WallClock()
        self._began = None  # when the first frame came
        self._damaged_before = 0  # packets of the connections before this one

    def _decoder_of(self, source):
        return LiveDecoder(source, self.timeout, self.stopped)

    @property
    def live(self):
        return self.realtime or self._decoder.live

    @property
    def damaged(self):
        return self._damaged_before + self._decoder.damaged

    def is_late(self, seconds):
        """Whether a live source lasts as long by now: what comes faster, such as a piece of HLS at once, can wait."""
        return self.live and self._elapsed() >= seconds

    def _elapsed(self):
        """Seconds since the first frame came."""
        return 0.0 if self._began is None else self.clock.now() - self._began

    def __iter__(self):
        self.frames, attempts, reason, last = 0, 0, "", 0.0
        self._began, self._damaged_before, self._decoder.damaged = None, 0, 0
        while True:
            before = self.frames
            self._damaged_before, self._decoder.damaged = self.damaged, 0  # each connection counts its own
            offset = 0.0 if self._began is None else max(self._elapsed(), last + float(1 / self.fps))
            try:
                for shown in self._connected(offset):
                    self._began = self.clock.now() if self._began is None else self._began
                    if self.realtime:
                        self.clock.wait(shown.time - self._elapsed(), self.stopped)
                    self.frames, last = self.frames + 1, shown.time
                    yield shown
                reason = self._decoder.reason()
                if reason and not self.reconnect and not self.stopped():
                    raise VideoError(self.name, f"it broke off after {last:.2f} s ({reason})")
            except VideoError as error:
                if not self.reconnect or not self.frames:
                    raise
                reason = error.reason
            if self.stopped() or not self.reconnect:
                return
            attempts = 0 if self.frames > before else attempts + 1
            wait = min(2**attempts, LONGEST_WAIT)
            notice(f"{self.name}: {reason or 'it ended'}; connecting again in {wait} s")
            self.clock.wait(wait, self.stopped)

    def _connected(self, offset):
        """Yields Shown of one connection, the first one `offset` seconds after the first one of all."""
        converter = first = None
        for begin, timed in self._stretches(deinterlaced(growing(self._decoder.frames()))):
            first = begin if first is None else first
            place = 0
            for frame, repeats, _ in self._resampled(timed):
                converter = converter or Converter(self.name, self.resize[0], self._decoder.aspect)
                image = converter(frame)
                for _ in range(repeats):
                    yield Shown(image, offset + float(begin - first + place / self.fps), place == 0)
                    place += 1

    def _stretches(self, timed):
        """Yields (seconds of its first frame, its part of what `timed` gives) of each stretch."""
        pending, jumps = next(timed, None), self._decoder.jumps
        first = pending and pending[0]

        def stretch():
            nonlocal pending, jumps
            latest = pending[0]
            yield pending
            for pending in timed:
                gap = pending[0] - latest
                jumped, jumps = self.live and self._decoder.jumps != jumps, self._decoder.jumps
                if jumped or gap > (GAP if self.live else LONG_GAP):
                    what = "its clock jumps" if jumped else f"nothing new for {float(gap):.1f} s"
                    notice(f"{self.name}: {what} after {float(latest - first):.2f} s; the answers begin anew")
                    return
                latest = pending[0]
                yield pending
            pending = None

        while pending is not None:
            yield pending[0], stretch()


class LiveDecoder(Decoder):
    """Decodes the video of a LiveSource once, on one thread, so that no frame waits for the next ones.

    Attributes:
        live: whether the source does not wait for its reader; known when it is open.
    """

    def __init__(self, source: LiveSource, timeout, stopped):
        super().__init__(source, source.name)
        self.timeout, self.stopped = timeout, stopped
        self.live = source.kind in (DEVICE, URL)
        self._live_clock = None

    @property
    def jumps(self):
        """How often the clock of a live source has jumped."""
        return self._live_clock.jumps if self._live_clock else 0

    def frames(self, start=0):
        """Yields what `Decoder.frames` does."""
        self.broken = None
        yield from self._through(1)
        if self.broken is not None and self.source.kind not in (FILE, PIPE):
            self.damaged -= 1  # that it broke off, which `reason` says, is no damaged packet

    def reason(self):
        """Why a URL or camera broke off, in words; "" if it ended. What a file or pipe lacks is counted as damage."""
        if self.broken is None or self.source.kind in (FILE, PIPE):
            return ""
        return self._said(getattr(self.broken, "strerror", None) or self.broken)

    def _said(self, reason):
        """What FFmpeg says, without what it holds of a URL's password."""
        reason = str(reason).replace(TIMED_OUT, f"nothing came for {self.timeout:g} s")
        return without_credentials(reason)

    def _clock(self, container, nominal):
        if not self.live:
            return super()._clock(container, nominal)
        self._live_clock = Clock(nominal)
        return self._live_clock

    def _settings(self):
        source = self.source
        if source.kind == DEVICE:
            return {"format": source.format}
        if source.kind != URL:
            return super()._settings()
        options = {**BEGINS, "protocol_whitelist": PROTOCOLS}
        if source.scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # over UDP packets are lost
        return {"container_options": options, "timeout": self.timeout}

    @contextlib.contextmanager
    def _open(self):
        with contextlib.ExitStack() as stack:
            try:
                container = stack.enter_context(super()._open())
            except VideoError as error:
                raise VideoError(self.name, self._said(error.reason)) from None  # a traceback would show a password
            if self.source.scheme in MAY_BE_FILES and container.duration:
                self.live = False
            yield container

    @contextlib.contextmanager
    def _file(self):
        source = self.source
        if source.kind != PIPE:
            yield source.opened
        elif source.opened == INPUT:
            yield _Pipe(0, self.stopped)
        elif isinstance(source.opened, str):
            number = os.open(source.opened, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # there may be no writer yet
            try:
                yield _Pipe(number, self.stopped)
            finally:
                os.close(number)
        else:
            yield _Unsought(source.opened)

    @contextlib.contextmanager
    def _bytes(self):
        if self.source.kind != FILE:
            yield io.BytesIO()  # what has gone by cannot be read again
            return
        with super()._bytes() as file:
            yield file


class _Pipe:
    """A file descriptor as a file that can be read alone, and whose reading ends when it is stopped."""

    name = "pipe"

    def __init__(self, number, stopped):
        self.number, self.stopped = number, stopped

    def read(self, size):
        while not self.stopped():
            with contextlib.suppress(BlockingIOError):
                if os.name == "nt" or select.select([self.number], [], [], TURN)[0]:
                    return os.read(self.number, size)
        return b""


class _Unsought:
    """A binary file object of which as much is read as is there, and nothing else is asked."""

    name = "pipe"

    def __init__(self, file):
        self.read = getattr(file, "read1", file.read)
