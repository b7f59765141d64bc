"""Logits along a video's time: rows of each stream, where they stand, and what they amount to at any moment."""

import dataclasses
import functools

import numpy as np

from keras_i3d.probabilities import probabilities
from keras_i3d.specs import ClipSpec
from keras_i3d.time_steps import interpolated

BLOCK = 2048  # moments whose logits of all classes are in memory at once


@dataclasses.dataclass(frozen=True, eq=False)
class StreamInTime:
    """Rows of logits of one stream.

    Attributes:
        times: float64 (rows,), increasing: the middle of what each row is made of, in seconds from the video's begin.
        logits: float32 (rows, classes).
    """

    times: np.ndarray
    logits: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class LabelsInTime:
    """What a Classifier finds along the time of one video.

    A row of logits is made of some steps of the network, of I3D 16 frames, and sees more than those, of I3D 107 frames.
    Between two rows logits are interpolated linearly, and before the first and after the last they are held, as in
    training on labels over time.

    Attributes:
        video: its name.
        streams: {stream: StreamInTime}. The mean of a stream's rows is what `classify` gives of it, unless the rows are
            those of windows.
        labels: class names.
        activation: name of what makes probabilities of the summed logits.
        frames: frames at `fps`.
        fps: frames per second that the video was read at.
        clip: the ClipSpec by which the video was read.
        flow_method: how flow was computed; None if it was not.
        thresholds: of a sigmoid, from which probability on each class counts as there; else None.
        windows: {stream: frames} of the clips that the video was cut into, for a network that sees a clip as a whole
            and does not take the video at once, or whose answer is no mean; without an entry, rows are those of the
            network over the whole video.
        damaged, cut_short, looped: as of `Classification`.
    """

    video: str
    streams: dict
    labels: list
    activation: str
    frames: int
    fps: float
    clip: ClipSpec
    flow_method: str | None = None
    thresholds: tuple | None = None
    windows: dict = dataclasses.field(default_factory=dict)
    damaged: int = 0
    cut_short: bool = False
    looped: int | None = None

    @property
    def seconds(self):
        """How long the video is."""
        return self.frames / self.fps

    @property
    def times(self):
        """Float64 (N,): the times of the rows, of several streams those of the one that has the most."""
        return max((rows.times for rows in self.streams.values()), key=len)

    @functools.cached_property
    def logits(self):
        """Float32 (N, classes): the logits at `times`, summed over the streams."""
        if len(self.streams) == 1:
            return next(iter(self.streams.values())).logits
        blocks = (self.times[at : at + BLOCK] for at in range(0, len(self.times), BLOCK))
        return np.concatenate([np.float32(self.at(block)) for block in blocks])

    @property
    def frame_times(self):
        """Float64 (frames,): the middle of each frame at `fps`, in seconds."""
        return (np.arange(self.frames) + 0.5) / self.fps

    def at(self, times, classes=slice(None)):
        """Returns logits at any moments, summed over the streams: float64 (N, classes).

        Args:
            times: float (N,), seconds from the video's begin.
            classes: a slice or a list of class indices; by default all. Memory grows with both.
        """
        return sum(interpolated(rows.logits[:, classes], rows.times, times) for rows in self.streams.values())

    def probabilities(self, times, classes=None):
        """Returns probabilities at any moments: float32 (N, classes), in [0, 1]; of `classes`, a list, alone."""
        found = []
        for at in range(0, len(times), BLOCK):  # a softmax needs the logits of all classes
            shares = probabilities(self.at(times[at : at + BLOCK]), self.activation)
            found.append(np.float32(shares if classes is None else shares[:, classes]))
        return np.concatenate(found)

    def smoothed(self, seconds):
        """Returns the same with each row's logits the mean over the rows that are at most half of `seconds` away.

        That is what the network, whose answer is the mean over time, says of a clip of that length. Near the ends of
        the video the clip is shorter. 0 changes nothing.
        """
        if not seconds >= 0:
            raise ValueError(f"smooth must be a number of seconds, at least 0. Received: smooth={seconds}")
        streams = {name: StreamInTime(rows.times, _means(rows, seconds / 2)) for name, rows in self.streams.items()}
        return dataclasses.replace(self, streams=streams) if seconds else self


def _means(rows, reach):
    """float32 (rows, classes): the mean of the logits of all rows that are within `reach` seconds of each."""
    slack = 1e-9  # of times that are no round numbers
    first = np.searchsorted(rows.times, rows.times - reach - slack)
    end = np.searchsorted(rows.times, rows.times + reach + slack)
    means = np.empty_like(rows.logits)
    for label in range(rows.logits.shape[1]):  # one by one: sums over an hour of all classes take much memory
        sums = np.concatenate([[0.0], np.cumsum(rows.logits[:, label], dtype=np.float64)])
        means[:, label] = (sums[end] - sums[first]) / (end - first)
    return means
