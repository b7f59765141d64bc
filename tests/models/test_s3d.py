"""S3D and S3D-G: each variant against what its original computes, and what the tests of every builder ask."""

import dataclasses
import functools
import hashlib
import json
import math
import re

import keras
import numpy as np
import pytest
from made import goldens, synthetic

from keras_i3d import builders
from keras_i3d.errors import WeightsError
from keras_i3d.facts import Facts
from keras_i3d.models import families, inception
from keras_i3d.models.blocks import HeadPool
from keras_i3d.models.inception import HEAD
from keras_i3d.models.s3d import (
    ENDPOINTS,
    HALO,
    NAMES,
    RECEPTIVE_FRAMES,
    STEP,
    VARIANTS,
    fewest_frames,
    s3d,
    time_steps,
)
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.weights import by_name, h5_files
from keras_i3d.weights.originals import inceptions, original
from keras_i3d.weights.originals.catalogue import ORIGINALS
from keras_i3d.weights.originals.original import Original

ANY = (None, None, None)
garden, slim, milnce = VARIANTS["S3DG-garden"], VARIANTS["S3DG"], VARIANTS["S3DG-milnce"]

# name of a golden: the variant that it is of.
GOLDENS = {
    "torchvision_s3d": "S3D",
    "torchvision_s3d_odd": "S3D",
    "kylemin_s3d": "S3D-kylemin",
    "kylemin_s3d_odd": "S3D-kylemin",
    "slim_s3d": "S3D-slim",
    "slim_s3dg": "S3DG",
    "slim_s3dg_odd": "S3DG",
    "slim_s3dg_stem7": dataclasses.replace(slim, stem=(7, 7, 7)),
    "slim_s3dg_topheavy_4b": dataclasses.replace(slim, stem=(1, 7, 7), temporal_from="Mixed_4b", gates_from="Mixed_4b"),
    "modelgarden_s3d": "S3DG-garden",
    "modelgarden_s3d_odd": "S3DG-garden",
    "modelgarden_s3d_branch_gates": dataclasses.replace(garden, gates=("branch",), pool_last=False),
    "modelgarden_s3d_no_gates": dataclasses.replace(garden, gates=(), stem=(7, 7, 7)),
    "modelgarden_s3d_topheavy_1p2d": dataclasses.replace(
        garden,
        stem=(1, 7, 7),
        temporal_first=True,
        temporal_from="Mixed_4b",
        gates=("branch", "cell"),
        gates_from="Mixed_4b",
    ),
    "milnce_s3dg": "S3DG-milnce",
    "milnce_s3dg_uneven": "S3DG-milnce",
    "milnce_s3dg_no_space_to_depth": dataclasses.replace(milnce, stem=(3, 7, 7), space_to_depth=False),
    "milnce_s3dg_no_space_to_depth_odd": dataclasses.replace(milnce, stem=(3, 7, 7), space_to_depth=False),
}


def read(name, kind, monkeypatch):
    """The seeded weights of a golden by the names of its original; those of a row are recognised among all."""
    arrays = goldens.arrays(goldens.case(name))
    if isinstance(kind, str):
        found, weights, facts = original.find(arrays, ORIGINALS, f"{name}.pth")
        assert (found.family, facts.family) == (kind, kind)
        return weights
    row = dataclasses.replace(families.find("S3DG"), name="Other", builder=functools.partial(s3d, variant=kind))
    monkeypatch.setitem(families.FAMILIES, "Other", row)
    origin = name.partition("_")[0]
    places = {"milnce": inceptions.milnce, "slim": inceptions.slim(kind), "modelgarden": inceptions.garden(kind)}
    return Original(origin, "Other", places[origin], torch=origin == "milnce").read(arrays, name)[0]


# Endpoints, by the names of the originals.


def layer_of(endpoint, name, model):
    """The layer whose output an original's endpoint is; None where there is none."""
    origin = name.partition("_")[0]
    if origin == "milnce":
        if endpoint == "conv1" and "no_space_to_depth" not in name or endpoint.endswith(".fc"):
            return None  # before a crop, before the sigmoid
        return _layer_of_milnce(endpoint)
    if origin in ("torchvision", "kylemin"):
        return _layer_of_torch(endpoint)
    return _layer_of_tensorflow(endpoint, {layer.name for layer in model.layers})


