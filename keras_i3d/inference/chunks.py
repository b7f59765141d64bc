"""A video of any length through a network in bounded memory: chunks that give what the single pass gives."""

import collections
import dataclasses

import numpy as np

from keras_i3d.errors import VideoError, notice
from keras_i3d.models.family import Family
from keras_i3d.plurals import counted
from keras_i3d.specs import CROP, ClipSpec

CHUNK_FRAMES = 512


@dataclasses.dataclass(frozen=True)
class Part:
    """A chunk whose frames are there: uint8 or float32 (T, h, w, C) as they are decoded, and the share of the video.

    A video that is looped is one Part, of the frames that are seen.
    """

    frames: np.ndarray
    chunk: "Chunk"
    share: float


class Scorer:
    """Averages one stream's logits over a video that comes frame by frame, in chunks of bounded size.

    `add` and `run` may be called by two threads, one for each.

    Args:
        model: (1, T, H, W, C) to rows of logits, as `Network.to_rows` gives it.
        answer: what makes logits of all rows, as `Network.to_answer` gives it; None for their mean.
        family: of the network.
        clip: the ClipSpec of what it takes.
        name: the video's.
        total: frames that will come.
        chunk_frames: the most that go through the model at once.
        keep: whether all rows are kept, for `Rows.every`.
        window: frames of each of the clips that `plan_windows` cuts the video into, in the place of chunks; None for
            chunks. A window of fewer frames than the network takes is the whole video, looped.
    """

    def __init__(
        self, model, answer, family: Family, clip: ClipSpec, name, total, chunk_frames, keep=False, window=None
    ):
        self.model, self.clip, self.name, self.total, self.window = model, clip, name, total, window
        seen = clip.seen(total)
        self.looped = family.min_frames if seen < family.min_frames else None
        self.stride = 1 if self.looped else clip.frame_stride  # of a short video all frames are kept, to be looped
        if window is None or self.looped:
            self.planned = plan_chunks(total if self.looped else seen, chunk_frames, family)
        else:
            self.planned = plan_windows(seen, window)
        self.chunks = collections.deque(self.planned)
        self.end = self.chunks[-1].stop
        self.frames, self.begin = [], 0  # the frames kept, and the index of the first
        self.come = 0
        self.rows = Rows(answer, keep)

    def add(self, frame):
        """Takes the next frame; returns the Part that is complete with it, or None."""
        self.come += 1
        if (self.come - 1) % self.stride:
            return None
        self.frames.append(centre_crop(frame, self.clip.crop).copy())  # a view would hold the whole frame
        if not self.chunks or self.begin + len(self.frames) < self.chunks[0].stop:
            return None
        chunk = self.chunks.popleft()
        frames = np.stack(self.frames[chunk.start - self.begin : chunk.stop - self.begin])
        share = chunk.stop / self.end
        if self.looped:
            frames = repeated(frames, self.looped, self.clip.frame_stride)
            chunk = Chunk(0, self.looped, 0, None)
        keep_from = self.chunks[0].start if self.chunks else chunk.stop
        del self.frames[: keep_from - self.begin]
        self.begin = keep_from
        return Part(frames, chunk, share)

    def run(self, part):
        """Sends a Part through the network."""
        self.rows.add(of_chunk(self.model, self.clip.prepared(part.frames), part.chunk))

    def logits(self):
        """Returns float32 (classes,) once all parts have run."""
        if self.chunks:
            stream = self.clip.stream
            raise VideoError(self.name, f"it gave fewer {stream} frames than the {self.total} counted before")
        return self.rows.logits()


class Rows:
    """The rows of a video, as they come chunk by chunk, and what they amount to.

    Args:
        answer: as for `Scorer`. Without it the sum of rows is all that is kept; with it, every row.
        keep: whether every row is kept in any case.
    """

    def __init__(self, answer=None, keep=False):
        self.answer, self.keep, self.kept, self.sum, self.steps = answer, keep, [], 0.0, 0

    def add(self, rows):
        """Adds float64 (N, C)."""
        if self.answer is None:
            self.sum, self.steps = self.sum + rows.sum(axis=0), self.steps + len(rows)
        if self.keep or self.answer is not None:
            self.kept.append(np.float32(rows))

    def logits(self):
        """Returns float32 (classes,)."""
        if self.answer is None:
            return np.float32(self.sum / self.steps)
        return np.float32(self.answer.predict_on_batch(self.every()[None, :, None, None])[0])

    def every(self):
        """Returns float32 (rows, C): every row in its order, if they are kept."""
        return np.concatenate(self.kept)


def repeated(frames, length, stride):
    """Returns so many frames of a short video, which is looped, each `stride`-th, as `data.load` takes such a video.

    Args:
        frames: (T, H, W, C), every frame of the video.
        length: how many frames to return.
        stride: frames from one to the next.
    """
    return frames[np.arange(length) * stride % len(frames)]


def say_looped(name, stream, frames, clip: ClipSpec, length):
    """Says in a line that a short video is looped.

    Args:
        name: the video's.
        stream: whose network takes more frames than the video has.
        frames: how many frames or fields there are for that stream, at the clip's rate.
        clip: the ClipSpec of the network.
        length: frames to which those that are seen are looped.
    """
    seen = "" if clip.frame_stride == 1 else f", {clip.seen(frames)} of them seen"
    notice(f"{name}: {counted(frames, f'{stream} frame')} at {clip.fps:g} fps{seen}, looped to {length}")


