"""Splits of tiny records with a manifest, for what reads them."""

import numpy as np
import tensorflow as tf

from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import RecordSpec

LABELS = ("left", "right", "up")
SPEC = RecordSpec(short_side=40, flow_method="dis")
MOTIONS = ((0, -2), (0, 2), (-2, 0))  # rows, columns a frame, by class


def clip(seed, motion, frames=12, height=40):
    """A texture that moves, uint8 (T, H, W, 3), a little wider than high."""
    width = height + 12
    scene = np.random.default_rng(seed).uniform(0, 255, (14, 16, 3))
    big = tf.image.resize(scene, (height + 80, width + 80)).numpy()
    rows, columns = ([40 - i * step for i in range(frames)] for step in motion)
    return np.stack([big[r : r + height, c : c + width] for r, c in zip(rows, columns)]).astype("uint8")


def split(folder, name, videos, seed=0, shards=2, labels=LABELS, spec=SPEC, **facts):
    """Writes `videos` records whose classes and lengths take turns; returns a glob of the split's files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for shard in range(shards):
        path = folder / manifest.shard_name(name, shard, shards)
        ids = []
        with tf.io.TFRecordWriter(str(path)) as writer:
            for i in range(shard, videos, shards):
                frames = clip(seed + i, MOTIONS[i % 3], frames=(12, 13, 7)[i % 3], height=spec.short_side)
                ids.append(f"{name}/{i:03}.mp4")
                facts_of_one = {"id": ids[-1], "label": labels[i % 3], "index": i % 3, "split": name}
                writer.write(sequence_example.encode(iter(frames), spec, workers=1, **facts_of_one))
        written.append(manifest.Shard(path.name, tuple(ids), path.stat().st_size))
    manifest.Manifest(name, tuple(labels), spec, tuple(written), **facts).write(folder)
    return str(folder / f"{name}-*.tfrecord")
