"""Splits of tiny records whose videos show several labels, at once and for a time: colours that light up."""

import numpy as np
import tensorflow as tf

from keras_i3d.records import manifest, sequence_example
from keras_i3d.specs import RecordSpec

LABELS = ("red", "green", "blue")
SPEC = RecordSpec(short_side=32, flow_method=None)


def segments_of(i, frames=16):
    """(label, first frame, frame after the last) of what video i shows: by turns none, one, two or three labels."""
    draw = np.random.default_rng(i)
    found = []
    for label in range(3):
        if (i + 1) >> label & 1:
            first = int(draw.integers(0, frames // 2))
            found.append((label, first, first + int(draw.integers(frames // 4, frames // 2 + 1))))
    return found


def split(folder, name, videos, labelling="multi", frames=16, first=0):
    """Writes `videos` records in one file; returns its folder. Video i is the same in every split."""
    folder.mkdir(parents=True, exist_ok=True)
    path, ids, classes = folder / manifest.shard_name(name, 0, 1), [], []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in range(first, first + videos):
            video = np.random.default_rng(100 + i).uniform(0, 60, (frames, 32, 40, 3))
            shown = segments_of(i, frames)
            for label, start, end in shown:
                video[start:end, ..., label] += 180
            facts = {"index": tuple(label for label, *_ in shown), "label": tuple(LABELS[label] for label, *_ in shown)}
            if labelling == "timed":
                times = [(label, LABELS[label], start / SPEC.fps, end / SPEC.fps) for label, start, end in shown]
                facts["segments"] = times
            ids.append(f"{name}/{i}")
            classes.append(facts["index"])
            writer.write(sequence_example.encode(iter(video.astype("uint8")), SPEC, id=ids[-1], workers=1, **facts))
    shard = manifest.Shard(path.name, tuple(ids), path.stat().st_size, tuple(classes))
    manifest.Manifest(name, LABELS, SPEC, (shard,), labelling=labelling).write(folder)
    return folder
