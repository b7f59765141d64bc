"""Iterations of TV-L1 against the same arithmetic in NumPy, two in a sweep against one, and where they stop."""

import numpy as np
import pytest

from keras_i3d.flow import engine

SIZES = [(23, 37), (1, 1), (1, 40), (40, 1), (2, 16), (5, 32), (7, 65)]
STEPS = tuple(np.array([0.045, 0.3, 0.25 / 0.3], np.float32))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


class Problem:
    """Fields (h, w) of a state and of what `warp` writes, and planes that hold them."""

    def __init__(self, rng, kernels, h, w):
        self.solver = engine._Solver((h, w), engine.TVL1Params(nscales=1), engine._kernels())
        self.h, self.w, self.pitch = h, w, kernels.pitch_of(w)
        self.flow = rng.normal(size=(2, h, w)).astype(np.float32)
        self.dual = rng.uniform(-0.5, 0.5, (4, h, w)).astype(np.float32)
        self.dual[0::2, :, -1] = self.dual[1::2, -1] = 0
        self.data = rng.normal(size=(4, h, w)).astype(np.float32) * np.float32([[[9]], [[9]], [[0.01]], [[5]]])
        self.data[2] = abs(self.data[2])
        self.source, self.target = self.solver.states
        self.fill()

    def fill(self):
        for plane, field in zip((*self.source, *self.solver.data), (*self.flow, *self.dual, *self.data)):
            engine._inside(plane, self.h, self.w)[:] = field

    def state(self, planes):
        return np.stack([engine._inside(plane, self.h, self.w) for plane in planes])

    def arguments(self, source, target):
        return self.h, self.pitch, source, target, self.solver.data, self.solver.edges[2][0]

    def minimised(self, sweeps, tolerance, rounds, expected):
        """State and iterations of `minimise`."""
        self.fill()
        filtering = self.w, self.solver.copy, self.solver.columns, self.solver.edges[1][0]
        arguments = self.arguments(self.source, self.target)
        done = sweeps.minimise(*arguments, filtering, STEPS, tolerance, rounds, expected)
        return self.state(self.target), done


def iterate(flow, dual, data):
    """One iteration in float64."""
    (u, v), (gx, gy, inverse, rest) = flow, data
    step, theta, dual_step = map(float, STEPS)
    along = np.clip((rest + gx * u + gy * v) * inverse, -step, step)
    flux = [np.diff(dual[k], axis=1, prepend=0) + np.diff(dual[k + 1], axis=0, prepend=0) for k in (0, 2)]
    new = np.stack([u - along * gx + theta * flux[0], v - along * gy + theta * flux[1]])
    slopes = [np.diff(f, axis=axis, append=np.take(f, [-1], axis)) for f in new for axis in (1, 0)]
    scales = [1 + dual_step * np.hypot(slopes[k], slopes[k + 1]) for k in (0, 2)]
    dual = np.stack([(dual[k] + dual_step * slopes[k]) / scales[k // 2] for k in range(4)])
    return new, dual, ((new - flow) ** 2).sum()


@pytest.mark.parametrize("size", SIZES)
def test_a_sweep_is_an_iteration(rng, kernels, sweeps, size):
    problem = Problem(rng, kernels, *size)
    flow, dual, change = iterate(*(fields.astype(np.float64) for fields in (problem.flow, problem.dual, problem.data)))
    received = sweeps.sweep(*problem.arguments(problem.source, problem.target), STEPS)
    np.testing.assert_allclose(problem.state(problem.target), np.concatenate([flow, dual]), atol=2e-6, rtol=2e-6)
    np.testing.assert_allclose(received, change, rtol=1e-5)
    assert sum(np.count_nonzero(plane) for plane in problem.target) <= 6 * size[0] * size[1]  # padding stays zero


@pytest.mark.parametrize("size", SIZES)
def test_two_iterations_in_a_sweep_are_two_sweeps(rng, kernels, sweeps, size):
    problem = Problem(rng, kernels, *size)
    first = sweeps.sweep(*problem.arguments(problem.source, problem.target), STEPS)
    second = sweeps.sweep(*problem.arguments(problem.target, problem.target), STEPS)
    expected = problem.state(problem.target)
    received = sweeps.sweep_twice(*problem.arguments(problem.source, problem.target), STEPS)
    np.testing.assert_allclose(received, (first, second), rtol=1e-6)
    np.testing.assert_allclose(problem.state(problem.target), expected, atol=1e-6)
    np.testing.assert_array_equal(problem.state(problem.source), np.concatenate([problem.flow, problem.dual]))


@pytest.mark.parametrize("rounds", [(10, 30, True), (4, 5, True), (50, 1, True), (2, 7, False)])
def test_iterations_stop_where_single_ones_do(rng, kernels, sweeps, monkeypatch, rounds):
    problem = Problem(rng, kernels, 23, 37)
    # A tolerance of each iteration's own change in turn: some of them are the first, others the second of a sweep.
    changes, state = [], problem.source
    outer, between, filtered = rounds
    filtering = problem.w, problem.solver.copy, problem.solver.columns, problem.solver.edges[1][0]
    expected = []
    for done in range(min(outer * between, 9)):
        if filtered and done % between == 0:
            for plane in state[:2]:
                kernels.median(plane, problem.h, problem.pitch, *filtering)
        changes.append(sweeps.sweep(*problem.arguments(state, problem.target), STEPS))
        state = problem.target
        expected.append(problem.state(state))
    for tolerance in changes:
        stop = next(i for i, change in enumerate(changes) if change <= tolerance)
        for hint in (0, 20):
            received, done = problem.minimised(sweeps, tolerance * (1 + 1e-5), rounds, hint)
            assert done == stop + 1
            np.testing.assert_allclose(received, expected[stop], atol=3e-6)


def test_no_tolerance_takes_all_iterations(rng, kernels, sweeps):
    assert Problem(rng, kernels, 8, 9).minimised(sweeps, 0.0, (3, 5, True), 0)[1] == 15
