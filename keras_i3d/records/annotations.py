"""Lists of labelled videos: of a folder, of a CSV file, of a published data set; `find` takes what a user names.

Every function returns a `Listing`. It raises ValueError, with file and line where there is one, for: an annotation
file that cannot be read, is not UTF-8 or has a malformed line; a label outside the labels; an id listed twice; a split
that does not exist; a videos folder that does not exist; nothing listed; none of the listed videos there.
"""

import dataclasses
import os
import pathlib

from keras_i3d import paths
from keras_i3d.errors import notice
from keras_i3d.records import annotation_files
from keras_i3d.records.charades import charades
from keras_i3d.records.label_cells import find_labelling, labels_of, timed_videos
from keras_i3d.records.listing import Example, Listing, Missing, Row, check_split, match
from keras_i3d.records.published_sets import hmdb51, kinetics, ucf101
from keras_i3d.records.video_files import scan, shortened, suffix, walk

__all__ = ["Example", "Listing", "Missing", "charades", "csv", "find", "folder", "hmdb51", "kinetics", "ucf101"]

CSV_COLUMNS = ("path", "label", "start", "end")
LISTS = {"ucf101": "ucfTrainTestlist", "hmdb51": "testTrainMulti_7030_splits"}  # folders, as unpacked


def folder(videos, labels=None, split="all"):
    """Lists a folder of class folders.

    Args:
        videos: the folder; each folder in it is a class and holds that class's videos.
        labels: the classes in order, a list or a file of one label a line; None for the file `labels.txt` in
            the folder, or without one the sorted names of the class folders.
        split: what to call the split.

    Returns:
        A Listing, class by class with sorted file names, with ids `Class/file.mp4`.
    """
    videos = os.fspath(paths.expand(videos))
    check_split(split, videos)
    found = walk(videos, 1, "The videos folder")
    for _, problem in found.unlisted:
        raise ValueError(problem)
    folders = found.folders
    for name in folders:
        annotation_files.check_label(name, f"{videos}, a class folder")
    if labels is None:
        own = os.path.join(videos, "labels.txt")
        if os.path.lexists(own) and not os.path.isfile(own):
            raise ValueError(f"{own}: the labels of a folder are in a regular file.")
        labels = annotation_files.read_labels(own) if os.path.isfile(own) else sorted(folders)
    else:
        labels = annotation_files.read_labels(labels)
    unknown = sorted(set(folders) - set(labels))
    if unknown:
        raise ValueError(f"{os.path.join(videos, unknown[0])}: {annotation_files.not_a_label(unknown[0], labels)}")
    broken = set(found.broken)
    inside = {label: [] for label in labels}
    for path in sorted((*found.videos, *found.broken)):
        label, slash, _ = path.partition("/")
        if slash:
            inside[label].append(path)
    rows = [Row(path, path, label, None, None, (videos, None)) for label, here in inside.items() for path in here]
    if not rows:
        hint = f" {found.deeper[0]} is a folder: classes may lie one level further down." if found.deeper else ""
        raise ValueError(f"A dataset is a folder of class folders with videos in them. {videos} has none.{hint}")
    loose = [path for path in (*found.videos, *found.broken) if "/" not in path]
    others = sorted({*found.others, *loose} - {"labels.txt"})
    left_out = dataclasses.replace(found, others=tuple(others))
    left_out.say_what_is_left_out(videos, "files are no videos in class folders")
    empty = [label for label, here in inside.items() if not here]
    if empty:
        notice(f"{videos}: {len(empty)} of {len(labels)} classes have no video (first: {empty[0]})")

    def locate(row):
        return None if row.id in broken else (os.path.join(videos, row.id), None, None)

    return match("folder", split, labels, rows, locate, videos, videos)


