"""Compiled kernels of the TV-L1 engine: NumPy arrays in, NumPy arrays out, no allocation, no GIL.

Importing this module imports Numba; `engine` does so at the first flow it computes.

A *plane* is a flat float32 array of (h + 2) * (w + 1) values: the h x w field inside a frame of one row
above, one row below and one column at the right. Neighbours of pixel i are then i - 1, i + 1, i - p and
i + p with p = w + 1, everywhere, so every loop is one straight run that LLVM vectorises. The frame of a
dual plane stays zero (no flux leaves the image); that of a flow plane repeats the last column and row
(no gradient across the border).

An *apron* is a float32 array of (h + 10, w + 10): the field inside five zeros on every side, so that a
bicubic sample that leaves the image reads zeros, as OpenCV's constant border does.

Indices are unsigned where NumPy's negative indices would otherwise cost a test a pixel.
"""

import contextlib
import functools

import numba
import numpy as np
from numba.core import caching

from keras_i3d.errors import notice

APRON = 5  # samples are cut two pixels outside the image, their base is one more, their taps two more
LANES = 8  # floats of a vector register
RUN = 512  # pixels sampled at once, a multiple of LANES
ROWS = 16  # rows of a block of the sweep: ten planes of them stay in a core's second-level cache

# Contraction and reordering of sums only: zeros, infinities and NaN keep their meaning.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}

_one = np.uintp(1)
_f32 = np.float32


def kernel(function):
    """Compiles at the first call and keeps the result on disk if any cache folder can be written."""
    compiled = numba.njit(**_OPTIONS)(function)
    with contextlib.suppress(RuntimeError):  # Numba found no folder to write to
        compiled._cache = _Cache(function)  # what cache=True would set, but for the failures below
    return compiled


class _Cache(caching.FunctionCache):
    """Numba's files of compiled kernels: a damaged one is made anew, and a line says if none can be written."""

    def load_overload(self, signature, target_context):
        try:
            return super().load_overload(signature, target_context)
        except Exception:  # whatever a file cut short or overwritten makes of unpickling
            with contextlib.suppress(OSError):  # then saving fails as well, and says so
                self.flush()
            return None

    def save_overload(self, signature, data):
        try:
            super().save_overload(signature, data)
        except OSError as error:
            _not_kept(error.strerror)


@functools.cache
def _not_kept(reason):
    notice(f"the compiled TV-L1 kernels could not be kept ({reason}); set NUMBA_CACHE_DIR to a folder with some room")


def is_kept():
    """Whether compiled kernels are kept on disk for the next process."""
    return resize.stats.cache_path is not None


def apron_size(h, w):
    return (h + 2 * APRON) * (w + 2 * APRON)


# Resampling.


@kernel
def resize(source, h, w, target, rows, columns, step_y, step_x):
    """Bilinear resampling of a plane with half-pixel centres; a step is source pixels per target pixel."""
    near = np.empty(columns, np.uint32)
    part = np.empty(columns, _f32)
    line = np.empty(w + 1, _f32)
    for x in range(columns):
        at = min(max((x + 0.5) * step_x - 0.5, 0.0), w - 1.0)
        near[x] = int(at)
        part[x] = at - int(at)
    for y in range(rows):
        at = min(max((y + 0.5) * step_y - 0.5, 0.0), h - 1.0)
        top = np.uintp((int(at) + 1) * (w + 1))
        low = np.uintp((min(int(at) + 1, h - 1) + 1) * (w + 1))
        part_y = _f32(at - int(at))
        for x in range(w):
            i = np.uintp(x)
            line[x] = source[top + i] + (source[low + i] - source[top + i]) * part_y
        line[w] = line[w - 1]
        start = np.uintp((y + 1) * (columns + 1))
        for x in range(columns):
            i = np.uintp(near[x])
            target[start + np.uintp(x)] = line[i] + (line[i + _one] - line[i]) * part[x]


