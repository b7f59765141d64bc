"""Which video files lie in a folder: the walk of `classify` and of `records`, and the suffixes that `show` knows too.

Each folder is listed once, and no file is looked at by itself.
"""

import dataclasses
import errno
import os
import stat

from keras_i3d.errors import notice

# What a video file's name ends in; anything else in a dataset's folders is no video.
SUFFIXES = frozenset(
    (".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg")
    + (".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv")
)


def suffix(name):
    """Returns what a file name ends in, dot included, in lower case."""
    return os.path.splitext(name)[1].casefold()


def is_video(name):
    """Whether a file is called like a video."""
    return suffix(name) in SUFFIXES


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
    names = {"file": [], "folder": [], "neither": []}
    for name, kind, _ in _entries(path, what):
        if hidden or not name.startswith("."):
            names[kind].append(name)
    return tuple(names.values())


def _entries(path, what):
    """Returns [(name, "file" or "folder" or "neither", whether it is a link)]; raises as `scan` does."""

    def kind(entry):
        try:
            return "folder" if entry.is_dir() else "file" if entry.is_file() else "neither"
        except OSError:  # a link that leads in a circle
            return "neither"

    try:
        with os.scandir(path or ".") as entries:
            return [(entry.name, kind(entry), entry.is_symlink()) for entry in entries]
    except OSError as error:
        raise ValueError(f"{what} cannot be listed: {path} ({error.strerror})") from error


@dataclasses.dataclass(frozen=True)
class Walk:
    """What lies in a folder and below it. Paths start from the folder, have forward slashes, and are sorted.

    Attributes:
        videos: files that are called like videos.
        folders: the folders that were listed, without the first one.
        broken: what is called like a video and is no file: links that lead nowhere or in a circle, pipes.
        others: all other files.
        hidden: what begins with a dot, if it is called like a video or is a folder.
        deeper: folders below the depth that was asked for.
        again: folders that are in the list under another path already, because of a link.
        unlisted: folders that cannot be listed, with the reason: [(path, message)].
    """

    videos: tuple
    folders: tuple
    broken: tuple
    others: tuple
    hidden: tuple
    deeper: tuple
    again: tuple
    unlisted: tuple

    def say_what_is_left_out(self, where, others="files are no videos"):
        """Prints a line for each kind of what is left out, with how many there are and the first."""
        for what, left in (
            (others, self.others),
            ("names begin with a dot", self.hidden),
            ("folders are too deep", self.deeper),
            ("linked folders are taken once already", self.again),
        ):
            if left:
                notice(f"{where}: {len(left)} {what}, and left out (first: {printable(min(left))})")


def walk(folder, depth=None, what="The folder"):
    """Lists a folder and those below it, linked ones too, each of them once.

    Names that begin with a dot are left out. A folder that is reached both directly and by links is listed where it is.
    Of several links to a folder elsewhere the one nearest to the top is taken, then the first in order. So links in a
    circle come to an end.

    Args:
        folder: a path.
        depth: how many levels of folders below it are listed; None for all.
        what: what an error calls the folder.

    Returns:
        A Walk.

    Raises:
        ValueError: there is no such folder, or it cannot be listed.
    """
    found = {field.name: [] for field in dataclasses.fields(Walk)}
    direct, links = [("", 0)], []

    def enter(place, level):
        try:
            entries = _entries(os.path.join(folder, place), f"A folder in {folder}" if place else what)
        except ValueError as error:
            if not place:
                raise
            found["unlisted"].append((place, str(error)))
            return
        found["folders"].append(place)
        for name, kind, is_link in sorted(entries):
            path = f"{place}/{name}" if place else name
            if name.startswith("."):
                if kind == "folder" or is_video(name):
                    found["hidden"].append(path)
            elif kind != "folder":
                found["others" if not is_video(name) else "videos" if kind == "file" else "broken"].append(path)
            elif level == depth:
                found["deeper"].append(path)
            else:
                (links if is_link else direct).append((path, level + 1))

    while direct:
        enter(*direct.pop())
    # Only now is it known what is there without links. Without links no file and no folder is looked at by itself.
    root = os.path.realpath(folder) if links else ""
    listed = {os.path.normpath(os.path.join(root, place)) for place in found["folders"]}
    while links:
        links.sort(key=lambda link: (link[1], link[0]))
        direct.append(links.pop(0))
        while direct:
            place, level = direct.pop()
            real = os.path.realpath(os.path.join(folder, place))
            if real in listed:
                found["again"].append(place)
                continue
            listed.add(real)
            enter(place, level)
    found["folders"].remove("")
    return Walk(**{kind: tuple(sorted(paths)) for kind, paths in found.items()})


class Files:
    """The video files in a folder and in the folders directly below it, each listed once."""

    def __init__(self, videos, fold=False):
        self.videos = os.fspath(videos)
        self.fold = str.casefold if fold else str
        self.paths = {}  # name without suffix: [path relative to the videos folder]
        found = walk(self.videos, 1, "The videos folder")
        for _, problem in found.unlisted:
            raise ValueError(problem)
        for path in found.videos:
            stem = os.path.splitext(path.rpartition("/")[2])[0]
            self.paths.setdefault(self.fold(stem), []).append(path)

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
