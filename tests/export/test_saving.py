"""How a version of an export comes into place: checked, written aside, tried, packed, listed."""

import errno
import json
import re
import subprocess
import sys
import tarfile
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import small_exports, small_runs

from keras_i3d import I3D, cli, export, runs
from keras_i3d.export import archive, exported_networks, saving, server_files, version_folder
from keras_i3d.export import card as cards
from keras_i3d.progress import Bar
from keras_i3d.specs import CLIP_FRAMES, RecordSpec
from keras_i3d.weights import download


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{stream: run}."""
    with small_exports.small():
        yield small_exports.write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def rgb(made, tmp_path_factory):
    """An export of the RGB stream for any number of frames, in bfloat16, by the command, which reads its run once."""
    models = tmp_path_factory.mktemp("models")
    output = models / "film"
    command = ["export", f"--rgb={made['rgb']}", f"--output={output}", "--version=2", "--frames=0"]
    reads, load, bars = [], runs.load_model, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "load_model", lambda *given, **settings: reads.append(given) or load(*given, **settings))
        patch.setattr(
            version_folder, "Bar", lambda *given, **settings: bars.append(Bar(*given, **settings)) or bars[-1]
        )
        assert cli.main([*command, "--precision=bfloat16", "--archive"]) == 0
    assert len(reads) == 1
    assert [(bar.done, bar.total) for bar in bars] == [(7, 7)], "weights, signatures, file, three tried, compared"
    return output / "2"


def card_of(path):
    return json.loads((path / "assets.extra/keras_i3d.json").read_text())


def film(frames):
    return small_exports.film(1, frames=frames)


def test_a_version_has_what_a_server_and_a_person_look_for(rgb, made):
    assert (rgb / "assets/labels.txt").read_text().split() == list(small_runs.LABELS)
    card = card_of(rgb)
    assert (card["name"], card["version"], card["streams"]) == ("film", 2, ["rgb"])
    assert (card["precision"], card["frames"], card["classes"]) == ("bfloat16", None, 3)
    assert card["labels_sha256"] == download.sha256(rgb / "assets/labels.txt")
    assert card["clip"]["rgb"]["short_side"] == 40
    weights = card["weights"]["rgb"]
    assert weights["sha256"] == download.sha256(made["rgb"] / runs.MODEL)
    assert weights["training"]["records"] == "data/train*"
    assert card["signatures"]["jpeg"]["inputs"] == {"frames": {"dtype": "string", "shape": [None, None]}}
    assert card["signatures"]["uint8"]["outputs"]["logits"] == {"dtype": "float32", "shape": [None, 3]}
    assert str(made["rgb"].parent) not in json.dumps(card)
    deviation = card["deviation"]
    assert 1e-6 < deviation["relative_l2"] < 0.05  # bfloat16 it is, and no more than that
    assert deviation["clips"] == cards.CLIPS


def test_the_deviation_is_what_the_export_differs_by(rgb, made):
    import tensorflow as tf

    serve = tf.saved_model.load(str(rgb)).signatures["serving_default"]
    model = runs.load_model(made["rgb"])
    plain = keras.Model(model.input, model.get_layer("Logits").output)
    found = []
    for seed in range(cards.CLIPS):
        clip = cards.clip((CLIP_FRAMES, 32, 32, 3), seed)[None]
        wanted = np.asarray(plain(clip))
        found.append(np.linalg.norm(serve(rgb=tf.constant(clip))["logits"] - wanted) / np.linalg.norm(wanted))
    assert card_of(rgb)["deviation"]["relative_l2"] == pytest.approx(max(found), rel=1e-3)


def test_no_python_is_in_the_graph(rgb):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = SavedModel.FromString((rgb / "saved_model.pb").read_bytes()).meta_graphs[0]
    assert not [op.name for op in graph.meta_info_def.stripped_op_list.op if "Py" in op.name]
    nodes = [node for function in graph.graph_def.library.function for node in function.node_def]
    operations = {node.op for node in (*graph.graph_def.node, *nodes)}
    assert "DecodeJpeg" in operations
    assert not [name for name in operations if "PyFunc" in name]
    assert not [name for name in operations if name.startswith("Xla")]
    # Datasets of what the request holds, in which an image that cannot be decoded is found: none that reads a file.
    kinds = {name.removesuffix("V2").removesuffix("Dataset") for name in operations if "Dataset" in name}
    tensors = {"TensorSlice", "Tensor", "DatasetToSingleElement"}
    assert kinds == tensors | {"ParallelMap", "IgnoreErrors", "Batch", "Concatenate", "Take", "Options"}


def test_any_number_of_frames_and_too_few(rgb):
    import tensorflow as tf

    ask = small_exports.Server(rgb)
    for frames in (9, 17):
        assert np.isfinite(ask("uint8", frames=film(frames))["logits"]).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="with at least 9 frames. Received: 8, .* Repeat the"):
        ask("uint8", frames=film(8))
    assert np.isfinite(ask("uint8", frames=film(9))["logits"]).all()


def test_flow_alone_is_computed_from_frames(made, tmp_path):
    import tensorflow as tf

    from keras_i3d import flow, preprocess_input
    from keras_i3d.inference.chunks import centre_crop

    path = export.saved_model(tmp_path / "flow", flow=made["flow"], frames=0).path
    ask = small_exports.Server(path)
    assert {"facts", "jpeg", "serving_default", "uint8"} == set(ask.signatures) - {"__saved_model_init_op"}
    clips = film(12)
    fields = np.asarray(tf.function(flow.TVL1())(clips))[0]
    clip = preprocess_input(np.array([centre_crop(field, 32) for field in fields]), "flow")[None]
    wanted = ask("serving_default", flow=clip)["logits"]
    np.testing.assert_allclose(ask("uint8", frames=clips)["logits"], wanted, rtol=1e-3, atol=1e-4)
    images = small_exports.encode(clips, png=True)
    np.testing.assert_allclose(ask("jpeg", frames=images)["logits"], wanted, rtol=1e-3, atol=1e-4)


def test_an_existing_version_is_kept_without_force(rgb, made):
    before = {path: path.read_bytes() for path in rgb.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"film/2 is there, and a version does not change. .*--force"):
        export.saved_model(rgb.parent, 2, rgb=made["rgb"])
    assert {path: path.read_bytes() for path in rgb.rglob("*") if path.is_file()} == before


def test_a_wrong_export_is_not_put_in_place(made, tmp_path, monkeypatch):
    """Nor does it, with force, take the place of a good one."""
    output = tmp_path / "models/film"
    (output / "1").mkdir(parents=True)
    (output / "1/saved_model.pb").write_text("the old one")

    def other(model, dtype):
        changed = keras.models.clone_model(model)
        changed.set_weights([weight + 0.1 for weight in model.get_weights()])
        return changed

    monkeypatch.setattr(exported_networks, "optimize_for_inference", other)
    with pytest.raises(export.ExportError, match=r"within 0.001 of the plain model's .* Received: .* Nothing was put"):
        export.saved_model(output, 1, rgb=made["rgb"], frames=9, force=True)
    assert sorted(path.name for path in output.iterdir()) == [".lock", "1"]
    assert (output / "1/saved_model.pb").read_text() == "the old one"


def test_a_version_is_replaced_by_force_and_leftovers_go(made, tmp_path):
    output = tmp_path / "models/film"
    (output / "1").mkdir(parents=True)
    (output / "1/saved_model.pb").write_text("the old one")
    (output / ".part-7/variables").mkdir(parents=True)  # of an export that was killed
    export.saved_model(output / "1" / "..", 1, rgb=made["rgb"], frames=9, force=True)
    assert sorted(path.name for path in output.iterdir()) == [".lock", "1"]
    assert (card_of(output / "1")["frames"], card_of(output / "1")["name"]) == (9, "film")


def test_killed_at_any_point_there_is_an_old_version_or_a_new_one(tmp_path):
    """Every state that the renames go through is put right by the next run."""
    final, replaced, part = (
        tmp_path / name for name in ("4", f"{version_folder.REPLACED}4", f"{version_folder.UNFINISHED}4")
    )
    for there, expected in (((final, part), "4"), ((replaced, part), ".replaced-4"), ((replaced, final), "4")):
        for path in there:
            path.mkdir()
            (path / "from").write_text(path.name)
        version_folder.clean(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["4"]
        assert (final / "from").read_text() == expected
        (final / "from").unlink()
        final.rmdir()


def test_two_exports_do_not_share_a_folder(made, tmp_path):
    with version_folder.unfinished(tmp_path / "film", 1, False):
        names = [path.name for path in (tmp_path / "film").iterdir()]
        assert not [name for name in names if name.isdigit()]  # what a server would load
        with (
            pytest.raises(export.ExportError, match="Another export writes in"),
            version_folder.unfinished(tmp_path / "film", 2, 0),
        ):
            pass


FULL = tf.errors.ResourceExhaustedError(None, None, "out/1/x; No space left on device")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EROFS, "Read-only file system", "out/1"), "out/1: the file system is read-only. Name another"),
        (FULL, "out/1/x: the disk is full. Free some space"),
        (tf.errors.InternalError(None, None, "no rule for this\nmore"), "no rule for this$"),
    ],
)
def test_what_the_file_system_refuses_is_said_with_its_remedy(error, message):
    said = f"Writing or trying the export in out failed: {message}"
    with pytest.raises(export.ExportError, match=said), version_folder.told("out"):
        raise error


def test_what_cannot_be_exported(made, tmp_path):
    output = tmp_path / "film"
    untrained = I3D(weights=None, classes=3)
    for settings, problem in (
        ({}, "needs weights for rgb, flow or both"),
        ({"rgb": made["rgb"], "version": 0}, "whole number from 1. Received: version=0"),
        ({"rgb": made["rgb"], "frames": 8}, "at least 9 here, or 0 for any number. Received: 8. Pass frames=9"),
        ({**made, "frames": 9}, "at least 10 here"),
        (made, "at least 10 here, or 0 for any number. Received: 9, the length of the clips that it was trained on"),
        ({"rgb": made["flow"]}, "The rgb stream takes weights of its own. Received: .*, a run, of the flow stream"),
        ({"rgb": untrained}, "never trained"),
        ({"rgb": made["rgb"], "labels": ["one"]}, "1 labels for 3 classes"),
        ({"rgb": made["rgb"], "flow_quality": "best"}, "quality must be one of"),
    ):
        with pytest.raises(ValueError, match=problem):
            export.saved_model(output, **settings)
        assert not output.exists() or not [path for path in output.iterdir() if path.name != version_folder.LOCK]
    with pytest.raises(ValueError, match="letters, digits"):
        export.saved_model(tmp_path / "my film", rgb=made["rgb"])


def test_streams_that_do_not_fit_each_other(made, tmp_path):
    other = small_runs.run(tmp_path / "other", "flow", spec={"short_side": 48})
    with pytest.raises(ValueError, match="same short_side"):
        export.saved_model(tmp_path / "film", rgb=made["rgb"], flow=other, frames=10)
    small = small_runs.run(tmp_path / "small", "rgb", spec={"short_side": 24})
    with pytest.raises(ValueError, match="a crop of 32 pixels, a short side of 24"):
        export.saved_model(tmp_path / "film", rgb=small)


def test_the_archive_is_the_same_for_the_same_folder(rgb, tmp_path):
    """Whatever the times, rights and order on disk; its line in SHA256SUMS is what sha256sum checks."""
    first = rgb.parent.parent / "film-2.tar.gz"
    again = tmp_path / "models/film/2"
    for path in sorted(rgb.rglob("*"), reverse=True):
        if path.is_file():
            copy = again / path.relative_to(rgb)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o600)
    second = archive.pack(again)
    assert second.read_bytes() == first.read_bytes()
    digest = download.sha256(first)
    assert (second.parent / archive.SUMS).read_text() == f"{digest}  film-2.tar.gz\n"
    (second.parent / archive.SUMS).write_text(f"{'0' * 64}  film-2.tar.gz\n{'1' * 64}  other-1.tar.gz\n")
    archive.pack(again)
    assert (second.parent / archive.SUMS).read_text().split() == [digest, "film-2.tar.gz", "1" * 64, "other-1.tar.gz"]


@pytest.mark.parametrize("reader", ["tensorflow", "keras", "hub"])
def test_an_unpacked_archive_is_read_by(reader, rgb, tmp_path):
    with tarfile.open(rgb.parent.parent / "film-2.tar.gz") as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    path, clip = str(tmp_path / "unpacked"), np.float32(cards.clip((9, 32, 32, 3), 0)[None])
    if reader == "keras":
        answer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")(clip)
    else:
        import tensorflow as tf

        load = tf.saved_model.load if reader == "tensorflow" else pytest.importorskip("tensorflow_hub").load
        answer = load(path).signatures["serving_default"](rgb=tf.constant(clip))
    wanted = small_exports.Server(rgb)("serving_default", rgb=clip)["logits"]
    np.testing.assert_allclose(answer["logits"], wanted, rtol=1e-3, atol=1e-4)


def test_files_beside_the_model(rgb, tmp_path, capsys):
    beside = rgb.parent.parent
    assert 'config { name: "film" base_path: "/models/film"' in (beside / server_files.MODELS).read_text()
    assert "--model_config_file=/models/models.config" in (beside / server_files.COMMAND).read_text()
    assert subprocess.run(["sh", "-n", beside / server_files.COMMAND], check=False).returncode == 0
    for name, frames in (("one", 64), ("two", None), ("one", 64)):
        command = server_files.write(tmp_path / name, frames)
        assert ("--enable_batching" in command) == (frames is not None)
        notice = "take --enable_batching out of it" in capsys.readouterr().err
        assert notice == (frames is None)  # serve.sh is that of the first
    listed = (tmp_path / server_files.MODELS).read_text()
    assert re.findall('name: "(.+?)"', listed) == ["one", "two"]
    (tmp_path / server_files.MODELS).write_text("# mine\n" + listed)
    (tmp_path / server_files.BATCHING).write_text("# mine\n")
    server_files.write(tmp_path / "three", 64)
    assert 'to serve it too, add:\n  config { name: "three"' in capsys.readouterr().err
    assert (tmp_path / server_files.MODELS).read_text() == "# mine\n" + listed
    assert (tmp_path / server_files.BATCHING).read_text() == "# mine\n"


def test_configurations_are_what_the_server_parses(rgb):
    """By the server's own messages, where tensorflow-serving-api is there."""
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    from google.protobuf import text_format

    text = (rgb.parent.parent / server_files.MODELS).read_text()
    parsed = text_format.Parse(text, config.ModelServerConfig()).model_config_list.config
    assert [(model.name, model.base_path, model.model_platform) for model in parsed] == [
        ("film", "/models/film", "tensorflow")
    ]