def _layer_of_torch(endpoint):
    others = {"classifier": HEAD, "fc": HEAD, "avgpool": "Logits_AvgPool3d_0a_7x7"}
    if endpoint in others:
        return others[endpoint]
    number, branch, rest = re.fullmatch(r"\w+\.(\d+)(?:\.branch(\d))?(\.0|\.relu_s)?", endpoint).groups()
    row = NAMES[int(number)]
    if branch:
        return f"{row}_Branch_{branch}_Conv3d_{('0a_1x1', '0b_3x3', '0b_3x3', '0b_1x1')[int(branch)]}"
    return f"{row}_spatial" if rest else row


def _layer_of_milnce(endpoint):
    others = {"conv1": NAMES[0], "conv_2b": NAMES[2], "conv_2c": f"{NAMES[3]}_ungated", "gating": NAMES[3]}
    others |= {"conv_2c.conv1": f"{NAMES[3]}_spatial_conv_3d"}
    others |= {f"maxpool_{row[10:12]}": row for row in NAMES if row.startswith("Max")}
    if endpoint in others:
        return others[endpoint]
    block, _, rest = endpoint.capitalize().partition(".")
    units = {"conv_b0": "0_Conv3d_0a_1x1", "conv_b1_b": "1_Conv3d_0b_3x3", "conv_b2_b": "2_Conv3d_0b_3x3"}
    units |= {"maxpool_b3": "3_MaxPool3d_0a_3x3", "conv_b3_b": "3_Conv3d_0b_1x1"}
    return f"{block}_Branch_{units[rest]}" if rest else block


def _layer_of_tensorflow(endpoint, layers):
    path = endpoint.removeprefix("op:InceptionV1/InceptionV1/").replace("Conv2d", "Conv3d")
    path = path.replace("MaxPool_", "MaxPool3d_").replace("/concat", "").replace("/Mul", "")
    unit, relu, _ = path.partition("/Relu")
    unit = unit.replace("/", "_")
    if relu and unit.endswith("_temporal"):
        unit = unit.removesuffix("_temporal")
        return f"{unit}_ungated" if f"{unit}_ungated" in layers else unit
    if relu and f"{unit}_spatial" in layers:
        return f"{unit}_spatial"
    if unit in layers:
        return unit
    # A branch of the Model Garden that has no gate of its own: its last layer.
    last = {"0": "Conv3d_0a_1x1", "1": "Conv3d_0b_3x3", "2": "Conv3d_0b_3x3", "3": "MaxPool3d_0a_3x3"}
    return f"{unit}_{last[unit[-1]]}"


# One of each variant, half of them of odd sizes; the others take long.
QUICK = {"torchvision_s3d", "kylemin_s3d_odd", "slim_s3d", "slim_s3dg", "modelgarden_s3d_odd", "milnce_s3dg_uneven"}


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GOLDENS]
)
def test_every_endpoint_is_the_originals(name, monkeypatch):
    case = goldens.case(name)
    model = s3d(
        input_shape=(*ANY, 3), classes=len(case.get("logits") or case["video_embedding"]), variant=GOLDENS[name]
    )
    by_name.assign(model, read(name, GOLDENS[name], monkeypatch), name)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == case["trainable_parameters"]
    layers = {endpoint: layer_of(endpoint, name, model) for endpoint in case["endpoints"]}
    goldens.check(model, case, {endpoint: layer for endpoint, layer in layers.items() if layer})


# What the table of the module says.


@pytest.mark.parametrize(
    ("variant", "classes", "trainable", "total", "giga", "frames", "without_top"),
    [
        ("S3D", 400, 8_320_048, 8_341_264, 71.92, 13, 5),
        ("S3D-kylemin", 400, 8_320_048, 8_341_264, 71.92, 13, 5),
        ("S3D-slim", 400, 8_299_520, 8_314_080, 64.18, 9, 1),
        ("S3DG", 400, 9_518_848, 9_533_408, 64.18, 9, 1),
        ("S3DG-garden", 400, 12_136_240, 12_157_328, 64.19, 1, 1),
        ("S3DG-milnce", 512, 9_670_800, 9_691_888, 72.59, 1, 1),
    ],
)
def test_counts(variant, classes, trainable, total, giga, frames, without_top):
    model = s3d(input_shape=(64, 224, 224, 3), classes=classes, variant=variant)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == trainable
    assert model.count_params() == total
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv3D)]
    adds = sum(math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape) for layer in convolutions)
    assert round(adds / 1e9, 2) == giga
    assert (fewest_frames(variant), fewest_frames(variant, include_top=False)) == (frames, without_top)


