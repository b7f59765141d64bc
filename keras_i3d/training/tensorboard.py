"""The curves and pictures of a run as event files, which TensorBoard reads; writing them needs TensorFlow alone."""

import os
import struct
import time

import tensorflow as tf

PREFIX = "events.out.tfevents"  # by which TensorBoard knows its files
SHOWN = ("loss", "top1", "top5", "mean_class", "exact", "map")
SHOWN += ("learning_rate", "gradient_norm", "clips_per_second", "waiting")
PNG_SIZE = slice(16, 24)  # where a PNG says its width and height


class Curves:
    """Event files in `train/` and `validation/` of a folder; the step of a point is the number of updates.

    A head's figure, "NAME.top1" in the log, is the curve "NAME/top1", so that TensorBoard groups them by data set.

    The files hold the rows of the log, the pictures of those updates, and nothing else. When a run resumes, it writes
    all rows of its log to new files and removes the older files. So no point stands there twice, and none is missing
    that a killed process had not written yet.

    Args:
        folder: pathlib.Path of the event files; made if it is not there.
        rows: rows of the log so far, as for `write`.
        pictures: a function from the number of an update to its pictures, as for `write`.

    Raises:
        OSError: they cannot be written.
    """

    def __init__(self, folder, rows, pictures=lambda update: {}):
        self.folder, self.writers = folder, {}
        before = list(folder.glob(f"*/{PREFIX}.*"))
        for row in rows:
            self.write(row, pictures(row["step"]))
        for path in before:
            path.unlink()

    def write(self, row, pictures):
        """Adds a row, and the pictures of its validation.

        Args:
            row: {"step": updates, "time": seconds since 1970, name of a curve: float, "val_" and name: float}.
            pictures: {tag: path of a PNG}.

        Raises:
            OSError: it cannot be written.
        """
        for part, prefix in (("train", ""), ("validation", "val_")):
            names = dict.fromkeys((*SHOWN, *(name.removeprefix("val_") for name in row if "." in name)))
            curves = {name.replace(".", "/"): row[prefix + name] for name in names if prefix + name in row}
            values = [tf.compat.v1.Summary.Value(tag=name, simple_value=value) for name, value in curves.items()]
            if part == "validation":
                values += [_picture(tag, path.read_bytes()) for tag, path in pictures.items()]
            if not values:
                continue
            try:
                if part not in self.writers:
                    self.writers[part] = self._open(part)
                summary = tf.compat.v1.Summary(value=values)
                event = tf.compat.v1.Event(step=row["step"], wall_time=row["time"], summary=summary)
                self.writers[part].write(event.SerializeToString())
                self.writers[part].flush()
            except tf.errors.OpError as error:
                raise OSError(error.message or type(error).__name__) from error

    def _open(self, part):
        (self.folder / part).mkdir(parents=True, exist_ok=True)
        now = time.time()
        writer = tf.io.TFRecordWriter(str(self.folder / part / f"{PREFIX}.{now:020.9f}.{os.getpid()}"))
        writer.write(tf.compat.v1.Event(file_version="brain.Event:2", wall_time=now).SerializeToString())
        return writer

    def close(self):
        """Closes the files."""
        for writer in self.writers.values():
            writer.close()


def _picture(tag, png):
    width, height = struct.unpack(">II", png[PNG_SIZE])
    image = tf.compat.v1.Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
    return tf.compat.v1.Summary.Value(tag=tag, image=image)
