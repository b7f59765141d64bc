"""What there is to learn from: how many videos of which classes, how long and how large they are, by their headers."""

import collections
import concurrent.futures
import dataclasses
import os
import statistics

from keras_i3d import paths
from keras_i3d.errors import VideoError, notice
from keras_i3d.flow.pairs import cores
from keras_i3d.progress import Bar
from keras_i3d.records import annotations, source_videos
from keras_i3d.records.video_files import walk
from keras_i3d.video import Reader

# Folders that are splits: what each is for, by its name.
SPLITS = {
    "train": "train",
    "test": "test",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "validation": "validation",
}
PUBLISHED = ("ucf101", "hmdb51")  # data sets whose lists say what is trained and what is tested on
WHOLE = ""  # the name of what nobody has divided yet
LOOKED_AT = 1000  # videos of which the header is read; of more, so many at equal distances
FEWEST = 2  # videos of a class: one to train on, one to test on
SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Part:
    """One split of what there is, or all of it if nobody has divided it.

    Attributes:
        source: what `records --source` takes.
        videos: how many there are to be read.
        counts: how many of them each class has.
        seconds: of all of them.
    """

    source: str
    videos: int
    counts: tuple
    seconds: float


@dataclasses.dataclass(frozen=True)
class Survey:
    """What there is to learn from.

    Attributes:
        parts: {split: Part}; of what nobody has divided, {"": Part}.
        labels: names of the classes.
        labelling: "single", "multi" or "timed", as of `specs.LABELLINGS`.
        seconds: how long a video is: the shortest quarter is not longer than the first, half not longer than the
            second, of those that say it.
        size: (height, width) of a video, the medians of both.
        unreadable: ((path, reason), ...) of videos that are none.
        sources: how many source videos each class has; what is cut from one video counts once.
        same_labels: whether every part has videos of every class, so that each finds the labels by itself.
        example: the path of a video.
    """

    parts: dict
    labels: tuple
    labelling: str
    seconds: tuple
    size: tuple
    unreadable: tuple
    sources: tuple
    same_labels: bool
    example: str

    @property
    def videos(self):
        """How many there are."""
        return sum(part.videos for part in self.parts.values())

    @property
    def divided(self):
        """Whether somebody has divided the videos into splits."""
        return WHOLE not in self.parts

    @property
    def counts(self):
        """How many videos each class has, in all parts."""
        return tuple(map(sum, zip(*(part.counts for part in self.parts.values()))))