def too_short_for_flow(name):
    """Returns the VideoError of a video of one frame, between which and the next one there is no flow."""
    return VideoError(name, "flow needs at least 2 frames, and it has 1; use the rgb stream alone")


def score(model, family: Family, clip, chunk_frames=CHUNK_FRAMES, answer=None):
    """Averages a model's logits over a whole clip that is in memory, in chunks of bounded size.

    Args:
        model: (1, T, H, W, C) to rows of logits, as `Network.to_rows` gives it.
        family: of the network.
        clip: float32 (T, H, W, C), preprocessed. One of fewer frames than the network takes is looped.
        chunk_frames: frames that go through the model at once.
        answer: as for `Scorer`.

    Returns:
        float32 (classes,).
    """
    clip = np.resize(clip, (max(len(clip), family.min_frames), *clip.shape[1:]))
    rows = Rows(answer)
    for chunk in plan_chunks(len(clip), chunk_frames, family):
        rows.add(of_chunk(model, clip[chunk.start : chunk.stop], chunk))
    return rows.logits()


def rows(model, family: Family, clip, chunk_frames=CHUNK_FRAMES):
    """Returns all rows of logits of a whole clip, float32 (rows, classes), in their order; arguments as for `score`.

    Their mean is what `score` gives of the same clip; of a network whose answer is no mean there are none.
    """
    clip = np.resize(clip, (max(len(clip), family.min_frames), *clip.shape[1:]))
    parts = [of_chunk(model, clip[c.start : c.stop], c) for c in plan_chunks(len(clip), chunk_frames, family)]
    return np.float32(np.concatenate(parts))


def of_chunk(model, clip, chunk):
    """Returns float64 (rows, classes): the rows of logits that count of a preprocessed chunk."""
    rows = np.float64(model.predict_on_batch(clip[None])[0])
    rows = rows.mean(axis=tuple(range(1, rows.ndim - 1)))
    return rows[chunk.first_row : chunk.end_row]


Chunk = collections.namedtuple("Chunk", "start stop first_row end_row")


def check_length(chunk_frames, families, whose=""):
    """Raises ValueError for a chunk too short to hold one row that counts, whatever the video's length.

    Args:
        chunk_frames: the most frames of a chunk.
        families: it has to do for one of them.
        whose: words on what it is for.
    """
    least = min(map(least_frames, families))
    if chunk_frames < least:
        raise ValueError(f"chunk_frames must be at least {least}{whose}. Received: {chunk_frames}")


def least_frames(family: Family):
    """Returns the fewest frames of a chunk that holds a row that counts; its length may be cut by nearly a step."""
    return max(family.step * (2 * (family.halo or 0) + family.window + 1), family.min_frames + family.step - 1)


def plan_chunks(total, chunk_frames, family: Family):
    """Splits a video into chunks whose rows of logits, put together, are those of the single pass.

    Padding puts its phase at each stage of stride 2 by the parity of the length, in TensorFlow's SAME. So all chunks
    are as long as the video modulo the frames of a step, and start on a multiple of them. Rows nearer than the halo to
    a cut are left to the neighbour.

    Args:
        total: frames of the video.
        chunk_frames: the most frames a chunk may have.
        family: of the network.

    Returns:
        A list of Chunk: frames start to stop, of whose rows of logits first_row to end_row count.
    """
    if total <= chunk_frames:
        return [Chunk(0, total, 0, None)]
    if family.halo is None:
        raise ValueError(
            f"{family.name} looks at a clip as a whole, which takes at most chunk_frames={chunk_frames} frames. "
            f"Received: {total}. Raise chunk_frames if memory allows, or score views of the video."
        )
    length = chunk_frames - (chunk_frames - total) % family.step
    steps = family.steps(length)
    chunks, row = [], 0  # `row` of the whole video is the next one wanted; it averages `window` steps from there on
    while True:
        start = min(max(row - family.halo, 0) * family.step, total - length)
        first = row - start // family.step
        if start + length == total:
            return [*chunks, Chunk(start, total, first, None)]
        end = steps - family.window + 1 - family.halo
        chunks.append(Chunk(start, start + length, first, end))
        row += end - first


def plan_windows(total, window):
    """Cuts a video into clips of one length, which overlap by half; the last one ends with the video.

    Args:
        total: frames of the video.
        window: frames of a clip. A shorter video is one clip.

    Returns:
        A list of Chunk, as of `plan_chunks`: all rows of each clip count.
    """
    if total <= window:
        return [Chunk(0, total, 0, None)]
    starts = range(0, total - window, max(window // 2, 1))
    return [Chunk(start, start + window, 0, None) for start in (*starts, total - window)]


def centre_crop(frame, size=CROP):
    """Returns the central `size` x `size` of (H, W, C), or all there is of a shorter side."""
    top, left = (max(side - size, 0) // 2 for side in frame.shape[:2])
    return frame[top : top + size, left : left + size]
