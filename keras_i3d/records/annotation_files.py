"""Reading annotation files: lines, rows, labels and times, with errors that give file and line.

UTF-8 with or without a byte order mark, any line ends. Every function raises ValueError for a file that cannot be
read, is empty, or breaks the rule that its message gives.
"""

import csv
import difflib
import math
import os

from keras_i3d import paths
from keras_i3d.errors import notice
from keras_i3d.records.video_files import is_text, printable, regular

LONGEST = 4096  # characters of a line or cell; no path is longer
STREAMS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")  # a shell's `<(command)`, which ends


def _unreadable(path, error):
    if isinstance(error, UnicodeError):
        return ValueError(f"{path}: annotation files are UTF-8. Received: a byte that is not, at {error.start}")
    return ValueError(f"{path}: the file cannot be read ({error.strerror})")


def _opened(path, **settings):
    """Opens a text file, and no pipe, which might be waited for for ever."""
    path = os.fspath(paths.expand(path))
    return open(path, encoding="utf-8-sig", opener=None if path.startswith(STREAMS) else regular, **settings)


def _text(text, path, line):
    """Returns a line or cell; raises ValueError for one that no editor wrote, and that an error would show in full."""
    if "\0" in text:
        raise ValueError(f"{path}, line {line}: annotation files are text. Received: a byte that is 0")
    if len(text) > LONGEST:
        raise ValueError(f"{path}, line {line}: at most {LONGEST} characters. Received: {len(text)}")
    return text


def lines(path):
    """Returns [(line number, text)] for the lines that are not blank."""
    try:
        with _opened(path) as file:
            found = [(number, _text(text, path, number).strip()) for number, text in enumerate(file, 1) if text.strip()]
    except (OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    if not found:
        raise ValueError(f"{path}: the file is empty.")
    return found


def csv_rows(path):
    """Returns [(line number, cells)] for the rows of a CSV file that are not blank."""
    rows, line = [], 1
    try:
        with _opened(path, newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for row in reader:
                cells = [_text(cell, path, line).strip() for cell in row]
                if any(cells):
                    rows.append((line, cells))
                line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: not a row of a CSV file ({error})") from error
    except (OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    if not rows:
        raise ValueError(f"{path}: the file is empty.")
    return rows


def named(cells, header, path, line):
    """Returns {column: cell}."""
    if len(cells) != len(header):
        raise ValueError(
            f"{path}, line {line}: {len(header)} columns are expected: {','.join(header)}. "
            f"Received {len(cells)}: {','.join(cells)}. A label with a comma in it needs quotes."
        )
    return dict(zip(header, cells))


def all_or_no_labels(entries, path):
    """Returns the entries, (line, label, ...), with None for the labels if all are empty; some empty is an error."""
    empty = [entry[0] for entry in entries if not entry[1]]
    if not entries:
        raise ValueError(f"{path}: the file has a header and nothing else.")
    if empty and len(empty) < len(entries):
        raise ValueError(
            f"{path}, line {empty[0]}: the label is empty, and other lines have one. A video without any is of a "
            "data set of several labels a video: pass labelling=multi, or labelling=timed if each row is a "
            "label with its times."
        )
    return [(entry[0], entry[1] or None, *entry[2:]) for entry in entries]


def is_number(cell):
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def times(start, end, path, line):
    """Returns the two as seconds, None for an empty one."""
    if not all(cell == "" or is_number(cell) for cell in (start, end)):
        raise ValueError(f"{path}, line {line}: times are seconds. Received: start={start!r}, end={end!r}")
    start, end = (None if cell == "" else float(cell) for cell in (start, end))
    if (start or 0) < 0 or (end is not None and end <= (start or 0)):
        raise ValueError(f"{path}, line {line}: 0 <= start < end must hold. Received: start={start}, end={end}")
    return start, end


def ordered(labels, annotated, path):
    """Returns the classes in order: the given ones, or else the sorted ones of the annotations."""
    if labels is not None:
        return read_labels(labels)
    labels = sorted(set(annotated) - {None})
    if labels:
        check_labels(labels, path)
    if labels:
        notice(
            f"{path}: its {len(labels)} labels are put in sorted order; pass labels= for another, "
            "such as the label file of the weights in use"
        )
    return labels


def read_labels(labels):
    """Returns a list of labels from a list, or from a file of one label a line."""
    if not isinstance(labels, str | os.PathLike):
        labels = list(labels)
        check_labels(labels, "labels")
        return labels
    path = os.fspath(labels)
    found = lines(path)
    for number, (line, _) in enumerate(found, 1):
        if line != number:
            raise ValueError(f"{path}, line {number}: empty. A label file has one label on each line.")
    labels = [text for _, text in found]
    check_labels(labels, path)
    return labels


def check_labels(labels, source):
    if not labels:
        raise ValueError(f"{source}: at least one label is needed. Received: none.")
    seen = set()
    for label in labels:
        if not isinstance(label, str) or not label:
            raise ValueError(f"{source}: a label is text. Received: {label!r}")
        check_label(label, source)
        if label in seen:
            raise ValueError(f"{source}: each label stands once. Received twice: {label!r}")
        seen.add(label)


def check_label(label, source):
    """Raises ValueError for a label that is not one line of a UTF-8 file, whatever its reader takes for a line."""
    if not is_text(label):
        raise ValueError(f"{source}: a label is UTF-8 text. Received: {printable(label)!r}. Rename it.")
    if label.splitlines() != [label]:
        raise ValueError(f"{source}: a label is one line, of any reader's lines. Received: {ascii(label)}")


def not_a_label(label, labels):
    """Returns the sentence that says so."""
    near = difflib.get_close_matches(label, labels, n=1)
    return f"{label!r} is not one of the {len(labels)} labels." + (f" The nearest is {near[0]!r}." if near else "")
