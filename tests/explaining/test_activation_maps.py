"""Class activation: the parts add up to the logit, for each kind of head, whatever the size and the chunks."""

import types

import numpy as np
import pytest
from made import seen, tiny

from keras_i3d.explaining import activation_maps
from keras_i3d.inference import chunks

# A head of windows over two steps; over four; over the whole map; of rows alone; of two bodies; of one whole position.
KINDS = {
    "I3D": (20, 68, 84),
    "S3D": (24, 68, 84),
    "R2Plus1D18": (9, 40, 52),
    "I3DResNet50": (12, 132, 140),
    "InceptionV1": (3, 68, 84),
    "TwoStreamConvNet": (12, 68, 84),
    "C3D": (40, 160, 176),
}


@pytest.fixture(scope="module")
def short():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield


FAST = ("I3D", "TwoStreamConvNet")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in KINDS])
def test_the_map_and_the_bias_are_the_logit(name, short):
    network = seen.network(name)
    clip = seen.clip(network, *KINDS[name])
    assert activation_maps.is_linear(network)
    logit = float(seen.logits(network, clip)[3])
    found, bias = activation_maps.of_clip(network, clip, 3)
    assert found.size > 1
    assert np.ptp(found) > 1e-4
    assert abs(bias) > 1e-3
    assert found.sum() + bias == pytest.approx(logit, abs=1e-4 * max(1, abs(logit)))


def test_a_head_that_is_not_linear_is_told(short):
    assert not activation_maps.is_linear(seen.network("ConvNetLSTM"))


def test_chunks_give_the_map_of_the_single_pass(short):
    """Of a video of an odd length, with windows over two steps that reach over every cut."""
    network = seen.network("I3D")
    clip = seen.clip(network, 97, 36, 44)
    whole, bias = activation_maps.of_clip(network, clip, 1)
    least = chunks.least_frames(network.family)
    assert len(chunks.plan_chunks(97, least, network.family)) > 3
    parts, _ = activation_maps.of_clip(network, clip, 1, least)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert parts.sum() + bias == pytest.approx(seen.logits(network, clip)[1], abs=1e-4)


def test_positions_count_as_often_as_windows_see_them():
    """By hand: each window is a mean, and the logits are the mean of the windows."""
    for shape, steps, window in (((5, 9, 7), 2, 7), ((4, 3, 8), 4, 7), ((3, 2, 5), 1, None), ((1, 1, 1), 1, 7)):
        pool = types.SimpleNamespace(steps=steps, window=window)
        for size, most, found in zip(
            shape, (steps, window, window), activation_maps.position_weights(shape, pool), strict=True
        ):
            most = min(most or size, size)
            expected = np.zeros(size)
            for start in range(size - most + 1):
                expected[start : start + most] += 1 / most / (size - most + 1)
            np.testing.assert_allclose(found, expected)
            assert found.sum() == pytest.approx(1)


def test_where_positions_look(short):
    """I3D cut short: SAME padding of 7 and 3 at stride 2, 68 pixels to 34 to 17; time to 10 steps by one stride."""
    network = seen.network("I3D")
    t, y, x = activation_maps.centres(network, network.body, (20, 68, 84), (10, 17, 21))
    assert np.diff(t).tolist() == [2] * 9
    assert np.diff(y).tolist() == [4] * 16
    assert (len(t), len(y), len(x)) == (10, 17, 21)
    # The first window of 7 begins 2 before the clip and has its middle at 1; in space a pool of 3 comes after it.
    assert (t[0], y[0], x[0]) == (1, 3, 3)


@pytest.mark.slow
def test_where_positions_of_a_gated_network_look(short):
    gated = seen.network("S3DG-garden")
    t, y, _ = activation_maps.centres(gated, gated.body, (20, 64, 64), (10, 4, 4))
    assert y.tolist() == [7.5, 23.5, 39.5, 55.5]
