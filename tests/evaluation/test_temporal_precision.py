"""Temporal mAP against cases that are worked out by hand."""

import json
import random

import numpy as np
import pytest

from keras_i3d import EvaluationError, cli, evaluation
from keras_i3d.evaluation.temporal_precision import OVERLAPS, overlap, temporal_map


def truth(videos, subset="validation"):
    """{"database": ...} of {video: [(label, start, end)]}."""
    return {
        "database": {
            video: {"subset": subset, "annotations": [{"label": n, "segment": [s, e]} for n, s, e in entries]}
            for video, entries in videos.items()
        }
    }


def found(videos):
    """{"results": ...} of {video: [(label, start, end, score)]}."""
    return {
        "version": "VERSION 1.3",
        "results": {
            video: [{"label": n, "segment": [s, e], "score": score} for n, s, e, score in entries]
            for video, entries in videos.items()
        },
        "external_data": {},
    }


def measure(true, hits, **settings):
    return temporal_map(truth(true), found(hits), **settings)


def test_overlap():
    """[0, 10] with [5, 15] shares 5 of 15 seconds; with [20, 30] none; with itself all."""
    spans = [(5, 15), (20, 30), (0, 10), (0, 5), (10, 12), (3, 3)]
    assert overlap((0, 10), spans).tolist() == [5 / 15, 0, 1, 0.5, 0, 0]
    assert overlap((3, 3), [(3, 3)]).tolist() == [0], "no length, no overlap"


