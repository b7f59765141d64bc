"""What training minimises, and what it measures on the way."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="keras_i3d")
def top1(y_true, y_pred):
    return keras.metrics.sparse_categorical_accuracy(_class(y_true), _answer(y_pred))


@keras.saving.register_keras_serializable(package="keras_i3d")
def top5(y_true, y_pred):
    return keras.metrics.sparse_top_k_categorical_accuracy(_class(y_true), _answer(y_pred), 5)


def _class(y):
    """Class indices; of shares of the classes (B, classes) the index of the largest."""
    return ops.argmax(y, axis=-1) if _is_shares(y) else y


def _is_shares(y):
    return len(y.shape) == 2 and y.shape[-1] != 1


def _answer(logits):
    """Logits (B, classes), of rows (B, rows, classes) the last, as such a network answers."""
    return logits if len(logits.shape) == 2 else logits[:, -1]


@keras.saving.register_keras_serializable(package="keras_i3d")
def exact(y_true, y_pred):
    """Whether all labels of a clip are right at probability 0.5, float (B,); of labels over time those of the clip."""
    if len(y_true.shape) == 3:
        y_true, y_pred = ops.max(y_true, axis=1), ops.max(y_pred, axis=1)
    elif len(y_pred.shape) == 3:
        y_pred = y_pred[:, -1]
    return ops.cast(ops.all((y_pred > 0) == (y_true > 0.5), axis=-1), "float32")


@keras.saving.register_keras_serializable(package="keras_i3d")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits (B, classes) with classes, some of the target spread over all of them.

    Classes are indices (B,), or shares (B, classes) whose sum is 1, as mixed clips have them.

    Of rows of logits (B, rows, classes) it is the mean over the rows, each of the clip's class.

    Args:
        smoothing: the share that is spread.
        weights: of each class: the loss of a clip times that of its class; () for 1. Of a clip that shows shares of
            classes it is their mean.
        heads: how many classes each head has, where the logits are those of several heads, one after the other. A clip
            is of the head that its class belongs to, and its loss is of the logits of that head alone: what the others
            make of it has a gradient of exactly 0.
    """

    def __init__(
        self,
        smoothing=0.0,
        heads=(),
        weights=(),
        name="crossentropy",
        reduction="sum_over_batch_size",
        dtype="float32",
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.smoothing, self.heads, self.weights = smoothing, tuple(heads), tuple(weights)

    def call(self, y_true, y_pred):
        heads = self.heads or (y_pred.shape[-1],)
        if _is_shares(y_true):
            shares = ops.cast(y_true, y_pred.dtype)
            y_true = ops.argmax(y_true, axis=-1)
        else:
            y_true = ops.cast(ops.reshape(y_true, (-1,)), "int32")
            shares = ops.one_hot(y_true, y_pred.shape[-1], dtype=y_pred.dtype)
        target = shares * (1 - self.smoothing)
        if len(heads) == 1:
            target = target + self.smoothing / heads[0]
        else:
            head, sizes = np.repeat(np.arange(len(heads)), heads), np.repeat(heads, heads)  # of each class
            own = ops.take(ops.convert_to_tensor(head), y_true)[:, None] == head
            y_pred = ops.where(own[:, None] if len(y_pred.shape) == 3 else own, y_pred, ABSENT)
            target = target + ops.where(own, ops.cast(self.smoothing / sizes, y_pred.dtype), 0)
        if len(y_pred.shape) == 3:
            target = ops.broadcast_to(target[:, None], ops.shape(y_pred))
        losses = ops.categorical_crossentropy(target, y_pred, from_logits=True)
        if not self.weights:
            return losses
        weights = ops.matmul(shares, ops.convert_to_tensor(self.weights, y_pred.dtype)[:, None])
        return losses * (weights if len(losses.shape) == 2 else weights[:, 0])

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing, "heads": self.heads, "weights": self.weights}


ABSENT = -1e9  # a logit whose probability is exactly 0 in float32, and whose product with a target of 0 is no NaN


@keras.saving.register_keras_serializable(package="keras_i3d")
class OnHead(keras.metrics.Mean):
    """The mean of a figure over the clips of one head; NaN as long as there were none.

    Args:
        figure: from class indices (B,) and logits (B, classes) of the head, or rows of them, to (B,), or (B, rows).
        first, classes: place of the head's classes among all.
        name: name of the metric.
    """

    def __init__(self, figure, first, classes, name):
        super().__init__(name=name, dtype="float32")
        self.figure, self.first, self.classes = figure, first, classes

    def update_state(self, y_true, y_pred, sample_weight=None):
        del sample_weight  # clips count alike
        y = ops.cast(ops.reshape(y_true, (-1,)), "int32") - self.first
        own = ops.logical_and(y >= 0, y < self.classes)
        values = self.figure(ops.where(own, y, 0), y_pred[..., self.first : self.first + self.classes])
        if len(values.shape) > 1:  # of each row
            values = ops.mean(values, axis=-1)
        super().update_state(values, sample_weight=own)

    def result(self):
        return ops.where(self.count > 0, super().result(), np.nan)
