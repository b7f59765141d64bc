"""Locks between processes, each a file."""

import contextlib
import errno
import pathlib
import tempfile

from keras_i3d.errors import notice

# What a file system answers that cannot lock: NFS without its lock service, some FUSE and cluster file systems.
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
PATIENCE = 1  # seconds of waiting before a line says so


@contextlib.contextmanager
def hold(path, busy=None, waiting=None):
    """Holds a lock while the block runs. A process that ends, in whatever way, lets go of it.

    Where the file system cannot lock, a file `PATH.held` stands for the lock, and a line says so: it is as safe, but a
    process that was killed may leave it behind.

    Args:
        path: the lock's file, in a folder that exists; it stays there.
        busy: the exception to raise at once if another process holds the lock. None waits for it.
        waiting: a line to print once if that takes longer than a second.

    Raises:
        OSError: the file cannot be made.
    """
    import filelock

    path = pathlib.Path(path)
    if _locks_work(path.parent):
        lock = filelock.FileLock(path)
    else:
        path = path.with_name(f"{path.name}.held")
        notice(
            f"the file system of {path.parent} has no locks, so {path} stands for one. Remove it if a process was "
            "killed and left it"
        )
        lock = filelock.SoftFileLock(path)
    try:
        lock.acquire(timeout=PATIENCE if busy is None else 0)
    except filelock.Timeout as error:
        if busy is not None:
            raise busy from error
        if waiting:
            notice(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _locks_work(folder):
    """Whether files in a folder can be locked. filelock finds out too, but by waiting for ever if they cannot."""
    try:
        import fcntl
    except ImportError:  # Windows, which locks in another way
        return True
    with tempfile.TemporaryFile(dir=folder) as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return False
            raise
    return True
