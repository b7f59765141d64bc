"""Files of a stranger: no other file is read for them, no size is taken on their word, and damage is one line."""

import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest
from made import ROOT, small_runs, synthetic, tiny
from made.checksums import crc32c
from made.tiny import i3d

import keras_i3d
from keras_i3d import facts, networks, runs, stored
from keras_i3d.errors import WeightsError
from keras_i3d.evaluation import scores
from keras_i3d.models import families
from keras_i3d.models.inception import HEAD
from keras_i3d.records import annotations, build_state, manifest
from keras_i3d.specs import RecordSpec
from keras_i3d.training import checkpoints
from keras_i3d.weights import h5_files, keras_files, sources, tensorflow_files

CONV = "Conv3d_1a_7x7_conv_3d"


@pytest.fixture
def network(monkeypatch):
    """An I3D cut short, of few weights."""
    tiny.shorten(monkeypatch)
    return i3d(classes=3, depth_multiplier=0.01, input_shape=(None, None, None, 3))


@pytest.fixture
def good(network, tmp_path):
    path = tmp_path / "x.weights.h5"
    h5_files.save_h5(network, path, **facts.Facts("rgb", 3, depth_multiplier=0.01).record())
    path.with_name(f"{path.name}.sha256").unlink()
    return path


def kernel(file):
    """The group and name of a kernel in a `.weights.h5`."""
    return file["layers/conv3d/vars"], "0"


def external_storage(file, folder):
    """The kernel's values are bytes of another file."""
    group, name = kernel(file)
    shape = group[name].shape
    del group[name]
    group.create_dataset(name, shape, "f4", external=[(str(folder / "secret"), 0, 4 * int(np.prod(shape)))])


def external_link(file, folder):
    group, name = kernel(file)
    with h5py.File(folder / "secret.h5", "w") as other:
        other["x"] = group[name][()]
    del group[name]
    group[name] = h5py.ExternalLink(str(folder / "secret.h5"), "x")


def link_of_a_group(file, folder):
    with h5py.File(folder / "secret.h5", "w") as other:
        file.copy("layers", other)
    del file["layers"]
    file["layers"] = h5py.ExternalLink(str(folder / "secret.h5"), "layers")


def soft_link(file, folder):
    group, name = kernel(file)
    file["elsewhere"] = group[name][()]
    del group[name]
    group[name] = h5py.SoftLink("/elsewhere")


def virtual(file, folder):
    group, name = kernel(file)
    shape = group[name].shape
    with h5py.File(folder / "secret.h5", "w") as other:
        other["x"] = group[name][()]
    del group[name]
    whole = h5py.VirtualLayout(shape, "f4")
    whole[:] = h5py.VirtualSource(str(folder / "secret.h5"), "x", shape)
    group.create_virtual_dataset(name, whole)


def shape_bomb(file, folder):
    """Chunks that were never written: 34 GB of zeros in a few kilobytes."""
    group, name = kernel(file)
    del group[name]
    group.create_dataset(name, (7, 7, 7, 3, 8_300_000), "f4", chunks=(1, 1, 1, 3, 1000), compression="gzip")


def never_written(file, folder):
    group, name = kernel(file)
    shape = group[name].shape
    del group[name]
    group.create_dataset(name, shape, "f4")


def circle(file, folder):
    """A group that holds itself."""
    file["layers/conv3d/more"] = file["layers"]


def twice(file, folder):
    """One array by two names: a small file may be read for ever."""
    group, name = kernel(file)
    group["7"] = group[name]


def text(file, folder):
    group, name = kernel(file)
    del group[name]
    group[name] = ["words"]


H5 = {
    external_storage: "lies in another file",
    external_link: "is a link to somewhere else",
    link_of_a_group: "is a link to somewhere else",
    soft_link: "is a link to somewhere else",
    virtual: "is put together of other files",
    shape_bomb: r"declares 34\d+ bytes, and 0 are stored",
    never_written: r"declares \d+ bytes, and 0 are stored",
    circle: "under another name too",
    twice: "under another name too",
    text: "is no array of numbers",
}


def harm(path, change, folder):
    (folder / "secret").write_bytes(bytes(range(256)) * 4096)
    with h5py.File(path, "r+") as file:
        change(file, folder)