def csv(path, videos=None, labels=None, split="all", labelling=None):
    """Lists the videos of a CSV file.

    Args:
        path: a CSV file with rows `path,label[,start,end]`, or with a header that names these columns in any
            order; without a label column, or with all labels empty, there are none. start and end are seconds
            to cut to; an empty one is the file's own. In a cell of several labels a ; stands between them.
        videos: the folder that relative paths start from; None for the folder of the CSV.
        labels: the classes in order, a list or a file of one label a line; None for the sorted labels.
        split: what to call the split.
        labelling: "single" for one label a video, of which a ; is a part. "multi" for several; a video whose cell is
            empty shows none of the classes. "timed" for rows that are each one label of a video from start to end, in
            seconds from its begin: the rows of a path are one video, whole, and its labels are all that they name; a
            row of a path alone is a video without any. None for "multi" if any cell has a ; in it, which a line says,
            otherwise "single".

    Returns:
        A Listing with ids the paths as in the CSV, and times if given: `a/b.mp4#t=1.5,4`. An absolute path is
        shortened, to below the videos folder, or to below what the absolute paths outside it have in common.
    """
    path = os.fspath(paths.expand(path))
    check_split(split, path)
    base = os.path.dirname(path) if videos is None else os.fspath(paths.expand(videos))
    rows = annotation_files.csv_rows(path)
    header = [cell.casefold() for cell in rows[0][1]]
    if "path" in header:
        unknown = [name for name in header if name not in CSV_COLUMNS]
        if unknown or len(set(header)) < len(header):
            raise ValueError(
                f"{path}, line {rows[0][0]}: the columns are {', '.join(CSV_COLUMNS)}, each once. Received: {header}"
            )
        rows = rows[1:]
    else:
        header = CSV_COLUMNS[: len(rows[0][1])]
        if len(header) < 2 or len(rows[0][1]) > len(CSV_COLUMNS):
            raise ValueError(
                f"{path}, line {rows[0][0]}: a row is path,label or path,label,start,end. "
                f"Received: {','.join(rows[0][1])}"
            )
    entries = []
    for line, cells in rows:
        row = annotation_files.named(cells, header, path, line)
        if not row["path"]:
            raise ValueError(f"{path}, line {line}: the path is empty. Received: {','.join(cells)}")
        annotation_files.check_label(row.get("label") or "-", f"{path}, line {line}")
        start, end = annotation_files.times(row.get("start", ""), row.get("end", ""), path, line)
        entries.append((line, row.get("label"), row["path"], start, end))
    labelling = find_labelling(labelling, [entry[1] for entry in entries], path)
    short = shortened([entry[2] for entry in entries], base)
    if labelling == "single":
        entries = annotation_files.all_or_no_labels(entries, path)
    rows = []
    if labelling == "timed":
        rows = timed_videos(entries, short, path)
    else:
        for line, cell, wanted, start, end in entries:
            label = cell if labelling == "single" else labels_of(cell, f"{path}, line {line}")
            rows.append(Row(short[wanted] + _fragment(start, end), wanted, label, start, end, (path, line)))
    annotated = [row.label for row in rows]
    if labelling != "single":
        annotated = [label for row in rows for label in row.label]
        if not annotated and labels is None:
            raise ValueError(f"{path}: labelling={labelling} needs labels. Received: none. Pass labels= too")
    classes = annotation_files.ordered(labels, annotated, path)
    listed = {}

    def locate(row):
        full = os.path.join(base, row.wanted)
        parent, name = os.path.split(full)
        if parent not in listed:
            there = os.path.isdir(parent or ".")
            listed[parent] = frozenset(scan(parent, "A folder of videos", hidden=True)[0]) if there else ()
        return (full, row.start, row.end) if name in listed[parent] else None

    return match("csv", split, classes, rows, locate, base or ".", path, labelling)


def _fragment(start, end):
    """The cut in the syntax of W3C media fragments: "#t=1.5,4"."""
    if start is None and end is None:
        return ""
    first, last = ("" if time is None else str(int(time) if time == int(time) else time) for time in (start, end))
    return f"#t={first},{last}" if last else f"#t={first}"


KINDS = ("folder", "csv", "kinetics", "ucf101", "hmdb51", "charades", "records")


