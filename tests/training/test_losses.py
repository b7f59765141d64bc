"""Losses of several labels a clip, of labels over time, of shares of classes, and of uneven classes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_i3d.training.losses import LabelCrossentropy, to_frames
from keras_i3d.training.objective import SmoothedCrossentropy

DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(4, 3)).astype("float32")
Y = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], "float32")


def binary(y, logits):
    """By the definition, of each entry."""
    p = 1 / (1 + np.exp(-np.float64(logits)))
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def test_labels_of_a_clip():
    loss = LabelCrossentropy()
    assert float(loss(Y, LOGITS)) == pytest.approx(binary(Y, LOGITS).mean(), rel=1e-6)
    assert float(loss(Y, LOGITS)) == pytest.approx(float(keras.losses.BinaryCrossentropy(from_logits=True)(Y, LOGITS)))
    smoothed = Y * 0.8 + 0.1
    assert float(LabelCrossentropy(0.2)(Y, LOGITS)) == pytest.approx(binary(smoothed, LOGITS).mean(), rel=1e-6)
    weighted = np.where(Y == 1, [3, 0.5, 1], 1) * binary(Y, LOGITS)
    assert float(LabelCrossentropy(weights=(3, 0.5, 1))(Y, LOGITS)) == pytest.approx(weighted.mean(), rel=1e-6)
    rows = DRAW.normal(size=(4, 5, 3)).astype("float32")  # each of the clip
    assert float(loss(Y, rows)) == pytest.approx(binary(Y[:, None], rows).mean(), rel=1e-6)
    assert np.isfinite(float(loss(Y, np.float32([[1e4, -1e4, 0]] * 4))))
    half = loss(ops.cast(Y, "float16"), ops.cast(LOGITS, "float16"))
    assert (keras.backend.standardize_dtype(half.dtype), loss.get_config()["smoothing"]) == ("float32", 0)


def test_labels_over_time():
    """Two rows of logits, in the middles of frames 0 to 3 and 2 to 5: 1.5 and 3.5. Half of the loss is on the clip."""
    rows = np.float32([[[2.0, -1.0], [-2.0, 3.0]]])
    y = np.zeros((1, 6, 2), "float32")
    y[0, 2:4, 0] = 1
    frames = np.array([[2, -1], [2, -1], [1, 0], [-1, 2], [-2, 3], [-2, 3]])
    np.testing.assert_allclose(to_frames(rows, 6, 2, 2)[0], frames, atol=1e-6)
    per_frame = binary(y[0], frames).mean()
    per_clip = binary(np.array([1, 0]), np.array([2, 3])).mean()
    for share in (0.5, 0.0, 1.0):
        loss = LabelCrossentropy(frame_loss=share, step=2, window=2)
        assert float(loss(y, rows)) == pytest.approx(share * per_frame + (1 - share) * per_clip, rel=1e-6)


def test_shares_of_classes():
    """Of mixed clips, with what is spread; a share that is whole is an index."""
    shares = np.float32([[0.25, 0.75, 0], [0, 0, 1], [1, 0, 0], [0.5, 0.25, 0.25]])
    logs = np.log(np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True))
    expected = -((shares * 0.9 + 0.1 / 3) * logs).sum(axis=1)
    assert float(SmoothedCrossentropy(0.1)(shares, LOGITS)) == pytest.approx(expected.mean(), rel=1e-6)
    index = np.array([1, 2, 0, 0])
    hard = SmoothedCrossentropy(0.1)(np.eye(3, dtype="float32")[index], LOGITS)
    assert float(hard) == pytest.approx(float(SmoothedCrossentropy(0.1)(index, LOGITS)), rel=1e-6)


def test_uneven_classes():
    weights, index = (0.5, 2.0, 1.0), np.array([1, 2, 0, 0])
    each = np.array([float(SmoothedCrossentropy(0.1)(index[i : i + 1], LOGITS[i : i + 1])) for i in range(4)])
    loss = SmoothedCrossentropy(0.1, weights=weights)
    assert float(loss(index, LOGITS)) == pytest.approx((each * [2, 1, 0.5, 0.5]).mean(), rel=1e-6)
    shares = np.float32([[0.5, 0.5, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]])
    plain = SmoothedCrossentropy(0.1)
    first = 1.25 * float(plain(shares[:1], LOGITS[:1]))
    assert float(loss(shares[:1], LOGITS[:1])) == pytest.approx(first, rel=1e-6)
    rows = np.stack([LOGITS, LOGITS + [1, 0, 0]], axis=1).astype("float32")
    of_rows = np.array([float(plain(index[i : i + 1], rows[i : i + 1])) for i in range(4)])
    assert float(loss(index, rows)) == pytest.approx((of_rows * [2, 1, 0.5, 0.5]).mean(), rel=1e-6)
    again = SmoothedCrossentropy.from_config(loss.get_config())
    assert float(again(index, LOGITS)) == float(loss(index, LOGITS))
