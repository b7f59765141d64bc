"""I3D-ResNets: each row against what its original computes, read through the maps that read its files."""

import dataclasses
import math
import re

import keras
import numpy as np
import pytest
from made import goldens, synthetic

from keras_i3d.models import families, resnet
from keras_i3d.models.blocks import HeadPool
from keras_i3d.models.nonlocal_block import MODES, NonLocal, WeighedMean, nonlocal_block
from keras_i3d.precision import policy
from keras_i3d.weights import by_name
from keras_i3d.weights.originals import original
from keras_i3d.weights.originals.catalogue import ORIGINALS
from keras_i3d.weights.originals.resnets import CAFFE2, GLUON, SLOWFAST

ANY = (None, None, None, 3)

# name of a golden: the row that it is of, and how far from it we may be if that is more than usual. Of the dot product,
# the original itself is 2e-5 from float64, because there is no softmax to bound what it multiplies.
GOLDENS = {
    "pytorchvideo_i3d_r50_8x8": "I3DResNet50",
    "pytorchvideo_i3d_r50_8x8_odd": "I3DResNet50",
    "slowfast_i3d_r50_8x8": "I3DResNet50",
    "slowfast_i3d_r50_8x8_wide": "I3DResNet50",
    "slowfast_i3d_nln_r50_8x8": "I3DResNet50-nl5",
    "slowfast_i3d_nln_r50_8x8_wide": "I3DResNet50-nl5",
    "tusharn_i3res50": "I3DResNet50-nonlocal",
    "tusharn_i3res50_odd": "I3DResNet50-nonlocal",
    "tusharn_i3res50_nl": "I3DResNet50-nonlocal-nl5",
    "tusharn_i3res50_nl_odd": "I3DResNet50-nonlocal-nl5",
    "gluon_i3d_resnet50": "I3DResNet50-gluon",
    "gluon_i3d_resnet50_odd": "I3DResNet50-gluon",
    "gluon_i3d_nl5_resnet50": "I3DResNet50-gluon-nl5",
    "gluon_i3d_nl5_resnet50_odd": "I3DResNet50-gluon-nl5",
    "gluon_i3d_nl10_resnet50": "I3DResNet50-gluon-nl10",
    "gluon_i3d_resnet101": "I3DResNet101-gluon",
    "gluon_i3d_nl5_resnet101": "I3DResNet101-gluon-nl5",
    "mmaction2_i3d_r50": "I3DResNet50-mmaction2",
    "mmaction2_i3d_r50_odd": "I3DResNet50-mmaction2",
    "mmaction2_i3d_r50_heavy": "I3DResNet50-mmaction2-heavy",
    "mmaction2_i3d_r50_nl_embedded_gaussian": "I3DResNet50-mmaction2-nl5",
    "mmaction2_i3d_r50_nl_embedded_gaussian_odd": "I3DResNet50-mmaction2-nl5",
    "mmaction2_i3d_r50_nl_dot_product": "I3DResNet50-mmaction2-nl5-dot",
    "mmaction2_i3d_r50_nl_dot_product_odd": "I3DResNet50-mmaction2-nl5-dot",
}
QUICK = ("slowfast_i3d_nln_r50_8x8_wide", "mmaction2_i3d_r50_nl_embedded_gaussian_odd")

# Endpoints that are no layer with weights and no block.
OUTPUTS = {
    "first_stage.2": "conv1",
    "first_stage.3": "pool1",
    "s1.pathway0_stem": "pool1",
    "blocks.0": "pool1",
    "maxpool1": "pool1",
    "backbone.conv1": "conv1",
    "backbone.maxpool": "pool1",
    "pool2": "pool2",
    "pathway0_pool": "pool2",
    "blocks.2": "pool2",
    "maxpool2": "pool2",
    "backbone.pool2": "pool2",
    "head.pathway0_avgpool": "Logits_AvgPool3d_0a_7x7",
    "blocks.6.pool": "Logits_AvgPool3d_0a_7x7",
}
MEANS = ("st_avg", "avgpool")  # over time as well, which we take after the last layer: it is linear
BLOCK = r"res_layers\.\d\.\d+|s\d\.pathway0_(?:res|nonlocal)\d+|blocks\.\d\.res_blocks\.\d+|(?:backbone\.)?layer\d\.\d+"


