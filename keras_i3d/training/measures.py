"""Figures of a network that is trained on several labels a clip: how well it ranks clips, or frames, for each class."""

import contextlib
import threading

import keras
import numpy as np
import tensorflow as tf

from keras_i3d import average_precision, time_steps

_state = threading.local()  # replicas are traced in threads of their own


class MeanAveragePrecision(keras.metrics.Metric):
    """Mean average precision of a validation: exact, by all scores of it, which it keeps.

    Of labels over time each frame counts for itself. The result is there outside of graphs alone, between two batches;
    within, and as long as `measuring` says of no batch that it is one of a validation, it is NaN. Nothing of it is a
    part of a checkpoint, because training steps leave it as it is. On several devices each keeps the scores of its own
    clips, in places that no other one has, and the result is of them all.

    Args:
        targets: the run's `Targets`.
        shape: (rows, classes) of a clip's logits, or (classes,).
        frames: of a clip, of labels over time.
    """

    def __init__(self, targets, shape, frames=None, name="map"):
        super().__init__(name=name, dtype="float32")
        self.step_frames, self.window, self.timed = targets.step, targets.window, targets.labelling == "timed"
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        places = targets.held_out + replicas * (-(-targets.held_out // targets.batch_size) + 1)
        self.rows = _kept((places, *shape))
        self.truths = _kept((places, frames, shape[-1]) if self.timed else (places, shape[-1]))
        self.seen = _kept((places,))
        self.count = _kept((), tf.int64)

    def update_state(self, y_true, y_pred, sample_weight=None):
        del sample_weight  # clips count alike
        if not getattr(_state, "measuring", False):
            return
        context = tf.distribute.get_replica_context()
        clips = tf.shape(y_pred, tf.int64)[0]
        places = self.count + tf.range(clips)
        places = places * context.num_replicas_in_sync + tf.cast(context.replica_id_in_sync_group, tf.int64)
        for variable, values in (
            (self.rows, y_pred),
            (self.truths, y_true),
            (self.seen, tf.ones(clips)),
        ):
            values = tf.cast(values, tf.float32)
            variable.assign(tf.tensor_scatter_nd_update(variable, places[:, None], values))
        self.count.assign_add(clips)

    def result(self):
        if not tf.executing_eagerly():
            return tf.constant(np.nan)
        seen = self.seen.read_value().numpy() > 0
        if not seen.any():
            return np.float32(np.nan)
        rows, truths = (variable.read_value().numpy()[seen] for variable in (self.rows, self.truths))
        if self.timed:
            matrix = time_steps.matrix(truths.shape[1], rows.shape[1], self.step_frames, self.window)
            rows = np.einsum("fr,brc->bfc", matrix, rows)
            rows, truths = (values.reshape(-1, values.shape[-1]) for values in (rows, truths))
        elif rows.ndim == 3:
            rows = rows[:, -1]  # as such a network answers
        return np.float32(average_precision.mean(average_precision.average_precision(rows, truths)))

    def reset_state(self):
        for variable in (self.seen, self.count):
            variable.assign(tf.zeros(variable.shape, variable.dtype))


def _kept(shape, kind=tf.float32):
    """A variable of which each device has its own; read outside of a step it is the sum of all."""
    return tf.Variable(
        tf.zeros(shape, kind),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def measuring(model):
    """Has a model say of its test steps that they are of a validation, so that `MeanAveragePrecision` counts them."""
    if getattr(model, "says_measuring", False):  # compiled a second time
        return
    step, model.says_measuring = model.test_step, True

    @contextlib.contextmanager
    def said():
        _state.measuring = True
        try:
            yield
        finally:
            _state.measuring = False

    def test_step(data):
        with said():
            return step(data)

    model.test_step = test_step
