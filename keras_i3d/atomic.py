"""Files that are written whole or not at all."""

import contextlib
import hashlib
import os
import pathlib
import re
import secrets
import socket

from keras_i3d.errors import system_error

_writing = set()  # temporary files that this process writes now
TEMPORARY = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{6}-(?P<name>.+)", re.DOTALL)


@contextlib.contextmanager
def replacing(path):
    """Gives the path of a temporary file, which takes the place of `path` when the block ends without an exception.

    It lies in the same folder and ends in the same name. Temporary files of the same path that killed processes of this
    machine left are removed first. An OSError of the block names `path`, whatever it was about: not the temporary file,
    nor nothing, as on a full disk.
    """
    path = pathlib.Path(path)
    clean(path.parent, path.name)
    temporary = path.with_name(_temporary(path.name))
    _writing.add(temporary)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # which would hide the error
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        _writing.discard(temporary)


@contextlib.contextmanager
def replacing_by(files, path, folder=None):
    """`replacing` for a file that may be remote.

    What killed processes left is not looked for: whoever has the folder for itself does that, by `is_temporary`.

    Args:
        files: what renames and removes: `tf.io.gfile`.
        path: text.
        folder: where the temporary file lies; None for the folder of `path`.

    Raises:
        OSError: what TensorFlow says of a full disk and the like, naming `path`.
    """
    place, name = os.path.split(path)
    temporary = os.path.join(place if folder is None else folder, _temporary(name))
    try:
        yield temporary
        files.rename(temporary, path, overwrite=True)
    except BaseException as error:
        with contextlib.suppress(Exception):  # which would hide the error
            files.remove(temporary)
        said = system_error(error)
        if said is None:
            raise
        if said.filename in (None, temporary):
            said.filename = path
        if said is error:
            raise
        raise said from error


def write_text(path, text, mode=None):
    """Writes a small UTF-8 file; `mode`, such as 0o755, are its permissions, by default the usual ones."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        if mode is not None:
            temporary.chmod(mode)


def clean(folder, name=None, alone=False):
    """Removes temporary files that killed processes left in a folder.

    Args:
        folder: a path.
        name: the name of the file that they were to become; None for all.
        alone: whether a lock makes sure that no other process writes there now. Then all go; otherwise those whose
            process ran on this machine and is gone.
    """
    for left in pathlib.Path(folder).iterdir():
        found = TEMPORARY.fullmatch(left.name)
        if not found or name not in (None, found["name"]):
            continue
        if alone or (found["machine"] == _machine() and not _in_use(left, int(found["process"]))):
            left.unlink(missing_ok=True)


def is_temporary(name):
    """Whether a file is named as the temporary files of this module are."""
    return TEMPORARY.fullmatch(name) is not None


def _temporary(name):
    return f".{_machine()}-{os.getpid()}-{secrets.token_hex(3)}-{name}"


def _machine():
    """Eight digits for this machine: the number of a process means nothing on another."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _in_use(path, process):
    if process == os.getpid():  # a container that starts again gives its process the same number
        return path in _writing
    return _runs(process)


def _runs(process):
    if os.name != "posix":  # signal 0 would end the process there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
