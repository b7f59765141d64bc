"""Whatever goes wrong is one line with its remedy; --verbose shows the traceback."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from made import ROOT, films, small_records, small_runs

from keras_i3d import cli, errors
from keras_i3d.cli import evaluate, failures
from keras_i3d.records import sequence_example


def here(*arguments):
    return cli.main([str(argument) for argument in arguments])


def raises(error):
    """A function that raises it as this package's own code would."""

    def main(*arguments, **settings):
        exec(compile("raise error", sequence_example.__file__, "exec"), {"error": error})

    return main


def too_much():
    return np.empty(1 << 50)


def too_much_for_tensorflow():
    """What `tf.zeros((1 << 20, 1 << 22))` raises, after it has waited for memory to come free."""
    device = "/job:localhost/replica:0/task:0/device:CPU:0"
    words = f"OOM when allocating tensor with shape[1048576,4194304] and type float on {device} by allocator mklcpu"
    node = f"{{{{function_node __wrapped__Fill_device_{device}}}}}"
    raise tf.errors.ResourceExhaustedError(None, None, f"{node} {words} [Op:Fill] name: ")


def no_such_scheme():
    return tf.io.gfile.listdir("nowhere://a/b")


def no_space():
    with tf.io.gfile.GFile("/dev/full", "w") as file:
        file.write("x" * 100_000)


def a_folder():
    return tf.io.gfile.GFile(os.path.dirname(__file__)).read()


def no_model():
    import keras

    return keras.models.load_model("/nowhere.keras")


def no_h5():
    import h5py

    return h5py.File(__file__, "r")


def damaged():
    raise tf.errors.DataLossError(None, None, "corrupted record at 0")


def rule():
    words = tf.strings.join(["a.tfrecord: x: lost", "z"], " ")
    return tf.data.Dataset.range(1).map(lambda i: [i, tf.debugging.Assert(i > 0, [words])][0]).get_single_element()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "The memory is too small for this. Lower --views_at_once= (by views), --chunk_frames="),
        (too_much, "The memory is too small for this. Lower --views_at_once="),
        (too_much_for_tensorflow, "The memory is too small for this. Lower --views_at_once="),
        (OSError(errno.ENOSPC, "No space", "out/x"), "out/x: the disk is full. Free some space"),
        (OSError(errno.ENOSPC, "No space"), "The disk is full. Free some space"),
        (OSError(errno.EROFS, "Read-only", b"out/x"), "out/x: the file system is read-only. Name another place."),
        (PermissionError(errno.EACCES, "Denied", "out/x"), "out/x: access is denied. Change the permissions"),
        (FileNotFoundError(errno.ENOENT, "None", "out/x"), "out/x: no such file or folder."),
        (OSError(errno.ELOOP, "Loop", "out/x"), "out/x: links that lead in a circle."),
        (OSError(errno.ENOLCK, "No locks", "out/x"), "out/x: the file system knows no locks. Name a place on a local"),
        (OSError(errno.EXDEV, "Cross-device link", "out/x"), "out/x: Cross-device link. --verbose shows where."),
        (no_space, "/dev/full: the disk is full. Free some space"),
        (a_folder, f"{os.path.dirname(__file__)}: a folder, where a file is needed."),
        (no_such_scheme, "(TensorFlow, NotFoundError; --verbose shows where)"),
        (damaged, "corrupted record at 0. The file is damaged: make it again; `keras-i3d records --check=DIR`"),
        (rule, "a.tfrecord: x: lost z"),
        (no_model, "(ValueError of keras; --verbose shows where)"),
        (no_h5, "(OSError of h5py; --verbose shows where)"),
        (UnicodeEncodeError("utf-8", "caf\udce9", 3, 4, "no"), r"UTF-8. Received: 'caf\udce9', which is not."),
        (UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "no"), r"UTF-8. Received: b'caf\xe9', which is not."),
        (UnicodeError("label too long"), "label too long"),
        (ValueError("A rule. Received: labels=3"), "A rule. Received: --labels=3"),
        (errors.VideoError("a.mp4", "no\nvideo"), "a.mp4: no video"),
        (ImportError("needs x, pip install x"), "needs x, pip install x"),
        (
            TypeError("f() got 2"),
            "TypeError: f() got 2. This looks like a fault of keras_i3d: --verbose shows the trace",
        ),
        (KeyError("x"), "KeyError: 'x'. This looks like a fault of keras_i3d"),
        (AssertionError(), "AssertionError: . This looks like a fault of keras_i3d"),
        (RecursionError("too deep"), "RecursionError: too deep. This looks like a fault"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:30],
)
def test_any_error_is_one_line(error, message, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "main", raises(error) if isinstance(error, Exception) else lambda _: error())
    assert here("evaluate") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert message in said
    assert len(said) < 900
    for words in (("--verbose", "evaluate"), ("evaluate", "--verbose")):
        assert here(*words) == 1
        verbose = capsys.readouterr().err
        assert "Traceback (most recent call last)" in verbose
        assert verbose.endswith(said)


