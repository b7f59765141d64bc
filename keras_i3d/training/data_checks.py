"""What is wrong with records in ways that no reader notices: labels of other videos, pictures that stand, no flow."""

import dataclasses
import pathlib
import re

import numpy as np

NAMED = 3  # records that a finding names


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something about records or a recipe, with its remedy; `wrong` if nobody should train on it as it is."""

    text: str
    wrong: bool

    def __str__(self):
        return f"{'WRONG' if self.wrong else 'note'}: {self.text}"


def check_labels(labelled, labels):
    """Compares the labels of records with the folders in their ids, as far as folders are named after classes.

    Args:
        labelled: an iterable of (id, indices of its classes); an id may be "Class/file.mp4".
        labels: class names.

    Returns:
        [] or one Finding: wrong if most of those records have another label than their folder says.
    """
    by_name = {_plain(label): index for index, label in enumerate(labels)}
    compared, others = 0, []
    for id, classes in labelled:
        folders = [by_name[_plain(part)] for part in pathlib.PurePosixPath(id).parts[:-1] if _plain(part) in by_name]
        if folders and classes:
            compared += 1
            if folders[-1] not in classes:
                others.append(f"{id} is labelled {', '.join(labels[i] for i in classes)}")
    if not others:
        return []
    wrong = _are_most(len(others), compared)
    return [
        Finding(
            f"labels: of {compared} records in a folder of a class's name, {len(others)} have another label: "
            f"{_some(others)}. "
            + ("The labels belong to other videos" if wrong else "If that is not meant, correct the annotations")
            + (
                "; correct the annotations, or take the folders as labels, and make the records again."
                if wrong
                else "."
            ),
            wrong,
        )
    ]


class ClipChecks:
    """Looks at clips one by one, for frames that do not change and flow that is zero.

    Args:
        spec: the RecordSpec of the records.
    """

    def __init__(self, spec):
        self.spec, self.still, self.flowless, self.moving, self.count = spec, [], [], 0, 0

    def add(self, example):
        """Looks at an `example_clips.Example`."""
        self.count += 1
        frames, fields = example.x["rgb"], example.fields()
        if (frames == frames[:1]).all():
            self.still.append(example.id)
            return
        self.moving += 1
        level = 2 * self.spec.flow_bound / 255  # no motion may read back as a level, because 0 need not be one
        if fields is not None and np.abs(fields).max() <= level:
            self.flowless.append(example.id)

    def findings(self):
        """Returns the Findings of all clips: wrong if it is so in most of them."""
        found = []
        if self.still:
            found.append(
                Finding(
                    f"frames: in {len(self.still)} of {self.count} clips all frames are equal: {_some(self.still)}. "
                    "Look at them (`keras-i3d show`): a video of one picture holds no motion to learn.",
                    _are_most(len(self.still), self.count),
                )
            )
        if self.flowless:
            found.append(
                Finding(
                    f"flow: {len(self.flowless)} of {self.moving} clips whose frames change have no flow: "
                    f"{_some(self.flowless)}. Make the records again with --flow_method=tvl1.",
                    _are_most(len(self.flowless), self.moving),
                )
            )
        return found


def _are_most(some, count):
    return 2 * some > count


def _plain(name):
    """A name without what folders and labels write differently: case, spaces, punctuation."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _some(things):
    more = f", and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return ", ".join(things[:NAMED]) + more