def layer_of(endpoint, known, names):
    """The layer whose output an original's endpoint is.

    Args:
        endpoint: its name there.
        known: the Original.
        names: of the model's layers.
    """
    if endpoint in OUTPUTS:
        return OUTPUTS[endpoint]
    if match := re.fullmatch(rf"({BLOCK})(\.nl\.maxpool|\.pool|\.non_local_block)?", endpoint):
        module, rest = match.groups()
        first = {"backbone": ".conv1.conv.weight", "s": ".branch2.a.weight", "b": ".branch2.conv_a.weight"}
        if "_nonlocal" in module:
            block = known.place(f"{module}.conv_theta.weight")[0].removesuffix("_theta_conv_3d")
            return f"{block}_pool" if rest else block
        leaf = next((leaf for start, leaf in first.items() if module.startswith(start)), ".conv1.weight")
        block = known.place(module + leaf)[0].removesuffix("_branch2a_conv_3d")
        if rest and "pool" in rest:
            return f"{block}_nonlocal_pool"
        # PySlowFast's non-local blocks are modules of their own, those of the others the last part of a block.
        inside = f"{block}_nonlocal" in names and not module.startswith("s")
        return f"{block}_nonlocal" if inside else block
    leaves = ("weight", "1.weight", "bn.weight", "conv.weight", "0.conv.weight")
    layer = next(at[0] for at in (known.place(f"{endpoint}.{leaf}") for leaf in leaves) if at)
    if known.name == "mmaction2":
        if re.search(r"\.conv1$", endpoint):
            return layer.removesuffix("_batch_norm")  # its ReLU
        return layer.replace("_conv_3d", "_pool") if re.search(r"\.(phi|g)$", endpoint) else layer
    return layer


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GOLDENS]
)
def test_every_endpoint_is_the_originals(name):
    golden = goldens.case(name)
    known, weights, facts = original.find(goldens.arrays(golden), ORIGINALS, f"{name}.pth")
    assert facts.family == known.family == GOLDENS[name]
    row = families.find(known.family)
    assert row.parameters["rgb"] == golden["trainable_parameters"]
    model = row.build(input_shape=ANY, classes=facts.classes)
    by_name.assign(model, weights, name)
    names = {layer.name for layer in model.layers}
    endpoints = [endpoint for endpoint in golden["endpoints"] if endpoint not in MEANS]
    layers = {endpoint: layer_of(endpoint, known, names) for endpoint in endpoints}
    apart = golden["float32_against_float64"]
    allowed = {"endpoint": 20 * apart["worst_relative_l2"], "answer": 20 * apart["logits_relative_l2"]}
    goldens.check(
        model,
        golden,
        layers,
        endpoint=max(goldens.ENDPOINT, allowed["endpoint"]),
        answer=max(goldens.LOGITS, allowed["answer"]),
    )


# Names of files, as far as no golden has them.


def test_a_caffe2_file_is_read_as_the_network_that_its_name_says():
    """PySlowFast's .pkl files and video-nonlocal-net's share all names and shapes; their pools differ."""
    written = renamed(goldens.case("slowfast_i3d_nln_r50_8x8"), as_caffe2)
    plain, weights, _ = original.find(goldens.arrays(goldens.case("slowfast_i3d_nln_r50_8x8")), ORIGINALS, "a.pyth")
    found, same, _ = original.find(written, ORIGINALS, "I3D_NLN_8x8_R50.pkl")
    assert (plain.family, found.family) == ("I3DResNet50-nl5",) * 2
    assert list(same) == list(weights)
    for layer, arrays in weights.items():
        for array, other in zip(arrays, same[layer], strict=True):
            np.testing.assert_array_equal(array, other)
    found, *_ = original.find(written, ORIGINALS, "i3d_nonlocal_32x2_IN_pretrain_400k.pkl")
    assert (found.name, found.family) == ("video-nonlocal-net", "I3DResNet50-nonlocal-nl5")


def renamed(golden, rename):
    arrays = goldens.arrays(golden)
    written = {rename(name): array for name, array in arrays.items()}
    momenta = {f"{name}_momentum": array for name, array in written.items() if not name.endswith(("_rm", "_riv"))}
    return {**written, **momenta, "model_iter": np.int64(400_000), "lr": np.float32(0.01)}


