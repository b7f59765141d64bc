"""A small data set of records, and networks cut short, for tests that train."""

import numpy as np

LABELS = ("left", "right", "still")


# Of the networks of Inception blocks, what is left of the table: the first convolution, a pool and a block.
ENDPOINTS = ("Conv3d_1a_7x7", "MaxPool3d_2a_3x3", "Mixed_3b")
HEAVY = (*ENDPOINTS, "Mixed_4b", "Mixed_5b")  # of those that are 3D in part: each differs from the others
C3D_LAYERS = ("conv1a", "pool1", "pool4", "pool5", "fc6", "fc7")


def short_rows(endpoints=ENDPOINTS):
    """Returns {name: row} of all networks cut short: each has every kind of its layers, and few of them."""
    from keras_i3d.models import baselines, c3d, heavy, inception, recurrent, residual, resnet, s3d

    table, longer = (tuple(row for row in inception.LAYERS if row[0] in names) for names in (endpoints, HEAVY))
    tables = dict.fromkeys((inception, s3d, baselines, recurrent), table)
    tables |= {heavy: longer, residual: residual.STAGES[:2]}
    tables[c3d] = tuple(row for row in c3d.LAYERS if row[0] in C3D_LAYERS)
    # Of I3D-ResNets, a block before the second pool, and two after it, of which a non-local block may follow one.
    stem, pool, first, second_pool, then, *_ = resnet.TABLES[50]
    tables[resnet] = (stem, pool, (*first[:-1], (1,)), second_pool, (*then[:-1], (1, 0)))
    return {row.name: row for module, shorter in tables.items() for row in module.rows(shorter)}


def shorten(monkeypatch=None, endpoints=ENDPOINTS):
    """Puts the networks of `short_rows` in the place of the whole ones; `monkeypatch` undoes it."""
    from keras_i3d.models import families

    setitem = monkeypatch.setitem if monkeypatch else dict.__setitem__
    for name, row in short_rows(endpoints).items():
        setitem(families.FAMILIES, name, row)


def i3d(*arguments, **settings):
    """Builds an I3D as the package does: as short or narrow as `shorten` or `mirrors.narrow` left it."""
    from keras_i3d.models import families

    return families.find("I3D").build(*arguments, **settings)


def write(folder, split="train", videos=9, frames=12, height=32, width=40, labels=LABELS):
    """Writes FOLDER/SPLIT-00000-of-00001.tfrecord with its manifest; returns the folder.

    A texture that moves to the left, to the right, or not at all, the three by turns, as are the labels.
    """
    import tensorflow as tf

    from keras_i3d.records import manifest, sequence_example
    from keras_i3d.specs import RecordSpec

    spec = RecordSpec(short_side=height)
    name, ids = manifest.shard_name(split, 0, 1), []
    with tf.io.TFRecordWriter(str(folder / name)) as file:
        for i in range(videos):
            index = i % len(labels)
            draw = np.random.default_rng((len(split), i))
            scene = tf.image.resize(draw.uniform(0, 255, (8, 20, 3)), (height, 2 * width)).numpy().astype("uint8")
            starts = width // 2 + np.arange(frames) * (1, -1, 0)[i % 3]
            ids.append(f"{split}/{i}")
            clip = (scene[:, start : start + width] for start in starts)
            file.write(
                sequence_example.encode(
                    clip, spec, id=ids[-1], label=labels[index], index=index, split=split, workers=1
                )
            )
    shard = manifest.Shard(name, tuple(ids), (folder / name).stat().st_size)
    manifest.Manifest(split, labels, spec, (shard,)).write(folder)
    return folder