def test_every_verb_takes_verbose(capsys):
    for verb in cli.VERBS:
        assert here(verb, "--verbose", "--help") == 0
        assert "--verbose" in capsys.readouterr().out


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_what_is_no_error_is_left_alone(interruption, monkeypatch):
    monkeypatch.setattr(evaluate, "main", raises(interruption()))
    if interruption is SystemExit:
        with pytest.raises(SystemExit):
            here("evaluate")
    else:
        assert here("evaluate") == 130


def test_arguments_are_called_flags():
    names = ("rgb", "labels", "errors", "frames", "split")
    for text, expected in (
        ("or pass weights= a path.", "or pass --rgb= or --flow= a path."),
        ('drop them: errors="count".', 'drop them: --errors="count".'),
        ("Pass labels= (--labels=).", "Pass --labels=."),
        ("Pass frames= (--frames).", "Pass --frames=."),
        ("a --labels=x, my_labels=x, labels == 3", "a --labels=x, my_labels=x, labels == 3"),
        ("/data/split=train/x.mp4 and split=train/x.mp4", "/data/split=train/x.mp4 and split=train/x.mp4"),
    ):
        assert failures.as_flags(text, "classify", names) == expected


def test_notices_speak_of_flags_on_the_command_line_alone(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("1.mp4,run\n", encoding="utf-8")
    (tmp_path / "1.mp4").touch()
    from keras_i3d.records import annotations

    annotations.find(tmp_path / "a.csv")
    assert "pass labels= for another" in capsys.readouterr().err
    here("records", f"--source={tmp_path / 'a.csv'}", f"--output={tmp_path / 'out'}", "--runner=none")
    assert "pass --labels= for another" in capsys.readouterr().err


def backend(name, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": name}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_backends(folder):
    """One that is not there, one that is not supported: a line; in Python the former says it at first use."""
    for name, problem in (("absent", "which cannot be imported"), ("numpy", "Received: the backend numpy")):
        result = backend(name, "-m", "keras_i3d", "classify", str(folder / "a.mp4"))
        assert result.returncode == 1
        (said,) = [line for line in result.stderr.splitlines() if "keras_i3d" in line]
        assert said.startswith("error: keras_i3d runs on Keras with TensorFlow, and with JAX for all but training")
        assert problem in said
        assert "Traceback" not in result.stderr
    result = backend("absent", "-c", "import keras_i3d; print(keras_i3d.__version__); from keras_i3d import I3D")
    assert result.stdout.startswith("0.")
    assert "ImportError: keras_i3d runs on Keras with TensorFlow, and with JAX" in result.stderr
    assert backend("absent", "-m", "keras_i3d", "classify", "--help").returncode == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records of two splits, and a run."""
    folder = tmp_path_factory.mktemp("cli_failures")
    small_records.split(folder / "records", "test", 3, shards=1)
    small_records.split(folder / "records", "train", 4, seed=50)
    small_runs.run(folder / "rgb", "rgb", network=False)
    small_runs.small("rgb").save(folder / "rgb/model.keras")
    (folder / "a.mp4").write_bytes(films.film([films.picture(i) for i in range(12)]))
    return folder


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
            "The memory is too small to score a video",
        ),
        (
            tf.errors.InternalError(None, None, "a kernel failed"),
            "failed in TensorFlow (InternalError): a kernel failed",
        ),
    ],
)
def test_scoring_that_fails_is_not_blamed_on_the_records(error, message, folder, monkeypatch, capsys):
    monkeypatch.setattr("keras_i3d.inference.chunks.score", raises(error))
    assert here("evaluate", f"--records={folder}/records/test-*", f"--rgb={folder / 'rgb'}") == 1
    said = capsys.readouterr().err
    assert message in said
    assert "records again" not in said
    assert ("--views_at_once=" in said and "--chunk_frames=" in said and "--size=" in said) == ("memory" in message)


def test_an_output_that_cannot_be_written(folder, monkeypatch, capsys):
    """The first error is told, not that of tidying up."""

    def full(self, path, **settings):
        with open(path, "wb") as file:
            file.write(b"some")
        os.unlink(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    assert here("show", f"{folder}/records/train-*", f"--output={folder}/x.png") == 1
    assert (
        capsys.readouterr().err == f"error: {folder}/x.png: the disk is full. Free some space, or name another place.\n"
    )
    monkeypatch.setattr(np, "savez_compressed", raises(OSError(errno.ENOSPC, "No space left on device")))
    arguments = [
        f"--records={folder}/records/test-*",
        f"--rgb={folder / 'rgb'}",
        f"--output={folder}/out",
        "--noreport",
    ]
    assert here("evaluate", *arguments) == 1
    assert f"error: {folder}/out/scores.npz: the disk is full." in capsys.readouterr().err
    assert os.listdir(folder / "out") == []


def test_show_of_a_folder_of_two_splits(folder, capsys, tmp_path):
    picture = f"--output={tmp_path}/x.png"
    assert here("show", folder / "records", picture) == 0
    printed = capsys.readouterr()
    assert "test/000.mp4: 0 left" in printed.out
    assert f"holds test and train: this is test; choose another by a glob: {folder}/records/train-*" in printed.err
    assert here("show", folder / "records", picture, "--record=train/003.mp4") == 0
    assert "train/003.mp4: 0 left" in capsys.readouterr().out
    assert here("show", folder / "records", picture, "--record=99") == 1
    assert "has no record '99'. It has 3 records: give a place in 0..2, or an id." in capsys.readouterr().err
    assert here("show", "none.mp4", picture) == 1
    assert capsys.readouterr().err == "error: none.mp4: no such file\n"


def test_home_in_every_path(folder, monkeypatch, capsys, tmp_path):
    """A shell leaves `~` as it is in --output=~/x."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    assert here("show", "~/records/train-*", "--output=~/home.png") == 0
    assert (folder / "home.png").is_file()
    records = "--records=~/records/test-*"
    assert here("evaluate", records, "--rgb=~/rgb", "--output=~/first", "--noreport") == 0
    assert here("evaluate", "--scores=~/first/scores.npz,~/first/scores.npz", "--output=~/both", "--noreport") == 0
    assert (folder / "both/results.json").is_file()
    assert here("classify", "~/a.mp4", "--rgb=~/rgb") == 0
    assert os.listdir(tmp_path) == []
    capsys.readouterr()


def test_cheap_before_dear(folder, monkeypatch, capsys):
    """Nothing is fetched, and no network made, for what cannot fit."""
    monkeypatch.setattr("keras_i3d.weights.download.fetch", raises(AssertionError("fetched")))
    monkeypatch.setattr("keras_i3d.models.family.Family.build", raises(AssertionError("made")))
    assert here("classify", "none.mp4", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"video": "none.mp4", "error": "none.mp4: no such file"}
    video, test = folder / "a.mp4", f"--records={folder}/records/test-*"
    for arguments, message in (
        (["classify", video, f"--rgb={folder / 'rgb'}", "--labels=kinetics400"], "400 labels for 3 classes"),
        (["classify", video, "--flow=kinetics600"], 'published for stream rgb only. Received: stream="flow"'),
        (["classify", video, "--streams=both", "--flow=none.h5"], "Unknown weights 'none.h5': no such file"),
        (
            ["classify", video, f"--rgb={folder / 'rgb'}", "--flow=kinetics"],
            "must be trained on the same classes. Received: {'rgb': 3, 'flow': 400}",
        ),
        (["evaluate", test, "--rgb=kinetics"], "The records have 3 classes. Received: kinetics, for 400"),
        (["evaluate", test, f"--rgb={folder / 'rgb'}", "--flow=none.h5"], "Unknown weights 'none.h5': no such file"),
        (["export", f"--output={folder}/e", "--version=1", "--rgb=kinetics", "--flow=no.h5"], "'no.h5': no such file"),
        (
            ["export", f"--output={folder}/e", "--version=1", "--rgb=kinetics", "--labels=kinetics600"],
            "600 labels for 400 classes",
        ),
    ):
        assert here(*arguments) == 1
        assert message in capsys.readouterr().err
    import keras_i3d

    with pytest.raises(keras_i3d.VideoError, match="no such file"):
        keras_i3d.classify("none.mp4")
    with pytest.raises(ValueError, match=r"lists have 400 \(kinetics400\) and 600 .* Received: 4 classes"):
        keras_i3d.decode_predictions(np.full((1, 4), 0.25))


def test_a_licence_that_forbids_commerce_is_accepted_by_a_flag(folder, tmp_path, monkeypatch, capsys):
    """By every verb that takes weights, before any network is made."""
    monkeypatch.setattr("keras_i3d.models.family.Family.build", raises(AssertionError("made")))
    name, records = "I3DResNet50-nonlocal:kinetics", f"--records={folder}/records/train-*"
    side = tmp_path / "side.npy"
    np.save(side, np.zeros((16, 16, 16, 16, 3), "uint8"))
    for words, then in (
        (["classify", folder / "a.mp4", f"--rgb={name}"], "made"),
        (["evaluate", f"--records={folder}/records/test-*", f"--rgb={name}"], "Received: " + name + ", for 400"),
        (["export", f"--output={tmp_path}/e", "--version=1", f"--rgb={name}"], "made"),
        (["train", records, f"--weights={name}", f"--output={tmp_path}/run"], "made"),
        (["train", records, f"--weights={name}", "--fit-check"], "made"),
        (["features", folder / "a.mp4", f"--output={tmp_path}/f", f"--rgb={name}"], "made"),
        (["features", folder / "a.mp4", f"--output={tmp_path}/f", f"--model={name.partition(':')[0]}"], "made"),
        (["fvd", side, side, f"--weights={name}"], "made"),
    ):
        assert here(*words) == 1
        said = capsys.readouterr().err
        assert "under CC-BY-NC-4.0, which forbids commercial use. Accept it by --accept_licence=True, or by" in said
        assert here(*words, "--accept-licence") == 1
        said = capsys.readouterr().err
        assert then in said
        assert "forbids" not in said


def test_weights_of_one_stream_alone(folder, capsys):
    assert here("classify", folder / "a.mp4", f"--rgb={folder / 'rgb'}") == 0
    printed = capsys.readouterr()
    assert "; rgb\n" in printed.out
    assert "only --rgb= is given, so that stream votes alone; --flow= adds the other one" in printed.err
