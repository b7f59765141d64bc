"""Several labels a video, as CSV files have them: in one cell, or in rows with their times."""

from keras_i3d.errors import notice
from keras_i3d.records import annotation_files
from keras_i3d.records.listing import Row
from keras_i3d.specs import LABELLINGS

BETWEEN = ";"


def find_labelling(labelling, cells, path):
    """Returns how a file labels its videos, one of LABELLINGS, and says so where its cells decide.

    Args:
        labelling: what the caller says; None to decide by the cells: "multi" if any has a ; in it, else "single".
        cells: of the labels, text or None.
        path: of the file, for messages.
    """
    if labelling is not None:
        check_labelling(labelling)
        return labelling
    if not any(BETWEEN in (cell or "") for cell in cells):
        return "single"
    notice(
        f"{path}: a ; stands between several labels of a video, so labelling=multi is taken. Pass labelling=single if "
        "it is a part of a label"
    )
    return "multi"


def check_labelling(labelling, labellings=LABELLINGS):
    """Raises ValueError for what is none of the labellings."""
    if labelling not in labellings:
        raise ValueError(f"labelling is one of {', '.join(labellings)}. Received: labelling={labelling!r}")


def labels_of(cell, place):
    """Returns the labels of a cell, each once, in order; () for an empty one, or None.

    Raises:
        ValueError: nothing stands between two ; or before the first; a label that is no line of text.
    """
    labels = [label.strip() for label in (cell or "").split(BETWEEN)]
    if len(labels) > 1 and not labels[-1]:
        labels.pop()  # "run;jump;"
    if labels == [""]:
        return ()
    if "" in labels:
        raise ValueError(f"{place}: each label is text. Received an empty one: {cell!r}")
    for label in labels:
        annotation_files.check_label(label, place)
    return tuple(dict.fromkeys(labels))


def timed_videos(entries, names, path):
    """Returns a Row for each video of rows that are a label and its times, in the order of their first rows.

    Args:
        entries: [(line, label, path of the video, start, end)]; of a video without labels, the path alone.
        names: {path of the video: its id}.
        path: of the file, for messages.

    Raises:
        ValueError: a label without both times, or times without a label.
    """
    videos = {}
    for line, label, wanted, start, end in entries:
        times = (start, end)
        if (label and None in times) or (not label and times != (None, None)):
            raise ValueError(
                f"{path}, line {line}: with labelling=timed a row has a label, its start and its end, or none of the "
                f"three. Received: label={label!r}, start={start}, end={end}"
            )
        known = videos.setdefault(names[wanted], (wanted, line, []))
        if label:
            known[2].append((label, start, end))
    return [
        Row(name, wanted, tuple(dict.fromkeys(label for label, *_ in segments)), None, None, (path, line), (*segments,))
        for name, (wanted, line, segments) in videos.items()
    ]
