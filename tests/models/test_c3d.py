"""C3D against what mmaction2 computes, and the I3D paper's 3D-ConvNet against what the paper says of it."""

import functools

import keras
import numpy as np
import pytest
from made import goldens, synthetic

from keras_i3d.errors import WeightsError
from keras_i3d.models import c3d
from keras_i3d.models.inception import HEAD
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.weights import by_name
from keras_i3d.weights.originals import original, residuals

ANY = (None, None, None, 3)
ROWS = {row.name: row for row in c3d.rows()}
CLASSIC, BN = ROWS["C3D"], ROWS["C3D-bn"]


@pytest.mark.parametrize("name", ["mmaction2_c3d_odd", pytest.param("mmaction2_c3d", marks=pytest.mark.slow)])
def test_every_endpoint_is_the_originals(name):
    golden = goldens.case(name)
    found, weights, facts = original.find(goldens.arrays(golden), residuals.ORIGINALS, name)
    assert (found.name, facts.family, facts.classes) == ("mmaction2", "C3D", 101)
    _, _, *shape = golden["input"]["shape"]
    model = CLASSIC.build(input_shape=(*shape, 3), classes=101)
    by_name.assign(model, weights, name)
    assert sum(np.size(weight) for weight in model.trainable_weights) == golden["trainable_parameters"] == 78_409_573
    # The original's fully connected layers are vectors, recorded before their ReLU.
    flat = [keras.layers.Flatten(name=f"{fc}_flat")(model.get_layer(f"{fc}_conv_3d").output) for fc in ("fc6", "fc7")]
    model = keras.Model(model.input, [model.get_layer("Logits").output, *flat])
    layers = {endpoint: endpoint.removeprefix("backbone.") for endpoint in golden["endpoints"]}
    layers = {endpoint: f"{layer}_flat" if layer.startswith("fc") else layer for endpoint, layer in layers.items()}
    goldens.check(model, golden, layers)


def test_a_file_of_the_backbone_alone():
    """As the published weights of Sports-1M are: names without "backbone.", and no class layer."""
    golden = goldens.case("mmaction2_c3d")
    arrays = {
        name.removeprefix("backbone."): np.zeros(shape, "float32")
        for name, shape in golden["variables"].items()
        if not name.startswith("cls_head")
    }
    values = np.arange(8192, dtype="float32")
    arrays["fc6.weight"][7] = values
    found, weights, facts = original.find(arrays, residuals.ORIGINALS, "c3d.pth")
    assert (found.family, facts.classes) == ("C3D", None)
    assert list(weights) == list(CLASSIC.layout(include_top=False))
    np.testing.assert_array_equal(weights["fc6_conv_3d"][0][..., 7], values.reshape(512, 1, 4, 4).transpose(1, 2, 3, 0))
    for wrong in (np.zeros(8192), np.zeros((4096, 8190)), np.zeros((4096, 4608))):
        with pytest.raises(WeightsError, match="shapes differ: fc6_conv_3d/kernel"):
            original.find({**arrays, "fc6.weight": wrong}, residuals.ORIGINALS, "c3d.pth")


@pytest.mark.parametrize("name", ["conv6a.conv.weight", "fc8.weight", "backbone.conv1a.weight", "cls_head.fc6.weight"])
def test_a_name_that_is_not_c3ds(name):
    assert residuals.place_c3d(name) is None


# What the module says.


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_counts_of_the_modules_table(row):
    (line,) = [line for line in c3d.__doc__.splitlines() if line.startswith(f"| {row.options['variant']} |")]
    _, trainable, total, macs, frames, pixels, least = (cell.strip() for cell in line.strip("| ").split("|"))
    shapes = row.layout()
    assert int(trainable.replace(",", "")) == row.parameters["rgb"] == 79_634_576
    assert int(total.replace(",", "")) == sum(np.prod(shape) for each in shapes.values() for shape in each)
    assert float(macs.split()[0]) == row.macs
    assert least.startswith(f"{row.min_frames} frame")
    assert least.endswith(f"{row.min_size} pixels")
    assert shapes["fc6_conv_3d"][0] == (1, 4, 4, 512, 4096)
    step, reach = c3d._reach(row.options["variant"], c3d.LAYERS)
    assert int(frames) == step + 2 * reach


def test_weights_without_biases_are_as_many_as_those_of_the_paper():
    """79,623,232, the kernels alone, is the paper's 79 M; unpadded pools would leave 64.9 M."""
    for row in ROWS.values():
        assert sum(np.prod(each[0]) for each in row.layout().values() if len(each[0]) > 1) == 79_623_232


@pytest.mark.parametrize(
    ("row", "frames", "sizes"),
    [(CLASSIC, 16, [16, 8, 4, 2, 1]), (BN, 16, [8, 4, 2, 1, 1]), (CLASSIC, 240, [15]), (BN, 240, [15]), (BN, 17, [2])],
)
def test_time_through_the_pools(row, frames, sizes):
    with keras.StatelessScope(initialize_variables=False):
        model = row.build(input_shape=(frames, 112, 112, 3), depth_multiplier=0.05)
    pools = [model.get_layer(f"pool{i}").output.shape[1:4] for i in range(1, 6)]
    assert [time for time, _, _ in pools][-len(sizes) :] == sizes
    assert [side for _, side, _ in pools] == [56, 28, 14, 7, 4]
    assert row.steps(frames) == model.get_layer(HEAD).output.shape[1] == sizes[-1]


