"""The minimisation of TV-L1: iterations of a primal and a dual step, two of them in one sweep over the rows.

A *state* is six planes (see `kernels`): the flow (u, v) and its dual variables (pux, puy, pvx, pvy). The padding of all
is zero and stays so. So do the last column of pux and pvx and the last row of puy and pvy: no flux leaves the image.

One sweep of two iterations reads and writes the planes once: at row y the first primal step is done, at row y - 1 the
first dual and the second primal step, at row y - 2 the second dual step. These rows stay in the first cache. Within
a row the steps go by blocks of columns, because a step is a chain of operations that wait for each other, and only
vectors that do not fill the time.
"""

import numpy as np

from keras_i3d.flow.kernel_cache import inlined, kernel
from keras_i3d.flow.kernels import median
from keras_i3d.flow.lanes import (
    HAS_ESTIMATES,
    LANES,
    behind,
    inverse,
    inverse_estimate,
    inverse_root_estimate,
    least,
    load,
    most,
    root,
    splat,
    store,
    total,
)

BLOCK = 4  # vectors of a row that a step takes before the next step takes them
FAR = 1.4  # a change of so many times the tolerance lets two iterations be done before the next look

_f32 = np.float32
_lanes = np.uintp(LANES)
_block = np.uintp(BLOCK * LANES)
_zero, _one = np.uintp(0), np.uintp(1)


@inlined
def _load_dual(state, i):
    return load(state[2], i), load(state[3], i), load(state[4], i), load(state[5], i)


@inlined
def _primal(row, first, last, pitch, source, target, data, step, theta, before, change):
    """Thresholding step and primal step of the columns first..last of a row.

    The threshold is a clamp of -rho / |g|^2 to +-lambda * theta along the gradient. Returns `before`, the last vectors
    of pux and pvx, for the next columns, and `change`, to which the squared changes are added.
    """
    gx, gy, inverses, rest = data
    low, high, theta = splat(-step), splat(step), splat(theta)
    pux_before, pvx_before = before
    u_change, v_change = change
    for x in range(first, last, _lanes):
        i = row + x
        u_old, v_old, x_slope, y_slope = load(source[0], i), load(source[1], i), load(gx, i), load(gy, i)
        pux, puy, pvx, pvy = _load_dual(source, i)
        along = (load(rest, i) + (x_slope * u_old + y_slope * v_old)) * load(inverses, i)
        along = most(low, least(high, along))
        u_flux = pux - behind(pux_before, pux) + puy - load(source[3], i - pitch)
        v_flux = pvx - behind(pvx_before, pvx) + pvy - load(source[5], i - pitch)
        pux_before, pvx_before = pux, pvx
        u_new = u_old - along * x_slope + theta * u_flux
        v_new = v_old - along * y_slope + theta * v_flux
        store(target[0], i, u_new)
        store(target[1], i, v_new)
        u_step, v_step = u_new - u_old, v_new - v_old
        u_change, v_change = u_change + u_step * u_step, v_change + v_step * v_step
    return (pux_before, pvx_before), (u_change, v_change)


def _shrink_exactly(square, step, half_step, unit):
    return inverse(unit + step * root(square))


def _shrink_by_estimates(square, step, half_step, unit):
    """Each estimate takes a Newton step, and the second does not wait for that of the first."""
    estimate = inverse_root_estimate(square)
    rough = square * estimate
    scale = unit + step * rough
    refined = scale + half_step * estimate * (square - rough * rough)
    shrink = inverse_estimate(scale)
    return shrink + shrink * (unit - refined * shrink)


# 1 / (1 + step * sqrt(square)), right to the last bits.
_shrink = inlined(_shrink_by_estimates if HAS_ESTIMATES else _shrink_exactly)


@inlined
def _dual(row, below, first, last, source, target, inner, step):
    """Dual step of the columns first..last of a row, of both components.

    `target` holds the new flow. `below` is the next row, or the last row itself, which has no gradient downwards.
    `inner` is zero in the last column and behind it, which have none to the right.
    """
    u, v = target[0], target[1]
    # So little is added to the squares that a root of zero is finite, and the sum with one the same.
    half_step, tiny, unit = splat(_f32(0.5) * step), splat(_f32(1e-24)), splat(_f32(1))
    step = splat(step)
    for x in range(first, last, _lanes):
        i, low = row + x, below + x
        u_here, v_here, has_right = load(u, i), load(v, i), load(inner, x)
        ux, uy = (load(u, i + _one) - u_here) * has_right, load(u, low) - u_here
        vx, vy = (load(v, i + _one) - v_here) * has_right, load(v, low) - v_here
        u_square, v_square = ux * ux + (uy * uy + tiny), vx * vx + (vy * vy + tiny)
        u_shrink, v_shrink = _shrink(u_square, step, half_step, unit), _shrink(v_square, step, half_step, unit)
        pux, puy, pvx, pvy = _load_dual(source, i)
        store(target[2], i, (pux + step * ux) * u_shrink)
        store(target[3], i, (puy + step * uy) * u_shrink)
        store(target[4], i, (pvx + step * vx) * v_shrink)
        store(target[5], i, (pvy + step * vy) * v_shrink)