@pytest.mark.parametrize(
    ("variant", "positions"),
    [
        ("S3D", (7, 2, 2)),
        ("S3D-kylemin", (7, 1, 1)),
        ("S3D-slim", (7, 2, 2)),
        ("S3DG", (7, 2, 2)),
        ("S3DG-garden", (8, 1, 1)),
        ("S3DG-milnce", (8, 1, 1)),
    ],
)
def test_positions_that_the_head_scores(variant, positions):
    """Of an 8 x 8 map of 8 steps: windows of 2 x 7 x 7, of 2 x 8 x 8, or each step for itself."""
    model = small(variant, input_shape=(64, 256, 256, 3))
    assert model.get_layer("Mixed_5c").output.shape[1:4] == (8, 8, 8)
    assert model.get_layer(HEAD).output.shape[1:4] == positions


def test_endpoints_are_layers_of_the_published_sizes():
    model = s3d(input_shape=(64, 224, 224, 3))
    assert [tuple(model.get_layer(name).output.shape[1:]) for name in ENDPOINTS] == [
        (32, 112, 112, 64),
        (32, 56, 56, 64),
        (32, 56, 56, 64),
        (32, 56, 56, 192),
        (32, 28, 28, 192),
        (32, 28, 28, 256),
        (32, 28, 28, 480),
        (16, 14, 14, 480),
        (16, 14, 14, 512),
        (16, 14, 14, 512),
        (16, 14, 14, 512),
        (16, 14, 14, 528),
        (16, 14, 14, 832),
        (8, 7, 7, 832),
        (8, 7, 7, 832),
        (8, 7, 7, 1024),
        (400,),
        (400,),
    ]


FINGERPRINTS = {
    "S3D": "8c3cbef8da36eb54",
    "S3D-kylemin": "8c3cbef8da36eb54",
    "S3D-slim": "9d03062b9c24e343",
    "S3DG": "bf0c3b628bee1a0b",
    "S3DG-garden": "c796edbc08a52d0b",
    "S3DG-milnce": "d49f29613030eb14",
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_fingerprint_of_names_shapes_and_order(variant, narrow):
    """`.weights.h5` loads by class and position, where two branches in swapped order would load in silence."""
    layout = [[layer.name, [list(w.shape) for w in layer.weights]] for layer in narrow[variant].layers if layer.weights]
    assert hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:16] == FINGERPRINTS[variant]


def test_settings_of_the_originals(narrow):
    for variant, *settings in (
        ("S3D", 0.999, 1e-3, True),
        ("S3DG", 0.999, 1e-3, False),
        ("S3DG-milnce", 0.9, 1e-5, True),
    ):
        norms = [layer for layer in narrow[variant].layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert {(n.momentum, n.epsilon, n.scale, n.center) for n in norms} == {(*settings, True)}
    gates = [layer for layer in narrow["S3DG"].layers if layer.name.endswith("self_gating")]
    assert len(gates) == 37  # four a block, and the stem's
    assert not any(gate.use_bias for gate in gates)


def test_a_file_of_its_layers_is_recognised():
    row = families.find("S3D")
    layers = row.layout(include_top=False)
    assert layers[row.first] == [(1, 7, 7, 3, 64)]
    assert families.of_layers(layers) is row
    assert families.of_layers(families.find("I3D").layout()).name == "I3D"


# Narrow networks with values that show a fault.


def randomise(model, seed=1):
    draw = np.random.RandomState(seed)
    for weight in model.weights:
        if "variance" in weight.name:
            value = 0.5 + draw.rand(*weight.shape)
        elif len(weight.shape) > 1:
            value = draw.standard_normal(weight.shape) * math.sqrt(2 / math.prod(weight.shape[:-1]))
        else:
            value = 0.1 * draw.standard_normal(weight.shape) + (weight.name == "gamma")
        weight.assign(value)
    return model


def small(variant="S3D", **settings):
    return s3d(**{"input_shape": (*ANY, 3), "classes": 5, "depth_multiplier": 0.1, **settings}, variant=variant)


@pytest.fixture(scope="module")
def narrow():
    """{variant: a narrow model that takes any size}."""
    return {variant: randomise(small(variant)) for variant in VARIANTS}


def part(model, *names):
    """A function from a clip to what these layers make of it, in an array each, or the array if it is one."""
    layers = keras.Model(model.input, [model.get_layer(name).output for name in names])
    if len(names) == 1:
        return lambda clip: np.asarray(keras.tree.flatten(layers(clip, training=False))[0])
    return lambda clip: [np.asarray(value) for value in layers(clip, training=False)]


# Of all networks `test_contract.py` asks for any size, for the answer at a fixed one, and for what is left optimised.
IN_CONTRACT = ("S3D", "S3DG")


def slow_if_in_contract(variants):
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in IN_CONTRACT)) for name in variants]


