"""Inception I3D in other codes, and the names by which files of the Inception networks are told apart."""

import dataclasses
import functools

import numpy as np
import pytest
from made import goldens

from keras_i3d.errors import WeightsError
from keras_i3d.models import families
from keras_i3d.models.inception import HEAD, LAYERS, inception_i3d
from keras_i3d.models.s3d import VARIANTS, s3d
from keras_i3d.weights import by_name
from keras_i3d.weights.originals import inceptions, original
from keras_i3d.weights.originals.catalogue import ORIGINALS
from keras_i3d.weights.originals.inceptions import place

# name of a golden: words of the Original that reads it.
PORTS = {
    "slim_i3d": "TF-Slim",
    "slim_i3d_odd": "TF-Slim",
    "piergiaj_i3d": "piergiaj",
    "piergiaj_i3d_odd": "piergiaj",
    "piergiaj_i3d_flow": "piergiaj",
    "hassony2_i3d": "hassony2",
    # Of an odd number of frames. Its sides are multiples of 16, as all that this code gives DeepMind's numbers for.
    "hassony2_i3d_odd": "hassony2",
    "hassony2_i3d_flow": "hassony2",
}
QUICK = {"slim_i3d_odd", "piergiaj_i3d_odd", "hassony2_i3d_flow"}
NAMES = [row[0] for row in LAYERS]


def layer_of(endpoint):
    """Our layer of an endpoint of a port."""
    units = {"b1b": "Branch_1_Conv3d_0b_3x3", "b3a": "Branch_3_MaxPool3d_0a_3x3"}
    others = {"avg_pool": "Logits_AvgPool3d_0a_7x7", "conv3d_0c_1x1": HEAD}
    path = endpoint.removeprefix("op:InceptionV1/InceptionV1/").removesuffix("/Relu").removesuffix("/concat")
    path = path.replace("Conv2d", "Conv3d").replace("MaxPool_", "MaxPool3d_").replace("/", "_")
    block, _, unit = path.partition(".")
    return others.get(path) or "_".join(filter(None, (block[0].upper() + block[1:], units.get(unit))))


@pytest.mark.parametrize(
    "name", [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in PORTS]
)
def test_a_port_computes_what_i3d_does(name):
    case = goldens.case(name)
    stream = "flow" if name.endswith("flow") else "rgb"
    found, weights, facts = original.find(goldens.arrays(case), ORIGINALS, f"{name}.pt")
    assert (found.name, facts.family, facts.stream, facts.classes) == (PORTS[name], "I3D", stream, 400)
    model = inception_i3d(input_shape=(None, None, None, {"rgb": 3, "flow": 2}[stream]), stream=stream)
    by_name.assign(model, weights, name)
    logits = "Logits"
    if "logits_shape" in case:  # (1, classes, steps): this port leaves the mean over time to its user
        rows = np.reshape(case["logits"], case["logits_shape"][1:]).T[:, None, None].tolist()
        case, logits = {**case, "logits": rows}, HEAD
    goldens.check(model, case, {endpoint: layer_of(endpoint) for endpoint in case["endpoints"]}, logits)


