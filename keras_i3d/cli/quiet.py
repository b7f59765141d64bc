"""What TensorFlow, absl and Beam print about themselves while they start: held back, and shown if they fail to.

Their C++ writes to file descriptor 2, before any log level counts, so the descriptor itself is held: it leads to a
temporary file while they are imported. What is not known as theirs is shown afterwards, a traceback of another thread
for one.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading

from keras_i3d import on_first_use

# What they print at every start, by its first words: lines of a log of C++ in both of TensorFlow's formats, the line
# that follows one of them, and what absl and Beam say.
OWN = re.compile(
    rb"[IWE]\d{4} [\d:.]+\s+\d+ \S+:\d+\] |\d{4}-\d\d-\d\d [\d:.]+: [IWE] \S+:\d+\] |"
    rb"To enable the following instructions:|WARNING: All log messages before absl::InitializeLog|"
    rb"WARNING:root:apitools not found"
)
# Runs next to the import. A library that ends the process leaves no time to show what it said, as TensorFlow does on a
# processor without AVX: then the pipe ends without a word, and this shows it.
WATCH = 'read -r done || cat "$1" >&2; rm -f "$1"'

_installed = False
_lock = threading.Lock()
_depth = 0  # imports that are under way, of all threads; the first one holds the descriptor, the last one lets it go
_hold = None


def install():
    """Makes TensorFlow and Beam start in silence from now on, in this process."""
    global _installed
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # after the start: errors alone
    if not _installed:
        _installed = True
        on_first_use.around_import(["tensorflow"], _start_of_tensorflow)
        on_first_use.around_import(["apache_beam"], held)


@contextlib.contextmanager
def _start_of_tensorflow():
    with held():
        yield
        # Here, because TensorFlow looks for GPUs when it is first asked to compute, and complains where it finds none.
        sys.modules["tensorflow"].config.list_physical_devices()


@contextlib.contextmanager
def held():
    """Holds standard error back while something is imported. If that fails, all that was said is shown."""
    global _depth, _hold
    with _lock:
        _depth += 1
        if _depth == 1:
            _hold = _Hold.begun()
        hold = _hold
    try:
        yield
    except Exception:
        if hold:
            hold.failed = True
        raise
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _hold:
                _hold.end()
                _hold = None


class _Hold:
    """File descriptor 2, in the meantime that of a temporary file."""

    def __init__(self, file, path, before):
        self.file, self.path, self.before, self.failed = file, path, before, False
        os.dup2(file.fileno(), 2)
        self.watcher = None
        with contextlib.suppress(OSError):  # no shell
            self.watcher = subprocess.Popen(
                ["/bin/sh", "-c", WATCH, "sh", path],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=before,
                start_new_session=True,  # an interruption is for this process
            )

    @classmethod
    def begun(cls):
        """Returns a _Hold; None where standard error is closed, or no temporary file can be made."""
        _flush()
        try:
            before = os.dup(2)
        except OSError:
            return None
        try:
            number, path = tempfile.mkstemp(prefix="keras_i3d-")
        except OSError:
            os.close(before)
            return None
        return cls(os.fdopen(number, "rb"), path, before)

    def end(self):
        """Puts the descriptor back, and shows what is to be shown."""
        _flush()
        os.dup2(self.before, 2)
        os.close(self.before)
        with self.file:
            self.file.seek(0)
            lines = self.file.readlines()
        if self.watcher:
            with contextlib.suppress(OSError):  # it was killed
                self.watcher.communicate(b"done\n")
        with contextlib.suppress(FileNotFoundError):  # the watcher removed it
            os.unlink(self.path)
        shown = b"".join(line for line in lines if self.failed or not OWN.match(line))
        with contextlib.suppress(OSError), open(2, "wb", closefd=False) as output:  # a reader that is gone
            output.write(shown)


def _flush():
    with contextlib.suppress(AttributeError, ValueError, OSError):  # none, closed, full
        sys.stderr.flush()