@pytest.mark.parametrize("variant", slow_if_in_contract(VARIANTS))
def test_any_size_and_the_time_steps_of_it(variant, narrow):
    least = fewest_frames(variant)
    parts = part(narrow[variant], "Mixed_5c", HEAD, "Logits", "Predictions")
    for size in ((least, 32, 32), (least + 7, 64, 40), (least + 3, 33, 47)):
        clip = synthetic.clip((2, *size, 3), 5)
        features, rows, logits, scores = parts(clip)
        assert features.shape[1] == time_steps(size[0], variant)
        assert rows.shape[1] == features.shape[1] - VARIANTS[variant].window_steps + 1
        np.testing.assert_allclose(rows.mean(axis=(1, 2, 3)), logits, rtol=1e-4, atol=1e-5)
    fixed = small(variant, input_shape=(*size, 3))
    fixed.set_weights(narrow[variant].get_weights())
    np.testing.assert_allclose(fixed(clip), scores, rtol=1e-5)
    if least > 1:
        with pytest.raises(ValueError, match=f"at least {least} frames; received {least - 1}"):
            narrow[variant](synthetic.clip((1, least - 1, 32, 32, 3), 5))
    shortest = small(variant, include_top=False)(synthetic.clip((1, fewest_frames(variant, False), 32, 32, 3), 5))
    assert shortest.shape[1:4] == (1, 1, 1)


def test_frames_that_a_step_depends_on(narrow):
    features = part(narrow["S3D"], "Mixed_5c")
    clip = synthetic.clip((1, 160, 32, 32, 3), 5)
    before, first, last = features(clip)[0, 8], 8 * STEP - 47, 8 * STEP + 51
    assert last - first + 1 == RECEPTIVE_FRAMES
    for frame, seen in ((first - 1, False), (first, True), (last, True), (last + 1, False)):
        changed = clip.copy()
        changed[:, frame] *= -10
        assert (features(changed)[0, 8] != before).any() == seen, frame


# (variant, frames of the video, frames of the chunk): the chunk as long as the video modulo 8 where SAME needs it.
@pytest.mark.parametrize(
    ("variant", "total", "length"),
    [
        ("S3D", 203, 150),
        ("S3D", 200, 149),
        ("S3D-kylemin", 197, 144),
        ("S3D-slim", 203, 147),
        (dataclasses.replace(garden, gates=()), 203, 147),
        (dataclasses.replace(milnce, gates=()), 197, 149),
    ],
)
def test_rows_of_a_chunk_are_those_of_the_single_pass(variant, total, length):
    rows = part(randomise(small(variant)), HEAD)
    video, start = synthetic.clip((1, total, 32, 32, 3), 5), 3 * STEP
    whole, chunk = (rows(x)[0].mean(axis=(1, 2)) for x in (video, video[:, start : start + length]))
    inner = slice(HALO, len(chunk) - HALO)
    assert len(chunk[inner]) > 2
    whole = whole[start // STEP :][: len(chunk)]
    np.testing.assert_allclose(chunk[inner], whole[inner], rtol=1e-4, atol=1e-5 * abs(whole).max())
    assert not np.allclose(chunk[:2], whole[:2], rtol=1e-3)


@pytest.mark.parametrize("variant", ["S3D", "S3DG-garden"])
def test_nothing_but_a_cut_is_needed_above_it(variant, narrow):
    model, clip = narrow[variant], synthetic.clip((1, 16, 32, 32, 3), 5)
    assert len(inception.cuts()) == 11
    ends = [model.input, *(model.get_layer(name).output for name in inception.cuts()), model.output]
    x = clip
    for start, end in zip(ends, ends[1:]):
        x = keras.Model(start, end)(x)
    np.testing.assert_allclose(x, model(clip), rtol=1e-5)


@pytest.mark.parametrize("variant", slow_if_in_contract(["S3D-slim", "S3DG", "S3DG-garden", "S3DG-milnce"]))
def test_optimised_and_saved(variant, narrow, tmp_path):
    """Nothing but convolutions, pools and gates is left: also a temporal one without batch norm takes its ReLU in."""
    clip = synthetic.clip((1, 20, 48, 40, 3), 5)
    model = narrow[variant]
    logits = part(model, "Logits")(clip)
    fast = optimize_for_inference(model)
    assert goldens.relative(part(fast, "Logits")(clip), logits) < 1e-4
    assert not [each for each in fast.layers if isinstance(each, keras.layers.ReLU | keras.layers.BatchNormalization)]
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(clip), model(clip))


