"""A `.keras` file of a stranger that carries code: every road that loads one refuses it, and runs nothing of it."""

import base64
import json
import marshal
import zipfile

import keras
import numpy as np
import pytest
from made import small_records, small_runs

import keras_i3d
from keras_i3d import WeightsError, evaluation, export, networks, runs, training
from keras_i3d.weights import sources


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


def calling(function, inputs, name="call", **arguments):
    """A Lambda layer whose function Keras calls with these arguments while it puts the model together."""
    return {
        "module": "keras.layers", "class_name": "Lambda", "registered_name": None, "name": name,
        "config": {"name": name, "function": function, "arguments": arguments},
        "inbound_nodes": [{"args": [], "kwargs": {"inputs": inputs}}],
    }  # fmt: skip


def own_code(mark):
    """Bytecode in the file itself, as a Lambda layer of Python's `lambda` has it."""
    code = compile(f"lambda inputs: open({str(mark)!r}, 'w').close() or inputs", "x", "eval").co_consts[0]
    stored = {"code": base64.b64encode(marshal.dumps(code)).decode(), "defaults": None, "closure": None}
    return calling({"class_name": "__lambda__", "config": stored}, 0)


def injected_module(mark, folder):
    """A module that lies on the import path, as one in the working directory does."""
    (folder / "a_module_of_a_stranger.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    x = {"module": "a_module_of_a_stranger", "class_name": "X", "config": {}, "registered_name": "X"}
    return [{**x, "name": "x", "inbound_nodes": []}]


def library_function(mark, folder):
    """CVE-2025-1550."""
    return [calling(function("os", "mkdir"), str(mark))]


def lambda_code(mark, folder):
    """What `safe_mode` is for."""
    return [own_code(mark)]


def second_file(mark, folder):
    """CVE-2025-9906: the first function turns `safe_mode` off, the next loads a file with a Lambda layer."""
    small_runs.small("rgb").save(folder / "plain.keras")
    path = with_layers(folder / "plain.keras", [own_code(mark)], folder / "second.keras")
    switch = function("keras.src.backend.common.global_state", "set_global_attribute")
    load = calling(function("keras.models", "load_model"), str(path), "load", safe_mode=False)
    return [calling(switch, "safe_mode_saving", "switch", value=False), load]


def download(mark, folder):
    """CVE-2025-8747: a function of Keras that writes a file."""
    (folder / "origin").write_text("x")
    settings = {"origin": (folder / "origin").as_uri(), "cache_dir": str(mark.parent), "cache_subdir": "."}
    return [calling(function("keras.utils", "get_file"), mark.name, **settings)]


def saved_graph(mark, folder):
    """CVE-2026-1462: a graph beside the file, which would be run with the model."""
    import tensorflow as tf

    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
        def serve(self, x):
            tf.io.write_file(str(mark), "x")
            return x

    tf.saved_model.save(Writer(), str(folder / "graph"))
    config = {"name": "graph", "filepath": str(folder / "graph"), "call_endpoint": "serving_default"}
    layer = {"module": "keras.layers", "class_name": "TFSMLayer", "registered_name": None, "config": config}
    number = {"class_name": "__numpy__", "config": {"value": 0.0, "dtype": "float32"}}
    return [{**layer, "name": "graph", "inbound_nodes": [{"args": [], "kwargs": {"inputs": number}}]}]


PAYLOADS = (injected_module, library_function, lambda_code, second_file, download, saved_graph)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "model.keras"
    small_runs.small("rgb").save(path)
    return path


@pytest.fixture
def mark(tmp_path):
    """The file or folder that a payload makes where it runs."""
    return tmp_path / "mark"


def with_layers(good, layers, path):
    """Writes the model of `good` with these layers before its own."""
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][:0] = layers
                content = json.dumps(config)
            target.writestr(name, content)
    return path


@pytest.fixture
def hostile(good, mark, tmp_path, monkeypatch):
    """Writes PATH, by default a file of its own, with a payload; returns the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(payload, path=tmp_path / "hostile.keras"):
        return with_layers(good, payload(mark, tmp_path), path)

    return write


def check_refused(road, mark, path):
    with pytest.raises(keras_i3d.WeightsError) as refused:
        road()
    message = str(refused.value)
    assert message.startswith(f"{path}: not a readable .keras model")
    assert message.isprintable()  # one line
    assert len(message) < 300 + len(str(path))  # Keras tells whole configs
    assert not mark.exists()
    return message


def test_without_a_payload_the_file_is_read(good, tmp_path):
    again = with_layers(good, [], tmp_path / "again.keras")
    clip = np.zeros((1, 12, 32, 32, 3), "float32")
    wanted = keras.models.load_model(good, compile=False)(clip)
    np.testing.assert_array_equal(keras.models.load_model(again, compile=False)(clip), wanted)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_code_in_a_file_is_refused(hostile, mark, payload):
    path = hostile(payload)
    message = check_refused(lambda: keras_i3d.I3D(weights=path, classes=3), mark, path)
    assert any(
        name in message for name in ("'X'", "'mkdir'", "`Lambda`", "global_attribute", "get_file", "`TFSMLayer`")
    )


def classify(weights, folder):
    keras_i3d.Classifier("rgb", rgb=weights, labels=list(small_runs.LABELS))


def two_streams(weights, folder):
    keras_i3d.TwoStreamI3D(weights={"rgb": weights, "flow": None}, classes=3)


def evaluate(weights, folder):
    evaluation.evaluate(small_records.split(folder / "records", "test", 2, shards=1), rgb=weights)


def export_model(weights, folder):
    export.saved_model(folder / "export", 1, rgb=weights, frames=0)


def train(weights, folder):
    records = small_records.split(folder / "records", "train", 3, shards=1)
    settings = {"clip_frames": 9, "size": 32, "steps": 1, "batch_size": 1}
    training.train(records, folder / "run", weights=weights, settings=settings, progress=False)


@pytest.mark.parametrize("road", [classify, two_streams, evaluate, export_model, train])
def test_every_road_refuses_a_file(hostile, mark, tmp_path, road):
    path = hostile(injected_module)
    check_refused(lambda: road(path, tmp_path), mark, path)


def load_run(weights, folder):
    runs.load_model(weights)


@pytest.mark.parametrize("road", [load_run, classify, evaluate, export_model])
def test_every_road_refuses_a_run(hostile, mark, tmp_path, road):
    run = small_runs.run(tmp_path / "run", "rgb", network=False)
    path = hostile(injected_module, run / runs.MODEL)
    check_refused(lambda: road(run, tmp_path), mark, path)


@pytest.mark.parametrize("family", ["X3D", ["I3D"], {"name": "I3D"}, 7])
def test_a_network_that_this_version_does_not_know(family, good, tmp_path):
    """It was taken for an I3D, or ended in a traceback."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                check = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "ClipCheck")
                check["config"]["family"] = family
                content = json.dumps(config)
            target.writestr(name, content)
    for load in (lambda: networks.load(path, "rgb"), lambda: sources.find(path, "rgb")):
        with pytest.raises(WeightsError, match="its network is none of those that `keras-i3d models` lists. Rec"):
            load()
