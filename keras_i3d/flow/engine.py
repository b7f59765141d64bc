"""TV-L1 optical flow on the CPU: the answers of OpenCV's DualTVL1, many times faster, without OpenCV.

The method of Zach, Pock and Bischof ("A duality based approach for realtime TV-L1 optical flow", DAGM 2007),
as Sanchez, Meinhardt-Llopis and Facciolo describe it (IPOL 2013, doi 10.5201/ipol.2013.26) and as OpenCV's
`cv2.optflow.DualTVL1OpticalFlow` varies it: bilinear pyramid, bicubic warps, a median of 5 x 5 between rounds of
iterations, and a stop once the flow no longer changes.

The arithmetic is in `kernels` and `sweeps`, and `coarse_to_fine` makes one call of all of it for a pair of frames.
They are compiled by Numba at the first flow and kept on disk; importing this module is light.
"""

import dataclasses
import functools
import math
import numbers
import threading
import types
import typing

import numpy as np

from keras_i3d.errors import check_rules, missing_package, notice

_SMALLEST = 16  # a pyramid level with a shorter side is left out
_GREY = np.array([9798, 19235, 3735], np.uint32)  # 0.299, 0.587, 0.114 of 2**15

# Settings of the engine and of `flow.TVL1` that give up accuracy for time; what each costs is in docs/flow.md.
QUALITIES = {
    "opencv": {"nscales": 5, "scale_step": 0.8, "warps": 5, "epsilon": 0.01},
    "fast": {"nscales": 4, "scale_step": 0.5, "warps": 3, "epsilon": 0.01},
    "fastest": {"nscales": 4, "scale_step": 0.5, "warps": 2, "epsilon": 0.02},
}


def check_quality(quality):
    """Returns `quality` if it is a key of QUALITIES, else raises ValueError."""
    if quality not in QUALITIES:
        raise ValueError(f"quality must be one of {', '.join(QUALITIES)}. Received: quality={quality!r}.")
    return quality


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

    @classmethod
    def of_quality(cls, quality):
        """The parameters of "opencv", the defaults, or of "fast" or "fastest", which give up accuracy for time."""
        return cls(**QUALITIES[check_quality(quality)])

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
        kernels, self.solve = compiled.kernels, compiled.coarse_to_fine.solve
        self.sizes = _pyramid(shape, params)
        self.levels = np.array(self.sizes, np.int64)
        pitches = [int(kernels.pitch_of(w)) for _, w in self.sizes]
        planes = [(h + 2) * pitch for (h, _), pitch in zip(self.sizes, pitches)]
        self.starts = np.cumsum([0, *planes], dtype=np.int64)
        self.pair = _zeros(self.starts[-1]), _zeros(self.starts[-1])
        # Where the frames of a pair go, in the finest level of both pyramids.
        self.frames = [_inside(levels[: planes[0]], *shape) for levels in self.pair]
        parts = _planes(17, planes[0])
        self.states = parts[:6], parts[6:12]  # flow and dual variables, before and after a warp by turns
        self.data, self.copy = parts[12:16], parts[16]
        self.aprons = _planes(3, kernels.apron_size(*shape))
        line = pitches[0] + kernels.LANES  # vectors may start anywhere in a row
        self.shifts, self.columns = _planes(2, line), _planes(5, line)
        self.edges = _edges([w for _, w in self.sizes], line)
        self.steps = _steps(params)
        rounds = params.outer_iterations, params.inner_iterations, params.median > 1
        self.schedule = params.warps, *rounds, float(params.epsilon**2), 1 / params.scale_step

    def __call__(self, previous, following):
        """(H, W) grey, uint8 or float32 in [0, 255], twice -> float32 (H, W, 2)."""
        for place, frame in zip(self.frames, (previous, following)):
            place[:] = frame
        flow = np.empty((*previous.shape, 2), np.float32)
        buffers = self.data, self.copy, self.aprons, self.shifts, self.columns, self.edges
        self.solve(self.levels, self.starts, self.pair, *self.states, *buffers, self.steps, self.schedule, flow)
        return flow


def _steps(params):
    """float32 lambda * theta, theta, tau / theta."""
    return tuple(np.array([params.lambda_ * params.theta, params.theta, params.tau / params.theta], np.float32))


def _zeros(*shape):
    return np.zeros(shape, np.float32)


def _planes(count, size):
    """Flat arrays for planes, each at the start of a cache line and none at the same place of a page as the next."""
    line, page = 16, 1024  # float32
    stride = -(-size // page) * page + 9 * line
    whole = _zeros(count * stride + line)
    start = -(whole.ctypes.data // whole.itemsize) % line
    return tuple(whole[at : at + size] for at in range(start, start + count * stride, stride))


def _inside(plane, h, w):
    """The (h, w) field of a plane, see `kernels`."""
    return plane.reshape(h + 2, -1)[1:-1, :w]


def _edges(widths, length):
    """The column (length,); and, for each width, 1 in the image and 0 behind it, and 1 in all columns but its last."""
    column, widths = np.arange(length, dtype=np.float32), np.array(widths)[:, None]
    return column, np.float32(column < widths), np.float32(column < widths - 1)


def _pyramid(shape, params):
    """(h, w) of every level, finest first."""
    sizes = [shape]
    while len(sizes) < params.nscales:
        size = tuple(round(side * params.scale_step) for side in sizes[-1])
        if min(size) < _SMALLEST:
            break
        sizes.append(size)
    return sizes


class _Compiled(typing.NamedTuple):
    """The modules of the compiled kernels."""

    kernels: types.ModuleType
    sweeps: types.ModuleType
    coarse_to_fine: types.ModuleType


_loading = threading.Lock()


def _kernels():
    """The compiled kernels; the first call compiles them, or reads them from Numba's cache."""
    with _loading:
        return _load_kernels()


@functools.cache
def _load_kernels():
    try:
        from keras_i3d.flow import coarse_to_fine, kernels, sweeps
    except ImportError as error:
        raise missing_package("numba", "numba", 'Flow with method="tvl1"') from error
    black = _zeros(2 * _SMALLEST, 2 * _SMALLEST)
    compiled = _Compiled(kernels, sweeps, coarse_to_fine)
    with _announced(kernels):
        _Solver(black.shape, TVL1Params(), compiled)(black, black + 1)
    return compiled


def _announced(compiled):
    """A context in which the first compilation says so; reading compiled kernels from the cache is silent."""
    from numba.core import event

    class Announcement(event.Listener):
        made = False

        def on_start(self, _):
            if not self.made:
                often = "once" if compiled.is_kept() else "each time, until NUMBA_CACHE_DIR is a folder to keep them in"
                notice(f"compiling the TV-L1 kernels (about 7 s, {often})")
            self.made = True

        def on_end(self, _):
            pass

    return event.install_listener("numba:compile", Announcement())
