"""What the networks said about each video of a split: `scores.npz`, of which everything else can be made again."""

import dataclasses
import json
import os
import pathlib

import numpy as np

from keras_i3d import atomic, paths, stored, threshold_files
from keras_i3d.errors import one_line
from keras_i3d.evaluation.truths import MOMENTS
from keras_i3d.plurals import counted
from keras_i3d.specs import LABELLINGS
from keras_i3d.version import __version__

FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of the videos of a split.

    Attributes:
        ids: ids of the videos that every stream has scored, in the order of the records.
        y: int64 (N,), their classes; of several labels a video, bool (N, classes).
        labels: class names, the place in the list being the class index.
        logits: {stream: float32 (N, classes)}. With views it is the logarithm of the averaged softmax, whose softmax is
            that average again; likewise of another activation. Of labels over time too, the mean over all of it.
        protocol: its name.
        split: the split of the records.
        records: where these are.
        models: {stream: the weights, for people}.
        settings: {stream: what was scored of each video, for people}.
        computed_by: {stream: what ran the network, with its version, and in which precision, for people}.
        dropped: ids of the videos whose records are damaged, with errors="count".
        failed: {"id", "path", "reason"} of each video that could not be used when the records were built.
        missing: {"id", "path"} of each video that was listed and not there when the records were built.
        damage: {kind: how many} of the dropped records, and of files without a manifest.
        path: the file that it was read from or written to, if any.
        activation: name of what makes probabilities of the logits.
        labelling: "single", "multi" or "timed", as of `specs.LABELLINGS`.
        thresholds: {stream: the thresholds that were chosen for its network, a number for each class}.
        y_frames: of labels over time, bool (N, 25, classes): those of `truths.moments`.
        frames: of labels over time, {stream: float32 (N, 25, classes)}, logits of these moments.
        peaks: of labels over time, {stream: float32 (N, classes)}, the maximum of the logits of all frames.
        version: the package's.
    """

    ids: tuple
    y: np.ndarray
    labels: tuple
    logits: dict
    protocol: str
    split: str = ""
    records: str = ""
    models: dict = dataclasses.field(default_factory=dict)
    settings: dict = dataclasses.field(default_factory=dict)
    computed_by: dict = dataclasses.field(default_factory=dict)
    dropped: tuple = ()
    failed: tuple = ()
    missing: tuple = ()
    damage: dict = dataclasses.field(default_factory=dict)
    path: str | None = None
    activation: str = "softmax"
    labelling: str = "single"
    thresholds: dict = dataclasses.field(default_factory=dict)
    y_frames: np.ndarray | None = None
    frames: dict = dataclasses.field(default_factory=dict)
    peaks: dict = dataclasses.field(default_factory=dict)
    version: str = __version__

    def __post_init__(self):
        shape = len(self.ids), len(self.labels)
        of_frames = shape[0], MOMENTS, shape[1]
        if len(set(self.ids)) != shape[0] or not self.logits:
            raise ValueError(f"Scores have one id a video, and a stream. Received: {shape[0]} ids")
        if self.y.shape != (shape[:1] if self.labelling == "single" else shape):
            raise ValueError(f"Scores have the {self.labelling} labels of {shape} videos. Received: {self.y.shape}")
        if self.timed and (self.y_frames is None or self.y_frames.shape != of_frames):
            raise ValueError(f"Labels over time are of {of_frames} moments. Received: others")
        of_time = [(self.frames, of_frames), (self.peaks, shape)] if self.timed else []
        for found, wanted in ((self.logits, shape), *of_time):
            self._check(found, wanted)

    def _check(self, found, shape):
        if list(found) != list(self.logits):
            raise ValueError(f"Scores are of {', '.join(self.logits)}. Received: {', '.join(found)}")
        for stream, logits in found.items():
            if logits.shape != shape:
                raise ValueError(f"Logits are (videos, classes), {shape} here. Received: {stream} {logits.shape}")
            if not np.isfinite(logits).all():
                bad = [self.ids[i] for i in np.flatnonzero(~np.isfinite(logits).reshape(shape[0], -1).all(axis=1))]
                raise ValueError(
                    f"Logits must be finite. Received: NaN or infinity from the {stream} stream for {len(bad)} of "
                    f"{shape[0]} videos, first {bad[0]}. Check the weights, or evaluate in float32."
                )

    @property
    def timed(self):
        """Whether the labels are over time."""
        return self.labelling == "timed"

    @property
    def name(self):
        """The split and where its scores are, for messages."""
        return f"{self.split or 'split'}, {self.path or self.records}"

    @property
    def not_scored(self):
        """How many videos of the split are not in the numbers, for whatever reason."""
        return self.damaged + len(self.failed) + len(self.missing)

    @property
    def damaged(self):
        """How many records were dropped; without a manifest their ids may be unknown, and only their damage counted."""
        return max(len(self.dropped), sum(count for kind, count in self.damage.items() if kind != "cut"))

    def counts(self):
        """Says how many videos the numbers are of, and how many are not among them."""
        parts = [
            f"{counted(self.damaged, 'damaged record')} dropped",
            f"{len(self.failed)} failed and {len(self.missing)} missing when the records were built",
        ]
        if self.damage.get("cut"):
            parts.append(f"{counted(self.damage['cut'], 'file')} cut, whose rest is unknown")
        return f"{len(self.ids)} videos, {self.not_scored} not scored: " + "; ".join(parts)

    def save(self, path):
        """Writes a `.npz` of plain arrays: ids, y, labels, logits_STREAM, and the rest as JSON, about.

        Of labels over time also y_frames, frames_STREAM and peaks_STREAM.

        Returns:
            The Scores, with their path.
        """
        path = pathlib.Path(path)
        about = {name: getattr(self, name) for name in _ABOUT} | {"format": FORMAT, "streams": list(self.logits)}
        arrays = {f"logits_{stream}": logits for stream, logits in self.logits.items()}
        if self.timed:
            arrays["y_frames"] = self.y_frames
            arrays |= {f"frames_{stream}": logits for stream, logits in self.frames.items()}
            arrays |= {f"peaks_{stream}": logits for stream, logits in self.peaks.items()}
        with atomic.replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                ids=np.array(self.ids, np.str_),
                y=self.y,
                labels=np.array(self.labels, np.str_),
                about=np.array(json.dumps(about, ensure_ascii=False)),
                **arrays,
            )
        return dataclasses.replace(self, path=str(path))


_ABOUT = (
    *("protocol", "split", "records", "models", "settings", "computed_by", "dropped", "failed", "missing", "damage"),
    *("activation", "labelling", "thresholds", "version"),
)


def read(path):
    """Reads the Scores that `Scores.save` wrote; Scores are passed on.

    Raises:
        ValueError: no such file, or one that this version does not read.
    """
    if isinstance(path, Scores):
        return path
    path = paths.expand(path)
    if not os.path.isfile(path):
        raise ValueError(
            f"Scores are a scores.npz that `keras-i3d evaluate --output=` wrote. Received: {path}, no file"
        )
    try:
        return _of(stored.read_npz(path), str(path))
    except Exception as error:  # of a damaged archive, array or text: any of a dozen of types
        raise ValueError(f"{path} is no scores.npz that this version reads: {one_line(error)}") from error


def _of(arrays, path):
    """The Scores of the arrays of a file, each of the kind that `Scores.save` writes."""
    about = json.loads(str(arrays["about"]))
    if (written := about.pop("format")) != FORMAT:
        raise ValueError(f"another format, {written}, where this version reads {FORMAT}: evaluate again")
    streams = about.pop("streams")
    about = {name: _KINDS[name](value, name) for name, value in about.items() if name in _KINDS}
    timed, single = about["labelling"] == "timed", about["labelling"] == "single"
    kinds = {"logits": 2, **({"frames": 3, "peaks": 2} if timed else {})}
    of_streams = {kind: {stream: arrays[f"{kind}_{stream}"] for stream in streams} for kind in kinds}
    ids, labels, y = arrays["ids"], arrays["labels"], arrays["y"]
    wanted = [(ids, "U", 1), (labels, "U", 1), (y, "i", 1) if single else (y, "b", 2)]
    wanted += [(array, "f", kinds[kind]) for kind, found in of_streams.items() for array in found.values()]
    y_frames = arrays["y_frames"] if timed else None
    wanted += [(y_frames, "b", 3)] if timed else []
    if any((array.dtype.kind, array.ndim) != (kind, axes) for array, kind, axes in wanted):
        raise ValueError("its arrays are of other kinds")
    if single and not ((y >= 0) & (y < len(labels))).all():
        raise ValueError(f"a class is not one of the {len(labels)} labels")
    if any(len(each) != len(labels) for each in about["thresholds"].values()):
        raise ValueError("thresholds are one for each class")
    labels = tuple(map(str, labels))
    return Scores(tuple(map(str, ids)), y, labels, **of_streams, y_frames=y_frames, path=path, **about)


def _text(value, name):
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text")
    return value


def _texts(value, name):
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no table")
    return {key: _text(each, name) for key, each in value.items()}


def _ids(value, name):
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")
    return tuple(_text(each, name) for each in value)


def _videos(value, name):
    """What became of videos that were not scored: tables of text."""
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")
    return tuple(_texts(each, name) for each in value)


def _numbers(value, name):
    if not isinstance(value, dict) or not all(type(number) is int and number >= 0 for number in value.values()):
        raise ValueError(f"{name} is no table of numbers")
    return value


def _labelling(value, name):
    if value not in LABELLINGS:
        raise ValueError(f"{name} is none")
    return value


def _thresholds(value, name):
    if not isinstance(value, dict) or not all(isinstance(each, list) for each in value.values()):
        raise ValueError(f"{name} is no table of numbers")
    found = {key: tuple(each) for key, each in value.items()}
    if not all(map(threshold_files.is_thresholds, found.values())):
        raise ValueError(f"{name} are numbers in [0, 1]")
    return found


_KINDS = {
    **dict.fromkeys(("protocol", "split", "records", "activation", "version"), _text),
    **dict.fromkeys(("models", "settings", "computed_by"), _texts),
    "dropped": _ids,
    "failed": _videos,
    "missing": _videos,
    "damage": _numbers,
    "labelling": _labelling,
    "thresholds": _thresholds,
}


def merge(parts):
    """Puts the streams of several Scores of one split together, for fusion.

    Args:
        parts: Scores of the same labels, split and protocol. A stream that several have gets a number from the second
            on: "rgb", "rgb 2".

    Returns:
        Scores of the videos that all have; the others count as dropped.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        for name in ("labels", "split", "protocol", "activation", "labelling"):
            if getattr(part, name) != getattr(first, name):
                raise ValueError(
                    f"Scores to be fused are of one {name.removesuffix('s')}. Received: {_short(getattr(first, name))} "
                    f"in {first.path}, {_short(getattr(part, name))} in {part.path}"
                )
    everywhere = set(first.ids).intersection(*(part.ids for part in parts))
    ids = tuple(id for id in first.ids if id in everywhere)
    own = _rows_of(first, ids)
    told = ("models", "settings", "computed_by")
    found = {kind: {} for kind in ("logits", "frames", "peaks", "thresholds", *told)}
    for part in parts:
        chosen = _rows_of(part, ids)
        if (part.y[chosen] != first.y[own]).any():
            raise ValueError(f"{first.path} and {part.path} have other classes for the same videos")
        for stream in part.logits:
            name, number = stream, 1
            while name in found["logits"]:
                number += 1
                name = f"{stream} {number}"
            for kind in ("logits", *(("frames", "peaks") if first.timed else ())):
                found[kind][name] = getattr(part, kind)[stream][chosen]
            for kind in told:
                found[kind][name] = getattr(part, kind).get(stream, "")
            if stream in part.thresholds:
                found["thresholds"][name] = part.thresholds[stream]
    seen = dict.fromkeys(id for part in parts for id in (*part.ids, *part.dropped))
    return dataclasses.replace(
        first,
        ids=ids,
        y=first.y[own],
        y_frames=first.y_frames[own] if first.timed else None,
        **found,
        dropped=tuple(id for id in seen if id not in everywhere),
        damage={kind: max(part.damage.get(kind, 0) for part in parts) for part in parts for kind in part.damage},
        path=", ".join(str(part.path) for part in parts),
    )


def _rows_of(scores, ids):
    """The places of videos among those of a Scores."""
    rows = {id: row for row, id in enumerate(scores.ids)}
    return [rows[id] for id in ids]


def _short(value):
    return repr(value) if isinstance(value, str) else f"{len(value)} labels"
