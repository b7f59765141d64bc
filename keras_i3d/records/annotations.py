"""Annotation files as published, and plain folders, to lists of labelled videos.

A reader matches a dataset's own annotation files to the videos that are there. The order of examples is
that of the annotation files; the order of labels comes from the dataset's own file if it has one.
What is listed and not there is counted in `Listing.missing`.

Every reader raises ValueError, with file and line if there is one, for: an annotation file that cannot be
read, is not UTF-8 or has a malformed line; a label outside the labels; an id listed twice; a split that does
not exist; a videos folder that does not exist; nothing listed; none of the listed videos there.
"""

import dataclasses
import os
import pathlib
import re

from keras_i3d import paths
from keras_i3d.errors import notice
from keras_i3d.records import annotation_files
from keras_i3d.records.video_files import Files, is_text, printable, scan, shortened, suffix, walk

VALIDATION = frozenset({"val", "valid", "validate", "validation"})  # one split, as different releases call it
KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
CSV_COLUMNS = ("path", "label", "start", "end")
LISTS = {"ucf101": "ucfTrainTestlist", "hmdb51": "testTrainMulti_7030_splits"}  # folders, as unpacked
HMDB51_CODES = {"0": None, "1": "train", "2": "test"}


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
class _Row:
    """One annotated video; `wanted` is its path as the annotations have it, `place` their file and line."""

    id: str
    wanted: str
    label: str | None
    start: float | None
    end: float | None
    place: tuple


def kinetics(annotations, videos, labels=None, split=None):
    """Lists Kinetics-400, 600, 700 or 700-2020.

    Videos lie in the folder or in folders below it (one for each class, or of any name), in any container, and
    are called `<youtube_id>_<start>_<end>`, with six digits for each time, when they are cut to the clip, or
    `<youtube_id>` when they are whole: those get `start` and `end`. Where both are there, the cut one is taken.

    Args:
        annotations: a CSV file with the columns label (absent in some test lists), youtube_id, time_start,
            time_end, split and any others; or without a header, in that order.
        videos: the folder of videos.
        labels: the classes in order, as a list or as a file of one label a line; None for the sorted labels of
            the annotations. DeepMind's weights have an order of their own, in the label file next to them.
        split: which of the splits in `annotations`; "val", "validate" and "validation" are one. None if it
            holds only one. A file without that column is named by it.

    Returns:
        A Listing with ids `<youtube_id>_<start>_<end>`.
    """
    annotations, videos = os.fspath(paths.expand(annotations)), paths.expand(videos)
    entries = _kinetics_entries(annotations)
    classes = annotation_files.ordered(labels, [label for _, label, *_ in entries], annotations)
    split = _kinetics_split(split, entries, annotations)
    rows = []
    for line, label, youtube_id, start, end, own in entries:
        if own == split or own is None:
            name = f"{youtube_id}_{int(start):06d}_{int(end):06d}"
            rows.append(_Row(name, f"{name}.mp4", label, start, end, (annotations, line)))
    files = Files(videos)
    whole = []

    def locate(row):
        path = files.find(row.id, row.label, row.wanted, anywhere=True)
        if path is not None:
            return path, None, None
        youtube_id = row.id.rsplit("_", 2)[0]
        path = files.find(youtube_id, row.label, f"{youtube_id}.mp4", anywhere=True)
        if path is None:
            return None
        whole.append(path)
        return path, row.start, row.end

    listing = _listing("kinetics", split, classes, rows, locate, videos, annotations)
    if whole:
        notice(
            f"{len(whole)} of {len(listing.examples)} videos are named by their id alone (first: {whole[0]}): "
            "they are taken as whole videos and cut to the listed times"
        )
    return listing


def _kinetics_entries(path):
    """Returns [(line, label, youtube id, start, end, split)], label and split None if the file has none."""
    rows = annotation_files.csv_rows(path)
    header = [cell.casefold() for cell in rows[0][1]]
    if "youtube_id" in header:
        absent = [name for name in ("time_start", "time_end") if name not in header]
        if absent:
            raise ValueError(f"{path}, line {rows[0][0]}: the header has no column {absent[0]}. Received: {header}")
        rows = rows[1:]
    else:
        first = rows[0][1]
        numbers = [annotation_files.is_number(cell) for cell in first]
        if numbers[2:4] == [True, True]:
            header = KINETICS_COLUMNS
        elif numbers[1:3] == [True, True]:
            header = KINETICS_COLUMNS[1:]
        else:
            raise ValueError(
                f"{path}, line {rows[0][0]}: Kinetics annotations have the columns {','.join(KINETICS_COLUMNS)}, "
                f"the first not in every test list. Received: {','.join(first)}"
            )
        more = len(first) - len(header)
        header = [*header, *[f"column {i}" for i in range(more)]] if more > 0 else header[: len(first)]
    entries = []
    for line, cells in rows:
        row = annotation_files.named(cells, header, path, line)
        annotation_files.check_label(row.get("label") or "-", f"{path}, line {line}")
        start, end = annotation_files.times(row["time_start"], row["time_end"], path, line)
        if start is None or end is None:
            raise ValueError(f"{path}, line {line}: a start and an end are needed. Received: {','.join(cells)}")
        for name in ("youtube_id", "split"):
            if row.get(name) == "":
                raise ValueError(f"{path}, line {line}: {name} is empty. Received: {','.join(cells)}")
        entries.append((line, row.get("label"), row["youtube_id"], start, end, row.get("split")))
    return annotation_files.all_or_no_labels(entries, path)


