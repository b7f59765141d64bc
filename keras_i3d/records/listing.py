"""A listing: the labelled videos of one split of a data set, matched with the files that are there.

The order of the examples is that of the annotations. What is listed and not there is counted in `Listing.missing`.
"""

import dataclasses
import re

from keras_i3d.errors import notice
from keras_i3d.records import annotation_files
from keras_i3d.records.video_files import is_text, printable
from keras_i3d.specs import RecordSpec


@dataclasses.dataclass(frozen=True)
class Example:
    """One labelled video, or a part of one.

    Attributes:
        id: unique in its listing, and the same on any machine that holds the same dataset.
        path: the video file.
        label, index: the class and its position in the listing's labels; None in a list without labels. In a list of
            several labels a video, tuples in the order of the positions, empty for a video without any.
        start, end: seconds to cut the video to; None for the file's own ends.
        split: as published: "train", "validate", "test" ...
        segments: (index, label, start, end) for each time that a class is shown, in seconds from the video's begin, in
            the order of the times; what `sequence_example.encode` takes.
    """

    id: str
    path: str
    label: str | tuple | None
    index: int | tuple | None
    start: float | None
    end: float | None
    split: str
    segments: tuple = ()

    @property
    def indices(self):
        """The positions of its classes, ascending: a tuple, empty without any."""
        return self.index if isinstance(self.index, tuple) else () if self.index is None else (self.index,)


@dataclasses.dataclass(frozen=True)
class Stored(Example):
    """A record that is there, to be copied.

    Attributes:
        path: its file of records.
        place: its number in that file, from 0.
        damaged: what its manifest says of damage to its video, or None.
    """

    place: int = 0
    damaged: dict | None = None


@dataclasses.dataclass(frozen=True)
class Missing:
    """A video that the annotations list and that is not there; `path` is relative to the videos folder."""

    id: str
    path: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The videos of one split of a dataset.

    Attributes:
        name: the dataset: "kinetics", "ucf101-split1", "hmdb51-split1", "charades", "folder" or "csv".
        split: as published.
        labels: every class in order, also those without a video here.
        examples: in the order of the annotation files.
        missing: what is listed and has no file.
        labelling: one of `specs.LABELLINGS`: one label a video, several, or several with their times.
        spec: the RecordSpec of stored records, whose examples are `Stored`; None for videos.

    Raises:
        ValueError: a split that cannot begin a file's name.
    """

    name: str
    split: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    missing: tuple[Missing, ...]
    labelling: str = "single"
    spec: RecordSpec | None = None

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
    """One annotated video; `wanted` is its path as the annotations have it, `place` their file and line.

    Of several labels `label` is a tuple, and `segments` has (label, start, end) of those with times.
    """

    id: str
    wanted: str
    label: str | tuple | None
    start: float | None
    end: float | None
    place: tuple
    segments: tuple = ()


def match(name, split, labels, rows, locate, videos, annotations, labelling="single"):
    """Returns the Listing of rows whose files are found.

    Args:
        name, split, labels, labelling: as of `Listing`.
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
        own = row.label if isinstance(row.label, tuple) else () if row.label is None else (row.label,)
        if unknown := [label for label in own if label not in positions]:
            file, line = row.place
            raise ValueError(f"{file}, line {line}: {annotation_files.not_a_label(unknown[0], labels)}")
        found = locate(row)
        if found is None:
            missing.append(Missing(printable(row.id), printable(row.wanted)))
            continue
        path, start, end = found
        label, index = row.label, None if row.label is None else positions.get(row.label)
        if isinstance(row.label, tuple):
            index = tuple(sorted({positions[each] for each in own}))
            label = tuple(labels[each] for each in index)
        segments = sorted((first, last, positions[each], each) for each, first, last in row.segments)
        segments = tuple((at, each, first, last) for first, last, at, each in segments)
        examples.append(Example(row.id, path, label, index, start, end, split, segments))
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
    return Listing(name, split, tuple(labels), tuple(examples), tuple(missing), labelling)
