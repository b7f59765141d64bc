"""Records of several labels a video, and a network that sees them: the colours of the frames are the labels.

A label's channel is bright where the video shows it. The network's row of logits is how bright each channel is over 16
frames, so that its answers are known.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_i3d import facts
from keras_i3d.models.blocks import ClipCheck
from keras_i3d.models.inception import HEAD
from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import RecordSpec

LABELS = ("red", "green", "blue")
SPEC = RecordSpec(short_side=40, flow_method=None)
BRIGHT, DARK = 200, 60


def network(activation="sigmoid", gain=4.0, noted=True):
    """A network of I3D's names: rows of `gain` times the brightness of red, green and blue in [-1, 1]."""
    clip = keras.Input((None, None, None, 3), name="rgb")
    x = keras.layers.AveragePooling3D((8, 16, 16), padding="same")(ClipCheck(1, 1)(clip))
    x = keras.layers.AveragePooling3D((2, 2, 2), (1, 2, 2), padding="valid")(x)
    x = keras.layers.Conv3D(3, 1, name=HEAD)(x)
    x = keras.layers.GlobalAveragePooling3D(name="Logits")(x)
    made = keras.Model(clip, keras.layers.Activation(activation, name="Predictions")(x), name="colours")
    made.set_weights([gain * np.eye(3).reshape(1, 1, 1, 3, 3), np.full(3, 0.01)])
    return facts.note(made, facts.Facts("rgb", labels=LABELS, clip=SPEC.clip("rgb", 32))) if noted else made


def frames(shown, count=24, bright=BRIGHT):
    """uint8 (count, 40, 52, 3): `shown` is {class: (first frame, the one after the last)}, or classes of all frames."""
    made = np.full((count, 40, 52, 3), DARK, np.uint8)
    for label, (start, end) in (shown if isinstance(shown, dict) else dict.fromkeys(shown, (0, count))).items():
        made[start:end, ..., label] = bright
    return made


def write(folder, name, videos, labelling, classes=True):
    """Writes FOLDER/NAME-00000-of-00001.tfrecord and its manifest.

    Args:
        videos: [(uint8 frames, class indices, ((class, start, end in seconds), ...))].
        classes: whether the manifest notes the classes of each record.

    Returns:
        A glob of the split's files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / manifest.shard_name(name, 0, 1)
    ids = tuple(f"{name}/{i}.mp4" for i in range(len(videos)))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for id, (clip, index, segments) in zip(ids, videos):
            times = [(label, LABELS[label], start, end) for label, start, end in segments]
            given = {"index": tuple(index), "label": tuple(LABELS[i] for i in index), "segments": times}
            writer.write(sequence_example.encode(iter(clip), SPEC, id=id, split=name, **given))
    each = tuple(tuple(index) for _, index, _ in videos) if classes else None
    shard = manifest.Shard(path.name, ids, path.stat().st_size, each)
    manifest.Manifest(name, LABELS, SPEC, (shard,), labelling=labelling).write(folder)
    return str(folder / f"{name}-*.tfrecord")
