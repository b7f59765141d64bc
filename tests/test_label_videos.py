"""The generated videos of several labels: what is said of them is what they show."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def label_videos(tool):
    return tool("label_videos")


def test_something_moves_within_the_times_and_at_no_other(label_videos):
    several = 0
    for seed in range(8):
        video, times = label_videos.frames(np.random.default_rng(seed))
        moved = (abs(np.diff(video.astype(float), axis=0)) > 40).mean((1, 2, 3))  # the noise is less
        for i, share in enumerate(moved):  # from frame i to the next
            shown = [label for label, start, end in times if start <= i < end]
            if not shown:
                assert share < 1e-3
        assert all(moved[start:end].mean() > 2e-3 for _, start, end in times)
        assert all(end - start >= 16 for _, start, end in times)
        several += len(times) > 1
    assert several >= 2


def test_their_lines(label_videos):
    times = [("slides", 0, 20), ("circles", 10, 48)]
    assert label_videos.annotations("a.mp4", times, timed=False) == [("a.mp4", "slides;circles")]
    lines = [("a.mp4", "slides", "0.00", "0.80"), ("a.mp4", "circles", "0.40", "1.92")]
    assert label_videos.annotations("a.mp4", times, timed=True) == lines
    assert label_videos.annotations("a.mp4", [], timed=True) == [("a.mp4", "", "", "")]
