"""Records whose frames and fields tell their numbers and places, and how to read these off a loaded clip."""

import numpy as np
import pytest
import tensorflow as tf

from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import RecordSpec

SPEC = RecordSpec(short_side=40)
HEIGHT, WIDTH = 40, 56
LENGTHS = (12, 9, 5, 12, 10, 12, 11, 12)


def frame(i):
    """Red tells which frame it is, green where it is from left to right, blue from top to bottom."""
    image = np.empty((HEIGHT, WIDTH, 3), "uint8")
    image[..., 0] = 20 + 15 * i
    image[..., 1] = 20 + 4 * np.arange(WIDTH)[None]
    image[..., 2] = 20 + 5 * np.arange(HEIGHT)[:, None]
    return image


def field(i):
    """dx tells which field it is and whether its top or bottom half it is, dy where from left to right."""
    dx = np.full((HEIGHT, WIDTH), float(i + 1))
    return np.stack([dx, np.broadcast_to((np.arange(WIDTH) - WIDTH / 2) / 2, dx.shape)], axis=-1).astype("float32")


def fields(frames, method, workers=None):
    yield from (field(i) for i, _ in enumerate(list(frames)[1:]))


def encode(length, spec=SPEC, **facts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_example, "stream", fields)
        return sequence_example.encode([frame(i) for i in range(length)], spec, **facts)


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as file:
        for content in contents:
            file.write(content)


def build(folder, shards=4, spec=SPEC, split="train", lengths=LENGTHS, labels=("run", "jump", "swim")):
    """Writes a split: record i has lengths[i] frames and the class i modulo 3."""
    folder.mkdir(exist_ok=True)
    made = []
    for number in range(shards):
        name = manifest.shard_name(split, number, shards)
        chosen = range(number, len(lengths), shards)
        contents = [encode(lengths[i], spec, id=f"v{i}", label=labels[i % 3], index=i % 3) for i in chosen]
        write(folder / name, contents)
        made.append(manifest.Shard(name, tuple(f"v{i}" for i in chosen), (folder / name).stat().st_size))
    manifest.Manifest(split, tuple(labels), spec, tuple(made)).write(str(folder))
    return folder


def which_frames(x):
    """The frame numbers of rgb (..., T, H, W, 3)."""
    red = (np.asarray(x)[..., 0].mean((-1, -2)) + 1) * 127.5
    return np.rint((red - 20) / 15).astype(int).tolist()


def which_fields(x):
    """The field numbers of flow (..., T, H, W, 2), and whether they are mirrored."""
    dx = np.asarray(x)[..., 0].mean((-1, -2)) * 20
    return (np.rint(abs(dx)) - 1).astype(int).tolist(), (dx < 0).tolist()
