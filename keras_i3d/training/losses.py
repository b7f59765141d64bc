"""What training minimises where a clip may show several classes, at once or one after the other."""

import keras
from keras import ops

from keras_i3d import time_steps


@keras.saving.register_keras_serializable(package="keras_i3d")
class LabelCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of logits with labels, the mean over the classes.

    Of labels of a clip, (B, classes), with logits (B, classes) or rows of them (B, rows, classes), each of the clip.

    Of labels over time, (B, T, classes), with rows of logits (B, rows, classes): these are interpolated to the frames
    as `time_steps` has it. The loss is `frame_loss` times the mean over frames, and the rest times that of the highest
    logits over time with the labels of the whole clip: how piergiaj's code trains on Charades, with 0.5.

    Args:
        smoothing: share s of the labels that is spread over yes and no: y becomes y (1 - s) + s / 2.
        weights: of each class, times its loss where it is shown; () for 1.
        frame_loss: the share of the loss per frame.
        step, window: of the network's `Family`.
    """

    def __init__(
        self,
        smoothing=0.0,
        weights=(),
        frame_loss=0.5,
        step=1,
        window=1,
        name="label_crossentropy",
        reduction="sum_over_batch_size",
        dtype="float32",
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.smoothing, self.weights, self.frame_loss = smoothing, tuple(weights), frame_loss
        self.step, self.window = step, window

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        if len(y_true.shape) == 3:
            frames = to_frames(y_pred, y_true.shape[1], self.step, self.window)
            per_clip = self._of(ops.max(y_true, axis=1), ops.max(frames, axis=1))
            return self.frame_loss * self._of(y_true, frames) + (1 - self.frame_loss) * per_clip
        return self._of(y_true[:, None] if len(y_pred.shape) == 3 else y_true, y_pred)

    def _of(self, y, logits):
        """(B,): the mean over all but the batch."""
        smoothed = y * (1 - self.smoothing) + self.smoothing / 2
        shown = ops.softplus(-logits)  # -log of the probability
        if self.weights:
            shown = shown * ops.convert_to_tensor(self.weights, "float32")
        losses = smoothed * shown + (1 - smoothed) * ops.softplus(logits)
        return ops.mean(losses, axis=tuple(range(1, len(losses.shape))))

    def get_config(self):
        names = ("smoothing", "weights", "frame_loss", "step", "window")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def to_frames(rows, frames, step, window):
    """Returns the logits of each frame, (B, frames, classes), of rows of logits (B, rows, classes) of a clip.

    Both lengths are known when a graph is made; `step` and `window` are those of the network's `Family`.
    """
    matrix = time_steps.matrix(frames, rows.shape[1], step, window)
    return ops.einsum("fr,brc->bfc", ops.convert_to_tensor(matrix), rows)
