"""What a clip is labelled with: y of `pipeline.load`."""

import numpy as np
import tensorflow as tf

from keras_i3d.specs import FPS


class Labels:
    """From a record to y of its clips.

    Attributes:
        labelling: "single", "multi" or "timed", as of `specs.LABELLINGS`.
    """

    def __init__(self, source, wanted=None):
        """Takes a `Source`, and an array of the classes to use, by name or index, or None for all."""
        self.labelling, self.wanted, self.fps = source.labelling, wanted, source.spec.fps if source.spec else FPS
        if self.labelling != "single":
            indices = range(len(source.labels)) if wanted is None else wanted
            self.classes = np.array([source.labels.index(i) if isinstance(i, str) else i for i in indices], np.int64)

    def __call__(self, parsed, numbers):
        """Returns y of a record's clips.

        Args:
            parsed: what `sequence_example.parse` gives.
            numbers: int32 (clips, T), the frames of each.

        Returns:
            int64 (), the class, or -1; float32 (classes,) of several labels; float32 (clips, T, classes) of labels over
            time.
        """
        if self.labelling == "single":
            return self._class(parsed)
        if self.labelling == "multi":
            return self._shown(parsed["indices"])
        index, start, end = tf.unstack(parsed["segments"], axis=1)
        fps = tf.where(parsed["fps"] > 0, tf.cast(parsed["fps"], tf.float64), tf.cast(self.fps, tf.float64))
        times = tf.cast(tf.round(tf.cast(numbers, tf.float64) * 1e6 / fps), tf.int64)[..., None]
        within = tf.cast((start <= times) & (times < end), tf.float32)  # (clips, T, segments)
        of_class = tf.cast(index[:, None] == self.classes[None], tf.float32)  # (segments, classes)
        return tf.minimum(tf.einsum("cts,sk->ctk", within, of_class), 1)

    def _class(self, parsed):
        if self.wanted is None:
            return parsed["index"]
        equal = tf.equal(parsed["label" if self.wanted.dtype == object else "index"], self.wanted.tolist())
        return tf.where(tf.reduce_any(equal), tf.argmax(equal), -1)

    def _shown(self, indices):
        return tf.cast(tf.reduce_any(indices[:, None] == self.classes[None], axis=0), tf.float32)
