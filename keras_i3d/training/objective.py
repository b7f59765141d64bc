"""What training minimises, and how: the loss, the metrics, SGD and its schedule."""

import keras
import numpy as np
from keras import ops


def compile_model(model, recipe, heads=()):
    """Compiles a model that returns logits, as a Recipe says, and builds its optimizer.

    Args:
        heads: the Heads whose logits the model returns one after the other; none for a model of one.
    """
    sizes = [head.classes for head in heads if head.name]
    model.compile(
        keras.optimizers.SGD(
            schedule(recipe),
            momentum=recipe.momentum,
            global_clipnorm=recipe.clip_norm,
            gradient_accumulation_steps=recipe.accumulate if recipe.accumulate > 1 else None,
        ),
        loss=SmoothedCrossentropy(recipe.label_smoothing, sizes),
        metrics=_of_each(heads, recipe.label_smoothing) if sizes else _of_all(),
    )
    model.optimizer.build(model.trainable_variables)


@keras.saving.register_keras_serializable(package="keras_i3d")
def top1(y_true, y_pred):
    return keras.metrics.sparse_categorical_accuracy(y_true, _answer(y_pred))


@keras.saving.register_keras_serializable(package="keras_i3d")
def top5(y_true, y_pred):
    return keras.metrics.sparse_top_k_categorical_accuracy(y_true, _answer(y_pred), 5)


def _answer(logits):
    """Logits (B, classes), of rows (B, rows, classes) the last, as such a network answers."""
    return logits if len(logits.shape) == 2 else logits[:, -1]


def _of_all():
    return [
        keras.metrics.MeanMetricWrapper(top1, "top1"),
        keras.metrics.MeanMetricWrapper(top5, "top5"),
    ]


def _of_each(heads, smoothing):
    figures = {
        "loss": SmoothedCrossentropy(smoothing).call,
        "top1": top1,
        "top5": top5,
    }
    return [
        OnHead(function, head.first, head.classes, name=head.called(figure))
        for head in heads
        for figure, function in figures.items()
    ]


def schedule(recipe):
    """The learning rate of a Recipe, as a function of the batches before."""
    return Schedule(recipe.learning_rate, recipe.boundaries, recipe.rates, recipe.warmup_steps, recipe.accumulate)


@keras.saving.register_keras_serializable(package="keras_i3d")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate that changes at given updates, after a linear rise from nothing.

    Args:
        first: the rate of the first updates after the rise.
        boundaries, rates: after `boundaries[i]` updates the rate is `rates[i]`.
        warmup_steps: updates of the rise.
        accumulate: batches an update, because an optimizer of Keras counts batches here.
    """

    def __init__(self, first, boundaries=(), rates=(), warmup_steps=0, accumulate=1):
        self.first, self.boundaries, self.rates = first, boundaries, rates
        self.warmup_steps, self.accumulate = warmup_steps, accumulate

    def __call__(self, step):
        step = ops.cast(ops.floor_divide(step, self.accumulate), "float32")
        rate = ops.convert_to_tensor(self.first, "float32")
        for boundary, after in zip(self.boundaries, self.rates):
            rate = ops.where(step >= boundary, after, rate)
        return rate * ops.minimum((step + 1) / (self.warmup_steps + 1), 1.0)

    def get_config(self):
        names = ("first", "boundaries", "rates", "warmup_steps", "accumulate")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="keras_i3d")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits (B, classes) with class indices (B,), some of the target spread over all classes.

    Of rows of logits (B, rows, classes) it is the mean over the rows, each of the clip's class.

    Args:
        smoothing: the share that is spread.
        heads: how many classes each head has, where the logits are those of several heads, one after the other. A clip
            is of the head that its class belongs to, and its loss is of the logits of that head alone: what the others
            make of it has a gradient of exactly 0.
    """

    def __init__(self, smoothing=0.0, heads=(), name="crossentropy", reduction="sum_over_batch_size", dtype="float32"):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.smoothing, self.heads = smoothing, tuple(heads)

    def call(self, y_true, y_pred):
        heads = self.heads or (y_pred.shape[-1],)
        y_true = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        target = ops.one_hot(y_true, y_pred.shape[-1], dtype=y_pred.dtype) * (1 - self.smoothing)
        if len(heads) == 1:
            target = target + self.smoothing / heads[0]
        else:
            head, sizes = np.repeat(np.arange(len(heads)), heads), np.repeat(heads, heads)  # of each class
            own = ops.take(ops.convert_to_tensor(head), y_true)[:, None] == head
            y_pred = ops.where(own[:, None] if len(y_pred.shape) == 3 else own, y_pred, ABSENT)
            target = target + ops.where(own, ops.cast(self.smoothing / sizes, y_pred.dtype), 0)
        if len(y_pred.shape) == 3:
            target = ops.broadcast_to(target[:, None], ops.shape(y_pred))
        return ops.categorical_crossentropy(target, y_pred, from_logits=True)

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing, "heads": self.heads}


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
