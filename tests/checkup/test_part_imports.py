"""Imports in another process: what raises, ends its process, hangs, or does not go with another one."""

import sys
import threading

import pytest

from keras_i3d.checkup import part_imports

MODULES = {
    "good_part": "print('hello')",
    "raising_part": "raise RuntimeError('of another\\nversion')",
    "ending_part": "import os; os._exit(3)",
    "leaving_part": "import sys; sys.exit()",
    # It says that it has begun. Should nobody give it up, it ends in the end, and the test fails.
    "hanging_part": "import pathlib, time; pathlib.Path(__file__).with_name('begun').touch(); time.sleep(60)",
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


def test_what_hangs_is_given_up(tmp_path, monkeypatch):
    """Each import has its own limit, which here is over once the one that hangs has begun: no machine is too slow."""
    timers, begun = [], tmp_path / "begun"

    class Timer:
        def __init__(self, seconds, give_up):
            timers.append(self)
            self.seconds, self.give_up, self.cancelled = seconds, give_up, threading.Event()

        def start(self):
            threading.Thread(target=self.run, daemon=True).start()

        def run(self):
            while not self.cancelled.wait(0.01):
                if begun.exists():
                    begun.unlink()
                    self.give_up()
                    return

        def cancel(self):
            self.cancelled.set()

    monkeypatch.setattr(part_imports.threading, "Timer", Timer)
    found = part_imports.tried(["good_part", "hanging_part", "leaving_part"])
    late = f"it takes more than {part_imports.LIMIT:g} s"
    assert found == {"good_part": "", "hanging_part": late, "leaving_part": "SystemExit:"}
    # Two in the first process, one in the next, which is tried again alone because it failed.
    assert [timer.seconds for timer in timers] == [part_imports.LIMIT] * 4
    assert all(timer.cancelled.is_set() for timer in timers)
    assert not begun.exists()


def test_without_parts_no_process_is_started(monkeypatch):
    monkeypatch.setattr(part_imports.subprocess, "Popen", None)
    assert part_imports.Imports(()).found() == {}


def test_a_process_that_cannot_be_started_is_told_by_the_check(monkeypatch):
    def refuse(*given, **settings):
        raise OSError("no memory")

    monkeypatch.setattr(part_imports.subprocess, "Popen", refuse)
    with pytest.raises(OSError, match="no memory"):
        part_imports.Imports(["good_part"]).found()