def test_a_scale_is_folded_into_the_convolution():
    """As the ports' files have it, whose scale is 1 in those that were published: here it is not."""
    draw = np.random.default_rng(0)
    values = {
        ("a_conv_3d", "kernel"): draw.random((3, 1, 1, 2, 4)),
        ("b_conv_3d", "kernel"): draw.random((1, 1, 1, 4, 2)),
    }
    norm = {name: draw.random(4) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    values |= {("a_batch_norm", name): value for name, value in norm.items()}
    found = inceptions.folded(values)
    assert set(found) == {*values} - {("a_batch_norm", "gamma")}
    np.testing.assert_allclose(found["a_conv_3d", "kernel"], values["a_conv_3d", "kernel"] * norm["gamma"])
    np.testing.assert_allclose(found["a_batch_norm", "moving_mean"], norm["moving_mean"] * norm["gamma"])
    for kept in (("b_conv_3d", "kernel"), ("a_batch_norm", "beta"), ("a_batch_norm", "moving_variance")):
        assert found[kept] is values[kept]


def renamed(name, change):
    """The variables of a golden under other names, as zeros."""
    shapes = goldens.case(name)["variables"]
    return {change(each): np.zeros(shape, "float32") for each, shape in shapes.items()}


@functools.cache
def plain(name):
    return renamed(name, str)


def test_charades():
    arrays = dict(plain("piergiaj_i3d"))
    arrays["logits.conv3d.weight"] = np.zeros((157, 1024, 1, 1, 1), "float32")
    arrays["logits.conv3d.bias"] = np.zeros(157, "float32")
    facts = original.find(arrays, ORIGINALS, "models/rgb_charades.pt")[2]
    assert (facts.classes, facts.activation) == (157, "sigmoid")


def test_the_embedding_of_milnce_and_its_text_module():
    arrays = dict(plain("milnce_s3dg"))
    arrays |= {f"text_module.{name}": np.zeros(3) for name in ("word_embd.weight", "fc1.weight", "fc2.bias")}
    facts = original.find(arrays, ORIGINALS, "s3d_howto100m.pth")[2]
    assert (facts.family, facts.classes, facts.activation) == ("S3DG-milnce", 512, "linear")
    with pytest.raises(WeightsError, match="which has no audio_module.weight"):
        original.find(arrays | {"audio_module.weight": np.zeros(3)}, ORIGINALS, "s3d_howto100m.pth")


@pytest.mark.parametrize("name", ["torchvision_s3d", "kylemin_s3d", "milnce_s3dg", "piergiaj_i3d", "hassony2_i3d"])
def test_a_model_that_was_trained_in_parallel(name):
    alone = original.find(plain(name), ORIGINALS, "a.pth")
    wrapped = original.find(renamed(name, "module.{}".format), ORIGINALS, "a.pth")
    assert alone[0] is wrapped[0]
    assert set(alone[1]) == set(wrapped[1])


@pytest.mark.parametrize(("name", "row"), [("slim_s3d", "S3D-slim"), ("slim_s3dg", "S3DG"), ("slim_i3d", "I3D")])
@pytest.mark.parametrize("scope", ["InceptionV1", "", "RGB/InceptionV1", "Flow/a/b"])
def test_a_scope_and_an_optimizer_of_tensorflow(name, row, scope):
    arrays = renamed(name, lambda each: "/".join(filter(None, (scope, each.removeprefix("InceptionV1/")))))
    slots = {f"{each}/{slot}": value for each, value in arrays.items() for slot in ("Momentum", "RMSProp_1")}
    slots |= {f"{each}/ExponentialMovingAverage": value for each, value in arrays.items()}
    assert original.find(arrays | slots | {"global_step": np.int64(7)}, ORIGINALS, "model.ckpt")[0].family == row
    wrong = f"{scope}/Mixed_3b/Branch_4/Conv2d_0a_1x1/weights".lstrip("/")
    with pytest.raises(WeightsError, match=rf"which has no {wrong}|belong to no layer: {wrong}"):
        original.find(arrays | {wrong: np.zeros(3)}, ORIGINALS, "model.ckpt")


def test_the_2d_network_of_tf_slim_is_not_i3d():
    slim = next(each for each in ORIGINALS if (each.name, each.family) == ("TF-Slim", "I3D"))
    assert slim.place("InceptionV1/Mixed_5b/Branch_2/Conv2d_0a_3x3/weights") is None
    assert slim.place("InceptionV1/Mixed_5b/Branch_2/Conv2d_0b_3x3/weights") == (
        "Mixed_5b_Branch_2_Conv3d_0a_3x3_conv_3d",
        "kernel",
    )
    assert slim.place("InceptionV1/Mixed_5b/Branch_2/Conv2d_0b_3x3/temporal/weights") is None


def graph_names(kind, backbone):
    """The names of a Model Garden's checkpoint, without its class layer: the way through the objects that it saves."""
    norms = ("beta", "moving_mean", "moving_variance")
    pair = ["{}/kernel", *(f"{{}}/{weight}" for weight in norms)]

    def unit(numbers=(0, 1)):
        return [template.format(numbers[i > 0]) for i, template in enumerate(pair)]

    parted = [f"_parameterized_conv_layers/{name}" for name in (*unit(), *unit((3, 4)))]
    gate = ["_transformer_w/kernel", "_transformer_w/bias"]
    names = [*unit((0, 1)), *unit((2, 3)), *(f"4/{name}" for name in parted)]
    names += [f"5/{name}" for name in gate]
    for number in range(6, 15):
        lists = [(branch, name) for branch in (0, 1, 2) for name in unit()]
        lists += [(branch, f"3/{name}") for branch in (1, 2) for name in parted]
        lists += [(3, name) for name in unit((0, 1) if kind.pool_last else (1, 2))]
        ends = (3, 4, 4, 4)
        if "branch" in kind.gates:
            lists += [(branch, f"{ends[branch]}/{name}") for branch in range(4) for name in gate]
        names += [f"{number}/_branch_{branch}_layers/{name}" for branch, name in lists]
        names += [f"{number}/cell_self_gating/{name}" for name in gate if "cell" in kind.gates]
    return [f"{backbone}/layer_with_weights-{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in names]


@pytest.mark.parametrize("backbone", ["backbone", "model/layer_with_weights-0"])
@pytest.mark.parametrize("changes", [{}, {"gates": ("branch",), "pool_last": False}, {"gates": ("branch", "cell")}])
def test_the_object_graph_of_the_model_garden(backbone, changes):
    kind = dataclasses.replace(VARIANTS["S3DG-garden"], **changes)
    names = graph_names(kind, backbone)
    top = ["model/layer_with_weights-1/kernel", "model/layer_with_weights-1/bias"]
    names += [f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in top]
    find = inceptions.garden(kind)
    row = dataclasses.replace(families.find("S3DG"), builder=functools.partial(s3d, variant=kind))
    assert sorted(map(find, names)) == sorted(row.variables())
    beside = ("global_step", "save_counter", "optimizer/_variables/1", "optimizer/_learning_rate")
    garden = next(each for each in ORIGINALS if each.family == "S3DG-garden")
    assert garden.placed([f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in beside]) == ({}, [])
    for stranger in (
        f"{backbone}/layer_with_weights-15/kernel",
        f"{backbone}/layer_with_weights-6/_branch_1_layers/2/kernel",
    ):
        assert find(f"{stranger}/.ATTRIBUTES/VARIABLE_VALUE") is None


def test_the_first_half_of_a_parted_convolution():
    """Its kernel in time is 1, which the name of a variable says by its number among the layers of an object."""
    find = inceptions.garden(dataclasses.replace(VARIANTS["S3DG-garden"], temporal_first=True))
    name = "backbone/layer_with_weights-4/_parameterized_conv_layers/{}/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert find(name.format(0)) == place("Conv3d_2c_3x3", half="temporal")
    assert find(name.format(3)) == place("Conv3d_2c_3x3", half="spatial")


def test_names_of_nobody():
    """Of other networks' files: no map takes them, and none fails."""
    names = ["", ".", "conv1.weight", "features.99.0.weight", "features.5.branch1.0.0.0.0.weight", "base.5.branch0.0.w"]
    names += ["mixed_3b.conv_b1_a.conv2.weight", "mixed_9z.conv_b0.conv1.weight", "Mixed_3b.b9.bn.weight"]
    names += [
        "mixed_3b.branch_9.0.conv3d.bias",
        "Mixed_3b/Branch_1/weights",
        "Conv2d_9x_3x3/weights",
        "Logits/a/b/weights",
    ]
    for each in inceptions.ORIGINALS:
        places = {at for name in names if (at := each.place(name))}
        assert not places & set(families.find(each.family).variables()), each


def test_every_weight_of_a_row_has_one_name():
    """A place for each variable of a golden, and each variable of the row in one of them."""
    for name in (
        "torchvision_s3d",
        "kylemin_s3d",
        "milnce_s3dg",
        "slim_s3d",
        "slim_s3dg",
        "modelgarden_s3d",
        "slim_i3d",
    ):
        fitting = [each for each in ORIGINALS if not each.placed(goldens.case(name)["variables"])[1]]
        row = families.find(fitting[0].family)
        places = fitting[0].placed(goldens.case(name)["variables"])[0]
        assert sorted(places.values()) == sorted(row.variables(classes=row.classes)), name
