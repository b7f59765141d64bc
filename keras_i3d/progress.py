"""How far long work is: a bar on a terminal, and a line every ten seconds anywhere else."""

import contextlib
import contextvars
import sys
import threading
import time

from keras_i3d.errors import notice, written_by

EVERY = 10.0  # seconds between two lines
SETTLED = 5.0  # seconds after the first update before anything is said about the time left

_listening = contextvars.ContextVar("listening", default=None)  # a function that is told of every update of a Bar


@contextlib.contextmanager
def told_to(listen):
    """Within it, in this thread, each Bar that is made calls `listen(bar)` at each update, shown or not.

    An update may come in a thread that the work started. What `listen` raises ends the work.
    """
    token = _listening.set(listen)
    try:
        yield
    finally:
        _listening.reset(token)


class Bar:
    """What is shown of one piece of work, from its making to `close`; a `with` block closes it.

    On a terminal it is a bar, with the seconds running even if nothing is counted for a while; a notice stands above
    it. Anywhere else, as in a pipe, a file or a notebook, it is one line every ten seconds. Work that takes less than
    that prints none.

    The time left is taken from the pace since the first update, because what comes before it, such as the compilation
    of a network, comes once. Nothing is said about it in the first seconds.

    Args:
        what: what is done, such as "train" or the name of a video.
        total: how much there is to do, or None if that is not known.
        unit: what is counted, in the plural; "bytes" are shown in MB; None shows a percentage alone.
        done: how much of it was done before.
        shown: whether anything is printed.
        stays: whether a full bar stays on the terminal.
    """

    def __init__(self, what, total=None, unit=None, done=0, shown=True, stays=False):
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self.remark = ""
        self._waits = False
        self._began = self._last = time.monotonic()
        self._first = None  # (time, done) of the first update
        self._said = False
        self._listen = _listening.get()
        self._bar = self._thread = None
        self._notices = contextlib.ExitStack()  # while the bar is drawn, they are written above it
        if not shown or sys.stderr is None:
            return
        if _is_terminal():
            self._bar = _drawn(self, stays)
            self._notices.enter_context(written_by(_above))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(EVERY if self._bar is None else 1.0,), daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def over(self, items):
        """Passes items on, and counts each when the next one is asked for."""
        for item in items:
            yield item
            self.update()

    def update(self, count=1):
        """Counts work that has been done since the last call."""
        if not count:
            return
        self.done += count
        self._last = time.monotonic()
        if self._first is None:
            self._first = (self._last, self.done)
        if self._bar is not None:
            self._bar.update(count)
        if self._listen is not None:
            self._listen(self)

    def expect(self, total):
        """Says how much there is to do, once that is known."""
        self.total = total
        if self._bar is not None:
            self._bar.total = total
            self._bar.bar_format = self._format()
            self._bar.refresh()

    def describe(self, what, waits=False):
        """Says what is being done now; `waits` if nothing of it is counted, so that no time left is known."""
        self.what, self._waits = what, waits
        if self._bar is not None:
            self._bar.set_description_str(what)

    def note(self, remark):
        """Sets what is said after the numbers, such as the loss."""
        self.remark = remark
        if self._bar is not None:
            self._bar.set_postfix_str(remark, refresh=False)

    def close(self):
        """Ends the bar. If a line was printed, a last one says how long all of it took."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        if self._bar is not None:
            self._bar.close()
            self._notices.close()
        elif self._said:
            self._say(f"{self.what}: {self._counted()} in {duration(time.monotonic() - self._began)}")

    def seconds_left(self):
        """Returns an estimate in seconds; None where there is none to be trusted, and when nothing is left."""
        if self.total is None or self._first is None or self.done >= self.total or self._waits:
            return None
        begin, before = self._first
        if self.done <= before or time.monotonic() - begin < SETTLED:
            return None
        pace = (self._last - begin) / (self.done - before)
        # What was done since the last update counts too, though nobody has said so.
        left = (self.total - self.done) * pace - (time.monotonic() - self._last)
        return left if left > 0 else None

    def _watch(self, every):
        while not self._stop.wait(every):
            if self._bar is not None:
                self._bar.refresh()
            else:
                self._said = True
                self._say(self._line())

    def _say(self, text):
        try:
            notice(text)
        except (OSError, ValueError):  # nobody reads it any more; the work continues
            self._stop.set()

    def _line(self):
        parts = [f"{self.what}: {self._counted()}", f"{duration(time.monotonic() - self._began)} so far"]
        left = self.seconds_left()
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts) + (f"; {self.remark}" if self.remark else "")

    def _counted(self):
        share = f"{self.done / self.total:.0%}" if self.total else ""
        if self.unit is None:
            return share or "begun"
        if self.unit == "bytes":
            done, unit = f"{self.done / 1e6:.1f}", "MB"
            total = self.total and f"{self.total / 1e6:.1f}"
        else:
            done, total, unit = self.done, self.total, self.unit
        return f"{done} of {total} {unit} ({share})" if self.total else f"{done} {unit}"

    def _format(self):
        """The bar on a terminal, as tqdm takes it."""
        if self.total is None:
            return "{desc}: {n_fmt} {unit} [{elapsed}{postfix}]" if self.unit else "{desc} [{elapsed}{postfix}]"
        counted = " {n_fmt} of {total_fmt} {unit}" if self.unit else ""
        return "{desc}: {percentage:3.0f}%|{bar}|" + counted + " [{elapsed}<{left}{postfix}]"


def duration(seconds):
    """Returns seconds as a person writes them: "45 s", "3 min 20 s", "2 h 5 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _is_terminal():
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # no file, or a closed one
        return False


def _above(line):
    """Writes a line where the bars are drawn, which are drawn anew below it."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


def _drawn(bar, stays):
    from tqdm import tqdm

    class Drawn(tqdm):
        """tqdm, with this module's time left: its own reckons from the first seconds, compilation included."""

        @property
        def format_dict(self):
            left = bar.seconds_left()
            return {**super().format_dict, "left": "?" if left is None else self.format_interval(left)}

    of_bytes = bar.unit == "bytes"
    return Drawn(
        total=bar.total,
        initial=bar.done,
        desc=bar.what,
        unit="B" if of_bytes else bar.unit or "",
        unit_scale=of_bytes,
        leave=stays,
        bar_format=bar._format(),
    )
