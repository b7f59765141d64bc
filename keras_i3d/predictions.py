"""The most probable classes of each clip, by name."""

import numbers

import numpy as np

from keras_i3d.weights import registry
from keras_i3d.weights.labels import read_labels


def decode_predictions(preds, top=5, labels="kinetics400"):
    """Names the most probable classes of each clip, as keras.applications does.

    Args:
        preds: float (B, classes), the output of a model.
        top: how many to name.
        labels: "kinetics400", "kinetics600" (fetched with the weights, then cached), the path of a text file
            with a name a line, or a sequence of names.

    Returns:
        For each clip a list of (class index, label, score), best first.

    Raises:
        ValueError: `preds` is not (B, classes) with as many classes as labels, or not finite; `top` below 1.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2:
        raise ValueError(f"preds must be (batch, classes). Received: shape {preds.shape}")
    if not np.isfinite(preds).all():
        raise ValueError("preds must be finite. Received: NaN or infinity. Check the weights and the precision.")
    check_top(top)
    published = registry.LABELS.get(labels) if isinstance(labels, str) else None  # how many, before it is fetched
    names = None if published else read_labels(labels)
    count = published.classes if published else len(names)
    if preds.shape[1] != count:
        raise ValueError(f"{count} labels for {preds.shape[1]} classes. Pass labels= for this model's own classes.")
    names = names or read_labels(labels)
    return [[(int(i), names[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top]] for row in preds]


def check_top(top):
    """Raises ValueError unless `top` is a whole number of at least 1."""
    if isinstance(top, bool) or not isinstance(top, numbers.Integral) or top < 1:
        raise ValueError(f"top is how many classes to name, at least 1. Received: top={top!r}")
