"""Checks of records by their manifests: damage, labels, how many of each class."""

import os
import pathlib
import shlex

import numpy as np

from keras_i3d.checkup.findings import fault, fine, low_to_high, note, some, warning
from keras_i3d.plurals import counted
from keras_i3d.records import checking
from keras_i3d.training import data_checks

WHOLE = 300e6  # bytes of records that are read whole, every JPEG of them
FEW = 5  # records of a class that are few
UNEVEN = 10  # times as many records as another class has


def manifest_of(place, found):
    """Whether every record is what its manifest says."""
    bare = [split.name for split in found if split.source.spec is None]
    for name in bare:
        yield note(
            "records.manifest",
            f"{name} has no manifest",
            "so its labels, frame rate and flow method are not known, and damage is found only when it is read",
            "keras-i3d records writes one",
        )
    if len(bare) == len(found):
        return
    folder = folder_of(place)
    size = sum(os.path.getsize(file) for split in found for file in split.source.files)
    if size > WHOLE:
        yield note(
            "records.manifest",
            f"{size / 1e9:.1f} GB of records were not read whole",
            "damage in those that were not sampled is not known",
            f"keras-i3d records --check={shlex.quote(folder)} reads every byte",
        )
        return
    checked = checking.check(folder)
    if checked.problems:
        yield fault(
            "records.manifest",
            f"{counted(len(checked.problems), 'problem')}, first: {checked.problems[0]}",
            "damaged records stop training, or are left out of it",
            f"keras-i3d records --check={shlex.quote(folder)} lists them; then make these records again",
        )
    else:
        yield fine(
            "records.manifest",
            f"{counted(checked.records, 'record')} in {counted(checked.shards, 'file')}, all as they should be",
        )


def folder_of(place):
    """The folder of records, which are given by it or by a glob."""
    return os.fspath(place) if os.path.isdir(place) else os.path.dirname(place) or "."


def label_file(place, found):
    """Whether labels.txt says what the manifests say."""
    path = pathlib.Path(place, "labels.txt")
    labels = next((split.labels for split in found if split.labels), ())
    if not labels or not path.is_file():
        return
    listed = tuple(path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n"))
    if listed != labels:
        yield fault(
            "records.label_file",
            f"labels.txt has {differing(listed, labels)} of the manifest",
            "whoever reads it gives classes wrong names",
            f'write it again from the manifest: the list "labels" of {found[0].name}.json, a name a line',
        )


def label_folders(_place, found):
    """Whether records lie in folders of their class's name."""
    for split in found:
        known = [(ids, classes) for ids, classes in zip(split.source.ids, split.source.classes) if ids and classes]
        labelled = [pair for ids, classes in known for pair in zip(ids, classes)]
        for said in data_checks.check_labels(labelled, split.labels):
            say = fault if said.wrong else warning
            yield say(
                "records.label_folders",
                f"{split.name}: {said.text.partition('. ')[0].removeprefix('labels: ')}",
                "a network learns the label, not the folder",
                "correct the annotations, or take the folders as labels, and make the records again",
            )


def classes(_place, found):
    """Records of each class, in each split."""
    for split in found:
        counts, labels = split.counts(), split.labels
        names = labels or [str(i) for i in range(len(counts))]
        absent = [name for name, count in zip(names, counts) if not count]
        few = [f"{name} ({count})" for name, count in zip(names, counts) if 0 < count < FEW]
        there = [count for count in counts if count]
        if not there:
            yield note("records.classes", f"{split.name}: no record has a label", "nothing can be trained or measured")
            continue
        if absent:
            yield warning(
                "records.absent",
                f"{split.name} has no record of {len(absent)} of {len(names)} classes: {some(absent)}",
                "a class that is not in train is never learnt; one that is not in test is not measured",
                "divide again, class by class: keras-i3d records --split=train:0.8,test:0.2",
            )
        uneven = max(there) / min(there)
        if uneven >= UNEVEN:
            yield warning(
                "records.balance",
                f"{split.name}: {counted(max(there), 'record')} of {names[int(np.argmax(counts))]}, {min(there)} of "
                f"{names[counts.index(min(there))]}",
                "a network answers with the frequent class where it is not sure",
                "train --set=balance=sqrt; look at the accuracy of each class, which evaluate --output writes",
            )
        if few:
            yield note(
                "records.few",
                f"{split.name}: fewer than {FEW} records of {some(few)}",
                "so few are learnt by heart, and measured by chance",
                "add videos of them, or leave the classes out",
            )
        if not absent and uneven < UNEVEN:
            yield fine(
                "records.classes",
                f"{split.name}: {counted(sum(counts), 'record')} of {len(names)} classes, {low_to_high(there)} of each",
            )


def differing(first, second):
    """Returns in words how a list of names differs from another one, which it is not."""
    if len(first) != len(second):
        return f"{len(first)} names instead of {len(second)}"
    if set(first) == set(second):
        return "another order than that"
    place = next(i for i, (a, b) in enumerate(zip(first, second)) if a != b)
    return f"{first[place]!r} in the place {place}, and not {second[place]!r}"


CHECKS = (manifest_of, label_file, label_folders, classes)
