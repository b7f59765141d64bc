"""The notebook of examples/: its cells run in order in a process of their own, and do what its words say."""

import ast
import json
import os
import subprocess
import sys

import pytest
from made import ROOT

NOTEBOOK = ROOT / "examples/own_clips_to_a_served_model.ipynb"
# What the cells leave, as a line of JSON.
ENDING = """
import json
print(json.dumps({
    "accuracy": accuracy, "label": found.predictions[0].label, "asked": asked and asked[0][0],
    "answers": [labels[i] for i in probabilities.argmax(axis=-1)],
}))
"""


def cells(kind):
    return ["".join(cell["source"]) for cell in content()["cells"] if cell["cell_type"] == kind]


def content():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def test_it_is_a_notebook_without_outputs():
    assert (content()["nbformat"], content()["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in content()["cells"]]
    assert len(ids) == len({*ids})
    for cell in content()["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    for source in cells("code"):
        compile(source, "cell", "exec")
    assert cells("markdown")[0].startswith("# ")


def test_what_a_cell_shows_is_named_once():
    """A name that the ending reads is of one cell: a later one that takes it for something else hides the result."""
    read = {node.id for node in ast.walk(ast.parse(ENDING)) if isinstance(node, ast.Name)}
    named = [[node for node in ast.walk(ast.parse(each)) if isinstance(node, ast.Name)] for each in cells("code")]
    stored = [{node.id for node in nodes if isinstance(node.ctx, ast.Store)} for nodes in named]
    for name in ("accuracy", "found", "asked", "probabilities", "labels"):
        assert name in read
        assert sum(name in names for names in stored) == 1, name


@pytest.mark.slow
def test_its_cells_do_what_they_say(tmp_path):
    """Motion that one frame does not tell is learnt, by a network that a server's graph holds too."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "KERAS_HOME": str(tmp_path / "home")}
    program = tmp_path / "cells.py"
    program.write_text("\n\n".join([*cells("code"), ENDING]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["accuracy"] >= 0.75  # chance is a third
    assert found["label"] == "rises"
    assert found["answers"] == ["falls", "rests"]
    assert found["asked"] in (None, "rises")
    assert found["asked"] or "pip install 'keras-i3d[kserve]'" in done.stdout
