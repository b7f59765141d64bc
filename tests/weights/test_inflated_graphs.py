"""2D graphs inflated over time: gluon-cv's own inflation, and videos of one image through real keras.applications."""

import json

import keras
import numpy as np
import pytest
from made import ROOT, drawn, goldens

from keras_i3d import builders
from keras_i3d.errors import WeightsError
from keras_i3d.models import families, resnet
from keras_i3d.weights import by_name, inflated_graphs, inflation
from keras_i3d.weights.originals import original
from keras_i3d.weights.originals.catalogue import ORIGINALS

ANY = (None, None, None, 3)


@pytest.fixture(scope="module")
def resnet50():
    """`keras.applications.ResNet50` for images of any size, without its top."""
    return drawn.seeded(keras.applications.ResNet50(weights=None, include_top=False, input_shape=(None, None, 3)))


# Against gluon-cv's own


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gluon_i3d_resnet50", "gluon_i3d_nl5_resnet50", "gluon_i3d_resnet101"])
def test_gluons_own_inflation(name):
    """Of its 2D network, whose class layer is left out; the rest is seeded by its 3D names."""
    golden = goldens.case(f"{name}_inflated")
    arrays = goldens.arrays(golden)
    known, drawn, facts = original.find(arrays, ORIGINALS, name)
    row = families.find(known.family)
    model = row.build(input_shape=ANY, classes=facts.classes)
    by_name.assign(model, drawn, name)
    flat = goldens.arrays({**golden, "variables": golden["variables_2d"]})
    assert inflation.inflate(flat, model) is model

    own = {known.place(name): name for name in golden["inflated_l2"]}
    assert len(own) in (17, 34)
    for (layer, _), variable in own.items():
        found = np.linalg.norm(np.float64(model.get_layer(layer).kernel))
        assert found == pytest.approx(golden["inflated_l2"][variable], rel=1e-6)
    ours = {layer for layer in drawn if "_nonlocal_" in layer or layer == row.head}
    for layer in ours:  # which have no 2D counterpart
        np.testing.assert_array_equal(model.get_layer(layer).get_weights()[0], drawn[layer][0])
    blocks = {f"res_layers.{i}.0": f"res{i + 2}_0" for i in range(4)}
    goldens.check(model, golden, blocks)


def test_names_of_torchvision_and_gluon_are_read_alike():
    golden = json.loads((ROOT / "tests/goldens/family/gluon_i3d_resnet50_inflated.json").read_text())
    flat = {name: np.zeros(shape, "float32") for name, shape in golden["variables_2d"].items()}
    as_torch = {name.replace("gamma", "weight").replace("beta", "bias"): value for name, value in flat.items()}
    as_torch["bn1.num_batches_tracked"] = np.int64(0)
    row = families.find("I3DResNet50")
    shapes = [
        {layer: [array.shape for array in arrays] for layer, arrays in inflated_graphs.read_resnet(each, row).items()}
        for each in (flat, as_torch)
    ]
    assert shapes[0] == shapes[1] == row.layout(include_top=False)
    with pytest.raises(WeightsError, match="is not the 2D network of I3DResNet50, which differ in res2_0_branch1_conv"):
        inflated_graphs.read_resnet({k: v for k, v in flat.items() if "layer1.0.downsample.0" not in k}, row)
    with pytest.raises(WeightsError, match=r"no ResNet-50, which has no layer5\.0\.conv1\.weight"):
        inflated_graphs.read_resnet(flat | {"layer5.0.conv1.weight": np.zeros(1)}, row)
    with pytest.raises(WeightsError, match=r"the 2D network: conv1_conv_3d/kernel inflated is \(5, 7, 7, 3, 32\)"):
        inflated_graphs.read_resnet(flat | {"conv1.weight": flat["conv1.weight"][:32]}, row)


# keras.applications


def test_a_boring_video_is_keras_applications_resnet50(resnet50):
    """At the middle step, endpoint by endpoint: the strides, the biases and the channels are right."""
    row = families.find("I3DResNet50-keras")
    model = inflation.inflate(resnet50, row.build(include_top=False, input_shape=ANY))
    levels = np.random.default_rng(1).uniform(0, 255, (64, 64, 3)).astype("float32")
    mean, deviation = (np.float32(values) for values in (row.clips["rgb"].mean, row.clips["rgb"].std))
    image = (levels / 255 - mean) / deviation
    names = {"conv1_relu": "conv1", "pool1_pool": "pool1"}
    names |= {f"conv{i}_block{n}_out": f"res{i}_{n - 1}" for i, n in ((2, 1), (2, 3), (3, 1), (4, 6), (5, 3))}
    flat = keras.Model(resnet50.input, {ours: resnet50.get_layer(name).output for name, ours in names.items()})
    wanted = flat(keras.applications.resnet.preprocess_input(levels[None].copy()), training=False)
    reference = {name: np.asarray(value)[0] for name, value in wanted.items()}
    _, before, after = resnet.reach("keras")
    assert before + after < 38
    errors = inflation.boring_video_error(model, image, frames=40, reference=reference)
    assert set(errors) == set(reference)
    assert max(errors.values()) < 1e-5
    assert inflation.boring_video_error(model, image, frames=8, reference=reference)["res5_2"] > 1e-3