def test_settings_of_the_paper():
    norms = [layer for layer in narrow("C3D-bn").layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 10  # eight convolutions, two fully connected layers
    assert {(norm.momentum, norm.epsilon, norm.scale, norm.center) for norm in norms} == {(0.999, 1e-3, False, True)}
    convolutions = [layer for layer in narrow("C3D").layers if isinstance(layer, keras.layers.Conv3D)]
    assert all(layer.use_bias for layer in convolutions)
    dropped = c3d.c3d(depth_multiplier=0.01, dropout=0.3)
    assert [layer.rate for layer in dropped.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]


def test_the_classic_clip_is_255_minus_the_mean():
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    prepared = CLASSIC.clips["rgb"].prepared(frames)
    np.testing.assert_allclose(prepared, np.float32(frames) - (104, 117, 128), atol=1e-4)
    np.testing.assert_array_equal(BN.clips["rgb"].prepared(frames), np.float32(frames) / np.float32(127.5) - 1)


# Narrow networks.


@functools.cache
def narrow(name):
    """A narrow network of a row, with values that show a fault, which no test changes."""
    model = ROWS[name].build(input_shape=ANY, classes=5, depth_multiplier=0.05)
    draw = np.random.default_rng(1)
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(draw.standard_normal(weight.shape) * np.sqrt(2 / np.prod(weight.shape[:-1])))
        elif "variance" in weight.name:
            weight.assign(0.5 + draw.random(weight.shape))
        else:
            weight.assign(0.1 * draw.standard_normal(weight.shape))
    return model


@pytest.mark.parametrize("name", ROWS)
def test_frames_that_a_row_depends_on(name):
    row, model = ROWS[name], narrow(name)
    step, reach = c3d._reach(row.options["variant"], c3d.LAYERS)
    logits = keras.Model(model.input, model.get_layer(HEAD).output)
    at = row.halo
    first, last = at * step - reach, (at + 1) * step - 1 + reach
    clip = synthetic.clip((1, (2 * row.halo + 1) * step, row.min_size, row.min_size, 3), 5)
    before = np.asarray(logits(clip, training=False))[0, at]
    for frame, seen in ((first - 1, False), (first, True), (last, True), (last + 1, False)):
        changed = clip.copy()
        changed[:, frame] *= -100
        assert (np.asarray(logits(changed, training=False))[0, at] != before).any() == seen, frame


@pytest.mark.parametrize("name", ROWS)
def test_larger_maps_and_longer_clips_slide_the_fully_connected_layers(name):
    """Each position of a larger map is what a clip of that place alone would give, were there no borders."""
    model = narrow(name)
    parts = keras.Model(model.input, [model.get_layer(layer).output for layer in ("pool5", "fc7", HEAD, "Logits")])
    pooled, features, scores, logits = map(np.asarray, parts(synthetic.clip((1, 33, 130, 162, 3), 5), training=False))
    assert features.shape[1:4] == (pooled.shape[1], pooled.shape[2] - 3, pooled.shape[3] - 3)
    np.testing.assert_allclose(scores.mean(axis=(1, 2, 3)), logits, rtol=1e-4, atol=1e-5)
    window = keras.Input((1, 4, 4, pooled.shape[-1]))
    x = window
    for layer in model.layers[[layer.name for layer in model.layers].index("fc6_conv_3d") :]:
        x = layer(x)
        if layer.name == "fc7":
            break
    alone = keras.Model(window, x)(pooled[:, 1:2, 1:5, 2:6], training=False)
    np.testing.assert_allclose(np.asarray(alone)[0, 0, 0, 0], features[0, 1, 1, 2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ROWS)
def test_optimised_for_inference(name):
    row, model = ROWS[name], narrow(name)
    clip = synthetic.clip((1, 17, row.min_size, row.min_size + 9, 3), 5)
    fast = optimize_for_inference(model)
    kinds = {type(layer).__name__ for layer in fast.layers}
    assert not kinds & {"BatchNormalization", "Dropout", "ReLU"}
    logits = [keras.Model(each.input, each.get_layer("Logits").output)(clip, training=False) for each in (fast, model)]
    assert goldens.relative(*logits) < 1e-5


def test_without_top_it_is_the_features_of_fc7():
    model = ROWS["C3D"].build(include_top=False, pooling="avg", input_shape=ANY, depth_multiplier=0.05)
    assert model(synthetic.clip((1, 16, 96, 96, 3), 5)).shape == (1, 205)


def test_bad_arguments():
    with pytest.raises(ValueError, match='one of "classic", "bn". Received: variant=\'c3d\''):
        c3d.c3d(variant="c3d")
    with pytest.raises(ValueError, match="C3D takes clips of at least 16 frames, 96 pixels high.*15 frames"):
        c3d.c3d(input_shape=(15, 112, 112, 3))
    with pytest.raises(ValueError, match="C3D-bn takes clips of at least 1 frames, 97 pixels high.*96 wide"):
        c3d.c3d(input_shape=(15, 112, 96, 3), variant="bn")
