"""The larger class that each class belongs to, as a CSV says, and how many errors stay within one."""

import collections
import csv
import dataclasses
import pathlib

import numpy as np

from keras_i3d import paths

COLUMNS = ("label", "parent")


@dataclasses.dataclass(frozen=True)
class Group:
    """The errors of the classes of one parent.

    Attributes:
        parent: its name; "" where nobody said parents.
        videos: of its classes.
        within: errors whose label has the same parent.
        across: all others.
        pairs: ((true class, class that was named), how many), most frequent first.
    """

    parent: str
    videos: int
    within: int
    across: int
    pairs: tuple


def read(path, labels):
    """Returns {label: parent} of a CSV with the columns label and parent, for each of the labels.

    Labels of other data sets in it are left out.

    Raises:
        ValueError: no such file, no such columns, a label without a parent or with two.
    """
    path = pathlib.Path(paths.expand(path))
    if not path.is_file():
        raise ValueError(
            f"Parents are a CSV with the columns label and parent. Received: parents={str(path)!r}, no file"
        )
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # a quoted label may have line breaks
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"Parents are a CSV in UTF-8. Received: {path} ({error})") from error
    if not rows or not {*COLUMNS} <= {*rows[0]}:
        found = ", ".join(map(str, rows[0])) if rows else "none, or no rows"
        raise ValueError(f"Parents are a CSV with the columns label and parent. Received: {path}, whose are: {found}")
    parents = {}
    for row in rows:
        label, parent = ((row[name] or "").strip() for name in COLUMNS)
        if parents.setdefault(label, parent) != parent:
            raise ValueError(
                f"A label has one parent. Received: {label!r} in {parents[label]!r} and {parent!r}, in {path}"
            )
    missing = [label for label in labels if not parents.get(label)]
    if missing:
        lost = f"{len(missing)} without, first {missing[0]!r}, in {path}"
        raise ValueError(f"Each label needs a parent. Received: {lost}. Add its line.")
    return {label: parents[label] for label in labels}


def groups(y, named, labels, parents=None):
    """Returns a Group for each parent with errors, most errors first; one of all classes without parents.

    Args:
        y, named: int (N,), classes that are true and that were named.
        labels: class names.
        parents: {label: parent}; None if nobody said.
    """
    of = [parents[label] if parents else "" for label in labels]
    counted = collections.Counter((int(a), int(b)) for a, b in zip(y, named) if a != b)
    videos = collections.Counter(of[i] for i in np.asarray(y).tolist())
    found = []
    for parent in dict.fromkeys(of):
        pairs = {pair: count for pair, count in counted.items() if of[pair[0]] == parent}
        if pairs:
            within = sum(count for pair, count in pairs.items() if of[pair[1]] == parent)
            ordered = tuple(sorted(pairs.items(), key=lambda each: (-each[1], each[0])))
            found.append(Group(parent, videos[parent], within, sum(pairs.values()) - within, ordered))
    return sorted(found, key=lambda group: -(group.within + group.across))
