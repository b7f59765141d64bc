"""Files that are written whole or not at all."""

import contextlib
import glob
import hashlib
import os
import pathlib
import re
import secrets
import socket


@contextlib.contextmanager
def replacing(path):
    """Gives the path of a temporary file, which takes the place of `path` when the block ends without an exception.

    It lies in the same folder and ends in the same name. Temporary files of the same path that killed processes of this
    machine left are removed first.
    """
    path = pathlib.Path(path)
    clean(path)
    temporary = path.with_name(f".{_machine()}-{os.getpid()}-{secrets.token_hex(3)}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Writes a small UTF-8 file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def clean(path):
    """Removes the temporary files of `path` whose process ran on this machine and is gone."""
    path = pathlib.Path(path)
    for left in path.parent.glob(f".*-*-*-{glob.escape(path.name)}"):
        found = re.fullmatch(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{6}-" + re.escape(path.name), left.name)
        if found and found[1] == _machine() and not _runs(int(found[2])):
            left.unlink(missing_ok=True)


def _machine():
    """Eight digits for this machine: the number of a process means nothing on another."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


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
