"""Sonnet checkpoints of both layouts, inflation, and what is refused."""

import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
from made import ROOT, synthetic, tiny, torch_writer
from made.mirrors import NARROW
from made.mirrors import narrow as narrow_network
from made.tiny import i3d

import keras_i3d
from keras_i3d import WeightsError, networks
from keras_i3d.models import families
from keras_i3d.models.inception import HEAD, LAYERS
from keras_i3d.weights import by_name, h5_files, tensorflow_files
from keras_i3d.weights.conversion import convert_sonnet, convert_torch
from keras_i3d.weights.h5_files import read_h5
from keras_i3d.weights.originals import catalogue, deepmind
from keras_i3d.weights.originals.original import Original

FIRST = "Conv3d_1a_7x7_conv_3d"


@pytest.fixture(scope="module")
def image_network():
    return json.loads((ROOT / "tests/goldens/inception_v1_2d.json").read_text())


@pytest.fixture(scope="module")
def full_slim(image_network, tmp_path_factory):
    """Prefix of the seeded 2D checkpoint."""
    prefix = tmp_path_factory.mktemp("slim") / "inception_v1.ckpt"
    return synthetic.write(image_network["variables"], image_network["weights_seed"], prefix)


@pytest.fixture(scope="module")
def narrow_slim(tmp_path_factory):
    shapes = synthetic.slim_shapes(synthetic.i3d_shapes(depth_multiplier=NARROW))
    return synthetic.write(shapes, 17, tmp_path_factory.mktemp("narrow_slim") / "inception_v1.ckpt")


@pytest.fixture
def slim(narrow_slim, monkeypatch):
    """Prefix of a narrow 2D checkpoint, and every I3D built as narrow: for what does not depend on the width."""
    narrow_network(monkeypatch.setitem)
    return narrow_slim


def test_narrow_checkpoints_differ_from_the_published_in_width_alone(image_network):
    published = {n: tuple(s) for n, s in image_network["variables"].items() if "/Logits/" not in n}
    assert synthetic.slim_shapes(synthetic.i3d_shapes()) == published


@pytest.fixture(scope="module")
def narrow():
    return i3d(classes=5, depth_multiplier=0.1)


def write(model, prefix, change=lambda shapes: shapes, scope="RGB/inception_i3d/", kin600=False):
    return synthetic.write(change(synthetic.sonnet_shapes(by_name.layer_shapes(model), scope, kin600)), 1, prefix)


@pytest.mark.parametrize("kin600", [False, True])
@pytest.mark.parametrize("scope", ["RGB/inception_i3d/", "", "my/own/scope/"])
def test_any_scope_and_both_layouts(kin600, scope, narrow, tmp_path):
    prefix = write(narrow, tmp_path / "model.ckpt", scope=scope, kin600=kin600)
    weights = deepmind.read_sonnet(prefix)
    by_name.check_match(weights, by_name.layer_shapes(narrow), prefix)
    value = synthetic.weight(
        f"{scope}Mixed_4c/Branch_2/Conv3d_0b_3x3/conv_3d/w",
        weights["Mixed_4c_Branch_2_Conv3d_0b_3x3_conv_3d"][0].shape,
        1,
    )
    np.testing.assert_array_equal(weights["Mixed_4c_Branch_2_Conv3d_0b_3x3_conv_3d"][0], value)


def test_batch_norm_order(narrow, tmp_path):
    prefix = write(narrow, tmp_path / "model.ckpt")
    by_name.assign(narrow, deepmind.read_sonnet(prefix), prefix)
    norm = narrow.get_layer("Conv3d_2b_1x1_batch_norm")
    for variable, value in (
        ("beta", norm.beta),
        ("moving_mean", norm.moving_mean),
        ("moving_variance", norm.moving_variance),
    ):
        name = f"RGB/inception_i3d/Conv3d_2b_1x1/batch_norm/{variable}"
        np.testing.assert_array_equal(value, synthetic.weight(name, (8,), 1))


def test_quirk_of_mixed_5b(narrow):
    names = [name for name in by_name.layer_shapes(narrow) if name.startswith("Mixed_5b_Branch_2")]
    assert [n for n in names if n.endswith("conv_3d")] == [
        "Mixed_5b_Branch_2_Conv3d_0a_1x1_conv_3d",
        "Mixed_5b_Branch_2_Conv3d_0a_3x3_conv_3d",
    ]
    assert "Mixed_5c_Branch_2_Conv3d_0b_3x3_conv_3d" in by_name.layer_shapes(narrow)


