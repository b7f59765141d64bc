"""How well scores rank the videos, or the frames, that have each of several labels: average precision.

For each score s of a class, precision is the share with the label of all that score at least s, and recall the share of
those with the label that score at least s. Average precision is the sum over the scores, highest first, of precision
times the step of recall. This is scikit-learn's `average_precision_score`. Equal scores count together, so that the
order of the videos never matters. Without equal scores it is the mean of precision at each video with the label, which
is what the evaluation code of Charades (Charades_v1_classify.m, Charades_v1_localize.m) computes. That code takes equal
scores in the order of its file. PASCAL VOC differs: it first raises precision to the highest at any larger recall.
"""

import numpy as np


def average_precision(scores, y):
    """Returns the average precision of each class.

    Args:
        scores: float (N, classes); higher is more probable. Logits and probabilities give the same, and values of
            -inf are ranked last.
        y: (N, classes) of 0 and 1, or bool: whether the video, or the frame, has the label.

    Returns:
        float64 (classes,), in (0, 1]; NaN for a class that nothing has.

    Raises:
        ValueError: shapes that do not fit, values of y that are neither 0 nor 1, or scores that are NaN.
    """
    scores, y = check(scores, y)
    found = np.full(scores.shape[1], np.nan)
    for label in np.flatnonzero(y.any(axis=0)):
        found[label] = _of_class(scores[:, label], y[:, label])
    return found


def mean(found, positives=None):
    """Returns the mean of average precisions over the classes that something has; NaN if there is none.

    Args:
        found: float (classes,), as `average_precision` gives it.
        positives: int (classes,), how many videos or frames have each label: the mean is weighted by them then, as the
            evaluation code of Charades does for its "WAP".
    """
    found = np.asarray(found)
    known = ~np.isnan(found)
    if not known.any():
        return float("nan")
    return float(np.average(found[known], weights=None if positives is None else np.asarray(positives)[known]))


def check(scores, y):
    """Returns both as arrays, y as bool, or raises what is wrong with them."""
    scores, y = np.asarray(scores), np.asarray(y)
    if scores.ndim != 2 or y.shape != scores.shape or not scores.size:
        raise ValueError(
            "Scores and labels are (videos, classes), at least one of each. "
            f"Received: scores of shape {scores.shape}, labels of shape {y.shape}"
        )
    if y.dtype != bool and not np.isin(y, (0, 1)).all():
        raise ValueError(f"Labels are 0 or 1 for each class. Received: {np.setdiff1d(y, (0, 1))[:5]}")
    if np.isnan(scores).any():
        raise ValueError(f"Scores must be numbers. Received: {int(np.isnan(scores).sum())} that are not")
    return scores, y.astype(bool)


def _of_class(scores, y):
    order = np.argsort(-scores, kind="stable")
    scores, y = scores[order], y[order]
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)  # the last place of each score
    right = np.cumsum(y)[ends]
    precision, recall = right / (ends + 1), right / right[-1]
    return np.sum(precision * np.diff(recall, prepend=0))