def test_one_segment_is_right_up_to_its_overlap():
    """[0, 8] of [0, 10] has tIoU 0.8, so it is right at 0.5 to 0.75, and at 0.8: seven thresholds of ten."""
    result = measure({"a": [("run", 0, 10)]}, {"a": [("run", 0, 8, 0.9)]}, overlaps=(0.5, 0.75, 0.79, 0.81, 0.95))
    assert result.by_overlap == {0.5: 1, 0.75: 1, 0.79: 1, 0.81: 0, 0.95: 0}
    assert result.average == pytest.approx(3 / 5)
    np.testing.assert_allclose(OVERLAPS, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
    # 7.3 of 10: 0.5, 0.55, 0.6, 0.65 and 0.7 of the ten.
    assert measure({"a": [("run", 0, 10)]}, {"a": [("run", 0, 7.3, 1)]}).average == pytest.approx(0.5)


def test_a_duplicate_is_wrong():
    """One true segment, found twice. The second is wrong, and after all recall is there: the average is 1.

    Where the duplicate comes between two right ones, it costs: right, wrong, right of 2: (1 + 2/3) / 2 = 5/6.
    """
    twice = {"a": [("run", 0, 10, 0.9), ("run", 0, 10, 0.8)]}
    assert measure({"a": [("run", 0, 10)]}, twice).average == 1
    between = {"a": [*twice["a"], ("run", 20, 30, 0.7)]}
    assert measure({"a": [("run", 0, 10), ("run", 20, 30)]}, between).average == pytest.approx(5 / 6)


def test_precision_is_raised_to_what_is_reached_later():
    """Wrong, right, right of 2: precisions 0, 1/2, 2/3; raised, both steps of recall count 2/3."""
    hits = {"a": [("run", 50, 60, 0.9), ("run", 0, 10, 0.8), ("run", 20, 30, 0.7)]}
    assert measure({"a": [("run", 0, 10), ("run", 20, 30)]}, hits).average == pytest.approx(2 / 3)


def test_each_takes_the_true_segment_that_it_overlaps_most_and_none_twice():
    """Two true segments of one video, [0, 10] and [2, 12].

    The first that is found, [1, 11], overlaps both by 9 / 11 and takes the later one of the two, [2, 12]. The second,
    [2, 12], overlaps that by 1, and it is taken; at 0.5 it takes [0, 10], which it overlaps by 8 / 12, instead; at 0.7
    it is wrong.
    """
    true = {"a": [("run", 0, 10), ("run", 2, 12)]}
    hits = {"a": [("run", 1, 11, 0.9), ("run", 2, 12, 0.8)]}
    assert measure(true, hits, overlaps=(0.5, 0.7)).per_class == {"run": (1.0, 0.5)}


def test_videos_in_which_nothing_is_found_cost_recall():
    """One of two true segments: 1/2."""
    assert measure({"a": [("run", 0, 10)], "b": [("run", 0, 10)]}, {"a": [("run", 0, 10, 0.9)]}).average == 0.5


def test_classes_of_which_nothing_is_found_have_0():
    result = measure({"a": [("run", 0, 10), ("jump", 0, 10)]}, {"a": [("run", 0, 10, 0.9)]})
    assert {label: each[0] for label, each in result.per_class.items()} == {"run": 1, "jump": 0}
    assert result.average == 0.5


def test_unknown_videos_count_as_wrong_and_are_said(capsys):
    """Wrong, then right, of 1: 1/2. The video is another one, and so is that of another class without truth."""
    hits = {"x": [("run", 0, 10, 0.9)], "a": [("run", 0, 10, 0.8)]}
    assert measure({"a": [("run", 0, 10)]}, hits).average == 0.5
    assert "1 video is not in the truth of validation, and what is found there counts as wrong: x" in (
        capsys.readouterr().err
    )
    other = {"b": [("run", 0, 10, 0.9)], "a": [("run", 0, 10, 0.8)]}
    result = measure({"a": [("run", 0, 10)], "b": [("jump", 0, 10)]}, other)
    assert result.per_class["run"][0] == 0.5
    assert capsys.readouterr().err == ""


def test_unknown_labels_are_left_out_and_said(capsys):
    hits = {"a": [("fly", 0, 10, 1.0), ("run", 0, 10, 0.8)]}
    result = measure({"a": [("run", 0, 10)]}, hits)
    assert (result.average, result.found) == (1, 1)
    assert "1 segment is of 1 label that no true segment has, and left out: fly" in capsys.readouterr().err
    measure({"a": [("run", 0, 10)]}, {"a": [("fly", 0, 10, 1.0), ("swim", 0, 10, 0.8)]})
    assert "2 segments are of 2 labels that no true segment has, and left out: fly, swim" in capsys.readouterr().err


def test_of_equal_scores_the_last_comes_first():
    """As of ActivityNet's sort, reversed, of a few. Right then wrong of 1 is 1; wrong then right is 1/2."""
    right, wrong = ("run", 0, 10, 0.5), ("run", 50, 60, 0.5)
    true = {"a": [("run", 0, 10)]}
    assert measure(true, {"a": [wrong, right]}).average == 1
    assert measure(true, {"a": [right, wrong]}).average == 0.5


def drawn(seed):
    """Returns (truth, found): several classes and videos, one of them without truth, one unknown, one class not found.

    What is found is near a true segment or anywhere, some of it twice. No two scores are equal, and all have lengths.
    """
    draw = random.Random(seed).random  # the same numbers in every version

    def span():
        start = round(60 * draw(), 3)
        return start, round(start + 1 + 24 * draw(), 3)

    labels = ["run", "jump", "swim", "fly"]
    true = {f"v{i}": [(labels[int(4 * draw())], *span()) for _ in range(5 if i else 0)] for i in range(6)}
    hits = {video: [] for video in (*true, "unknown")}
    for video, entries in true.items():
        for label, start, end in entries:
            for _ in range(int(3 * draw())):
                moved = (round(at + 0.3 * (draw() - 0.5) * (end - start), 3) for at in (start, end))
                hits[video].append((label, *moved, draw()))
    for each in hits.values():
        each += [(labels[int(4 * draw())], *span(), draw()) for _ in range(int(4 * draw()))]
        each += [(*each[0][:3], draw())] if each and draw() < 0.5 else []
    return true, {video: [entry for entry in each if entry[0] != "fly"] for video, each in hits.items()}


def test_a_drawn_case_has_what_activitynets_own_code_gives():
    """The numbers are those of ActivityNet's Evaluation/eval_detection.py (commit ebc8aebb), made to run on Python 3.

    Here no scores are equal, whose order its sort leaves open, and all segments have a length.
    """
    means = [
        0.42018849206349207, 0.418585927960928, 0.3993551587301587, 0.3993551587301587, 0.3993551587301587,
        0.3993551587301587, 0.3217881944444444, 0.15694444444444444, 0.010850694444444444, 0.0,
    ]  # fmt: skip
    run = [0.9029761904761905, 0.8965659340659341, *[0.8196428571428571] * 4, 0.509375, 0.35, 0.015625, 0.0]
    jump = [*[0.6666666666666666] * 7, 0.16666666666666666, 0.0, 0.0]
    swim = [*[0.1111111111111111] * 8, 0.027777777777777776, 0.0]
    result = measure(*drawn(4))
    assert (result.found, sum(result.truths.values()), result.videos) == (28, 25, 6)
    assert result.average == pytest.approx(0.29257783882783883, abs=1e-12)
    np.testing.assert_allclose(list(result.by_overlap.values()), means, rtol=0, atol=1e-12)
    for label, expected in {"run": run, "jump": jump, "swim": swim, "fly": [0.0] * 10}.items():
        np.testing.assert_allclose(result.per_class[label], expected, rtol=0, atol=1e-12)


def test_all_of_it_together(tmp_path, capsys):
    """Two classes, three videos, from files, by the command line.

    run: true are a [0, 10], a [20, 30] and b [0, 4]. Found, by score: a [0, 10] (tIoU 1), c [0, 5] (no truth), b [0, 3]
    (3/4), a [21, 31] (9/11). At 0.5: right, wrong, right, right: raised precisions 1, 3/4, 3/4: 2.5 / 3. At 0.8: right,
    wrong, wrong, right: 1 and 1/2: 1.5 / 3. At 0.9: the first alone: 1/3.
    jump: true is c [10, 20]; found is c [10, 15], by 1/2 right at 0.5 alone.
    """
    true = {"a": [("run", 0, 10), ("run", 20, 30)], "b": [("run", 0, 4)], "c": [("jump", 10, 20)]}
    hits = {
        "a": [("run", 21, 31, 0.2), ("run", 0, 10, 0.9)],
        "b": [("run", 0, 3, 0.5)],
        "c": [("run", 0, 5, 0.8), ("jump", 10, 15, 0.1)],
    }
    result = measure(true, hits, overlaps=(0.5, 0.8, 0.9))
    np.testing.assert_allclose(result.per_class["run"], [2.5 / 3, 1.5 / 3, 1 / 3])
    np.testing.assert_allclose(result.per_class["jump"], [1, 0, 0])
    np.testing.assert_allclose(list(result.by_overlap.values()), [2.75 / 3, 0.25, 1 / 6])
    content = truth(true)
    content["database"]["d"] = {"subset": "training", "annotations": [{"label": "run", "segment": [0, 1]}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text(json.dumps(found(hits)))
    words = ["evaluate", f"--segments={tmp_path}/found.json", f"--truth={tmp_path}/truth.json"]
    assert cli.main(words) == 1
    assert "a truth with validation, training. Choose one: --subset=." in capsys.readouterr().err
    assert cli.main([*words, "--subset=validation", f"--output={tmp_path}/out"]) == 0
    # 0.5 to 0.95: of run 3 x 2.5/3 up to 0.75 (six thresholds), 1.5/3 at 0.8, 1/3 from 0.85 on (three).
    average = (6 * 2.5 / 3 + 1.5 / 3 + 3 / 3 + 1) / 20
    printed = capsys.readouterr().out
    assert "5 segments found, 4 true, 2 classes, 3 videos of validation" in printed
    assert f"  average    {100 * average:6.2f} %" in printed
    record = json.loads((tmp_path / "out/temporal_map.json").read_text())
    assert record["average"] == pytest.approx(average)
    assert record["classes"]["jump"] == {"segments": 1, "ap": [1.0, *[0.0] * 9]}
    assert cli.main([*words, "--rgb=x"]) == 2
    assert "Received: --rgb, too." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("true", "hits", "said"),
    [
        ({}, {}, "which has no 'database'"),
        ("none.json", {}, "none.json, no file"),
        (truth({}), {}, "The truth has no segment"),
        (truth({"a": []}), {}, "The truth has no segment in validation"),
        (truth({"a": [("run", 0, "x")]}), {}, r"a segment being \[start, end\] in seconds. Received"),
        (truth({"a": [("run", 0, 1)]}), {"a": 1}, "which has no 'results'"),
        (truth({"a": [("run", 0, 1)]}), {"results": {"a": 1}}, "Received: 1 for a"),
        (truth({"a": [("run", 0, 1)]}), found({"a": [("run", 0, 1, float("nan"))]}), "A score is a finite number"),
        (truth({"a": [("run", 0, 1)]}, None), {"results": {}}, None),
    ],
)
def test_other_forms_are_refused(true, hits, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if said is None:
        assert evaluation.temporal_map(true, hits).average == 0
        return
    with pytest.raises(EvaluationError, match=said):
        evaluation.temporal_map(true, hits)


def test_thresholds_out_of_their_range():
    with pytest.raises(ValueError, match="overlaps must be numbers above 0, at most 1"):
        measure({"a": [("run", 0, 1)]}, {}, overlaps=(0,))
    with pytest.raises(EvaluationError, match="no such subset. Received: subset='test'; it has validation"):
        measure({"a": [("run", 0, 1)]}, {}, subset="test")
