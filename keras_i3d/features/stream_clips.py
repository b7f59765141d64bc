"""One stream of a video to the clips that its network takes: frames kept as long as they are needed, then windows."""

import collections
import dataclasses
import functools

import numpy as np

from keras_i3d.errors import VideoError
from keras_i3d.features import cropping, windowing
from keras_i3d.inference.chunks import Chunk, plan_chunks
from keras_i3d.models.family import Family
from keras_i3d.specs import BOTH, CHANNELS, ClipSpec


@dataclasses.dataclass(frozen=True)
class Intake:
    """What the network of one stream takes.

    Attributes:
        clip: the ClipSpec of its clips, as the layout changes it.
        family: its row, whose `halo` and `window` are those of the endpoint.
        stride: frames from one that it sees to the next.
        ratio: rows of the endpoint in a step of the row.
        endpoint: what messages call the endpoint.
    """

    clip: ClipSpec
    family: Family
    stride: int
    ratio: int
    endpoint: str


@dataclasses.dataclass(frozen=True)
class Part:
    """A whole video of one stream, or a part of it: float32 (1, T, h, w, C), of whose rows `first` to `end` count."""

    stream: str
    clips: np.ndarray
    number: int
    crop: int
    first: int
    end: int | None


@dataclasses.dataclass(frozen=True)
class Window:
    """One window of one crop: the frames that it sees, and how they become what the network takes."""

    stream: str
    number: int
    crop: int
    frames: list
    seen: windowing.Seen
    intake: Intake
    places: tuple

    @functools.cached_property
    def shape(self):
        size = self.intake.clip.crop
        height, width = (min(side, size) for side in self.frames[0].shape[:2])
        return (len(self.frames), height, width, self.frames[0].shape[-1])

    def prepared(self):
        """Returns float32 (T, h, w, C)."""
        clip = self.intake.clip
        x = cropping.clip(self.frames, clip.crop, self.places, self.places[self.crop], self.stream)
        x = clip.prepared(x)
        x[self.seen.frames == windowing.NOTHING] = 0
        if self.stream == BOTH:
            x[~self.seen.moving, ..., CHANNELS["rgb"] :] = 0
        return x


class Stream:
    """The frames of one stream of a video, as long as they are needed, and what becomes of them.

    Args:
        layout, stream, intake: what is made of them.
        number, name: of the video.
    """

    def __init__(self, layout, stream, intake, number, name):
        self.layout, self.stream, self.intake, self.number, self.name = layout, stream, intake, number, name
        self.frames, self.begin = [], 0  # those kept, and the place of the first
        self.come = 0
        self.size = None  # (height, width) of a crop

    def last_frame(self, image):
        """Takes the last frame of a video, which has no field, to stand beyond the end: stream "both" alone."""
        if not self._is_seen:
            return
        field = self.frames[-1][..., CHANNELS["rgb"] :] if self._copies_field else 0
        kept = cropping.kept(image, self.intake.clip.crop, self.layout.crops)
        self.frames.append(np.concatenate([kept, np.broadcast_to(np.float32(field), (*kept.shape[:2], 2))], axis=-1))

    @property
    def _is_seen(self):
        """Whether the next frame is one that is kept."""
        return True

    @property
    def _copies_field(self):
        return self.layout.flow_end == "repeat" and self.layout.first == 0

    def _keep(self, frame):
        size = self.intake.clip.crop
        if self.size is None:
            self.size = tuple(min(side, size) for side in frame.shape[:2])
            least = self.intake.family.min_size
            if min(self.size) < least:
                height, width = self.size
                reason = f"its crops are {width} x {height} pixels, and {self.intake.family.name} takes {least} or more"
                remedy = f"resize=least:{least} (--resize=least:{least}) makes such frames larger"
                raise VideoError(self.name, f"{reason}; {remedy}")
        self.come += 1
        self.frames.append(cropping.kept(frame, size, self.layout.crops))

    def _repeat_field(self):
        if self.stream == "flow" and self._copies_field and self._is_seen:
            self.frames.append(self.frames[-1])

    def _windows(self, frames, seen):
        """A Window of each crop."""
        for crop in range(len(self.layout.crops)):
            yield Window(self.stream, self.number, crop, frames, seen, self.intake, self.layout.crops)