def _kinetics_split(split, entries, path):
    published = sorted({own for *_, own in entries} - {None})
    if not published:  # no such column
        last = pathlib.PurePath(path).stem.casefold().replace("-", "_").rsplit("_", 1)[-1]
        return split or (last if last in VALIDATION | {"train", "test"} else "all")
    if split is None:
        if len(published) > 1:
            raise ValueError(f"{path} holds several splits: {', '.join(published)}. Name one with split=.")
        check_split(published[0], path)
        return published[0]
    same = VALIDATION if split in VALIDATION else {split}
    found = [own for own in published if own in same]
    if len(found) != 1:
        raise ValueError(f"The splits in {path} are {', '.join(published)}. Received: split={split!r}")
    return found[0]


def ucf101(lists, videos, split="train", number=1):
    """Lists UCF101.

    Args:
        lists: the folder of classInd.txt, trainlist01.txt, testlist01.txt ...
        videos: the folder of class folders (a flat one works too). Upper and lower case may differ from the
            lists, as they do in some copies of HandstandPushups, and so may the container.
        split: "train" or "test".
        number: 1, 2 or 3, which of the three published divisions.

    Returns:
        A Listing with labels in the order of classInd.txt and ids as in the lists: `Class/v_Class_g01_c01.avi`.
    """
    _check_division(split, number)
    lists, videos = os.fspath(paths.expand(lists)), paths.expand(videos)
    index_path = os.path.join(lists, "classInd.txt")
    labels = []
    for line, text in annotation_files.lines(index_path):
        position, label = [*text.split(maxsplit=1), ""][:2]
        if not label or position != str(len(labels) + 1):
            raise ValueError(f'{index_path}, line {line}: must be "{len(labels) + 1} ClassName". Received: {text!r}')
        labels.append(label)
    annotation_files.check_labels(labels, index_path)
    positions = {label: i for i, label in enumerate(labels, 1)}
    published = {label.casefold(): label for label in labels}
    list_path = os.path.join(lists, f"{split}list{number:02d}.txt")
    rows = []
    for line, text in annotation_files.lines(list_path):
        wanted, position = [*text.split(maxsplit=1), ""][:2]
        label, slash, name = wanted.partition("/")
        label = published.get(label.casefold(), label)
        if not slash or not name or (split == "train" and not position):
            ending = " Id" if split == "train" else ""
            raise ValueError(f'{list_path}, line {line}: must be "Class/video.avi{ending}". Received: {text!r}')
        if position and label in positions and position != str(positions[label]):
            raise ValueError(
                f"{list_path}, line {line}: {label} has the id {positions[label]} in classInd.txt. Received: {text!r}"
            )
        rows.append(_Row(wanted, wanted, label, None, None, (list_path, line)))
    files = Files(videos, fold=True)
    return _listing(f"ucf101-split{number}", split, labels, rows, files.locate, videos, list_path)


def hmdb51(lists, videos, split="train", number=1):
    """Lists HMDB51.

    Args:
        lists: the folder of `<class>_test_split<number>.txt` files.
        videos: the folder of class folders (a flat one works too); the container may differ from the lists.
        split: "train" (code 1 in the lists) or "test" (code 2); videos with code 0 are in neither.
        number: 1, 2 or 3, which of the three published divisions.

    Returns:
        A Listing with labels in sorted order, as the dataset has none of its own, and ids `class/file.avi`.
    """
    _check_division(split, number)
    lists, videos = os.fspath(paths.expand(lists)), paths.expand(videos)
    ending = f"_test_split{number}.txt"
    names, _, _ = scan(lists, "The folder of HMDB51's split files")
    labels = sorted(name.removesuffix(ending) for name in names if name.endswith(ending))
    if not labels:
        raise ValueError(f"HMDB51's split files are called <class>{ending}. There is none in {lists}")
    rows = []
    for label in labels:
        path = os.path.join(lists, label + ending)
        for line, text in annotation_files.lines(path):
            name, code = [*text.rsplit(maxsplit=1), ""][:2]
            if code not in HMDB51_CODES:
                raise ValueError(f'{path}, line {line}: must be "video.avi 0", 1 or 2. Received: {text!r}')
            if HMDB51_CODES[code] == split:
                wanted = f"{label}/{name}"
                rows.append(_Row(wanted, wanted, label, None, None, (path, line)))
    return _listing(f"hmdb51-split{number}", split, labels, rows, Files(videos).locate, videos, lists)


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
    rows = [_Row(path, path, label, None, None, (videos, None)) for label, here in inside.items() for path in here]
    if not rows:
        hint = f" {found.deeper[0]} is a folder: classes may lie one level further down." if found.deeper else ""
        raise ValueError(f"A dataset is a folder of class folders with videos in them. {videos} has none.{hint}")
    beside = [path for path in (*found.videos, *found.broken) if "/" not in path]
    others = sorted({*found.others, *beside} - {"labels.txt"})
    left_out = dataclasses.replace(found, others=tuple(others))
    left_out.say_what_is_left_out(videos, "files are no videos in class folders")
    empty = [label for label, here in inside.items() if not here]
    if empty:
        notice(f"{videos}: {len(empty)} of {len(labels)} classes have no video (first: {empty[0]})")

    def locate(row):
        return None if row.id in broken else (os.path.join(videos, row.id), None, None)

    return _listing("folder", split, labels, rows, locate, videos, videos)