def test_a_folder_that_cannot_be_written_is_one_line(made, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = ["export", f"--rgb={made['rgb']}", f"--output={tmp_path / 'file' / 'film'}", "--version=1"]
    assert cli.main(command) == 1
    said = r"error: Writing or trying .*file/film failed: .*file/film: a part of the path is a file, not a folder\.\n"
    assert re.fullmatch(said, capsys.readouterr().err)


def test_usage(capsys, made, tmp_path):
    for words, problem in (
        (["export", "--rgb=kinetics", "--output=x"], "--output, --version, and at least one of"),
        (["export", "--version=1", "--output=x"], "at least one of --rgb, --flow and --both"),
        (["export", "--rgb=kinetics", "--output=x", "--version=0"], "version"),
        (["export", "film.mp4"], "takes flags alone"),
    ):
        assert cli.main(words) == 2
        assert problem in capsys.readouterr().err
    assert cli.main(["export", "--rgb=nothing", f"--output={tmp_path / 'film'}", "--version=1"]) == 1
    assert "Unknown weights 'nothing'" in capsys.readouterr().err
    assert not (tmp_path / "film").exists()


@pytest.mark.slow
def test_the_same_export_twice_is_the_same_archive(made, tmp_path):
    """In two processes: names of functions count up within one."""
    sums = []
    for name in ("first", "second"):
        command = ["export", f"--rgb={made['rgb']}", f"--output={tmp_path / name / 'film'}", "--version=1", "--archive"]
        subprocess.run([sys.executable, "-m", "keras_i3d", *command], check=True)
        sums.append((tmp_path / name / archive.SUMS).read_text())
    assert sums[0] == sums[1]


@pytest.mark.slow
def test_killed_exports_leave_nothing_to_serve(made, tmp_path):
    """Killed while it writes; the next run puts its version in place and clears what was left."""
    output = tmp_path / "film"
    command = ["export", f"--rgb={made['rgb']}", f"--output={output}", "--version=1"]
    process = subprocess.Popen([sys.executable, "-m", "keras_i3d", *command])
    while not (output / ".part-1/saved_model.pb").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert ".part-1" in [path.name for path in output.iterdir()]
    assert not [path.name for path in output.iterdir() if path.name.isdigit()]
    subprocess.run([sys.executable, "-m", "keras_i3d", *command], check=True)
    assert sorted(path.name for path in output.iterdir()) == [".lock", "1"]


def test_flow_of_records_reads_by_the_run_s_own_bound(made, tmp_path):
    run = small_runs.run(tmp_path / "bounded", "flow", spec={"flow_bound": 7.5, "flow_method": "tvl1"})
    network = saving._SavedModel({"rgb": made["rgb"], "flow": run}, None, None, 10, "opencv", 1)
    assert network.contract.spec == RecordSpec(**{**small_runs.SPEC, "flow_bound": 7.5, "flow_method": "tvl1"})
