"""Files that are there whole or not at all."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def replacing(path):
    """Gives the path of a temporary file, which takes the place of `path` if the block ends and is removed if it fails.

    An OSError of the block names `path`, whatever it was about: not the temporary file, nor nothing, as on a full disk.
    """
    path = pathlib.Path(path)
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # which would hide the error
            aside.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(aside)):
            error.filename = str(path)
        raise


def write_text(path, text):
    """Writes a file of UTF-8 text."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
