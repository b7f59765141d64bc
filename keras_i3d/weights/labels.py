"""Lists of class names: published ones by name, others by path."""

import os
import pathlib

from keras_i3d import paths
from keras_i3d.weights import download, registry


def read_labels(labels, attempts=download.ATTEMPTS):
    """Returns a list of class names.

    Args:
        labels: "kinetics400" or "kinetics600", fetched with the weights and cached; the path of a text file
            with a name a line; or a sequence of names.
        attempts: connections to try, if the published list is not cached yet.
    """
    if isinstance(labels, list | tuple):
        return list(labels)
    if not isinstance(labels, str | os.PathLike):
        raise ValueError(f"labels must be a name, a path or a list of names. Received: {labels!r}")
    if labels in registry.LABELS:
        entry = registry.LABELS[labels]
        path = download.fetch(entry.file, download.cache_folder(), attempts)
    else:
        path = pathlib.Path(paths.expand(labels))
        if not path.is_file():
            raise ValueError(
                f"Unknown labels {str(labels)!r}. Pass {' or '.join(map(repr, registry.LABELS))}, "
                "the path of a text file with a name a line, or a list of names."
            )
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\n").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"A label list is UTF-8 text. Received: {path} ({error})") from error
