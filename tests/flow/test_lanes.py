"""Vectors of float32 in compiled code, lane by lane against NumPy."""

import numba
import numpy as np
import pytest

from keras_i3d.flow import lanes
from keras_i3d.flow.lanes import LANES

BAD = (-3.0, 2.5, np.nan, np.inf)


def run(function, *vectors, result=LANES):
    """A compiled function of a target and of flat arrays, on vectors that do not start at a cache line."""
    target = np.zeros(result + 1, np.float32)
    numba.njit(function)(target[1:], *(np.float32(v) for v in vectors))
    return target[1:]


@pytest.fixture
def two():
    return np.random.default_rng(1).normal(size=(2, LANES)).astype(np.float32)


def test_arithmetic(two):
    def function(target, a, b):
        x, y = lanes.load(a, np.uintp(0)), lanes.load(b, np.uintp(0))
        lanes.store(target, np.uintp(0), lanes.least(x + y, x - y) + lanes.most(x * y, lanes.splat(np.float32(0.5))))

    a, b = two
    np.testing.assert_allclose(run(function, a, b), np.minimum(a + b, a - b) + np.maximum(a * b, 0.5), atol=1e-6)


def test_lanes_move_and_are_chosen(two):
    def function(target, a, b):
        x, y = lanes.load(a, np.uintp(0)), lanes.load(b, np.uintp(0))
        lanes.store(target, np.uintp(0), lanes.behind(x, y))
        lanes.store(target, np.uintp(LANES), lanes.if_negative(x, x, y))
        target[2 * LANES] = lanes.total(x)

    a, b = two
    expected = [np.concatenate([a[-1:], b[:-1]]), np.where(a < 0, a, b), [a.sum()]]
    np.testing.assert_allclose(run(function, a, b, result=2 * LANES + 1), np.concatenate(expected), rtol=1e-5)


def test_lanes_before_the_first_outside_are_counted():
    def function(target, a, b):
        bound = lanes.splat(np.float32(2))
        for n in range(len(target)):
            at = np.uintp(n * LANES)
            target[n] = lanes.count_within(lanes.load(a, at), lanes.load(b, at), bound)

    inside = np.full(LANES, -2.0)
    outside = [inside] + [np.r_[inside[:lane], [value] * (LANES - lane)] for value in BAD for lane in range(LANES)]
    outside, inside = np.concatenate(outside), np.tile(inside, len(outside))
    expected = [LANES, *(lane for _ in BAD for lane in range(LANES))]
    np.testing.assert_array_equal(run(function, inside, outside, result=len(expected)), expected)
    np.testing.assert_array_equal(run(function, outside, inside, result=len(expected)), expected)


def test_roots_and_inverses_are_rounded_exactly(two):
    def function(target, a):
        x = lanes.load(a, np.uintp(0))
        lanes.store(target, np.uintp(0), lanes.root(x))
        lanes.store(target, np.uintp(LANES), lanes.inverse(x))

    a = abs(two[0])
    np.testing.assert_array_equal(run(function, a, result=2 * LANES), np.concatenate([np.sqrt(a), np.float32(1) / a]))


@pytest.mark.skipif(not lanes.HAS_ESTIMATES, reason="this processor has no AVX-512")
def test_estimates_are_right_to_14_bits():
    def function(target, a):
        x = lanes.load(a, np.uintp(0))
        lanes.store(target, np.uintp(0), lanes.inverse_root_estimate(x))
        lanes.store(target, np.uintp(LANES), lanes.inverse_estimate(x))

    a = np.logspace(-24, 12, LANES)
    expected = np.concatenate([1 / np.sqrt(a), 1 / a])
    np.testing.assert_allclose(run(function, a, result=2 * LANES), expected, rtol=2.0**-14)


def test_a_register_holds_what_the_processor_says():
    assert lanes._count("+sse2") == lanes._count("") == 4
    assert lanes._count("+sse2,+avx,-avx512f") == 8
    assert lanes._count("+sse2,+avx,+avx512f") == 16
