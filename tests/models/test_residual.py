"""R3D, MC3 and R(2+1)D against what torchvision and ig65m-pytorch compute, and what the paper says of them."""

import functools
import re

import keras
import numpy as np
import pytest
from made import goldens, synthetic

from keras_i3d.errors import WeightsError
from keras_i3d.models import families, residual
from keras_i3d.models.inception import HEAD
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.weights import by_name
from keras_i3d.weights.originals import original, residuals

ANY = (None, None, None, 3)
ROWS = {row.name: row for row in residual.rows()}

# name of a golden: the row that it is of.
GOLDENS = {
    "torchvision_r3d_18": "R3D18",
    "torchvision_mc3_18": "MC318",
    "torchvision_r2plus1d_18": "R2Plus1D18",
    "ig65m_r2plus1d_34": "R2Plus1D34",
}
ODD = [f"{name}_odd" for name in GOLDENS]


def layer_of(endpoint):
    """The layer whose output an original's endpoint is."""
    if endpoint in ("stem", "avgpool"):
        return endpoint.replace("stem", "conv1")
    stage, number, part = re.fullmatch(r"layer(\d)\.(\d)(?:\.(\w+))?", endpoint).groups()
    ending = {None: "", "conv1": "_a", "downsample": "_shortcut_batch_norm"}[part]
    return f"conv{int(stage) + 1}_{int(number) + 1}{ending}"


@pytest.mark.parametrize("name", [*ODD, *(pytest.param(name, marks=pytest.mark.slow) for name in GOLDENS)])
def test_every_endpoint_is_the_originals(name):
    """The weights go the way of a user's file: found by their names, verified, and put in place by name."""
    golden, row = goldens.case(name), ROWS[GOLDENS[name.removesuffix("_odd")]]
    found, weights, facts = original.find(goldens.arrays(golden), residuals.ORIGINALS, name)
    assert (found.family, facts.family, facts.classes) == (row.name, row.name, 400)
    model = row.build(input_shape=ANY)
    by_name.assign(model, weights, name)
    assert sum(np.size(weight) for weight in model.trainable_weights) == golden["trainable_parameters"]
    last = model.get_layer(row.endpoints[-3]).output
    average = keras.layers.GlobalAveragePooling3D(keepdims=True, name="avgpool")(last)
    model = keras.Model(model.input, [model.get_layer("Logits").output, average])
    goldens.check(model, golden, {endpoint: layer_of(endpoint) for endpoint in golden["endpoints"]})


# What the module says.


def test_the_papers_widths_and_torchvisions():
    found = [residual.midplanes(*pair) for pair in ((64, 64), (64, 128), (128, 128), (128, 256), (256, 256))]
    assert found == [144, 230, 288, 460, 576]
    assert [residual.midplanes(*pair) for pair in ((256, 512), (512, 512))] == [921, 1152]
    for name, second in (("R2Plus1D18", 230), ("R2Plus1D18-paper", 288), ("R2Plus1D34", 288)):
        layout = ROWS[name].layout()
        assert layout["conv1_spatial_conv_3d"] == [(1, 7, 7, 3, 45)]
        assert layout["conv3_1_a_spatial_conv_3d"] == [(1, 3, 3, 64, 230)]
        assert layout["conv3_1_b_spatial_conv_3d"] == [(1, 3, 3, 128, second)]
        assert layout["conv3_2_a_spatial_conv_3d"] == [(1, 3, 3, 128, 288)]


@pytest.mark.parametrize("name", ROWS)
def test_counts_of_the_modules_table(name):
    line = next(line for line in residual.__doc__.splitlines() if line.startswith(f"| {name} |"))
    _, trainable, total, macs, clip, frames, pixels = (cell.strip() for cell in line.strip("| ").split("|"))
    row, shapes = ROWS[name], ROWS[name].layout()
    assert int(trainable.replace(",", "")) == row.parameters["rgb"]
    assert int(total.replace(",", "")) == sum(np.prod(shape) for each in shapes.values() for shape in each)
    assert float(macs.split()[0]) == row.macs
    assert clip == f"{row.clips['rgb'].frames} x {row.clips['rgb'].crop} x {row.clips['rgb'].crop}"
    step, reach = residual._reach(name, residual.STAGES)
    assert int(frames) == 2 * reach + 1
    assert int(pixels) == {2: 219, 3: 451}[residual.NETWORKS[name].blocks[0]]


SIZES = [(16, 56, 56, 64), (8, 28, 28, 128), (4, 14, 14, 256), (2, 7, 7, 512)]  # the paper's table 1


@pytest.mark.parametrize("name", ["R2Plus1D18", "R3D18", "MC318"])
def test_endpoints_are_layers_of_the_published_sizes(name):
    with keras.StatelessScope(initialize_variables=False):
        model = ROWS[name].build(input_shape=(16, 112, 112, 3))
    sizes = [(16, *size[1:]) for size in SIZES] if name == "MC318" else SIZES
    wanted = [sizes[0], *(size for size in sizes for _ in range(2)), (400,), (400,)]
    assert [model.get_layer(layer).output.shape[1:] for layer in residual.endpoints(name)] == wanted


