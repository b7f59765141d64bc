"""Windows: how many, where, what each sees, and when."""

import numpy as np
import pytest

from keras_i3d.features import windowing
from keras_i3d.features.layouts import Layout

RGB, FLOW = ("rgb",), ("flow",)


def rows(layout, frames, stream=None):
    return len(windowing.starts(layout, stream or layout.streams[0], frames))


@pytest.mark.parametrize(
    ("settings", "frames", "wanted"),
    [
        ({"window": 16, "step": 4, "drop_last": True}, 5094, 1269),  # THUMOS14, as ActionFormer's files have it
        ({"window": 16, "step": 4}, 5094, 1270),
        ({"window": 16, "streams": RGB}, 201, 12),  # W-TALC
        ({"window": 16, "tail": "repeat", "streams": RGB}, 1601, 101),  # UR-DMU
        ({"window": 16, "tail": "repeat", "streams": RGB}, 1600, 100),
        ({"window": 16, "tail": "pad", "streams": RGB}, 3, 1),
        ({"window": 16, "tail": "shift", "streams": RGB}, 33, 3),
        ({"window": 16, "tail": "shift", "streams": RGB}, 32, 2),
        ({"window": 16, "tail": "repeat", "step": 50, "streams": RGB}, 40, 1),  # none begins behind the video
        ({"window": 16, "streams": RGB}, 15, 0),
        ({"window": 16, "step": 4, "drop_last": True, "streams": RGB}, 19, 0),
        ({"window": 21, "step": 1, "first": -10, "tail": "repeat", "flow_end": "repeat"}, 77, 77),  # MS-TCN
        ({"window": 21, "step": 1, "first": -10, "tail": "repeat"}, 77, 76),
        ({"window": 16, "streams": RGB}, 33, 2),
        ({"window": 16, "streams": FLOW}, 33, 2),
        ({"window": 16, "streams": FLOW}, 32, 1),
        ({"window": 16}, 32, 1),  # rgb has as many as flow
    ],
)
def test_how_many(settings, frames, wanted):
    layout = Layout(**settings)
    for stream in layout.streams:
        assert rows(layout, frames, stream) == wanted


def test_those_of_video_features():
    """64 at a time, of both streams alike, where one frame more is there: floor((T - 65) / 64) + 1."""
    layout = Layout(window=64, one_more=True, files="per_stream", name="{stem}_{stream}", flow_end="own")
    for frames in range(60, 400):
        for stream in ("rgb", "flow"):
            assert rows(layout, frames, stream) == (frames - 65) // 64 + 1


def test_flow_has_a_row_less_where_it_may():
    layout = Layout(window=16, flow_end="own", files="per_stream", name="{stem}_{stream}")
    assert (rows(layout, 32, "rgb"), rows(layout, 32, "flow")) == (2, 1)


@pytest.mark.parametrize("tail", ["pad", "repeat", "shift"])
def test_the_fewest_that_cover_the_video(tail):
    for frames in range(1, 60):
        for step in (1, 3, 7):
            for first in (0, -3):
                layout = Layout(window=7, step=step, first=first, tail=tail, streams=RGB)
                starts = windowing.starts(layout, "rgb", frames)
                end = frames - first
                assert starts[0] == first
                assert starts[-1] + 7 >= end
                assert len(starts) == 1 or starts[-2] + 7 < end
                if tail == "shift":
                    assert starts[-1] == max(min(starts[-1], end - 7), first)


def test_what_is_known_before_the_end():
    """Windows that are given while a video comes are those of the whole one, whatever its length."""
    for tail in ("drop", "pad", "shift"):
        for settings in (
            {},
            {"drop_last": True},
            {"one_more": True, "first": -3},
            {"streams": RGB},
            {"flow_end": "repeat"},
        ):
            layout = Layout(window=6, step=4, tail=tail, **settings)
            for stream in layout.streams:
                for frames in range(1, 40, 2):
                    final = windowing.starts(layout, stream, frames)
                    for come in range(1, frames + 1):
                        known = windowing.whole(layout, stream, come)
                        assert known <= len(final)
                        wanted = layout.first + 4 * np.arange(known)
                        np.testing.assert_array_equal(final[:known], wanted)
                        assert known == 0 or wanted[-1] + 6 <= come - (stream == "flow")


def of(layout, stream, frames, start, stride=1):
    seen = windowing.seen(layout, stream, frames, start, stride)
    return seen.frames.tolist(), seen.moving.tolist()


