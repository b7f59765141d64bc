"""A listing: the labelled videos of one split of a data set, matched with the files that are there.

The order of the examples is that of the annotations. What is listed and not there is counted in `Listing.missing`.
"""

import dataclasses
import re

from keras_i3d.errors import notice
from keras_i3d.records import annotation_files
from keras_i3d.records.video_files import is_text, printable


@dataclasses.dataclass(frozen=True)
class Example:
    """One labelled video, or a part of one.

    Attributes:
        id: unique in its listing, and the same on any machine that holds the same dataset.
        path: the video file.
        label, index: the class and its position in the listing's labels; None in a list without labels.
        start, end: seconds to cut the video to; None for the file's own ends.
        split: as published: "train", "validate", "test" ...
    """

    id: str
    path: str
    label: str | None
    index: int | None
    start: float | None
    end: float | None
    split: str


@dataclasses.dataclass(frozen=True)
class Missing:
    """A video that the annotations list and that is not there; `path` is relative to the videos folder."""

    id: str
    path: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The videos of one split of a dataset.

    Attributes:
        name: the dataset: "kinetics", "ucf101-split1", "hmdb51-split1", "folder" or "csv".
        split: as published.
        labels: every class in order, also those without a video here.
        examples: in the order of the annotation files.
        missing: what is listed and has no file.

    Raises:
        ValueError: a split that cannot begin a file's name.
    """

    name: str
    split: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    missing: tuple[Missing, ...]

    def __post_init__(self):
        check_split(self.split, self.name)


def check_split(split, where):
    """Raises ValueError for a split's name that is no safe part of a file's; `where` it is from begins the message."""
    if not re.fullmatch(r"\w[\w .+-]{0,99}", split):
        raise ValueError(
            f"{where}: the name of a split begins those of its files. It has letters, digits, spaces and _ . + -, and "
            f"begins with a letter or digit. Received: {ascii(split)}. Name another with split=."
        )


@dataclasses.dataclass(frozen=True)
class Row:
    """One annotated video; `wanted` is its path as the annotations have it, `place` their file and line."""

    id: str
    wanted: str
    label: str | None
    start: float | None
    end: float | None
    place: tuple


def match(name, split, labels, rows, locate, videos, annotations):
    """Returns the Listing of rows whose files are found.

    Args:
        name, split, labels: as of `Listing`.
        rows: Rows.
        locate: a function of a row that returns (path, start, end), or None if the file is missing.
        videos, annotations: the folder and the file that messages name.

    Raises:
        ValueError: no row, an id that is listed twice, a label that is not one of `labels`, or no file.
    """
    if not rows:
        raise ValueError(f"{annotations} lists no videos in the split {split!r}.")
    positions = {label: i for i, label in enumerate(labels)}
    seen, examples, missing = {}, [], []
    for row in rows:
        if row.id in seen:
            file, line = row.place
            first_file, first_line = seen[row.id]
            raise ValueError(
                f"{file}, line {line}: {row.id} is listed before, in {first_file}, line {first_line}. "
                "Ids must be unique: remove one of the two lines."
            )
        seen[row.id] = row.place
        if row.label is not None and row.label not in positions:
            file, line = row.place
            raise ValueError(f"{file}, line {line}: {annotation_files.not_a_label(row.label, labels)}")
        found = locate(row)
        if found is None:
            missing.append(Missing(printable(row.id), printable(row.wanted)))
            continue
        path, start, end = found
        index = None if row.label is None else positions[row.label]
        examples.append(Example(row.id, path, row.label, index, start, end, split))
    if not examples:
        raise ValueError(
            f"None of the {len(rows)} videos that {annotations} lists is in {videos}. The first is {missing[0].path}"
        )
    if missing:
        notice(f"{len(missing)} of {len(rows)} listed videos are not in {videos} (first: {missing[0].path})")
    unreadable = [example.path for example in examples if not (is_text(example.path) and is_text(example.id))]
    if unreadable:
        notice(
            f"{len(unreadable)} of {len(rows)} videos have names that are not UTF-8, and will count as failed (first: "
            f"{printable(unreadable[0])}): rename them"
        )
    return Listing(name, split, tuple(labels), tuple(examples), tuple(missing))
