"""Late fusion: the scores of several streams made one.

The sum of the logits is how the released weights are used (kinetics-i3d `evaluate_sample.py`; arXiv 1705.07750,
section 2.4). Of several labels a video, a sigmoid of the sum is above 0.5 where one of the mean of the logits is, and
further from it. The mean of the softmax and the linear SVM are the two fusions of the two-stream networks (Simonyan and
Zisserman, arXiv 1406.2199, section 2); one weight a stream is what TSN uses, there set by hand (arXiv 1608.00859).
"""

import dataclasses
import itertools

import numpy as np

from keras_i3d.average_precision import average_precision, mean
from keras_i3d.errors import missing_package
from keras_i3d.evaluation import metrics
from keras_i3d.probabilities import averaged, probabilities

FUSIONS = ("sum", "mean", "weights", "svm")
FITTED = ("weights", "svm")
GRID = 20  # steps from no weight to all of it


@dataclasses.dataclass(frozen=True)
class Fused:
    """The scores of several streams made one, or of one alone.

    Attributes:
        logits: float64 (N, classes).
        frames: of labels over time, float64 (N, 25, classes), as of `Scores`.
        peaks: of labels over time, float64 (N, classes): of the streams' maxima over time, which several streams need
            not reach in the same frame.
    """

    logits: np.ndarray
    frames: np.ndarray | None = None
    peaks: np.ndarray | None = None


def fuse(scores, method="sum", fit_on=None):
    """Fuses the streams of a Scores.

    Args:
        scores: a Scores with at least two streams.
        method: "sum" of the logits; "mean" of the probabilities, which are the softmax of the logits, or what the
            networks end in; "weights", the sum of the logits with a weight a stream; "svm", a linear SVM on the stacked
            probabilities, each stream's scaled to unit length.
        fit_on: for the last two, a Scores of another split: the weights are those of the highest top-1 on it (of
            several labels, of the highest mean average precision), then of the least cross-entropy, on a grid of
            twentieths; the SVM is scikit-learn's LinearSVC with C=1, and takes one label a video.

    Returns:
        (float64 (N, classes), text that says what was done). "sum" and "weights" give logits, "mean" logits of the
        averaged probabilities, "svm" distances, which are no probabilities.

    Raises:
        ValueError: an unknown method; one stream; a fit without `fit_on`, or on other streams or labels, or on videos
            that are evaluated.
        ImportError: scikit-learn is not installed; the message has the install line.
    """
    fused, said = fuse_all(scores, method, fit_on)
    return fused.logits, said


def fuse_all(scores, method="sum", fit_on=None):
    """Returns (a Fused, text that says what was done); arguments and errors are those of `fuse`."""
    check_fusion(scores.logits, method, fit_on)
    streams = list(scores.logits)
    if method in FITTED:
        _check_split(scores, fit_on)
    if method == "sum":
        return _each(scores, lambda parts: sum(map(np.float64, parts))), "sum of logits"
    if method == "mean":
        said = f"mean of {scores.activation}"
        return _each(scores, lambda parts: averaged(np.stack(parts), scores.activation)), said
    if method == "weights":
        weights = fit_weights(fit_on, streams)
        named = ", ".join(f"{stream} {weight:.2f}" for stream, weight in zip(streams, weights))
        said = f"weighted sum of logits ({named}; fitted on {fit_on.name})"
        return _each(scores, lambda parts: _weighted(parts, weights)), said
    if scores.labelling != "single":
        raise ValueError(f'fusion="svm" takes one label a video. Received: {scores.labelling} labels')
    return _svm(scores, fit_on, streams), f"linear SVM on stacked scores (fitted on {fit_on.name})"


def check_fusion(streams, method, fit_on):
    """Raises ValueError, or ImportError, for what cannot be fused in any case; before hours of scoring, say."""
    if method not in FUSIONS:
        raise ValueError(f"fusion must be one of {', '.join(FUSIONS)}. Received: {method!r}")
    if len(streams) < 2:
        raise ValueError(f"Fusion takes at least two streams. Received: {', '.join(streams) or 'none'}")
    if method in FITTED and fit_on is None:
        raise ValueError(
            f'fusion="{method}" is fitted on the scores of another split: evaluate that one first, and name its '
            "scores.npz (fit_on=, --fit_on=)."
        )
    if method not in FITTED and fit_on is not None:
        raise ValueError(f'fusion="{method}" has nothing to fit. Received: scores to fit it on')
    if fit_on is not None and (missing := [s for s in streams if s not in fit_on.logits]):
        raise ValueError(
            f"Fusion is fitted on the scores of the same streams. Received: {', '.join(fit_on.logits)}, without "
            f"{', '.join(missing)}"
        )
    if method == "svm":
        _linear_svc()


