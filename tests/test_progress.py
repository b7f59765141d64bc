"""What long work shows: lines in a pipe, a bar on a terminal, nothing where progress is off."""

import io
import re
import sys
import time

import pytest

from keras_i3d import progress
from keras_i3d.errors import notice


class Terminal(io.StringIO):
    """What is written to a terminal, and the rows that a person sees of it."""

    def isatty(self):
        return True

    def rows(self):
        rows, row, column = [""], 0, 0
        for text in re.split("(\x1b\\[A|\r|\n)", self.getvalue()):
            if text == "\x1b[A":
                row -= 1
            elif text in ("\r", "\n"):
                row, column = row + (text == "\n"), 0
            else:
                rows[row] = rows[row][:column].ljust(column) + text + rows[row][column + len(text) :]
                column += len(text)
            rows += [""] * (row + 1 - len(rows))
        return [each.rstrip() for each in rows]


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets, and lines at every hundredth of a real second."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    monkeypatch.setattr(progress, "EVERY", 0.01)
    return Clock


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(progress, "notice", said.append)
    return said


def wait_for(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("nothing came in five seconds")


def test_a_line_comes_in_a_pipe_even_when_nothing_is_counted(lines):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "EVERY", 0.01)
        with progress.Bar("records train", 300, "videos"):
            wait_for(lambda: len(lines) > 1)
    assert lines[0] == "records train: 0 of 300 videos (0%), 0 s so far"
    assert lines[-1] == "records train: 0 of 300 videos (0%) in 0 s"


def test_short_work_prints_nothing(capsys):
    with progress.Bar("x", 3, "videos") as bar:
        assert list(bar.over("abc")) == ["a", "b", "c"]
        assert bar.done == 3
    assert capsys.readouterr() == ("", "")


def test_nothing_is_printed_where_progress_is_off(clock, lines):
    with progress.Bar("x", 3, "videos", shown=False) as bar:
        bar.update()
        bar.note("loss 1")
        time.sleep(0.05)
    assert not lines


def test_the_time_left_leaves_out_what_comes_once(clock, lines):
    """A minute of compilation before the first of 240 batches, which take a second each, is not four hours."""
    with progress.Bar("train", 240, "batches", shown=False) as bar:
        assert bar.seconds_left() is None
        clock.now += 60
        bar.update()
        assert bar.seconds_left() is None
        for _ in range(4):
            clock.now += 1
            bar.update()
        assert bar.seconds_left() is None, "four seconds are too few"
        clock.now += 1
        bar.update()
        assert bar.seconds_left() == pytest.approx(234)
        clock.now += 4  # of a batch that nobody has counted yet
        assert bar.seconds_left() == pytest.approx(230)
        assert bar._line() == "train: 6 of 240 batches (2%), 1 min 9 s so far, about 3 min 50 s left"
        bar.note("loss 1.25")
        assert bar._line().endswith("left; loss 1.25")
        bar.describe("train, validation", waits=True)
        assert bar._line() == "train, validation: 6 of 240 batches (2%), 1 min 9 s so far; loss 1.25"
        bar.describe("train")
        assert bar.seconds_left() == pytest.approx(230)
        clock.now += 231
        assert bar.seconds_left() is None, "nothing can be left of what is not done"
        clock.now -= 231
        bar.update(234)
        assert bar.seconds_left() is None


@pytest.mark.parametrize(
    ("total", "unit", "counted"),
    [(None, "frames", "12 frames"), (48, None, "25%"), (None, None, "begun"), (48e6, "bytes", "12.0 of 48.0 MB (25%)")],
)
def test_what_is_counted(total, unit, counted):
    bar = progress.Bar("x", total, unit, done=12e6 if unit == "bytes" else 12, shown=False)
    assert bar._line() == f"x: {counted}, 0 s so far"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (2400, "40 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.Bar("clip.mp4", None, "frames", stays=True) as bar:
        bar.expect(4)
        bar.note("flow")
        for _ in range(4):
            bar.update()
        bar.describe("done")
    shown = sys.stderr.getvalue()
    assert "clip.mp4" in shown
    assert "done: 100%|" in shown
    assert "| 4 of 4 frames [00:00<?, flow]" in shown
    assert "keras_i3d:" not in shown


def test_a_notice_stands_above_the_bars(monkeypatch):
    """Of two bars at once too, whichever ends first; after the last one notices are plain lines again."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.Bar("train", 4, "batches", stays=True) as bar:
        bar.update(2)
        inner = progress.Bar("validation", 9, "videos")
        notice("a record was dropped")
        inner.close()
        bar.update(2)
        notice("a second one")
        *above, shown = sys.stderr.rows()
        assert above == ["keras_i3d: a record was dropped", "keras_i3d: a second one"]
        assert shown.startswith("train: 100%|")
    notice("the end")
    assert sys.stderr.rows()[2].startswith("train: 100%|")
    assert sys.stderr.rows()[3:] == ["keras_i3d: the end", ""]


def test_a_reader_that_went_away_stops_the_lines_and_not_the_work(monkeypatch):
    def broken(text):
        raise BrokenPipeError

    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setattr(progress, "notice", broken)
    with progress.Bar("x", 2, "videos") as bar:
        wait_for(lambda: bar._stop.is_set())
        bar.update(2)


@pytest.mark.parametrize("stderr", [None, io.StringIO()])
def test_without_a_standard_error(monkeypatch, capsys, stderr):
    if stderr:
        stderr.close()
    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress.Bar("x", 2, "videos") as bar:
        bar.update()
        time.sleep(0.05)
    assert capsys.readouterr().out == ""


def test_whoever_listens_is_told_and_may_end_the_work():
    told = []

    def listen(bar):
        told.append((bar.what, bar.done, bar.total))
        if bar.done == 3:
            raise RuntimeError("enough")

    with (
        progress.told_to(listen),
        pytest.raises(RuntimeError, match="enough"),
        progress.Bar("x", 5, shown=False) as bar,
    ):
        for _ in bar.over(range(5)):
            pass
    assert told == [("x", 1, 5), ("x", 2, 5), ("x", 3, 5)]
    with progress.Bar("y", 5, shown=False) as bar:
        bar.update()
    assert len(told) == 3
