"""What training minimises, and how: the loss, the metrics, SGD and its schedule."""

import keras
from keras import ops


def compile_model(model, recipe):
    """Compiles a model that returns logits, as a Recipe says, and builds its optimizer."""
    model.compile(
        keras.optimizers.SGD(
            schedule(recipe),
            momentum=recipe.momentum,
            global_clipnorm=recipe.clip_norm,
            gradient_accumulation_steps=recipe.accumulate if recipe.accumulate > 1 else None,
        ),
        loss=SmoothedCrossentropy(recipe.label_smoothing),
        metrics=[keras.metrics.MeanMetricWrapper(_top1, "top1"), keras.metrics.MeanMetricWrapper(_top5, "top5")],
    )
    model.optimizer.build(model.trainable_variables)


def _top1(y_true, y_pred):
    return keras.metrics.sparse_categorical_accuracy(y_true, _answer(y_pred))


def _top5(y_true, y_pred):
    return keras.metrics.sparse_top_k_categorical_accuracy(y_true, _answer(y_pred), 5)


def _answer(logits):
    """Logits (B, classes), of rows (B, rows, classes) the last, as such a network answers."""
    return logits if len(logits.shape) == 2 else logits[:, -1]


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
    """

    def __init__(self, smoothing=0.0, name="crossentropy", reduction="sum_over_batch_size", dtype="float32"):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        target = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), classes, dtype=y_pred.dtype)
        target = target * (1 - self.smoothing) + self.smoothing / classes
        if len(y_pred.shape) == 3:
            target = ops.broadcast_to(target[:, None], ops.shape(y_pred))
        return ops.categorical_crossentropy(target, y_pred, from_logits=True)

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}
