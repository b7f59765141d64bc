"""Flow of a clip or of a stream of frames, pair by pair over all cores, by one of three methods.

TV-L1 (Zach, Pock and Bischof 2007) with OpenCV's defaults is what I3D's flow weights were trained on. Flow is
computed after frames are scaled and before they are cropped.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import numbers
import os
import threading

import numpy as np

from keras_i3d.flow import engine, opencv
from keras_i3d.progress import Bar

METHODS = {
    "tvl1": engine.pair_solver,  # the package's own engine
    "opencv": opencv.tvl1_solver,  # the reference
    "dis": opencv.dis_solver,  # dense inverse search: fast, not what the weights saw
}


def compute(frames, method="tvl1", params=None, workers=None, progress=False, quality="opencv"):
    """Computes the optical flow of a clip.

    Args:
        frames: (T, H, W, 3) RGB, (T, H, W, 1) or (T, H, W) grey; uint8 or float, in [0, 255].
        method: "tvl1", the package's own engine; "opencv", OpenCV's DualTVL1, the same answers to a few
            thousandths of a pixel, many times slower; or "dis", dense inverse search by OpenCV, faster
            still and not what the weights saw.
        params: a `TVL1Params`; OpenCV's defaults if None. Not for "dis".
        workers: frame pairs computed at once; by default one for each core this process may use.
        progress: whether to show how many pairs are done.
        quality: "opencv", or "fast" or "fastest", which give up accuracy for time: presets of params, not for "dis".

    Returns:
        float32 (T - 1, H, W, 2): dx, dy in pixels per frame, unclipped. The scene at (x, y) of a frame is found
        at (x + dx, y + dy) of the next.

    Raises:
        ValueError: fewer than two frames, or frames of another shape, dtype or range.
        ImportError: the method's package is not installed; the message has the install line.
    """
    if not hasattr(frames, "__len__"):
        raise ValueError(
            f"A clip is an array or a list of frames. Received: {type(frames).__name__}. Pass iterators to `stream`."
        )
    shape = getattr(frames, "shape", ())
    if shape and (len(shape) not in (3, 4) or len(shape) == 3 and shape[-1] == 3):
        raise ValueError(
            f"A clip is (T, H, W, 3), (T, H, W, 1) or (T, H, W). Received: shape {tuple(shape)}. Stack single RGB "
            "frames, and pass the clips of a batch one by one."
        )
    if len(frames) < 2:
        raise ValueError(f"Flow needs at least 2 frames. Received: {len(frames)}.")
    with Bar(f"flow ({method})", len(frames) - 1, "pairs", shown=progress) as bar:
        return np.stack(list(bar.over(stream(frames, method, params, workers, quality))))


def tvl1(frames, params=None, workers=None, progress=False, quality="opencv"):
    """Computes the optical flow of a clip by TV-L1, with the package's own engine: `compute` with method="tvl1".

    Args, returns, errors: as for `compute`.
    """
    return compute(frames, "tvl1", params, workers, progress, quality)


def stream(frames, method="tvl1", params=None, workers=None, quality="opencv"):
    """Yields the flow from each frame of an iterable to the next, in order, in bounded memory.

    At most two pairs a worker are read ahead. With "tvl1" a worker holds about 106 bytes a pixel of the frame, and each
    flow that waits to be taken 8 more.

    Args:
        frames: an iterable of frames of one shape, each as in `compute` without its time axis.
        method, params, workers, quality: as in `compute`.

    Yields:
        float32 (H, W, 2): dx, dy in pixels per frame, the same to the bit whatever the number of workers.

    Raises:
        ValueError, ImportError: as `compute`, when the first flow is asked for or a bad frame comes.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}. Received: method={method!r}")
    if params is not None and method == "dis":
        raise ValueError('params are for TV-L1. Received: method="dis" with params')
    if params is not None and not isinstance(params, engine.TVL1Params):
        raise ValueError(f"params must be a TVL1Params. Received: {params!r}")
    if workers is not None and not (isinstance(workers, numbers.Integral) and workers >= 1):
        raise ValueError(f"workers must be a whole number of at least 1, or None. Received: workers={workers!r}")
    preset = engine.TVL1Params.of_quality(quality)
    if quality != "opencv" and (params is not None or method == "dis"):
        received = 'method="dis"' if method == "dis" else "params"
        raise ValueError(
            f"quality is a preset of params, and of TV-L1. Received: quality={quality!r} and {received}. Leave one out."
        )
    settings = params or preset
    with contextlib.nullcontext() if method == "tvl1" else opencv.one_thread_a_call():
        yield from _map_pairs(frames, lambda: METHODS[method](settings), workers or cores())


def _map_pairs(frames, make_solver, workers):
    """Yields solve(frame, next frame), a solver of its own for each thread."""
    make_solver()  # compiled, or found missing, here: before the threads start; buffers come with the first pair
    own = threading.local()

    def solve(previous, following):
        if not hasattr(own, "solver"):
            own.solver = make_solver()
        return own.solver(previous, following)

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    waiting = collections.deque()
    try:
        for previous, following in itertools.pairwise(map(prepare, frames)):
            if previous.shape != following.shape:
                raise ValueError(f"Frames must have one shape. Received: {previous.shape}, then {following.shape}.")
            waiting.append(pool.submit(solve, previous, following))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def prepare(frame):
    """Returns a frame as grey (H, W), uint8 or float32 in [0, 255], or raises what is wrong with it."""
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 and frame.dtype.kind != "f":
        raise ValueError(f"Frames must be uint8 or float, in [0, 255]. Received: {frame.dtype}.")
    if frame.ndim == 3 and frame.size:
        frame = engine.to_grey(frame)
    if frame.ndim != 2 or frame.size == 0:
        raise ValueError(f"A frame must be (H, W), (H, W, 1) or (H, W, 3), and not empty. Received: {frame.shape}.")
    if frame.dtype == np.uint8:
        return frame.copy()  # the caller may use its buffer again
    low, high = frame.min(), frame.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("Float frames must be finite. Received: NaN or infinity. Clean them with np.nan_to_num.")
    if low < -0.5 or high > 255.5 or (high <= 1 and bool(np.any(frame != np.rint(frame)))):
        raise ValueError(
            f"Float frames lie in [0, 255]. Received: {low:.4g} to {high:.4g}. Flow is computed before scaling to "
            "[-1, 1]; rescale them, or pass uint8."
        )
    return np.array(frame, np.float32)


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