def refused(read, path, message):
    """Checks that a WeightsError of one line says it, without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=message) as error:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert str(error.value).isprintable()
    assert str(path) in str(error.value)


@pytest.mark.parametrize("change", H5)
def test_a_weights_file_is_plain_arrays_of_its_own(change, good, tmp_path):
    harm(good, change, tmp_path)
    assert good.stat().st_size < 1 << 20
    refused(h5_files.read_h5, good, H5[change])
    refused(lambda path: keras_i3d.I3D(weights=path, classes=3, depth_multiplier=0.01), good, H5[change])


@pytest.mark.parametrize("change", [external_storage, external_link, virtual, shape_bomb])
def test_a_keras_file_is_looked_through_before_keras_reads_it(change, network, tmp_path):
    """By the same rules, whatever its Keras lets pass."""
    network.save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "inner.h5").write_bytes(members["model.weights.h5"])
    harm(tmp_path / "inner.h5", change, tmp_path)
    members["model.weights.h5"] = (tmp_path / "inner.h5").read_bytes()
    write_zip(tmp_path / "x.keras", members)
    refused(keras_files.load, tmp_path / "x.keras", H5[change])


def write_zip(path, members, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_weights_compressed_by_hdf5_are_read(good, network, tmp_path):
    """As `h5repack` leaves them, untrained zeros too."""
    wanted = h5_files.read_h5(good)
    with h5py.File(good, "r+") as file:
        group, name = kernel(file)
        value = group[name][()]
        del group[name]
        group.create_dataset(name, data=value, compression="gzip", shuffle=True, fletcher32=True)
    np.testing.assert_equal(h5_files.read_h5(good), wanted)


def test_a_keras_file_that_was_compressed_is_read(network, tmp_path):
    network.save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    write_zip(tmp_path / "x.keras", members, zipfile.ZIP_DEFLATED)
    read = keras_files.load(tmp_path / "x.keras")
    np.testing.assert_equal(read.get_weights(), network.get_weights())


@pytest.mark.parametrize("layer", ["Conv3D", "Dense"])
def test_a_keras_file_that_describes_a_larger_model_than_it_stores(layer, tmp_path):
    """Hundreds of gigabytes of weights in a line of its config, before any of its weights is read."""
    small_runs.small("rgb").save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    large = next(each for each in config["config"]["layers"] if each["class_name"] == "Conv3D")
    if layer == "Conv3D":
        large["config"]["filters"] = 10**10
    else:
        large |= {"class_name": "Dense", "config": {"name": HEAD, "units": 10**11}, "build_config": {}}
    members["config.json"] = json.dumps(config)
    write_zip(tmp_path / "x.keras", members)
    refused(keras_files.load, tmp_path / "x.keras", "its layers have more weights than are stored in it")
    assert small_runs.small("rgb").count_params() > 0  # a model that is not of a file is built as ever
    keras.layers.Dense(1 << 11).build((None, 1 << 11))


@pytest.mark.parametrize("read", [keras_files.load, h5_files.facts_of])
@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_keras_file_that_unpacks_to_gigabytes(read, member, tmp_path):
    small_runs.small("rgb").save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = b" " * (100 << 20)
    write_zip(tmp_path / "x.keras", members, zipfile.ZIP_DEFLATED)
    refused(read, tmp_path / "x.keras", r"declares 10\d+ bytes, and \d+ are stored")


PASSWORDS = "/etc/passwd"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("labels", PASSWORDS, "never a path. Received: '/etc/passwd'"),
        ("labels", "~/labels.txt", "never a path"),
        ("labels", {"0": "a"}, "labels must be"),
        ("labels", [1, 2, 3], "labels must be"),
        ("classes", 1e9, "classes must be"),
        ("depth_multiplier", 1e6, "depth_multiplier must be"),
        ("depth_multiplier", float("nan"), "depth_multiplier must be"),
        ("activation", ["softmax"], "activation must be"),
        ("licence", "\x1b[2J", "licence must be one line of at most 200 characters"),
        ("stream", "audio", "stream must be"),
        ("clip", {"stream": "rgb", "crop": 10**9}, "clip.crop must be"),
        ("clip", {"stream": "rgb", "fps": "25"}, "clip.fps must be"),
        ("clip", {"stream": "rgb", "std": [1, 1, 0]}, "clip.std must be"),
    ],
)
def test_what_a_file_notes_is_of_its_kind(name, value, message, network, tmp_path):
    """By every way in which a file may say it: a `.weights.h5`, a `.keras`, a run."""
    noted = {**facts.Facts("rgb", 3, depth_multiplier=0.01).record(), name: value}
    h5_files.save_h5(network, tmp_path / "x.weights.h5", **noted)
    for read in (h5_files.facts_of, networks.load):
        refused(read, tmp_path / "x.weights.h5", message)
    next(layer for layer in network.layers if hasattr(layer, "facts")).facts = noted
    network.save(tmp_path / "x.keras")
    for read in (h5_files.facts_of, networks.load):
        refused(read, tmp_path / "x.keras", message)


def test_labels_of_a_run_are_a_list(tmp_path):
    folder = small_runs.run(tmp_path / "run", "rgb", network=False)
    for labels in (PASSWORDS, "kinetics400", [], [["a"]], None, {"a": 1}):
        content = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**content, "labels": labels}))
        with pytest.raises(ValueError, match=r"run.json is not of a run that this version reads: .*(labels|TypeError)"):
            runs.read(folder)


def test_published_labels_by_name(network, tmp_path):
    h5_files.save_h5(network, tmp_path / "x.weights.h5", stream="rgb", labels="kinetics400")
    assert h5_files.facts_of(tmp_path / "x.weights.h5").labels == "kinetics400"


def test_a_width_that_the_weights_do_not_have_is_not_built(network, tmp_path):
    """It would be 4096 times the size of I3D."""
    h5_files.save_h5(network, tmp_path / "x.weights.h5", **facts.Facts("rgb", 3, depth_multiplier=64.0).record())
    found = networks.load(tmp_path / "x.weights.h5")
    assert found.model.count_params() == network.count_params()
    folder = small_runs.run(tmp_path / "run", "rgb", best_seed=1, network=False)
    content = json.loads((folder / "run.json").read_text())
    content["recipe"]["depth_multiplier"] = 64
    (folder / "run.json").write_text(json.dumps(content))
    refused(runs.load_model, folder / "best.weights.h5", "does not belong to this model")


@pytest.fixture
def prefix(monkeypatch, tmp_path):
    tiny.shorten(monkeypatch)
    shapes = synthetic.sonnet_shapes(families.find("I3D").layout(classes=3, depth_multiplier=0.01))
    return synthetic.write(shapes, 1, tmp_path / "x")


def first_format(tmp_path, monkeypatch):
    tiny.shorten(monkeypatch)
    shapes = synthetic.sonnet_shapes(families.find("I3D").layout(classes=3, depth_multiplier=0.01))
    return synthetic.write_first_format(shapes, 1, tmp_path / "first")


def test_the_first_format_of_tensorflow_is_loaded(tmp_path, monkeypatch):
    """As the second is, by `weights=`."""
    path = first_format(tmp_path, monkeypatch)
    model = keras_i3d.I3D(weights=path, classes=3, depth_multiplier=0.01)
    wanted = sources.find(
        synthetic.write(synthetic.sonnet_shapes(families.find("I3D").layout(classes=3, depth_multiplier=0.01)), 1, path)
    )
    np.testing.assert_equal(model.get_layer(CONV).get_weights(), wanted.read()[CONV])


def index_of(entries):
    """The bytes of a `.index` of these {name: serialised entry}, its checksums right, as TensorFlow writes it."""

    def block(pairs):
        content = b""
        for key, value in pairs:
            content += b"\0" + varint(len(key)) + varint(len(value)) + key + value
        content += struct.pack("<II", 0, 1)
        return content + b"\0" + struct.pack("<I", crc32c(content + b"\0"))

    data = block(entries)
    empty = block([])
    handle = varint(0) + varint(len(data) - 5)
    last = block([(b"\xff", handle)])
    footer = varint(len(data)) + varint(len(empty) - 5) + varint(len(data + empty)) + varint(len(last) - 5)
    return data + empty + last + footer.ljust(40, b"\0") + tensorflow_files.MAGIC


def varint(value):
    digits = b""
    while value > 127:
        digits += bytes([value & 127 | 128])
        value >>= 7
    return digits + bytes([value])


def entry(sizes, size, dtype=1, **more):
    from tensorflow.core.protobuf import tensor_bundle_pb2

    made = tensor_bundle_pb2.BundleEntryProto(dtype=dtype, size=size, **more)
    for each in sizes:
        made.shape.dim.add(size=each)
    return made.SerializeToString()


def header():
    from tensorflow.core.protobuf import tensor_bundle_pb2

    return tensor_bundle_pb2.BundleHeaderProto(num_shards=1).SerializeToString()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: entry((7, 7, 7, 3, 8_300_000), 96), "declares 34162800000 bytes, and 96 are stored"),
        (lambda: entry((7, 7, 7, 3, 8_300_000), 34_162_800_000), "its data is shorter than its index says"),
        (lambda: entry((-1,), 4), "a shape that no array has"),
        (lambda: entry((1 << 40, 1 << 40), 4), "a shape that no array has"),
        (lambda: entry((4,), 16, dtype=99), "not a readable TensorFlow checkpoint"),
        (lambda: b"\xff\xff\xff", "not the index of a TensorFlow checkpoint"),
        (lambda: entry((1,), 4, offset=1 << 62), "its data is shorter than its index says"),
    ],
)
def test_a_checkpoint_whose_index_promises_more(content, message, tmp_path):
    """TensorFlow takes the memory first, or ends the process."""
    name = b"RGB/inception_i3d/Conv3d_1a_7x7/conv_3d/w"
    (tmp_path / "x.index").write_bytes(index_of([(b"", header()), (name, content())]))
    (tmp_path / "x.data-00000-of-00001").write_bytes(bytes(96))
    refused(lambda path: sources.find(path, "rgb"), tmp_path / "x", message)


@pytest.mark.parametrize("at", [40, 44, 47])
def test_a_footer_beyond_the_file(at, prefix, tmp_path, monkeypatch):
    """The places of a table's blocks have no checksum; TensorFlow takes as much memory as they say."""
    for path, named in ((f"{prefix}.index", prefix), (first_format(tmp_path, monkeypatch), str(tmp_path / "first"))):
        content = bytearray(pathlib.Path(path).read_bytes())
        content[-48:-8] = (varint(0) + varint(1 << at) + varint(1 << at) + varint(1 << at)).ljust(40, b"\0")
        pathlib.Path(path).write_bytes(content)
        refused(lambda path: sources.find(path, "rgb"), named, "a block lies beyond its end")


