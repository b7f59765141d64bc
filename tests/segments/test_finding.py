"""Labels along time to segments."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from made import films, labelled

import keras_i3d
from keras_i3d import segments
from keras_i3d.inference.labels_in_time import LabelsInTime, StreamInTime
from keras_i3d.probabilities import sigmoid, softmax
from keras_i3d.segments.finding import checked
from keras_i3d.specs import RGB_CLIP

LABELS = ("run", "jump", "rest")


def in_time(logits, activation="softmax", labels=LABELS, step=5, thresholds=None):
    """A LabelsInTime with a row of logits every `step` frames."""
    logits = np.float32(logits)
    times = (np.arange(len(logits)) * step + step / 2) / 25
    rows = {"rgb": StreamInTime(times, logits)}
    return LabelsInTime("x.mp4", rows, labels, activation, len(logits) * step, 25.0, RGB_CLIP, None, thresholds)


def spans(timeline):
    return [(each.label, round(each.start, 2), round(each.end, 2)) for each in timeline.segments]


@pytest.fixture(scope="module")
def film():
    """160 frames: red up to 100, green from 60 on, blue for 20 frames."""
    return films.film(list(labelled.frames({0: (0, 100), 1: (60, 160), 2: (100, 120)}, 160)))


def test_of_a_sigmoid_they_are_the_times_of_classify(film):
    """Without smoothing, of any length, at its thresholds: other code, the same seconds."""
    for thresholds in (0.5, [0.2, 0.5, 0.7]):
        classifier = keras_i3d.Classifier(rgb=labelled.network(), thresholds=thresholds)
        timeline = segments.find(classifier.in_time(film), smooth=0, shortest=0)
        found = {i: tuple((s.start, s.end) for s in timeline.segments if s.index == i) for i in range(3)}
        assert tuple(found.values()) == classifier(film).times
        assert [s.start for s in timeline.segments] == sorted(s.start for s in timeline.segments)
    red, green, *_ = timeline.segments
    assert red.end > green.start, "they overlap"


def test_a_score_is_the_mean_probability_over_the_segment():
    timeline = segments.find(in_time([[-4, -4, 2]] * 3 + [[-4, -4, -4]] * 3, "sigmoid"), smooth=0)
    (rest,) = timeline.segments
    inside = sigmoid(timeline.found.at(timeline.found.frame_times)[:, 2])
    inside = inside[inside >= 0.5]
    assert rest.score == pytest.approx(inside.mean())
    assert 0.5 < rest.score < sigmoid(2)
    timeline = segments.find(in_time([[0, 3, 0]] * 4), smooth=0)
    assert timeline.segments[0].score == pytest.approx(softmax([0, 3, 0])[1], rel=1e-5)


def test_of_a_softmax_each_moment_has_one_label():
    """Where two are alike on both sides of a change, it is in the middle between their rows."""
    timeline = segments.find(in_time([[5, 0, 0]] * 4 + [[0, 5, 0]] * 4 + [[0, 0, 5]] * 2), smooth=0)
    # Rows stand at frame 2, 7, 12, 17 | 22, ...; between 17 and 22 both have 2.5 at 19.5: frames 17 to 19, 20 on.
    assert spans(timeline) == [("run", 0, 0.8), ("jump", 0.8, 1.6)], "the last lasts 0.4 s, less than 0.5"
    last = ("rest", 1.6, 2.0)
    assert spans(segments.find(timeline.found, smooth=0, shortest=0.4)) == [*spans(timeline), last]


def test_what_is_below_the_threshold_is_no_segment():
    """Even logits give 1/3 each: nothing at 0.4, the first class at the default 0.3."""
    even = in_time([[0, 0, 0]] * 6)
    assert segments.find(even, 0.4).segments == ()
    assert spans(segments.find(even)) == [("run", 0, 1.2)]
    gap = in_time([[5, 0, 0]] * 4 + [[0, 0, 0]] * 4 + [[5, 0, 0]] * 4)
    assert [each.label for each in segments.find(gap, 0.6, smooth=0).segments] == ["run", "run"]


def test_smoothing_takes_flicker_away():
    flicker = in_time([[4, 0, 0], [4, 0, 0], [0, 5, 0], [4, 0, 0], [4, 0, 0]])
    assert len(segments.find(flicker, smooth=0, shortest=0).segments) == 3
    assert spans(segments.find(flicker, smooth=1)) == [("run", 0, 1.0)]


def test_lanes_are_those_with_the_longest_segments_then_the_most_probable_in_the_order_of_time():
    rows = [[0, 9, 0, 1, 0]] * 4 + [[9, 0, 0, 0, 2]] * 8
    timeline = segments.find(in_time(rows, labels=("a", "b", "c", "d", "e")), smooth=0)
    assert timeline.lanes(2) == [1, 0]
    assert timeline.lanes(1) == [0]
    assert timeline.lanes(4) == [1, 0, 4, 3]
    assert sorted(timeline.lanes(9)) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="top must be a whole number, at least 1. Received: top=0"):
        timeline.lanes(0)


def test_what_it_prints():
    found = dataclasses.replace(in_time([[5, 0, 0]] * 4 + [[0, 5, 0]] * 400), damaged=2)
    lines = str(segments.find(found, smooth=0)).splitlines()
    assert lines == [
        "x.mp4: 1:20.8 at 25 fps, 2 damaged packets; rgb; 2 segments",
        "   0:00.0 to  0:00.8  0.97  run",
        "   0:00.8 to  1:20.8  0.99  jump",
    ]


@pytest.mark.parametrize(
    ("activation", "given", "taken"),
    [
        ("softmax", None, 0.3),
        ("softmax", "0.25", 0.25),
        ("softmax", 1, 1.0),
        ("sigmoid", None, (0.5,) * 3),
        ("sigmoid", "0.25", (0.25,) * 3),
        ("sigmoid", [0, 0.5, 1], (0.0, 0.5, 1.0)),
    ],
)
def test_thresholds(activation, given, taken):
    assert checked(given, in_time([[0, 0, 0]], activation)) == taken


def test_thresholds_that_were_chosen_are_taken():
    assert checked(None, in_time([[0, 0, 0]], "sigmoid", thresholds=(0.1, 0.2, 0.3))) == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("given", [1.5, -0.1, "x", float("nan"), [0.5, 0.5, 0.5], True])
def test_thresholds_that_cannot_be(given):
    with pytest.raises(ValueError, match="threshold must be a probability in"):
        segments.find(in_time([[0, 0, 0]]), given)


@pytest.mark.parametrize("name", ["smooth", "shortest"])
def test_settings_out_of_their_range(name):
    for value in (-1, float("nan")):
        with pytest.raises(ValueError, match=f"{name} must be a number of seconds, at least 0"):
            segments.find(in_time([[0, 0, 0]]), **{name: value})


@pytest.mark.slow  # it reads and annotates 1,500 frames
def test_memory_does_not_grow_with_the_video(tmp_path):
    """Peaks of what Python and NumPy hold, of 300 frames and of 1,200: crops kept would be 2.8 MB more, frames 230 MB.

    The memory of the whole process differs by hundreds of megabytes from run to run.
    """
    classifier = keras_i3d.Classifier(rgb=labelled.network("softmax"), chunk_frames=144)
    peaks = {}
    for frames in (144, 300, 1200):  # the first for what is made once
        path = tmp_path / f"{frames}.mp4"
        path.write_bytes(films.film([films.picture(i % 50, 40, 52) for i in range(frames)]))
        tracemalloc.start()
        try:
            found = classifier.in_time(path)
            whole = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            segments.save(tmp_path / "annotated.mp4", segments.find(found))
            peaks[frames] = whole, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert found.frames == frames
    growth = np.subtract(peaks[1200], peaks[300]) / 1e6
    assert (growth < (1, 10)).all(), peaks
