"""A piece of live video without a gap: the frames that networks still need of it, and the logits that are due.

There are two kinds of answers. Of `Windows`, each is what a network says of the latest frames, as many as its clips
have: the mean of the window's rows, as of any clip. Of `RowsInOrder`, each is of rows in their order, as of one pass
over all of the video, of which a row is final when its receptive field has come.

Where SAME padding stands depends on how long a clip is, modulo the frames of a step. An endless video has no length. So
rows are those of the video cut behind a whole step: whichever step it is, they are the same but near the cut.
"""

import dataclasses
import math

import numpy as np

from keras_i3d.flow import pairs
from keras_i3d.inference import chunks
from keras_i3d.plurals import counted
from keras_i3d.specs import BOTH, CLIP_FRAMES, INPUT_CHANNELS

WARM = 2  # calls before a live video begins: the second one measures which runtime is faster


@dataclasses.dataclass(frozen=True)
class Due:
    """Logits of a part of a segment.

    Attributes:
        first, end: the frames at the clip's rate that they are of, of the segment: `end` is the one behind the last.
        logits: {stream: float32 (classes,)}.
        missing: steps that its receptive field lacks on the right, which a row had not waited for.
        looped: {stream: frames} to which the frames of a short source were looped; empty if they were enough.
    """

    first: int
    end: int
    logits: dict
    missing: int = 0
    looped: dict = dataclasses.field(default_factory=dict)


