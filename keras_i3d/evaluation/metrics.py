"""What scores are worth: top-k, mean class accuracy, the confusions."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metrics:
    """How well scores name the class of each video.

    Attributes:
        top1, top5: the share of videos whose class has the highest score, one of the five highest.
        mean_class: top-1 of each class, averaged over the classes that occur: every class counts the same.
        videos, classes: how many videos; how many classes occur among them.
    """

    top1: float
    top5: float
    mean_class: float
    videos: int
    classes: int

    @property
    def columns(self):
        """{attribute: what it is called} of what is shown first, and first of all."""
        return {"top1": "top-1", "top5": "top-5", "mean_class": "mean class"}


def measure(scores, y):
    """Measures scores.

    Args:
        scores: float (N, classes); higher is more probable. Of equal ones the lower index comes first.
        y: int (N,), the class of each video.

    Returns:
        Metrics.

    Raises:
        ValueError: no videos, shapes that do not fit, classes out of range, or scores that are not numbers.
    """
    scores, y = check(scores, y)
    recalls = class_accuracy(scores, y)
    occurring = ~np.isnan(recalls)
    return Metrics(
        top1=top_k(scores, y, 1),
        top5=top_k(scores, y, 5),
        mean_class=float(recalls[occurring].mean()),
        videos=len(y),
        classes=int(occurring.sum()),
    )


def chance(classes):
    """Returns the Metrics to expect of guessing among so many classes."""
    return Metrics(1 / classes, min(5 / classes, 1.0), 1 / classes, 0, classes)


FEW = 5  # videos of a class, below which accuracies are shown with an interval
DEVIATIONS = 1.959964  # of a normal distribution, that hold 95 % of it


def interval(share, count):
    """Returns (low, high): where the true share lies, with 95 % certainty, of which one of `count` videos was found.

    Wilson's score interval (JASA 22, 1927), which holds for few videos, and for shares of 0 and 1, too.
    """
    square = DEVIATIONS**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = DEVIATIONS * np.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


def top_k(scores, y, k):
    """Returns the share of videos whose class is among the k highest scores; of equal ones the lower index is."""
    scores, y = check(scores, y)
    return float((rank(scores, y) < k).mean())


def rank(scores, y):
    """Returns int (N,): how many classes come before the right one; 0 if it comes first."""
    own = scores[np.arange(len(y)), y][:, None]
    before = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < y[:, None]))
    return before.sum(axis=1)


def class_accuracy(scores, y):
    """Returns float (classes,): top-1 of the videos of each class; NaN for a class without videos."""
    matrix = confusion(scores, y)
    videos = matrix.sum(axis=1)
    return np.divide(np.diag(matrix), videos, out=np.full(len(matrix), np.nan), where=videos > 0)


def confusion(scores, y):
    """Returns int (classes, classes): how many videos of the class of the row were named as the column says."""
    scores, y = check(scores, y)
    classes = scores.shape[1]
    return np.bincount(y * classes + scores.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def worst_confusions(matrix, count=20):
    """Returns the most frequent errors, [(class, named as, videos, share of the class)], most videos first."""
    errors = matrix - np.diag(np.diag(matrix))
    videos = matrix.sum(axis=1)
    order = np.argsort(-errors, axis=None, kind="stable")[:count]
    pairs = (np.unravel_index(i, matrix.shape) for i in order)
    return [(int(i), int(j), int(errors[i, j]), float(errors[i, j] / videos[i])) for i, j in pairs if errors[i, j]]


def check(scores, y):
    """Returns both as arrays, or raises what is wrong with them."""
    scores, y = np.asarray(scores), np.asarray(y)
    if scores.ndim != 2 or y.shape != scores.shape[:1] or not scores.size:
        raise ValueError(
            "Scores are (videos, classes), with one class index a video, at least one of each. "
            f"Received: scores of shape {scores.shape}, indices of shape {y.shape}"
        )
    if y.dtype.kind not in "ui" or y.min() < 0 or y.max() >= scores.shape[1]:
        raise ValueError(f"Class indices are whole numbers in 0..{scores.shape[1] - 1}. Received: {np.unique(y)[:5]}")
    if not np.isfinite(scores).all():
        raise ValueError(f"Scores must be finite. Received: {int((~np.isfinite(scores)).sum())} that are not")
    return scores, y
