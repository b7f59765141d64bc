"""What TensorFlow and Beam print when they start stays away from a user; what went wrong does not."""

import os
import subprocess
import sys
import textwrap

import pytest
from made import ROOT

from keras_i3d.cli import quiet

# A package that starts as TensorFlow does: notes of its C++ in both formats, then whatever a test adds.
STARTS = """
import os
def say(text):
    os.write(2, text.encode() + b"\\n")
say("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR")
say("I0000 00:00:1795684799.305119    7971 port.cc:153] oneDNN custom operations are on. You may see")
say("2026-11-26 09:00:00.123456: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:477] Unable to register")
say("To enable the following instructions: AVX2 AVX512F, in other operations, rebuild TensorFlow")
class config:
    def list_physical_devices():
        say("E0000 00:00:1795684803.443964    7971 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)")
"""
NOISE = ("absl::InitializeLog", "oneDNN", "Unable to register", "To enable", "cuInit")


@pytest.fixture
def python(tmp_path):
    """Runs code where `import tensorflow` imports STARTS and more; returns what came of it."""

    def run(code, more="", shell="", **environment):
        (tmp_path / "tensorflow.py").write_text(STARTS + textwrap.dedent(more), encoding="utf-8")
        command = [sys.executable, "-c", textwrap.dedent(code)]
        if shell:
            command = ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", *command]
        paths = os.pathsep.join([str(tmp_path), str(ROOT)])
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        result = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(scratch), **environment},
            check=False,
            timeout=60,
        )
        assert os.listdir(scratch) == []  # no temporary file is left
        return result

    return run


QUIET = """
from keras_i3d.cli import quiet
quiet.install()
"""


def test_a_start_is_silent(python):
    result = python(f"{QUIET}import sys, tensorflow\nprint('before', file=sys.stderr)\ntensorflow.say('I0000 after')")
    assert (result.stderr, result.returncode) == ("before\nI0000 after\n", 0)


def test_without_it_all_is_shown(python):
    result = python("import tensorflow; tensorflow.config.list_physical_devices()")
    assert all(part in result.stderr for part in NOISE)


@pytest.mark.parametrize("more", ["raise ImportError('libx.so: no')", "import absent_package", "1 / 0"])
def test_a_start_that_fails_shows_all_that_was_said(python, more):
    result = python(f"{QUIET}import tensorflow", more)
    assert result.returncode == 1
    assert all(part in result.stderr for part in NOISE[:4])
    assert result.stderr.index("oneDNN") < result.stderr.index("Traceback (most recent call last)")


def test_a_start_that_ends_the_process_shows_all_that_was_said(python):
    """As TensorFlow does on a processor without AVX: no code of this process runs any more."""
    result = python(f"{QUIET}import tensorflow", "say('F0000 compiled to use AVX instructions'); os.abort()")
    assert result.returncode < 0
    assert "compiled to use AVX instructions" in result.stderr


def test_what_others_say_meanwhile_is_not_lost(python):
    """A traceback of another thread, a warning, a process that was started, bytes that are no text."""
    more = """
        import subprocess, sys, threading, warnings
        def fail():
            raise ValueError("in a thread")
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        warnings.warn("a warning")
        subprocess.run(["/bin/sh", "-c", "echo from a process >&2"], check=True)
        os.write(2, b"caf\\xe9 is no UTF-8\\n")
        print("keras_i3d: a line of ours", file=sys.stderr)
    """
    result = python(f"{QUIET}import tensorflow", more)
    for part in ("ValueError: in a thread", "a warning", "from a process", r"caf\xe9 is", "keras_i3d: a line of ours"):
        assert part in result.stderr
    assert not [part for part in NOISE if part in result.stderr]


def test_imports_of_several_threads(python, tmp_path):
    """The last one that is done lets the descriptor go, and each is silent."""
    code = f"""{QUIET}
import importlib, os, sys, threading
from keras_i3d import on_first_use
on_first_use.around_import(["second"], quiet.held)
threads = [threading.Thread(target=importlib.import_module, args=[name]) for name in ("tensorflow", "second")]
before = os.fstat(2).st_ino
for thread in threads: thread.start()
for thread in threads: thread.join()
print(os.fstat(2).st_ino == before, sorted(set(sys.modules) & {{"tensorflow", "second"}}))
"""
    (tmp_path / "second.py").write_text(STARTS + "import time; time.sleep(0.3)", encoding="utf-8")
    result = python(code, "import time; time.sleep(0.1)")
    assert (result.stdout, result.stderr) == ("True ['second', 'tensorflow']\n", "")


@pytest.mark.parametrize("shell", ["2>&-", "2>&- <&-", "2>/dev/full"])
def test_standard_error_that_is_closed_or_full(python, shell):
    """And no other file gets its number, which the libraries write to."""
    result = python(
        """
        import os, sys
        from keras_i3d import cli
        sys.argv = ["keras-i3d", "version"]
        try:
            cli.run()
        except SystemExit as end:
            print(end.code)
        cli.quiet.install()
        import tensorflow
        with open(os.path.join(os.environ["TMPDIR"], "other"), "wb") as file:
            print(file.fileno() > 2)
        os.unlink(file.name)
        print(cli.main(["version"]))
        """,
        shell=shell,
    )
    assert result.stdout.splitlines() == ["keras-i3d 0.1.0", "0", "True", "keras-i3d 0.1.0", "0"]
    assert result.stderr == ""


def test_where_no_temporary_file_can_be_made_all_is_shown(python):
    result = python(f"import tempfile\ntempfile.tempdir = '/nowhere'\n{QUIET}import tensorflow")
    assert result.returncode == 0
    assert "oneDNN" in result.stderr


def test_verbose_shows_the_start(python):
    words = """
        import sys, types
        from keras_i3d import cli
        from keras_i3d.cli import train
        train.main = lambda arguments: [0 for _ in [__import__("tensorflow")]][0]
        sys.exit(cli.main(["train", *{}]))
    """
    assert python(words.format([])).stderr == ""
    result = python(words.format(["--verbose"]))
    assert result.returncode == 0
    assert "oneDNN" in result.stderr


def test_the_real_ones_are_silent():
    """Keras, TensorFlow and Beam as installed here."""
    code = f"""{QUIET}
import keras, apache_beam, tensorflow as tf
print(float(tf.reduce_sum(tf.ones(3))))
"""
    pytest.importorskip("apache_beam")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (result.stdout, result.stderr) == ("3.0\n", "")


def test_a_gpu_that_is_not_used_is_said(monkeypatch, capsys):
    from keras_i3d import backend, cli

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    monkeypatch.setattr("glob.glob", lambda pattern: ["/dev/nvidia1", "/dev/nvidia0"])
    cli.start()
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not use the GPU of this machine (/dev/nvidia0, /dev/nvidia1)" in line
    assert "pip install 'tensorflow[and-cuda]'" in line
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert backend.unused_gpu() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: ["a GPU"])
    assert backend.unused_gpu() is None
    monkeypatch.setattr("glob.glob", lambda pattern: [])
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    assert backend.unused_gpu() is None


def test_what_is_known_as_theirs():
    for line in (
        b"I0000 00:00:1795684799.472700    7971 cpu_feature_guard.cc:227] This TensorFlow binary is optimized",
        b"2024-05-01 12:00:00.123456: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning: Could",
    ):
        assert quiet.OWN.match(line)
    for line in (b"Traceback (most recent call last):", b"error: I0000", b"keras_i3d: x", b"Illegal instruction"):
        assert not quiet.OWN.match(line)
