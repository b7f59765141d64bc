"""Mixup and cutmix: what is drawn, what is mixed with what, and that runs resume and share batches with them."""

import numpy as np
import pytest
import tensorflow as tf
from made import numbered, smooth

from keras_i3d import data, flow
from keras_i3d.data import augment, mixing

SMALL = {"clip_frames": 3, "size": 24, "training": True, "batch_size": 8, "seed": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(numbered.build(tmp_path_factory.mktemp("mixing") / "train"))


def draws(count, mixup, cutmix, size=50):
    """Returns (weights, windows) of `count` draws."""

    def one(number):
        drawn = mixing.drawn(augment.seed_of(3, number), mixup, cutmix, size)
        return drawn["weight"], drawn["cut"]

    @tf.function
    def all_of_them():
        numbers = tf.range(count, dtype=tf.int64)
        return tf.map_fn(one, numbers, fn_output_signature=(tf.float32, tf.int32))

    return [values.numpy() for values in all_of_them()]


@pytest.mark.parametrize("alpha", [0.4, 2.0])
def test_mixup_draws_from_beta(alpha):
    """Beta(a, a) has the mean 1 / 2 and the variance 1 / (8 a + 4)."""
    weights, windows = draws(600, alpha, 0.0)
    assert not windows.any()
    assert weights.mean() == pytest.approx(0.5, abs=0.06)
    assert weights.var() == pytest.approx(1 / (8 * alpha + 4), rel=0.15)
    assert len(np.unique(weights)) > 590


def test_cutmix_draws_windows():
    """Square, all over the picture, cut off at its border; of Beta(1, 1) a half of the picture before that."""
    weights, windows = draws(400, 0.0, 1.0)
    top, left, rows, columns = windows.T
    assert (weights == 1).all()
    assert (top.min(), left.min()) == (0, 0)
    assert ((top + rows).max(), (left + columns).max()) == (50, 50)
    free = windows[(top > 0) & (left > 0) & (top + rows < 50) & (left + columns < 50)]
    assert len(free) > 50
    assert (free[:, 2] == free[:, 3]).all()
    assert rows.max() > 40
    # Of a window of side s, in parts of the picture, s - s * s / 4 lies within; s * s is even in 0..1.
    sides = np.sqrt((np.arange(1000) + 0.5) / 1000)
    assert (rows * columns).mean() / 2500 == pytest.approx(((sides - sides**2 / 4) ** 2).mean(), rel=0.1)


def test_with_both_half_of_the_clips_take_one():
    weights, windows = draws(300, 0.4, 1.0)
    cut = weights == 1
    assert cut.mean() == pytest.approx(0.5, abs=0.1)
    assert not windows[~cut].any()


def test_a_tiny_alpha_is_one_clip_or_the_other():
    weights, _ = draws(200, 0.001, 0.0)
    assert np.isfinite(weights).all()
    assert np.mean(abs(weights - 0.5) > 0.49) > 0.95


def test_labels_are_the_shares_of_pixels():
    """Clips of one value each: the mean over a clip's pixels is what its labels say of these values."""
    values = np.float32([1, 2, 4, 8, 16])
    clips = tf.broadcast_to(values[:, None, None, None, None], (5, 2, 50, 50, 3))
    weights, windows = draws(5, 0.4, 1.0)
    assert 0 < (weights == 1).sum() < 5
    mixed = tf.function(mixing.mixed)(clips, weights, windows).numpy()
    y = mixing.mixed_labels(tf.eye(5), weights, windows, 50).numpy()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed.mean((1, 2, 3, 4)), y @ values, rtol=1e-5)
    for i, row in enumerate(y):
        assert set(np.flatnonzero(row)) <= {i, (i + 2) % 5}
    np.testing.assert_array_equal(mixed, mixed[:, :1].repeat(2, 1))  # all frames alike
    multi = mixing.mixed_labels(tf.constant([[1.0, 1, 0], [0, 1, 1]]), weights[:2], windows[:2] * 0, 50)
    np.testing.assert_allclose(multi, [[weights[0], 1, 1 - weights[0]], [1 - weights[1], 1, weights[1]]], rtol=1e-6)


def test_a_batch_is_mixed_in_both_streams_by_one_draw(folder):
    """Each clip with the one half a batch further on: rgb, flow and labels agree."""
    ((plain, classes),) = data.load(folder, "both", **SMALL)
    ((mixed, y),) = data.load(folder, "both", joined=True, mixup=0.8, cutmix=1.0, **SMALL)
    plain, y = {name: x.numpy() for name, x in plain.items()}, y.numpy()
    mixed = {"rgb": mixed[..., :3].numpy(), "flow": mixed[..., 3:].numpy()}
    assert (y.dtype, y.shape) == (np.float32, (8, 3))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    kinds = set()
    for i in range(8):
        partner = (i + 4) % 8
        own, other, got = plain["rgb"][i], plain["rgb"][partner], mixed["rgb"][i]
        share = np.sum((got - own) * (other - own), axis=(0, 3)) / np.sum((other - own) ** 2, axis=(0, 3))  # of it
        own, other, got = plain["flow"][i], plain["flow"][partner], mixed["flow"][i]
        np.testing.assert_allclose(got, own + share[None, ..., None] * (other - own), atol=2e-3)
        expected = np.zeros(3)
        np.add.at(expected, classes.numpy()[[i, partner]], [1 - share.mean(), share.mean()])
        np.testing.assert_allclose(y[i], expected, atol=1e-3)
        kinds.add("mixup" if np.ptp(share) < 1e-3 else "cutmix")
    assert kinds == {"mixup", "cutmix"}