def test_settings_of_the_originals():
    for name, epsilon in (("R3D18", 1e-5), ("R2Plus1D18", 1e-5), ("R2Plus1D18-paper", 1e-3), ("R2Plus1D34", 1e-3)):
        norms = [layer for layer in narrow(name).layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert {(norm.momentum, norm.epsilon, norm.scale) for norm in norms} == {(0.9, epsilon, True)}


def test_options_tell_the_rows_of_a_builder_apart():
    assert [(row.name, row.of, row.options) for row in ROWS.values() if "Plus1D18" in row.name] == [
        ("R2Plus1D18", "R2Plus1D18", {"midplanes": "torchvision"}),
        ("R2Plus1D18-paper", "R2Plus1D18", {"midplanes": "paper"}),
    ]
    with pytest.raises(ValueError, match="network must be one of R3D18, MC318.*Received: network='R3D50'"):
        residual.residual(network="R3D50")


@pytest.mark.parametrize("name", ["R3D18", "MC318", "R2Plus1D18", "R2Plus1D18-paper", "R3D34"])
def test_layers_of_the_same_names_are_told_apart(name):
    """R3D-34 has all layers of R3D-18; MC3 has its names with other kernels, R(2+1)D in two ways other widths."""
    for settings in ({}, {"depth_multiplier": 0.25}, {"include_top": False}):
        assert families.of_layers(ROWS[name].layout(**settings)).name == name


# Narrow networks.


@functools.cache
def narrow(name):
    """A narrow network of a row, with values that show a fault, which no test changes."""
    model = ROWS[name].build(input_shape=ANY, classes=5, depth_multiplier=0.1)
    draw = np.random.default_rng(1)
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(draw.standard_normal(weight.shape) * np.sqrt(2 / np.prod(weight.shape[:-1])))
        else:
            weight.assign(0.5 + draw.random(weight.shape) if "variance" in weight.name or weight.name == "gamma"
                          else 0.1 * draw.standard_normal(weight.shape))  # fmt: skip
    return model


@pytest.mark.parametrize("name", ["R3D18", "MC318", "R2Plus1D18", "R3D34"])
def test_frames_that_a_step_depends_on(name):
    row, model = ROWS[name], narrow(name)
    step, reach = residual._reach(name, residual.STAGES)
    features = keras.Model(model.input, model.get_layer(row.endpoints[-3]).output)
    centre = row.halo * step
    clip = synthetic.clip((1, centre + reach + 2, 32, 32, 3), 5)
    before = np.asarray(features(clip, training=False))[0, row.halo]
    for frame, seen in (
        (centre - reach - 1, False),
        (centre - reach, True),
        (centre + reach, True),
        (centre + reach + 1, False),
    ):
        if frame < 0:
            continue
        changed = clip.copy()
        changed[:, frame] *= -10
        assert (np.asarray(features(changed, training=False))[0, row.halo] != before).any() == seen, frame


def test_a_batch_norm_before_a_sum_is_folded_too():
    model, clip = narrow("R2Plus1D18"), synthetic.clip((1, 9, 40, 33, 3), 5)
    fast = optimize_for_inference(model)
    kinds = [type(layer).__name__ for layer in fast.layers]
    assert "BatchNormalization" not in kinds
    assert kinds.count("ReLU") == kinds.count("Add") == 8  # one of each a block
    assert goldens.relative(fast(clip), model(clip)) < 1e-5


def test_a_small_table_is_a_small_network():
    (row,) = [row for row in residual.rows(residual.STAGES[:2]) if row.name == "R3D18"]
    model = row.build(input_shape=ANY, classes=3, depth_multiplier=0.1)
    assert row.endpoints == ("conv1", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "Logits", "Predictions")
    assert (row.step, row.steps(9), row.halo) == (2, 5, 6)
    assert model(synthetic.clip((1, 9, 32, 32, 3), 5)).shape == (1, 3)


# The originals' names.


def test_a_name_has_one_place():
    for row, network in residual.NETWORKS.items():
        names = goldens.case(next(name for name, of in GOLDENS.items() if of[:3] == row[:3]))["variables"]
        parted = network.stem == residual.PARTED
        places = [residuals.place(name, parted) for name in names]
        assert None not in places, row
        assert len(set(places)) == len(names)
        assert residuals.place(next(name for name in names if "conv1" in name), not parted) is None
    for name in ("layer5.0.conv1.0.weight", "layer1.0.conv1.0.bias", "stem.7.weight", "fc.running_mean", "layer1.fc"):
        assert residuals.place(name, False) is None


def test_what_is_left_over_is_listed():
    golden = goldens.case("torchvision_mc3_18")
    arrays = {name: np.zeros(shape, "float32") for name, shape in golden["variables"].items()}
    counted = {"stem.1.num_batches_tracked": np.int64(7)}
    assert original.find({**arrays, **counted}, residuals.ORIGINALS, "a.pth")[0].family == "MC318"
    with pytest.raises(WeightsError, match="no network that is known.*which has no tail"):
        original.find({**arrays, "tail": np.zeros(1)}, residuals.ORIGINALS, "a.pth")
    del arrays["layer4.1.conv2.0.weight"]
    with pytest.raises(WeightsError, match="conv5_2_b_conv_3d/kernel"):
        original.find(arrays, residuals.ORIGINALS, "a.pth")
    assert HEAD in ROWS["MC318"].layout()
