"""TV-L1 optical flow on the CPU: the answers of OpenCV's DualTVL1, many times faster, without OpenCV.

The method of Zach, Pock and Bischof ("A duality based approach for realtime TV-L1 optical flow", DAGM 2007),
as Sanchez, Meinhardt-Llopis and Facciolo describe it (IPOL 2013, doi 10.5201/ipol.2013.26) and as OpenCV's
`cv2.optflow.DualTVL1OpticalFlow` varies it: bilinear pyramid, bicubic warps, a median of 5 x 5 between rounds of
iterations, and a stop once the flow no longer changes.

The arithmetic is in `kernels`, compiled by Numba at the first flow and kept on disk; importing this module is light.
"""

import dataclasses
import functools
import math
import numbers
import threading

import numpy as np

from keras_i3d.errors import check_rules, missing_package, notice

_SMALLEST = 16  # a pyramid level with a shorter side is left out
_GREY = np.array([9798, 19235, 3735], np.uint32)  # 0.299, 0.587, 0.114 of 2**15


@dataclasses.dataclass(frozen=True)
class TVL1Params:
    """Parameters of the energy and of its minimisation; the defaults are OpenCV's.

    OpenCV's gamma, an illumination term that it leaves at zero, and its `useInitialFlow` do not exist here.
    """

    tau: float = 0.25  # step of the dual variable, at most 1/4
    lambda_: float = 0.15  # weight of the data term: smaller is smoother
    theta: float = 0.3  # tightness of the coupling between data term and smoothness
    nscales: int = 5  # pyramid levels at most; none has a side shorter than 16, but the frame itself
    warps: int = 5  # linearisations a level
    epsilon: float = 0.01  # stop when the root mean squared change of an iteration falls to this, in pixels
    inner_iterations: int = 30  # iterations between two medians
    outer_iterations: int = 10  # medians a warp
    scale_step: float = 0.8  # size of a level relative to the next finer one
    median: int = 5  # 5 for a median of 5 x 5, 1 for none

    def __post_init__(self):
        rules = (
            ("tau", 0 < self.tau <= 0.25, "above 0 and at most 0.25"),
            ("lambda_", 0 < self.lambda_ < math.inf, "above 0, and finite"),
            ("theta", 0 < self.theta < math.inf, "above 0, and finite"),
            ("nscales", _counts(self.nscales), "a whole number of at least 1"),
            ("warps", _counts(self.warps), "a whole number of at least 1"),
            ("epsilon", self.epsilon >= 0, "at least 0"),
            ("inner_iterations", _counts(self.inner_iterations), "a whole number of at least 1"),
            ("outer_iterations", _counts(self.outer_iterations), "a whole number of at least 1"),
            ("scale_step", 0 < self.scale_step < 1, "between 0 and 1"),
            ("median", self.median in (1, 5), "5, or 1 for no filter"),
        )
        check_rules(self, rules)


def _counts(value):
    return isinstance(value, numbers.Integral) and value >= 1


def to_grey(frames):
    """Luma of RGB frames, as `cv2.cvtColor` has it with COLOR_RGB2GRAY.

    Args:
        frames: (..., H, W, 3) RGB, or (..., H, W, 1) grey; uint8, or float of any range.

    Returns:
        (..., H, W): uint8 for uint8, rounded exactly as OpenCV rounds; float32 for float.
    """
    frames = np.asarray(frames)
    if frames.ndim < 3 or frames.shape[-1] not in (1, 3):
        raise ValueError(f"Frames must have 1 or 3 channels on the last axis. Received: shape {frames.shape}.")
    if frames.shape[-1] == 1:
        return frames[..., 0]
    red, green, blue = (frames[..., channel] for channel in range(3))
    if frames.dtype == np.uint8:
        # NumPy 1 would take 16 bits, which hold either factor.
        red, green, blue = (np.multiply(part, _GREY[i], dtype=np.uint32) for i, part in enumerate((red, green, blue)))
        return ((red + green + blue + (1 << 14)) >> 15).astype(np.uint8)
    return (red * 0.299 + green * 0.587 + blue * 0.114).astype(np.float32)


def pair_solver(params=TVL1Params()):
    """Returns a function of two grey frames to float32 (H, W, 2), for one thread at a time.

    Frames are as `pairs.prepare` returns them. Flow is exactly zero if the two frames are identical.
    """
    compiled = _kernels()
    solvers = {}

    def solve(previous, following):
        if previous.shape not in solvers:
            solvers.clear()
            solvers[previous.shape] = _Solver(previous.shape, params, compiled)
        return solvers[previous.shape](previous, following)

    return solve


