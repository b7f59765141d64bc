"""Records as the checks see them: each split's files and manifest, and frames and fields of some of its clips."""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from keras_i3d import paths
from keras_i3d.data import record_files
from keras_i3d.records import framing, manifest, sequence_example
from keras_i3d.records.build_state import is_manifest

CLIPS = 24  # of a split, spread over it, whose frames and fields are looked at
MOMENTS = 3  # of a clip: a frame, the one after it, and the field between them


@dataclasses.dataclass(frozen=True)
class ClipSample:
    """A few frames of one record.

    Attributes:
        id: its id.
        length: how many frames it has.
        fps: that it says; 0 if it says none.
        moments: the numbers of the frames that `frames` has, each with the one after it.
        frames: uint8 (moments, 2, H, W, 3), RGB as far as the record says.
        flow: float32 (moments, H, W, 2), pixels per frame; None without flow.
        bound: of its flow, pixels per frame.
    """

    id: str
    length: int
    fps: float
    moments: tuple
    frames: np.ndarray
    flow: np.ndarray | None
    bound: float


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one split.

    Attributes:
        name: for people: "train".
        place: what finds it again, as --records= takes it.
        source: the `record_files.Source`.
    """

    name: str
    place: str
    source: record_files.Source

    @property
    def labels(self):
        return tuple(self.source.labels)

    @functools.cached_property
    def clips(self):
        """ClipSamples of at most `CLIPS` records, spread over the split; those that cannot be read are left out."""
        found = [_sampled(raw) for raw in raw_records(self.places(CLIPS))]
        return [clip for clip in found if clip is not None]

    def counts(self):
        """Returns how many records each class has; as long as the labels, or up to the highest class."""
        return self.source.counts

    def places(self, most):
        """Returns [(file, number in it)] of at most so many records, spread evenly over all of them."""
        every = []
        for file, ids in zip(self.source.files, self.source.ids):
            count = len(ids) if ids is not None else sum(1 for _ in framing.frames(file))
            every += [(file, number) for number in range(count)]
        if len(every) <= most:
            return every
        return [every[i] for i in np.linspace(0, len(every) - 1, most).astype(int)]


def splits(place):
    """Returns the Splits that a path means: of a folder all that it holds.

    Raises:
        ValueError, OSError: what `record_files.find` raises.
    """
    place = os.fspath(paths.expand(place))
    if not tf.io.gfile.isdir(place):
        source = record_files.find(place)
        found = manifest.split_of(os.path.basename(source.files[0])) or os.path.basename(place)
        return [Split(found, place, source)]
    names = sorted(tf.io.gfile.listdir(place))
    by_split = {}
    for name in names:
        found = manifest.SHARD.fullmatch(name)
        if found or name.endswith(".tfrecord"):
            by_split.setdefault(found["split"] if found else name, []).append(name)
    return [
        Split(split, os.path.join(place, f"{split}-*"), record_files.find([os.path.join(place, n) for n in files]))
        for split, files in by_split.items()
    ]


def holds_records(place):
    """Whether a folder has a manifest next to files of records, or such files alone."""
    names = os.listdir(place)
    return any(name.endswith(".tfrecord") or manifest.SHARD.fullmatch(name) for name in names) or (
        any(is_manifest(name) for name in names) and any(manifest.split_of(name) for name in names)
    )


def raw_records(places):
    """Yields the bytes of records, given as [(file, number in it)] in the order of the files; reads these alone."""
    known = {}
    for file, number in places:
        if file not in known:
            known = {file: list(framing.frames(file))}
        if number >= len(known[file]):
            continue  # what is cut short is for `records.check` to say
        begin, size = known[file][number]
        with framing.opened(file) as opened:
            opened.seek(begin + framing.HEADER)
            yield opened.read(size - framing.FRAME)


def _sampled(raw):
    try:
        parsed = sequence_example.parse(raw)
        length = len(parsed["rgb"])
        if not length:
            return None
        fields = len(parsed["flow"]) == length - 1 and length > 1
        moments = sorted({int(i) for i in np.linspace(0, max(length - 2, 0), MOMENTS)})
        frames = [[_rgb(parsed, i), _rgb(parsed, min(i + 1, length - 1))] for i in moments]
        bound, scheme = parsed["flow_bound"], parsed["flow_scheme"]
        flow = [sequence_example.decode_flow(parsed["flow"][i], bound, scheme).numpy() for i in moments * fields]
        return ClipSample(
            parsed["id"].numpy().decode(errors="backslashreplace"),
            length,
            float(parsed["fps"]),
            tuple(moments),
            np.array(frames, "uint8"),
            np.array(flow) if fields else None,
            float(bound),
        )
    except (tf.errors.OpError, ValueError):
        return None


def _rgb(parsed, number):
    return sequence_example.decode_rgb(parsed["rgb"][number]).numpy()


def consecutive(split, stream, frames, stride, most):
    """Yields decoded frames or fields of a few clips from their middle on, as `ClipSpec.prepared` takes them.

    Args:
        split: a Split.
        stream: "rgb", "flow" or "both".
        frames, stride: how many, and the distance from one to the next; a short clip is repeated.
        most: clips.

    Yields:
        float32 or uint8 (frames, H, W, C).
    """
    for raw in raw_records(split.places(most)):
        parsed = sequence_example.parse(raw)
        count = len(parsed["rgb"]) if stream == "rgb" else len(parsed["flow"])
        if not count:
            continue
        start = max(count - frames * stride, 0) // 2
        numbers = [(start + i * stride) % count for i in range(frames)]
        bound, scheme = parsed["flow_bound"], parsed["flow_scheme"]
        parts = []
        if stream != "flow":
            parts.append(np.stack([_rgb(parsed, i) for i in numbers]))
        if stream != "rgb":
            fields = [sequence_example.decode_flow(parsed["flow"][i], bound, scheme).numpy() for i in numbers]
            parts.append(np.stack(fields))
        yield parts[0] if len(parts) == 1 else np.concatenate([part.astype("float32") for part in parts], axis=-1)