def as_caffe2(name):
    """PySlowFast's name of a weight as Caffe2's blob."""
    module, _, leaf = name.rpartition(".")
    norm = module.endswith("bn")
    leaf = {"weight": "s" if norm else "w", "bias": "b", "running_mean": "rm", "running_var": "riv"}[leaf]
    if module.startswith("s1"):
        return f"{'res_conv1_bn' if norm else 'conv1'}_{leaf}"
    if module.startswith("head"):
        return f"pred_{leaf}"
    stage, kind, block, unit = re.fullmatch(r"s(\d)\.pathway0_(res|nonlocal)(\d+)\.(.+)", module).groups()
    if kind == "res":
        return f"res{stage}_{block}_{unit.replace('branch2.', 'branch2')}_{leaf}"
    return f"nonlocal_conv{stage}_{block}_{unit.removeprefix('conv_')}_{leaf}"


def test_what_the_names_say():
    assert CAFFE2.place(50, 5, "res2_0_branch2a_w") == ("res2_0_branch2a_conv_3d", "kernel")
    assert CAFFE2.place(50, 5, "res4_0_branch1_bn_riv") == ("res4_0_branch1_batch_norm", "moving_variance")
    assert CAFFE2.place(50, 5, "nonlocal_conv4_5_bn_s") == ("res4_5_nonlocal_out_batch_norm", "gamma")
    assert SLOWFAST.place(50, 0, "s4.pathway0_nonlocal1.conv_g.weight") is None  # the network has none
    assert SLOWFAST.place(50, 0, "s4.pathway0_res6.branch2.a.weight") is None
    assert SLOWFAST.place(101, 0, "s4.pathway0_res22.branch2.a.weight") == ("res4_22_branch2a_conv_3d", "kernel")
    assert SLOWFAST.place(50, 0, "s4.pathway0_res1.branch1.weight") is None  # no projection there
    twice = ("res_layers.0.1.bottleneck.0.weight", "res_layers.1.1.nonlocal_block.W_bn.0.weight", "head.1.bias")
    assert all(re.fullmatch(GLUON.beside, name) for name in twice)


def test_modes_that_share_all_shapes_are_told_by_the_files_name(capsys):
    arrays = goldens.arrays(goldens.case("mmaction2_i3d_r50_nl_dot_product"))
    found = {
        name: original.find(arrays, ORIGINALS, name)[0].family
        for name in ("r50-nl-dot-product_8xb8.pth", "nl_embedded_gaussian_r50.pth", "epoch_100.pth")
    }
    embedded = "I3DResNet50-mmaction2-nl5"
    assert list(found.values()) == [f"{embedded}-dot", embedded, embedded]
    assert f"epoch_100.pth may be of {embedded}-dot too" in capsys.readouterr().err