def test_what_optimizers_leave_is_left_out(narrow, tmp_path):
    def with_slots(shapes):
        slots = {
            f"{n}/{s}": shape for n, shape in shapes.items() for s in ("Adam", "Adam_1", "ExponentialMovingAverage")
        }
        return {**shapes, **slots, "global_step": (), "beta1_power": ()}

    prefix = write(narrow, tmp_path / "model.ckpt", with_slots)
    by_name.assign(narrow, deepmind.read_sonnet(prefix), prefix)


def without(pattern):
    return lambda shapes: {name: shape for name, shape in shapes.items() if pattern not in name}


def with_more(name):
    return lambda shapes: {**shapes, name: (3,)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_more("RGB/inception_i3d/Mixed_4b/extra/w"), "1 variables belong to no layer.*Mixed_4b/extra/w"),
        (with_more("elsewhere/bias"), "elsewhere/bias"),
        (without("Mixed_3c/Branch_0"), "2 layers of the model are not in it: Mixed_3c_Branch_0"),
        (without("Conv3d_2b_1x1/batch_norm/beta"), "differ in shape: Conv3d_2b_1x1_batch_norm"),
        (without("Conv3d_1a"), "found 0"),
        (lambda s: {**s, **{"Flow" + name[3:]: shape for name, shape in s.items()}}, "found 2.*Split it by scope"),
    ],
)
def test_every_unmatched_name_is_listed(change, message, narrow, tmp_path):
    prefix = write(narrow, tmp_path / "model.ckpt", change)
    before = narrow.get_weights()
    with pytest.raises(WeightsError, match=message):
        by_name.assign(narrow, deepmind.read_sonnet(prefix), prefix)
    for a, b in zip(before, narrow.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_no_checkpoint(tmp_path):
    with pytest.raises(WeightsError, match="not a readable TensorFlow checkpoint"):
        deepmind.read_sonnet(tmp_path / "nothing.ckpt")


def test_data_file_missing(narrow, tmp_path):
    prefix = write(narrow, tmp_path / "model.ckpt")
    (tmp_path / "model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(WeightsError, match="not a readable TensorFlow checkpoint"):
        deepmind.read_sonnet(prefix)


def test_inflated_kernels_sum_to_the_2d_ones(full_slim):
    weights = deepmind.read_inception_v1(full_slim)
    flat = synthetic.weight("InceptionV1/Conv2d_1a_7x7/weights", (7, 7, 3, 64), 17)
    assert weights[FIRST][0].shape == (7, 7, 7, 3, 64)
    np.testing.assert_allclose(weights[FIRST][0].sum(axis=0), flat, atol=1e-6)
    np.testing.assert_allclose(weights[FIRST][0][0], flat / 7, atol=1e-7)
    assert weights["Mixed_5b_Branch_2_Conv3d_0a_3x3_conv_3d"][0].shape == (3, 3, 3, 32, 128)
    assert HEAD not in weights


def test_boring_video_is_the_2d_network(full_slim, image_network):
    """At the middle step of a long boring video, every endpoint is TF-Slim's on the image."""
    model = keras_i3d.I3D(include_top=False, weights=None)
    assert keras_i3d.inflate(full_slim, model) is model
    image = synthetic.clip((1, 224, 224, 3), image_network["image_seed"])[0]
    endpoints = _middle_of_boring_video(model, image)
    for name, value in endpoints.items():
        golden = image_network["endpoints"][name.replace("Conv3d", "Conv2d").replace("MaxPool3d", "MaxPool")]
        assert [1, *value.shape] == golden["shape"], name
        assert np.linalg.norm(np.float64(value)) == pytest.approx(golden["l2"], rel=1e-4), name
        middle = value.ravel()[value.size // 2 :][:8]
        scale = max(golden["centre"])
        np.testing.assert_allclose(middle, golden["centre"], rtol=1e-4, atol=1e-4 * scale, err_msg=name)


def _middle_of_boring_video(model, image):
    import keras

    names = [row[0] for row in LAYERS]
    body = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    values = body(np.broadcast_to(image, (1, 104, *image.shape)), training=False)
    return {name: np.asarray(value[0, value.shape[1] // 2]) for name, value in values.items()}


def test_boring_video_error_is_small_inflated_and_large_at_the_borders(slim, tmp_path):
    model = keras_i3d.I3D(include_top=False, weights=None, stream="flow")
    keras_i3d.inflate(slim, model)
    image = synthetic.clip((64, 64, 2), 3)
    errors = keras_i3d.boring_video_error(model, image)
    assert list(errors) == [row[0] for row in LAYERS]
    assert max(errors.values()) < 1e-4
    # In 9 frames every step is near a border, where zero padding takes part of the kernel.
    assert keras_i3d.boring_video_error(model, image, frames=9)["Mixed_5c"] > 0.05
    reference = {"Conv3d_1a_7x7": np.ones((32, 32, 8), "float32")}
    assert keras_i3d.boring_video_error(model, image, reference=reference)["Conv3d_1a_7x7"] > 0.05


def test_boring_video_of_narrow_and_fixed_models(narrow):
    """Any I3D has this fixed point, whatever its width and its input; the model itself is left as it is."""
    fixed = i3d(input_shape=(16, 64, 64, 3), classes=5, depth_multiplier=0.1)
    image = synthetic.clip((40, 56, 3), 3)
    for model in (narrow, fixed):
        assert max(keras_i3d.boring_video_error(model, image).values()) < 1e-4
    assert fixed.input_shape == (None, 16, 64, 64, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": {"Mixed4f": np.zeros(3)}}, r"Received: \['Mixed4f'\]"),
        ({"reference": {}}, "endpoints from"),
        ({"image": np.zeros((32, 32))}, r"\(height, width, 3\)"),
    ],
)
def test_boring_video_arguments(arguments, message, narrow):
    with pytest.raises(ValueError, match=message):
        keras_i3d.boring_video_error(narrow, **arguments)


def test_boring_video_and_inflation_take_one_stream(slim):
    two = keras_i3d.TwoStreamI3D(weights=None, classes=5, depth_multiplier=0.1)
    with pytest.raises(ValueError, match="model of one stream"):
        keras_i3d.boring_video_error(two)
    with pytest.raises(ValueError, match="one stream's model"):
        keras_i3d.inflate(slim, two)


def test_flow_takes_the_mean_of_the_rgb_kernel(slim, capsys):
    model = keras_i3d.I3D(weights=None, stream="flow", classes=5)
    head = model.get_layer(HEAD).get_weights()
    keras_i3d.inflate(slim, model)
    flat = synthetic.weight("InceptionV1/Conv2d_1a_7x7/weights", (7, 7, 3, 8), 17).mean(axis=2) / 7
    for channel in range(2):
        np.testing.assert_allclose(model.get_layer(FIRST).get_weights()[0][3, :, :, channel], flat, atol=1e-7)
    for a, b in zip(head, model.get_layer(HEAD).get_weights()):
        np.testing.assert_array_equal(a, b)
    assert "averaged over RGB and repeated for 2 flow channels" in capsys.readouterr().err


def test_first_checkpoint_format(slim, tmp_path):
    """The published archive holds a checkpoint of TensorFlow's first format, one file."""
    shapes = synthetic.slim_shapes(synthetic.i3d_shapes(depth_multiplier=NARROW))
    path = synthetic.write_first_format(shapes, 17, tmp_path / "inception_v1.ckpt")
    first, second = deepmind.read_inception_v1(path), deepmind.read_inception_v1(slim)
    assert sorted(first) == sorted(second)
    for name, arrays in first.items():
        for a, b in zip(arrays, second[name]):
            np.testing.assert_array_equal(a, b)


def test_what_is_not_inception_v1(narrow, tmp_path):
    with pytest.raises(WeightsError, match="are not Inception V1's"):
        deepmind.read_inception_v1(write(narrow, tmp_path / "model.ckpt"))


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aaaa\nsize 12345\n"
INDEX, DATA = ".index", ".data-00000-of-00001"


def damaged(kind, prefix, folder):
    """A damaged copy of a checkpoint; returns its prefix."""
    copy = folder / kind.replace(" ", "_")
    copy.mkdir()
    for suffix in (INDEX, DATA):
        shutil.copy(prefix + suffix, copy / f"model.ckpt{suffix}")
    suffix = INDEX if "index" in kind else DATA
    path = copy / f"model.ckpt{suffix}"
    content = path.read_bytes()
    path.unlink()
    if "folder" in kind:
        path.mkdir()
    elif "gone" not in kind:
        half = bytearray(content)
        half[len(content) // 2] ^= 1
        damages = {"pointer": LFS, "cut": content[: len(content) // 2], "empty": b"", "flipped": bytes(half)}
        path.write_bytes(damages[kind.split()[0]])
    return str(copy / "model.ckpt")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut data", "its data is shorter than its index says"),
        ("empty data", "its data is shorter than its index says"),
        ("pointer data", r"model.ckpt.data-00000-of-00001 is a pointer of Git LFS.* run git lfs pull"),
        ("flipped data", "Checksum does not match"),
        ("folder data", "Is a directory"),
        ("gone data", "No such file"),
        ("cut index", "not an sstable"),
        ("empty index", "not a readable"),
        ("pointer index", "model.ckpt.index is a pointer of Git LFS"),
        ("folder index", "Is a directory"),
    ],
)
def test_damaged_checkpoints(kind, message, narrow, tmp_path):
    """One line by every reader, whatever TensorFlow raises: of data that is cut, an IndexError."""
    prefix = damaged(kind, write(narrow, tmp_path / "model.ckpt"), tmp_path)
    readers = [
        deepmind.read_sonnet,
        deepmind.read_inception_v1,
        lambda path: convert_sonnet(path, tmp_path / "x.weights.h5"),
    ]
    if "index" not in kind:
        readers.append(lambda path: keras_i3d.I3D(weights=path, depth_multiplier=0.1))
    else:
        with pytest.raises(WeightsError, match=r"model.ckpt.index: not the index"):
            tensorflow_files.crcs(f"{prefix}.index")
    for read in readers:
        with pytest.raises(WeightsError, match=message) as error:
            read(prefix)
        assert "\n" not in str(error.value)
        assert prefix in str(error.value)


def test_a_folder_in_place_of_a_checkpoint(narrow, tmp_path):
    """TensorFlow would take the newest in it."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with pytest.raises(WeightsError, match="is a folder. Pass the prefix of a checkpoint in it; there is none"):
        deepmind.read_sonnet(folder)
    write(narrow, folder / "model.ckpt")
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    with pytest.raises(WeightsError, match="is a folder. Pass the prefix of a checkpoint in it: .*/model.ckpt"):
        convert_sonnet(folder, tmp_path / "x.weights.h5")


def test_one_file_of_the_first_format(tmp_path, monkeypatch):
    """Of an I3D it converts, though no index says whether it was published; damaged, it is a line."""
    narrow_network(monkeypatch.setitem)
    shapes = synthetic.sonnet_shapes(by_name.layer_shapes(i3d(classes=5)))
    path = synthetic.write_first_format(shapes, 3, tmp_path / "first.ckpt")
    facts = convert_sonnet(path, tmp_path / "x.weights.h5")
    assert (facts.classes, facts.labels) == (5, None)
    expected = deepmind.read_sonnet(synthetic.write(shapes, 3, tmp_path / "second.ckpt"))
    np.testing.assert_equal(read_h5(tmp_path / "x.weights.h5"), expected)
    content = (tmp_path / "first.ckpt").read_bytes()
    for damage, message in ((content[: len(content) // 2], "not a readable"), (LFS, "first.ckpt is a pointer of Git")):
        (tmp_path / "first.ckpt").write_bytes(damage)
        with pytest.raises(WeightsError, match=message) as error:
            convert_sonnet(path, tmp_path / "y.weights.h5")
        assert "\n" not in str(error.value)


def test_a_boring_video_of_a_network_that_takes_no_single_frame():
    model = keras_i3d.S3D(depth_multiplier=0.05, include_top=False, input_shape=(None, 32, 32, 3))
    with pytest.raises(ValueError, match="if one frame passes through it. Received: S3D. Pass reference="):
        keras_i3d.boring_video_error(model)


def place(name):
    layer, dot, weight = name.partition(".")
    return (layer, weight) if dot else None


@pytest.fixture
def torch_tree(monkeypatch):
    """{name: tensor} of an S3D cut short, as somebody's PyTorch code saves it, whose names are known."""
    tiny.shorten(monkeypatch)
    known = Original("somebody", "S3D", place)
    monkeypatch.setattr(catalogue, "ORIGINALS", (known,))
    monkeypatch.setitem(sys.modules, "torch", None)
    draw, tree = np.random.default_rng(3), {"step.num_batches_tracked": torch_writer.tensor(np.int64(9))}
    for (layer, weight), shape in families.find("S3D").variables(classes=6).items():
        if len(shape) > 1:
            shape = (shape[-1], shape[-2], *shape[:-2])
        value = draw.uniform(0.1, 1, shape).astype("float32")
        tree[f"{layer}.{weight}"] = torch_writer.tensor(value)
    return tree


def test_a_file_of_pytorch_is_weights(torch_tree, tmp_path):
    """By path, in both formats, converted or not, for every verb."""
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\ne\nf\n", encoding="utf-8")
    path, output = tmp_path / "net-0123.pth", tmp_path / "x.weights.h5"
    path.write_bytes(torch_writer.legacy({"state_dict": torch_tree, "epoch": 3}))
    noted = convert_torch(path, output, labels)
    assert (noted.family, noted.stream, noted.classes, noted.activation) == ("S3D", "rgb", 6, None)
    assert noted.labels == tuple("abcdef")
    assert noted.clip == families.find("S3D").clips["rgb"]
    assert noted.source == f"somebody's net-0123.pth, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert h5_files.facts_of(output) == noted
    model = keras_i3d.S3D(weights=output)
    assert model.output_shape == (None, 6)
    path.write_bytes(torch_writer.zipped({f"module.{name}": value for name, value in torch_tree.items()}))
    found = networks.load(path)
    assert (found.facts.labels, found.facts.classes, found.family.name) == (None, 6, "S3D")
    for read in (keras_i3d.S3D(weights=str(path), classes=None), found.model):
        np.testing.assert_equal(by_name.layer_weights(read), by_name.layer_weights(model))
    kernel = torch_tree[f"{families.find('S3D').first}.kernel"]
    shape = kernel.shape
    np.testing.assert_array_equal(
        by_name.layer_weights(model)[families.find("S3D").first][0],
        kernel.storage.numbers.reshape(shape).transpose(2, 3, 4, 1, 0),
    )
    with pytest.raises(WeightsError, match="holds weights of S3D; this model is I3D"):
        keras_i3d.I3D(weights=path)


def test_a_file_of_pytorch_that_is_no_weights(torch_tree, tmp_path):
    path, output = tmp_path / "net.pth", tmp_path / "x.weights.h5"
    cases = (
        ({**torch_tree, "x": torch_writer.Call("os.system", ("true",))}, "a reference to os.system"),
        ({"other": torch_writer.tensor(np.zeros(3))}, "of no network that is known by its variables' names"),
    )
    for tree, message in cases:
        path.write_bytes(torch_writer.zipped(tree))
        readers = (keras_i3d.S3D, networks.load, lambda weights: convert_torch(weights, output))
        for read in readers:
            with pytest.raises(WeightsError, match=message) as error:
                read(weights=path)
            assert str(path) in str(error.value)
    assert not output.exists()
    path.write_bytes(torch_writer.zipped(torch_tree))
    with pytest.raises(ValueError, match="400 labels for 6 classes"):
        convert_torch(path, output, "kinetics400")
    with pytest.raises(ValueError, match="A file of weights is converted. Received: .*nowhere.pth, which is none"):
        convert_torch(tmp_path / "nowhere.pth", output)
    with pytest.raises(ValueError, match=r"Unknown weights .*no such file. .*\.pth, \.pt or \.pyth"):
        keras_i3d.S3D(weights=tmp_path / "nowhere.pth")


def test_the_tool_converts(tool, torch_tree, tmp_path, capsys):
    path, output = tmp_path / "net.safetensors", tmp_path / "x.weights.h5"
    arrays = {name: value.storage.numbers.reshape(value.shape) for name, value in torch_tree.items()}
    path.write_bytes(torch_writer.safetensors(arrays))
    from absl import flags

    convert = tool("convert_torch")
    flags.FLAGS(["convert_torch"])
    convert.main(["", str(path), str(output)])
    said = capsys.readouterr().out
    assert "S3D, rgb stream, 6 classes -> " in said
    assert "somebody's net.safetensors, sha256 " in said
    path.write_bytes(b"")
    with pytest.raises(SystemExit, match=r"error: .*net.safetensors: not a readable file .*it is empty"):
        convert.main(["", str(path), str(output)])
