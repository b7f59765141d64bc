"""Several data sets read as one: how they are mixed, and that a run of them resumes to the clip."""

import dataclasses

import numpy as np
import pytest
from made import small_records

from keras_i3d import data
from keras_i3d.specs import RecordSpec

SIZES = {"many": 18, "few": 6}
SPEC = RecordSpec(short_side=32, flow_method=None)
SMALL = {"clip_frames": 2, "size": 24, "batch_size": 3, "with_ids": True}
TRAINING = {**SMALL, "training": True, "seed": 5, "repeat": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    for seed, (name, videos) in enumerate(SIZES.items()):
        small_records.split(folder / name, name, videos, seed=100 * seed, spec=SPEC)
    return folder


@pytest.fixture(scope="module")
def patterns(folder):
    return {name: f"{folder / name}/*.tfrecord" for name in SIZES}


def ids(dataset):
    return [id.decode() for batch in dataset for id in batch[-1].numpy()]


def equal(a, b):
    a, b = list(a), list(b)
    assert len(a) == len(b) > 0
    return all(np.array_equal(x, y) for one, other in zip(a, b) for x, y in zip(one, other))


def test_an_epoch_has_every_record_once_in_proportion(patterns):
    """Three of `many` for each of `few`, all through the epoch; the classes of `few` follow those of `many`."""
    batches = list(data.load(patterns, **TRAINING).take(8 * 20))
    shares = []
    for epoch in range(20):
        one = batches[8 * epoch : 8 * epoch + 8]
        found = ids(one)
        assert sorted(found) == sorted(f"{name}/{i:03}.mp4" for name, videos in SIZES.items() for i in range(videos))
        shares.append([id.startswith("few") for id in found])
        for id, y in zip(found, np.concatenate([y for _, y, _ in one])):
            name, number = id[:-4].split("/")
            assert y == int(number) % 3 + 3 * (name == "few")
    parts = np.mean(shares, axis=0).reshape(4, 6).mean(axis=1)  # of a quarter of an epoch, over 20: 0.25 expected
    assert np.all(abs(parts - 0.25) < 0.12)
    assert len({tuple(share) for share in shares}) == 20


@pytest.fixture(scope="module")
def whole(patterns):
    """The batches of an epoch, and three of the next."""
    return list(data.load(patterns, **TRAINING).take(11))


@pytest.mark.parametrize("start", [pytest.param(2, marks=pytest.mark.slow), 9])
def test_it_resumes_to_the_clip(start, patterns, whole):
    assert equal(whole[start:], data.load(patterns, start_batch=start, **TRAINING).take(11 - start))


def test_another_seed_is_another_order(patterns, whole):
    assert not equal(whole, data.load(patterns, **{**TRAINING, "seed": 6}).take(11))


def test_workers_share_each_batch(patterns):
    whole = list(data.load(patterns, **{**TRAINING, "batch_size": 6}).take(5))
    for i in range(2):
        part = list(data.load(patterns, worker=(i, 2), **TRAINING).take(5))
        assert equal(part, [(x[i::2], y[i::2], id[i::2]) for x, y, id in whole])


def test_the_first_is_drawn_as_alone(patterns, whole):
    """Its clips, windows and flips come from the places of its records, whatever else is read."""
    alone = data.load(patterns["many"], **TRAINING).take(6)
    alone = {id: x for batch, _, names in alone.as_numpy_iterator() for x, id in zip(batch, names)}
    mixed = {id: x for batch, _, names in whole[:8] for x, id in zip(batch.numpy(), names.numpy())}
    assert set(alone) < set(mixed)
    for id, x in alone.items():
        np.testing.assert_array_equal(x, mixed[id])


def test_all_draws_of_a_video_follow_each_other(patterns):
    found = ids(data.load(patterns, repeats=3, **TRAINING).take(24))
    assert sorted(found[::3]) == sorted(f"{name}/{i:03}.mp4" for name, videos in SIZES.items() for i in range(videos))
    assert found[::3] == found[1::3] == found[2::3]
    assert found[::3] != sorted(found[::3])


def test_without_training_they_follow_each_other(patterns):
    dataset = data.load(patterns, **SMALL)
    assert dataset.cardinality() == 8
    each = [batch for pattern in patterns.values() for batch in data.load(pattern, **SMALL)]
    found = list(dataset)
    assert ids(found) == ids(each)
    shift = np.repeat([0, 3], list(SIZES.values()))
    y, own = (np.concatenate([y for _, y, _ in some]) for some in (found, each))
    np.testing.assert_array_equal(y, own + shift)


def test_without_a_seed_all_draw_from_one(patterns):
    endless = {**TRAINING, "seed": None}
    assert not equal(data.load(patterns, **endless).take(8), data.load(patterns, **endless).take(8))


def test_a_damaged_record_is_counted(patterns, folder, tmp_path):
    for path in (folder / "few").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = sorted(tmp_path.glob("*.tfrecord"))[1]
    file.write_bytes(file.read_bytes()[:-9])
    damaged = {**patterns, "few": f"{tmp_path}/*.tfrecord"}
    dataset = data.load(damaged, errors="count", **SMALL)
    assert len(ids(dataset)) == 23
    assert data.dropped(dataset)["lost"] == 1


def test_what_cannot_be_mixed(patterns, tmp_path):
    for given in ({"classes": [0]}, {"cache": True}, {"shard": (0, 2)}):
        (name,) = given
        with pytest.raises(ValueError, match=f"{name} is for one data set. Received: {name}="):
            data.load(patterns, **SMALL, **given)
    other = small_records.split(tmp_path, "other", 3, spec=dataclasses.replace(SPEC, fps=10))
    with pytest.raises(ValueError, match="must agree. Received: fps: 25 and 10"):
        data.load({**patterns, "other": other}, **SMALL)
    with pytest.raises(ValueError, match="records of its own. Received: .*in many and again"):
        data.load({**patterns, "again": patterns["many"]}, **SMALL)
    with pytest.raises(ValueError, match="Received: none"):
        data.load({}, **SMALL)
    (tmp_path / "third.tfrecord").write_bytes(b"")
    with pytest.raises(ValueError, match="have manifests, .* Received: third"):
        data.load({**patterns, "third": str(tmp_path / "third.tfrecord")}, **SMALL)
    with pytest.raises(ValueError, match="hold no flow"):
        data.load(patterns, "flow", **SMALL)
