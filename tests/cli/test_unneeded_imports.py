"""What no command uses is not imported by Keras and TensorFlow, and can be imported afterwards."""

import subprocess
import sys

from made import ROOT

from keras_i3d.cli import unneeded_imports

IMPORTER = """
try:
    import {other}.inner
except ImportError:
    found = False
else:
    found = True
"""
CODE = """
import sys
from keras_i3d.cli import unneeded_imports
unneeded_imports.UNNEEDED = dict(zip(("first", "second"), unneeded_imports.UNNEEDED.values()))  # Keras takes long
import sklearn  # somebody needed it before
for _ in range(2):
    unneeded_imports.install()
import first
import second
print(first.found, second.found, "matplotlib" in sys.modules, "jax" in sys.modules)
import jax.inner, matplotlib
print(len([finder for finder in sys.meta_path if type(finder).__name__ == "_Absent"]))
import sklearn.inner
"""


def test_they_count_as_not_installed_while_the_two_are_imported_and_no_longer(tmp_path):
    for name in ("sklearn", "matplotlib", "jax"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "inner.py").touch()
    (tmp_path / "first.py").write_text(IMPORTER.format(other="matplotlib"), encoding="utf-8")
    (tmp_path / "second.py").write_text(IMPORTER.format(other="jax"), encoding="utf-8")
    path = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
    run = subprocess.run([sys.executable, "-c", path + CODE], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == ["False", "False", "False", "False", "0"]


def test_jax_is_left_where_keras_runs_on_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert not unneeded_imports._may_need_jax()
    (tmp_path / "keras.json").write_text('{"backend": "jax"}', encoding="utf-8")
    assert unneeded_imports._may_need_jax()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert not unneeded_imports._may_need_jax()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert unneeded_imports._may_need_jax()
