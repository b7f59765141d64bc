"""Compiled kernels of the TV-L1 engine: NumPy arrays in, NumPy arrays out, no allocation, no GIL.

Importing this module imports Numba; `engine` does so at the first flow it computes. `sweeps` has the minimisation.

A *plane* is a flat float32 array of (h + 2) * pitch values: the h x w field between one row above and one below, each
row followed by padding up to a whole number of vectors. Neighbours of value i are then i - 1, i + 1, i - pitch and
i + pitch, and every loop takes whole vectors. Padding and the rows outside are zero, but for those of images.

An *apron* is a float32 array of (h + 10, w + 10): the field inside five zeros on every side, so that a
bicubic sample that leaves the image reads zeros, as OpenCV's constant border does.

Indices are unsigned where NumPy's negative indices would otherwise cost a test a pixel.
"""

import numpy as np
from numba.extending import register_jitable

from keras_i3d.flow.kernel_cache import inlined, kernel, wide
from keras_i3d.flow.lanes import (
    HAS_ESTIMATES,
    LANES,
    count_within,
    if_negative,
    inverse,
    inverse_estimate,
    least,
    load,
    most,
    splat,
    store,
)

APRON = 5  # samples are cut two pixels outside the image, their base is one more, their taps two more

_one = np.uintp(1)
_two = np.uintp(2)
_lanes = np.uintp(LANES)
_f32 = np.float32


