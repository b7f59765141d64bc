"""How often records are drawn where classes are uneven: the numbers of each class, over epochs, workers and resumes."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from made import small_records

from keras_i3d import data
from keras_i3d.data import augment
from keras_i3d.data.balancing import BITS, Balance
from keras_i3d.records import manifest
from keras_i3d.specs import RecordSpec

COUNTS = (25, 9, 1)  # records of each class
SPEC = RecordSpec(short_side=32, flow_method=None)
TRAINING = {"clip_frames": 2, "size": 24, "batch_size": 5, "with_ids": True, "training": True, "seed": 5}


def drawn(balance, epoch):
    return balance.times(augment.seed_of(7, epoch)).numpy()


def test_classes_have_as_many_clips_as_asked_for():
    """Within one clip, in every epoch; a record its weight rounded down or up; the epoch as many as there are."""
    classes = [(c,) for c, count in enumerate(COUNTS) for _ in range(count)]
    classes = [classes[i] for i in np.random.default_rng(0).permutation(len(classes))]
    roots = np.sqrt(COUNTS)
    for how, shares in (("equal", np.full(3, 35 / 3)), ("sqrt", 35 * roots / roots.sum())):
        balance = Balance(classes, how)
        totals, epochs = np.zeros(35), [drawn(balance, epoch) for epoch in range(60)]
        for times in epochs:
            found = np.bincount(np.ravel(classes), times)
            assert times.sum() == 35
            assert (abs(found - shares) < 1).all()
            exact = balance.weights / 2**BITS
            assert ((times == np.floor(exact)) | (times == np.ceil(exact))).all()
            totals += times
        assert len({tuple(times) for times in epochs}) == 60
        np.testing.assert_array_equal(epochs[3], drawn(balance, 3))
        np.testing.assert_allclose(totals / 60, exact, atol=0.25)  # no record is left out in the long run


def test_of_several_classes_the_one_that_asks_for_the_most_counts():
    """Class 0 has 6 records, class 1 has 2: factors 4 / 6 and 4 / 2, before they are scaled to 8 records."""
    classes = [(0,)] * 5 + [(0, 1), (1,), ()]
    weights = Balance(classes, "equal").weights / 2**BITS
    np.testing.assert_allclose(weights[:5], weights[5] / 3, rtol=1e-6)
    assert weights[5] == pytest.approx(weights[6])
    assert weights[7] == pytest.approx(weights[0])
    assert weights.sum() == pytest.approx(8)
    weights = Balance(classes, "sqrt").weights
    assert weights[5] / weights[0] == pytest.approx(3**0.5, rel=1e-6)
    left_out = Balance(classes, "equal", [False] * 5 + [True] * 3)
    assert (left_out.clips, drawn(left_out, 0)[:5].sum(), drawn(left_out, 0).sum()) == (3, 0, 3)
    assert drawn(Balance([], "equal"), 0).tolist() == []
    assert drawn(Balance([(), ()], "equal"), 0).tolist() == [1, 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 records, of the classes 0, 1, 2 by turns, said to be 9 of class 0, 2 of class 1 and 1 of class 2."""
    folder = tmp_path_factory.mktemp("uneven")
    small_records.split(folder, "train", 12, spec=SPEC)
    content = manifest.read(folder / "train.json")
    shards = [dataclasses.replace(s, classes=tuple((CLASS.get(id, 0),) for id in s.ids)) for s in content.shards]
    dataclasses.replace(content, shards=tuple(shards)).write(folder)
    return folder


CLASS = {"train/004.mp4": 1, "train/007.mp4": 1, "train/002.mp4": 2}


def ids(batches):
    return [id.decode() for batch in batches for id in batch[-1].numpy()]


def equal(a, b):
    a, b = list(a), list(b)
    assert len(a) == len(b) > 0
    return all(np.array_equal(x, y) for one, other in zip(a, b) for x, y in zip(one, other))


def test_epochs_of_records(folder):
    dataset = data.load(folder, balance="equal", **TRAINING)
    assert dataset.cardinality() == 3
    epochs = [list(dataset) for _ in range(4)]
    for batches in epochs:
        assert [len(batch[1]) for batch in batches] == [5, 5, 2]
        found = collections.Counter(CLASS.get(id, 0) for id in ids(batches))
        assert found == {0: 4, 1: 4, 2: 4}
        same = [x for x, _, names in batches for x, id in zip(x.numpy(), names.numpy()) if id == b"train/002.mp4"]
        assert len({x.tobytes() for x in same}) == 4  # each with draws of its own
    assert len({tuple(ids(batches)) for batches in epochs}) == 4
    endless = data.load(folder, balance="equal", repeat=True, **TRAINING | {"batch_size": 12})
    assert ids(endless.take(4)) == [id for batches in epochs for id in ids(batches)]


