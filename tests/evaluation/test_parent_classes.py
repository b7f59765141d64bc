"""Parents of classes: what the CSV has to be, and errors within and across."""

import numpy as np
import pytest

from keras_i3d.evaluation import parent_classes

LABELS = ("cat", "dog", "car", "bus")
PARENTS = {"cat": "animal", "dog": "animal", "car": "vehicle", "bus": "vehicle"}


def test_read(tmp_path):
    path = tmp_path / "parents.csv"
    lines = "".join(f'{label}," {parent} ",x\n' for label, parent in PARENTS.items())
    path.write_text(f"\ufefflabel,parent,more\n{lines}other,thing,x\n", encoding="utf-8")
    assert parent_classes.read(path, LABELS) == PARENTS


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_quoted_labels_keep_their_line_breaks(ending, tmp_path):
    """Those of CSV within quotes, and what Python's `splitlines` takes for one: a label with U+2028 or a form feed."""
    parents = {"a\nb, c": "x", "d\r\ne": "x", "f\u2028g": "y\nz", "h\x0ci": "y\nz"}
    rows = [f'"{label}","{parent}"' for label, parent in parents.items()]
    path = tmp_path / "parents.csv"
    path.write_bytes(ending.join(["label,parent", *rows, ""]).encode())
    assert parent_classes.read(path, [*parents]) == parents


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no file"),
        ("cat,animal\n", "whose are: none, or no rows"),
        ("name,parent\ncat,animal\n", "whose are: name, parent"),
        ("label,parent\ncat,animal\ncat,pet\n", "'cat' in 'animal' and 'pet'"),
        ("label,parent\ncat,animal\ndog\n", "3 without, first 'dog'"),
        ("label,parent\n\xff", "UTF-8"),
    ],
)
def test_what_is_no_list_of_parents(text, message, tmp_path):
    path = tmp_path / "parents.csv"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        parent_classes.read(path, LABELS)


def test_groups():
    y = np.array([0, 0, 0, 1, 2, 2, 3, 3])
    named = np.array([1, 1, 2, 1, 3, 2, 0, 3])
    animals, vehicles = parent_classes.groups(y, named, LABELS, PARENTS)
    assert (animals.parent, animals.videos, animals.within, animals.across) == ("animal", 4, 2, 1)
    assert animals.pairs == (((0, 1), 2), ((0, 2), 1))
    assert (vehicles.parent, vehicles.videos, vehicles.within, vehicles.across) == ("vehicle", 4, 1, 1)
    (alone,) = parent_classes.groups(y, named, LABELS)
    assert alone.pairs == (((0, 1), 2), ((0, 2), 1), ((2, 3), 1), ((3, 0), 1))
    assert parent_classes.groups(y, y, LABELS, PARENTS) == []
