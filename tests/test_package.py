"""The package from outside: what importing it costs, and that the models need no TensorFlow."""

import ast
import os
import re
import runpy
import subprocess
import sys
import textwrap
import types

import keras
import numpy as np
import pytest
from made import ROOT, synthetic, tiny
from made.tiny import i3d
from packaging.requirements import Requirement
from packaging.version import Version

import keras_i3d
from keras_i3d.training.compiling import compile_model


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


HEAVY = """
import sys
def heavy():
    names = {"keras", "tensorflow", "jax", "numpy", "cv2", "av", "matplotlib", "requests", "tqdm", "numba", "filelock",
             "apache_beam", "scipy", "PIL", "absl"}
    return sorted(names & set(sys.modules))
"""


def test_import_is_light():
    """Nothing is imported that a user does not use; to read videos and compute flow no Keras, and no TensorFlow."""
    out = python(
        f"""{HEAVY}
import keras_i3d
print(heavy(), len(dir(keras_i3d)))
keras_i3d.video.Reader, keras_i3d.flow.tvl1, keras_i3d.visualize.sheet, keras_i3d.preprocess_input
from keras_i3d.training import RECIPES
print(heavy())
import keras
before = set(sys.modules)
keras_i3d.I3D, keras_i3d.classify, keras_i3d.export.saved_model, keras_i3d.training.train
print([name for name in heavy() if name not in before])
"""
    )
    assert out.splitlines() == [f"[] {len(keras_i3d.__all__)}", "['numpy']", "[]"]


def test_a_name_that_is_not_there():
    assert dir(keras_i3d) == sorted(keras_i3d.__all__)
    with pytest.raises(AttributeError, match="module 'keras_i3d' has no attribute 'i3d'"):
        keras_i3d.i3d  # noqa: B018
    with pytest.raises(AttributeError, match="module 'keras_i3d.training' has no attribute 'i3d'"):
        keras_i3d.training.i3d  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'i3d' from 'keras_i3d'"):
        from keras_i3d import i3d  # noqa: F401


