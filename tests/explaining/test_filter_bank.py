"""First filters: kernels in plain form, their numbers, the picture; and `keras-i3d filters`."""

import json

import keras
import numpy as np
import pytest
from made import seen, small_runs, tiny

from keras_i3d import cli, networks, video
from keras_i3d.errors import WeightsError
from keras_i3d.explaining import filter_bank, filter_sheets
from keras_i3d.models.blocks import SpaceToDepth3D, space_to_depth_kernel
from keras_i3d.models.stacking import FlowStacks


@pytest.fixture(scope="module")
def short():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        yield


@pytest.fixture(scope="module")
def model(short):
    return seen.network("I3D").model


def test_numbers_of_filters(model):
    kernel = np.zeros((4, 2, 2, 3, 3), "float32")
    kernel[..., 0] = np.random.default_rng(0).normal(size=(2, 2, 3))  # repeated over time
    kernel[..., 1] = kernel[..., 0] * np.array([1, -1, 1, -1])[:, None, None, None]  # has no mean over time
    kernel[..., 2] = kernel[..., 0] + kernel[..., 1]
    bank = filter_bank.FilterBank("x", "y", kernel, 3 * kernel[..., [0, 0, 0]], "that of z")
    assert bank.temporal_share.tolist() == pytest.approx([0, 1, 0.5], abs=1e-6)
    assert bank.cosine.tolist() == pytest.approx([1, 0, 0.5**0.5], abs=1e-6)
    assert bank.norm[2] == pytest.approx(2**0.5 * bank.norm[0])


def test_of_a_network(model):
    bank = filter_bank.first_filters(model)
    np.testing.assert_array_equal(bank.kernel, np.asarray(model.get_layer("Conv3d_1a_7x7_conv_3d").kernel))
    assert bank.cosine is None
    assert "8 filters of 7 x 7 x 7 over RGB" in str(bank)
    with pytest.raises(ValueError, match=r"over 3 channels \(rgb\) or 2 \(flow\). Received: Mixed_3b_Branch_0_C"):
        filter_bank.first_filters(model, layer="Mixed_3b_Branch_0_Conv3d_0a_1x1_conv_3d")
    with pytest.raises(ValueError, match=r"is one of Conv3d_1a_7x7_conv_3d, .* Received: layer='x'"):
        filter_bank.first_filters(model, layer="x")


def test_against_a_2d_network(model, short):
    """The same network that begins as the 2D one, repeated: all cosines are 1, and nothing varies over time."""
    flat = seen.network("InceptionV1", seed=4).model
    bank = filter_bank.first_filters(model, against=flat)
    assert bank.start.shape == bank.kernel.shape
    np.testing.assert_allclose(bank.start.sum(axis=0), np.asarray(flat.get_layer(bank.layer).kernel)[0], atol=1e-6)
    assert np.abs(bank.cosine).max() < 0.6
    assert bank.temporal_share.min() > 0.5
    begun = networks.load(keras.models.clone_model(model)).model
    begun.get_layer(bank.layer).kernel.assign(bank.start)
    same = filter_bank.first_filters(begun, against=flat)
    assert same.cosine.tolist() == pytest.approx([1] * 8, abs=1e-5)
    assert same.temporal_share.max() < 1e-6
    narrow = seen.network("InceptionV1", depth_multiplier=0.3).model
    with pytest.raises(WeightsError, match=r"7 or 1 x 7 x 7, 8 of them. Received: \(7, 7, 7, 3, 19\).*same width"):
        filter_bank.first_filters(model, against=narrow)


def test_of_flow_the_mean_of_rgb_is_taken(short):
    flow = small_runs.model("flow")
    bank = filter_bank.first_filters(flow, against=small_runs.model("rgb"))
    assert bank.kernel.shape[3] == 2
    np.testing.assert_array_equal(bank.start[..., 0, :], bank.start[..., 1, :])


def test_a_rearranged_kernel_is_put_back():
    """`space_to_depth_kernel` adds a zero on each axis and moves neighbours to the channels."""
    kernel = np.random.default_rng(1).normal(size=(7, 7, 7, 3, 2)).astype("float32")
    moved = np.asarray(space_to_depth_kernel(kernel))
    found = filter_bank._plain(moved, SpaceToDepth3D())
    assert found.shape == (8, 8, 8, 3, 2)
    np.testing.assert_array_equal(found[:7, :7, :7], kernel)
    assert not found[7].any()


@pytest.mark.parametrize("order", ["planes", "pairs"])
def test_stacked_fields_are_the_time(order):
    layer = FlowStacks(4, order=order)
    flow = np.random.default_rng(2).normal(size=(1, 4, 1, 1, 2)).astype("float32")
    stacked = np.asarray(layer(flow))  # (1, 1, 1, 1, 8)
    found = filter_bank._plain(stacked.reshape(1, 1, 1, 8, 1), layer)
    np.testing.assert_array_equal(found[:, 0, 0, :, 0], flow[0, :, 0, 0])


def test_rows_that_are_rearranged_or_stacked(short):
    assert filter_bank.first_filters(seen.network("S3DG-milnce").model).kernel.shape == (4, 8, 8, 3, 8)
    assert filter_bank.first_filters(seen.network("InceptionV1-stack10").model).kernel.shape == (10, 7, 7, 2, 8)
    both = seen.network("TwoStreamConvNet").model
    assert filter_bank.first_filters(both).kernel.shape == (1, 7, 7, 3, 8)
    assert filter_bank.first_filters(both, layer="flow_Conv3d_1a_7x7_conv_3d").kernel.shape == (10, 7, 7, 2, 8)


def test_colours():
    kernel = np.zeros((1, 1, 4, 3), "float32")
    kernel[0, 0, :, 0] = [0, 1, -1, 5]
    assert filter_sheets.painted(kernel, 1.0)[0, 0, :, 0].tolist() == [128, 255, 0, 255]
    right = np.float32([1, 0]).reshape(1, 1, 1, 2)
    assert filter_sheets.painted(right, 1.0).ravel().tolist() == [255, 0, 0]  # the wheel's red


def test_on_the_command_line(model, tmp_path, capsys):
    model.save(tmp_path / "x.keras")
    output = tmp_path / "new folder" / "x.png"
    assert cli.main(["filters", str(tmp_path / "x.keras"), f"--output={output}"]) == 0
    printed = capsys.readouterr().out
    assert "share of the energy that varies over time: median 0." in printed
    (picture,) = video.read(str(output), None, None)
    assert picture.shape[1] >= 7 * (7 * filter_sheets.PIXELS + filter_sheets.GAP)
    assert np.ptp(picture.reshape(-1, 3).astype(int), axis=1).max() > 60  # there are colours
    assert cli.main(["filters", str(tmp_path / "x.keras"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kernel"] == [7, 7, 7, 3, 8]
    assert len(record["norm"]) == len(record["temporal_share"]) == 8
    assert cli.main(["filters"]) == 2
