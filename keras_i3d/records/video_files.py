"""Which video files lie in a folder. Each folder is listed once, and no file is looked at by itself."""

import errno
import os
import stat

# What a video file's name ends in; anything else in a dataset's folders is no video.
SUFFIXES = frozenset(
    (".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg")
    + (".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv")
)


def suffix(name):
    """Returns what a file name ends in, dot included, in lower case."""
    return os.path.splitext(name)[1].casefold()


def regular(path, flags=os.O_RDONLY):
    """Opens a regular file, as `open(opener=)` does; returns its descriptor.

    Raises:
        ValueError: a pipe or a device, which might be waited for for ever.
        IsADirectoryError, OSError: a folder; no such file.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise ValueError(f"{path}: a regular file is needed. Received: a pipe or a device")


def is_text(name):
    """Whether a name is UTF-8; a file's may be any bytes, which Python keeps as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name):
    """Returns a file's name with `\\xff` in the place of each byte that is not UTF-8."""
    return name if is_text(name) else os.fsencode(name).decode(errors="backslashreplace")


def scan(path, what, hidden=False):
    """Lists a folder, and says whose fault it is when that fails.

    Args:
        path: the folder; "" is the current one.
        what: what an error calls it.
        hidden: whether names that begin with a dot count.

    Returns:
        (names of files, names of folders, names of what is neither: links that lead nowhere or in a circle, pipes and
        the like, which nobody can read to an end), in no order.

    Raises:
        ValueError: there is no such folder, or it cannot be listed.
    """
    files, folders, broken = [], [], []

    def kind(entry):
        try:
            return folders if entry.is_dir() else files if entry.is_file() else broken
        except OSError:  # a link that leads in a circle
            return broken

    try:
        with os.scandir(path or ".") as entries:
            for entry in entries:
                if hidden or not entry.name.startswith("."):
                    kind(entry).append(entry.name)
    except OSError as error:
        raise ValueError(f"{what} cannot be listed: {path} ({error.strerror})") from error
    return files, folders, broken


class Files:
    """The video files in a folder and in the folders directly below it, each listed once."""

    def __init__(self, videos, fold=False):
        self.videos = os.fspath(videos)
        self.fold = str.casefold if fold else str
        self.paths = {}  # name without suffix: [path relative to the videos folder]
        names, folders, _ = scan(self.videos, "The videos folder")
        self._add("", names)
        for name in folders:
            self._add(f"{name}/", scan(os.path.join(self.videos, name), "A class folder")[0])

    def _add(self, prefix, names):
        for name in names:
            stem, ending = os.path.splitext(name)
            if ending.casefold() in SUFFIXES:
                self.paths.setdefault(self.fold(stem), []).append(prefix + name)

    def find(self, stem, label, wanted, anywhere=False):
        """Returns the path of the file that is called `stem`, whatever its suffix, or None.

        The class's own folder goes before the videos folder itself, and that, with `anywhere`, before any
        other; then the `wanted` name before others.
        """
        own = self._class(label)
        found = []
        for path in self.paths.get(self.fold(stem), ()):
            place, _, name = path.rpartition("/")
            rank = 0 if place and self._class(place) == own else 2 if place else 1
            if rank < 2 or anywhere:
                found.append((rank, name != wanted, path))
        return os.path.join(self.videos, min(found)[2]) if found else None

    def locate(self, row):
        """Returns (path, None, None) of a row that wants `class/file.avi`, or None."""
        name = row.wanted.rpartition("/")[2]
        path = self.find(os.path.splitext(name)[0], row.label, name)
        return None if path is None else (path, None, None)

    def _class(self, name):
        return None if name is None else self.fold(name.replace("_", " "))


def shortened(paths, base):
    """Returns {path: the same without what differs between machines, with forward slashes}."""
    base = os.path.abspath(base)
    outside = [p for p in paths if os.path.isabs(p) and not _is_below(os.path.normpath(p), base)]
    shared = os.path.commonpath([os.path.dirname(os.path.normpath(p)) for p in outside]) if outside else base
    short = {}
    for path in paths:
        name = os.path.normpath(path)
        if os.path.isabs(name):
            name = os.path.relpath(name, base if _is_below(name, base) else shared)
        short[path] = name.replace(os.sep, "/")
    return short


def _is_below(path, base):
    return path.startswith(os.path.join(base, ""))