@inlined
def _row(y, h, pitch, source, target, data, inner, steps):
    """One iteration at row y, its dual step a row behind. Returns the sum of squared changes."""
    step, theta, dual_step = steps
    row = np.uintp(y + 1) * pitch
    above = row - pitch
    none = splat(_f32(0))
    before = change = (none, none)
    for first in range(_zero, pitch, _block):
        last = min(first + _block, pitch)
        if y < h:
            before, change = _primal(row, first, last, pitch, source, target, data, step, theta, before, change)
        if y > 0:
            _dual(above, row if y < h else above, first, last, source, target, inner, dual_step)
    return total(change[0] + change[1])


@inlined
def _two_rows(y, h, pitch, source, target, data, inner, steps):
    """Two iterations, the second a row behind the first. Returns the sum of squared changes of each."""
    step, theta, dual_step = steps
    row = np.uintp(y + 1) * pitch
    above, top = row - pitch, row - pitch - pitch
    none = splat(_f32(0))
    before = change = (none, none)
    before_2 = change_2 = (none, none)
    for first in range(_zero, pitch, _block):
        last = min(first + _block, pitch)
        if y < h:
            before, change = _primal(row, first, last, pitch, source, target, data, step, theta, before, change)
        if 0 < y <= h:
            _dual(above, row if y < h else above, first, last, source, target, inner, dual_step)
            before_2, change_2 = _primal(
                above, first, last, pitch, target, target, data, step, theta, before_2, change_2
            )
        if y > 1:
            _dual(top, above if y <= h else top, first, last, target, target, inner, dual_step)
    return total(change[0] + change[1]), total(change_2[0] + change_2[1])


@kernel
def sweep(h, pitch, source, target, data, inner, steps):
    """One iteration from a state to another one, or to itself. Returns the sum of squared changes."""
    pitch = np.uintp(pitch)
    change = 0.0
    for y in range(h + 1):
        change += _row(y, h, pitch, source, target, data, inner, steps)
    return change


@kernel
def sweep_twice(h, pitch, source, target, data, inner, steps):
    """Two iterations, as by `sweep` called twice. Returns the sum of squared changes of each."""
    pitch = np.uintp(pitch)
    change = change_2 = 0.0
    for y in range(h + 2):
        more, more_2 = _two_rows(y, h, pitch, source, target, data, inner, steps)
        change += more
        change_2 += more_2
    return change, change_2


@kernel
def _repeat(h, pitch, source, target, data, inner, steps, filtering, count, filtered_every):
    """`count` iterations from a state that has been filtered to another one, whatever they change."""
    state = source
    for done in range(count):
        if filtered_every > 0 and done > 0 and done % filtered_every == 0:
            median(state[0], h, pitch, *filtering)
            median(state[1], h, pitch, *filtering)
        sweep(h, pitch, state, target, data, inner, steps)
        state = target


@kernel
def minimise(h, pitch, source, target, data, inner, filtering, steps, tolerance, rounds, expected):
    """Iterates until the summed squared change falls to the tolerance; filters before every `rounds[1]` of them.

    Two iterations go in one sweep while the last change was far from the tolerance. Should the first of the two reach
    it, then the second was one too many, and all are done again from the start, which only the first sweep reads.

    Args:
        h, pitch: rows, and distance from a row to the next.
        source: the state to start from; its flow is filtered in place.
        target: the state that receives the result.
        data: four planes that `warp` wrote.
        inner: 1 in the columns that have one to the right, else 0, and a padded row long.
        filtering: what `median` takes after the pitch.
        steps: float32 lambda * theta, theta, tau / theta.
        tolerance: sum of squared changes at which to stop.
        rounds: filters at most, iterations between two, and whether to filter.
        expected: how many iterations the last call took.

    Returns:
        The number of iterations.
    """
    pitch = np.uintp(pitch)
    outer, between, filtered = rounds
    done = 0
    change = FAR * tolerance + 1 if expected > 2 else 0.0
    state = source
    for _ in range(outer):
        if filtered:
            median(state[0], h, pitch, *filtering)
            median(state[1], h, pitch, *filtering)
        end = done + between
        while done < end:
            if change > FAR * tolerance and done + 2 <= end:
                first, change = sweep_twice(h, pitch, state, target, data, inner, steps)
                if first <= tolerance:
                    _repeat(h, pitch, source, target, data, inner, steps, filtering, done + 1, between * filtered)
                    return done + 1
                done += 2
            else:
                change = sweep(h, pitch, state, target, data, inner, steps)
                done += 1
            state = target
            if change <= tolerance:
                return done
    return done
