"""F1, thresholds and means of several labels: by hand, by every possible threshold, and against scikit-learn."""

import numpy as np
import pytest

from keras_i3d.evaluation import fusion, label_metrics, metrics
from keras_i3d.evaluation.measuring import measured
from keras_i3d.evaluation.scores import Scores
from keras_i3d.probabilities import sigmoid

P = np.array([[0.9, 0.2], [0.6, 0.8], [0.4, 0.7], [0.1, 0.3]])
Y = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], bool)
LABELS = tuple("abcdef")


def made(seed=0, count=60, streams=("rgb", "flow"), split="test", noise=(1.0, 1.0), ids=None):
    draw = np.random.default_rng(seed)
    y = draw.random((count, 6)) < (0.5, 0.3, 0.2, 0.1, 0.4, 0)
    logits = {s: np.float32(2 * y - 1.5 + draw.normal(0, n, y.shape)) for s, n in zip(streams, noise)}
    ids = tuple(f"{split}/{i}" for i in range(count))
    return Scores(ids, y, LABELS, logits, "whole", split, activation="sigmoid", labelling="multi")


def test_f1_by_hand():
    assert label_metrics.f1(P, Y, [0.5, 0.5]).tolist() == [0.5, 0.5]  # one right, one wrong, one missed, in both
    assert label_metrics.f1(P, Y, [0.4, 0.71]).tolist() == pytest.approx([0.8, 2 / 3])  # a threshold itself counts
    found = label_metrics.measure(P, Y, P, [0.4, 0.71])
    assert found.micro_f1 == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.mean_ap == pytest.approx(((1 + 2 / 3) / 2 + (1 + 2 / 3) / 2) / 2)
    assert (found.videos, found.classes, found.frame_ap) == (4, 2, None)


def test_chosen_thresholds_by_hand():
    # of a, above 0.1: 0.8; of b, above 0.7: 2/3, and above nothing: 2/3 too, of which halfway from 0.7 to 0.8 is nearer
    np.testing.assert_allclose(label_metrics.choose_thresholds(P, Y), [0.25, 0.25])
    np.testing.assert_allclose(label_metrics.choose_thresholds(P[:3], Y[:3])[1], 0.75)
    empty = label_metrics.choose_thresholds(P, Y & [True, False])
    assert empty[1] == 0.5


@pytest.mark.parametrize("decimals", [1, 6])
def test_no_other_threshold_is_better(decimals):
    found = made(3)
    shares = np.round(sigmoid(found.logits["rgb"]), decimals)
    chosen = label_metrics.choose_thresholds(shares, found.y)
    best = label_metrics.f1(shares, found.y, chosen)
    every = [label_metrics.f1(shares, found.y, np.full(6, t)) for t in [*np.unique(shares), 0, 1.1]]
    np.testing.assert_allclose(best, np.max(every, axis=0))
    assert (best[:5] > label_metrics.f1(shares, found.y, np.full(6, 0.5))[:5]).any()
    assert chosen[5] == 0.5


def test_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
    scored = made(1)
    shares, y = sigmoid(scored.logits["rgb"]), scored.y
    found = label_metrics.measure(scored.logits["rgb"], y, shares, np.full(6, 0.4))
    said = shares >= 0.4
    assert found.micro_f1 == pytest.approx(sklearn.f1_score(y, said, average="micro"))
    assert found.macro_f1 == pytest.approx(sklearn.f1_score(y[:, :5], said[:, :5], average="macro"))
    assert found.mean_ap == pytest.approx(sklearn.average_precision_score(y[:, :5], shares[:, :5]))
    assert found.weighted_ap == pytest.approx(
        sklearn.average_precision_score(y[:, :5], shares[:, :5], average="weighted")
    )


def test_chance_is_what_guesses_give():
    scored = made(2, count=4000)
    found = label_metrics.chance(scored.y)
    guessed = label_metrics.measure(np.random.default_rng(0).random(scored.y.shape), scored.y, None, None)
    assert found.mean_ap == pytest.approx(guessed.mean_ap, abs=0.02)
    assert found.weighted_ap == pytest.approx(guessed.weighted_ap, abs=0.02)
    assert found.micro_f1 is guessed.micro_f1 is None


def test_streams_are_fused():
    found, val = made(2), made(1, split="val", noise=(1.0, 9.0))
    total, said = fusion.fuse(found, "sum")
    np.testing.assert_allclose(total, sum(map(np.float64, found.logits.values())))
    mean, _ = fusion.fuse(found, "mean")
    np.testing.assert_allclose(sigmoid(mean), np.mean([sigmoid(x) for x in found.logits.values()], axis=0))
    np.testing.assert_array_equal(total >= 0, np.mean(list(found.logits.values()), axis=0) >= 0)  # at 0.5
    weights = fusion.fit_weights(val, ["rgb", "flow"])
    assert weights[0] > 3 * weights[1]  # the second stream of that split is noise
    aps = [measured(val, "weights", made(1, split="other", noise=(1, 9))).metrics[n].mean_ap for n in ("fused", "flow")]
    assert aps[0] > aps[1] + 0.1
    pytest.importorskip("sklearn", reason="fits an SVM")
    with pytest.raises(ValueError, match="takes one label a video. Received: multi labels"):
        fusion.fuse(found, "svm", val)


def test_thresholds_given_noted_and_chosen():
    scored = made(2)
    plain, given = measured(scored), measured(scored, thresholds=0.3)
    assert plain.threshold_line() == "F1 at thresholds of 0.5"
    assert given.threshold_line() == "F1 at thresholds of 0.3"
    assert given.metrics["fused"].micro_f1 != plain.metrics["fused"].micro_f1
    chosen = measured(scored, choose_thresholds=True)
    assert "F1 at thresholds chosen on test (), protocol whole" in str(chosen)
    for name, found in chosen.metrics.items():
        assert found.macro_f1 >= plain.metrics[name].macro_f1
    assert chosen.metrics["fused"].mean_ap == plain.metrics["fused"].mean_ap
    assert chosen.record()["thresholds"]["rgb"] == chosen.thresholds["rgb"].tolist()


def test_intervals_of_few_videos():
    low, high = metrics.interval(0.5, 10)
    assert (low, high) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Wilson's, of 5 in 10
    assert metrics.interval(1.0, 4) == pytest.approx((0.5101, 1.0), abs=1e-4)
    y = np.array([0] * 6 + [1] * 4)
    logits = {"rgb": np.float32(np.eye(3)[y])}
    scored = Scores(tuple(map(str, range(10))), y, ("a", "b", "c"), logits, "whole")
    said = "1 class has under 5 videos (b: 4), so accuracies are uncertain; 95 % intervals of top-1: rgb 72.2 to 100.0"
    assert str(measured(scored)).endswith(said)
    many = Scores(tuple(map(str, range(9))), y[:9] * 0, ("a", "b", "c"), {"rgb": logits["rgb"][:9]}, "whole")
    assert measured(many).uncertainty() == ""
