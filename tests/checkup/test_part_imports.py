"""Imports in another process: what raises, ends its process, hangs, or does not go with another one."""

import sys

import pytest

from keras_i3d.checkup import part_imports

MODULES = {
    "good_part": "print('hello')",
    "raising_part": "raise RuntimeError('of another\\nversion')",
    "ending_part": "import os; os._exit(3)",
    "leaving_part": "import sys; sys.exit()",
    "hanging_part": "import time; time.sleep(60)",
    # Which cannot be imported after one of the others, as packages with one library in two versions.
    "jealous_part": "import sys; assert 'good_part' not in sys.modules",
}


@pytest.fixture(autouse=True)
def parts(tmp_path, monkeypatch):
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def test_every_one_is_told_of():
    found = part_imports.Imports(name for name in MODULES if name != "hanging_part").found()
    assert found == {
        "good_part": "",
        "raising_part": "RuntimeError: of another version",
        "ending_part": "it ends the process (status 3)",
        "leaving_part": "SystemExit:",
        "jealous_part": "",
    }


def test_what_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(part_imports, "LIMIT", 1.0)
    found = part_imports.tried(["hanging_part", "good_part"])
    assert found == {"hanging_part": "it takes more than 1 s", "good_part": ""}


def test_without_parts_no_process_is_started(monkeypatch):
    monkeypatch.setattr(part_imports.subprocess, "Popen", None)
    assert part_imports.Imports(()).found() == {}


def test_a_process_that_cannot_be_started_is_told_by_the_check(monkeypatch):
    def refuse(*given, **settings):
        raise OSError("no memory")

    monkeypatch.setattr(part_imports.subprocess, "Popen", refuse)
    with pytest.raises(OSError, match="no memory"):
        part_imports.Imports(["good_part"]).found()