@kernel
def gradient(image, h, w, aprons):
    """Writes a plane and its central differences, one-sided and halved at the borders, into aprons."""
    value, along_x, along_y = aprons
    half = _f32(0.5)
    for y in range(h):
        row = np.uintp((y + 1) * (w + 1))
        above = np.uintp((max(y - 1, 0) + 1) * (w + 1))
        below = np.uintp((min(y + 1, h - 1) + 1) * (w + 1))
        start = np.uintp((y + APRON) * (w + 2 * APRON) + APRON)
        for x in range(w):
            i = np.uintp(x)
            value[start + i] = image[row + i]
            along_y[start + i] = half * (image[below + i] - image[above + i])
        for x in range(w):
            left, right = np.uintp(max(x - 1, 0)), np.uintp(min(x + 1, w - 1))
            along_x[start + np.uintp(x)] = half * (image[row + right] - image[row + left])


@kernel
def _cut(at, most):
    at = at if at > _f32(-2) else _f32(-2)  # so written, NaN is cut too and no read leaves the apron
    return at if at < most else most


@kernel
def _shifts(start, h, w, y, flow, shifts):
    """Displacements of one row, (x, y), cut where the sample would lie two pixels outside the image."""
    u, v = flow
    for x in range(w):
        i = start + np.uintp(x)
        shifts[0, x] = _cut(_f32(x) + u[i], _f32(w + 1)) - _f32(x)
        shifts[1, x] = _cut(_f32(y) + v[i], _f32(h + 1)) - _f32(y)


@kernel
def _weigh(shifts, axis, base, first, count, weights):
    """Cubic convolution weights (a = -3/4) of the pixels base - 2 .. base + 2 for shifts up to 1 from base.

    Four of the five are at work, which four depends on the side of base.
    """
    a = _f32(-0.75)
    for n in range(count):
        t = shifts[axis, first + np.uintp(n)] - base
        near, far = abs(t), _f32(1) - abs(t)
        inner = ((a + _f32(2)) * far - (a + _f32(3))) * far * far + _f32(1)
        outer = a * near * far * far
        last = a * near * near * far
        weights[n] = last if t < 0 else _f32(0)
        weights[n + RUN] = inner if t < 0 else outer
        weights[n + 2 * RUN] = ((a + _f32(2)) * near - (a + _f32(3))) * near * near + _f32(1)
        weights[n + 3 * RUN] = outer if t < 0 else inner
        weights[n + 4 * RUN] = _f32(0) if t < 0 else last


@kernel
def _across(field, i, weights, n):
    return (
        weights[n] * field[i]
        + weights[n + RUN] * field[i + np.uintp(1)]
        + weights[n + 2 * RUN] * field[i + np.uintp(2)]
        + weights[n + 3 * RUN] * field[i + np.uintp(3)]
        + weights[n + 4 * RUN] * field[i + np.uintp(4)]
    )


@kernel
def _sample(field, pitch, origin, count, across, down, lines, k, first):
    """Bicubic samples of `count` pixels whose taps lie side by side."""
    for n in range(count):
        i = origin + np.uintp(n)
        lines[k, first + np.uintp(n)] = (
            down[n] * _across(field, i, across, n)
            + down[n + RUN] * _across(field, i + pitch, across, n)
            + down[n + 2 * RUN] * _across(field, i + np.uintp(2) * pitch, across, n)
            + down[n + 3 * RUN] * _across(field, i + np.uintp(3) * pitch, across, n)
            + down[n + 4 * RUN] * _across(field, i + np.uintp(4) * pitch, across, n)
        )


