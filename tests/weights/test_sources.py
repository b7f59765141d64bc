"""Weights by name: first use, second use, and every way in which it can go wrong."""

import dataclasses
import json
import os
import subprocess
import sys
import tarfile
import threading

import h5py
import keras
import numpy as np
import pytest
from made import ROOT, synthetic
from made.mirrors import NARROW
from made.mirrors import narrow as narrow_network
from made.tiny import i3d

import keras_i3d
from keras_i3d import WeightsError, facts, networks
from keras_i3d.facts import Facts
from keras_i3d.models.inception import HEAD
from keras_i3d.models.two_stream import fuse
from keras_i3d.precision import policy
from keras_i3d.weights import by_name, conversion, h5_files, registry, tensorflow_files
from keras_i3d.weights.cache import published
from keras_i3d.weights.labels import read_labels
from keras_i3d.weights.originals import deepmind


@pytest.fixture(scope="module")
def narrow():
    return i3d(classes=5, depth_multiplier=0.1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rgb_t16", {}),
        ("flow_t12", {"stream": "flow"}),
        ("kin600_t9", {"weights": "kinetics600"}),
    ],
)
def test_from_file_to_logits(name, arguments, full_repository, goldens, cache, monkeypatch):
    """The whole path, file to converter to cached file to model, gives DeepMind's logits, also the second time."""
    case = goldens[name]
    clip = synthetic.clip((1, case["frames"], 224, 224, case["channels"]), case["clip_seed"])
    first = keras_i3d.I3D(**arguments, classifier_activation=None)
    assert relative(np.asarray(first(clip, training=False))[0], case["logits"]) < 1e-5
    # The second use needs neither mirror nor network nor converter.
    monkeypatch.setenv("KERAS_I3D_MIRROR", "/nowhere")
    monkeypatch.setattr(deepmind, "read_sonnet", None)
    for a, b in zip(first.get_weights(), keras_i3d.I3D(**arguments).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list(cache.glob("downloads/**/*.ckpt*")), "the converted download should be gone"


def test_what_the_cached_file_says(repository, cache):
    keras_i3d.I3D()
    (path,) = cache.glob("*.weights.h5")
    with h5py.File(path) as file:
        noted = json.loads(file.attrs["keras_i3d"])
    assert noted["fingerprint"] == by_name.fingerprint(by_name.layer_shapes(i3d()))
    assert h5_files.facts_of(path) == registry.find("kinetics", "rgb").facts
    # It is Keras's own format too.
    model = i3d()
    model.load_weights(path)
    for a, b in zip(model.get_weights(), keras_i3d.I3D().get_weights()):
        np.testing.assert_array_equal(a, b)


def test_flipped_bit_in_the_cache_is_fetched_again(repository, cache, capsys):
    path = published(registry.CHECKPOINTS["kinetics", "rgb"])
    before = by_name.layer_weights(keras_i3d.I3D())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    np.testing.assert_equal(by_name.layer_weights(keras_i3d.I3D()), before)
    assert "does not match its checksum" in capsys.readouterr().err
    published(registry.CHECKPOINTS["kinetics", "rgb"])
    assert "does not match" not in capsys.readouterr().err


def test_flipped_bit_and_no_network_is_an_error(repository, monkeypatch, tmp_path):
    path = published(registry.CHECKPOINTS["kinetics", "rgb"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path))
    with pytest.raises(WeightsError, match="has no data/checkpoints/rgb_imagenet"):
        keras_i3d.I3D()


def test_a_read_only_cache_serves(repository, cache, monkeypatch):
    from keras_i3d.weights import download

    published(registry.CHECKPOINTS["kinetics", "rgb"])

    def refuse(folder):
        raise WeightsError("read-only")

    monkeypatch.setattr(download, "writable_folder", refuse)
    keras_i3d.I3D()


def test_two_processes_at_once(repository, cache):
    code = (
        "import keras_i3d, pathlib; from made import mirrors; from keras_i3d.weights import registry; "
        "mirrors.narrow();"
        f"mirrors.register(pathlib.Path({str(repository)!r}), registry, lambda d, k, v: d.__setitem__(k, v));"
        "print(sum(float(abs(w).sum()) for w in keras_i3d.I3D().get_weights()))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]
    assert len(list(cache.glob("*.weights.h5"))) == 1
    assert not list(cache.glob(".*.h5"))


def test_two_threads_at_once(repository):
    results = []
    threads = [threading.Thread(target=lambda: results.append(keras_i3d.I3D())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2


def test_another_number_of_classes_keeps_the_body(repository, capsys):
    full, model = keras_i3d.I3D(), keras_i3d.I3D(classes=7)
    assert "the head for 7 classes instead of 400 is new and must be trained" in capsys.readouterr().err
    ours, theirs = by_name.layer_weights(model), by_name.layer_weights(full)
    assert ours.pop(HEAD)[0].shape[-1] == 7
    for name, arrays in ours.items():
        for a, b in zip(arrays, theirs[name]):
            np.testing.assert_array_equal(a, b)


def test_no_top_and_own_classes(repository, capsys):
    assert keras_i3d.I3D(include_top=False, pooling="avg").output.shape == (None, 102)  # 1024 in full width
    assert keras_i3d.I3D(weights="kinetics600").output.shape == (None, 600)
    assert "must be trained" not in capsys.readouterr().err


def test_width_of_published_weights():
    with pytest.raises(ValueError, match="depth_multiplier=1"):
        keras_i3d.I3D(depth_multiplier=0.5)


@pytest.mark.parametrize("form", ["weights.h5", "keras", "checkpoint"])
def test_by_path(form, narrow, tmp_path):
    settings = {"depth_multiplier": 0.1}
    if form == "checkpoint":
        path = synthetic.write(synthetic.sonnet_shapes(by_name.layer_shapes(narrow)), 1, tmp_path / "model.ckpt")
        expected = deepmind.read_sonnet(path)
    else:
        path = tmp_path / f"model.{form}"
        narrow.save(path) if form == "keras" else narrow.save_weights(path)
        expected = by_name.layer_weights(narrow)
    model = keras_i3d.I3D(weights=path, **settings)
    assert model.output.shape == (None, 5)
    for name, arrays in by_name.layer_weights(model).items():
        for a, b in zip(arrays, expected[name]):
            np.testing.assert_array_equal(a, b)


def test_nothing_is_drawn_that_weights_replace(narrow, tmp_path, monkeypatch):
    narrow.save_weights(tmp_path / "n.weights.h5")

    def drawn(*arguments, **settings):
        raise AssertionError("a kernel was drawn")

    monkeypatch.setattr(keras.initializers.TruncatedNormal, "__call__", drawn)
    model = networks.load(tmp_path / "n.weights.h5", "rgb", "bfloat16").model
    for a, b in zip(model.get_weights(), narrow.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_by_path_without_head(tmp_path, capsys):
    body = i3d(False, depth_multiplier=0.1)
    body.save_weights(tmp_path / "body.weights.h5")
    assert keras_i3d.I3D(weights=tmp_path / "body.weights.h5", depth_multiplier=0.1).output.shape == (None, 400)
    assert "the head for 400 classes is new" in capsys.readouterr().err


def test_files_that_do_not_belong(narrow, tmp_path):
    narrow.save_weights(tmp_path / "rgb.weights.h5")
    with pytest.raises(WeightsError, match=r'3 input channels \(rgb\).*takes 2 \(flow\).*stream="rgb"'):
        keras_i3d.I3D(weights=tmp_path / "rgb.weights.h5", stream="flow", depth_multiplier=0.1)
    with pytest.raises(WeightsError, match="does not belong to this model: 114 layers differ in shape"):
        keras_i3d.I3D(weights=tmp_path / "rgb.weights.h5", depth_multiplier=1.0)
    assert keras_i3d.I3D(weights=tmp_path / "rgb.weights.h5").count_params() == narrow.count_params()  # the file's own
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(WeightsError, match="not in it: Conv3d_1a_7x7.*1 of its layers are not in the model: dense"):
        keras_i3d.I3D(weights=tmp_path / "other.weights.h5", depth_multiplier=0.1)


def test_swapped_branches_of_one_shape_are_not_confused(narrow, tmp_path):
    """Keras would load these by position; here each array finds the layer it was saved from."""
    a, b = "Mixed_4c_Branch_2_Conv3d_0b_3x3", "Mixed_4d_Branch_2_Conv3d_0b_3x3"
    narrow.save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        groups = {g["vars"].attrs["name"]: g for g in file["layers"].values() if "name" in g["vars"].attrs}
        first, second = groups[f"{a}_conv_3d"]["vars"], groups[f"{b}_conv_3d"]["vars"]
        first.attrs["name"], second.attrs["name"] = f"{b}_conv_3d", f"{a}_conv_3d"
        assert first["0"].shape == second["0"].shape
    model = keras_i3d.I3D(weights=tmp_path / "x.weights.h5", depth_multiplier=0.1)
    np.testing.assert_array_equal(
        model.get_layer(f"{a}_conv_3d").get_weights()[0], narrow.get_layer(f"{b}_conv_3d").get_weights()[0]
    )


@pytest.mark.parametrize("name", ["x.weights.h5", "x.keras"])
def test_files_that_are_nothing(name, tmp_path):
    (tmp_path / name).write_bytes(b"not what the name says" * 50)
    with pytest.raises(WeightsError, match=f"{name}.*not a readable"):
        keras_i3d.I3D(weights=tmp_path / name)


def hdf5_damaged(content):
    """Bytes of damaged HDF5 files, whose readers raise OSError, KeyError, RuntimeError or another."""
    yield content[: len(content) // 2]
    yield b""
    draw = np.random.default_rng(0)
    for _ in range(60):  # in the metadata, which lies before and between the arrays
        flipped = bytearray(content)
        for at in draw.integers(0, len(content), 40):
            flipped[at] ^= 1 << int(draw.integers(8))
        flipped[int(draw.integers(100, 4000))] ^= 0xFF
        yield bytes(flipped)


def test_damaged_files_are_read_or_refused_in_a_line(tmp_path):
    """Without its checksum a flipped bit of an array cannot be told; nothing but WeightsError is raised."""
    network = i3d(classes=5, depth_multiplier=0.01)
    h5_files.save_h5(network, tmp_path / "x.weights.h5")
    content, refused = (tmp_path / "x.weights.h5").read_bytes(), 0
    for i, damage in enumerate(hdf5_damaged(content)):
        path = tmp_path / f"{i}.weights.h5"
        path.write_bytes(damage)
        try:
            h5_files.read_h5(path)
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused > 5


@pytest.mark.parametrize("value", ["nothing", "missing.weights.h5", 3, True])
def test_unknown_weights(value):
    with pytest.raises(ValueError, match='Unknown weights.*Pass None, one of "kinetics"'):
        keras_i3d.I3D(weights=value)


def test_flow_checkpoint_in_the_rgb_place(repository, monkeypatch, cache):
    """Right bytes under the wrong entry: refused when converted, and nothing stays in the cache."""
    flow = registry.CHECKPOINTS["kinetics", "flow"]
    wrong = dataclasses.replace(registry.CHECKPOINTS["kinetics", "rgb"], index=flow.index, file=flow.file)
    monkeypatch.setitem(registry.CHECKPOINTS, ("kinetics", "rgb"), wrong)
    with pytest.raises(WeightsError, match="does not belong to this model: 1 layers differ in shape: Conv3d_1a"):
        keras_i3d.I3D()
    assert not list(cache.glob("*.weights.h5*"))


def test_imagenet_archive(tmp_path, monkeypatch, cache, capsys):
    shapes = synthetic.slim_shapes(synthetic.i3d_shapes(depth_multiplier=NARROW))
    checkpoint = synthetic.write_first_format(shapes, 17, tmp_path / "inception_v1.ckpt")
    narrow_network(monkeypatch.setitem)
    archive = tmp_path / "mirror" / registry.INCEPTION_V1.path
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(checkpoint, "./inception_v1.ckpt")
        tar.add(checkpoint, "../../escaped")
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path / "mirror"))
    model = keras_i3d.I3D(weights="imagenet", classes=4)
    said = capsys.readouterr().err
    assert "sha256" in said
    assert "head for 4 classes" in said
    np.testing.assert_array_equal(
        model.get_layer("Conv3d_1a_7x7_conv_3d").get_weights()[0],
        deepmind.read_inception_v1(checkpoint)["Conv3d_1a_7x7_conv_3d"][0],
    )
    assert not (cache.parent / "escaped").exists()
    # Another archive under the same name is refused, for its hash was recorded at first use.
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(checkpoint, "again/inception_v1.ckpt")
    (cache / "inception_v1_rgb-1.weights.h5").unlink()
    with pytest.raises(WeightsError, match="at first use it was"):
        keras_i3d.I3D(weights="imagenet")


def test_imagenet_archive_without_the_checkpoint(tmp_path, monkeypatch, cache):
    narrow_network(monkeypatch.setitem)
    archive = tmp_path / registry.INCEPTION_V1.path
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(__file__, "something.else")
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path))
    with pytest.raises(WeightsError, match="holds no file inception_v1.ckpt"):
        keras_i3d.I3D(weights="imagenet")
    archive.write_bytes(b"no archive at all")
    with pytest.raises(WeightsError, match="not a readable archive"):
        keras_i3d.I3D(weights="imagenet")
    assert not list(cache.glob("*.weights.h5*"))


def test_labels(repository, tmp_path):
    assert read_labels("kinetics400")[:2] == ["label 0", "label 1"]
    assert len(read_labels("kinetics600")) == 600
    (tmp_path / "mine.txt").write_text("a cat\na dog\n")
    assert read_labels(tmp_path / "mine.txt") == ["a cat", "a dog"]
    assert read_labels(("x", "y")) == ["x", "y"]
    with pytest.raises(ValueError, match="Unknown labels"):
        read_labels("kinetics900")


def test_rgb_and_flow_at_once_share_the_labels(repository):
    """Each stream's weights have a lock of their own; the label list that both bring has one too."""
    results = []
    threads = [threading.Thread(target=lambda s=s: results.append(keras_i3d.I3D(stream=s))) for s in ("rgb", "flow")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2


def test_labels_come_with_the_weights(repository, monkeypatch):
    published(registry.CHECKPOINTS["kinetics", "rgb"])
    monkeypatch.setenv("KERAS_I3D_MIRROR", "/nowhere")
    assert len(read_labels("kinetics400")) == 400


def test_damaged_labels_are_fetched_again(repository, cache, capsys):
    read_labels("kinetics400")
    path = cache / "data/label_map.txt"
    path.write_text(path.read_text().replace("label 7\n", "label 8\n"))
    assert read_labels("kinetics400")[7] == "label 7"
    assert "git blob id" in capsys.readouterr().err


def test_checksums_that_are_none(repository, cache, capsys):
    entry = registry.CHECKPOINTS["kinetics", "rgb"]
    path = published(entry)
    (checksum,) = cache.glob("*.sha256")
    good = checksum.read_bytes()
    for content in (b"\xff\xfe", b"", None):
        checksum.unlink() if content is None else checksum.write_bytes(content)
        assert published(entry) == path
        assert "does not match its checksum" in capsys.readouterr().err
        assert checksum.read_bytes() == good


def test_cache_folder_that_is_a_file(repository, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="Cannot write in the cache folder"):
        keras_i3d.I3D()


def test_a_damaged_file_beside_its_checksum(narrow, tmp_path):
    path = tmp_path / "x.weights.h5"
    h5_files.save_h5(narrow, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="does not match the checksum"):
        keras_i3d.I3D(weights=path, depth_multiplier=0.1)


def test_bfloat16_weights(tmp_path):
    with policy("bfloat16"):
        model = i3d(classes=5, depth_multiplier=0.1)
    model.save_weights(tmp_path / "x.weights.h5")
    loaded = keras_i3d.I3D(weights=tmp_path / "x.weights.h5", depth_multiplier=0.1)
    name = "Conv3d_2c_3x3_conv_3d"
    expected = keras.ops.convert_to_numpy(keras.ops.cast(model.get_layer(name).kernel, "float32"))
    np.testing.assert_array_equal(loaded.get_layer(name).get_weights()[0], expected)


def test_label_files(repository, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa cat\r\na dog\n\n")
    assert read_labels(tmp_path / "a.txt") == ["a cat", "a dog"]
    (tmp_path / "b.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match="UTF-8"):
        read_labels(tmp_path / "b.txt")
    checkpoint = repository / "data/checkpoints/rgb_imagenet/model.ckpt"
    with pytest.raises(ValueError, match="2 labels for 400 classes"):
        conversion.convert_sonnet(checkpoint, tmp_path / "x.weights.h5", tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("value", "message"), [(".", "not a weights file"), (np.zeros(3), "Unknown weights"), ([], "Unknown weights")]
)
def test_odd_weights(value, message):
    with pytest.raises(ValueError, match=message):
        keras_i3d.I3D(weights=value)


def test_no_space_for_the_converted_file(repository, cache, monkeypatch):
    """The download fits, what is made of it does not: said before HDF5 runs into it, and the download is kept."""
    from keras_i3d.weights import download

    entry = registry.CHECKPOINTS["kinetics", "rgb"]
    usage = download.shutil.disk_usage(repository)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage._replace(free=entry.file.bytes + 1000))
    with pytest.raises(WeightsError, match=r"too full for rgb_imagenet-1.weights.h5: .* bytes are missing"):
        published(entry)
    assert not list(cache.glob("*.weights.h5*"))
    assert len(list(cache.glob("downloads/**/model.ckpt.*"))) == 2


def test_no_such_folder_for_the_output(narrow, tmp_path):
    with pytest.raises(ValueError, match="No such folder"):
        h5_files.save_h5(narrow, tmp_path / "none/x.weights.h5")


def test_decode_predictions(repository):
    scores = np.zeros((2, 400), "float32")
    scores[0, [3, 9]] = 0.7, 0.3
    scores[1, 5] = 1
    decoded = keras_i3d.decode_predictions(scores, top=2)
    assert decoded[0] == [(3, "label 3", pytest.approx(0.7)), (9, "label 9", pytest.approx(0.3))]
    assert decoded[1][0] == (5, "label 5", 1.0)
    assert keras_i3d.decode_predictions(scores[:, :2], top=1, labels=["a", "b"])[0] == [(0, "a", 0.0)]
    with pytest.raises(ValueError, match=r"600 \(kinetics600\) labels. Received: 3 classes. Pass labels="):
        keras_i3d.decode_predictions(scores[:, :3])
    with pytest.raises(ValueError, match="400 labels for 3 classes"):
        keras_i3d.decode_predictions(scores[:, :3], labels="kinetics400")
    with pytest.raises(ValueError, match=r"\(batch, classes\)"):
        keras_i3d.decode_predictions(scores[0])
    with pytest.raises(ValueError, match="must be finite"):
        keras_i3d.decode_predictions(scores * np.nan)
    with pytest.raises(ValueError, match="at least 1"):
        keras_i3d.decode_predictions(scores, top=-1)


def test_decode_predictions_by_the_number_of_classes(repository):
    scores = np.eye(600, dtype="float32")[[7]]
    assert keras_i3d.decode_predictions(scores, 1) == [[(7, "label 7", 1.0)]]


@pytest.mark.parametrize(
    ("network", "classes", "message"),
    [
        ("I3D", 400, None),
        ("I3D", 600, None),
        ("I3D-strides-1-1-1", 400, None),
        ("I3D:kinetics-hassony2", 400, None),
        ("kinetics600", 400, "600 labels for 400 classes"),
        ("I3D", 157, 'network="I3D", whose weights bring no label list. Pass labels='),
        ("I3D:charades", 157, "no label list"),
        ("I3D", 12, "of which no weights of 12 classes are published"),
        ("S3D", 400, 'network="S3D", whose weights bring no label list'),
        ("R3D34", 400, "of which no weights of 400 classes are published"),
        ("imagenet", 400, "of which no weights of 400 classes are published"),
        ("S3DG-milnce", 512, 'An embedding has no classes to name. Received: network="S3DG-milnce", which gives one'),
        ("S4D", 400, "near are S3D.* Received: 'S4D'"),
        ("charades", 157, "Received: 'charades'. Published weights are named as in \"I3D:charades\""),
        ("runs/mine", 400, "Received: 'runs/mine'. .* of a run or a file network= takes the model"),
        (keras.Sequential(name="mine"), 400, "network is a model that this package made, or a name"),
        ([0.25] * 1000, 400, r"or a name. Received: \[0.25, .{190,200}\.\.\.$"),
    ],
)
def test_labels_of_a_network_by_name(repository, network, classes, message):
    scores = np.eye(classes, dtype="float32")[[7]]
    if message is None:
        assert keras_i3d.decode_predictions(scores, top=1, network=network) == [[(7, "label 7", 1.0)]]
    else:
        with pytest.raises(ValueError, match=message):
            keras_i3d.decode_predictions(scores, network=network)


def test_labels_of_a_model():
    """Those that were noted in it; of a model of two streams, in both."""
    scores, names = np.float32([[0.1, 0.7, 0.2]]), ("a", "b", "c")
    streams = {
        s: i3d(True, (None, 32, 32, c), s, classes=3, depth_multiplier=0.1) for s, c in (("rgb", 3), ("flow", 2))
    }
    both = fuse(**streams)

    def decoded(network):
        return keras_i3d.decode_predictions(scores, top=1, network=network)

    with pytest.raises(ValueError, match="the model i3d_rgb, whose weights bring no label list. Pass labels="):
        decoded(streams["rgb"])
    facts.note(streams["rgb"], Facts("rgb", labels=names))
    assert decoded(streams["rgb"]) == [[(1, "b", pytest.approx(0.7))]]
    with pytest.raises(ValueError, match="the model two_stream_i3d, whose weights bring no label list"):
        decoded(both)
    facts.note(streams["flow"], Facts("flow", labels=names[::-1]))
    with pytest.raises(ValueError, match="whose two streams differ"):
        decoded(both)
    facts.note(streams["flow"], Facts("flow", labels=names))
    assert decoded(both) == decoded(streams["rgb"])
    facts.note(streams["rgb"], Facts("rgb", labels=(*names, "d")))
    with pytest.raises(ValueError, match="4 labels for 3 classes"):
        decoded(streams["rgb"])
    with pytest.raises(ValueError, match="by labels= or by network=, not by both"):
        keras_i3d.decode_predictions(scores, labels=names, network=both)
    embedding = keras_i3d.S3DG(variant="milnce", weights=None, depth_multiplier=0.1)
    with pytest.raises(ValueError, match="An embedding has no classes to name. Received: the model s3dg_rgb"):
        decoded(embedding)


def test_conversion_tool(repository, tmp_path):
    output = tmp_path / "mine.weights.h5"
    checkpoint = repository / "data/checkpoints/rgb_scratch_kin600/model.ckpt"
    printed = _tool("convert_sonnet.py", f"--checkpoint={checkpoint}", f"--output={output}")
    assert "not a published checkpoint" in printed
    assert "rgb stream, 600 classes" in printed
    model = keras_i3d.I3D(weights=output)
    expected = deepmind.read_sonnet(checkpoint)
    np.testing.assert_array_equal(model.get_layer(HEAD).get_weights()[1], expected[HEAD][1])


def test_conversion_tool_names_published_checkpoints(repository, tmp_path, monkeypatch):
    prefix = f"{repository}/data/checkpoints/rgb_imagenet/model.ckpt"
    digest = tensorflow_files.crc_digest(prefix + ".index")
    entry = dataclasses.replace(registry.CHECKPOINTS["kinetics-scratch", "rgb"], crc_digest=digest)
    monkeypatch.setitem(registry.CHECKPOINTS, ("kinetics-scratch", "rgb"), entry)
    facts = conversion.convert_sonnet(prefix + ".index", tmp_path / "x.weights.h5")  # as file dialogs give it
    assert facts.source == "published checkpoint rgb_imagenet"  # its index is the published file
    published_file = registry.CHECKPOINTS["kinetics", "rgb"]
    other = dataclasses.replace(published_file.index, git_blob="0" * 40)
    monkeypatch.setitem(
        registry.CHECKPOINTS, ("kinetics", "rgb"), dataclasses.replace(published_file, index=other, crc_digest="")
    )
    facts = conversion.convert_sonnet(prefix, tmp_path / "x.weights.h5")
    assert facts.source == "published checkpoint rgb_scratch"  # saved again: the tensors tell
    assert (facts.labels, facts.clip.fps, facts.activation) == ("kinetics400", 25, "softmax")


def test_tools_report_errors_in_a_line(tmp_path):
    arguments = (f"--checkpoint={tmp_path}/none", f"--output={tmp_path}/x.weights.h5")
    printed = _tool("inflate_imagenet.py", *arguments, fails=True)
    assert "error:" in printed
    assert "not a readable TensorFlow checkpoint" in printed
    assert "Traceback" not in printed


def _tool(name, *arguments, fails=False):
    code = "import runpy, sys; from made import mirrors; mirrors.narrow(); del sys.argv[0]; "
    code += "runpy.run_path(sys.argv[0], None, '__main__')"
    command = [sys.executable, "-c", code, str(ROOT / "tools" / name)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert (result.returncode != 0) == fails, result.stderr
    return result.stdout + result.stderr


def relative(value, reference):
    return np.linalg.norm(np.float64(value) - np.float64(reference)) / np.linalg.norm(np.float64(reference))