def npz(**changed):
    """The bytes of a `.npz` whose member has this header."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (2,), **changed}
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + bytes(8)


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": (10**10,)},
        {"shape": (3,)},
        {"shape": (-2,)},
        {"shape": (1 << 40,), "descr": "<U0"},
        {"shape": (1,), "descr": "|O"},
    ],
)
def test_arrays_have_the_bytes_that_their_shapes_take(changed, tmp_path):
    write_zip(tmp_path / "x.npz", {"a.npy": npz()})
    np.testing.assert_array_equal(stored.read_npz(tmp_path / "x.npz")["a"], np.zeros(2, "float32"))
    write_zip(tmp_path / "x.npz", {"a.npy": npz(**changed)})
    with pytest.raises(ValueError, match=r"a.npy is .* bytes, and has 8"):
        stored.read_npz(tmp_path / "x.npz")


def test_an_archive_of_arrays_that_unpacks_to_gigabytes(tmp_path):
    write_zip(tmp_path / "scores.npz", {"y.npy": bytes(200 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"scores.npz is no scores.npz that this version reads: .*declares 2\d+ bytes"):
        scores.read(tmp_path / "scores.npz")


def test_zeros_compress_well_and_are_read(tmp_path):
    """As the scores of a class that never occurs, or the ids of a large split."""
    value = np.zeros((1000, 400, 40), "float32")  # 64 MB
    np.savez_compressed(tmp_path / "x.npz", a=value)
    np.testing.assert_array_equal(stored.read_npz(tmp_path / "x.npz")["a"], value)


def some_scores(folder):
    logits = {"rgb": np.eye(3, dtype="float32")}
    path = folder / "scores.npz"
    scores.Scores(("a", "b", "c"), np.arange(3), ("x", "y", "z"), logits, "whole", "test").save(path)
    return path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", None), ("streams", 5), ("streams", ["flow"]), ("dropped", "abc"), ("failed", [1]),
        ("damage", {"a": "b"}), ("models", []), ("protocol", 7), ("activation", None), (None, "[" * 100_000),
        (None, "no JSON"), (None, "5"),
    ],
)  # fmt: skip
def test_scores_say_what_scores_say(name, value, tmp_path):
    path = some_scores(tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    content = {**json.loads(str(arrays["about"])), name: value}
    np.savez_compressed(path, **{**arrays, "about": np.array(value if name is None else json.dumps(content))})
    with pytest.raises(ValueError, match=r"scores.npz is no scores.npz that this version reads") as error:
        scores.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("y", np.array([0, 1, 3])), ("y", np.zeros(3)), ("ids", np.arange(3)), ("labels", np.array("xyz"))],
)
def test_scores_hold_what_scores_hold(name, value, tmp_path):
    path = some_scores(tmp_path)
    with np.load(path) as file:
        np.savez_compressed(path, **{**dict(file), name: value})
    with pytest.raises(ValueError, match=r"scores.npz is no scores.npz that this version reads"):
        scores.read(path)


def test_scores_that_are_no_archive(tmp_path):
    path = some_scores(tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:100] + bytes(64) + whole[164:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"scores.npz is no scores.npz that this version reads: \S"):
            scores.read(path)


DEEP = "[" * 100_000  # deeper than Python's own stack


def a_checkpoint(folder):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    kept = checkpoints.Checkpoints(folder, model)
    for step in (1, 2):
        kept.save(step, rows=[], best=None)
    return folder / "step-000000002.npz"


@pytest.mark.parametrize(
    "content",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace(b'{"step"', b'["step"'),
        lambda whole: archive({"about.npy": npz(descr="|u1", shape=(8,))}),
        lambda whole: archive({"about.npy": npz(), "00000.npy": npz(shape=(10**12,))}),
        lambda whole: archive({"about.npy": bytes(200 << 20)}),
    ],
)
def test_the_checkpoint_before_a_damaged_one_is_taken(content, tmp_path, capsys):
    newest = a_checkpoint(tmp_path)
    newest.write_bytes(content(newest.read_bytes()))
    assert checkpoints.newest(tmp_path).step == 1
    err = capsys.readouterr().err
    assert err.startswith(f"keras_i3d: {newest} cannot be read (")
    assert err.count("\n") == 1


def archive(members):
    content = io.BytesIO()
    write_zip(content, members, zipfile.ZIP_DEFLATED)
    return content.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: DEEP,
        lambda content: "5",
        lambda content: "\ud800",
        lambda content: {**content, "recipe": []},
        lambda content: {**content, "recipe": {**content["recipe"], "clip_frames": "9"}},
        lambda content: {**content, "recipe": {**content["recipe"], "size": 10**400}},
        lambda content: {**content, "recipe": {**content["recipe"], "depth_multiplier": 1e9}},
        lambda content: {**content, "recipe": {**content["recipe"], "precision": 32}},
        lambda content: {**content, "spec": {**content["spec"], "fps": None}},
        lambda content: {**content, "records": ["a"]},
        lambda content: {**content, "stream": ["rgb"]},
    ],
)
def test_damaged_run_files(change, tmp_path):
    folder = small_runs.run(tmp_path / "run", "rgb", network=False)
    content = change(json.loads((folder / "run.json").read_text()))
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match="run.json is not of a run that this version reads") as error:
        runs.read(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"epoch,step\n1,no\n", b"epoch\n1,2,3\n", b"\xff\xfe", b'epoch\n"1'])
def test_damaged_logs(content, tmp_path):
    folder = small_runs.run(tmp_path / "run", "rgb", network=False)
    (folder / "log.csv").write_bytes(content)
    if content == b'epoch\n"1':
        assert runs.read(folder).log() == [{"epoch": 1.0}]
        return
    with pytest.raises(ValueError, match=r"log.csv is not the log of a run"):
        runs.read(folder).log()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shards", {}), ("shards", [{"name": "../x", "ids": [], "bytes": 1}]), ("labels", "abc"), ("labels", [1]),
        ("failed", ["a"]), ("missing", [{"id": 1}]), ("source", 5), ("split", None), ("spec", {"fps": True}),
        ("spec", {"fps": 10**400}), ("spec", {"short_side": 1.5}), ("spec", []), ("plan", []),
        ("shards", [{"name": "x", "ids": "ab", "bytes": 1}]), ("shards", [{"name": "x", "ids": [], "bytes": -1}]),
        (None, DEEP), (None, "5"), (None, "\ud800"),
    ],
)  # fmt: skip
def test_damaged_manifests(name, value, tmp_path):
    path = manifest.Manifest("train", ("x",), RecordSpec(), ()).write(str(tmp_path))
    with open(path, encoding="utf-8") as file:
        content = {**json.load(file), name: value}
    text = value if name is None else json.dumps(content)
    pathlib.Path(path).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"train.json is not a manifest of records that this version reads") as error:
        manifest.read(path)
    assert "\n" not in str(error.value)


@pytest.fixture
def begun(tmp_path):
    """The Work of a build that stopped after its only shard."""
    examples = (annotations.Example("a", "a.mp4", "x", 0, None, None, "train"),)
    listing = annotations.Listing("csv", "train", ("x",), examples, ())
    work = build_state.Work(listing, str(tmp_path), RecordSpec(), build_state.plan(listing), 10.0)
    with work.begun() as pending:
        assert pending == [0]
        (tmp_path / "train-00000-of-00001.tfrecord").write_bytes(bytes(5))
        done = {"name": "train-00000-of-00001.tfrecord", "ids": ["a"], "bytes": 5}
        done |= {"failed": [], "damaged": [], "classes": [[0]]}
        manifest.write_json(build_state.sidecar(work.folder, 0), done)
    with work.begun() as pending:
        assert pending == []
    return work


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"5", b"\xff", DEEP.encode(), b'{"name": "../x", "ids": [], "bytes": 5, "failed": [], "damaged": []}'],
)
def test_a_shard_whose_notes_are_damaged_is_built_again(content, begun, capsys):
    path = pathlib.Path(build_state.sidecar(begun.folder, 0))
    path.write_bytes(content)
    with begun.begun() as pending:
        assert pending == [0]
    assert f"keras_i3d: {path} cannot be read (" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{", b"5", b"{}", DEEP.encode()])
def test_a_plan_that_is_damaged_is_an_error(content, begun):
    path = pathlib.Path(begun.folder) / "plan.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"plan.jsonl cannot be read .* Remove .*train-build"), begun.begun():
        pass


@pytest.mark.parametrize("content", ["a.mp4,x\0\n", f"a.mp4,{'x' * 5000}\n"])
def test_annotations_are_text_of_bounded_lines(content, tmp_path):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(
        ValueError, match=r"x.csv, line 1: (annotation files are text|at most 4096 characters)"
    ) as error:
        annotations.csv(tmp_path / "x.csv")
    assert len(str(error.value)) < 300


def test_damage_is_fixed_by_seed_and_number(tool, monkeypatch):
    fuzz = tool("fuzz_files")
    files = {"x.json": b'{"a": [1, 2]}', "y.txt": b"abc" * 100}
    monkeypatch.setattr(fuzz, "sound", lambda: dict.fromkeys(fuzz.KINDS, (files,)))
    cases = [fuzz.damaged(0, case) for case in range(50)]
    assert cases == [fuzz.damaged(0, case) for case in range(50)]
    assert sum(case != files for case in cases) > 40


@pytest.mark.slow
def test_damaged_files_are_read_or_refused():
    """By hundreds of each kind, `run` as `make fuzz` calls it."""
    code = "import fuzz_files, json; print(json.dumps(fuzz_files.run(60, 7)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "tools",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    counts = json.loads(done.stdout.splitlines()[-1])
    assert len(counts) == 10
    for kind, found in counts.items():
        assert found["tried"] == found["answered"] + found["refused"] > 0, (kind, done.stderr)