@register_jitable
def pitch_of(w):
    """Values from a row of a plane to the next."""
    return -(-w // LANES) * LANES


def is_kept():
    """Whether compiled kernels are kept on disk for the next process."""
    return resize.stats.cache_path is not None


@register_jitable
def apron_size(h, w):
    """Values of an apron; the last vectors of a run may read behind its field."""
    return (h + 2 * APRON) * (w + 2 * APRON) + 2 * LANES


# Resampling.


@kernel
def resize(source, h, w, pitch, target, rows, columns, new_pitch, step_y, step_x, factor):
    """Bilinear resampling of a plane with half-pixel centres, times a factor.

    A step is source pixels per target pixel.
    """
    wide()
    pitch, new_pitch = np.uintp(pitch), np.uintp(new_pitch)
    near = np.empty(columns, np.uint32)
    part = np.empty(columns, _f32)
    line = np.empty(w + 1, _f32)
    for x in range(columns):
        at = min(max((x + 0.5) * step_x - 0.5, 0.0), w - 1.0)
        near[x] = int(at)
        part[x] = at - int(at)
    for y in range(rows):
        at = min(max((y + 0.5) * step_y - 0.5, 0.0), h - 1.0)
        top = np.uintp(int(at) + 1) * pitch
        low = np.uintp(min(int(at) + 1, h - 1) + 1) * pitch
        part_y = _f32(at - int(at))
        for x in range(w):
            i = np.uintp(x)
            line[x] = source[top + i] + (source[low + i] - source[top + i]) * part_y
        line[w] = line[w - 1]
        start = np.uintp(y + 1) * new_pitch
        for x in range(columns):
            i = np.uintp(near[x])
            target[start + np.uintp(x)] = (line[i] + (line[i + _one] - line[i]) * part[x]) * factor
        for x in range(columns, new_pitch):
            target[start + np.uintp(x)] = 0


@kernel
def gradient(image, h, w, pitch, aprons):
    """Writes a plane and its central differences, one-sided and halved at the borders, into aprons."""
    wide()
    pitch = np.uintp(pitch)
    value, along_x, along_y = aprons
    half = _f32(0.5)
    wide_pitch = np.uintp(w + 2 * APRON)
    for apron in aprons:
        # The last columns of a row and the first of the next lie side by side.
        apron[: APRON * wide_pitch + APRON] = 0
        for y in range(APRON + 1, h + APRON):
            start = np.uintp(y) * wide_pitch
            apron[start - np.uintp(APRON) : start + np.uintp(APRON)] = 0
        apron[(h + APRON) * wide_pitch - np.uintp(APRON) :] = 0
    for y in range(h):
        row = np.uintp(y + 1) * pitch
        above = np.uintp(max(y - 1, 0) + 1) * pitch
        below = np.uintp(min(y + 1, h - 1) + 1) * pitch
        start = np.uintp((y + APRON) * (w + 2 * APRON) + APRON)
        for x in range(w):
            i = np.uintp(x)
            value[start + i] = image[row + i]
            along_y[start + i] = half * (image[below + i] - image[above + i])
        for x in range(1, w - 1):
            i = np.uintp(x)
            along_x[start + i] = half * (image[row + i + _one] - image[row + i - _one])
        for x in (0, w - 1):
            left, right = np.uintp(max(x - 1, 0)), np.uintp(min(x + 1, w - 1))
            along_x[start + np.uintp(x)] = half * (image[row + right] - image[row + left])


@inlined
def _cut_shifts(row, h, w, pitch, y, flow, ramp, shifts):
    """Displacements of one row, cut where the sample would lie two pixels outside the image."""
    outside, right, low = splat(_f32(-2)), splat(_f32(w + 1)), splat(_f32(h + 1))
    here_y = splat(_f32(y))
    for x in range(np.uintp(0), pitch, _lanes):
        here_x = load(ramp, x)
        # Of NaN and a bound `most` returns the bound, so that NaN is cut too and no read leaves the apron.
        store(shifts[0], x, least(most(here_x + load(flow[0], row + x), outside), right) - here_x)
        store(shifts[1], x, least(most(here_y + load(flow[1], row + x), outside), low) - here_y)


@inlined
def _run_end(shifts, inside, first, w, base_x, base_y):
    """The first column from `first` on whose shifts are more than a pixel from the base, or w."""
    at, base_x, base_y, unit = first, splat(base_x), splat(base_y), splat(_f32(1))
    while at < w:
        i = np.uintp(at)
        within = load(inside, i)
        count = count_within((load(shifts[0], i) - base_x) * within, (load(shifts[1], i) - base_y) * within, unit)
        at += count
        if count < LANES:
            break
    return min(at, w)


@inlined
def _five_weights(shift, base, a, unit, none):
    """Cubic convolution weights (a = -3/4) of the pixels base - 2 .. base + 2 for shifts up to 1 from base.

    Four of the five are at work, which four depends on the side of base.
    """
    steep, offset = a + unit + unit, a + unit + unit + unit
    # Behind the end of a run shifts may be larger: what is sampled there is written again.
    t = most(least(shift - base, unit), none - unit)
    near = most(t, none - t)
    far = unit - near
    inner = (steep * far - offset) * far * far + unit
    outer = a * near * far * far
    last = a * near * near * far
    middle = (steep * near - offset) * near * near + unit
    return (
        if_negative(t, last, none),
        if_negative(t, inner, outer),
        middle,
        if_negative(t, outer, inner),
        if_negative(t, none, last),
    )


@inlined
def _across(field, i, weights):
    return (
        weights[0] * load(field, i)
        + weights[1] * load(field, i + _one)
        + weights[2] * load(field, i + _two)
        + weights[3] * load(field, i + np.uintp(3))
        + weights[4] * load(field, i + np.uintp(4))
    )


@inlined
def _sampled(field, i, pitch, across, down):
    """Bicubic samples of pixels whose taps lie side by side."""
    return (
        down[0] * _across(field, i, across)
        + down[1] * _across(field, i + pitch, across)
        + down[2] * _across(field, i + _two * pitch, across)
        + down[3] * _across(field, i + np.uintp(3) * pitch, across)
        + down[4] * _across(field, i + np.uintp(4) * pitch, across)
    )


@kernel
def warp(image, aprons, h, w, pitch, flow, data, ramp, inside, shifts):
    """Warps I1 and its gradient by the flow and linearises the brightness residual around it.

    Writes `data`: the warped gradient (gx, gy), 1 / |gradient|^2, and the constant part of
    rho(u, v) = rest + gx * u + gy * v. Flow is smooth, so a row falls into a few runs whose shifts
    stay within a pixel of a whole number; within a run the taps are read as contiguous vectors.
    A run is sampled in whole vectors, and what exceeds it the next run or row overwrites.
    """
    pitch, wide_pitch = np.uintp(pitch), np.uintp(w + 2 * APRON)
    for y in range(h):
        row = np.uintp(y + 1) * pitch
        _cut_shifts(row, h, w, pitch, y, flow, ramp, shifts)
        first = np.int64(0)  # 0 is a type of its own, for which `_run_end` would be compiled again
        while first < w:
            base_x, base_y = np.rint(shifts[0][first]), np.rint(shifts[1][first])
            end = _run_end(shifts, inside, first, w, base_x, base_y)
            origin = np.uintp((y + int(base_y) + APRON - 2) * (w + 2 * APRON) + int(base_x) + APRON - 2)
            bases = splat(base_x), splat(base_y)
            columns = np.uintp(first), np.uintp(end)
            _warp_run(row, origin, columns, wide_pitch, image, aprons, flow, data, inside, shifts, bases)
            first = end


def _inverse_by_estimate(value):
    estimate = inverse_estimate(value)
    return estimate + estimate * (splat(_f32(1)) - value * estimate)


# Right to the last bits.
_inverse = inlined(_inverse_by_estimate) if HAS_ESTIMATES else inverse


@inlined
def _warp_run(row, origin, columns, pitch, image, aprons, flow, data, inside, shifts, bases):
    gx, gy, inverses, rest = data
    # Where the gradient vanishes, so does the step it scales; the bound keeps 0 * inverse finite.
    bound, a, unit, none = splat(_f32(1e-12)), splat(_f32(-0.75)), splat(_f32(1)), splat(_f32(0))
    for x in range(columns[0], columns[1], _lanes):
        i, tap, within = row + x, origin + x, load(inside, x)
        across = _five_weights(load(shifts[0], x), bases[0], a, unit, none)
        down = _five_weights(load(shifts[1], x), bases[1], a, unit, none)
        value = _sampled(aprons[0], tap, pitch, across, down)
        along_x = _sampled(aprons[1], tap, pitch, across, down) * within
        along_y = _sampled(aprons[2], tap, pitch, across, down) * within
        square = most(along_x * along_x + along_y * along_y, bound)
        store(gx, i, along_x)
        store(gy, i, along_y)
        store(inverses, i, _inverse(square))
        store(rest, i, value - along_x * load(flow[0], i) - along_y * load(flow[1], i) - load(image, i))


# Median.


@inlined
def _order(a, b):
    return least(a, b), most(a, b)


@inlined
def _sort(a, b, c, d, e):
    """Five values in ascending order, by nine exchanges."""
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


@inlined
def _middle(a, b, c):
    a, b = _order(a, b)
    return most(a, least(b, c))


@inlined
def _pairs(line, x):
    """Of five neighbours the first two and the last two in ascending order, and the middle one."""
    low, high = _order(load(line, x), load(line, x + _one))
    low_2, high_2 = _order(load(line, x + np.uintp(3)), load(line, x + np.uintp(4)))
    return low, high, low_2, high_2, load(line, x + _two)


@inlined
def _largest_two(line, x):
    """The second largest and the largest of five neighbours."""
    low, high, low_2, high_2, middle = _pairs(line, x)
    second, top = _order(high, high_2)
    second = most(second, most(low, low_2))
    return most(second, least(top, middle)), most(top, middle)


@inlined
def _largest_three(line, x):
    low, high, low_2, high_2, middle = _pairs(line, x)
    second, top = _order(high, high_2)
    third, second = _order(second, most(low, low_2))
    middle, top = least(top, middle), most(top, middle)
    middle, second = _order(middle, second)
    return most(third, middle), second, top


@inlined
def _middle_three(line, x):
    low, high, low_2, high_2, middle = _pairs(line, x)
    second, top = _order(high, high_2)
    bottom, third = _order(low, low_2)
    third, second = _order(third, second)
    middle = most(bottom, least(middle, top))
    middle, second = _order(middle, second)
    third, middle = _order(third, middle)
    return third, middle, second


@inlined
def _smallest_three(line, x):
    low, high, low_2, high_2, middle = _pairs(line, x)
    bottom, second = _order(low, low_2)
    second, third = _order(second, least(high, high_2))
    bottom, middle = _order(bottom, middle)
    second, middle = _order(second, middle)
    return bottom, second, least(third, middle)


@inlined
def _smallest_two(line, x):
    low, high, low_2, high_2, middle = _pairs(line, x)
    bottom, second = _order(low, low_2)
    second = least(second, least(high, high_2))
    return least(bottom, middle), least(second, most(bottom, middle))


@kernel
def median(plane, h, pitch, w, copy, columns, inside):
    """Median of 5 x 5 in place, borders repeated.

    Sort the columns of a window, then its rows: both then ascend, and all but three of the 25 are known
    to lie below or above the median - the largest of the four just above the antidiagonal, the median of
    the antidiagonal and the smallest of the four just below it. Sorted columns serve five windows.
    """
    pitch = np.uintp(pitch)
    for i in range(np.uintp(0), np.uintp(h + 2) * pitch, _lanes):
        store(copy, i, load(plane, i))
    for y in range(h):
        r0 = np.uintp(max(y - 2, 0) + 1) * pitch
        r1 = np.uintp(max(y - 1, 0) + 1) * pitch
        r2 = np.uintp(y + 1) * pitch
        r3 = np.uintp(min(y + 1, h - 1) + 1) * pitch
        r4 = np.uintp(min(y + 2, h - 1) + 1) * pitch
        for x in range(np.uintp(0), pitch, _lanes):
            a, b, c, d, e = _sort(
                load(copy, r0 + x), load(copy, r1 + x), load(copy, r2 + x), load(copy, r3 + x), load(copy, r4 + x)
            )
            at = x + _two
            store(columns[0], at, a)
            store(columns[1], at, b)
            store(columns[2], at, c)
            store(columns[3], at, d)
            store(columns[4], at, e)
        for line in columns:
            line[0] = line[1] = line[2]
            line[w + 2] = line[w + 3] = line[w + 1]
        _median_row(columns, pitch, inside, plane, r2)


@inlined
def _median_row(columns, pitch, inside, plane, row):
    for x in range(np.uintp(0), pitch, _lanes):
        a3, a4 = _largest_two(columns[0], x)
        b2, b3, b4 = _largest_three(columns[1], x)
        c1, c2, c3 = _middle_three(columns[2], x)
        d0, d1, d2 = _smallest_three(columns[3], x)
        e0, e1 = _smallest_two(columns[4], x)
        low = most(most(a3, b2), most(c1, d0))
        (x0, x1), (y0, y1) = _order(a4, b3), _order(d1, e0)
        middle = _middle(most(x0, y0), least(x1, y1), c2)
        high = least(least(b4, c3), least(d2, e1))
        store(plane, row + x, _middle(low, middle, high) * load(inside, x))
