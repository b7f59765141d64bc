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
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="top1"),
            keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5"),
        ],
    )
    model.optimizer.build(model.trainable_variables)


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
    """Cross-entropy of logits (B, classes) with class indices (B,), some of the target spread over all classes."""

    def __init__(self, smoothing=0.0, name="crossentropy", reduction="sum_over_batch_size", dtype="float32"):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        target = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), classes, dtype=y_pred.dtype)
        target = target * (1 - self.smoothing) + self.smoothing / classes
        return ops.categorical_crossentropy(target, y_pred, from_logits=True)

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}
