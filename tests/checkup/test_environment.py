"""The installation: each finding provoked, and nothing said of a healthy one."""

import importlib.metadata
import re
import sys
import types

import pytest
from made import ROOT, sick

from keras_i3d import backend
from keras_i3d.checkup import environment, optional_parts, part_imports
from keras_i3d.checkup.findings import look


def test_a_healthy_environment(monkeypatch):
    monkeypatch.setattr(backend, "unused_gpu", lambda: None)
    found = list(look("environment", environment.CHECKS))
    assert [finding for finding in found if finding.level in ("warning", "fault")] == []
    assert {"environment.versions", "environment.backend", "environment.policy"} < {finding.code for finding in found}


def test_a_policy_for_everything(monkeypatch):
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        (found,) = environment.policy()
    finally:
        keras.config.set_dtype_policy("float32")
    assert (found.code, found.level) == ("environment.policy", "warning")
    assert "global policy is mixed_float16" in found.found
    assert '"floatx": "float32"' in found.remedy


def test_versions_outside_of_the_bounds(monkeypatch):
    needed = ["numpy<1", "numpy>=1; extra == 'test'", "nowhere-at-all>=2", "keras==1; extra == 'docs'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: needed)
    found = list(environment.bounds())
    assert sick.wrong(found) == {"environment.bounds": "warning", "environment.missing": "fault"}
    assert sick.said(found, "environment.bounds").remedy == "pip install 'numpy<1'"
    monkeypatch.undo()
    (found,) = environment.bounds("no-such-distribution")
    assert found.level == "note"


def test_a_gpu_that_is_not_used(monkeypatch):
    said = "TensorFlow does not use the GPU of this machine (/dev/nvidia0), so the CPU does all of the work."
    monkeypatch.setattr(backend, "unused_gpu", lambda: said)
    (found,) = environment.accelerator()
    assert found.found.endswith("(/dev/nvidia0)")
    assert found.level == "warning"


def test_a_backend_that_is_broken(monkeypatch):
    monkeypatch.setattr(backend, "problem", lambda: "it cannot be imported")
    (found,) = environment.keras_backend()
    assert (found.code, found.level) == ("environment.backend", "fault")


def test_processors(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text("flags\t\t: fpu sse avx2 amx_tile\n")
    (found,) = environment.processor(file)
    assert found.found == "processor: AVX2, AMX; oneDNN as TensorFlow ships"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    (found,) = environment.processor(file)
    assert found.remedy == "unset TF_ENABLE_ONEDNN_OPTS"


def test_little_memory(monkeypatch):
    from keras_i3d.training import step_memory

    monkeypatch.setattr(step_memory, "available", lambda: 1e9)
    (found,) = environment.memory()
    assert (found.level, "1.0 GB free" in found.found) == ("warning", True)


def test_variables_without_passwords(monkeypatch):
    monkeypatch.setenv("KERAS_I3D_MIRROR", "https://me:secret@host/x")
    (found,) = environment.variables()
    assert "KERAS_I3D_MIRROR=https://***@host/x" in found.found
    monkeypatch.setenv("KERAS_I3D_MIRROR", "/no/such/folder")
    assert sick.wrong(environment.variables()) == {"environment.mirror": "fault"}


def test_codecs_and_kernels(monkeypatch, tmp_path):
    from keras_i3d.video import codec_names

    assert {"h264", "vp9"} < codec_names.decoders()
    assert "libx264" not in codec_names.decoders()
    monkeypatch.setattr(codec_names, "decoders", lambda: {"h264", "vp9"})
    (found,) = environment.codecs()
    assert "no decoder for hevc, av1" in found.found
    monkeypatch.setattr(environment.os, "access", lambda *_: False)
    (found,) = environment.numba_cache()
    assert found.level == "warning"


def test_extras_are_those_of_the_package():
    text = (ROOT / "setup.py").read_text()
    extras = set(re.findall(r'^ {8}"([\w-]+)": ', text, re.MULTILINE))
    assert extras == {*optional_parts.PARTS, *optional_parts.FOR_DEVELOPMENT}


def test_what_is_installed(monkeypatch):
    monkeypatch.setattr(optional_parts, "is_installed", lambda module: module in ("cv2", "starlette"))
    monkeypatch.setattr(part_imports, "tried", lambda names: dict.fromkeys(names, ""))
    there, absent = optional_parts.optional_parts()
    assert there.level == "fine"
    assert "opencv (" in there.found
    assert absent.level == "note"
    assert "svm (evaluate --fusion=svm)" in absent.found
    assert "web (web)" in absent.found  # which also needs uvicorn


def test_what_is_installed_and_broken(monkeypatch, tmp_path):
    """A package was found and never imported, so that a broken one passed for installed."""
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino/__init__.py").write_text("raise ImportError('libopenvino.so.2 is not there')")
    monkeypatch.setattr(optional_parts, "is_installed", lambda module: module == "openvino")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    broken, absent = optional_parts.optional_parts()
    assert sick.wrong([broken]) == {"environment.broken": "warning"}
    assert "cannot be imported: ImportError: libopenvino.so.2 is not there" in broken.found
    assert broken.why == "what needs it fails: --runtime=openvino"
    assert broken.remedy == "pip uninstall -y openvino; pip install 'keras-i3d[openvino]'"


def test_an_import_that_takes_long_is_not_said_to_fail(monkeypatch):
    """A busy machine had whole packages removed."""
    monkeypatch.setattr(optional_parts, "is_installed", lambda module: module == "openvino")
    imports = types.SimpleNamespace(found=lambda: {"openvino": "it takes more than 60 s"})
    given_up = next(optional_parts.optional_parts(imports))
    assert given_up.code == "environment.broken"
    assert "cannot be imported" not in given_up.found
    assert given_up.remedy.startswith("try again when nothing else runs here")


@pytest.mark.parametrize(
    ("there", "level"),
    [
        (["opencv-python-headless", "opencv-contrib-python-headless"], "warning"),
        (["opencv-python"], "note"),
        (["opencv-contrib-python"], None),
    ],
)
def test_packages_that_overwrite_each_other(there, level, monkeypatch):
    monkeypatch.setattr(optional_parts, "_version", lambda name: " 4.0" if name in there else "")
    found = list(optional_parts.opencv_packages())
    assert [finding.level for finding in found] == [level] * bool(level)
