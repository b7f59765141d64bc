"""What scores of several labels a video are worth: average precision, F1 at thresholds, the thresholds of most F1."""

import dataclasses

import numpy as np

from keras_i3d.average_precision import average_precision, check, mean
from keras_i3d.threshold_files import DEFAULT


@dataclasses.dataclass(frozen=True)
class LabelMetrics:
    """How well scores say which labels each video has.

    Attributes:
        mean_ap, weighted_ap: mean of the classes' average precisions, of those that occur: each counting the same, and
            each by its videos. The second is "WAP" of Charades' evaluation code.
        micro_f1: F1 of all decisions on all classes together.
        macro_f1: mean of the classes' F1, of those that occur.
        videos, classes: how many videos; how many classes occur among them.
        frame_ap, frame_weighted_ap: of labels over time, the same means over 25 moments of each video; None if none of
            them has a label.
        peak_ap: of labels over time, `mean_ap` of each video's maximum over time.
    """

    mean_ap: float
    weighted_ap: float
    micro_f1: float | None
    macro_f1: float | None
    videos: int
    classes: int
    frame_ap: float | None = None
    frame_weighted_ap: float | None = None
    peak_ap: float | None = None

    @property
    def columns(self):
        """{attribute: what it is called} of what is shown first, and first of all."""
        timed = {"frame_ap": "mAP per frame", "frame_weighted_ap": "weighted", "peak_ap": "mAP of maximum"}
        each = {"mean_ap": "mAP", "weighted_ap": "weighted mAP", "micro_f1": "micro F1", "macro_f1": "macro F1"}
        return each if self.peak_ap is None else {**timed, **each}


def measure(scores, y, probabilities, thresholds, frames=None, y_frames=None, peaks=None):
    """Measures scores.

    Args:
        scores: float (N, classes); higher is more probable.
        y: bool (N, classes), the labels of each video.
        probabilities: float (N, classes), of the same; None where there are none, and so no F1.
        thresholds: float (classes,), see `decided`.
        frames, y_frames: of labels over time, scores and labels of moments, (N, moments, classes).
        peaks: of labels over time, float (N, classes), the maximum over time.

    Returns:
        LabelMetrics.

    Raises:
        ValueError: see `average_precision`.
    """
    scores, y = check(scores, y)
    positives, each = y.sum(axis=0), average_precision(scores, y)
    found = LabelMetrics(
        mean_ap=mean(each),
        weighted_ap=mean(each, positives),
        micro_f1=None,
        macro_f1=None,
        videos=len(y),
        classes=int((positives > 0).sum()),
    )
    if probabilities is not None:
        by_class = f1(probabilities, y, thresholds)
        occurring = by_class[positives > 0]
        micro = _f1(*_counts(decided(probabilities, thresholds), y).sum(axis=1))
        macro = float(occurring.mean()) if len(occurring) else float("nan")
        found = dataclasses.replace(found, micro_f1=float(micro), macro_f1=macro)
    if frames is None:
        return found
    flat, y_flat = (np.reshape(part, (-1, y.shape[1])) for part in (frames, y_frames))
    each = average_precision(flat, y_flat)
    return dataclasses.replace(
        found,
        frame_ap=_if_any(mean(each)),
        frame_weighted_ap=_if_any(mean(each, y_flat.sum(axis=0))),
        peak_ap=mean(average_precision(peaks, y)),
    )


def chance(y, y_frames=None):
    """Returns the LabelMetrics to expect of scores in any order: AP is then the share of the videos with the label.

    Args:
        y, y_frames: as for `measure`.
    """
    each, positives = _shares(y), y.sum(axis=0)
    found = LabelMetrics(mean(each), mean(each, positives), None, None, len(y), int((positives > 0).sum()))
    if y_frames is None:
        return found
    flat = y_frames.reshape(-1, y.shape[1])
    of_frames = _shares(flat)
    weighted = _if_any(mean(of_frames, flat.sum(axis=0)))
    return dataclasses.replace(
        found, frame_ap=_if_any(mean(of_frames)), frame_weighted_ap=weighted, peak_ap=found.mean_ap
    )


def _if_any(value):
    return None if np.isnan(value) else value


def _shares(y):
    shares = y.mean(axis=0)
    return np.where(shares > 0, shares, np.nan)


def decided(probabilities, thresholds):
    """Returns bool (N, classes): whether each probability is at least the threshold of its class."""
    return np.asarray(probabilities) >= np.asarray(thresholds)


def f1(probabilities, y, thresholds):
    """Returns float64 (classes,): F1 of each class, 2 TP / (2 TP + FP + FN); 0 for one neither there nor said."""
    return _f1(*_counts(decided(probabilities, thresholds), y))


def choose_thresholds(probabilities, y):
    """Chooses the threshold of each class that has the highest F1, halfway between two probabilities.

    Of equal ones the nearest to 0.5 is taken; the lowest possible is halfway between 0 and the lowest probability. The
    same probabilities give this F1 again; other videos give a lower one, so choose on a validation split.

    Args:
        probabilities: float (N, classes).
        y: bool (N, classes).

    Returns:
        float64 (classes,), in [0, 1]; 0.5 for a class that no video has.
    """
    probabilities, y = check(np.float64(probabilities), y)
    found = np.full(probabilities.shape[1], DEFAULT)
    for label in np.flatnonzero(y.any(axis=0)):
        found[label] = _best_threshold(probabilities[:, label], y[:, label])
    return found


def _best_threshold(probabilities, y):
    order = np.argsort(-probabilities, kind="stable")
    values = probabilities[order]
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)  # the last place of each value
    right = np.cumsum(y[order])[ends]
    worth = _f1(right, ends + 1 - right, y.sum() - right)
    own, below = values[ends], np.append(values[ends[:-1] + 1], 0.0)
    halfway = (own + below) / 2
    halfway = np.where(halfway > below, halfway, own)  # of neighbours among floats, halfway is one of them
    best = np.flatnonzero(np.isclose(worth, worth.max(), rtol=1e-12))
    return halfway[best[np.argmin(np.abs(halfway[best] - DEFAULT))]]


def _counts(said, y):
    """Returns int (3, classes): how often a class was said rightly, wrongly, and not said."""
    return np.stack([(said & y).sum(axis=0), (said & ~y).sum(axis=0), (~said & y).sum(axis=0)])


def _f1(right, wrong, missed):
    total = 2 * right + wrong + missed
    return np.divide(2 * right, total, out=np.zeros(np.shape(total)), where=total > 0)
