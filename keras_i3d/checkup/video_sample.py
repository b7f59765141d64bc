"""A video as the checks see it: what its file says of every frame, and a sample of the frames as networks get them."""

import dataclasses

import numpy as np

from keras_i3d.flow import compute
from keras_i3d.specs import FLOW_BOUND, FPS, SHORT_SIDE
from keras_i3d.video import Reader
from keras_i3d.video.decoding import Decoder, Header
from keras_i3d.video.pixels import orientation
from keras_i3d.video.timestamps import growing

SECONDS = 60  # of a video whose frames are decoded for what their file says
SAMPLED = 20  # seconds from whose frames pixels and motion are taken
# Frames from a sampled one to the next; each with the one after it makes a pair for motion. Not the frames of a second,
# after which test patterns look the same again.
EVERY = 23
PAIRS = 8
FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG


@dataclasses.dataclass(frozen=True)
class VideoSample:
    """What was seen of a video.

    Attributes:
        path: of the file.
        header: what its container says.
        times: seconds of the stored frames that were decoded, at most `SECONDS` of them.
        whole: whether these are all.
        interlaced: share of these that are interlaced.
        matrix: FFmpeg's number of the colour matrix of the first frame.
        full_range: whether its values are tagged as of the full range.
        is_rgb: whether it is stored as RGB, or grey, and so has no matrix.
        turned: whether the file notes that it is shown turned or mirrored.
        aspect: width over height of a stored pixel.
        size: (height, width) of a stored frame, not turned.
        damaged: packets that could not be decoded.
        cut_short: whether the file lacks a part.
        read: frames that `video.Reader` gives of the first `SAMPLED` seconds.
        frames: uint8 (N, H, W, 3), sampled from these.
        changes: mean level by which each sampled frame differs from the first.
        flow: float32 (pairs, H, W, 2), pixels per frame at the short side that was asked for; None without two frames.
    """

    path: str
    header: Header
    times: tuple
    whole: bool
    interlaced: float
    matrix: int
    full_range: bool
    is_rgb: bool
    turned: bool
    aspect: float
    size: tuple
    damaged: int
    cut_short: bool
    read: int
    frames: np.ndarray
    changes: np.ndarray
    flow: np.ndarray | None

    @property
    def fps(self):
        """Frames per second, of the times of the frames; None of fewer than two."""
        if len(self.times) < 2:
            return None
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])

    @property
    def gaps(self):
        """Seconds between stored frames."""
        return np.diff(self.times)

    @property
    def seconds(self):
        """How long it lasts: known of a video that was seen whole, and otherwise what its container says."""
        if not self.whole and self.header.frames and self.header.fps:
            return self.header.frames / self.header.fps
        return self.times[-1] - self.times[0] + 1 / (self.fps or FPS)


def take(path, short_side=SHORT_SIDE):
    """Looks at a video.

    Args:
        path: of a file.
        short_side: pixels that frames are scaled to, for pixels and motion.

    Returns:
        A VideoSample.

    Raises:
        VideoError: it cannot be read.
    """
    decoder = Decoder(path, str(path))
    header = decoder.header()
    times, interlaced, first, whole = [], 0, None, True
    for time, _, frame in growing(decoder.frames()):
        if times and time - times[0] > SECONDS:
            whole = False
            break
        times.append(time)
        interlaced += bool(frame.interlaced_frame)
        if first is None:
            grey_or_rgb = frame.format.is_rgb or len(frame.format.components) < 3
            noted = orientation(frame) != (False, 1, 1)
            first = (int(frame.colorspace), int(frame.color_range), grey_or_rgb, noted, (frame.height, frame.width))
    matrix, range_, is_rgb, turned, size = first
    read, frames, pairs = _sampled(path, short_side)
    return VideoSample(
        path=str(path),
        header=header,
        times=tuple(map(float, times)),
        whole=whole,
        interlaced=interlaced / len(times),
        matrix=matrix,
        full_range=range_ == FULL_RANGE,
        is_rgb=is_rgb,
        turned=turned,
        aspect=float(decoder.aspect),
        size=size,
        damaged=decoder.damaged,
        cut_short=decoder.ends_early(),
        read=read,
        frames=frames,
        changes=np.array([_apart(frame, frames[0]) for frame in frames]),
        flow=np.concatenate([compute(pair) for pair in pairs]) if pairs else None,
    )


def _apart(a, b):
    return float(np.abs(a.astype("int16") - b).mean())


def _sampled(path, short_side):
    """Returns (frames read, sampled frames, pairs of neighbours that differ), of the first seconds."""
    frames, pairs, previous, count = [], [], None, 0
    waiting = False  # for a frame that differs: of a video of few frames a second most are repeated
    for frame in Reader(path, short_side=short_side, end=SAMPLED):
        if count % EVERY == 0:
            frames.append(frame.copy())
            waiting = True
        elif waiting and len(pairs) < PAIRS and (frame != previous).any():
            pairs.append(np.stack([previous, frame]))
            waiting = False
        previous, count = frame, count + 1
    if count > 1 and len(frames) == 1:
        frames.append(previous.copy())
    return count, np.stack(frames), pairs


def clipped(flow, bound=FLOW_BOUND):
    """Returns (mean length of motion in pixels per frame, share of values beyond a bound)."""
    return float(np.linalg.norm(flow, axis=-1).mean()), float((np.abs(flow) > bound).mean())