@pytest.mark.slow
def test_a_boring_video_is_keras_applications_resnet101():
    flat = drawn.seeded(keras.applications.ResNet101(weights=None, include_top=False, input_shape=(None, None, 3)))
    row = families.find("I3DResNet101-keras")
    model = inflation.inflate(flat, row.build(include_top=False, input_shape=ANY))
    image = np.random.default_rng(1).uniform(-100, 100, (32, 32, 3)).astype("float32")
    reference = {"res5_2": np.asarray(flat(image[None, :, :, ::-1], training=False))[0]}
    assert inflation.boring_video_error(model, image, frames=80, reference=reference)["res5_2"] < 1e-5


def test_imagenet_by_name(resnet50, monkeypatch, capsys):
    """`weights="imagenet"` is what keras.applications has, with a new head; Keras downloads it."""
    asked = []
    monkeypatch.setattr(keras.applications, "ResNet50", lambda **settings: asked.append(settings) or resnet50)
    model = builders.build("I3DResNet50", weights="imagenet", input_shape=ANY, classes=7, variant=None)
    assert asked == [{"weights": "imagenet", "include_top": False}]
    assert families.of(model).name == "I3DResNet50-keras"
    said = capsys.readouterr().err
    assert "imagenet is of I3DResNet50-keras, which is built" in said
    assert "the head for 7 classes is new and must be trained" in said
    kernel = resnet50.get_layer("conv3_block1_2_conv").get_weights()[0]
    np.testing.assert_array_equal(model.get_layer("res3_0_branch2b_conv_3d").get_weights()[0][0], kernel)


def test_a_network_that_is_strided_elsewhere_is_refused(resnet50):
    model = families.find("I3DResNet50").build(include_top=False, input_shape=ANY)
    first = model.get_layer("conv1_conv_3d").get_weights()[0]
    with pytest.raises(WeightsError, match="in the 1 x 1 .*I3DResNet50 is not. Build .* I3DResNet50.variant='keras'"):
        inflation.inflate(resnet50, model)
    np.testing.assert_array_equal(model.get_layer("conv1_conv_3d").get_weights()[0], first)
    with pytest.raises(WeightsError, match="in the 3 x 3 convolution.*as I3DResNet50.variant='slowfast'"):
        inflated_graphs.read_resnet({"conv1.weight": first}, families.find("I3DResNet50-keras"))
    with pytest.raises(WeightsError, match="goes into I3DResNet50 or I3DResNet101. Received: I3D$"):
        inflated_graphs.read_resnet(resnet50, families.find("I3D"))
    flat = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    with pytest.raises(WeightsError, match="is no ResNet of keras.applications: block1_conv1"):
        inflated_graphs.read_resnet(flat, families.find("I3DResNet50-keras"))
    with pytest.raises(ValueError, match="fills a model that this package made. Received: vgg16"):
        inflation.inflate(resnet50, flat)


def middle(model, image, frames):
    """What a 3D graph gives at the middle step of a video of one image."""
    value = np.asarray(model(np.broadcast_to(image, (1, frames, *image.shape)), training=False))
    return value[0, value.shape[1] // 2]


def test_vgg16_inflated():
    flat = drawn.seeded(keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 48, 3)))
    model = inflated_graphs.inflate_graph(flat)
    assert (model.input_shape, model.output_shape) == ((None, None, 32, 48, 3), (None, None, 1, 1, 512))
    assert [layer.name for layer in model.layers] == [layer.name for layer in flat.layers]
    assert model.get_layer("block1_conv1").kernel.shape == (3, 3, 3, 3, 64)
    image = np.random.default_rng(2).uniform(-100, 100, (32, 48, 3)).astype("float32")
    wanted = np.asarray(flat(image[None]))[0]
    assert goldens.relative(middle(model, image, 27), wanted) < 1e-5  # 13 convolutions of 3 frames
    assert goldens.relative(middle(model, image, 9), wanted) > 1e-3


def test_any_plain_graph_inflated(resnet50):
    """Strides, padding layers, batch norm, 1 x 1 convolutions that stay within a frame, and a pool at the end."""
    flat = keras.Model(
        resnet50.input, keras.layers.GlobalAveragePooling2D()(resnet50.get_layer("conv3_block1_out").output)
    )
    model = inflated_graphs.inflate_graph(flat)
    assert model.get_layer("conv1_conv").kernel_size == (3, 7, 7)
    assert model.get_layer("conv2_block1_1_conv").kernel_size == (1, 1, 1)
    image = np.random.default_rng(3).uniform(-1, 1, (40, 36, 3)).astype("float32")
    body = keras.Model(model.input, model.get_layer("conv3_block1_out").output)
    wanted = np.asarray(keras.Model(flat.input, flat.get_layer("conv3_block1_out").output)(image[None]))[0]
    assert goldens.relative(middle(body, image, 11), wanted) < 1e-5
    pooled = np.asarray(inflated_graphs.inflate_graph(flat, kernel_frames=1)(image[None, None]))[0]
    assert goldens.relative(pooled, np.asarray(flat(image[None]))[0]) < 1e-5


def test_graphs_without_a_counterpart_are_refused():
    top = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=3)
    with pytest.raises(
        ValueError, match=r"Received: flatten \(Flatten\)\. Build the 2D network with include_top=False"
    ):
        inflated_graphs.inflate_graph(top)
    separable = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"conv_dw_1 \(DepthwiseConv2D\).* and 7 more\.$"):
        inflated_graphs.inflate_graph(separable)
    with pytest.raises(ValueError, match="kernel_frames must be odd and at least 1. Received: kernel_frames=4"):
        inflated_graphs.inflate_graph(separable, kernel_frames=4)
    with pytest.raises(ValueError, match="a functional keras.Model of one image. Received: <Sequential"):
        inflated_graphs.inflate_graph(keras.Sequential([keras.layers.Conv2D(1, 3)]))
