"""What the package says to its user: its exceptions and its one-line notices."""

import contextlib
import errno
import importlib.util
import os
import re
import sys


class KerasI3DError(Exception):
    """The base of every error that keras_i3d raises for reasons outside the caller's arguments."""


class VideoError(KerasI3DError):
    """A video that gives no usable frames. `path` and `reason` say which and why."""

    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class BuildError(KerasI3DError):
    """A build of records that could not run to its end. What is complete is kept; the same command resumes."""


class WeightsError(KerasI3DError):
    """Weights that cannot be fetched, verified, converted or matched to the model."""


class WeightsUnreachableError(WeightsError):
    """Weights whose host or mirror could not be reached, or does not have the file."""


class WeightsCacheError(WeightsError):
    """Weights that cannot be kept: the cache has no folder, or cannot be written. It says nothing of the weights."""


class ServerError(KerasI3DError):
    """A model server that does not answer, refuses, or cannot start."""


class TrainingError(KerasI3DError):
    """A run that cannot start or resume."""


class EvaluationError(KerasI3DError):
    """Records that cannot be evaluated."""


class FeaturesError(KerasI3DError):
    """Features that cannot be written where they were to go, or read: of other settings, of another video, damaged."""


class ExportError(KerasI3DError):
    """An export that could not be written or verified; nothing was put in place."""


def check_rules(record, rules):
    """Raises ValueError with the rule, what was received and under which name, for the first rule that does not hold.

    Args:
        record: an object whose attributes are checked, such as a dataclass in its `__post_init__`.
        rules: triples (name of an attribute, whether its rule holds, the rule in words: it stands after "must be").
    """
    for name, holds, rule in rules:
        if not holds:
            raise ValueError(f"{name} must be {rule}. Received: {name}={getattr(record, name)!r}")


# What an error of a file system means, and its remedy.
_DISK_FULL = ("the disk is full", "Free some space, or name another place.")
_DENIED = ("access is denied", "Change the permissions, or name another place.")
ERRNOS = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: ("the disk quota is used up", _DISK_FULL[1]),
    errno.EROFS: ("the file system is read-only", "Name another place."),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOENT: ("no such file or folder", ""),
    errno.EISDIR: ("a folder, where a file is needed", ""),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", ""),
    errno.ELOOP: ("links that lead in a circle", ""),
    errno.ENAMETOOLONG: ("the name is too long", ""),
    errno.EMFILE: ("too many files are open", "Raise the limit: ulimit -n 4096."),
    errno.ENFILE: ("too many files are open", "Close other programs."),
    errno.EIO: ("the disk fails to read or write", "Check the disk."),
    errno.ENOLCK: ("the file system knows no locks", "Name a place on a local disk."),
}


def system_error(error):
    """Returns the OSError that an exception of a file system is, or means; None for any other exception.

    TensorFlow's file systems raise a tf.errors.OpError that ends in "PATH; No space left on device".
    """
    if isinstance(error, OSError):
        return None if error.errno is None else error
    if not (hasattr(error, "message") and hasattr(error, "error_code")):  # of a tf.errors.OpError
        return None
    path, semicolon, reason = tensorflow_message(error).rpartition("; ")
    code = next((code for code in ERRNOS if os.strerror(code).casefold() == reason.strip().casefold()), None)
    return OSError(code, os.strerror(code), path.rpartition(": ")[2]) if semicolon and code else None


def system_line(error, otherwise=None):
    """Returns "PATH: what is wrong. Remedy." of an OSError; None if its number is not one of `ERRNOS`.

    Args:
        error: an OSError with a number.
        otherwise: (what is wrong, remedy) for a number that is not one of `ERRNOS`.
    """
    known = ERRNOS.get(error.errno, otherwise)
    if known is None:
        return None
    what, remedy = known
    path = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    said = f"{what[0].upper()}{what[1:]}" if path in (None, "") or isinstance(path, int) else f"{path}: {what}"
    return f"{said}. {remedy}".rstrip()