@kernel
def warp(image, aprons, h, w, flow, data, shifts, across, down, lines):
    """Warps I1 and its gradient by the flow and linearises the brightness residual around it.

    Writes `data`: the warped gradient (gx, gy), 1 / |gradient|^2, and the constant part of
    rho(u, v) = rest + gx * u + gy * v. Flow is smooth, so a row falls into a few runs whose shifts
    stay within a pixel of a whole number; within a run the taps are read as contiguous vectors.
    A run is sampled in whole vectors, and what exceeds it the next run overwrites.
    """
    pitch = np.uintp(w + 2 * APRON)
    for y in range(h):
        start = np.uintp((y + 1) * (w + 1))
        _shifts(start, h, w, y, flow, shifts)
        first = 0
        while first < w:
            base_x, base_y = np.rint(shifts[0, first]), np.rint(shifts[1, first])
            last = first + 1
            end = min(first + RUN, w)
            while last < end and abs(shifts[0, last] - base_x) <= 1 and abs(shifts[1, last] - base_y) <= 1:
                last += 1
            at, count = np.uintp(first), (last - first + LANES - 1) // LANES * LANES
            origin = np.uintp((y + int(base_y) + APRON - 2) * (w + 2 * APRON) + first + int(base_x) + APRON - 2)
            _weigh(shifts, 0, base_x, at, count, across)
            _weigh(shifts, 1, base_y, at, count, down)
            for k in range(3):
                _sample(aprons[k], pitch, origin, count, across, down, lines, k, at)
            first = last
        _linearise(start, w, image, flow, data, lines)


@kernel
def _linearise(start, w, image, flow, data, lines):
    u, v = flow
    gx, gy, inverse, rest = data
    for x in range(w):
        i = start + np.uintp(x)
        value, along_x, along_y = lines[0, x], lines[1, x], lines[2, x]
        gx[i] = along_x
        gy[i] = along_y
        # Where the gradient vanishes, so does the step it scales; the bound keeps 0 * inverse finite.
        inverse[i] = _f32(1) / max(along_x * along_x + along_y * along_y, _f32(1e-12))
        rest[i] = value - along_x * u[i] - along_y * v[i] - image[i]


# Median.


@kernel
def _order(a, b):
    return (a, b) if a < b else (b, a)


@kernel
def _sort(a, b, c, d, e):
    """Five values in ascending order by nine exchanges; what a caller does not read is never computed."""
    a, b = _order(a, b)
    d, e = _order(d, e)
    c, e = _order(c, e)
    c, d = _order(c, d)
    b, e = _order(b, e)
    a, d = _order(a, d)
    a, c = _order(a, c)
    b, d = _order(b, d)
    b, c = _order(b, c)
    return a, b, c, d, e


@kernel
def _middle(a, b, c):
    a, b = _order(a, b)
    return max(a, min(b, c))


@kernel
def median(plane, copy, columns, h, w):
    """Median of 5 x 5 in place, borders repeated.

    Sort the columns of a window, then its rows: both then ascend, and all but three of the 25 are known
    to lie below or above the median - the largest of the four just above the antidiagonal, the median of
    the antidiagonal and the smallest of the four just below it. Sorted columns serve five windows.
    """
    p = np.uintp(w + 1)
    for i in range(len(plane)):
        copy[i] = plane[i]
    for y in range(h):
        r0 = np.uintp(max(y - 2, 0) + 1) * p
        r1 = np.uintp(max(y - 1, 0) + 1) * p
        r2 = np.uintp(y + 1) * p
        r3 = np.uintp(min(y + 1, h - 1) + 1) * p
        r4 = np.uintp(min(y + 2, h - 1) + 1) * p
        _sort_columns(copy, r0, r1, r2, r3, r4, w, columns)
        _median_row(columns, r2, w, plane)


@kernel
def _sort_columns(copy, r0, r1, r2, r3, r4, w, columns):
    for j in range(w):
        x = np.uintp(j)
        a, b, c, d, e = _sort(copy[r0 + x], copy[r1 + x], copy[r2 + x], copy[r3 + x], copy[r4 + x])
        columns[0, j + 2] = a
        columns[1, j + 2] = b
        columns[2, j + 2] = c
        columns[3, j + 2] = d
        columns[4, j + 2] = e
    for rank in range(5):
        columns[rank, 0] = columns[rank, 1] = columns[rank, 2]
        columns[rank, w + 2] = columns[rank, w + 3] = columns[rank, w + 1]


@kernel
def _sort_rank(columns, rank, x):
    return _sort(
        columns[rank, x], columns[rank, x + 1], columns[rank, x + 2], columns[rank, x + 3], columns[rank, x + 4]
    )


