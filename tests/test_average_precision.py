"""Average precision: by hand, and against scikit-learn."""

import numpy as np
import pytest

from keras_i3d.average_precision import average_precision, mean

# Highest first the labels are 1 0 1 0; then of three equal scores one has the label; the third class nothing has.
SCORES = np.array([[0.9, 0.5, 1], [0.2, 0.5, 2], [0.8, 0.7, 3], [0.4, 0.5, 4]])
Y = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]])


def test_by_hand():
    found = average_precision(SCORES, Y)
    # precision is 1 at the first with the label and 2/3 at the second; three equal ones come in together, 1 of 4 then
    np.testing.assert_allclose(found, [(1 + 2 / 3) / 2, 1 / 4, np.nan])
    assert mean(found) == pytest.approx((5 / 6 + 1 / 4) / 2)
    assert mean(found, Y.sum(axis=0)) == pytest.approx((2 * 5 / 6 + 1 / 4) / 3)
    np.testing.assert_array_equal(average_precision(SCORES[::-1], Y[::-1]), found)
    assert np.isnan(mean([np.nan]))


def test_scores_of_minus_infinity_come_last():
    found = average_precision(np.array([[-np.inf], [1.0], [-np.inf]]), np.array([[True], [False], [False]]))
    np.testing.assert_allclose(found, [1 / 3])


def test_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
    draw = np.random.default_rng(0)
    y = (draw.random((200, 12)) < draw.random(12)).astype(np.float32)
    for scores in (draw.normal(size=y.shape) + y, draw.integers(0, 5, y.shape) + y, np.zeros(y.shape)):
        theirs = [sklearn.average_precision_score(y[:, i], scores[:, i]) for i in range(12)]
        np.testing.assert_allclose(average_precision(scores, y), theirs, rtol=1e-12)
        assert mean(average_precision(scores, y)) == pytest.approx(sklearn.average_precision_score(y, scores))
        weighted = sklearn.average_precision_score(y, scores, average="weighted")
        assert mean(average_precision(scores, y), y.sum(axis=0)) == pytest.approx(weighted)


@pytest.mark.parametrize(
    ("scores", "y", "message"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3)), "at least one of each"),
        (SCORES, Y[:, :2], r"labels of shape \(4, 2\)"),
        (SCORES, Y * 0.5, "0 or 1 for each class. Received: .0.5"),
        (np.full((1, 1), np.nan), np.ones((1, 1)), "must be numbers. Received: 1"),
    ],
)
def test_what_cannot_be_ranked(scores, y, message):
    with pytest.raises(ValueError, match=message):
        average_precision(scores, y)
