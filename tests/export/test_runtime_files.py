"""Files of other runtimes: what is in the folder, what their runtimes answer, and what is refused before any work."""

import importlib.util
import json

import keras
import numpy as np
import pytest
from made import small_exports, small_runs

from keras_i3d import cli, export, runs
from keras_i3d.errors import is_installed
from keras_i3d.export import runtime_files, version_folder
from keras_i3d.weights import download


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{stream: run}."""
    with small_exports.small():
        yield small_exports.write_runs(tmp_path_factory.mktemp("runs"))


def needs(form):
    """Skips where a package of the format is absent."""
    for module in runtime_files.FORMATS[form].packages:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}, of the extra {form}")


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("openvino", {"model.xml", "model.bin"}),
        pytest.param("onnx", {"model.onnx"}, marks=pytest.mark.slow),
        pytest.param("litert", {"model.tflite"}, marks=pytest.mark.slow),
    ],
)
def test_a_file_answers_in_its_runtime_as_the_model_does(made, form, files, tmp_path, capsys):
    needs(form)
    command = ["export", f"--rgb={made['rgb']}", f"--flow={made['flow']}", f"--output={tmp_path / 'film'}"]
    assert cli.main([*command, "--version=2", f"--format={form}", "--frames=10"]) == 0
    folder = tmp_path / "film" / "2"
    assert {path.name for path in folder.iterdir()} == files | {"labels.txt", "keras_i3d.json"}
    assert (folder / "labels.txt").read_text().split() == list(small_runs.LABELS)
    card = json.loads((folder / "keras_i3d.json").read_text())
    assert card["labels_sha256"] == download.sha256(folder / "labels.txt")
    batch = 1 if form == "litert" else None
    assert card["inputs"]["flow"] == {"dtype": "float32", "shape": [batch, 10, 32, 32, 2]}
    assert (card["format"], card["precision"], card["activation"]) == (form, "float32", "softmax")
    assert card["clip"]["rgb"]["short_side"] == 40
    assert set(card["weights"]) == {"rgb", "flow"}
    found = card["deviation"]
    assert found["relative_l2"] < 1e-4
    assert found["top1_agrees"] == found["clips"] == 2
    said = capsys.readouterr().out
    assert f"{found['relative_l2']:.2e} (relative L2, at most)" in said
    assert card["verified_by"] in said
    # Asked once more, and by numbers of our own: the logits are the sum of the plain models'.
    draw = np.random.default_rng(3)
    clip = {"rgb": draw.uniform(-1, 1, (1, 10, 32, 32, 3)), "flow": draw.uniform(-1, 1, (1, 10, 32, 32, 2))}
    clip = {stream: x.astype("float32") for stream, x in clip.items()}
    file = next(folder / name for name in files if not name.endswith(".bin"))
    _, (answer,) = runtime_files.answers_of(form, file, [clip])
    with small_exports.small():
        models = {stream: runs.load_model(runs.weights_file(folder)) for stream, folder in made.items()}
    wanted = sum(_logits(models[stream], clip[stream]) for stream in clip)
    assert np.linalg.norm(answer["logits"] - wanted) < 1e-5 * np.linalg.norm(wanted)
    shares = np.exp(wanted) / np.exp(wanted).sum()
    np.testing.assert_allclose(answer["probabilities"], shares, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["openvino", "onnx"])
def test_clips_of_any_number_and_length(made, form, tmp_path):
    needs(form)
    with small_exports.small():
        written = export.runtime_file(tmp_path / "film", form, rgb=made["rgb"], frames=0)
        model = runs.load_model(runs.weights_file(made["rgb"]))
    assert written.card["inputs"]["rgb"]["shape"] == [None, None, 32, 32, 3]
    draw = np.random.default_rng(3)
    clips = [draw.uniform(-1, 1, (batch, frames, 32, 32, 3)).astype("float32") for batch, frames in ((1, 9), (2, 17))]
    file = written.path / written.card["file"]
    _, answers = runtime_files.answers_of(form, file, [{"rgb": clip} for clip in clips])
    for clip, answer in zip(clips, answers):
        wanted = _logits(model, clip)
        assert np.linalg.norm(answer["logits"] - wanted) < 1e-5 * np.linalg.norm(wanted)


def _logits(model, x):
    return np.asarray(keras.Model(model.input, model.get_layer("Logits").output)(x, training=False))


def test_what_can_be_said_before_any_work(made, tmp_path, monkeypatch, capsys):
    def write(form, **settings):
        export.runtime_file(tmp_path / "film", form, rgb=made["rgb"], **settings)

    with pytest.raises(ValueError, match="format must be one of 'openvino', 'onnx', 'litert'. Received: .*'tensorrt'"):
        write("tensorrt")
    with pytest.raises(ValueError, match="onnx is in float32. Received: precision='bfloat16'"):
        write("onnx", precision="bfloat16")
    with pytest.raises(ValueError, match="litert takes clips of a fixed number of frames. Received: frames=0"):
        write("litert", frames=0)
    monkeypatch.setattr(runtime_files, "is_installed", lambda name: False)
    with pytest.raises(ImportError, match=r"needs the package onnx, .*Run: pip install 'keras-i3d\[onnx\]'"):
        write("onnx")
    assert not (tmp_path / "film").exists()
    assert cli.main(["export", f"--rgb={made['rgb']}", "--output=x", "--version=1", "--format=onnx", "--archive"]) == 2
    assert "--archive and --flow_quality are of a SavedModel. Received: --format=onnx" in capsys.readouterr().err


def test_a_file_that_answers_something_else_is_not_put_in_place(made, tmp_path, monkeypatch):
    needs("openvino")

    def wrong(form, path, clips, precision):
        return "openvino 0", [{"logits": np.ones((2, 3)), "probabilities": np.ones((2, 3)) / 3}]

    monkeypatch.setattr(runtime_files, "answers_of", wrong)
    with pytest.raises(export.ExportError, match="openvino 0 must be within 0.0001 .*Nothing was put in place"):
        export.runtime_file(tmp_path / "film", "openvino", rgb=made["rgb"], frames=10)
    assert [path.name for path in (tmp_path / "film").iterdir()] == [".lock"]


def test_what_its_runtime_cannot_read_is_said_in_a_line(tmp_path):
    needs("openvino")
    (tmp_path / "model.xml").write_text("no graph")
    with pytest.raises(export.ExportError, match="^model.xml cannot be run by its runtime: [^\n]+$"):
        runtime_files.answers_of("openvino", tmp_path / "model.xml", [])


def test_a_folder_called_like_a_package_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "tflite_of_mine").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("tflite_of_mine")
    (tmp_path / "tflite_of_mine" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert is_installed("tflite_of_mine")


def test_versions_of_several_formats_are_told(tmp_path, capsys):
    for version, file in (("1", "saved_model.pb"), ("2", "model.onnx"), (".part-3", "x"), ("3", "model.onnx")):
        (tmp_path / version).mkdir()
        (tmp_path / version / file).touch()
    version_folder.say_other_formats(tmp_path, 3, "model.onnx")
    assert "has version 1 in another format than version 3" in capsys.readouterr().err
    version_folder.say_other_formats(tmp_path, 1, "saved_model.pb")
    assert "has version 2, 3 in another format than version 1" in capsys.readouterr().err
    version_folder.say_other_formats(tmp_path / "new", 1, "saved_model.pb")
    assert not capsys.readouterr().err
