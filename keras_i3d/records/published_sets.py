"""The annotation files of Kinetics, UCF101 and HMDB51, as published, to listings.

Every function matches a data set's own annotation files to the videos that are there. The order of labels comes from
the data set's own file where it has one. The errors are those that `annotations` names.
"""

import os
import pathlib

from keras_i3d import paths
from keras_i3d.errors import notice
from keras_i3d.records import annotation_files
from keras_i3d.records.listing import Row, check_split, match
from keras_i3d.records.video_files import Files, scan

VALIDATION = frozenset({"val", "valid", "validate", "validation"})  # one split, as different releases call it
KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
HMDB51_CODES = {"0": None, "1": "train", "2": "test"}


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
            rows.append(Row(name, f"{name}.mp4", label, start, end, (annotations, line)))
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

    listing = match("kinetics", split, classes, rows, locate, videos, annotations)
    if whole:
        notice(
            f"{len(whole)} of {len(listing.examples)} videos are named by their id alone (first: {whole[0]}): "
            "they are taken as whole videos and cut to the listed times"
        )
    return listing


def _kinetics_entries(path):
    """Returns [(line, label, youtube id, start, end, split)], label and split None where the file has none."""
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
        rows.append(Row(wanted, wanted, label, None, None, (list_path, line)))
    files = Files(videos, fold=True)
    return match(f"ucf101-split{number}", split, labels, rows, files.locate, videos, list_path)


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
                rows.append(Row(wanted, wanted, label, None, None, (path, line)))
    return match(f"hmdb51-split{number}", split, labels, rows, Files(videos).locate, videos, lists)


def _check_division(split, number):
    if split not in ("train", "test"):
        raise ValueError(f'The splits are "train" and "test". Received: split={split!r}')
    if number not in (1, 2, 3):
        raise ValueError(f"number is 1, 2 or 3: which of the published divisions. Received: number={number!r}")
