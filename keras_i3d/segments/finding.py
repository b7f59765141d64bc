"""From labels along a video's time to segments: which label, from when to when, how probable."""

import contextlib
import dataclasses
import functools
import numbers
import os

import numpy as np

from keras_i3d import threshold_files, time_steps
from keras_i3d.charts import clock
from keras_i3d.errors import check_rules
from keras_i3d.inference.labels_in_time import BLOCK, LabelsInTime
from keras_i3d.plurals import counted
from keras_i3d.probabilities import sigmoid
from keras_i3d.video import damage

THRESHOLD = 0.3  # of a softmax
SMOOTH = 1.0  # seconds
SHORTEST = 0.5  # seconds
TINY = 1e-9  # seconds, of times that are no round numbers
LANES = 5  # labels that a picture shows


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a video with one label: `start` and `end` in seconds from its begin, `index` of the class.

    `score` is the mean probability of the label over the frames of the segment, in [0, 1].
    """

    label: str
    index: int
    score: float
    start: float
    end: float


@dataclasses.dataclass(frozen=True, eq=False)
class Timeline:
    """One video's labels along time, and the segments in them.

    Attributes:
        found: the LabelsInTime that it is made of, smoothed.
        segments: tuple of Segment, by their starts; of a sigmoid they may overlap.
        threshold: of a softmax a number, of a sigmoid one for each class.
        smooth, shortest: seconds, as `find` took them.
    """

    found: LabelsInTime
    segments: tuple
    threshold: float | tuple
    smooth: float
    shortest: float

    def __post_init__(self):
        rules = (
            ("smooth", self.smooth >= 0, "a number of seconds, at least 0"),
            ("shortest", self.shortest >= 0, "a number of seconds, at least 0"),
        )
        check_rules(self, rules)

    @property
    def video(self):
        return self.found.video

    @property
    def seconds(self):
        return self.found.seconds

    @functools.cached_property
    def peaks(self):
        """Float32 (classes,): the highest probability of each class at any row."""
        blocks = (self.found.times[at : at + BLOCK] for at in range(0, len(self.found.times), BLOCK))
        return np.max([self.found.probabilities(block).max(axis=0) for block in blocks], axis=0)

    def lanes(self, top=LANES):
        """Returns the indices of at most `top` classes worth a look, in the order in which they first come.

        Those with the longest segments, then those with the highest probability at any time.
        """
        if isinstance(top, bool) or not isinstance(top, numbers.Integral) or top < 1:
            raise ValueError(f"top must be a whole number, at least 1. Received: top={top!r}")
        lasted, begins = np.zeros(len(self.peaks)), np.full(len(self.peaks), np.inf)
        for segment in reversed(self.segments):
            lasted[segment.index] += segment.end - segment.start
            begins[segment.index] = segment.start
        chosen = np.lexsort((-self.peaks, -lasted))[:top]
        return [int(i) for i in chosen[np.lexsort((-self.peaks[chosen], begins[chosen]))]]

    def __str__(self):
        said = damage(self.found)
        streams = " + ".join(self.found.streams)
        count = counted(len(self.segments), "segment")
        caption = f"{self.video}: {clock(self.seconds, 1)} at {self.found.fps:g} fps{said and ', '}{said}; {streams}"
        lines = [
            f"  {clock(each.start, 1):>7} to {clock(each.end, 1):>7}  {each.score:.2f}  {each.label}"
            for each in self.segments
        ]
        return "\n".join([f"{caption}; {count}", *lines])


def find(found, threshold=None, smooth=SMOOTH, shortest=SHORTEST):
    """Finds the segments of a video.

    Logits are smoothed and interpolated to frames at the network's frame rate. Of a softmax, each frame has the label
    of the highest probability, if that is at least `threshold`; frames that follow each other with one label are a
    segment. Of a sigmoid, the frames in which a class has at least its threshold are its segments, whatever the other
    classes have. With smooth=0 and shortest=0 these are the times of `Classification.times`.

    Args:
        found: a LabelsInTime, as `Classifier.in_time` gives it.
        threshold: a probability in [0, 1]: of a softmax 0.3 by default. Of a sigmoid, a number for all classes, one for
            each, or the thresholds.json of `evaluate`; by default those of the Classifier, and 0.5 if it has none.
        smooth: seconds over which logits are averaged, as of `LabelsInTime.smoothed`.
        shortest: seconds; segments that are shorter are left out.

    Returns:
        A Timeline.

    Raises:
        ValueError: a setting out of its range.
    """
    threshold = checked(threshold, found)
    smoothed = Timeline(found.smoothed(smooth), (), threshold, smooth, shortest)
    of_kind = _exclusive if found.activation == "softmax" else _independent
    segments = [
        Segment(found.labels[index], index, score, start, end)
        for index, start, end, score in of_kind(smoothed.found, threshold)
        if end - start >= shortest - TINY
    ]
    return dataclasses.replace(smoothed, segments=tuple(sorted(segments, key=lambda each: (each.start, each.index))))


def checked(threshold, found):
    """Returns the threshold or thresholds that `find` takes of what a user gives.

    Args:
        threshold: as for `find`.
        found: what has `activation`, `labels` and `thresholds`, as a LabelsInTime and a Classifier.
    """
    if found.activation != "softmax":
        if threshold is None:
            return found.thresholds or (threshold_files.DEFAULT,) * len(found.labels)
        return threshold_files.given(threshold, found.labels)
    value = THRESHOLD if threshold is None else threshold
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool | os.PathLike) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(
            "threshold must be a probability in [0, 1] for a network that ends in a softmax, the same for all classes. "
            f"Received: threshold={threshold!r}"
        )
    return float(value)


def _exclusive(found, threshold):
    """Yields (class, start, end, score) of a softmax."""
    times, best, shares = found.frame_times, [], []
    for at in range(0, found.frames, BLOCK):
        each = found.probabilities(times[at : at + BLOCK])
        best.append(each.argmax(axis=1))
        shares.append(each.max(axis=1))
    best, shares = np.concatenate(best), np.concatenate(shares)
    label = np.where(shares >= threshold, best, -1)
    edges = np.flatnonzero(np.diff(label)) + 1
    for first, end in zip([0, *edges], [*edges, found.frames]):
        if label[first] >= 0:
            score = float(shares[first:end].mean(dtype=np.float64))
            yield int(label[first]), float(first / found.fps), float(end / found.fps), score


def _independent(found, thresholds):
    """Yields (class, start, end, score) of a sigmoid."""
    for index, least in enumerate(thresholds):  # one by one: all classes of an hour's frames take much memory
        shares = sigmoid(found.at(found.frame_times, [index])[:, 0])
        for start, end in time_steps.stretches(shares >= least, found.fps):
            first, last = round(start * found.fps), round(end * found.fps)
            yield index, start, end, float(shares[first:last].mean())
