"""The annotations of Charades as published (https://prior.allenai.org/projects/charades), to a listing."""

import os
import pathlib
import re

from keras_i3d import paths
from keras_i3d.errors import notice
from keras_i3d.records import annotation_files
from keras_i3d.records.label_cells import check_labelling
from keras_i3d.records.listing import Row, match
from keras_i3d.records.video_files import Files

CLASSES = "Charades_v1_classes.txt"
CODED = re.compile(r"(c\d{3})\s+(.*\S)")  # a class: its code and its name


def charades(annotations, videos, labels=None, split=None, labelling="timed"):
    """Lists Charades: videos of some 30 seconds, each with several actions and their times.

    A video is called `<id>.mp4`, or has another container, and lies in the folder or in folders below it.

    Args:
        annotations: Charades_v1_train.csv or Charades_v1_test.csv, with the columns id and actions and any others. An
            action is its class and its start and end in seconds, as in `c092 11.90 21.20;c147 0.00 12.60`. A video
            without actions shows none of the classes. An action that ends before it begins has its class, and no time.
        videos: the folder of videos.
        labels: the file of the classes, lines of a code and a name, `c000 Holding some clothes`, or such lines as a
            list; None for Charades_v1_classes.txt next to the annotations.
        split: what to call the split; None for "train" or "test" from the name of the annotations, otherwise "all".
        labelling: "timed", or "multi" to leave the times out.

    Returns:
        A Listing with the names of the classes in the order of their codes, and ids as published. Times are as
        published too: some lie beyond the end of the video, where there is no frame that they could label.
    """
    check_labelling(labelling, ("multi", "timed"))
    annotations, videos = os.fspath(paths.expand(annotations)), paths.expand(videos)
    names = _names(os.path.join(os.path.dirname(annotations), CLASSES) if labels is None else labels)
    published = pathlib.PurePath(annotations).stem.rpartition("_")[2].casefold()
    split = split or (published if published in ("train", "test") else "all")
    rows, backwards = [], []
    for line, video, actions in _entries(annotations):
        found = [_action(action, names, f"{annotations}, line {line}") for action in actions]
        segments = [action for action in found if action[1] < action[2]]
        if len(segments) < len(found):
            backwards.append(line)
        label = tuple(dict.fromkeys(name for name, *_ in found))
        segments = tuple(segments) if labelling == "timed" else ()
        rows.append(Row(video, f"{video}.mp4", label, None, None, (annotations, line), segments))
    if backwards and labelling == "timed":
        notice(
            f"{annotations}: {len(backwards)} videos have actions that end before they begin, which get no time "
            f"(first: line {backwards[0]})"
        )
    files = Files(videos)

    def locate(row):
        path = files.find(row.id, None, row.wanted, anywhere=True)
        return None if path is None else (path, None, None)

    return match("charades", split, list(names.values()), rows, locate, videos, annotations, labelling)


def _names(labels):
    """Returns {code: name}, in the order of the codes."""
    if not isinstance(labels, str | os.PathLike):
        source, lines = "labels", list(enumerate(labels, 1))
    elif os.path.exists(source := os.fspath(labels)):
        lines = annotation_files.lines(source)
    else:
        raise ValueError(f"Charades has its classes in {CLASSES}. Received: {source}, which is not there. Pass labels=")
    names = {}
    for line, text in lines:
        found = CODED.fullmatch(text)
        if not found or found[1] in names:
            raise ValueError(
                f"{source}, line {line}: a class of Charades is a code of its own and a name, such as c000 Holding "
                f"some clothes. Received: {text!r}"
            )
        names[found[1]] = found[2]
    names = dict(sorted(names.items()))
    annotation_files.check_labels(list(names.values()), source)
    return names


def _entries(path):
    """Returns [(line, id of the video, its actions as text)]."""
    (line, header), *rows = annotation_files.csv_rows(path)
    header = [cell.casefold() for cell in header]
    absent = [name for name in ("id", "actions") if name not in header]
    if absent:
        raise ValueError(f"{path}, line {line}: the header has no column {absent[0]}. Received: {','.join(header)}")
    entries = []
    for line, cells in rows:
        row = annotation_files.named(cells, header, path, line)
        if not row["id"]:
            raise ValueError(f"{path}, line {line}: the id is empty.")
        entries.append((line, row["id"], [action for action in row["actions"].split(";") if action.strip()]))
    return entries


def _action(text, names, place):
    """Returns (name of the class, start, end) of an action."""
    code, *times = text.split()
    if len(times) != 2 or not all(map(annotation_files.is_number, times)) or float(times[0]) < 0:
        raise ValueError(f"{place}: an action is a class, a start and an end, c092 11.90 21.20. Received: {text!r}")
    if code not in names:
        raise ValueError(f"{place}: {annotation_files.not_a_label(code, list(names))}")
    return (names[code], *map(float, times))