def find(source, annotations=None, labels=None, split=None, number=1, labelling=None):
    """Lists a dataset that a command line names.

    Args:
        source: the folder of videos, or the CSV file, as `PATH` or `KIND:PATH` with KIND one of folder, csv,
            kinetics, ucf101, hmdb51, charades, records. Without KIND a folder is a "folder" and a file that ends in
            .csv a "csv". records: a folder of records, FOLDER/SPLIT or FOLDER/SPLIT-*, to be divided and copied.
        annotations: kinetics, charades: the CSV file. ucf101, hmdb51: the folder of lists; None looks for it in PATH
            and next to it under its published name. csv: the CSV file, PATH being the folder of videos. folder: None.
        labels: the classes in order, a list or a file of one label a line. ucf101 and hmdb51 have their own.
        split: kinetics, ucf101, hmdb51: which split; folder, csv, charades: what to call it.
        number: ucf101, hmdb51: which of the three published divisions.
        labelling: csv, charades: whether a video has one label, several, or several with their times; see `csv`.

    Returns:
        A Listing.

    Raises:
        ValueError: as the module says, and for a source of unknown kind or an argument its kind does not have.
    """
    kind, path = _kind(os.fspath(paths.expand(source)))
    if split is not None:
        check_split(split, path)
    if kind == "records":
        if annotations is not None or labels is not None or split is not None or labelling is not None:
            raise ValueError(
                "Records have their labels and splits. Pass no annotations=, labels=, split= or labelling=."
            )
        from keras_i3d.records import stored_records  # and with it TensorFlow

        return stored_records.records(path)
    if labelling not in (None, "single") and kind not in ("csv", "charades"):
        raise ValueError(f"A video of {kind} has one label. Received: labelling={labelling!r}. A csv may have several.")
    if kind in LISTS:
        if labels is not None:
            raise ValueError(f"The labels of {kind} come from its own files. Received: labels={labels!r}")
        lists = _lists_near(path, kind) if annotations is None else annotations
        return (ucf101 if kind == "ucf101" else hmdb51)(lists, path, split or "train", number)
    if number != 1:
        raise ValueError(f"Only ucf101 and hmdb51 have numbered splits. Received: number={number!r} with {kind}")
    if kind == "kinetics":
        if annotations is None:
            raise ValueError("kinetics needs its CSV file. Pass annotations=train.csv, or another split's.")
        return kinetics(annotations, path, labels, split)
    if kind == "charades":
        if annotations is None:
            raise ValueError("charades needs its CSV file. Pass annotations=Charades_v1_train.csv, or _test.csv.")
        return charades(annotations, path, labels, split, labelling or "timed")
    if kind == "csv":
        rows, videos = (path, None) if annotations is None else (annotations, path)
        return csv(rows, videos, labels, split or "all", labelling)
    if annotations is not None:
        raise ValueError(
            f"A folder of class folders has no annotations. Received: annotations={annotations!r}. "
            f"Name the dataset's kind as KIND:PATH; the kinds are {', '.join(KINDS)}."
        )
    return folder(path, labels, split or "all")


def check_output(source, output):
    """Checks that records, or whatever is made of videos, do not go into the folder of class folders that they are of.

    There the folder would be one more class at the next start.

    Args:
        source: as for `find`.
        output: a folder, which need not be there.

    Raises:
        ValueError: it lies in the source, or is it.
    """
    kind, colon, path = os.fspath(paths.expand(source)).partition(":")
    if not colon or kind not in KINDS:
        kind, path = "folder", os.fspath(paths.expand(source))
    output = os.fspath(paths.expand(output))
    if kind != "folder" or not os.path.isdir(path) or "://" in output:
        return
    if pathlib.Path(os.path.realpath(output)).is_relative_to(os.path.realpath(path)):
        raise ValueError(
            f"The output lies outside the folder of videos, each folder of which is a class. Received: "
            f"output={output!r}, in {path}. Name another output=."
        )


def _kind(source):
    """Returns (kind, path) of `KIND:PATH` or `PATH`."""
    kind, colon, path = source.partition(":")
    if colon and kind in KINDS:
        if not path:
            raise ValueError(f"A source is PATH or KIND:PATH. Received: {source!r}, without a path.")
        return kind, paths.expand(path)
    kinds = f"the kinds are {', '.join(KINDS)}"
    if os.path.isdir(source):
        return "folder", source
    if os.path.exists(source):
        if suffix(source) == ".csv":
            return "csv", source
        raise ValueError(f"A source is a folder, a .csv file, or KIND:PATH; {kinds}. Received the file: {source}")
    if colon and "/" not in kind:
        raise ValueError(f"{kind!r} is no kind of dataset; {kinds}. Received: {source!r}")
    raise ValueError(f"No such file or folder: {source}. A source is PATH or KIND:PATH; {kinds}.")


def _lists_near(videos, kind):
    """Returns the folder of split lists in the videos folder or next to it."""
    published = LISTS[kind]
    next_to = os.path.join(os.path.dirname(os.path.abspath(videos)), published)
    for place in (os.path.join(videos, published), next_to):
        if os.path.isdir(place):
            return place
    raise ValueError(
        f"{kind} needs its split lists, and there is no {published} in {videos} or next to it. "
        "Pass their folder as annotations=."
    )
