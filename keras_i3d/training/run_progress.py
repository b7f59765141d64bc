"""What a run shows while it goes: loss, accuracy, clips a second, and the share of time spent waiting for data."""

import math
import time

import keras
import tensorflow as tf

from keras_i3d.errors import notice
from keras_i3d.progress import Bar, duration

TIMED = 2  # batches after the first one, by which the time of the run is reckoned
WORTH_SAYING = 60  # seconds


class Progress(keras.callbacks.Callback):
    """Shows how far the whole run is.

    Args:
        total: batches of the run.
        done: batches done before.
        batch_size: clips a batch.
        show: whether anything is shown; the figures are in the logs in any case.
        accumulate: batches an update.
    """

    def __init__(self, total, done, batch_size, show, accumulate=1):
        super().__init__()
        self.batch_size, self.accumulate = batch_size, accumulate
        self.says_time = show
        self.bar = Bar("train", total, "batches", done=done, shown=show, stays=True)
        self.arrived = None

    def set_model(self, model):
        super().set_model(model)
        if self.arrived is None:  # once, because one run may call `fit` several times
            self.arrived = note_arrival(model)  # `on_train_begin` is too late: Keras has taken the training step then

    def on_epoch_begin(self, epoch, logs=None):
        self.bar.describe(f"train, epoch {epoch + 1}")
        self.begin, self.waited, self.batches = None, 0.0, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.asked = time.time()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()
        self.now = time.time()  # where the epoch's validation begins, which is not counted
        if self.begin is None:  # the first batch of an epoch may compile the step, or fill the shuffle buffer
            self.begin = self.now
            return
        self.batches += 1
        self.waited += max(self.arrived() - self.asked, 0)
        if self.says_time and self.batches == TIMED:
            self._say_time()
        self.bar.note(
            ", ".join(f"{name} {float(value):.3g}" for name, value in logs.items() if math.isfinite(value))
            + f", {self.clips_a_second():.2f} clips/s, {self.waiting():.0%} waiting for data"
        )

    def _say_time(self):
        """A line with the time of the run, by its first steps, of which the first one is not counted."""
        self.says_time = False
        each = (self.now - self.begin) / self.batches
        left = each * (self.bar.total - self.bar.done)
        if left >= WORTH_SAYING:
            steps = math.ceil((self.bar.total - self.bar.done) / self.accumulate)
            notice(
                f"about {duration(left)} for {steps:,} steps, {each * self.accumulate:.2g} s each, by the first ones; "
                "validations come on top"
            )

    def on_test_begin(self, logs=None):
        self.bar.describe(f"{self.bar.what}, validation", waits=True)  # with its pictures, up to the next epoch

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and self.batches:
            logs |= {"clips_per_second": self.clips_a_second(), "waiting": self.waiting()}

    def clips_a_second(self):
        """Clips a second of the epoch's training so far, its first batch left out."""
        return self.batches * self.batch_size / max(self.now - self.begin, 1e-9)

    def waiting(self):
        """The share of that time in which the step waited for its batch."""
        return self.waited / max(self.now - self.begin, 1e-9)

    def close(self):
        self.bar.describe("train")
        self.bar.close()


def note_arrival(model):
    """Makes a model's training step note when its batch has arrived.

    Returns:
        A function without arguments to that time, in seconds since 1970; 0 if it is not known, because XLA compiles
        the step or several devices take part.
    """
    model.batch_arrived = 0.0  # several workers fetch their batches themselves, and say so here
    if model.jit_compile or tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return lambda: model.batch_arrived
    arrived = tf.Variable(0.0, dtype=tf.float64, trainable=False)
    step = model.train_step

    def train_step(batch):
        with tf.control_dependencies(tf.nest.flatten(batch)):
            arrived.assign(tf.timestamp())
        return step(batch)

    model.train_step = train_step
    return lambda: float(arrived)
