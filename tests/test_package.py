"""The package from outside: what importing it costs, and that the models need no TensorFlow."""

import os
import re
import runpy
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
from made import ROOT, synthetic
from packaging.requirements import Requirement
from packaging.version import Version

import keras_i3d
from keras_i3d.models.inception import inception_i3d


def python(code, folder=None, **environment):
    """Runs code in a fresh interpreter and returns what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_is_light():
    out = python(
        """
        import sys, time
        import keras
        before, start = set(sys.modules), time.perf_counter()
        import keras_i3d
        seconds = time.perf_counter() - start
        heavy = {"cv2", "av", "matplotlib", "requests", "tqdm", "numba", "filelock", "apache_beam", "scipy"}
        print(sorted(heavy & (set(sys.modules) - before)), seconds < 1)
        """
    )
    assert out.strip() == "[] True"


def test_public_names():
    assert keras_i3d.__all__ == sorted(
        keras_i3d.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    for name in keras_i3d.__all__:
        assert getattr(keras_i3d, name).__doc__, name


def test_a_saved_model_loads_where_the_package_is_only_imported(tmp_path):
    inception_i3d(classes=4, depth_multiplier=0.1).save(tmp_path / "x.keras")
    out = python(
        "import keras_i3d; import keras; print(keras.models.load_model('x.keras').output.shape)", folder=tmp_path
    )
    assert out.strip() == "(None, 4)"


def test_models_on_jax_where_all_else_is_absent(tmp_path):
    """With TensorFlow and every optional package blocked: any size at run time, small and large maps, the values that
    TensorFlow computes, the refusal of short clips, both streams."""
    model = inception_i3d(input_shape=(None, None, None, 3), classes=4, depth_multiplier=0.1)
    model.save_weights(tmp_path / "x.weights.h5")
    clips = {f"clip{i}": synthetic.clip((1, *size, 3), i) for i, size in enumerate(((9, 32, 40), (10, 232, 256)))}
    np.savez(tmp_path / "clips.npz", **clips)
    out = python(
        """
        import sys

        class Blocked:
            names = {"tensorflow", "cv2", "av", "requests", "tqdm", "filelock", "matplotlib", "numba", "torch"}
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in self.names:
                    raise ModuleNotFoundError(f"{name} is blocked", name=name)

        sys.meta_path.insert(0, Blocked())
        import keras, numpy as np
        import keras_i3d
        assert keras.backend.backend() == "jax"
        assert keras_i3d.preprocess_input(np.full((1, 3), 255)).max() == 1
        settings = dict(input_shape=(None, None, None, 3), classes=4, depth_multiplier=0.1)
        model = keras_i3d.I3D(weights="x.weights.h5", **settings)
        for clip in np.load("clips.npz").values():
            print(*model.predict_on_batch(clip)[0])
        try:
            model.predict_on_batch(np.zeros((1, 8, 32, 32, 3), "float32"))
        except ValueError as error:
            assert "at least 9 frames" in str(error)
        else:
            raise AssertionError("8 frames passed")
        two = keras_i3d.TwoStreamI3D(weights=None, input_shape=(9, 32, 32), classes=4, depth_multiplier=0.1)
        assert two.output.shape == (None, 4)
        """,
        folder=tmp_path,
        KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_backend_optimization_level=0",  # compiling is most of this test
    )
    for line, clip in zip(out.splitlines(), clips.values(), strict=True):
        assert [float(v) for v in line.split()] == pytest.approx(model.predict_on_batch(clip)[0], rel=1e-4)


# What setup.py asks for.


@pytest.fixture
def declared(monkeypatch):
    """What setup.py hands to setuptools, {"core" or name of an extra: requirements}."""
    given = {}
    fake = types.SimpleNamespace(find_packages=lambda **_: [], setup=given.update)
    monkeypatch.setitem(sys.modules, "setuptools", fake)
    runpy.run_path(str(ROOT / "setup.py"))
    return {
        name: [Requirement(line) for line in lines]
        for name, lines in {"core": given["install_requires"], **given["extras_require"]}.items()
    }


def lowest(requirement):
    """The version of a requirement's >=, or None."""
    (version,) = [part.version for part in requirement.specifier if part.operator == ">="] or [None]
    return version


FOR_USERS = ("core", "opencv", "beam", "tensorboard", "report", "svm", "serving")


def test_the_wheel_has_every_file_that_the_package_reads(tmp_path):
    """By what a wheel is made of: the build of the package's files, without the environment that a wheel takes."""
    command = [sys.executable, "setup.py", "--quiet", "build_py", f"--build-lib={tmp_path}"]
    command += ["egg_info", f"--egg-base={tmp_path}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    source = {path.relative_to(ROOT) for path in (ROOT / "keras_i3d").rglob("*.*") if path.is_file()}
    source = {path for path in source if path.suffix not in (".pyc", ".nbi", ".nbc")}
    assert {path.suffix for path in source} >= {".py", ".html", ".css"}
    assert {path.relative_to(tmp_path) for path in (tmp_path / "keras_i3d").rglob("*.*") if path.is_file()} == source


def test_every_dependency_is_bounded_on_both_sides(declared):
    for requirement in sum((declared[part] for part in FOR_USERS), []):
        assert {">=", "<"} <= {part.operator for part in requirement.specifier}, requirement


def test_lowest_versions_are_those_of_setup(declared):
    """`make test-lowest` runs on what setup.py admits, no more and no less."""
    lines = [line for line in (ROOT / "tests/lowest.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    assert pinned == {r.name: lowest(r) for part in FOR_USERS for r in declared[part]}


def test_the_table_of_versions_is_that_of_setup(declared):
    """CONTRIBUTING.md: | package | lowest | highest tested | upper bound | ..."""
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\S+) \| ([\d.]+).*?\| (\S+) ", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    by_name = {r.name: r for part in FOR_USERS for r in declared[part]}
    assert [name for name, *_ in rows] == list(by_name)
    for name, least, most, bound in rows:
        requirement = by_name[name]
        assert least == lowest(requirement)
        assert bound in str(requirement.specifier).split(",")
        assert requirement.specifier.contains(most), name
        assert Version(least) <= Version(most)


def test_keras_has_the_fixes_of_its_advisories(declared):
    (keras,) = [requirement for requirement in declared["core"] if requirement.name == "keras"]
    for version in ("3.11.3", "3.12.3", "3.13.2", "3.14.1", "3.15.0", "4.0.0"):
        assert not keras.specifier.contains(version), version
    for version in ("3.12.4", "3.15.1", "3.16.0"):
        assert keras.specifier.contains(version), version


def test_extras_ask_for_the_same_of_a_package(declared):
    """All that names a package twice names it alike, pins of a stack apart."""
    bounds = {r.name: str(r.specifier) for part in FOR_USERS for r in declared[part]}
    for requirement in declared["lowest"]:
        assert bounds.get(requirement.name, "") == str(requirement.specifier)


def test_every_error_of_the_package_is_public():
    def kinds(kind):
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    for kind in kinds(keras_i3d.KerasI3DError):
        if kind.__module__.startswith("keras_i3d"):
            assert getattr(keras_i3d, kind.__name__) is kind
            assert kind.__name__ in keras_i3d.__all__