def test_public_names():
    assert keras_i3d.__all__ == sorted(
        keras_i3d.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    for name in keras_i3d.__all__:
        assert getattr(keras_i3d, name).__doc__, name


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of models: a network and both streams, cut short; one compiled for training; flow in a graph."""
    folder = tmp_path_factory.mktemp("saved")
    small = {"classes": 4, "depth_multiplier": 0.1, "input_shape": (9, 32, 32, 3)}
    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        i3d(**small).save(folder / "i3d.keras")
        keras_i3d.TwoStreamI3D(weights=None, **{**small, "input_shape": (9, 32, 32)}).save(folder / "two.keras")
    trained = keras_i3d.training.for_training(i3d(**small), remat=True)  # to be cut where its family is
    compile_model(trained, keras_i3d.training.RECIPES["full-ft"]())
    trained.save(folder / "trained.keras")
    frames = keras.Input((9, 32, 32, 3))
    keras.Model(frames, keras_i3d.flow.TVL1("fastest")(frames)).save(folder / "flow.keras")
    return folder


@pytest.mark.parametrize("order", ["import keras_i3d, keras", "import keras, keras_i3d"])
def test_a_saved_model_loads_where_the_package_is_only_imported(saved, order):
    """Whatever was imported first."""
    out = python(
        f"""
        {order}
        assert "inference" not in vars(keras_i3d)
        for name in ("i3d", "two", "trained", "flow"):
            print(keras.models.load_model(f"{{name}}.keras").output.shape)
        print(type(keras.__loader__).__name__, keras.__loader__ is keras.__spec__.loader)
        """,
        folder=saved,
    )
    assert out.splitlines() == [*["(None, 4)"] * 3, "(None, 8, 32, 32, 2)", "SourceFileLoader True"]


def test_every_module_that_registers_a_class_is_known():
    """And may be imported while another one of the package is half imported: it takes names from these alone.

    So does flow's engine, from which its layer takes the qualities.
    """
    package = ROOT / "keras_i3d"
    named = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in package.rglob("*.py")
        if re.search(r"^@keras\.saving\.register_keras_serializable", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert sorted(named) == sorted(keras_i3d._REGISTERED)
    for path in (*named.values(), package / "flow" / "engine.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            imported = getattr(node, "module", None) or ""
            if (
                isinstance(node, ast.ImportFrom)
                and imported.startswith("keras_i3d")
                and imported != "keras_i3d.flow.engine"
            ):
                taken = imported.split(".")[1:2] or [alias.name for alias in node.names]
                assert set(taken) <= {"models", "errors", "specs", "time_steps"}, f"{path.name} imports {taken}"
    first = next(n for n in ast.parse((package / "models/__init__.py").read_text(encoding="utf-8")).body[1:])
    assert isinstance(first, ast.Import)
    assert first.names[0].name == "keras"


@pytest.mark.parametrize(
    "first", ["models.blocks", "models.inception", "training.faster_step", "flow.layer", "training.optimizing"]
)
def test_any_module_may_be_the_first_to_be_imported(first):
    """On JAX, which is there in a second."""
    out = python(
        f"""
        import importlib, sys
        importlib.import_module("keras_i3d.{first}")
        import keras, keras_i3d
        print([name for name in keras_i3d._REGISTERED if name not in sys.modules], "tensorflow" in sys.modules)
        print(sorted(name for name in keras.saving.get_custom_objects() if name.endswith("MaxPool3D")))
        """,
        KERAS_BACKEND="jax",
    )
    assert out.splitlines() == ["[] False", "['keras_i3d>MaxPool3D']"]


def test_a_keras_that_cannot_be_imported_is_tried_again():
    """The failure is Keras's own, and what waited for it still happens once it can be."""
    out = python(
        """
        import os, sys
        import keras_i3d
        try:
            import keras
        except Exception as error:
            print(type(error).__name__)
        try:
            keras_i3d.I3D
        except ImportError as error:
            print("KERAS_BACKEND=absent, which cannot be imported" in str(error))
        for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
            del sys.modules[name]
        os.environ["KERAS_BACKEND"] = "jax"
        import keras
        print("keras_i3d>MaxPool3D" in keras.saving.get_custom_objects(), keras_i3d.I3D.__name__)
        """,
        KERAS_BACKEND="absent",
    )
    assert out.splitlines()[1:] == ["True", "True I3D"]


def test_a_function_that_is_called_like_its_module():
    out = python(
        """
        from keras_i3d import training
        training.FitCheck
        print(training.fit_check.__name__, training.fit_check.__class__.__name__)
        """,
        KERAS_BACKEND="jax",
    )
    assert out.split() == ["fit_check", "function"]


@pytest.mark.parametrize("short", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_models_on_jax_where_all_else_is_absent(short, tmp_path, monkeypatch):
    """With TensorFlow and every optional package blocked: any size at run time, small and large maps, the values that
    TensorFlow computes, the refusal of short clips, both streams. At once of networks cut short, where compiling the
    whole one takes long; every kind of network: `models/test_contract.py`."""
    if short:
        tiny.shorten(monkeypatch)
    model = i3d(input_shape=(None, None, None, 3), classes=4, depth_multiplier=0.1)
    model.save_weights(tmp_path / "x.weights.h5")
    clips = {f"clip{i}": synthetic.clip((1, *size, 3), i) for i, size in enumerate(((9, 32, 40), (10, 232, 256)))}
    np.savez(tmp_path / "clips.npz", **clips)
    out = python(
        f"""
        import sys

        class Blocked:
            names = {{"tensorflow", "cv2", "av", "requests", "tqdm", "filelock", "matplotlib", "numba", "torch"}}
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in self.names:
                    raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

        sys.meta_path.insert(0, Blocked())
        import keras, numpy as np
        import keras_i3d
        if {short}:
            sys.path.append({str(ROOT / "tests")!r})
            from made import tiny
            tiny.shorten()
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


FOR_USERS = ("core", "opencv", "beam", "tensorboard", "wandb", "mlflow", "report", "svm", "serving", "kserve")
FOR_USERS += ("web", "openvino", "onnx", "litert")


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
    for requirement in sum((declared[part] for part in (*FOR_USERS, "docs")), []):
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
    by_name = {r.name: r for part in (*FOR_USERS, "docs") for r in declared[part]}
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


def test_io_and_official_bring_the_tensorflow_that_they_go_with(declared):
    for extra, package, release, others in (
        ("io", "tensorflow-io", "2.16.2", ("2.15.1", "2.17.0", "2.20.0")),
        ("official", "tf-models-official", "2.20.0", ("2.16.2", "2.19.0", "2.21.0")),
    ):
        wanted = {requirement.name: requirement.specifier for requirement in declared[extra]}
        assert set(wanted) == {"tensorflow", package}
        assert wanted["tensorflow"].contains(release)
        assert not any(map(wanted["tensorflow"].contains, others))
        assert all(r.specifier.contains(release) for r in declared["core"] if r.name == "tensorflow")


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
