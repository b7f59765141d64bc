"""Stages of networks, from their graphs."""

import pytest
from made import tiny

from keras_i3d.models import families, stages
from keras_i3d.models.family import without_memory


def of(name):
    """(model without memory for its weights, its family)."""
    family = families.find(name)
    return without_memory(lambda: family.build(classes=5)), family


def test_factors_of_i3d():
    """Twelve stages with weights below the head; pools have none, and count for nothing."""
    model, family = of("I3D")
    found = stages.factors(model, family, 0.5)
    expected = {
        "Logits_Conv3d_0c_1x1_conv_3d": 0, "Mixed_5c_Branch_0_Conv3d_0a_1x1_conv_3d": 1,
        "Mixed_5c_Branch_2_Conv3d_0b_3x3_batch_norm": 1, "Mixed_5b_Branch_3_Conv3d_0b_1x1_conv_3d": 2,
        "Mixed_4f_Branch_1_Conv3d_0a_1x1_conv_3d": 3, "Mixed_4b_Branch_0_Conv3d_0a_1x1_conv_3d": 7,
        "Mixed_3b_Branch_0_Conv3d_0a_1x1_conv_3d": 9, "Conv3d_2c_3x3_conv_3d": 10, "Conv3d_2b_1x1_batch_norm": 11,
        "Conv3d_1a_7x7_conv_3d": 12, "Conv3d_1a_7x7_batch_norm": 12,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == {name: 0.5**place for name, place in expected.items()}
    assert set(found) == {layer.name for layer in model.layers if layer.weights}


def test_factors_of_r2plus1d():
    """Nine stages below the head; a shortcut is of the block that it ends in."""
    found = stages.factors(*of("R2Plus1D18"), 0.5)
    expected = {
        "conv1_spatial_conv_3d": 9, "conv2_1_a_temporal_conv_3d": 8, "conv2_2_b_spatial_batch_norm": 7,
        "conv4_1_shortcut_conv_3d": 4, "conv5_1_shortcut_conv_3d": 2, "conv5_2_b_temporal_conv_3d": 1,
        "Logits_Conv3d_0c_1x1_conv_3d": 0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == {name: 0.5**place for name, place in expected.items()}


@pytest.mark.parametrize("name", ["TwoStreamConvNet", "FusedTwoStream", "ConvNetLSTM", "C3D", "I3DResNet50-nonlocal"])
def test_stages_of_other_networks(name, monkeypatch):
    """Cut short: each weighted endpoint is deeper than the next, and the same of both streams as deep."""
    tiny.shorten(monkeypatch)
    model, family = of(name)
    found = stages.depths(model, family)
    ends = [found[endpoint] for endpoint in family.endpoints[:-2]]
    assert ends == sorted(ends, reverse=True)
    assert min(ends) == 1
    assert found[family.head] == found[model.layers[-1].name] == 0
    if "rgb_Mixed_3b" in found:
        assert found["rgb_Mixed_3b"] == found["flow_Mixed_3b"] == found["flow_Mixed_3b_Branch_0_Conv3d_0a_1x1_conv_3d"]


def test_an_endpoint_that_is_none():
    model, family = of("R2Plus1D18")
    assert stages.depth_of("Logits", model, family) == 0
    with pytest.raises(
        ValueError, match="R2Plus1D18 has the endpoints conv1, conv2_1, .*Received: 'Mixed_5b'"
    ) as error:
        stages.depth_of("Mixed_5b", model, family)
    assert "\n" not in str(error.value)
