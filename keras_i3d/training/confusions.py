"""Which classes a run takes for which others, counted while it measures."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="keras_i3d")
class Confusions(keras.metrics.Metric):
    """Counts how often a clip of class i is named j; its result is the mean accuracy over the classes that occur.

    NaN as long as no clip came. Of several heads it is about one: clips of the others are not counted.

    Args:
        classes: how many there are.
        first: place of the head's first class among all.
        name: name of the metric.

    Attributes:
        counts: float32 (classes, classes), rows being the clips' classes.
    """

    def __init__(self, classes, first=0, name="mean_class", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self.classes, self.first = classes, first
        self.counts = self.add_variable((classes, classes), "zeros", "float32", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts clips.

        Args:
            y_true: class indices (B,) or (B, 1), or float (B, all classes), of which the largest is the clip's.
            y_pred: logits (B, all classes), or rows of them (B, rows, all classes), of which the last answers.
        """
        del sample_weight  # clips count alike
        if len(y_true.shape) == 2 and y_true.shape[-1] != 1:
            y_true = ops.argmax(y_true, axis=-1)
        if len(y_pred.shape) == 3:
            y_pred = y_pred[:, -1]
        own = ops.cast(ops.reshape(y_true, (-1,)), "int32") - self.first
        named = ops.argmax(y_pred[..., self.first : self.first + self.classes], axis=-1)
        rows = ops.one_hot(own, self.classes, dtype="float32")  # all zeros for a class of another head
        self.counts.assign_add(ops.matmul(ops.transpose(rows), ops.one_hot(named, self.classes, dtype="float32")))

    def result(self):
        clips = ops.sum(self.counts, axis=1)
        shares = ops.diagonal(self.counts) / ops.maximum(clips, 1)
        occurring = ops.sum(ops.cast(clips > 0, "float32"))
        return ops.where(occurring > 0, ops.sum(shares) / ops.maximum(occurring, 1), np.nan)

    def matrix(self):
        """Returns what was counted, int64 (classes, classes), rows being the clips' classes."""
        return np.asarray(self.counts).astype(np.int64)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes, "first": self.first}


def matrices(model):
    """Returns {name of the metric: matrix} of the Confusions of a compiled model that was measured at least once.

    Of several workers each must call it, because they add up what each has counted.
    """
    found = {}
    for metric in model.metrics:
        inner = getattr(metric, "metrics", [metric])  # Keras keeps those of `compile` in one of its own
        found |= {each.name: each.matrix() for each in inner if isinstance(each, Confusions)}
    return found
