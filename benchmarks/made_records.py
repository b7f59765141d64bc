"""Records that a benchmark makes itself, where it is given none."""

import os

HEIGHT, WIDTH, FRAMES, RECORDS = 256, 340, 80, 64


def video():
    """A texture that moves over another one, with noise, as uint8 (FRAMES, HEIGHT, WIDTH, 3)."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    back, front = tf.image.resize(rng.uniform(0, 255, (2, 40, 60, 3)), (HEIGHT, 2 * WIDTH), "bicubic").numpy()
    clip = np.stack([back[:, i : i + WIDTH] for i in range(FRAMES)])
    for i in range(FRAMES):
        clip[i, 80:180, 3 * i % 200 : 3 * i % 200 + 100] = front[80:180, :100]
    return (clip + rng.normal(0, 2, clip.shape)).clip(0, 255).astype("uint8")


def write(folder):
    """Writes RECORDS records of one video, with TV-L1 flow; returns one of them parsed."""
    import tensorflow as tf

    from keras_i3d.records import manifest, sequence_example
    from keras_i3d.specs import RecordSpec

    spec = RecordSpec()
    example = tf.train.SequenceExample.FromString(sequence_example.encode(video(), spec, id="v", label="run", index=0))
    shards = []
    for number in range(4):
        name = manifest.shard_name("train", number, 4)
        ids = tuple(f"v{i}" for i in range(number, RECORDS, 4))
        with tf.io.TFRecordWriter(os.path.join(folder, name)) as file:
            for id in ids:
                example.context.feature["example/id"].bytes_list.value[0] = id.encode()
                file.write(example.SerializeToString())
        shards.append(manifest.Shard(name, ids, os.path.getsize(os.path.join(folder, name))))
    manifest.Manifest("train", ("run",), spec, tuple(shards)).write(folder)
    return sequence_example.parse(example.SerializeToString())