def test_the_flow_of_a_cut_clip_is_the_flow_of_its_frames():
    """But near the edges of the window, where any answer fits. Measured: 0.05 pixels apart, at a speed of 2.5."""
    clips = np.stack([smooth.film(seed, frames=4)[:, :, :64] for seed in (0, 1)])
    fields = np.stack([flow.tvl1(clip) for clip in clips])
    weights, windows = tf.ones(2), tf.constant([[16, 0, 48, 40], [0, 0, 0, 0]])
    frames = mixing.mixed(tf.constant(clips, tf.float32), weights, windows)[0].numpy()
    found = mixing.mixed(tf.constant(fields), weights, windows)[0].numpy()
    np.testing.assert_array_equal(frames[:, 16:, :40], clips[1, :, 16:, :40])
    np.testing.assert_array_equal(frames[:, :16], clips[0, :, :16])
    apart = np.linalg.norm(flow.tvl1(frames.astype("uint8")) - found, axis=-1)
    for clear in (np.s_[:, 26:58, 6:30], np.s_[:, 6:58, 50:58]):
        assert apart[clear].mean() < 0.15
        assert np.linalg.norm(found, axis=-1)[clear].mean() > 1.5


def equal(a, b):
    a, b = tf.nest.flatten(list(a)), tf.nest.flatten(list(b))
    assert len(a) == len(b) > 0
    return all(np.array_equal(x, y) for x, y in zip(a, b))


EVERYTHING = {"area": (0.3, 0.8), "aspect": (0.6, 1.6), "strides": (1, 3), "reverse": 0.5, "erase": 0.5, "repeats": 2}
EVERYTHING |= {"mixup": 0.8, "cutmix": 1.0, "color_jitter": 0.2}


def test_everything_resumes_and_is_shared_to_the_bit(folder):
    """16 draws an epoch in batches of 12, over epochs; from a later one on, by the second of two processes."""
    settings = SMALL | EVERYTHING | {"stream": "both", "repeat": True, "shuffle_buffer": 4, "with_ids": True}
    whole = list(data.load(folder, **(settings | {"batch_size": 12})).take(5))
    assert len({tuple(x["rgb"].numpy().ravel()[:50]) for x, _, _ in whole}) == 5
    part = data.load(folder, worker=(1, 2), start_batch=3, **(settings | {"batch_size": 6})).take(2)
    assert equal(part, [tf.nest.map_structure(lambda values: values[1::2], batch) for batch in whole[3:]])


@pytest.mark.slow
def test_three_share_a_batch_and_another_seed_gives_another(folder):
    settings = SMALL | EVERYTHING | {"stream": "rgb", "repeat": True, "shuffle_buffer": 4}
    ((x, y),) = data.load(folder, **(settings | {"batch_size": 12})).take(1)
    for index in range(3):
        part = data.load(folder, worker=(index, 3), **(settings | {"batch_size": 4})).take(1)
        assert equal(part, [(x[index::3], y[index::3])])
    assert not equal([(x, y)], data.load(folder, **(settings | {"batch_size": 12, "seed": 6})).take(1))


def test_repeats_follow_each_other(folder):
    """Each draw is another; the first is what a single one would be; an epoch has all of each video."""
    settings = SMALL | {"stream": "both", "with_ids": True, "shuffle_buffer": 4}
    twice = data.load(folder, **settings, repeats=2)
    assert twice.cardinality() == 2
    single = {id: rgb for x, _, names in data.load(folder, **settings) for rgb, id in zip(x["rgb"], names.numpy())}
    x, y, ids = (np.concatenate(parts) for parts in zip(*((x["rgb"], y, ids) for x, y, ids in twice)))
    assert sorted(ids.tolist()) == sorted(2 * [f"v{i}".encode() for i in range(8)])
    assert (ids[::2] == ids[1::2]).all()
    assert (y[::2] == y[1::2]).all()
    for id, first, second in zip(ids[::2], x[::2], x[1::2]):
        np.testing.assert_array_equal(first, single[id])
        assert not np.array_equal(first, second)
    starts = [frames[0] for frames in numbered.which_frames(x)]
    assert sum(a != b for a, b in zip(starts[::2], starts[1::2])) >= 4


def test_what_cannot_be_mixed(folder, tmp_path):
    numbered.write(tmp_path / "third.tfrecord", [numbered.encode(5, id="v", label="run", index=0)])
    for settings, message in (
        ({"mixup": -1.0}, "mixup must be at least 0"),
        ({"cutmix": 1.0, "training": False}, "cutmix is for training=True"),
        ({"mixup": 1.0, "batch_size": 1}, "batch_size must be at least 2, and twice repeats"),
        ({"mixup": 1.0, "repeats": 8}, "Received: batch_size=8 and repeats=8"),
        ({"mixup": 1.0, "batch_size": 3, "worker": (0, 2), "repeat": True}, "must be even. Received: batch_size=3"),
        ({"mixup": 1.0, "worker": (0, 2)}, "need repeat=True or drop_remainder=True"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(folder, **(SMALL | settings))
    with pytest.raises(ValueError, match=r"Pass classes=range\(N\). Received: .*third"):
        data.load([tmp_path / "third.tfrecord"], mixup=1.0, **SMALL)
    with pytest.raises(ValueError, match="cutmix is for one data set. Received: cutmix=1.0"):
        data.load({"a": folder}, cutmix=1.0, **SMALL)
