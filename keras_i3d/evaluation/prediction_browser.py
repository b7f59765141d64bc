"""`wrong.html`: the videos that were named wrongly, playable, the most convinced errors first.

The page and the folder of its videos need no network. The videos are written first and the page last, so that a page
never names a video that is not there; the next evaluation into the same folder removes what it does not name.
"""

import base64
import dataclasses
import functools
import hashlib
import os
import tempfile

import numpy as np
import tensorflow as tf

from keras_i3d import atomic, markup
from keras_i3d.data import record_files
from keras_i3d.errors import notice
from keras_i3d.evaluation import nearest_videos, parent_classes, record_clips, report
from keras_i3d.markup import Html
from keras_i3d.plurals import counted
from keras_i3d.probabilities import probabilities

PAGE, FOLDER = "wrong.html", "wrong_videos"
VIDEOS = 100
SMALL = {"width": 112, "frames": 64}  # of a training video


@dataclasses.dataclass(frozen=True)
class Browsing:
    """What the page shows.

    Attributes:
        videos: how many, the most convinced errors; 0 for no page.
        parents: path of a CSV of the columns label and parent; None for one list of all confusions.
        neighbours: training records whose nearest videos stand next to each; None for none.
    """

    videos: int = VIDEOS
    parents: object = None
    neighbours: object = None

    def __post_init__(self):
        if not (isinstance(self.videos, int) and self.videos >= 0):
            raise ValueError(f"browse must be a number of videos, or 0 for none. Received: browse={self.videos!r}")

    def check(self, labels=None):
        """Raises ValueError, or FileNotFoundError, for files that are not what they have to be: before hours of work.

        Args:
            labels: class names; None where they are not known yet.
        """
        if not self.videos and (self.parents is not None or self.neighbours is not None):
            raise ValueError("parents= and neighbours= are for the page of wrong videos. Received: browse=0")
        if self.parents is not None and labels is not None:
            parent_classes.read(self.parents, labels)
        if self.neighbours is not None:
            source = record_files.find(self.neighbours)
            if source.labelling != "single" or source.records is None:
                raise ValueError(
                    "Neighbours are found among records with a manifest and one class a video. Received: "
                    f"neighbours={self.neighbours!r}"
                )


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A video that was named wrongly.

    Attributes:
        row: of the scores.
        named: the class that it was given.
        conviction: the probability of that class; of distances, which are none, how far it is ahead of the true class.
    """

    row: int
    named: int
    conviction: float


def wrong_videos(evaluation):
    """Returns the Wrong of each video that was named wrongly by all streams together, most convinced first."""
    scores, fused = evaluation.scores, evaluation.fused
    named = fused.argmax(axis=1)
    if has_probabilities(evaluation):
        sure = probabilities(fused, scores.activation)[np.arange(len(named)), named]
    else:
        sure = fused.max(axis=1) - fused[np.arange(len(named)), scores.y]
    rows = [int(row) for row in np.argsort(-sure, kind="stable") if named[row] != scores.y[row]]
    return [Wrong(row, int(named[row]), float(sure[row])) for row in rows]


def has_probabilities(evaluation):
    """Whether the last scores are logits, and no distances of an SVM."""
    return "SVM" not in evaluation.fusion


def write(evaluation, folder, browsing, streams=(), progress=False):
    """Writes wrong.html and the folder of its videos, or removes those of another evaluation.

    Args:
        evaluation: an Evaluation of one label a video.
        folder: a pathlib.Path.
        browsing: a Browsing.
        streams: `scoring.Stream`s, for neighbours.
        progress: whether bars show how far the neighbours are.

    Returns:
        Whether there is a page. If the records cannot be read any more there is none, and a line says why.
    """
    try:
        if not browsing.videos or evaluation.scores.labelling != "single":
            return _removed(folder)
        page, kept = _page(evaluation, folder, browsing, streams, progress)
    except Exception as error:  # whatever has become of the records, the numbers are there
        notice(f"there is no {PAGE}: {type(error).__name__}: {error}")
        return _removed(folder)
    atomic.write_text(folder / PAGE, page)
    _clean(folder, kept)
    return True


def _removed(folder):
    (folder / PAGE).unlink(missing_ok=True)
    _clean(folder, ())
    return False


def _clean(folder, kept):
    """Removes the videos that the page does not name."""
    place = folder / FOLDER
    for path in place.glob("*.mp4"):
        if path.name not in kept:
            path.unlink(missing_ok=True)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def _page(evaluation, folder, browsing, streams, progress):
    """Writes the videos; returns (HTML, {name of a file: its bytes})."""
    scores = evaluation.scores
    parents = None if browsing.parents is None else parent_classes.read(browsing.parents, scores.labels)
    every = wrong_videos(evaluation)
    shown, kept = every[: browsing.videos], {}
    near = {}
    if shown:
        (folder / FOLDER).mkdir(exist_ok=True)
        atomic.clean(folder / FOLDER)
        ids = [scores.ids[wrong.row] for wrong in shown]
        source = record_clips.source_of(scores.records)
        with tempfile.TemporaryDirectory(prefix="keras_i3d-") as place:
            alone = os.path.join(place, "wrong.tfrecord")  # which come as the data set gives all others
            with tf.io.TFRecordWriter(alone) as writer:
                for id, record in record_clips.read(source, ids):
                    file = record_clips.name(id)
                    kept[file] = record_clips.write(folder / FOLDER / file, record)
                    if streams and browsing.neighbours is not None:
                        writer.write(record)
            if streams and browsing.neighbours is not None:
                near = _neighbours(folder, browsing, streams, source, alone, kept, progress)
    found = _Filled(evaluation, parents, near)
    return found.page(every, shown, sum(kept.values())), kept


def _neighbours(folder, browsing, streams, source, alone, kept, progress):
    """{id: Neighbours}, whose videos are written; {} and a line if they cannot be found."""
    try:
        training = record_files.find(browsing.neighbours)
        own = _in_both(source, training)
        near = nearest_videos.nearest(streams, record_files.find([alone]), training, progress=progress, own=own)
        ids = {each.id for found in near.values() for each in found}
        for id, record in record_clips.read(training, ids):
            file = training_name(id)
            kept[file] = record_clips.write(folder / FOLDER / file, record, **SMALL)
        return near
    except Exception as error:
        notice(f"{PAGE} has no nearest training videos: {type(error).__name__}: {error}")
        return {}


def _in_both(source, training):
    """The ids of the records of files that two Sources share, however their paths are written."""
    files = {os.path.realpath(file) for file in training.files}
    shared = (ids or () for file, ids in zip(source.files, source.ids) if os.path.realpath(file) in files)
    return {id for ids in shared for id in ids}


def training_name(id):
    """Returns the name of the file of a training video, whose id a video of the split may have too."""
    return f"training-{record_clips.name(id)}"


class _Filled:
    """The page's parts, filled with an evaluation."""

    def __init__(self, evaluation, parents, near):
        self.evaluation, self.scores, self.parents, self.near = evaluation, evaluation.scores, parents, near
        self.fill = _fragments().fill

    def page(self, every, shown, size):
        """Returns the page of some of the videos that were named wrongly."""
        scores, script = self.scores, Html(markup.read(__package__, "browser.js"))
        were = "was" if len(every) == 1 else "were"
        counts = f"{len(every)} of {counted(len(scores.ids), 'video')} {were} named wrongly"
        if shown:
            most = "" if len(shown) == len(every) else f"; the {len(shown)} most convinced are here"
            by = "probability of the wrong label" if has_probabilities(self.evaluation) else "lead of the wrong label"
            counts += f"{most}, sorted by the {by}. Their videos take {max(size / 1e6, 0.1):.1f} MB"
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        body = [self._confusions(every, shown), self._filters(shown), self._cards(shown)] if every else []
        return self.fill(
            "page",
            title=f"Wrong videos of {' and '.join(scores.logits)} on {scores.split or 'a split'}",
            style=Html(f"\n{markup.read(__package__, 'browser.css')}"),
            script=script,
            digest=digest,
            protocol=scores.protocol,
            counts=f"{counts}.",
            body=markup.join(body),
        )

    def _confusions(self, every, shown):
        """The errors of all videos, by parent; those that are shown can be picked."""
        there = {(int(self.scores.y[wrong.row]), wrong.named) for wrong in shown}
        y, named = (np.array(each) for each in zip(*((self.scores.y[w.row], w.named) for w in every)))
        found = parent_classes.groups(y, named, self.scores.labels, self.parents)
        if not self.parents:
            return self.fill("confusions", note="most frequent first", groups=self._pairs(found[0], there))
        of_all = np.array([self.parents[self.scores.labels[i]] for i in self.scores.y])
        parts = []
        for group in found:
            within = self.fill(
                "parent",
                parent=group.parent,
                wrong=group.within + group.across,
                videos=int((of_all == group.parent).sum()),
                within=group.within,
                across=group.across,
                pairs=self._pairs(group, there),
            )
            parts.append(within)
        return self.fill("confusions", note="by parent class, most errors first", groups=markup.join(parts))

    def _pairs(self, group, there):
        labels, rows = self.scores.labels, []
        for (true, named), count in group.pairs:
            kind = "pair" if (true, named) in there else "pair-not-shown"
            rows.append(self.fill(kind, true=true, named=named, label=labels[true], other=labels[named], times=count))
        return self.fill("pairs", rows=markup.join(rows))

    def _filters(self, shown):
        classes = {
            "true": sorted({int(self.scores.y[wrong.row]) for wrong in shown}),
            "named": sorted({wrong.named for wrong in shown}),
        }
        return self.fill("filters", **{name: self._options(found) for name, found in classes.items()})

    def _options(self, classes):
        def options(some):
            return markup.join(self.fill("option", value=i, label=self.scores.labels[i]) for i in some)

        if not self.parents:
            return options(classes)
        grouped = {}
        for i in classes:
            grouped.setdefault(self.parents[self.scores.labels[i]], []).append(i)
        return markup.join(
            self.fill("options", label=parent, options=options(some)) for parent, some in sorted(grouped.items())
        )

    def _cards(self, shown):
        return self.fill("cards", cards=markup.join(map(self._card, shown)))

    def _card(self, wrong):
        labels, id = self.scores.labels, self.scores.ids[wrong.row]
        true = int(self.scores.y[wrong.row])
        sure = f"{wrong.conviction:.1%}" if has_probabilities(self.evaluation) else f"{wrong.conviction:.3g} ahead"
        return self.fill(
            "card",
            true=true,
            named=wrong.named,
            video=f"{FOLDER}/{record_clips.name(id)}",
            label=labels[true],
            other=labels[wrong.named],
            sure=sure,
            id=id,
            answers=markup.join(
                self.fill("answer", answer=report.answer(self.evaluation, name, wrong.row))
                for name in self.evaluation.metrics
            ),
            neighbours=self._near(id),
        )

    def _near(self, id):
        if id not in self.near:
            return Html()
        rows = markup.join(
            self.fill(
                "neighbour",
                video=f"{FOLDER}/{training_name(each.id)}",
                label=each.label,
                id=each.id,
                likeness=f"{each.likeness:.4f}",
            )
            for each in self.near[id]
        )
        return self.fill("neighbours", rows=rows)


@functools.cache
def _fragments():
    return markup.Fragments(__package__, "browser.html")