@kernel
def _median_row(columns, start, w, plane):
    for x in range(w):
        _, _, _, a3, a4 = _sort_rank(columns, 0, x)
        _, _, b2, b3, b4 = _sort_rank(columns, 1, x)
        _, c1, c2, c3, _ = _sort_rank(columns, 2, x)
        d0, d1, d2, _, _ = _sort_rank(columns, 3, x)
        e0, e1, _, _, _ = _sort_rank(columns, 4, x)
        low = max(max(a3, b2), max(c1, d0))
        _, _, middle, _, _ = _sort(a4, b3, c2, d1, e0)
        high = min(min(b4, c3), min(d2, e1))
        plane[start + np.uintp(x)] = _middle(low, middle, high)


# Minimisation.


@kernel
def _primal(first, last, p, flow, dual, data, step, theta):
    """Thresholding step and primal step of the pixels first..last; returns the sum of squared changes.

    The threshold is a clamp of -rho / |g|^2 to +-lambda * theta along the gradient.
    """
    u, v = flow
    pux, puy, pvx, pvy = dual
    gx, gy, inverse, rest = data
    change = _f32(0)
    for i in range(first, last):
        u_old, v_old = u[i], v[i]
        along = (rest[i] + gx[i] * u_old + gy[i] * v_old) * inverse[i]
        along = step if along > step else along
        along = -step if along < -step else along
        u_new = u_old - along * gx[i] + theta * (pux[i] - pux[i - _one] + puy[i] - puy[i - p])
        v_new = v_old - along * gy[i] + theta * (pvx[i] - pvx[i - _one] + pvy[i] - pvy[i - p])
        u[i], v[i] = u_new, v_new
        change += (u_new - u_old) * (u_new - u_old) + (v_new - v_old) * (v_new - v_old)
    return change


@kernel
def _dual(first, last, p, flow, dual, step):
    """Dual step of the pixels first..last, of both components: one division serves the two."""
    u, v = flow
    pux, puy, pvx, pvy = dual
    for i in range(first, last):
        ux, uy = u[i + _one] - u[i], u[i + p] - u[i]
        vx, vy = v[i + _one] - v[i], v[i + p] - v[i]
        u_scale = _f32(1) + step * np.sqrt(ux * ux + uy * uy)
        v_scale = _f32(1) + step * np.sqrt(vx * vx + vy * vy)
        shrink = _f32(1) / (u_scale * v_scale)
        u_shrink, v_shrink = v_scale * shrink, u_scale * shrink
        pux[i] = (pux[i] + step * ux) * u_shrink
        puy[i] = (puy[i] + step * uy) * u_shrink
        pvx[i] = (pvx[i] + step * vx) * v_shrink
        pvy[i] = (pvy[i] + step * vy) * v_shrink


@kernel
def _sweep(h, w, flow, dual, data, step, theta, dual_step):
    """One iteration in one pass: block by block, the primal step and then, a row behind, the dual step."""
    u, v = flow
    pux, puy, pvx, pvy = dual
    p = np.uintp(w + 1)
    change = 0.0
    for top in range(0, h, ROWS):
        first = np.uintp(top + 1) * p
        last = np.uintp(min(top + ROWS, h) + 1) * p
        change += _primal(first, last, p, flow, dual, data, step, theta)
        for i in range(first + p - _one, last, p):
            u[i], v[i] = u[i - _one], v[i - _one]
        if top + ROWS >= h:
            for i in range(last, last + p):
                u[i], v[i] = u[i - p], v[i - p]
            last += p
        first, last = max(first - p, p), last - p
        _dual(first, last, p, flow, dual, dual_step)
        for i in range(first + p - _one, last, p):
            pux[i] = puy[i] = pvx[i] = pvy[i] = 0
    return change


@kernel
def minimise(h, w, flow, dual, data, copy, columns, step, theta, dual_step, tolerance, outer, inner, filtered):
    """Iterates until the summed squared change falls to the tolerance; filters before every `inner` of them."""
    for _ in range(outer):
        if filtered:
            median(flow[0], copy, columns, h, w)
            median(flow[1], copy, columns, h, w)
        for _ in range(inner):
            if _sweep(h, w, flow, dual, data, step, theta, dual_step) <= tolerance:
                return
