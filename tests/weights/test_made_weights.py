"""What a weights file holds depends on nothing of the process that makes it; and what a killed one leaves."""

import contextlib
import os
import signal
import subprocess
import sys
import tarfile

import h5py
import keras
import numpy as np
import pytest
from made import ROOT, synthetic
from made.mirrors import NARROW
from made.mirrors import narrow as narrow_network
from made.tiny import i3d

from keras_i3d import atomic
from keras_i3d.models import families
from keras_i3d.precision import policy
from keras_i3d.weights import by_name, conversion, download, h5_files, registry
from keras_i3d.weights.cache import imagenet, published
from keras_i3d.weights.originals import deepmind


@contextlib.contextmanager
def floatx(name):
    before = keras.config.floatx()
    with policy(name):
        keras.config.set_floatx(name)
        try:
            yield
        finally:
            keras.config.set_floatx(before)


@contextlib.contextmanager
def channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        yield
    finally:
        keras.config.set_image_data_format("channels_last")


def mirrored():
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["/cpu:0"]).scope()


CALLERS = {
    "as usual": contextlib.nullcontext,
    "bfloat16": lambda: policy("bfloat16"),
    "float16": lambda: policy("float16"),
    "mixed_float16": lambda: policy("mixed_float16"),
    "mixed_bfloat16": lambda: policy("mixed_bfloat16"),
    "floatx float16": lambda: floatx("float16"),
    "channels_first": channels_first,
    "in a strategy's scope": mirrored,
}


@pytest.fixture
def checkpoint(repository):
    return f"{repository}/data/checkpoints/rgb_imagenet/model.ckpt"


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    """The path of a narrow 2D checkpoint."""
    shapes = synthetic.slim_shapes(synthetic.i3d_shapes(depth_multiplier=NARROW))
    return synthetic.write(shapes, 17, tmp_path_factory.mktemp("slim") / registry.INCEPTION_V1_MEMBER)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_weights_file_is_the_same_whoever_makes_it(caller, checkpoint, slim, tmp_path):
    with CALLERS[caller]():
        cached = published(registry.CHECKPOINTS["kinetics", "rgb"])
        conversion.convert_sonnet(checkpoint, tmp_path / "converted.weights.h5")
        conversion.convert_inception_v1(slim, tmp_path / "inflated.weights.h5", "flow")
    expected = deepmind.read_sonnet(checkpoint)
    for path in (cached, tmp_path / "converted.weights.h5"):
        assert_holds(path, expected)
    assert_holds(tmp_path / "inflated.weights.h5", deepmind.read_inception_v1(slim, channels=2))


def assert_holds(path, expected):
    """The file holds these arrays to the bit, all float32."""
    found = h5_files.read_h5(path)
    assert found.keys() == expected.keys()
    assert {array.dtype.name for arrays in found.values() for array in arrays} == {"float32"}
    for name, arrays in found.items():
        for a, b in zip(arrays, expected[name], strict=True):
            np.testing.assert_array_equal(a, b, name)


def test_the_inflated_archive_too(slim, tmp_path, monkeypatch):
    narrow_network(monkeypatch.setitem)
    archive = tmp_path / registry.INCEPTION_V1.path
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(f"{slim}.index", "no checkpoint")
        shapes = synthetic.slim_shapes(synthetic.i3d_shapes(depth_multiplier=NARROW))
        tar.add(synthetic.write_first_format(shapes, 17, tmp_path / "first.ckpt"), registry.INCEPTION_V1_MEMBER)
    monkeypatch.setenv("KERAS_I3D_MIRROR", str(tmp_path))
    with floatx("float16"):
        path = imagenet("rgb", 1)
    assert_holds(path, deepmind.read_inception_v1(slim))