def fit_weights(scores, streams):
    """Returns a weight for each stream, summing up to their number, that serves a Scores best."""
    best, found = None, None
    for parts in _simplex(len(streams)):
        weights = [part * len(streams) / GRID for part in parts]
        fused = _weighted([scores.logits[stream] for stream in streams], weights)
        uneven = max(parts) - min(parts)  # of equals, the one nearest to a plain sum
        if scores.labelling == "single":
            worth = (metrics.top_k(fused, scores.y, 1), -round(cross_entropy(fused, scores.y), 9), -uneven)
        else:
            rank = np.nan_to_num(mean(average_precision(fused, scores.y)))
            worth = (round(rank, 12), -round(binary_cross_entropy(fused, scores.y), 9), -uneven)
        if best is None or worth > best:
            best, found = worth, weights
    return found


def cross_entropy(logits, y):
    """Returns the mean negative logarithm of the right class's probability."""
    shifted = np.float64(logits) - np.max(logits, axis=-1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]).mean())


def binary_cross_entropy(logits, y):
    """Returns the mean over videos and classes of the negative logarithm of what a sigmoid gives the right answer."""
    return float(np.logaddexp(0, np.where(y, -1, 1) * np.float64(logits)).mean())


def _each(scores, fusing):
    """Fuses the logits of several streams, and of labels over time those of moments and the maxima."""
    kinds = (scores.logits, scores.frames, scores.peaks) if scores.timed else (scores.logits,)
    return Fused(*(fusing(list(each.values())) for each in kinds))


def _weighted(parts, weights):
    return sum(weight * np.float64(part) for part, weight in zip(parts, weights))


def _simplex(count):
    """Yields every way to share GRID parts among `count`."""
    for cuts in itertools.combinations(range(GRID + count - 1), count - 1):
        edges = (-1, *cuts, GRID + count - 1)
        yield [after - before - 1 for before, after in itertools.pairwise(edges)]


def _svm(scores, fit_on, streams):
    classifier = _linear_svc()(C=1.0, random_state=0, max_iter=10_000)
    known = np.unique(fit_on.y)
    if len(known) < 2:
        raise ValueError(f"An SVM is fitted on at least two classes. Received: {len(known)} in {fit_on.name}")
    classifier.fit(_stacked(fit_on, streams), fit_on.y)
    distances = classifier.decision_function(_stacked(scores, streams))
    if len(known) == 2:  # scikit-learn gives one column then
        distances = np.stack([-distances, distances], axis=1)
    fused = np.full((len(scores.y), len(scores.labels)), distances.min() - 1.0)  # a class it never saw comes last
    fused[:, known] = distances
    return Fused(fused)


def _stacked(scores, streams):
    parts = [probabilities(scores.logits[stream], scores.activation) for stream in streams]
    return np.concatenate([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1)


def _linear_svc():
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise missing_package("sklearn", "'keras-i3d[svm]'", 'fusion="svm"') from error
    return LinearSVC


def _check_split(scores, fit_on):
    if fit_on.labels != scores.labels:
        raise ValueError(
            f"Fusion is fitted on a split with the same labels. Received: {len(scores.labels)} labels to evaluate, "
            f"{len(fit_on.labels)} others in {fit_on.name}"
        )
    if fit_on.protocol != scores.protocol:
        raise ValueError(
            f"Fusion is fitted on scores of the same protocol. Received: {scores.protocol} to evaluate, "
            f"{fit_on.protocol} in {fit_on.name}"
        )
    common = _same_videos(scores, fit_on)
    if common:
        raise ValueError(
            f"Fusion must not be fitted on videos that it is evaluated on. Received: {len(common)} of "
            f"{len(scores.ids)} videos are in both, first {common[0]}. Take the scores of a validation split."
        )


def _same_videos(scores, fit_on):
    """Ids that both have, and of two splits only those scored alike: folders of classes repeat names in each split."""
    places = {id: i for i, id in enumerate(fit_on.ids)}
    common = [(id, i, places[id]) for i, id in enumerate(scores.ids) if id in places]
    if scores.split == fit_on.split:
        return [id for id, *_ in common]
    streams = set(scores.logits) & set(fit_on.logits)
    return [
        id
        for id, i, j in common
        if all(np.allclose(scores.logits[s][i], fit_on.logits[s][j], rtol=1e-3, atol=1e-3) for s in streams)
    ]
