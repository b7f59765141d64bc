"""TV-L1 optical flow as a Keras layer: OpenCV's DualTVL1 in `keras.ops`, for TensorFlow and JAX.

From the coarsest scale to the finest, the second frame is warped onto the first by the flow found so far;
the flow then minimises |grad u1| + |grad u2| + lambda |rho(u)|, where rho is the linearised difference of the
two greys, by turns: a clamped step against rho, a step of the dual variables p of the total variation, and a
median every thirty of these.

Sources: C. Zach, T. Pock, H. Bischof, "A duality based approach for realtime TV-L1 optical flow", DAGM 2007;
J. Sanchez Perez, E. Meinhardt-Llopis, G. Facciolo, "TV-L1 optical flow estimation", IPOL 2013.
"""

import keras
from keras import ops

from keras_i3d.errors import check_rules
from keras_i3d.flow.engine import QUALITIES, check_quality

SMALLEST_SIDE = 16  # pixels; below the frames themselves, the pyramid has no smaller level


@keras.saving.register_keras_serializable(package="keras_i3d")
class TVL1(keras.layers.Layer):
    """Optical flow between neighbouring frames: frame t + 1 at (x + dx, y + dy) shows what frame t shows at (x, y).

    Takes frames (batch, time, height, width, channels) of 3 channels (RGB) or 1 (grey): integers or floats, both
    in [0, 255]. Returns float32 (batch, time - 1, height, width, 2): dx, dy in pixels per frame, unclipped.

    With quality="opencv" the flow is that of OpenCV 5's DualTVL1 up to rounding. The price of each, on eight pairs of a
    256 x 341 sports video: mean distance to OpenCV's flow (EPE), pixels within one of its 8-bit levels, and seconds
    of processor time a pair, compiled by XLA for one CPU core that takes OpenCV 0.84 s and `flow.tvl1` 0.04 s:

        quality    pyramid          warps  epsilon  EPE       1 level  time
        "opencv"   5 levels by 0.8  5      0.01     0.004 px  99.96%   0.38 s
        "fast"     4 levels by 0.5  3      0.01     0.05 px   97.5%    0.15 s
        "fastest"  4 levels by 0.5  2      0.02     0.13 px   84.8%    0.08 s

    `benchmarks/flow.py` measures them. TensorFlow without XLA took 1.0 to 1.5 times as long as OpenCV.
    "fastest" may lose a motion of 15 px that the others follow. NaN in a pair makes NaN of that pair's flow alone.

    Always computes in float32, whatever the dtype policy, and passes no gradient. Compile it: with `jax.jit`,
    with `tf.function(layer, jit_compile=True)`, or as part of a compiled model. JAX uncompiled
    compiles its loops anew on every call.

    TensorFlow may trace or export it with unknown (None) batch, time, height and width: the pyramid then takes at
    run time the levels that the size allows, with the same result. Sides may be of any length; a level with a
    side under 16 pixels is left out.

    Each pair stops iterating on its own and does not affect the others, yet a group of pairs runs as long as its
    slowest. Memory is about 240 bytes for each pixel of each pair in a group, 20 MiB at 256 x 340.

    Args:
        quality: "opencv", "fast" or "fastest": presets of `nscales`, `scale_step`, `warps` and `epsilon`.
        tau: Time step of the dual variables; the iteration is stable up to 0.25.
        lambda_: Weight of the grey difference against smoothness; smaller is smoother.
        theta: Tightness of the link between the flow that fits the greys and the one that is smooth.
        nscales: Levels of the pyramid, at most.
        scale_step: Side of a level over that of the finer one, in (0, 1).
        warps: Warps of the second frame at each level.
        epsilon: A pair is done with a warp when an iteration changes its flow by less than this, in pixels,
            root mean square.
        inner_iterations: Iterations between two medians.
        outer_iterations: Medians at each warp, at most.
        median: Side of the median filter in pixels: 5, 3 or 1 (none).
        pairs_at_once: Pairs in a group; None takes all at once, to fill a GPU. 1 needs the least memory, and on
            a CPU took a tenth to a half less time.

    Raises:
        ValueError: for a setting out of range, frames of another shape, or fewer than 2 frames.
    """

    def __init__(
        self,
        quality="opencv",
        *,
        tau=0.25,
        lambda_=0.15,
        theta=0.3,
        nscales=None,
        scale_step=None,
        warps=None,
        epsilon=None,
        inner_iterations=30,
        outer_iterations=10,
        median=5,
        pairs_at_once=None,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        preset = QUALITIES[check_quality(quality)]
        self.quality = quality
        self.tau = tau
        self.lambda_ = lambda_
        self.theta = theta
        self.nscales = preset["nscales"] if nscales is None else nscales
        self.scale_step = preset["scale_step"] if scale_step is None else scale_step
        self.warps = preset["warps"] if warps is None else warps
        self.epsilon = preset["epsilon"] if epsilon is None else epsilon
        self.inner_iterations = inner_iterations
        self.outer_iterations = outer_iterations
        self.median = median
        self.pairs_at_once = pairs_at_once
        self._check_settings()

    def _check_settings(self):
        counts = ["nscales", "warps", "inner_iterations", "outer_iterations"]
        if self.pairs_at_once is not None:
            counts.append("pairs_at_once")
        positive = [(name, getattr(self, name) > 0, "positive") for name in ("tau", "lambda_", "theta", "epsilon")]
        values = {name: getattr(self, name) for name in counts}
        whole = [(name, n == int(n) >= 1, "a whole number of at least 1") for name, n in values.items()]
        rules = (
            *(*positive, *whole),
            ("scale_step", 0 < self.scale_step < 1, "between 0 and 1"),
            ("median", self.median in (1, 3, 5), "1 (no filter), 3 or 5"),
        )
        check_rules(self, rules)

    def get_config(self):
        names = ("quality", "tau", "lambda_", "theta", "nscales", "scale_step", "warps", "epsilon",
                 "inner_iterations", "outer_iterations", "median", "pairs_at_once")  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def compute_output_shape(self, input_shape):
        _check_frames(input_shape)
        batch, time, height, width, _ = input_shape
        return batch, None if time is None else time - 1, height, width, 2

    def call(self, frames):
        _check_frames(frames.shape)
        batch, time, height, width, _ = ops.shape(frames)
        grey = ops.stop_gradient(_grey(frames))
        pairs = ops.stack([grey[:, :-1], grey[:, 1:]], axis=2)
        flow = self._in_groups(ops.reshape(pairs, (-1, 2, height, width)))
        flow = ops.reshape(flow, (batch, time - 1, 2, height, width))
        return ops.transpose(flow, (0, 1, 3, 4, 2))

    def _in_groups(self, pairs):
        """The flow of all pairs, `pairs_at_once` at a time; repeats of the last pair fill up the last group."""
        size = self.pairs_at_once
        if size is None:
            return self._flow(pairs)
        count, _, height, width = ops.shape(pairs)
        filled = (count + size - 1) // size * size
        pairs = ops.take(pairs, ops.minimum(ops.arange(filled, dtype="int32"), count - 1), axis=0)
        flow = ops.map(self._flow, ops.reshape(pairs, (-1, size, 2, height, width)))
        return ops.reshape(flow, (-1, 2, height, width))[:count]

    def _flow(self, pairs):
        """(N, 2, H, W) -> (N, 2, H, W): two greys to two components of flow, from the coarsest level to the finest."""
        levels = [(pairs, True)]
        while len(levels) < self.nscales:
            sides = [_shrunk(side, self.scale_step) for side in ops.shape(pairs)[2:]]
            large = [side >= SMALLEST_SIDE for side in sides]
            if any(answer is False for answer in large):
                break
            pairs = _resize(pairs, sides, pitch=1 / self.scale_step)
            levels.append((pairs, ops.logical_and(*large)))
        flow = ops.zeros_like(pairs)
        for pairs, exists in reversed(levels):
            flow = _resize(flow, ops.shape(pairs)[2:]) / self.scale_step
            flow = self._refine(flow, pairs, exists)
        return flow

    def _refine(self, flow, pairs, exists):
        """The flow at one level, given that of the level before; a level that does not `exist` leaves it alone."""
        first, second = pairs[:, :1], pairs[:, 1:]
        table = _with_gradient(second)
        blank = ops.zeros_like(ops.concatenate([first, flow], axis=1))
        bound = self.lambda_ * self.theta
        step = self.tau / self.theta

        def warp(live, flow, px, py):
            # The loop of one turn is for XLA, which would sample anew for each use of the samples.
            _, sample = _repeat(1, lambda live, _: (live, _warp(table, flow)), live, blank)
            warped, gradient = sample[:, :1], sample[:, 1:]
            norm = ops.maximum(_dot(gradient, gradient), 1e-7)
            constant = warped - first - _dot(gradient, flow)

            def iterate(live, flow, px, py):
                rho = constant + _dot(gradient, flow)
                v = flow + gradient * ops.clip(-rho / norm, -bound, bound)
                u = ops.where(live, v + self.theta * (_backward(px, 3) + _backward(py, 2)), flow)
                ux, uy = _forward(u, 3), _forward(u, 2)
                scale = 1 + step * ops.sqrt(ux * ux + uy * uy)
                px = ops.where(live, (px + step * ux) / scale, px)
                py = ops.where(live, (py + step * uy) / scale, py)
                change = 2 * ops.mean(ops.square(u - flow), axis=(1, 2, 3), keepdims=True)
                return ops.logical_and(live, change > self.epsilon**2), u, px, py

            def smooth_and_iterate(live, flow, px, py):
                flow = ops.where(live, _median(flow, self.median), flow)
                return _repeat(self.inner_iterations, iterate, live, flow, px, py)

            return live, *_repeat(self.outer_iterations, smooth_and_iterate, live, flow, px, py)[1:]

        every_pair = ops.ones_like(flow[:, :1, :1, :1], dtype="bool")
        p = ops.zeros_like(flow)
        return _repeat(self.warps, warp, ops.logical_and(every_pair, exists), flow, p, p)[1]


def _check_frames(shape):
    if len(shape) != 5 or shape[-1] not in (1, 3):
        raise ValueError(
            "Frames must be (batch, time, height, width, channels) with 3 channels (RGB) or 1 (grey). "
            f"Received: shape={tuple(shape)}. Give a single clip a batch axis with frames[None]."
        )
    if shape[1] is not None and shape[1] < 2:
        raise ValueError(
            f"Flow runs between neighbouring frames and needs at least 2. Received: {shape[1]}, in "
            f"shape={tuple(shape)}. A still frame repeated has a flow of zero."
        )


def _repeat(times, step, live, *state):
    """Replace (live, *state) by step(live, *state) up to `times` times, while any pair is live."""
    _, live, *state = ops.while_loop(
        lambda turn, live, *state: ops.logical_and(turn < times, ops.any(live)),
        lambda turn, live, *state: (turn + 1, *step(live, *state)),
        (0, live, *state),
    )
    return live, *state


def _grey(frames):
    """Luma (..., height, width) in [0, 255]: of integers that of OpenCV, rounded; of floats unrounded."""
    integers = "int" in keras.backend.standardize_dtype(frames.dtype)
    frames = ops.cast(frames, "float32")
    if frames.shape[-1] == 1:
        return frames[..., 0]
    luma = (9798 * frames[..., 0] + 19235 * frames[..., 1] + 3735 * frames[..., 2]) / 32768
    return ops.floor(luma + 0.5) if integers else luma


def _shrunk(side, step):
    """The side of the next level: a number, or a tensor if TensorFlow does not know the size yet."""
    if isinstance(side, int):
        return round(side * step)
    return ops.maximum(ops.cast(ops.round(ops.cast(side, "float32") * step), "int32"), 1)


def _resize(x, sides, pitch=None):
    """(N, C, H, W) -> (N, C, *sides), bilinear, pixel centres at halves, samples `pitch` pixels of x apart."""
    for axis, side in zip((2, 3), sides):
        length = ops.shape(x)[axis]
        stride = pitch or ops.cast(length, "float32") / ops.cast(side, "float32")
        at = (ops.arange(side, dtype="float32") + 0.5) * stride - 0.5
        at = ops.clip(at, 0, ops.cast(length - 1, "float32"))
        low = ops.cast(at, "int32")
        near, far = ops.take(x, low, axis=axis), ops.take(x, ops.minimum(low + 1, length - 1), axis=axis)
        weight = ops.reshape(at - ops.floor(at), (-1, 1) if axis == 2 else (-1,))
        x = near + weight * (far - near)
    return x


def _pad(x, axis, widths):
    """Zeros before and after along one of the four axes of x."""
    return ops.pad(x, [widths if i == axis else (0, 0) for i in range(4)])


def _forward(x, axis):
    """The next sample minus this one; 0 for the last."""
    return _pad(ops.diff(x, axis=axis), axis, (0, 1))


def _backward(x, axis):
    """This sample minus the one before, which is 0 for the first: the negative adjoint of `_forward`."""
    return ops.diff(_pad(x, axis, (1, 0)), axis=axis)


def _central(x, axis):
    """Half the way from the sample before to the next; the ends stand in for what lies beyond them."""
    steps = ops.diff(x, axis=axis)
    return (_pad(steps, axis, (0, 1)) + _pad(steps, axis, (1, 0))) / 2


def _dot(a, b):
    """(N, 2, H, W) twice -> (N, 1, H, W)"""
    return a[:, :1] * b[:, :1] + a[:, 1:] * b[:, 1:]


def _with_gradient(image):
    """(N, 1, H, W) -> (N, H + 8, W + 8, 3): an image and its two derivatives within four pixels of zeros."""
    table = ops.concatenate([image, _central(image, 3), _central(image, 2)], axis=1)
    return ops.pad(ops.transpose(table, (0, 2, 3, 1)), ((0, 0), (4, 4), (4, 4), (0, 0)))


def _warp(table, flow):
    """(N, 3, H, W): what `_with_gradient` gave, sampled bicubically at each pixel plus its flow; 0 outside."""
    pairs, _, height, width = ops.shape(flow)
    x = flow[:, 0] + ops.arange(width, dtype="float32")
    y = flow[:, 1] + ops.arange(height, dtype="float32")[:, None]
    left, top = ops.floor(x), ops.floor(y)
    across, down = _cubic((x - left)[..., None]), _cubic((y - top)[..., None])
    # The first of 4 x 4 neighbours in the padded image; beyond four pixels outside all sixteen are zero.
    column = ops.clip(ops.cast(left, "int32"), -3, width + 1) + 3
    row = ops.clip(ops.cast(top, "int32"), -3, height + 1) + 3
    pair = ops.arange(pairs, dtype="int32")[:, None, None]
    corner = (pair * (height + 8) + row) * (width + 8) + column
    table = ops.reshape(table, (-1, 3))
    sample = 0
    for i in range(4):
        line = corner + i * (width + 8)
        sample += down[i] * sum(across[j] * ops.take(table, line + j, axis=0) for j in range(4))
    return ops.transpose(sample, (0, 3, 1, 2))


def _cubic(t):
    """Weights of the samples at -1, 0, 1 and 2 for a point at t in [0, 1): Keys' kernel with a = -0.75."""
    s = 1 - t
    return -0.75 * t * s * s, (1.25 * t - 2.25) * t * t + 1, (1.25 * s - 2.25) * s * s + 1, -0.75 * s * t * t


def _median(x, size):
    """The median of each size x size window of (N, C, H, W), the border replicated, without a full sort.

    Once its columns and then its rows are sorted, a window's sample in row i and column j has
    (i + 1)(j + 1) - 1 others that are not above it, and (size - i)(size - j) - 1 not below. Few can then
    be the median: 3 of 9, 13 of 25. From these fall, by turns, the least and the greatest of just over half.
    """
    if size == 1:
        return x
    height, width = ops.shape(x)[2:]
    for _ in range(size // 2):
        x = ops.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="symmetric")
    ranks = _sorted([x[:, :, i : i + height] for i in range(size)])
    rows = [_sorted([rank[..., j : j + width] for j in range(size)]) for rank in ranks]
    most = size * size // 2 + 1
    window = [(i, j) for i in range(size) for j in range(size)]
    left = [rows[i][j] for i, j in window if max((i + 1) * (j + 1), (size - i) * (size - j)) <= most]
    while len(left) > 1:
        last = len(left) // 2 + 1
        for i in range(last):
            _order(left, i, last)
        for i in range(1, last):
            _order(left, 0, i)
        left = left[1:last] + left[last + 1 :]
    return left[0]


def _sorted(values):
    """Arrays in ascending order, sample by sample."""
    for end in range(len(values) - 1, 0, -1):
        for i in range(end):
            _order(values, i, i + 1)
    return values


def _order(values, i, j):
    values[i], values[j] = ops.minimum(values[i], values[j]), ops.maximum(values[i], values[j])
