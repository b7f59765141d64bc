"""Weights of uneven classes in the loss."""

import numpy as np
import pytest

from keras_i3d.data import balancing
from keras_i3d.training.targets import class_weights


def test_their_mean_over_the_clips_is_1():
    counts = np.array([80, 15, 5, 0])
    assert class_weights([0, 0], "equal").tolist() == [1, 1]
    equal = class_weights(counts, "equal")
    np.testing.assert_allclose(equal, [100 / 240, 100 / 45, 100 / 15, 100 / 15])
    root = class_weights(counts, "sqrt")
    np.testing.assert_allclose(root[:3] * np.sqrt(counts[:3]), root[0] * np.sqrt(80))
    for found in (equal, root):
        assert found @ counts / 100 == pytest.approx(1)


def test_they_are_of_the_clips_that_are_drawn():
    """Classes that balance has made even weigh alike, and the mean over what is drawn is 1."""
    counts = np.array([90, 10, 0])
    np.testing.assert_allclose(balancing.clips_of(counts, "none"), counts)
    np.testing.assert_allclose(balancing.clips_of(counts, "equal"), [50, 50, 0])
    np.testing.assert_allclose(class_weights(balancing.clips_of(counts, "equal"), "equal"), 1)
    drawn = balancing.clips_of(counts, "sqrt")
    np.testing.assert_allclose(drawn, [75, 25, 0])
    assert class_weights(drawn, "equal") @ drawn / 100 == pytest.approx(1)
