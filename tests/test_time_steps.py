"""Rows of logits to frames: places by hand, and the same by both roads."""

import numpy as np

from keras_i3d import time_steps


def test_rows_stand_at_the_middle_of_their_frames():
    """I3D's: steps of 8 frames, rows of two steps: frames 0 to 15, 8 to 23, 16 to 31."""
    assert time_steps.middles(3, 8, 2).tolist() == [7.5, 15.5, 23.5]
    assert time_steps.middles(2, 1, 1).tolist() == [0, 1]  # of a network with a row a frame


def test_frames_by_hand():
    rows = np.array([[0.0, 8.0], [16.0, 8.0], [0.0, -8.0]])
    found = time_steps.at(rows, [0, 7, 8, 11.5, 15.5, 19.5, 31], 8, 2)
    np.testing.assert_allclose(found[:, 0], [0, 0, 1, 8, 16, 8, 0])  # frame 8 is a sixteenth of the way
    np.testing.assert_allclose(found[:, 1], [8, 8, 8, 8, 8, 0, -8])
    np.testing.assert_array_equal(time_steps.at(rows[:1], [0, 20], 8, 2), rows[[0, 0]])


def test_the_matrix_is_the_same():
    rows = np.random.default_rng(0).normal(size=(7, 5))
    found = time_steps.matrix(64, 7, 8, 2)
    assert (found.shape, found.dtype) == ((64, 7), np.float32)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found @ rows, time_steps.at(rows, np.arange(64), 8, 2), atol=1e-6)
    whole = time_steps.at(np.concatenate([rows, rows]), np.arange(40), 8, 2)  # the clip goes on
    np.testing.assert_allclose(found[:40] @ rows, whole, atol=1e-6)


def test_stretches_by_hand():
    there = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    assert time_steps.stretches(there, 2) == ((0, 1), (2, 2.5), (3, 3.5))
    assert time_steps.stretches(there[2:4], 2) == time_steps.stretches(there[:0], 2) == ()
