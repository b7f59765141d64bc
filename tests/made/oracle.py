"""Pairs of frames of a real video, and what OpenCV 5.0.0's DualTVL1 makes of them, computed once for all tests."""

import functools
import itertools

import numpy as np
import pytest

from keras_i3d import video
from keras_i3d.flow import engine

FRAMES = (5, 121, 237)
SIZE = (192, 256)


def opencv():
    """OpenCV 5.0.0 on one thread; skips the test where it is another version or none."""
    cv2 = pytest.importorskip(
        "cv2", reason="OpenCV is the oracle: pip install opencv-contrib-python-headless==5.0.0.93"
    )
    if cv2.__version__ != "5.0.0":
        pytest.skip(f"The answers are pinned to OpenCV 5.0.0, this is {cv2.__version__}")
    cv2.setNumThreads(1)
    return cv2


@functools.cache
def video_pairs(path):
    """Grey uint8 (3, 2, 192, 256), the middle of the frames at 256 lines, and their flow float32 (3, 192, 256, 2)."""
    wanted = {number + more for number in FRAMES for more in (0, 1)}
    frames = itertools.islice(video.Reader(path, fps=None), max(wanted) + 1)
    grey = {number: engine.to_grey(frame) for number, frame in enumerate(frames) if number in wanted}
    top, left = ((side - size) // 2 for side, size in zip(grey[FRAMES[0]].shape, SIZE))
    cut = np.s_[top : top + SIZE[0], left : left + SIZE[1]]
    pairs = np.stack([[grey[number][cut], grey[number + 1][cut]] for number in FRAMES])
    solver = opencv().optflow.DualTVL1OpticalFlow_create()
    return pairs, np.stack([solver.calc(*pair, None) for pair in pairs])


def endpoint(a, b):
    """Distance of two flows in pixels."""
    return np.hypot(a[..., 0] - b[..., 0], a[..., 1] - b[..., 1])


def levels_apart(a, b):
    """Distance of two flows after 8-bit quantisation, in levels."""
    a, b = (np.rint((np.clip(flow, -20, 20) + 20) * 255 / 40) for flow in (a, b))
    return abs(a - b)
