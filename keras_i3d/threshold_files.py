"""`thresholds.json`: from which probability on each class of a network that ends in a sigmoid counts as there.

`evaluate --choose_thresholds` writes it into a run's folder, with which it is read, and into its own output. Its labels
are those of the network, and `head` is the digest of the head that they were chosen for: a run that was trained on
since has another one.
"""

import dataclasses
import json
import numbers
import os
import pathlib

from keras_i3d import atomic, paths
from keras_i3d.errors import one_line
from keras_i3d.version import __version__

NAME = "thresholds.json"
DEFAULT = 0.5  # of a class for which none was chosen
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Thresholds that were chosen.

    Attributes:
        labels: class names.
        thresholds: one for each, in [0, 1].
        chosen_on: where and how, for people.
        head: digest of the network's head; None of several networks together.
    """

    labels: tuple
    thresholds: tuple
    chosen_on: str = ""
    head: str | None = None

    def write(self, folder):
        """Writes FOLDER/thresholds.json, whole or not at all; returns its path.

        Raises:
            ValueError: two classes of one name.
        """
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"Thresholds are chosen by the names of the classes, each once. Received: {self.labels}")
        path = pathlib.Path(folder) / NAME
        content = {
            "format": FORMAT,
            "version": __version__,
            "chosen_on": self.chosen_on,
            "head": self.head,
            "thresholds": dict(zip(self.labels, self.thresholds, strict=True)),
        }
        atomic.write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return path


def read(path):
    """Reads the Chosen of a `thresholds.json`, or of a folder that holds one.

    Raises:
        ValueError: no such file, or one that this version does not read.
    """
    path = pathlib.Path(paths.expand(path))
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise ValueError(
            f"Thresholds are a {NAME} that `keras-i3d evaluate --choose_thresholds` wrote. Received: {path}, no file"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError("another format")
        named, said, head = content["thresholds"], content["chosen_on"], content["head"]
        if not isinstance(named, dict) or not named or not is_thresholds(tuple(named.values())):
            raise ValueError("thresholds are a number in [0, 1] for each class")
        if not isinstance(said, str) or not (head is None or isinstance(head, str)):
            raise ValueError("chosen_on and head are text")
        return Chosen(tuple(named), tuple(map(float, named.values())), said, head)
    except Exception as error:  # of damaged text, or of values of other kinds: any of a dozen of types
        raise ValueError(f"{path} is no {NAME} that this version reads: {one_line(error)}") from error


def is_thresholds(value):
    """Whether a value is a tuple of numbers in [0, 1], at least one."""
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(isinstance(each, numbers.Real) and not isinstance(each, bool) and 0 <= each <= 1 for each in value)
    )


def given(value, labels):
    """Returns a threshold for each class, of what a user gives.

    Args:
        value: a number for all classes, one for each, or the path of a `thresholds.json`.
        labels: class names.

    Raises:
        ValueError: values out of [0, 1], of another number, or of other classes.
    """
    rule = f"thresholds must be a number in [0, 1], one for each of the {len(labels)} classes, or a {NAME}."
    if isinstance(value, str | os.PathLike):
        try:
            value = float(os.fspath(value))
        except ValueError:
            chosen = read(value)
            if set(chosen.labels) != set(labels):
                other = next(iter(set(labels) ^ set(chosen.labels)))
                raise ValueError(
                    f"Thresholds are of the same classes as the network. Received: {value}, of {len(chosen.labels)} "
                    f"classes, where the network has {len(labels)}; {other!r} is not in both"
                ) from None
            by_label = dict(zip(chosen.labels, chosen.thresholds))
            return tuple(by_label[label] for label in labels)
    if isinstance(value, numbers.Real):
        value = (value,) * len(labels)
    value = tuple(value)
    if not is_thresholds(value) or len(value) != len(labels):
        raise ValueError(f"{rule} Received: {', '.join(map(str, value[:3]))}{', ...' if len(value) > 3 else ''}")
    return tuple(map(float, value))
