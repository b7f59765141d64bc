"""Programs that are not ours read an export, in processes without keras_i3d, and find the label of `classify`."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from made import ROOT, films, small_exports

import keras_i3d
from keras_i3d import preprocess_input
from keras_i3d.inference.chunks import centre_crop
from keras_i3d.records import sequence_example
from keras_i3d.specs import RecordSpec

FRAMES = 12


@pytest.fixture(scope="module")
def frames():
    """A video as `classify` reads it: uint8 (T, 40, 56, 3)."""
    return small_exports.film(1, FRAMES, seed=4)[0]


@pytest.fixture(scope="module")
def fields(frames):
    """Its flow, float32 (T - 1, 40, 56, 2)."""
    return keras_i3d.flow.tvl1(frames)


@pytest.fixture(scope="module")
def labels(exported, frames):
    """{streams: the label that `classify` finds in the video}."""
    content = films.film(list(frames))
    return {
        s: keras_i3d.classify(content, s, **{n: exported.runs[n] for n in names}).predictions[0].label
        for s, names in (("rgb", ["rgb"]), ("both", ["rgb", "flow"]))
    }


@pytest.fixture(scope="module")
def clips(frames, fields):
    """{stream: clip in [-1, 1], (1, T, 32, 32, C)}; flow as long as RGB is, for a session that feeds both."""
    whole = {"rgb": frames, "flow": fields}
    return {s: preprocess_input(np.stack([centre_crop(x, 32) for x in clip]), s)[None] for s, clip in whole.items()}


@pytest.fixture(scope="module")
def inputs(frames, fields, clips):
    """{signature: {input: array}} of the video."""
    spec = RecordSpec(short_side=40)
    files = np.array([[sequence_example.encode_rgb(frame) for frame in frames]])
    flows = np.array([[sequence_example.encode_flow(field, spec) for field in fields]])
    return {
        "serving_default": clips,
        "uint8": {"frames": frames[None]},
        "jpeg": {"frames": files},
        "jpeg_two_stream": {"rgb": files, "flow": flows},
        "frames_two_stream": {"frames": frames[None]},
        "frames_two_stream_jpeg": {"frames": files},
    }


@pytest.fixture(scope="module")
def tensorflow_logits(exported):
    """{stream: clips} to logits, (B, classes), by the export's serving_default in TensorFlow."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported.folder / "1"))

    def logits(clips):
        return loaded.signatures["serving_default"](**{s: tf.constant(x) for s, x in clips.items()})["logits"].numpy()

    return logits


def program(words, folder, **environment):
    """Runs a program in a folder that has no keras_i3d; returns what it printed."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": "", **environment}
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow  # OpenVINO and a C program load the same export at once
def test_saved_model_cli_shows_and_runs_every_signature(exported, inputs, labels, tmp_path):
    """TensorFlow's own tool, all its commands in one process, where importing keras_i3d or Keras raises."""
    commands, tag = [["show", "--dir", str(exported.folder / "1"), "--all"]], ["--tag_set", "serve"]
    for signature, arrays in inputs.items():
        for name, array in arrays.items():
            np.save(tmp_path / f"{signature}-{name}.npy", array)
        files = ";".join(f"{name}={signature}-{name}.npy" for name in arrays)
        place = ["--dir", str(exported.folder / "1"), *tag, "--signature_def", signature]
        commands.append(["run", *place, "--inputs", files, "--outdir", signature])
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    code = """
        import json, sys
        sys.modules["keras_i3d"] = sys.modules["keras"] = None
        from tensorflow.python.tools import saved_model_cli
        for words in json.load(open("commands.json")):
            sys.argv = ["saved_model_cli", *words]
            try:
                saved_model_cli.main()
            except SystemExit as end:
                assert not end.code, words
    """
    shown = program([sys.executable, "-c", textwrap.dedent(code)], tmp_path)
    for signature, arrays in inputs.items():
        said = shown.split(f"signature_def['{signature}']:")[1].split("signature_def[")[0]
        assert all(f"inputs['{name}'] tensor_info" in said for name in arrays)
        both = "two_stream" in signature or signature == "serving_default"
        found = {path.stem: np.load(path, allow_pickle=True) for path in (tmp_path / signature).iterdir()}
        if "classes" in found:
            assert sorted(found) == ["classes", "logits", "scores"]
            assert found["classes"][0, 0].decode() == labels["both" if both else "rgb"]
        else:
            assert sorted(found) == ["logits", "probabilities"]
        listed = (exported.folder / "1/assets/labels.txt").read_text().splitlines()
        assert listed[found["logits"][0].argmax()] == labels["both" if both else "rgb"]


def test_openvino_reads_clips_of_any_number_and_length(exported, clips, tensorflow_logits, tmp_path):
    """Its logits are TensorFlow's, each batch and length compiled once."""
    pytest.importorskip("openvino", reason="needs openvino")
    batches = {"one": clips, "two": {s: np.tile(clip, (2, 2, 1, 1, 1)) for s, clip in clips.items()}}
    for name, batch in batches.items():
        np.savez(tmp_path / f"{name}.npz", **batch)
    code = """
        import sys
        import numpy as np, openvino
        core = openvino.Core()
        model = core.read_model(sys.argv[1])
        assert all(i.partial_shape[axis].is_dynamic for i in model.inputs for axis in (0, 1))
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for name in ("one", "two"):
            batch = dict(np.load(name + ".npz"))
            np.save(name + ".npy", compiled(batch)["logits"])
        assert not {"tensorflow", "keras", "keras_i3d"} & set(sys.modules)
    """
    program([sys.executable, "-c", textwrap.dedent(code), str(exported.folder / "1")], tmp_path)
    for name, batch in batches.items():
        found, expected = np.load(tmp_path / f"{name}.npy"), tensorflow_logits(batch)
        assert found.shape == expected.shape
        assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)


def test_a_c_program_loads_it_as_the_server_does(exported, clips, labels, tensorflow_logits, tmp_path):
    """Compiled against the headers and the library of the TensorFlow that is installed."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    compiler = shutil.which("gcc")
    library = tf.sysconfig.get_lib()
    if not compiler or not os.path.exists(f"{library}/libtensorflow_cc.so.2"):
        pytest.skip("needs gcc, and a TensorFlow with libtensorflow_cc.so.2")
    links = [f"-l:libtensorflow_{name}.so.2" for name in ("cc", "framework")]
    built = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-isystem", tf.sysconfig.get_include()]
    built += [str(ROOT / "tests/serving_consumer.c"), "-o", "consumer", f"-L{library}", *links, f"-Wl,-rpath,{library}"]
    program(built, tmp_path)
    model = saved_model_pb2.SavedModel.FromString((exported.folder / "1/saved_model.pb").read_bytes())
    signature = model.meta_graphs[0].signature_def["serving_default"]
    words = ["./consumer", str(exported.folder / "1"), signature.outputs["logits"].name]
    for stream, clip in clips.items():
        clip.tofile(tmp_path / stream)
        words += [signature.inputs[stream].name, stream, ",".join(map(str, clip.shape))]
    label, logit = program(words, tmp_path).rsplit(None, 1)
    assert label == labels["both"]
    assert float(logit) == pytest.approx(tensorflow_logits(clips).max(), rel=1e-4)
