"""Stacks of the older two-stream literature, on fields whose answer is known."""

import numpy as np
import pytest

from keras_i3d import flow


@pytest.fixture(scope="module")
def frames():
    """A smooth texture that moves by (1, 0) pixel a frame."""
    draw = np.random.RandomState(0)
    texture = np.kron(draw.randint(0, 255, (10, 16)), np.ones((8, 8)))
    for axis in (0, 1):
        texture = sum(np.roll(texture, k, axis) for k in range(-4, 5)) / 9
    return np.stack([np.roll(texture, i, 1)[:, 8:-8] for i in range(5)]).astype("uint8")


def test_bidirectional(frames):
    fields = flow.bidirectional(frames, 4)
    assert fields.shape == (4, 80, 112, 2)
    np.testing.assert_array_equal(fields[:2], flow.tvl1(frames[2:]))
    np.testing.assert_array_equal(fields[2:], flow.tvl1(frames[2::-1]))
    assert fields[:2, 16:-16, 16:-16, 0].mean() == pytest.approx(1, abs=0.2)
    assert fields[2:, 16:-16, 16:-16, 0].mean() == pytest.approx(-1, abs=0.2)


@pytest.mark.parametrize("length", [0, 3])
def test_bidirectional_takes_an_even_length(length, frames):
    with pytest.raises(ValueError, match="even number"):
        flow.bidirectional(frames, length)
    with pytest.raises(ValueError, match="need 3 frames. Received: 5"):
        flow.bidirectional(frames, 2)
    with pytest.raises(ValueError, match="array or a list of frames. Received: generator"):
        flow.bidirectional((frame for frame in frames), 2)


def test_mean_is_taken_from_each_field():
    fields = np.random.RandomState(0).rand(3, 4, 5, 2) + [[[[7, -3]]]]
    still = flow.subtract_mean(fields)
    np.testing.assert_allclose(still.mean(axis=(1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(still[1, 2, 3] - still[1, 0, 0], fields[1, 2, 3] - fields[1, 0, 0], atol=1e-5)


def test_stack_has_all_x_before_all_y():
    fields = np.arange(3 * 2 * 2 * 2, dtype="float32").reshape(3, 2, 2, 2)
    stacked = flow.stack(fields)
    assert stacked.shape == (2, 2, 6)
    np.testing.assert_array_equal(stacked[1, 0], [*fields[:, 1, 0, 0], *fields[:, 1, 0, 1]])


def test_trajectories_follow_the_motion():
    """Fields of (2, 1) everywhere, the second marked by its own place: it is read at p + (2, 1)."""
    fields = np.zeros((3, 8, 10, 2), "float32")
    fields[0] = 2, 1
    fields[1, ..., 0], fields[1, ..., 1] = np.meshgrid(np.arange(10) / 4, np.arange(8))
    stacked = flow.stack_along_trajectories(fields)
    np.testing.assert_array_equal(stacked[..., 0], 2)
    assert stacked[3, 4, 1] == (4 + 2) / 4
    assert stacked[3, 4, 4] == 3 + 1
    assert stacked[7, 9, 1] == 9 / 4, "beyond the border it stays at the border"
    fixed = flow.stack(fields)
    assert fixed[3, 4, 1] == 4 / 4


def test_trajectories_read_between_pixels():
    fields = np.zeros((2, 4, 6, 2), "float32")
    fields[0, ..., 0] = 0.5
    fields[1, ..., 0] = np.arange(6)
    np.testing.assert_allclose(flow.stack_along_trajectories(fields)[0, :5, 1], np.arange(5) + 0.5)


@pytest.mark.parametrize("function", [flow.stack, flow.stack_along_trajectories, flow.subtract_mean])
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5, 3), (0, 4, 5, 2)])
def test_other_shapes_are_refused(function, shape):
    with pytest.raises(ValueError, match=r"Flow must be .* Received: shape \("):
        function(np.zeros(shape))


def test_one_field_is_no_stack_but_has_a_mean():
    with pytest.raises(ValueError, match="L, H, W, 2"):
        flow.stack(np.zeros((4, 5, 2)))
    assert flow.subtract_mean(np.ones((4, 5, 2))).max() == 0


def test_trajectories_need_finite_flow():
    with pytest.raises(ValueError, match="finite"):
        flow.stack_along_trajectories(np.full((2, 4, 5, 2), np.nan))