def in_a_process(code, repository=None, **environment):
    """Runs code in a process of its own; with a repository, in the narrow network and from that mirror."""
    head = ""
    if repository:
        head = (
            "import pathlib; from made import mirrors; from keras_i3d.weights import registry; mirrors.narrow();"
            f"mirrors.register(pathlib.Path({str(repository)!r}), registry, lambda d, k, v: d.__setitem__(k, v))\n"
        )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **environment}
    command = [sys.executable, "-c", head + code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_on_jax_too(repository, checkpoint, cache):
    code = "from keras_i3d.weights.cache import published; published(registry.CHECKPOINTS['kinetics', 'rgb'])"
    done = in_a_process(code, repository, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-2000:]
    assert_holds(cache / "rgb_imagenet-1.weights.h5", deepmind.read_sonnet(checkpoint))


@pytest.mark.parametrize("arguments", [{}, {"include_top": False}, {"stream": "flow", "classes": 7}])
def test_layout_is_the_models(arguments):
    """And its order, for Keras reads weights by position. Full width costs memory alone, for nothing is computed."""
    for width in (1.0, 0.13):
        settings = {**arguments, "depth_multiplier": width}
        assert list(by_name.layer_shapes(i3d(**settings)).items()) == list(
            families.find("I3D").layout(**settings).items()
        )


def test_the_file_is_as_keras_writes_it(tmp_path):
    """The same groups, names and arrays; so Keras reads it by position, and `read_h5` either by name."""
    model = i3d(classes=5, depth_multiplier=NARROW)
    h5_files.save_h5(model, tmp_path / "ours.weights.h5")
    model.save_weights(tmp_path / "kerass.weights.h5")
    ours, kerass = contents(tmp_path / "ours.weights.h5"), contents(tmp_path / "kerass.weights.h5")
    assert ours.keys() == kerass.keys()
    for path, (name, array) in ours.items():
        assert name == kerass[path][0]
        np.testing.assert_array_equal(array, kerass[path][1])
    other = i3d(classes=5, depth_multiplier=NARROW)
    other.load_weights(tmp_path / "ours.weights.h5")
    for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def contents(path):
    """{path of an array in an HDF5 file: (name of its layer, array)}."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda at, item: (
                found.__setitem__(at, (item.parent.attrs["name"], item[()])) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_a_cache_of_half_precision_is_made_again(kind, checkpoint, capsys):
    """As versions before left it, where the first use was in a process of that precision. Its checksum is right."""
    entry = registry.CHECKPOINTS["kinetics", "rgb"]
    path = published(entry)
    with policy(kind):
        model = i3d()
    model.save_weights(path)
    h5_files.checksum_file(path).write_text(f"{download.sha256(path)}  {path.name}\n")
    published(entry)
    assert f"{path} holds {kind}" in capsys.readouterr().err
    assert_holds(path, deepmind.read_sonnet(checkpoint))
    published(entry)
    assert "holds" not in capsys.readouterr().err


KILLED = """
import os, signal, sys
from keras_i3d.weights import h5_files
from keras_i3d.weights.cache import published
def killed(path):
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
h5_files.read_h5 = killed
"""


def test_a_killed_conversion_leaves_nothing_for_ever(repository, cache):
    killed = in_a_process(KILLED + "published(registry.CHECKPOINTS['kinetics', 'rgb'])", repository)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert len(list(cache.glob(".*.weights.h5"))) == 1
    published(registry.CHECKPOINTS["kinetics", "rgb"])
    assert not list(cache.glob(".*.weights.h5"))
    assert not list(cache.glob("downloads/**/*.ckpt*"))


def test_temporary_files_of_the_living_stay(tmp_path):
    """Of this process, of another that lives, of another machine, and of another file."""
    final = tmp_path / "x.txt"
    with atomic.replacing(final) as mine:
        mine.write_text("mine")
        others = [mine.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")]
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        gone = mine.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
        others += [f".00000000{gone[9:]}", f"{gone}.more", gone.replace("x.txt", "y.txt")]
        for name in (*others, gone):
            (tmp_path / name).write_text("")
        atomic.write_text(tmp_path / "z.txt", "another file cleans nothing here")
        assert (tmp_path / gone).exists()
        atomic.clean(tmp_path, final.name)
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*others, mine.name, "z.txt"])
    assert final.read_text() == "mine"
    (tmp_path / others[0]).unlink()
    atomic.clean(tmp_path, final.name, alone=True)
    others = others[2:]
    with pytest.raises(UnicodeEncodeError):
        atomic.write_text(final, "half \ud800")
    assert final.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*others, final.name, "z.txt"])
