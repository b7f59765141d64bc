"""The temporary folder of a server, with the videos that were sent; what servers left that were killed is removed.

A server holds a lock in its folder as long as it lives, and the system lets go of it in whatever way it ends. So a
folder whose lock is free is of no living server.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile

from keras_i3d import locks
from keras_i3d.errors import notice

PREFIX, LOCK = "keras_i3d_web_", "server.lock"
NAMES = (LOCK, f"{LOCK}.held")  # the latter where the file system has no locks, as `locks.hold` says


class _HeldError(Exception):
    """A server that lives holds the lock."""


@contextlib.contextmanager
def of_server():
    """Gives a new folder, as text, for as long as the block runs; first removes those of servers that were killed.

    Raises:
        OSError: it cannot be made.
    """
    sweep()
    with contextlib.ExitStack() as stack:
        yield str(_locked(stack))


def _locked(stack):
    """Makes a folder whose lock is held until the stack ends, which then removes it."""
    while True:
        path = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX))
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        with contextlib.suppress(_HeldError, FileNotFoundError):
            stack.enter_context(locks.hold(path / LOCK, busy=_HeldError()))
            if _lock_is_there(path):  # else another server swept it before the lock was held
                return path


def _lock_is_there(path):
    return any((path / name).is_file() for name in NAMES)


def sweep():
    """Removes the folders of servers that do not live any more; a line names each.

    A folder without a lock is left alone: its server is about to hold one, and lives.
    """
    place = pathlib.Path(tempfile.gettempdir())
    for path in sorted(place.glob(f"{PREFIX}*")):
        if not _is_own(path) or not _lock_is_there(path):
            continue
        with contextlib.suppress(_HeldError, OSError), locks.hold(path / LOCK, busy=_HeldError()):
            videos = sum(1 for each in path.iterdir() if each.is_dir())
            shutil.rmtree(path)
            notice(f"{path}, which a server that was killed left, is removed; videos in it: {videos}")


def _is_own(path):
    """Whether it is a folder, no link to one, of this user: in a folder for everybody others may lay traps."""
    try:
        found = path.lstat()
    except OSError:
        return False
    folder = path.is_dir() and not path.is_symlink()
    return folder and (not hasattr(os, "getuid") or found.st_uid == os.getuid())
