"""Averages that a run ends with: of the weights over its updates, and of the statistics of batch norms over clips."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_i3d.errors import notice
from keras_i3d.models.recurrent import BatchNormLSTM
from keras_i3d.training import workers


class Averages:
    """Exponential moving averages of all weights of a model, the moving statistics of batch norms included.

    They begin as the weights are. Update n moves them by `share(n)` of the way to the weights. Keras's own (`use_ema`)
    leaves the statistics out, moves with every batch of an update that is accumulated, and takes the place of the
    weights when `fit` returns, which a run that resumes must not meet.

    Args:
        model: the model, built in the scope of the strategy.
        decay: the Recipe's `ema`.
    """

    def __init__(self, model, decay):
        self.decay, self.weights = decay, list(model.weights)
        self.values = [
            keras.Variable(np.asarray(weight), dtype=weight.dtype, trainable=False, name=f"average{place}")
            for place, weight in enumerate(self.weights)
        ]

        @tf.function
        def move(part):
            for average, weight in zip(self.values, self.weights):
                average.assign(average + tf.cast(part, average.dtype) * (weight - average))

        self._move = move

    def share(self, update):
        """What update number `update`, from 1, moves them by: 1 - min(decay, (1 + update) / (10 + update)).

        The minimum lets the averages of a short run leave its first weights behind (tf.train.ExponentialMovingAverage,
        num_updates).
        """
        return 1 - min(self.decay, (1 + update) / (10 + update))

    def move(self, update):
        """Follows the weights after update number `update`."""
        self._move(tf.constant(self.share(update), "float32"))

    @contextlib.contextmanager
    def in_place(self):
        """Within it the model has the averages as its weights; afterwards it has its own again, to the bit."""
        kept = [np.asarray(weight) for weight in self.weights]
        for weight, average in zip(self.weights, self.values):
            weight.assign(np.asarray(average))
        try:
            yield
        finally:
            for weight, value in zip(self.weights, kept):
                weight.assign(value)


def renew_statistics(model, clips, batches):
    """Sets the statistics of batch norms to their means over batches of clips, under the weights as they are.

    Precise batch norm: moving averages lag behind the weights, and these do not. Of each batch it is the mean and the
    variance that training takes, over the device's part of the batch. What is frozen stays as it is.

    Args:
        model: a model.
        clips: this worker's share of each batch, as for `workers.fit`.
        batches: how many of them, at least 1.
    """
    norms = [layer for layer in model.layers if _follows(layer)]
    if not norms:
        notice(f"precise_bn has nothing to do: {model.name} has no batch norm whose statistics training moves")
        return
    statistics = [weight for layer in norms for weight in layer.non_trainable_weights]
    momenta = [layer.momentum for layer in norms]
    means = [np.zeros(weight.shape) for weight in statistics]
    together = tf.distribute.get_strategy()

    @tf.function(reduce_retracing=True)
    def forward(batch):
        together.run(lambda x: model(x, training=True), args=(batch[0],))

    found = workers.distributed(clips)
    for layer in norms:
        layer.momentum = 0.0  # so that the moving statistics are those of the batch
    try:
        with workers.without_remapping():
            for number in range(1, batches + 1):
                forward(next(found))
                for mean, weight in zip(means, statistics):
                    mean += (np.asarray(weight) - mean) / number
    finally:
        for layer, momentum in zip(norms, momenta):
            layer.momentum = momentum
    for weight, mean in zip(statistics, means):
        weight.assign(mean)


def _follows(layer):
    """Whether a layer has moving statistics, and training moves them."""
    if isinstance(layer, BatchNormLSTM):
        return layer.trainable and not layer.freeze_statistics
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
