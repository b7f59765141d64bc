"""A pair of frames from its coarsest level to its finest, in one compiled call.

The engine takes Python's lock a few times a pair then, and not for each step: flow goes on at its own rate while
another thread imports, loads weights or feeds a network.

Importing this module imports Numba.
"""

import numpy as np

from keras_i3d.flow.kernel_cache import inlined, kernel
from keras_i3d.flow.kernels import apron_size, gradient, pitch_of, resize, warp
from keras_i3d.flow.sweeps import minimise

_f32 = np.float32


@inlined
def _shrink(levels, sizes, starts, step):
    """Makes each level of a pyramid from the one before it, the first of which is there."""
    for level in range(1, len(sizes)):
        h, w, rows, columns = sizes[level - 1, 0], sizes[level - 1, 1], sizes[level, 0], sizes[level, 1]
        finer, coarser = levels[starts[level - 1] : starts[level]], levels[starts[level] : starts[level + 1]]
        sides = h, w, pitch_of(w), coarser, rows, columns, pitch_of(columns)
        resize(finer, *sides, step, step, _f32(1))


@inlined
def _fill(plane, size):
    for i in range(size):
        plane[i] = 0


@inlined
def _equal(first, second, size):
    apart = 0
    for i in range(size):
        apart += first[i] != second[i]
    return apart == 0


@inlined
def _begin(level, sizes, step, source, target, data):
    """Puts the flow of the coarser level, or none, into a state, and zeros where the rest has to be zero."""
    h, w = sizes[level, 0], sizes[level, 1]
    pitch = pitch_of(w)
    size = (h + 2) * pitch
    for field in range(2):
        if level + 1 < len(sizes):
            rows, columns = sizes[level + 1, 0], sizes[level + 1, 1]
            sides = rows, columns, pitch_of(columns), target[field], h, w, pitch
            resize(source[field], *sides, rows / h, columns / w, _f32(step))
        else:
            _fill(target[field], size)
    # The padding of the rest is written before it is read, or with zeros.
    for field in range(2, 6):
        _fill(target[field], size)
        _fill(source[field], pitch)
    for field in range(2):
        _fill(data[field], size)


@inlined
def _copy_out(state, h, w, flow):
    pitch = pitch_of(w)
    for y in range(h):
        row = (y + 1) * pitch
        for x in range(w):
            flow[y, x, 0] = state[0][row + x]
            flow[y, x, 1] = state[1][row + x]


@kernel
def solve(sizes, starts, pair, states, others, data, copy, aprons, shifts, columns, edges, steps, schedule, flow):
    """Writes the flow from the first frame of a pair to the second.

    Args:
        sizes: int64 (levels, 2): h, w of each level, the finest first.
        starts: int64 (levels + 1,): where each level begins in the pyramids, and where the last one ends.
        pair: the pyramids of both frames: all planes of the levels, one after the other. The finest is there.
        states, others: two states (see `sweeps`), and data, copy: five more planes, each for the finest level.
        aprons: three aprons for the finest level.
        shifts, columns: two lines and five lines for what `warp` and `median` keep of a row.
        edges: the column; 1 in the image and 0 behind it, (levels, line); and 1 in all its columns but the last.
        steps: float32 lambda * theta, theta, tau / theta.
        schedule: warps a level, filters at most, iterations between two, whether to filter; the change of an iteration
            at which to stop, in pixels, squared; and the step from a level to the next coarser one, above 1.
        flow: float32 (h, w, 2), which is written.
    """
    warps, outer, between, filtered, change, step = schedule
    first, second = pair
    column, in_image, has_right = edges
    if _equal(first, second, starts[1]):
        _fill(states[0], starts[1])
        _fill(states[1], starts[1])
        _copy_out(states, sizes[0, 0], sizes[0, 1], flow)  # what the iterations would find
        return
    for levels in pair:
        _shrink(levels, sizes, starts, step)
    taken = np.int64(0)  # iterations of the last warp, which are about those of the next; 0 is a type of its own
    flowing, other = states, others  # the flow so far, and what the next step writes
    for level in range(len(sizes) - 1, -1, -1):
        h, w = sizes[level, 0], sizes[level, 1]
        pitch = pitch_of(w)
        _begin(level, sizes, step, flowing, other, data)
        flowing, other = other, flowing
        size = apron_size(h, w)
        fields = aprons[0][:size], aprons[1][:size], aprons[2][:size]
        gradient(second[starts[level] : starts[level + 1]], h, w, pitch, fields)
        image, inner, tolerance = first[starts[level] : starts[level + 1]], has_right[level], change * h * w
        filtering, rounds = (w, copy, columns, in_image[level]), (outer, between, filtered)
        for _ in range(warps):
            warp(image, fields, h, w, pitch, (flowing[0], flowing[1]), data, column, in_image[level], shifts)
            taken = minimise(h, pitch, flowing, other, data, inner, filtering, steps, tolerance, rounds, taken)
            flowing, other = other, flowing
    _copy_out(flowing, sizes[0, 0], sizes[0, 1], flow)
