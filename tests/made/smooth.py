"""Films whose motion is smooth in space and another from each frame to the next, so that every field is told apart."""

import numpy as np

from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import RecordSpec

SPEC = RecordSpec(short_side=64, flow_method="tvl1")
HEIGHT, WIDTH = 64, 88
STEPS = ((2.5, 0.5), (1.0, -1.5), (3.0, 1.0), (-1.5, 2.0), (0.5, -1.0), (2.0, 2.0), (-2.5, 0.5), (1.5, -2.0))


def film(seed, frames=9):
    """uint8 (frames, 64, 88, 3): a texture that shifts by one of STEPS (dx, dy) after the other, and grows slowly."""
    random = np.random.default_rng(seed)
    waves = random.uniform(-0.45, 0.45, (24, 2))  # radians a pixel: from 14 pixels a wave on
    phases, colours = random.uniform(0, 2 * np.pi, 24), random.uniform(0.3, 1, (24, 3))
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype("float64")
    steps = [STEPS[(i + seed) % len(STEPS)] for i in range(frames - 1)]
    made = []
    for number, (right, down) in enumerate(np.concatenate([[(0, 0)], np.cumsum(steps, axis=0)])):
        zoom = 1.01**number
        across, along = (x - WIDTH / 2) / zoom - right, (y - HEIGHT / 2) / zoom - down
        values = np.sin(across[..., None] * waves[:, 0] + along[..., None] * waves[:, 1] + phases) @ colours
        made.append(np.clip(127 + 22 * values, 0, 255).astype("uint8"))
    return np.stack(made)


def write(folder, videos=4, frames=9, spec=SPEC):
    """Writes a split of one file: of video i the film of seed i and the class i modulo 2; returns its pattern."""
    name = manifest.shard_name("train", 0, 1)
    ids = tuple(f"v{i}" for i in range(videos))
    contents = [
        sequence_example.encode(iter(film(i, frames)), spec, id=ids[i], label="ab"[i % 2], index=i % 2)
        for i in range(videos)
    ]
    import tensorflow as tf

    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / name)) as file:
        for content in contents:
            file.write(content)
    shard = manifest.Shard(name, ids, (folder / name).stat().st_size)
    manifest.Manifest("train", ("a", "b"), spec, (shard,)).write(str(folder))
    return str(folder / "train-*")