def csv(path, videos=None, labels=None, split="all"):
    """Lists the videos of a CSV file.

    Args:
        path: a CSV file with rows `path,label[,start,end]`, or with a header that names these columns in any
            order; without a label column, or with all labels empty, there are none. start and end are seconds
            to cut to; an empty one is the file's own.
        videos: the folder that relative paths start from; None for the folder of the CSV.
        labels: the classes in order, a list or a file of one label a line; None for the sorted labels.
        split: what to call the split.

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
    entries = annotation_files.all_or_no_labels(entries, path)
    classes = annotation_files.ordered(labels, [label for _, label, *_ in entries], path)
    short = shortened([entry[2] for entry in entries], base)
    rows = []
    for line, label, wanted, start, end in entries:
        name = short[wanted] + _fragment(start, end)
        rows.append(_Row(name, wanted, label, start, end, (path, line)))
    listed = {}

    def locate(row):
        full = os.path.join(base, row.wanted)
        parent, name = os.path.split(full)
        if parent not in listed:
            there = os.path.isdir(parent or ".")
            listed[parent] = frozenset(scan(parent, "A folder of videos", hidden=True)[0]) if there else ()
        return (full, row.start, row.end) if name in listed[parent] else None

    return _listing("csv", split, classes, rows, locate, base or ".", path)


def _fragment(start, end):
    """The cut in the syntax of W3C media fragments: "#t=1.5,4"."""
    if start is None and end is None:
        return ""
    first, last = ("" if time is None else str(int(time) if time == int(time) else time) for time in (start, end))
    return f"#t={first},{last}" if last else f"#t={first}"


KINDS = ("folder", "csv", "kinetics", "ucf101", "hmdb51")


def find(source, annotations=None, labels=None, split=None, number=1):
    """Lists a dataset that a command line names.

    Args:
        source: the folder of videos, or the CSV file, as `PATH` or `KIND:PATH` with KIND one of folder, csv,
            kinetics, ucf101, hmdb51. Without KIND a folder is a "folder" and a file that ends in .csv a "csv".
        annotations: kinetics: the CSV file. ucf101, hmdb51: the folder of lists; None looks for it in PATH and
            next to it under its published name. csv: the CSV file, PATH being the folder of videos. folder: None.
        labels: the classes in order, a list or a file of one label a line. ucf101 and hmdb51 have their own.
        split: kinetics, ucf101, hmdb51: which split; folder, csv: what to call it.
        number: ucf101, hmdb51: which of the three published divisions.

    Returns:
        A Listing.

    Raises:
        ValueError: as the module says, and for a source of unknown kind or an argument its kind does not have.
    """
    kind, path = _kind(os.fspath(paths.expand(source)))
    if split is not None:
        check_split(split, path)
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
    if kind == "csv":
        rows, videos = (path, None) if annotations is None else (annotations, path)
        return csv(rows, videos, labels, split or "all")
    if annotations is not None:
        raise ValueError(
            f"A folder of class folders has no annotations. Received: annotations={annotations!r}. "
            f"Name the dataset's kind as KIND:PATH; the kinds are {', '.join(KINDS)}."
        )
    return folder(path, labels, split or "all")


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
    beside = os.path.join(os.path.dirname(os.path.abspath(videos)), published)
    for place in (os.path.join(videos, published), beside):
        if os.path.isdir(place):
            return place
    raise ValueError(
        f"{kind} needs its split lists, and there is no {published} in {videos} or beside it. "
        "Pass their folder as annotations=."
    )


def _listing(name, split, labels, rows, locate, videos, annotations):
    """Resolves rows to examples; `locate` returns (path, start, end) of a row, or None if it is missing."""
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


def _check_division(split, number):
    if split not in ("train", "test"):
        raise ValueError(f'The splits are "train" and "test". Received: split={split!r}')
    if number not in (1, 2, 3):
        raise ValueError(f"number is 1, 2 or 3: which of the published divisions. Received: number={number!r}")
