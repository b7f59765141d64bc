"""Videos to the clips that networks take, ready to run: decoded, with flow, windowed, cropped, scaled, in batches."""

import collections
import contextlib
import dataclasses
import functools
import io

import numpy as np

from keras_i3d.errors import VideoError
from keras_i3d.features import cropping
from keras_i3d.features.layouts import Layout
from keras_i3d.features.stream_clips import Dense, Window, Windows
from keras_i3d.flow import dequantize_flow, pairs, quantize_flow
from keras_i3d.specs import BOTH, FLOW_BOUND
from keras_i3d.video import Reader


@dataclasses.dataclass(frozen=True)
class Batch:
    """Windows of one stream, of one video or several: float32 (batch, T, h, w, C), and zeros to fill it up.

    `places` are (number of the video, crop) of each window; the windows of a video and crop come in order.
    """

    stream: str
    clips: np.ndarray
    places: list


@dataclasses.dataclass(frozen=True)
class End:
    """The end of a video, all of whose windows but those in batches to come have been given.

    Attributes:
        number, source: of the video.
        name: what messages call it.
        error: why it has no features; None if it has, and what follows is known then.
        frames, onsets, seconds: how many frames it has, when they begin, and how long it lasts, in seconds.
        starts: {stream: int64 (rows,)}, the first frame of each window; None of a dense pass.
        seen: {stream: frames that the network saw} of a dense pass.
        size: (height, width) of the crops.
        damaged, cut_short: as of `Reader`.
    """

    number: int
    source: object
    name: str
    error: Exception | None = None
    frames: int = 0
    onsets: list = ()
    seconds: float = 0.0
    starts: dict = None
    seen: dict = None
    size: tuple = ()
    damaged: int = 0
    cut_short: bool = False


@dataclasses.dataclass(frozen=True)
class Feed:
    """Makes what networks run on of videos.

    Attributes:
        layout: the Layout.
        intakes: {stream: Intake}.
        flow_method: how flow is computed; None without flow.
        resize: the rule, as `Reader` takes it.
        batch_size: windows that go through a network at once.
        chunk_frames: the most frames of a dense pass.
        max_seconds: as for `Reader`.
    """

    layout: Layout
    intakes: dict
    flow_method: str | None
    resize: str
    batch_size: int
    chunk_frames: int
    max_seconds: float

    def __call__(self, videos):
        """Yields Batch, Part and End of one video after the other. Errors of a video stand in its End.

        None stands between them where nothing is ready yet, so that whoever runs this can stop it.
        """
        waiting = collections.defaultdict(list)  # windows of a stream and a shape, until there is a batch of them
        for number, source in enumerate(videos):
            reader = self._reader(source)
            try:
                for window in self._of_video(reader, number, source):
                    if not isinstance(window, Window):
                        yield window
                        continue
                    group = waiting[window.stream, window.shape]
                    group.append(window)
                    if len(group) == self.batch_size:
                        yield self._batch(group)
                        group.clear()
            except (VideoError, OSError) as error:
                yield End(number, source, reader.name, error)
            # A shape that few videos have would not fill a batch for long, and all videos behind it would wait.
            for group in waiting.values():
                if group and group[0].number <= number - self.batch_size:
                    yield self._batch(group)
                    group.clear()
        for group in waiting.values():
            if group:
                yield self._batch(group)

    def _reader(self, source):
        resize = ("stored", self.resize) if self._is_stored else self.resize
        fps = next(iter(self.intakes.values())).clip.fps
        return Reader(source, fps, max_seconds=self.max_seconds, resize=resize)

    @property
    def _is_stored(self):
        return self.layout.flow_from == "stored" and self.flow_method is not None

    def _of_video(self, reader, number, source):
        """Yields Window, Part and in the end End of a video; None after each frame that makes none ready."""
        content = None
        if self.layout.dense and hasattr(source, "read"):  # its frames may have to be counted while it is read
            source.seek(0)
            content = source.read()
            reader = self._reader(_opened(content, reader.name))
        again = functools.partial(_opened, content, reader.name) if content is not None else lambda: source
        count = functools.cache(lambda: self._reader(again()).count())
        kind = functools.partial(Dense, self.chunk_frames, count) if self.layout.dense else Windows
        streams = {s: kind(self.layout, s, intake, number, reader.name) for s, intake in self.intakes.items()}
        for ready in self._through(reader, streams):
            yield from ready or [None]
        if self.flow_method and reader.frames < 2:
            raise VideoError(reader.name, "flow needs at least 2 frames, and it has 1; use the rgb stream alone")
        for each in streams.values():
            yield from each.finish(reader.frames)
        yield End(
            number,
            source,
            reader.name,
            frames=reader.frames,
            onsets=reader.times,
            seconds=reader.seconds,
            starts=None if self.layout.dense else {stream: each.starts for stream, each in streams.items()},
            seen={stream: each.seen for stream, each in streams.items()} if self.layout.dense else None,
            size=next(iter(streams.values())).size,
            damaged=reader.damaged,
            cut_short=reader.cut_short,
        )

    def _through(self, reader, streams):
        """Yields what each frame and each field makes ready, as lists."""
        ready, waiting = [], collections.deque()  # frames whose field is still to come

        def frames():
            for images in reader:
                stored, image = images if self._is_stored else (images, images)
                if "rgb" in streams:
                    ready.extend(streams["rgb"].add(image))
                waiting.append(image if BOTH in streams or self._is_stored else None)
                yield stored

        def taken():
            given = list(ready)
            ready.clear()
            return given

        if not self.flow_method:
            for _ in frames():
                waiting.clear()
                yield taken()
            return
        with contextlib.closing(pairs.stream(frames(), self.flow_method)) as fields:
            for field in fields:
                image = waiting.popleft()
                field = self._levelled(field if not self._is_stored else cropping.resized(field, *image.shape[1::-1]))
                if "flow" in streams:
                    ready.extend(streams["flow"].add(field))
                if BOTH in streams:
                    ready.extend(streams[BOTH].add(np.concatenate([image, field], axis=-1, dtype=np.float32)))
                yield taken()
        yield taken()
        if BOTH in streams and waiting and reader.frames > 1:
            streams[BOTH].last_frame(waiting.popleft())

    def _levelled(self, field):
        """A field after it has gone through 8-bit levels, where the layout has them."""
        if self.layout.flow_levels is None:
            return field
        bound = next(i.clip.flow_bound or FLOW_BOUND for stream, i in self.intakes.items() if stream != "rgb")
        levels = quantize_flow(field, bound, self.layout.flow_levels)
        return dequantize_flow(levels, bound, self.layout.flow_levels)

    def _batch(self, windows):
        """A Batch, as large as all are: what a network makes of a window does not depend on how many there are."""
        clips = np.zeros((self.batch_size, *windows[0].shape), np.float32)
        for clip, window in zip(clips, windows):
            clip[:] = window.prepared()
        return Batch(windows[0].stream, clips, [(window.number, window.crop) for window in windows])


def _opened(content, name):
    """A file object of its own of the same bytes, which messages call by the name."""
    file = io.BytesIO(content)
    file.name = name
    return file
