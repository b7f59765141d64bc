"""Memory in huge pages: whose, and that it stays what it was."""

import pathlib

import numpy as np
import pytest

from keras_i3d.training import huge_pages

MAPS = """\
555500000000-555502000000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000200000 rw-p 00000000 00:00 0
7f1000100000-7f1006100000 rw-p 00000000 00:00 0
7f2000000000-7f2008000000 r--p 00000000 00:00 0
7f3000000000-7f3008000000 rw-p 00000000 08:01 1234                       /usr/lib/some.so
7f4000000000-7f4008000000 rw-s 00000000 00:01 99                         /dev/shm/shared
7f5000000000-7f5008000000 rw-p 00000000 00:00 0                          [stack]
"""


def test_large_areas_of_its_own(tmp_path, monkeypatch):
    """In whole huge pages: the heap, and an area that begins in the middle of one."""
    (tmp_path / "maps").write_text(MAPS)
    monkeypatch.setattr(huge_pages, "MAPS", tmp_path / "maps")
    assert huge_pages.areas() == [(0x555500000000, 0x555502000000), (0x7F1000200000, 0x7F1006000000)]


@pytest.mark.parametrize("mode", ["[always] madvise never", "always madvise [never]", None])
def test_asks_nothing_where_nobody_needs_to_ask(tmp_path, monkeypatch, mode):
    if mode is not None:
        (tmp_path / "enabled").write_text(mode)
    monkeypatch.setattr(huge_pages, "MODE", tmp_path / "enabled")
    monkeypatch.setattr(huge_pages, "areas", None)
    assert huge_pages.ask() == 0


def test_memory_is_asked_for_and_keeps_its_values():
    if not huge_pages.can_ask():
        pytest.skip("the system gives huge pages to all, or to nobody")
    values = np.arange(1 << 24, dtype="float32")  # 64 MB
    place = values.ctypes.data + values.nbytes // 2
    assert huge_pages.ask() >= values.nbytes // 2
    np.testing.assert_array_equal(values, np.arange(1 << 24, dtype="float32"))
    flags = {}
    for line in pathlib.Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            begin, end = (int(address, 16) for address in first.split("-"))
        elif first == "VmFlags:":
            flags[begin, end] = line.split()[1:]
    assert ["hg" in found for (begin, end), found in flags.items() if begin <= place < end] == [True]


def test_a_run_asks_once(monkeypatch):
    asked = []
    monkeypatch.setattr(huge_pages, "ask", lambda: asked.append(None))
    callback = huge_pages.HugePages(after=2)
    for _ in range(2):
        for batch in range(3):
            callback.on_train_batch_end(batch)
        assert len(asked) == 1
