"""How well segments are found: mean average precision over temporal overlap, by ActivityNet's protocol.

The overlap of a segment that was found and one that is true is the length of their intersection over that of their
union, tIoU. Class by class, over all videos, the found segments are taken from the highest score to the lowest. Each is
right if a true one of its class and video that none before it has taken overlaps by at least the threshold; it takes
the one that overlaps most. Precision is raised to the highest at any larger recall, as in PASCAL VOC since 2010, and
average precision is the sum over the steps of recall. The mean over the classes is that of one threshold, and the mean
over the thresholds 0.5, 0.55 to 0.95 is the number by which ActivityNet ranks (its code: Evaluation/eval_detection.py).

Of equal scores the one that is later in the file comes first; its sort, which it then reverses, leaves their order
open. A found segment and a true one of no length do not overlap here; there, 0 / 0 counts as right. In all else both
were found to be equal.
"""

import collections
import dataclasses
import json
import math
import numbers
import os

import numpy as np

from keras_i3d import paths
from keras_i3d.errors import EvaluationError, notice
from keras_i3d.plurals import counted

OVERLAPS = tuple(float(each) for each in np.linspace(0.5, 0.95, 10))  # as ActivityNet's code makes them
SHOWN = 5  # names that a message has


@dataclasses.dataclass(frozen=True)
class TemporalMAP:
    """What `temporal_map` measured.

    Attributes:
        overlaps: the thresholds of tIoU.
        per_class: {label: (average precision at each threshold, ...)}, of all labels that are true of some segment.
        truths: {label: how many segments are true}.
        found: how many segments of these labels were found.
        videos: how many videos the truth has, with or without segments.
        subset: of the truth.
    """

    overlaps: tuple
    per_class: dict
    truths: dict
    found: int
    videos: int
    subset: str | None = None

    @property
    def by_overlap(self):
        """{threshold: mean average precision over the classes}."""
        means = np.mean(list(self.per_class.values()), axis=0)
        return dict(zip(self.overlaps, map(float, means)))

    @property
    def average(self):
        """The mean over the thresholds."""
        return float(np.mean(list(self.by_overlap.values())))

    def __str__(self):
        subset = f" of {self.subset}" if self.subset else ""
        lines = [
            f"temporal mAP, ActivityNet's protocol: {counted(self.found, 'segment')} found, "
            f"{sum(self.truths.values()):,} true, {counted(len(self.truths), 'class', 'classes')}, "
            f"{counted(self.videos, 'video')}{subset}",
            *(f"  tIoU {overlap:4.2f}  {100 * value:6.2f} %" for overlap, value in self.by_overlap.items()),
            f"  average    {100 * self.average:6.2f} %",
        ]
        return "\n".join(lines)

    def record(self):
        """Returns plain numbers, strings and lists, as for JSON."""
        return {
            "protocol": "ActivityNet, temporal detection",
            "subset": self.subset,
            "videos": self.videos,
            "found": self.found,
            "average": self.average,
            "overlaps": [round(each, 6) for each in self.overlaps],
            "map": list(self.by_overlap.values()),
            "classes": {
                label: {"segments": self.truths[label], "ap": list(each)} for label, each in self.per_class.items()
            },
        }


def temporal_map(truth, found, subset=None, overlaps=OVERLAPS):
    """Measures found segments by ActivityNet's protocol, as the module says.

    What is found in videos that the truth does not have counts as wrong, as in ActivityNet's code, and a line says how
    many those are. Labels that are true of no segment have no average precision: what is found of them is left out, and
    a line says so. A class of which nothing is found has 0.

    Args:
        truth: the path of a JSON of ActivityNet's annotations, {"database": {video ID: {"subset": "validation",
            "annotations": [{"label": "...", "segment": [start, end]}, ...]}}}, or its content.
        found: the path of a JSON of its detections, {"results": {video ID: [{"label": "...", "score": 0.5,
            "segment": [start, end]}, ...]}}, as `keras-i3d segments` writes it, or its content. Times are in seconds.
        subset: of the truth; None for all videos, which must be of one subset or say none.
        overlaps: thresholds of tIoU, in (0, 1].

    Returns:
        A TemporalMAP.

    Raises:
        keras_i3d.EvaluationError: files that are not there, or of another form; no true segment; several subsets where
            none is chosen.
        ValueError: thresholds out of their range.
    """
    overlaps = tuple(map(float, overlaps))
    if not overlaps or not all(0 < each <= 1 for each in overlaps):
        raise ValueError(f"overlaps must be numbers above 0, at most 1. Received: {overlaps}")
    true, videos, subset = _truths(truth, subset)
    by_label, left = collections.defaultdict(list), collections.Counter()
    strangers = set()
    for video, label, span, score in _found(found):
        if label not in true:
            left[label] += 1
            continue
        by_label[label].append((score, video, span))
        if video not in videos:
            strangers.add(video)
    if left:
        segments = counted(sum(left.values()), "segment is", "segments are")
        labels = counted(len(left), "label")
        notice(f"{segments} of {labels} that no true segment has, and left out: {_some(left)}")
    if strangers:
        notice(
            f"{counted(len(strangers), 'video is', 'videos are')} not in the truth{f' of {subset}' if subset else ''}, "
            f"and what is found there counts as wrong: {_some(sorted(strangers))}"
        )
    return TemporalMAP(
        overlaps=overlaps,
        per_class={label: _precisions(spans, by_label[label], overlaps) for label, spans in true.items()},
        truths={label: sum(map(len, spans.values())) for label, spans in true.items()},
        found=sum(map(len, by_label.values())),
        videos=len(videos),
        subset=subset,
    )