def survey(source, annotation=None, labels=None, labelling=None, progress=True):
    """Looks at the videos that a source lists.

    A folder that has `train` and `test`, or one of `val`, `valid`, `validate` and `validation`, each with class folders
    in it, is divided already, and so are UCF101 and HMDB51 by their lists. Whatever else lies in such a folder is left
    out, which a line says.

    Args:
        source: a folder of class folders, or of splits; a CSV file; or KIND:PATH, as `records.annotations.find` takes.
        annotation, labels, labelling: as `annotations`, `labels` and `labelling` of `records.annotations.find`.
        progress: whether to show how many videos were looked at.

    Returns:
        A Survey.

    Raises:
        ValueError: nothing of this kind, a single class, a class with a single video, or no video that can be read.
    """
    listings = {split: _listed(each, split, annotation, labels, labelling) for split, each in _sources(source).items()}
    names = _labels({split: listing.labels for split, (_, listing) in listings.items()})
    examples = [example for _, listing in listings.values() for example in listing.examples]
    headers, unreadable = _looked_at(examples, progress)
    bad = {path for path, _ in unreadable}
    if not headers:
        path, reason = unreadable[0]
        raise ValueError(
            f"Videos are needed that can be read. Received: {source}, of which none of the {len(unreadable)} looked at "
            f"can (first: {path}: {reason})."
        )
    if unreadable:
        path, reason = unreadable[0]
        of = f"{len(unreadable)} of {len(headers) + len(unreadable)} videos"
        notice(f"{of} cannot be read, and are left out (first: {path}: {reason})")
    lengths = sorted(filter(None, (_seconds(example, headers) for example in examples)))
    mean = statistics.fmean(lengths or [0.0])
    parts = {}
    for split, (own, listing) in listings.items():
        good = [example for example in listing.examples if example.path not in bad]
        counts = collections.Counter(names.index(name) for example in good for name in _names(example))
        seconds = sum(_seconds(example, headers) or mean for example in good)
        parts[split] = Part(own, len(good), tuple(counts[i] for i in range(len(names))), seconds)
    found = Survey(
        parts,
        names,
        getattr(listings[next(iter(listings))][1], "labelling", "single"),
        (lengths[len(lengths) // 4], statistics.median(lengths)) if lengths else (0.0, 0.0),
        tuple(int(statistics.median(sizes)) for sizes in zip(*(size for _, size in headers.values()))),
        tuple(unreadable),
        _source_videos([example for example in examples if example.path not in bad], names),
        len({listing.labels for _, listing in listings.values()}) == 1,
        next(iter(headers)),
    )
    _check(found, source)
    return found


def role_of(split):
    """Returns what a split is for: "train", "validation" or "test"."""
    return SPLITS[split]


def _source_videos(examples, names):
    """How many source videos each class has."""
    found = {(label, source_videos.source_video(example.id)) for example in examples for label in _names(example)}
    counts = collections.Counter(label for label, _ in found)
    return tuple(counts[name] for name in names)


def _sources(source):
    """Returns {split: source}, or {"": source} of what nobody has divided."""
    source = os.fspath(paths.expand(source))
    kind, colon, path = source.partition(":")
    if colon and kind == "records":
        raise ValueError(
            f"`learn` takes videos, and makes the records itself. Received: {source}. `train` takes records."
        )
    if colon and kind in PUBLISHED:
        return {"train": source, "test": source}
    if colon and kind not in ("folder", ""):
        return {WHOLE: source}
    prefix, folder = (f"{kind}:", path) if colon and kind == "folder" else ("", source)
    inside = _splits(folder) if os.path.isdir(folder) else {}
    return {split: f"{prefix}{os.path.join(folder, split)}" for split in inside} or {WHOLE: source}


def _splits(folder):
    """Returns the names of a folder's folders that are splits, "train" first; none if it is not divided."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    held = [name for name in names if name in SPLITS and _holds_classes(os.path.join(folder, name))]
    roles = {SPLITS[name] for name in held}
    if "train" not in roles or len(roles) < 2:
        return []
    if len(held) > len(roles):
        raise ValueError(
            f"{folder}: a folder of splits has train, and at most one of test and one of validation. Received: "
            f"{', '.join(held)}. Rename what is not to be taken."
        )
    others = [name for name in names if name not in held and not name.startswith(".")]
    if others:
        notice(f"{folder}: {', '.join(held)} are splits; {len(others)} other folders are left out (first: {others[0]})")
    return sorted(held, key=lambda name: list(SPLITS).index(name))


def _holds_classes(folder):
    """Whether videos lie in folders of a folder, and none in itself."""
    found = (*walk(folder, 1).videos,)
    return bool(found) and all("/" in path for path in found)


def _listed(source, split, annotation, labels, labelling):
    """Returns (source, Listing)."""
    more = {"labelling": labelling} if labelling else {}
    return source, annotations.find(source, annotation, labels, split or None, **more)


def _labels(of_splits):
    """The classes of all splits, in order: their own order if all have the same."""
    found = list(of_splits.values())
    if len(set(found)) == 1:
        return found[0]
    return tuple(sorted({label for labels in found for label in labels}))


def _names(example):
    """The classes of an Example."""
    return example.label if isinstance(example.label, tuple) else (example.label,) if example.label is not None else ()


def _looked_at(examples, progress):
    """Returns ({path: (seconds or None, (height, width))}, [(path, reason)]) of videos, each file once."""
    wanted = {example.path: example for example in examples}
    chosen = list(wanted.values())
    if len(chosen) > LOOKED_AT:
        chosen = [chosen[i * len(chosen) // LOOKED_AT] for i in range(LOOKED_AT)]
    headers, unreadable = {}, []
    with (
        concurrent.futures.ThreadPoolExecutor(cores()) as threads,
        Bar("look at videos", len(chosen), "videos", shown=progress) as bar,
    ):
        for example, found in zip(chosen, bar.over(threads.map(_header, chosen))):
            if isinstance(found, VideoError):
                unreadable.append((example.path, found.reason))
            else:
                headers[example.path] = found
    return headers, unreadable


def _header(example):
    """(seconds or None, (height, width)) of a video file, or the VideoError that it raises."""
    try:
        header = Reader(example.path).header()
    except VideoError as error:
        return error
    return header.frames / header.fps if header.frames and header.fps else None, header.size


def _seconds(example, headers):
    """Seconds of a video, or of its part; None if its file was not looked at, or does not say."""
    whole, _ = headers.get(example.path, (None, None))
    end = whole if example.end is None else example.end
    return None if whole is None else max(min(end, whole) - (example.start or 0), 0)


def _check(found, source):
    """Raises ValueError for what nothing can be learnt from."""
    if not any(found.counts):
        raise ValueError(f"Videos need labels to learn from. Received: {source}, of {found.videos} videos without any.")
    if len(found.labels) < 2:
        raise ValueError(
            f"A network learns to tell classes apart, and needs at least two. Received: {source}, of one class: "
            f"{found.labels[0]}. Add a folder of videos of something else."
        )
    few = [name for name, count in zip(found.labels, found.counts) if count < FEWEST]
    if few and not found.divided and found.labelling == "single":
        more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
        raise ValueError(
            f"A class needs at least {FEWEST} videos, one to train on and one to test on. Received: {source}, with "
            f"fewer of {', '.join(few[:SHOWN])}{more}. Add videos of it, or take the class out."
        )
    for split, part in found.parts.items():
        lacking = [name for name, count in zip(found.labels, part.counts) if not count]
        if lacking and SPLITS.get(split) == "train":
            raise ValueError(
                f"A class needs videos to train on. Received: {part.source}, with none of "
                f"{', '.join(lacking[:SHOWN])}. Add some, or take the class out of the other splits."
            )
        if lacking and split:
            notice(f"{part.source}: no video of {len(lacking)} of {len(found.labels)} classes (first: {lacking[0]})")
