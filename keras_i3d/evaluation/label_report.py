"""What a report shows of several labels a video: each class, and videos whose labels were found, or missed the most."""

import csv
import dataclasses
import io

import numpy as np

from keras_i3d.average_precision import average_precision
from keras_i3d.evaluation import label_metrics
from keras_i3d.probabilities import probabilities


@dataclasses.dataclass(frozen=True)
class LabelRow:
    """One class.

    Attributes:
        index, label: its place and name.
        videos: how many have it.
        precisions: {name in an Evaluation's metrics: its average precision}, NaN without videos.
        frames: {name: its average precision per frame}, of labels over time; {} of all others.
        threshold, f1: of the fusion, or of the only stream.
    """

    index: int
    label: str
    videos: int
    precisions: dict
    frames: dict
    threshold: float
    f1: float


def rows(evaluation):
    """Returns a LabelRow for each class, in the order of the labels."""
    scores, final = evaluation.scores, list(evaluation.metrics)[-1]
    precisions = {name: average_precision(part.logits, scores.y) for name, part in evaluation.parts.items()}
    frames = {}
    if scores.timed:
        y, count = scores.y_frames.reshape(-1, len(scores.labels)), len(scores.labels)
        frames = {name: average_precision(part.frames.reshape(-1, count), y) for name, part in evaluation.parts.items()}
    f1 = label_metrics.f1(shares(evaluation), scores.y, evaluation.thresholds[final])
    return [
        LabelRow(
            i,
            label,
            int(scores.y[:, i].sum()),
            {name: float(each[i]) for name, each in precisions.items()},
            {name: float(each[i]) for name, each in frames.items()},
            float(evaluation.thresholds[final][i]),
            float(f1[i]),
        )
        for i, label in enumerate(scores.labels)
    ]


def shares(evaluation):
    """Returns float64 (N, classes): the probabilities of the fusion, or of the only stream."""
    return probabilities(evaluation.fused, evaluation.scores.activation)


def per_class_csv(evaluation):
    """Returns the table by class as CSV: label, videos, average precisions of each stream and fused, threshold, F1."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names, timed = list(evaluation.metrics), evaluation.scores.timed
    frames = [f"{name}_frame_ap" for name in names] if timed else []
    writer.writerow(["class", "label", "videos", *(f"{name}_ap" for name in names), *frames, "threshold", "f1"])
    for row in rows(evaluation):
        values = [*row.precisions.values(), *row.frames.values()]
        values = ["" if np.isnan(value) else f"{value:.4f}" for value in values]
        writer.writerow([row.index, row.label, row.videos, *values, f"{row.threshold:.4f}", f"{row.f1:.4f}"])
    return file.getvalue()


def choose_examples(evaluation, count):
    """Returns two lists of rows of the scores: videos of which all labels are said and no other, with the most labels
    first; and those whose labels were the least expected, by the cross-entropy of their probabilities."""
    y, found = evaluation.scores.y, shares(evaluation)
    said = label_metrics.decided(found, list(evaluation.thresholds.values())[-1])
    right = (said == y).all(axis=1)
    surprise = -np.log(np.maximum(np.where(y, found, 1 - found), 1e-300)).sum(axis=1)
    first = [int(row) for row in np.argsort(-y.sum(axis=1), kind="stable") if right[row]]
    wrong = [int(row) for row in np.argsort(-surprise, kind="stable") if not right[row]]
    return first[:count], wrong[:count]


def labels_of(scores, row):
    """Returns the labels of a video as a line."""
    named = [label for label, there in zip(scores.labels, scores.y[row]) if there]
    return ", ".join(named) or "none of the labels"