class _Solver:
    """Flow between frames of one shape, in buffers that it allocates once; one thread at a time."""

    def __init__(self, shape, params, compiled):
        self.kernels = compiled
        self.params = params
        self.sizes = _pyramid(shape, params)
        h, w = shape
        self.first, self.second, self.u, self.v = ([_plane(*size) for size in self.sizes] for _ in range(4))
        self.dual = [_plane(h, w) for _ in range(4)]
        self.data = [_plane(h, w) for _ in range(4)]
        self.aprons = [_zeros(compiled.apron_size(h, w)) for _ in range(3)]
        line = w + compiled.LANES
        self.sampling = _zeros(2, line), _zeros(5 * compiled.RUN), _zeros(5 * compiled.RUN), _zeros(3, line)
        self.filtering = _plane(h, w), _zeros(5, w + 4)

    def __call__(self, previous, following):
        """(H, W) grey, uint8 or float32 in [0, 255], twice -> float32 (H, W, 2)."""
        if np.array_equal(previous, following):
            return _zeros(*previous.shape, 2)  # what the iterations would find
        for frame, levels in ((previous, self.first), (following, self.second)):
            self._shrink(frame, levels)
        self.u[-1][:] = self.v[-1][:] = 0
        step = self.params.scale_step
        for level in reversed(range(len(self.sizes))):
            self._solve(level)
            if level > 0:
                for field in (self.u, self.v):
                    self._resize(field, level, level - 1)
                    field[level - 1] *= np.float32(1 / step)
        return np.stack([_inside(self.u[0], *self.sizes[0]), _inside(self.v[0], *self.sizes[0])], axis=-1)

    def _shrink(self, frame, levels):
        _inside(levels[0], *frame.shape)[:] = frame
        for level in range(1, len(levels)):
            self._resize(levels, level - 1, level)

    def _resize(self, levels, source, target):
        size, new = self.sizes[source], self.sizes[target]
        shrinks = (1 / self.params.scale_step,) * 2
        step = shrinks if target > source else (size[0] / new[0], size[1] / new[1])
        self.kernels.resize(levels[source], *size, levels[target], *new, *step)

    def _solve(self, level):
        """Refines the flow of one level in place."""
        kernels, params, (h, w) = self.kernels, self.params, self.sizes[level]
        flow = (self.u[level], self.v[level])
        dual = tuple(buffer[: len(flow[0])] for buffer in self.dual)
        data = tuple(buffer[: len(flow[0])] for buffer in self.data)
        aprons = tuple(buffer[: kernels.apron_size(h, w)] for buffer in self.aprons)
        for buffer in (*dual, *data, *aprons):
            buffer[:] = 0
        kernels.gradient(self.second[level], h, w, aprons)
        steps = np.array([params.lambda_ * params.theta, params.theta, params.tau / params.theta], np.float32)
        tolerance = float(params.epsilon**2 * h * w)
        rounds = params.outer_iterations, params.inner_iterations, params.median > 1
        for _ in range(params.warps):
            kernels.warp(self.first[level], aprons, h, w, flow, data, *self.sampling)
            kernels.minimise(h, w, flow, dual, data, *self.filtering, *steps, tolerance, *rounds)


def _zeros(*shape):
    return np.zeros(shape, np.float32)


def _plane(h, w):
    return _zeros((h + 2) * (w + 1))


def _inside(plane, h, w):
    """The (h, w) field of a plane, see `kernels`."""
    return plane.reshape(h + 2, w + 1)[1:-1, :-1]


def _pyramid(shape, params):
    """(h, w) of every level, finest first."""
    sizes = [shape]
    while len(sizes) < params.nscales:
        size = tuple(round(side * params.scale_step) for side in sizes[-1])
        if min(size) < _SMALLEST:
            break
        sizes.append(size)
    return sizes


_loading = threading.Lock()


def _kernels():
    """The compiled kernels; the first call compiles them, or reads them from Numba's cache."""
    with _loading:
        return _load_kernels()


@functools.cache
def _load_kernels():
    try:
        from keras_i3d.flow import kernels
    except ImportError as error:
        raise missing_package("numba", "numba", 'Flow with method="tvl1"') from error
    black = _zeros(2 * _SMALLEST, 2 * _SMALLEST)
    with _announced(kernels):
        _Solver(black.shape, TVL1Params(), kernels)(black, black + 1)  # two levels: every kernel is called
    return kernels


def _announced(compiled):
    """A context in which the first compilation says so; reading compiled kernels from the cache is silent."""
    from numba.core import event

    class Announcement(event.Listener):
        made = False

        def on_start(self, _):
            if not self.made:
                often = "once" if compiled.is_kept() else "each time, until NUMBA_CACHE_DIR is a folder to keep them in"
                notice(f"compiling the TV-L1 kernels (about 5 s, {often})")
            self.made = True

        def on_end(self, _):
            pass

    return event.install_listener("numba:compile", Announcement())