def test_what_a_window_sees():
    layout = Layout(window=5, tail="repeat", first=-2, step=1)
    assert of(layout, "rgb", 6, -2) == ([0, 0, 0, 1, 2], [True] * 5)
    assert of(layout, "rgb", 6, 3) == ([3, 4, 5, 5, 5], [True] * 5)
    assert of(layout, "flow", 6, -2) == ([-1, -1, 0, 1, 2], [False, False, True, True, True])
    assert of(layout, "flow", 6, 3) == ([3, 4, -1, -1, -1], [True, True, False, False, False])
    assert of(layout, "both", 6, 3) == ([3, 4, 5, 5, 5], [True, True, False, False, False])
    padded = Layout(window=5, tail="pad", streams=RGB)
    assert of(padded, "rgb", 6, 5) == ([5, -1, -1, -1, -1], [True] * 5)
    # In front of the grey frames lie as many copies of the last one as `first` says.
    assert of(Layout(window=6, first=-1, tail="pad", streams=RGB), "rgb", 6, 5)[0] == [5, 5, -1, -1, -1, -1]
    assert of(Layout(window=6), "rgb", 9, 0, stride=2)[0] == [0, 2, 4]


def test_the_field_that_lacks():
    """Repeated, it is the last one; between two copies of a frame it is none."""
    layout = Layout(window=4, step=1, flow_end="repeat")
    assert of(layout, "flow", 6, 2) == ([2, 3, 4, 5], [True] * 4)  # the sixth is given: the last one again
    layout = Layout(window=4, step=1, flow_end="repeat", first=-1, tail="repeat")
    assert of(layout, "flow", 6, 3) == ([3, 4, -1, -1], [True, True, False, False])


def test_a_short_video_is_seen_over_and_over_where_its_windows_shift():
    layout = Layout(window=8, tail="shift")
    assert of(layout, "rgb", 3, 0)[0] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert of(layout, "flow", 3, 0) == ([0, 1] * 4, [True] * 8)
    assert of(layout, "both", 3, 0) == ([0, 1] * 4, [True] * 8)


def test_the_whole_video():
    layout = Layout(window="all", tail="drop")
    assert windowing.seen_of_all(layout, "rgb", 7, 2, 3).frames.tolist() == [0, 2, 4, 6]
    assert windowing.seen_of_all(layout, "flow", 7, 2, 3).frames.tolist() == [0, 2, 4]
    assert windowing.seen_of_all(layout, "flow", 7, 2, 4) is None
    filled = {"repeat": [0, 1, 2, 2, 2], "pad": [0, 1, 2, -1, -1], "shift": [0, 1, 2, 0, 1]}
    for tail, wanted in filled.items():
        layout = Layout(window="all", tail=tail)
        assert windowing.seen_of_all(layout, "rgb", 3, 1, 5).frames.tolist() == wanted


@pytest.mark.parametrize(
    ("settings", "frames", "words"),
    [
        ({"streams": RGB}, 15, "15 frames, and a window of 16 frames needs 16 for rgb; tail=repeat"),
        ({}, 16, "a window of 16 frames needs 17 for rgb"),
        ({"step": 4, "drop_last": True, "streams": RGB}, 19, "and the next one, which drop_last leaves out, needs 20"),
        ({"tail": "pad", "drop_last": True, "streams": RGB}, 15, "one window, which drop_last leaves out"),
    ],
)
def test_too_short(settings, frames, words):
    layout = Layout(**settings)
    assert rows(layout, frames) == 0
    assert words in windowing.too_short(layout, "rgb", frames)
    if "needs" in words:
        needed = int(windowing.too_short(layout, "rgb", frames).partition("needs ")[2].partition(" ")[0])
        assert (rows(layout, needed), rows(layout, needed - 1)) == (1, 0)


def test_when_windows_are():
    """Row i of 16 / 4 is centred on (4 i + 8) / fps; what lies beyond the video is cut off, and its middle is not."""
    starts = windowing.starts(Layout(window=16, step=4, tail="repeat", streams=RGB), "rgb", 33)
    start, end, centre = windowing.times(np.arange(33) / 30, 33 / 30, starts, starts + 16)
    np.testing.assert_allclose(start, starts / 30)
    np.testing.assert_allclose(end, np.minimum(starts + 16, 33) / 30)
    np.testing.assert_allclose(centre, (4 * np.arange(len(starts)) + 8) / 30)
    start, end, centre = windowing.times(np.arange(9) / 10, 0.9, np.array([-10, 5]), np.array([11, 26]))
    np.testing.assert_allclose([start, end, centre], [[0, 0.5], [0.9, 0.9], [0.05, 1.55]])


def test_when_windows_are_at_a_variable_rate():
    start, end, centre = windowing.times([0, 0.1, 0.5, 0.6], 1.0, np.array([0, 2]), np.array([2, 6]))
    np.testing.assert_allclose(start, [0, 0.5])
    np.testing.assert_allclose(end, [0.5, 1.0])
    np.testing.assert_allclose(centre, [0.1, 1.0])
    assert windowing.times([0, 0.1, 0.5, 0.6], 1.0, np.array([4]), np.array([8]))[2] == 1.5  # the mean pace