def _precisions(true, found, overlaps):
    """Returns the average precision of one class at each threshold.

    Args:
        true: {video: float64 (N, 2)}.
        found: [(score, video, (start, end))].
        overlaps: thresholds.
    """
    if not found:
        return (0.0,) * len(overlaps)
    order = np.argsort([score for score, *_ in found], kind="stable")[::-1]
    least = np.array(overlaps)[:, None]
    taken = {video: np.zeros((len(overlaps), len(spans)), bool) for video, spans in true.items()}
    right = np.zeros((len(overlaps), len(found)), bool)
    for place, index in enumerate(order):
        _, video, span = found[index]
        if video not in true:
            continue
        shared = np.where(taken[video], -1, overlap(span, true[video]))
        best = shared.shape[1] - 1 - np.argmax(shared[:, ::-1], axis=1)  # of equal ones the last
        hits = shared[np.arange(len(overlaps)), best] >= least[:, 0]
        right[:, place] = hits
        taken[video][hits, best[hits]] = True
    return tuple(_interpolated(each, sum(map(len, true.values()))) for each in right)


def overlap(span, spans):
    """Returns the tIoU of a segment with each of others: float64 (N,), in [0, 1].

    Args:
        span: (start, end) in seconds.
        spans: float (N, 2).
    """
    spans = np.asarray(spans, np.float64)
    both = np.clip(np.minimum(span[1], spans[:, 1]) - np.maximum(span[0], spans[:, 0]), 0, None)
    union = (span[1] - span[0]) + (spans[:, 1] - spans[:, 0]) - both
    return np.divide(both, union, out=np.zeros(len(spans)), where=union > 0)


def _interpolated(right, total):
    """The average precision of answers, bool (N,), the best first, where `total` would be right."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest[right].sum() / total)


def _truths(truth, subset):
    """Returns ({label: {video: float64 (N, 2)}}, videos, the subset)."""
    what = 'The truth is ActivityNet\'s form of annotations, {"database": {video: {"subset": ..., "annotations": ...}}}'
    database = _content(truth, what, "database")
    subsets = {}
    for video, entry in database.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("annotations", []), list):
            raise EvaluationError(f"{what}. Received: {entry!r:.80} for {video}")
        subsets.setdefault(entry.get("subset"), []).append(video)
    if subset is None and len(subsets) > 1:
        raise EvaluationError(
            f"Segments are measured on one subset. Received: a truth with {', '.join(map(str, subsets))}. Choose one: "
            "subset=."
        )
    subset = next(iter(subsets), None) if subset is None else subset
    if database and subset not in subsets:
        raise EvaluationError(f"The truth has no such subset. Received: subset={subset!r}; it has {_some(subsets)}")
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for video in subsets.get(subset, []):
        for entry in database[video].get("annotations", []):
            label, span = _segment(entry, video, what)
            found[label][video].append(span)
    if not found:
        raise EvaluationError(f"The truth has no segment{f' in {subset}' if subset else ''}: nothing can be measured.")
    true = {label: {video: np.array(spans) for video, spans in each.items()} for label, each in found.items()}
    return true, set(subsets.get(subset, [])), subset


def _found(found):
    """Yields (video, label, (start, end), score)."""
    what = 'What was found is ActivityNet\'s form of detections, {"results": {video: [{"label", "score", "segment"}]}}'
    for video, entries in _content(found, what, "results").items():
        if not isinstance(entries, list):
            raise EvaluationError(f"{what}. Received: {entries!r:.80} for {video}")
        for entry in entries:
            label, span = _segment(entry, video, what)
            score = entry.get("score")
            if not _is_number(score):
                raise EvaluationError(f"A score is a finite number. Received: {score!r} of {label} in {video}")
            yield video, label, span, float(score)


def _segment(entry, video, what):
    """Returns (label, (start, end)) of an entry of either form."""
    span = entry.get("segment") if isinstance(entry, dict) else None
    if not isinstance(span, list | tuple) or len(span) != 2 or not all(map(_is_number, span)) or "label" not in entry:
        raise EvaluationError(f"{what}, a segment being [start, end] in seconds. Received: {entry!r:.80} in {video}")
    return str(entry["label"]), (float(span[0]), float(span[1]))


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _content(given, what, key):
    """Returns the dictionary under `key` of a JSON file, or of its content."""
    name = "its content"
    if isinstance(given, str | os.PathLike):
        name = paths.expand(given)
        try:
            with open(name, encoding="utf-8") as file:
                given = json.load(file)
        except FileNotFoundError:
            raise EvaluationError(f"{what}. Received: {name}, no file") from None
        except ValueError as error:
            raise EvaluationError(f"{what}. Received: {name}, which is no JSON: {error}") from error
    if not isinstance(given, dict) or not isinstance(given.get(key), dict):
        raise EvaluationError(f"{what}. Received: {name}, which has no {key!r}")
    return given[key]


def _some(names):
    names = list(map(str, names))
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