class Windows(Stream):
    """Windows, each as soon as its frames are there; `starts` are known at the end."""

    row = 0
    starts = None

    def add(self, frame):
        """Yields a Window of each crop for each window that is complete, and is one of the video's in any case."""
        self._keep(frame)
        known = self.come + (self.stream != "rgb")
        whole = windowing.whole(self.layout, self.stream, known)
        while self.row < whole:
            yield from self._next(known, self.layout.first + self.row * self.layout.step)
        self._forget(known)

    def finish(self, frames):
        """Yields those that are left of a video of so many frames."""
        self._repeat_field()
        self.starts = windowing.starts(self.layout, self.stream, frames)
        if not len(self.starts):
            raise VideoError(self.name, windowing.too_short(self.layout, self.stream, frames))
        for start in self.starts[self.row :]:
            yield from self._next(frames, start)

    def _next(self, frames, start):
        seen = windowing.seen(self.layout, self.stream, frames, start, self.intake.stride)
        self.row += 1
        shown = [self.frames[0 if place == windowing.NOTHING else place - self.begin] for place in seen.frames]
        yield from self._windows(shown, seen)

    def _forget(self, known):
        """Lets go of frames that no window to come can see."""
        needed = self.layout.first + self.row * self.layout.step
        if self.layout.tail == "shift":
            needed = min(needed, known - self.layout.first - self.layout.window - 2)
        needed = max(min(needed, self.come - 1), self.begin)
        del self.frames[: needed - self.begin]
        self.begin = needed


_ALL = Chunk(0, None, 0, None)  # of one pass


class Dense(Stream):
    """One pass over the whole video, in parts if it is long; `seen` is how many frames the network saw.

    Args:
        chunk_frames: the most frames of a part.
        count: a function that counts the frames of the video, called if there are more.
        layout, stream, intake, number, name: as for `Stream`.
    """

    def __init__(self, chunk_frames, count, layout, stream, intake, number, name):
        super().__init__(layout, stream, intake, number, name)
        self.chunk_frames, self.count = chunk_frames, count
        self.least = intake.family.min_frames
        self.thinned = intake.stride == 1  # of a short video all frames are kept, to be filled up
        self.parts = self.seen = None

    @property
    def _is_seen(self):
        return not self.thinned or self.come % self.intake.stride == 0

    def add(self, frame):
        """Yields a Part of each crop when its frames are there."""
        if not self._is_seen:
            self.come += 1
            return
        self._keep(frame)
        if not self.thinned and self.come == self.least * self.intake.stride:
            self.frames, self.thinned = self.frames[:: self.intake.stride], True
        if self.thinned and self.parts is None and len(self.frames) > self.chunk_frames:
            self._divide(self.count())
        yield from self._ready()

    def finish(self, frames):
        """Yields what is left of a video of so many frames."""
        self._repeat_field()
        if self.parts is None:
            seen = windowing.seen_of_all(self.layout, self.stream, frames, self.intake.stride, self.least)
            if seen is None:
                there = windowing.available(self.layout, self.stream, frames)
                raise VideoError(
                    self.name,
                    f"it has {there} {self.stream} frames, and {self.intake.family.name} takes {self.least} or more"
                    f"{f', every {self.intake.stride} frames one' if self.intake.stride > 1 else ''}; tail=repeat "
                    "(--tail=repeat) fills it up with the last frame",
                )
            step = self.intake.stride if self.thinned else 1
            self.seen = len(seen.frames)
            yield from self._parts([self.frames[max(place, 0) // step] for place in seen.frames], seen, _ALL)
            return
        yield from self._ready()
        if self.parts:
            raise VideoError(self.name, f"it gave fewer {self.stream} frames than were counted before")

    def _divide(self, total):
        family = self.intake.family
        if family.halo is None:
            reason = (
                f"it has more than chunk_frames={self.chunk_frames} frames, and {self.intake.endpoint} of {family.name}"
            )
            remedy = 'raise chunk_frames if memory allows, or take a window of frames in the place of "all"'
            raise VideoError(self.name, f"{reason} sees a video as a whole; {remedy}")
        self.seen = -(-windowing.available(self.layout, self.stream, total) // self.intake.stride)
        self.parts = collections.deque(plan_chunks(self.seen, self.chunk_frames, family))

    def _ready(self):
        while self.parts and self.begin + len(self.frames) >= self.parts[0].stop:
            chunk = self.parts.popleft()
            frames = self.frames[chunk.start - self.begin : chunk.stop - self.begin]
            all_there = windowing.Seen(np.arange(len(frames)), np.ones(len(frames), bool))
            yield from self._parts(frames, all_there, chunk)
            keep_from = self.parts[0].start if self.parts else chunk.stop
            del self.frames[: keep_from - self.begin]
            self.begin = keep_from

    def _parts(self, frames, seen, chunk):
        ratio = self.intake.ratio
        end = None if chunk.end_row is None else chunk.end_row * ratio
        for window in self._windows(frames, seen):
            clips = window.prepared()[None]
            yield Part(self.stream, clips, self.number, window.crop, chunk.first_row * ratio, end)