class Settings:
    """What the answers are made of, the same for all segments.

    Args:
        classifier: a Classifier.
        window: seconds of the latest frames; None for as many frames as the clips have that each network was trained
            on.
        rows: whether the answers are of rows in their order, and not of windows.
        delay: of rows, how many seconds to wait for frames behind them; None for all that they see.
        every: seconds from one answer to the next; None for a step of rows, and about a second of windows.

    Attributes:
        frames: at the clip's rate of a step of all streams together: what is taken, and dropped, at once.
        fps: frames per second.
        models: {stream: what runs its network}.
        lengths: {stream: frames that its network sees of a window}.
        span: frames at the clip's rate of a window.
        waits: {stream: steps that a row waits for}.
        every: steps from one answer to the next.
        capacity: steps that may wait: as many as a window has, or two receptive fields.

    Raises:
        ValueError: a setting out of its range, or a network of which there are no rows.
    """

    def __init__(self, classifier, window=None, rows=False, delay=None, every=None):
        for name, value in (("window", window), ("delay", delay), ("every", every)):
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number of seconds, or None. Received: {name}={value!r}")
        if rows and window is not None:
            raise ValueError(f"window= is of answers of windows. Received: {window!r}, and answers of rows")
        if delay is not None and not rows:
            raise ValueError(f"delay= is of answers of rows. Received: {delay!r}, and answers of windows")
        self.classifier, self.rows, self.fps = classifier, rows, float(classifier.clip.fps)
        self.models = {**classifier.models}
        self.families = {stream: network.family for stream, network in classifier.networks.items()}
        steps = {s: family.step * classifier.clips[s].frame_stride for s, family in self.families.items()}
        self.frames = math.lcm(*steps.values())
        self.seconds = self.frames / self.fps
        self.lengths = {stream: self._length(stream, window) for stream in classifier.streams}
        self.span = max(map(self._span, classifier.streams))
        self.every = max(round((every if every is not None else 0 if rows else 1) / self.seconds), 1)
        if not rows:
            self.capacity = max(-(-self.span // self.frames), 2)
            return
        self._check_rows(steps)
        halos = {stream: family.halo for stream, family in self.families.items()}
        wanted = math.inf if delay is None else int(delay / self.seconds + 1e-6)
        self.waits = {stream: min(halo, wanted) for stream, halo in halos.items()}
        longest = max(family.window for family in self.families.values())
        self.capacity = 2 * max(halos.values()) + longest - 1 + self.every

    def warm_up(self):
        """Compiles what the answers need, before a live video begins, which would not wait for it.

        A window has always the same length, so that the faster runtime is measured for it. Pieces of rows have many,
        and all are for Keras, which compiles none of them anew.
        """
        for stream, model in self.models.items():
            if self.rows and hasattr(model, "settled"):
                model = model.settled()
            clip = self.classifier.clips[stream]
            length = self.families[stream].step * self.capacity if self.rows else self.lengths[stream]
            zeros = np.zeros((1, length, clip.crop, clip.crop, INPUT_CHANNELS[stream]), np.float32)
            for _ in range(1 if self.rows else WARM):
                model.predict_on_batch(zeros)
            self.models[stream] = model.settled() if hasattr(model, "settled") else model

    def segment(self):
        """Returns what takes a new segment's frames."""
        return RowsInOrder(self) if self.rows else Windows(self)

    def _length(self, stream, window):
        clip, family = self.classifier.clips[stream], self.families[stream]
        own = clip.frames or family.clips[stream].frames or CLIP_FRAMES
        if window is not None:
            own = round(window * self.fps / (clip.frame_stride * family.step)) * family.step
        length = max(own, family.min_frames)
        if family.halo is None and length > self.classifier.chunk_frames:
            raise ValueError(
                f"{family.name} looks at a clip as a whole, which takes at most chunk_frames="
                f"{self.classifier.chunk_frames} frames. Received: a window of {length}. Shorten window=, or raise "
                "chunk_frames="
            )
        return length

    def _span(self, stream):
        """Frames at the clip's rate of a window: each that is seen stands for those up to the next one."""
        apart = self.classifier.clips[stream].frame_stride
        return self.lengths[stream] * apart + (stream != "rgb" and apart == 1)  # the last field needs the next frame

    def _check_rows(self, steps):
        for stream, family in self.families.items():
            if family.halo is None or self.classifier.answers[stream] is not None:
                raise ValueError(
                    f"A row that is final needs a network whose rows see a part of the video. Received: {family.name}, "
                    "which looks at a video as a whole. Take answers of windows: leave exact= and delay= out"
                )
        grids = {stream: (steps[stream], family.window) for stream, family in self.families.items()}
        if len(set(grids.values())) > 1:
            told = ", ".join(
                f"{s}: every {counted(step, 'frame')}, of {counted(window, 'step')}"
                for s, (step, window) in grids.items()
            )
            raise ValueError(
                f"Rows of several streams are added, and have to lie alike. Received: {told}. Take answers of windows, "
                "or one stream"
            )


class _Seen:
    """The frames or fields of one stream that its network sees, those that are still needed.

    Args:
        clip: the ClipSpec of what the network takes.
        least: frames that it takes at least.
    """

    def __init__(self, clip, least):
        self.clip, self.least = clip, least
        self.come = 0  # at the clip's rate
        self.frames, self.begin = [], 0  # those kept, and the place of the first among those seen
        self.few = []  # all that have come, to be looped; None once the network takes those that are seen

    @property
    def seen(self):
        return self.begin + len(self.frames)

    def add(self, frame):
        is_seen = self.come % self.clip.frame_stride == 0
        self.come += 1
        if not is_seen and self.few is None:
            return
        frame = chunks.centre_crop(frame, self.clip.crop).copy()  # a view would hold the whole frame
        if self.few is not None:
            self.few.append(frame)
        if is_seen:
            self.frames.append(frame)
            self.few = None if self.seen >= self.least else self.few

    def all(self):
        """Returns what `since` does of all that is kept; of too few frames, looped, as many as the network takes."""
        if self.few is None:
            return self.since(self.begin)
        return self.clip.prepared(chunks.repeated(np.stack(self.few), self.least, self.clip.frame_stride))

    def since(self, place):
        """Returns float32 (T, h, w, C), as the network takes them, from one seen frame on."""
        return self.clip.prepared(np.stack(self.frames[place - self.begin :]))

    def forget(self, place):
        """Lets go of what was seen before a place."""
        del self.frames[: max(place - self.begin, 0)]
        self.begin = max(place, self.begin)


class _Segment:
    """The frames of a segment, and between them the flow."""

    def __init__(self, settings):
        self.settings = settings
        clips, families = settings.classifier.clips, settings.families
        self.streams = {stream: _Seen(clip, families[stream].min_frames) for stream, clip in clips.items()}
        self.frames = 0  # at the clip's rate, so far
        self._last = None

    def add(self, images):
        """Takes the frames that follow, uint8 (H, W, 3) each, and computes the flow up to the last of them."""
        if "rgb" in self.streams:
            for image in images:
                self.streams["rgb"].add(image)
        if self.settings.classifier.flow_method:
            self._add_fields(images if self._last is None else [self._last, *images])
            self._last = images[-1]
        self.frames += len(images)

    def _add_fields(self, images):
        if len(images) < 2:
            return
        for image, field in zip(images, pairs.stream(images, self.settings.classifier.flow_method)):
            if "flow" in self.streams:
                self.streams["flow"].add(field)
            if BOTH in self.streams:
                self.streams[BOTH].add(np.concatenate([image, field], axis=-1, dtype=np.float32))

    def _answer(self):
        """Returns a Due of all frames that are kept, too few of which are looped, as `Classifier` loops a video."""
        classifier, logits = self.settings.classifier, {}
        for stream, seen, model, family in self._parts():
            clip = seen.all()
            logits[stream] = chunks.score(model, family, clip, classifier.chunk_frames, classifier.answers[stream])
        first = min(seen.begin * seen.clip.frame_stride for seen in self.streams.values())
        looped = {stream: seen.least for stream, seen in self.streams.items() if seen.few is not None}
        return Due(first, self.frames, logits, looped=looped)

    def _parts(self):
        """Yields (stream, _Seen, model, Family)."""
        for stream, seen in self.streams.items():
            yield stream, seen, self.settings.models[stream], self.settings.families[stream]


class Windows(_Segment):
    """Answers of the latest frames, each a window, once so many have come.

    Attributes:
        skipped: answers that were due and not given, because newer frames were there.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self.skipped, self.unanswered = 0, 0
        self._next = self._answered = None

    def due(self):
        """Yields a Due of the latest frames if it is time for one."""
        if self._next is None:
            lengths = self.settings.lengths
            if any(seen.seen < lengths[stream] for stream, seen in self.streams.items()):
                return
            self._next = self.frames
        if self.frames < self._next:
            return
        every = self.settings.every * self.settings.frames
        late = (self.frames - self._next) // every
        self.skipped += late
        self._next += (late + 1) * every
        yield self._answer()

    def finish(self, late=False, whole=False):
        """Yields a Due of the last frames if they are in none; `unanswered` is how many are too few for one.

        None if it is `late`: where steps behind them were dropped, there is no time for what is not the newest. If the
        source is this `whole` segment, the Due is of all frames, and too few are looped.
        """
        if late:
            self.unanswered = self.frames - (self._answered or 0)
        if late or self._answered == self.frames:
            return
        is_looped = whole and all(seen.come for seen in self.streams.values())
        if not is_looped and any(seen.few is not None for seen in self.streams.values()):
            self.unanswered = self.frames
            return
        yield self._answer(whole)

    def _answer(self, whole=False):
        for stream, seen, _, family in self._parts():
            # What looks at a clip as a whole takes no more than `chunk_frames`, and a window is never longer.
            is_too_long = family.halo is None and seen.seen > self.settings.classifier.chunk_frames
            if not whole or is_too_long:
                seen.forget(seen.seen - self.settings.lengths[stream])
        self._answered = self.frames
        return super()._answer()


class RowsInOrder(_Segment):
    """Answers of rows, each as soon as what it sees has come, or so much of it as it waits for.

    The frames behind the last whole step are in no row: with them, the padding would stand elsewhere. A source that
    ends before its first row has one answer, of all its frames.
    """

    skipped = 0

    def __init__(self, settings):
        super().__init__(settings)
        self._rest = []  # the images behind the last whole step
        self._row = 0  # the next one that is wanted
        self._ready = []  # (row, {stream: logits}, missing), which wait for others of their answer

    def add(self, images):
        if len(images) < self.settings.frames:
            self._rest = images
        else:
            super().add(images)

    @property
    def unanswered(self):
        """How many frames are in no row, once it is finished."""
        return len(self._rest) + (0 if self._row else self.frames)

    def due(self):
        """Yields a Due of each `every` rows that are final."""
        self._find(self.settings.waits)
        every = self.settings.every
        while len(self._ready) >= every:
            yield self._joined(self._ready[:every])
            del self._ready[:every]

    def finish(self, late=False, whole=False):
        """Yields those that are left, `late` or not: behind them the video is as one that ends here.

        If there are none, and the source is this `whole` segment, a Due of all its frames, too few of which are looped.
        """
        self._find(dict.fromkeys(self.streams, 0), ends=True)
        yield from self.due()
        if self._ready:
            yield self._joined(self._ready)
        if whole and not self._row:
            if self._rest:
                super().add(self._rest)
            self._rest = []
            if all(seen.come for seen in self.streams.values()):
                self._row = 1
                yield self._answer()

    def _find(self, waits, ends=False):
        """Computes the rows that have so many steps behind them."""
        rows, end = {}, math.inf
        for stream, seen, _, family in self._parts():
            rows[stream] = family.steps(seen.seen) - family.window + 1 if seen.seen >= family.min_frames else 0
            end = min(end, rows[stream] - waits[stream])
        if end <= self._row:
            return
        found, missing = {}, np.zeros(end - self._row, int)
        for stream, seen, model, family in self._parts():
            first = max(self._row - family.halo, 0)
            every = chunks.rows(model, family, seen.since(first * family.step), self.settings.classifier.chunk_frames)
            found[stream] = every[self._row - first : end - first]
            behind = rows[stream] - 1 - np.arange(self._row, end)
            missing = np.maximum(missing, 0 if ends else family.halo - behind)
            seen.forget(max(end - family.halo, 0) * family.step)
        for number, row in enumerate(range(self._row, end)):
            self._ready.append((row, {s: logits[number] for s, logits in found.items()}, int(missing[number])))
        self._row = end

    def _joined(self, ready):
        family = next(iter(self.settings.families.values()))
        first, last = ready[0][0], ready[-1][0]
        logits = {s: np.mean([each[1][s] for each in ready], axis=0, dtype=np.float64) for s in self.streams}
        frames = self.settings.frames
        return Due(
            first * frames,
            (last + family.window) * frames,
            {stream: np.float32(each) for stream, each in logits.items()},
            max(each[2] for each in ready),
        )
