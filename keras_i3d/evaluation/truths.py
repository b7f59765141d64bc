"""What records of several labels say of each video: its labels, and when it shows them."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_i3d.records import framing, sequence_example
from keras_i3d.specs import FPS

MOMENTS = 25  # of a video, as the evaluation code of Charades takes them


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a record says of its video.

    Attributes:
        classes: indices of its classes.
        segments: int64 (M, 3): class index, and first and last microsecond, of each time that it shows one.
        seconds: of the video.
    """

    classes: tuple
    segments: np.ndarray
    seconds: float

    def y(self, count):
        """Returns bool (count,): its labels."""
        return _one_hot(self.classes, count)

    def y_of_moments(self, count):
        """Returns bool (25, count): its labels at each of `moments`. A time has both of its ends."""
        times = np.round(moments(self.seconds) * 1e6)
        found = np.zeros((MOMENTS, count), bool)
        for label, start, end in self.segments:
            found[(start <= times) & (times <= end), label] = True
        return found


def moments(seconds):
    """Returns float64 (25,): seconds from the start of a video that is so long, equally spaced, the first one 0.

    Moment i is i / 25 of the video, as in Charades_v1_localize.m.
    """
    return np.arange(MOMENTS) * seconds / MOMENTS


def read(source, count):
    """Returns {id: Truth} of the records of a Source; those that cannot be read are left out.

    Of labels without times a manifest that notes the classes is enough; else every file is read once.

    Args:
        source: of records with a manifest.
        count: number of classes.

    Raises:
        ValueError: a class that is none of the labels, or no video with a label.
    """
    found = {}
    for file, ids, classes in zip(source.files, source.ids, source.classes or (None,) * len(source.files)):
        if classes is not None and source.labelling == "multi":
            found |= {id: Truth(each, np.zeros((0, 3), np.int64), 0.0) for id, each in zip(ids, classes)}
        else:
            found |= dict(_of_file(file))
    for id, truth in found.items():
        named = {*truth.classes, *truth.segments[:, 0].tolist()}
        if not all(0 <= label < count for label in named):
            raise ValueError(f"Labels are classes in 0..{count - 1}. Received: {sorted(named)} for {id}")
    if not any(truth.classes for truth in found.values()):
        raise ValueError(f"Evaluation needs videos with labels. Received: {len(found)} videos, none of which has any")
    return found


def _of_file(file):
    def facts_of(record):
        parsed = sequence_example.parse(record, ("rgb",))
        names = ("id", "indices", "segments", "fps")
        return {name: parsed[name] for name in names} | {"frames": tf.size(parsed["rgb"])}

    for _ in tf.data.FixedLengthRecordDataset(file, 1).take(1):  # raises if it cannot be opened: the next would not end
        pass
    dataset = framing.dataset(file).map(facts_of, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    for each in dataset.as_numpy_iterator():
        classes = tuple(dict.fromkeys((*each["indices"].tolist(), *each["segments"][:, 0].tolist())))
        seconds = int(each["frames"]) / (float(each["fps"]) or FPS)
        yield each["id"].decode(errors="replace"), Truth(classes, each["segments"], seconds)


def _one_hot(classes, count):
    found = np.zeros(count, bool)
    found[list(classes)] = True
    return found
