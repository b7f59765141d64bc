"""Paths as a user writes them."""

import contextlib
import os
import re

MAGIC = re.compile(r"[*?\[]")


def expand(path):
    """Returns a path with a leading `~` or `~user` replaced by that home folder; anything that is no path as it is.

    A shell does not replace it in `--output=~/x`, and Python never does.
    """
    if isinstance(path, str | os.PathLike):
        text = os.fspath(path)
        if isinstance(text, str) and text.startswith("~") and not os.path.exists(text):
            return os.path.expanduser(text)
    return path


def pattern(path, is_folder=os.path.isdir):
    """Returns a glob whose folder is no pattern, if one of that very name is there: `out[1]/train-*` lies in `out[1]`.

    Args:
        path: a glob.
        is_folder: tells whether a path is a folder.
    """
    folder, *rest = os.path.split(path)
    while MAGIC.search(folder):
        if is_folder(folder):
            return os.path.join(MAGIC.sub(r"[\g<0>]", folder), *rest)
        folder, part = os.path.split(folder)
        rest = [part, *rest]
    return path


@contextlib.contextmanager
def inside(folder):
    """Within it a folder is the working directory, as of `contextlib.chdir`, which Python 3.10 has not."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