# Non-local blocks


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [NonLocal(), NonLocal("after", scale=False, bias=False), NonLocal(None)])
def test_a_non_local_block_by_the_papers_formula(mode, kind):
    x = np.float64(synthetic.clip((2, 2, 4, 6, 8), 1))
    inputs = keras.Input((None, None, None, 8))
    model = keras.Model(inputs, nonlocal_block(inputs, 4, kind, mode, name="nl", bn_momentum=0.9, epsilon=1e-5))
    np.testing.assert_array_equal(model(x), np.float32(x))  # a new one changes nothing
    draw = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(draw.uniform(0.5, 1.5, weight.shape) * (1 if "variance" in weight.name else 0.5))
    values = {(layer.name, weight.name): np.float64(weight) for layer in model.layers for weight in layer.weights}
    assert (("nl_out_conv_3d", "bias") in values) == kind.bias

    def convolution(value, part):
        kernel = values[f"nl_{part}_conv_3d", "kernel"][0, 0, 0]
        return value @ kernel + values.get((f"nl_{part}_conv_3d", "bias"), 0)

    def thinned(value):
        return value.reshape(2, 2, 2, 2, 3, 2, -1).max(axis=(3, 5))

    others = thinned(x) if kind.sub_sample == "before" else x
    gaussian = mode == "gaussian"
    theta = x if gaussian else convolution(x, "theta")
    phi, g = others if gaussian else convolution(others, "phi"), convolution(others, "g")
    if kind.sub_sample == "after":
        phi, g = thinned(phi), thinned(g)
    theta, phi, g = (value.reshape(2, -1, value.shape[-1]) for value in (theta, phi, g))
    scores = theta @ phi.transpose(0, 2, 1)
    if mode == "dot_product":
        weights = scores / phi.shape[1]
    else:
        weights = np.exp(scores / (math.sqrt(theta.shape[-1]) if kind.scale else 1))
        weights /= weights.sum(axis=-1, keepdims=True)
    y = convolution((weights @ g).reshape(2, 2, 4, 6, 4), "out")
    gamma, beta, mean, variance = (
        values["nl_out_batch_norm", name] for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    wanted = x + (y - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    assert goldens.relative(model(x), wanted) < 1e-6


def test_softmax_of_a_non_local_block_is_in_float32():
    inputs = keras.Input((2, 4, 4, 8))
    with policy("mixed_float16"):
        model = keras.Model(
            inputs, nonlocal_block(inputs, 4, NonLocal(), MODES[0], name="nl", bn_momentum=0.9, epsilon=1e-5)
        )
    assert model.get_layer("nl_mean").compute_dtype == "float32"
    assert model.get_layer("nl").compute_dtype == "float16"


def test_places_are_the_published_ones():
    for (depth, number), places in resnet.PLACES.items():
        assert sum(map(len, places.values())) == number, depth
    row = families.find("I3DResNet101-gluon-nl10")
    blocks = [name for name in row.endpoints if name.endswith("_nonlocal")]
    wanted = [f"res3_{i}" for i in range(4)] + [f"res4_{i}" for i in (2, 6, 10, 14, 18, 22)]
    assert blocks == [f"{name}_nonlocal" for name in wanted]


# What the module's tables say.


def test_endpoints_are_of_the_published_sizes():
    """At an eighth of the width."""
    model = resnet.i3d_resnet(input_shape=(8, 224, 224, 3), depth_multiplier=1 / 8)
    names = ("conv1", "pool1", "res2_2", "pool2", "res3_3", "res4_5", "res5_2")
    assert [tuple(model.get_layer(name).output.shape[1:]) for name in names] == [
        (8, 112, 112, 8),
        (8, 56, 56, 8),
        (8, 56, 56, 32),
        (4, 56, 56, 32),
        (4, 28, 28, 64),
        (4, 14, 14, 128),
        (4, 7, 7, 256),
    ]
    assert model.get_layer(resnet.HEAD).output.shape[1:] == (1, 1, 1, 400)
    wide = resnet.i3d_resnet(input_shape=(11, 256, 256, 3), depth_multiplier=1 / 8)
    assert wide.get_layer(resnet.HEAD).output.shape[1:4] == (2, 2, 2)


@pytest.mark.parametrize(
    ("variant", "fewest", "without_top", "step", "steps_of_32"),
    [
        ("slowfast", 8, 2, 2, 16),
        ("nonlocal", 7, 7, 8, 4),
        ("gluon", 5, 5, 8, 4),
        ("mmaction2", 5, 5, 8, 4),
        ("mmaction2-heavy", 2, 2, 2, 16),
        ("keras", 8, 2, 2, 16),
    ],
)
def test_frames_of_each_variant(variant, fewest, without_top, step, steps_of_32):
    assert (resnet.fewest_frames(variant), resnet.fewest_frames(variant, include_top=False)) == (fewest, without_top)
    assert (resnet.reach(variant)[0], resnet.time_steps(32, variant)) == (step, steps_of_32)


@pytest.mark.parametrize("variant", ["slowfast", "nonlocal", "gluon"])
def test_a_step_depends_on_the_frames_that_reach_says(variant):
    """By the gradient of one step of the last endpoint: all positive weights hide nothing."""
    import tensorflow as tf

    model = resnet.i3d_resnet(include_top=False, input_shape=(160, 32, 32, 3), depth_multiplier=0.05, variant=variant)
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(np.full(weight.shape, 1 / math.prod(weight.shape[:-1])))
        elif weight.name == "gamma":
            weight.assign(np.ones(weight.shape))
    step, before, after = resnet.reach(variant)
    middle = resnet.time_steps(160, variant) // 2
    # Frames that differ, or the maximum of a pool would have a gradient for one of two alone.
    x = tf.constant(np.random.default_rng(0).uniform(1, 2, (1, 160, 32, 32, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(model(x, training=False)[:, middle])
    seen = np.flatnonzero(np.abs(tape.gradient(value, x).numpy()).sum(axis=(0, 2, 3, 4)))
    assert step * middle - before <= seen[0] <= step * middle - before + step
    assert step * middle + after - step <= seen[-1] <= step * middle + after


def test_settings_of_the_originals():
    for variant, epsilon in (("slowfast", 1e-5), ("keras", 1.001e-5)):
        model = resnet.i3d_resnet(input_shape=ANY, depth_multiplier=0.05, variant=variant, non_local=5)
        norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert {(n.momentum, n.epsilon, n.scale, n.center) for n in norms} == {(0.9, epsilon, True, True)}
        zero = {layer.name for layer in norms if not np.any(layer.gamma)}
        assert len(zero) == 16 + 5
        assert all("branch2c" in name or "nonlocal" in name for name in zero)
    strided = {
        variant: [
            layer.name
            for layer in resnet.i3d_resnet(input_shape=ANY, depth_multiplier=0.05, variant=variant).layers
            if isinstance(layer, keras.layers.Conv3D) and layer.strides == (1, 2, 2) and "branch2" in layer.name
        ]
        for variant in ("slowfast", "keras")
    }
    assert strided["slowfast"] == [f"res{stage}_0_branch2b_conv_3d" for stage in (3, 4, 5)]
    assert strided["keras"] == [f"res{stage}_0_branch2a_conv_3d" for stage in (3, 4, 5)]


def test_rows():
    rows = {row.name: row for row in resnet.rows()}
    assert list(rows)[0] == "I3DResNet50"
    assert len(rows) == len(resnet.ROWS)
    assert {row.of for row in rows.values()} == {"I3DResNet50", "I3DResNet101"}
    assert rows["I3DResNet50-mmaction2-nl5-dot"].options == {
        "variant": "mmaction2",
        "non_local": 5,
        "mode": "dot_product",
    }
    clip = rows["I3DResNet50-gluon"].clips["rgb"]
    assert (clip.fps, clip.frames, clip.frame_stride, clip.short_side, clip.crop) == (30, 32, 2, 256, 224)
    assert (rows["I3DResNet50"].clips["rgb"].frames, rows["I3DResNet50"].clips["rgb"].frame_stride) == (8, 8)
    assert all((row.halo is None) == bool(row.options["non_local"]) for row in rows.values())
    known = {each.family for each in ORIGINALS if each.family.startswith("I3DResNet")}
    assert known == {name for name in rows if "-keras" not in name} - {"I3DResNet101-nl5"}  # at other places there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "torchvision"}, 'variant must be one of "slowfast".*Received: .*torchvision'),
        ({"non_local": 3}, "0, 5 or 10. Received: non_local=3"),
        ({"depth": 34}, "depth must be one of 50, 101. Received: depth=34"),
        ({"mode": "concatenation"}, "mode must be one of embedded_gaussian.*Received: mode='concatenation'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet.i3d_resnet(**arguments)


def test_a_variant_of_ones_own():
    own = dataclasses.replace(resnet.SLOWFAST, window=None, window_steps=1)
    model = resnet.i3d_resnet(input_shape=(2, 32, 32, 3), variant=own, depth_multiplier=0.05, classes=3)
    assert model.output.shape == (None, 3)


def test_the_heads_pool_over_any_number_of_steps():
    x = np.float32(np.arange(6)).reshape(1, 6, 1, 1, 1)
    for steps, wanted in ((1, [0, 1, 2, 3, 4, 5]), (2, [0.5, 1.5, 2.5, 3.5, 4.5]), (4, [1.5, 2.5, 3.5])):
        pool = HeadPool(steps=steps)
        assert np.ravel(pool(x)).tolist() == wanted
        assert pool.compute_output_shape((None, 6, 1, 1, 1))[1] == len(wanted)
        assert HeadPool.from_config(pool.get_config()).steps == steps
    with pytest.raises(ValueError, match="steps must be 1 or more. Received: steps=0"):
        HeadPool(steps=0)


def test_saved_with_its_mode(tmp_path):
    layer = WeighedMean("dot_product", scale=False)
    again = WeighedMean.from_config(layer.get_config())
    assert (again.mode, again.scale) == ("dot_product", False)
