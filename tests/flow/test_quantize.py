"""Quantised flow: exact zero, bounded error, foreign data."""

import numpy as np
import pytest

from keras_i3d.flow import dequantize_flow, quantize_flow


def test_zero_is_exactly_zero():
    assert (quantize_flow(np.zeros((2, 2))) == 127).all()
    assert (dequantize_flow(np.full((2, 2), 127, "uint8")) == 0).all()


@pytest.mark.parametrize("bound", [20, 15])
def test_round_trip(bound):
    flow = np.random.RandomState(0).uniform(-bound, bound, (50, 50, 2)).astype("float32")
    levels = quantize_flow(flow, bound)
    again = dequantize_flow(levels, bound)
    assert (levels.dtype, again.dtype) == (np.uint8, np.float32)
    assert abs(again - flow).max() <= bound / 254 * 1.001
    np.testing.assert_array_equal(quantize_flow(again, bound), levels)
    np.testing.assert_array_equal(quantize_flow(-flow, bound), 254 - levels)


def test_clamped():
    np.testing.assert_array_equal(quantize_flow(np.float32([-99, -20, 20, 1e9])), [0, 0, 254, 254])
    np.testing.assert_allclose(dequantize_flow(np.uint8([0, 254])), [-20, 20])


def test_foreign_data():
    flow = np.random.RandomState(0).uniform(-19, 19, 100_000).astype("float32")
    truncated = np.uint8((flow + 20) / 40 * 255)
    rounded = np.uint8(np.rint((flow + 20) * 255 / 40))
    step = 40 / 255
    for levels, scheme in ((truncated, "mediapipe"), (rounded, "rounded")):
        error = dequantize_flow(levels, scheme=scheme) - flow
        assert abs(error).max() <= step / 2 * 1.001
        assert abs(error.mean()) < 1e-3
    assert dequantize_flow(np.uint8([127]), scheme="mediapipe")[0] == 0


@pytest.mark.parametrize(("scheme", "most"), [("exact", 20 / 254), ("rounded", 20 / 255), ("mediapipe", 20 / 255)])
def test_there_and_back_by_each_scheme(scheme, most):
    flow = np.random.RandomState(0).uniform(-22, 22, 10_000)
    levels = quantize_flow(flow, scheme=scheme)
    assert abs(dequantize_flow(levels, scheme=scheme) - np.clip(flow, -20, 20)).max() <= most * 1.001
    assert (levels.min(), levels.max()) == (0, 254 if scheme == "exact" else 255)
    zero = {"exact": 127, "rounded": 128, "mediapipe": 127}[scheme]
    assert quantize_flow(np.zeros(2), scheme=scheme).tolist() == [zero, zero]


def test_inside_a_graph():
    import tensorflow as tf

    levels = np.arange(255, dtype="uint8")
    traced = tf.function(lambda x: dequantize_flow(tf.cast(x, tf.float32)))
    np.testing.assert_allclose(traced(levels), dequantize_flow(levels), atol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match="finite"):
        quantize_flow(np.float32([np.nan]))
    with pytest.raises(ValueError, match="'exact', 'rounded', 'mediapipe'"):
        dequantize_flow(np.uint8([1]), scheme="other")
    with pytest.raises(ValueError, match="'exact', 'rounded', 'mediapipe'"):
        quantize_flow(np.float32([1]), scheme="other")
    for bound in (0, -20, np.nan, np.inf):
        with pytest.raises(ValueError, match="bound must be positive"):
            quantize_flow(np.float32([1]), bound)
        with pytest.raises(ValueError, match="bound must be positive"):
            dequantize_flow(np.uint8([1]), bound)


def test_levels_may_be_a_list():
    np.testing.assert_array_equal(dequantize_flow([0, 127, 254]), dequantize_flow(np.uint8([0, 127, 254])))