def test_it_resumes_to_the_batch_and_is_shared_by_workers(folder):
    endless = {**TRAINING, "repeat": True, "balance": "equal", "shuffle_buffer": 4, "batch_size": 4}
    whole = list(data.load(folder, **endless).take(7))
    for start in (4,):
        assert equal(whole[start:], data.load(folder, start_batch=start, **endless).take(7 - start))
    for i in range(2):
        part = list(data.load(folder, worker=(i, 2), **endless | {"batch_size": 2}).take(7))
        assert equal(part, [(x[i::2], y[i::2], id[i::2]) for x, y, id in whole])


@pytest.mark.slow
def test_all_draws_of_a_balanced_record_follow_each_other(folder):
    """A class of one record gives four times two clips, each another."""
    batches = list(data.load(folder, balance="equal", repeats=2, **TRAINING | {"batch_size": 8}))
    names = ids(batches)
    assert len(names) == 24
    assert names[::2] == names[1::2]
    same = [x for x, _, names in batches for x, id in zip(x.numpy(), names.numpy()) if id == b"train/002.mp4"]
    assert len({x.tobytes() for x in same}) == len(same) == 8


@pytest.mark.slow
def test_a_subset_and_several_data_sets(folder, tmp_path):
    """Classes 1 and 2 alone: three records, three clips an epoch. Each of two data sets is balanced by itself."""
    some = data.load(folder, balance="equal", classes=["right", "up"], **TRAINING | {"batch_size": 3})
    assert some.cardinality() == 1
    for _ in range(3):
        found = collections.Counter(CLASS.get(id, 0) for id in ids(some))
        assert found in ({1: 1, 2: 2}, {1: 2, 2: 1})
    small_records.split(tmp_path, "other", 6, seed=50, spec=SPEC)
    content = manifest.read(tmp_path / "other.json")
    shards = [dataclasses.replace(s, classes=((0,), (0,), (1,))) for s in content.shards]
    dataclasses.replace(content, shards=tuple(shards)).write(tmp_path)
    both = ids(data.load({"first": folder, "second": tmp_path}, balance="equal", **TRAINING | {"batch_size": 18}))
    assert collections.Counter(CLASS.get(id, 0) for id in both if id.startswith("train")) == {0: 4, 1: 4, 2: 4}
    last = {id for shard in content.shards for id in shard.ids[2:]}
    assert sum(id in last for id in both) == 3
    assert len(both) == 18


def test_what_cannot_be_balanced(folder, tmp_path):
    with pytest.raises(ValueError, match="balance is for training=True"):
        data.load(folder, balance="equal")
    (tmp_path / "third.tfrecord").write_bytes(b"")
    with pytest.raises(ValueError, match="needs manifests.*Received: balance=.sqrt. and .*third.tfrecord"):
        data.load(tmp_path, balance="sqrt", **TRAINING)


def test_what_is_not_drawn_is_not_parsed(tmp_path):
    """Bytes that are no record, of a class with so many records that an epoch leaves some out."""
    name = manifest.shard_name("train", 0, 1)
    small_records.split(tmp_path, "train", 2, spec=SPEC, shards=1)
    good = list(tf.data.TFRecordDataset(str(tmp_path / name)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(tmp_path / name)) as file:
        for record in [good[0], *[b"no record"] * 8, good[1]]:
            file.write(record)
    content = manifest.read(tmp_path / "train.json")
    (shard,) = content.shards
    shard = dataclasses.replace(
        shard, ids=(shard.ids[0], *(f"bad {i}" for i in range(8)), shard.ids[1]), classes=((0,), *[(0,)] * 8, (1,))
    )
    dataclasses.replace(content, shards=(shard,)).write(tmp_path)
    dataset = data.load(tmp_path, balance="equal", errors="count", **TRAINING)
    assert ids(dataset).count(shard.ids[-1]) == 5
    assert data.dropped(dataset)["unparseable"] < 6