_wording = []  # functions that reword a notice, the last one in use
_writing = []  # functions that write a line where something is drawn, the last one in use


def notice(message):
    """Prints one line about a choice made on the user's behalf, to standard error."""
    message = f"keras_i3d: {_wording[-1](message) if _wording else message}"
    if _writing:
        _writing[-1](message)
    else:
        print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def worded(reword):
    """Within it, `reword` turns each notice into what is printed: the command line has flags, not arguments."""
    _wording.append(reword)
    try:
        yield
    finally:
        _wording.pop()


@contextlib.contextmanager
def written_by(write):
    """Within it, `write` puts the line of each notice on standard error, because something is drawn there.

    Two of them, in two threads, may end in any order.
    """
    _writing.append(write)
    try:
        yield
    finally:
        _writing.remove(write)


def missing_package(module, install, why):
    """Returns the ImportError to raise if the optional package `module` is needed and absent."""
    return ImportError(f"{why} needs the package {module}, which is not installed. Run: pip install {install}")


def is_installed(module):
    """Whether a package is there. A folder of that name in the current folder, an export's say, is no package."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def one_line(error, most=200):
    """Returns what a library's exception says as one printable line: Keras tells whole configs, of a stranger's too."""
    reason = "".join(c if c.isprintable() else " " for c in str(error).rpartition("Exception encountered: ")[2])
    reason = " ".join(reason.split()) or type(error).__name__
    return reason if len(reason) <= most else f"{reason[:most]}..."


def is_out_of_memory(error):
    """Whether an exception of Python, NumPy, TensorFlow or JAX says that memory was too small.

    TensorFlow's ResourceExhaustedError is also that of a full disk and of too many open files.
    """
    if isinstance(error, MemoryError):
        return True
    if any(
        kind.__name__ in ("ResourceExhaustedError", "XlaRuntimeError", "JaxRuntimeError")
        for kind in type(error).__mro__
    ):
        return re.search(r"\bOOM\b|out of memory|allocat", str(error), re.IGNORECASE) is not None
    return False


def tensorflow_message(error):
    """Returns what an error of TensorFlow says, in one line, without the names of its operations.

    Args:
        error: a tf.errors.OpError. Of a failed `tf.debugging.Assert` it is the text that the assertion was given.
    """
    text = str(getattr(error, "message", None) or error).strip()
    found = re.search(r"assertion failed: (\[[^\n]*\])", text)
    if found:
        return " ".join(part for part in _bracketed(found[1]) if not part.startswith("Op:"))
    text = re.sub(r"\{\{[^{}]*\}\}|\[\[[^\[\]]*\]\]|\[Op:[^\]]*\](?: name:\s*)?", " ", text)
    # Keras puts "Graph execution error:" and the stack of the step before what TensorFlow has to say.
    idle = ("Graph execution error", "Detected at", "<stack traces", " ", "\t", "[[")
    lines = [" ".join(line.split()) for line in text.splitlines() if not line.startswith(idle)]
    return next((line for line in lines if line and not line.endswith("error(s) found.")), type(error).__name__)


def _bracketed(text):
    """Returns what stands in the outer brackets of a text: "[shape [1 8].] [2]" has "shape [1 8]." and "2"."""
    parts, depth, begin = [], 0, 0
    for place, character in enumerate(text):
        if character == "[":
            depth += 1
            if depth == 1:
                begin = place + 1
        elif character == "]" and depth:
            depth -= 1
            if depth == 0:
                parts.append(text[begin:place])
    return parts


def without_credentials(text):
    """Returns a text whose URLs have *** in the place of a user's name and password."""
    text = re.sub(r"(https?://)[^\s'\"]*@", r"\1***@", str(text))  # a password may hold a / that should be %2F
    return re.sub(r"(://)[^\s'\"/]*@", r"\1***@", text)