# As in test_contract.py: each of some 30 layers in a row rounds twice, by at most 2^-9 of the value.
def test_mixed_precision_keeps_the_head_in_float32(narrow):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small("S3DG")
    finally:
        keras.config.set_dtype_policy(before)
    model.set_weights(narrow["S3DG"].get_weights())
    assert model.get_layer("Mixed_5c").compute_dtype == "bfloat16"
    assert {model.get_layer(name).compute_dtype for name in (HEAD, "Logits", "Predictions")} == {"float32"}
    clip = synthetic.clip((1, 16, 64, 64, 3), 1)
    assert goldens.relative(part(model, "Logits")(clip), part(narrow["S3DG"], "Logits")(clip)) < 60 * 2**-9


@pytest.mark.parametrize(("pooling", "shape"), [(None, (1, 2, 2, 2, 102)), ("avg", (1, 102)), ("max", (1, 102))])
def test_without_top(pooling, shape):
    model = small(include_top=False, pooling=pooling, stream="flow", input_shape=(*ANY, 2))
    assert model(synthetic.clip((1, 16, 64, 64, 2), 5)).shape == shape
    assert model.name == "s3d_flow"


def test_head_pool_of_the_whole_map():
    x = np.random.RandomState(0).rand(2, 3, 5, 8, 4).astype("float32")
    pairs = (x[:, 1:] + x[:, :-1]) / 2
    for steps, expected in ((1, x), (2, pairs)):
        pool = HeadPool(None, steps)
        np.testing.assert_allclose(pool(x), expected.mean(axis=(2, 3), keepdims=True), rtol=1e-6)
        assert pool.compute_output_shape((2, 3, None, 8, 4)) == (2, 4 - steps, 1, 1, 4)
        assert HeadPool.from_config(pool.get_config()).steps == steps


def test_an_embedding_has_no_softmax():
    """Of 512 values, as its weights are; a head of a user's own classes ends in a softmax, as all do."""
    settings = {"input_shape": (*ANY, 3), "depth_multiplier": 0.1}
    model = builders.build("S3DG", variant="milnce", **settings)
    values, scores = part(model, "Logits", "Predictions")(synthetic.clip((1, 8, 32, 32, 3), 5))
    assert values.shape == (1, 512)
    np.testing.assert_array_equal(values, scores)
    scores = part(builders.build("S3DG", variant="milnce", classes=7, **settings), "Predictions")
    np.testing.assert_allclose(scores(synthetic.clip((1, 8, 32, 32, 3), 5)).sum(), 1, rtol=1e-5)


def test_a_variant_that_contradicts_its_weights(tmp_path):
    settings = {"input_shape": (*ANY, 3), "depth_multiplier": 0.1}
    path = tmp_path / "s3d.weights.h5"
    model = builders.build("S3D", variant="kylemin", **settings)
    h5_files.save_h5(model, path, **Facts("rgb", 400, None, "softmax", 0.1, family="S3D-kylemin").record())
    assert families.of(builders.build("S3D", variant=None, weights=path, **settings)).name == "S3D-kylemin"
    with pytest.raises(WeightsError, match="S3D-kylemin, S3D.variant='kylemin'.. Received: S3D.variant='slim'."):
        builders.build("S3D", variant="slim", weights=path, **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "pytorch"}, 'one of "S3D", "S3D-kylemin", .*"S3DG-milnce". Received: .*pytorch'),
        ({"input_shape": (12, 224, 224, 3)}, "S3D takes clips of at least 13 frames.*12 frames"),
        ({"input_shape": (8, 224, 224, 3), "variant": "S3D-slim"}, "S3D-slim takes clips of at least 9 frames"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        s3d(**arguments)
