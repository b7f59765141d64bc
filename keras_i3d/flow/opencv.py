"""Optical flow by OpenCV, if it is installed: DualTVL1 as the reference, and dense inverse search."""

import contextlib
import threading

import numpy as np

from keras_i3d.errors import missing_package

PACKAGE = "opencv-contrib-python-headless"


def tvl1_solver(params):
    """Returns a function of two grey frames to float32 (H, W, 2) by `cv2.optflow.DualTVL1OpticalFlow`."""
    cv2 = _import('Flow with method="opencv"')
    if not hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"):
        raise ImportError(
            f"This OpenCV {cv2.__version__} has no cv2.optflow: opencv-python and {PACKAGE} overwrite each other. "
            "Run: pip uninstall -y opencv-python opencv-python-headless opencv-contrib-python "
            f"{PACKAGE}; pip install {PACKAGE}"
        )

    def make():
        return cv2.optflow.DualTVL1OpticalFlow_create(
            tau=params.tau,
            lambda_=params.lambda_,
            theta=params.theta,
            nscales=params.nscales,
            warps=params.warps,
            epsilon=params.epsilon,
            innnerIterations=params.inner_iterations,  # so spelt in OpenCV
            outerIterations=params.outer_iterations,
            scaleStep=params.scale_step,
            medianFiltering=params.median,
        )

    def convert(frame):
        return frame if frame.dtype == np.uint8 else frame / np.float32(255)  # OpenCV's floats are in [0, 1]

    return _solver(cv2, make, convert)


def dis_solver(params):
    """Returns a function of two grey frames to float32 (H, W, 2) by `cv2.DISOpticalFlow`, preset medium."""
    del params
    cv2 = _import('Flow with method="dis"')

    def make():
        return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def convert(frame):
        return frame if frame.dtype == np.uint8 else np.uint8(np.rint(np.clip(frame, 0, 255)))

    return _solver(cv2, make, convert)


_streams = {"lock": threading.Lock(), "open": 0, "threads": None}


@contextlib.contextmanager
def one_thread_a_call():
    """Keeps OpenCV to one thread while any stream is open: one pair a core is faster than all cores on one pair."""
    cv2 = _import("This flow method")
    with _streams["lock"]:
        if not _streams["open"]:
            _streams["threads"] = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _streams["open"] += 1
    try:
        yield
    finally:
        with _streams["lock"]:
            _streams["open"] -= 1
            if not _streams["open"]:
                cv2.setNumThreads(_streams["threads"])


def _solver(library, make, convert):
    """Keeps one OpenCV object a shape: its pyramid's depth sticks to the first frames it sees."""
    made = {}

    def solve(previous, following):
        if previous.shape not in made:
            made.clear()
            made[previous.shape] = make()
        try:
            flow = made[previous.shape].calc(convert(previous), convert(following), None)
        except library.error as error:
            h, w = previous.shape
            raise ValueError(
                f'OpenCV refuses frames of {h} x {w} pixels: {error.err}. method="tvl1" takes any size.'
            ) from error
        return flow.astype(np.float32, copy=False)

    return solve


def _import(why):
    try:
        import cv2
    except ImportError as error:
        raise missing_package("cv2", PACKAGE, why) from error
    return cv2
