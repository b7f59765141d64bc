"""Metrics and fusion on numbers: by hand, and against scikit-learn."""

import json

import numpy as np
import pytest

from keras_i3d.evaluation import fusion, metrics, report, scores
from keras_i3d.evaluation.evaluation import rescore
from keras_i3d.evaluation.measuring import measured
from keras_i3d.evaluation.scores import Scores
from keras_i3d.probabilities import softmax

LABELS = tuple(f"class {i}" for i in range(8))
BY_HAND = np.array([[3, 1, 2], [1, 3, 2], [2, 3, 1], [0, 0, 0]])


def made(seed=0, count=90, streams=("rgb", "flow"), noise=(1.0, 2.5), split="test", classes=8, skill=2.0):
    """Scores of streams of which the first knows more."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, count)
    logits = {
        stream: np.float32(skill * np.eye(classes)[y] + draw.normal(0, level, (count, classes)))
        for stream, level in zip(streams, noise)
    }
    ids = tuple(f"{split}/{i}" for i in range(count))
    return Scores(ids, y, LABELS[:classes], logits, "whole", split, "records")


def test_by_hand():
    y = np.array([0, 2, 0, 1])
    # named as 0, 1, 1, 0 (of equals the first); the right classes rank 1st, 2nd, 2nd, 2nd
    assert metrics.rank(BY_HAND, y).tolist() == [0, 1, 1, 1]
    assert (metrics.top_k(BY_HAND, y, 1), metrics.top_k(BY_HAND, y, 2)) == (0.25, 1.0)
    assert metrics.confusion(BY_HAND, y).tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert metrics.class_accuracy(BY_HAND, y).tolist() == [0.5, 0, 0]
    assert metrics.measure(BY_HAND, y) == metrics.Metrics(0.25, 1.0, 0.5 / 3, 4, 3)
    worst = metrics.worst_confusions(metrics.confusion(BY_HAND, y))
    assert worst == [(0, 1, 1, 0.5), (1, 0, 1, 1.0), (2, 1, 1, 1.0)]


def test_a_class_without_videos_does_not_count():
    found = metrics.measure(BY_HAND[:2], np.array([0, 2]))
    assert (found.mean_class, found.classes) == (0.5, 2)
    assert np.isnan(metrics.class_accuracy(BY_HAND[:2], np.array([0, 2]))[1])


def test_mean_class_accuracy_is_not_top1():
    y = np.array([0] * 9 + [1])
    found = metrics.measure(np.tile([1.0, 0.0], (10, 1)), y)
    assert (found.top1, found.mean_class) == (0.9, 0.5)


def test_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
    found = made(3)
    logits, y = found.logits["flow"], found.y
    ours = metrics.measure(logits, y)
    assert ours.top1 == pytest.approx(sklearn.accuracy_score(y, logits.argmax(1)), abs=1e-12)
    assert ours.top5 == pytest.approx(sklearn.top_k_accuracy_score(y, logits, k=5, labels=range(8)), abs=1e-12)
    assert metrics.top_k(logits, y, 2) == pytest.approx(sklearn.top_k_accuracy_score(y, logits, k=2, labels=range(8)))
    assert ours.mean_class == pytest.approx(sklearn.balanced_accuracy_score(y, logits.argmax(1)), abs=1e-12)
    np.testing.assert_array_equal(
        metrics.confusion(logits, y), sklearn.confusion_matrix(y, logits.argmax(1), labels=range(8))
    )
    entropy = sklearn.log_loss(y, softmax(logits), labels=range(8))
    assert fusion.cross_entropy(logits, y) == pytest.approx(entropy, rel=1e-6)
    assert 0.2 < ours.top1 < 0.8


@pytest.mark.parametrize(
    ("values", "y", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "at least one of each"),
        (BY_HAND, np.array([0, 1]), "one class index a video"),
        (BY_HAND, np.array([0, 1, 2, 3]), r"whole numbers in 0..2"),
        (BY_HAND, np.array([0, 1, 2, -1]), r"whole numbers in 0..2"),
        (np.full((1, 3), np.nan), np.array([0]), "finite"),
    ],
)
def test_what_cannot_be_measured(values, y, message):
    with pytest.raises(ValueError, match=message):
        metrics.measure(values, y)


def test_sum_and_mean():
    found = made()
    total, said = fusion.fuse(found, "sum")
    rgb, flow = map(np.float64, found.logits.values())
    np.testing.assert_allclose(total, rgb + flow, rtol=1e-12)
    assert said == "sum of logits"
    mean, said = fusion.fuse(found, "mean")
    parts = [np.exp(logits) / np.exp(logits).sum(1, keepdims=True) for logits in found.logits.values()]
    np.testing.assert_allclose(np.exp(mean), (parts[0] + parts[1]) / 2, rtol=1e-5)
    assert (mean.argmax(1) != total.argmax(1)).any()  # they are not the same thing


def test_fitted_weights_do_what_they_say():
    fit_on, found = made(1, split="val"), made(2)
    fused, said = fusion.fuse(found, "weights", fit_on)
    weights = fusion.fit_weights(fit_on, ["rgb", "flow"])
    assert sum(weights) == pytest.approx(2)
    assert weights[0] > weights[1] > 0  # the rgb stream was made with less noise
    rgb, flow = map(np.float64, found.logits.values())
    np.testing.assert_allclose(fused, weights[0] * rgb + weights[1] * flow, rtol=1e-12)
    assert f"rgb {weights[0]:.2f}, flow {weights[1]:.2f}; fitted on val" in said

    def accuracy(share):
        both = (share * fit_on.logits["rgb"] + (1 - share) * fit_on.logits["flow"]).argmax(1)
        return (both == fit_on.y).mean()

    best = max(accuracy(np.float64(i) / 20) for i in range(21))
    assert accuracy(weights[0] / 2) == best
    assert best > accuracy(0.5)  # so that the fit had something to find


def test_three_streams_and_one_that_knows_nothing():
    facts = {"streams": ("rgb", "flow", "rgb 2"), "noise": (1.0, 1.2, 30.0)}
    fit_on, found = made(1, 200, split="val", **facts), made(2, 200, **facts)
    assert fusion.fit_weights(fit_on, list(found.logits))[2] == 0
    plain, weighted = (measured(found, method, fit) for method, fit in (("sum", None), ("weights", fit_on)))
    assert weighted.metrics["fused"].top1 > plain.metrics["fused"].top1 + 0.2
    assert list(weighted.metrics) == ["rgb", "flow", "rgb 2", "fused"]


def test_svm():
    svm = pytest.importorskip("sklearn.svm", reason="fits an SVM")
    fit_on, found = made(1, split="val"), made(2)
    fused, said = fusion.fuse(found, "svm", fit_on)
    assert "linear SVM on stacked scores" in said

    def features(part):
        stacked = [softmax(logits) for logits in part.logits.values()]
        return np.hstack([values / np.sqrt((values**2).sum(1, keepdims=True)) for values in stacked])

    direct = svm.LinearSVC(C=1.0, random_state=0, max_iter=10_000).fit(features(fit_on), fit_on.y)
    np.testing.assert_allclose(fused, direct.decision_function(features(found)))
    assert metrics.top_k(fused, found.y, 1) > metrics.top_k(found.logits["flow"], found.y, 1) + 0.1


@pytest.mark.parametrize("known", [2, 5])
def test_svm_fitted_on_some_of_the_classes(known):
    pytest.importorskip("sklearn.svm", reason="fits an SVM")
    fit_on, found = made(1, split="val", noise=(0.1, 0.1)), made(2, noise=(0.1, 0.1))
    keep = fit_on.y >= 8 - known
    ids = tuple(id for id, kept in zip(fit_on.ids, keep) if kept)
    logits = {stream: values[keep] for stream, values in fit_on.logits.items()}
    fused, _ = fusion.fuse(found, "svm", Scores(ids, fit_on.y[keep], LABELS, logits, "whole", "val"))
    assert fused.shape == (90, 8)
    assert fused.argmax(1).min() == 8 - known
    seen = found.y >= 8 - known
    assert (fused.argmax(1)[seen] == found.y[seen]).mean() > 0.9


def test_names_that_both_splits_have_are_not_yet_the_same_videos():
    found, val = made(2), made(1, split="val")
    renamed = Scores(found.ids[: len(val.ids)], val.y, LABELS, val.logits, "whole", "val")
    np.testing.assert_array_equal(fusion.fuse(found, "weights", renamed)[0], fusion.fuse(found, "weights", val)[0])
    leaked = Scores(found.ids, found.y, LABELS, found.logits, "whole", "val")
    with pytest.raises(ValueError, match="90 of 90 videos are in both"):
        fusion.fuse(found, "weights", leaked)


def test_what_fusion_refuses():
    found, val = made(2), made(1, split="val")
    alone = Scores(found.ids, found.y, LABELS, {"rgb": found.logits["rgb"]}, "whole", "test")
    for arguments, message in (
        ((found, "max"), "fusion must be one of sum, mean, weights, svm. Received: 'max'"),
        ((alone, "sum"), "at least two streams. Received: rgb"),
        ((found, "weights"), "fitted on the scores of another split"),
        ((found, "sum", val), "has nothing to fit"),
        ((found, "weights", found), "90 of 90 videos are in both, first "),
        ((found, "weights", alone), "without flow"),
        ((found, "weights", made(1, split="val", classes=7)), "8 labels to evaluate, 7 others"),
    ):
        with pytest.raises(ValueError, match=message):
            fusion.fuse(*arguments)
    views = Scores(val.ids, val.y, LABELS, val.logits, "views:10x3", "val")
    with pytest.raises(ValueError, match="same protocol. Received: whole to evaluate, views:10x3"):
        fusion.fuse(found, "weights", views)


def test_scores_of_several_files_are_fused(tmp_path):
    found = made(2, streams=("rgb", "flow", "more"), noise=(1, 1, 1))
    for number, (stream, rows) in enumerate(
        {"rgb": range(90), "flow": range(5, 90), "more": range(89, -1, -1)}.items()
    ):
        rows = list(rows)
        name = "rgb" if stream == "more" else stream
        part = {name: found.logits[stream][rows]}
        ids = tuple(found.ids[row] for row in rows)
        Scores(ids, found.y[rows], LABELS, part, "whole", "test").save(tmp_path / f"{number}.npz")
    result = rescore([tmp_path / f"{number}.npz" for number in range(3)])
    assert list(result.metrics) == ["rgb", "flow", "rgb 2", "fused"]
    assert (result.scores.ids, result.scores.dropped) == (found.ids[5:], found.ids[:5])
    np.testing.assert_allclose(result.fused, sum(map(np.float64, found.logits.values()))[5:], rtol=1e-12)
    made(2, split="val").save(tmp_path / "val.npz")
    with pytest.raises(ValueError, match="of one split. Received: 'test' in .*0.npz, 'val' in .*val.npz"):
        rescore([tmp_path / "0.npz", tmp_path / "val.npz"])


def test_a_file_of_something_else(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        scores.read(tmp_path / "none.npz")
    (tmp_path / "a.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match=r"a.npz is no scores.npz that this version reads"):
        scores.read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", about=np.array(json.dumps({"format": 0})))
    with pytest.raises(ValueError, match="another format"):
        scores.read(tmp_path / "b.npz")


def test_scores_that_are_not_numbers():
    found = made(2)
    found.logits["flow"][[3, 7]] = np.nan
    with pytest.raises(ValueError, match="from the flow stream for 2 of 90 videos, first test/3"):
        Scores(found.ids, found.y, LABELS, found.logits, "whole", "test")


def test_table_by_class():
    result = measured(made(2))
    rows = report.class_rows(result)
    assert [row.videos for row in rows] == np.bincount(result.scores.y, minlength=8).tolist()
    y, named = result.scores.y, result.fused.argmax(1)
    assert rows[3].accuracies["fused"] == pytest.approx((named[y == 3] == 3).mean())
    errors = np.bincount(named[(y == 3) & (named != 3)], minlength=8)
    assert (rows[3].instead, rows[3].times) == (LABELS[errors.argmax()], errors.max())


def test_examples_are_of_many_classes_and_what_they_say():
    result = measured(made(2))
    right, wrong = report.choose_examples(result)
    y, named = result.scores.y, result.fused.argmax(1)
    assert (len(right), len(wrong)) == (4, 4)
    assert (named[right] == y[right]).all()
    assert (named[wrong] != y[wrong]).all()
    assert len(set(y[right])) == len(set(y[wrong])) == 4


def test_matplotlib_is_asked_for_before_anything_is_scored(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    made(2).save(tmp_path / "scores.npz")
    with pytest.raises(ImportError, match=r"pip install 'keras-i3d\[report\]'"):
        rescore(tmp_path / "scores.npz", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = rescore(tmp_path / "scores.npz", output=tmp_path / "out", report=False)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"scores.npz", "results.json", "per_class.csv"}
    assert "fused" in result.metrics


def test_scikit_learn_is_asked_for(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-i3d\[svm\]'"):
        fusion.check_fusion(["rgb", "flow"], "svm", made(1, split="val"))
