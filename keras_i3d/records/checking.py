"""Whether a folder of records is what its manifests say: every byte of it is read."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from keras_i3d import paths
from keras_i3d.errors import tensorflow_message
from keras_i3d.progress import Bar
from keras_i3d.records import framing, manifest, sequence_example
from keras_i3d.records.build_state import is_manifest


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with a file of records, or with one record of it (`id`, "" for the file)."""

    file: str
    id: str
    problem: str

    def __str__(self):
        return ": ".join(part for part in (self.file, self.id, self.problem) if part)


@dataclasses.dataclass(frozen=True)
class Checked:
    """The result of `check`: problems in the order of the files, and how much was read."""

    problems: tuple
    splits: int
    shards: int
    records: int
    frames: int
    fields: int

    def __str__(self):
        return (
            f"{self.splits} splits, {self.shards} shards, {self.records} records, {self.frames} frames, "
            f"{self.fields} flow fields; {len(self.problems)} problems"
        )


def check(folder, progress=False):
    """Checks every split, shard, record and JPEG of a folder.

    Args:
        folder: local, or whatever `tf.io.gfile` takes.
        progress: whether to show how many videos are read.

    Returns:
        Checked.

    Raises:
        ValueError: there is no such folder, or no manifest in it.
    """
    folder = os.fspath(paths.expand(folder))
    names = sorted(tf.io.gfile.listdir(folder)) if tf.io.gfile.isdir(folder) else []
    files = [name for name in names if is_manifest(name)]
    if not files:
        raise ValueError(f"A folder of records holds a manifest, SPLIT.json. Received: {folder}, which holds none")
    problems, splits, counts = [], [], np.zeros(4, int)  # shards, records, frames, fields
    for name in files:
        try:
            splits.append(manifest.read(os.path.join(folder, name)))
        except ValueError as error:
            problems.append(Problem(name, "", str(error)))
            continue
        if f"{splits[-1].split}.json" != name:
            problems.append(Problem(name, "", f"it is the manifest of {splits[-1].split!r}"))
        problems += _disagreements(splits[0], splits[-1], name)
    for name in names:
        if name.endswith(("-build", "-build/")):
            problems.append(Problem(name.rstrip("/"), "", "a build that has not ended; give its command again"))
    known = {shard.name for split in splits for shard in split.shards}
    unknown = [name for name in names if name.endswith(".tfrecord") and name not in known]
    problems += [Problem(name, "", "in no manifest") for name in unknown]
    shards = [(split, shard) for split in splits for shard in split.shards]
    due = 0
    with Bar("check", sum(len(shard.ids) for _, shard in shards), "videos", shown=progress, stays=True) as bar:
        for split, shard in shards:
            found, counted = _shard(os.path.join(folder, shard.name), split, shard, bar)
            problems += found
            counts += (1, *counted)
            due += len(shard.ids)
            bar.update(max(due - bar.done, 0))  # what a damaged or missing shard no longer holds
    for split in splits:
        ids = [id for shard in split.shards for id in shard.ids]
        problems += [Problem(f"{split.split}.json", id, "listed twice") for id in _twice(ids)]
    return Checked(tuple(problems), len(splits), *map(int, counts))


def _disagreements(first, other, name):
    for what in ("spec", "labels", "labelling"):
        a, b = getattr(first, what), getattr(other, what)
        if a and b and a != b:
            yield Problem(name, "", f"its {what} disagree with those of {first.split}.json: {b} and {a}")


def _twice(ids):
    seen = set()
    return [id for id in ids if id in seen or seen.add(id)]


def _shard(path, split, shard, bar):
    """Returns (problems, (records, frames, fields)) of a file."""
    problems, ids, frames, fields = [], [], 0, 0
    noted = dict(zip(shard.ids, shard.classes or ()))

    def wrong(problem, id=""):
        problems.append(Problem(shard.name, id, problem))

    if not tf.io.gfile.exists(path):
        wrong("missing")
        return problems, (0, 0, 0)
    size = tf.io.gfile.stat(path).length
    if size != shard.bytes:
        wrong(f"{size} bytes, {shard.bytes} in the manifest")
    try:
        for raw in bar.over(framing.dataset(path)):
            try:
                record = sequence_example.parse(raw)
            except tf.errors.OpError:
                wrong("its bytes are no SequenceExample", f"record {len(ids)}")
                ids.append(None)
                continue
            id = record["id"].numpy().decode(errors="backslashreplace")
            ids.append(id)
            frames += len(record["rgb"])
            fields += len(record["flow"])
            for problem in (*_labels(record, split, noted.get(id)), *_record(record, split)):
                wrong(problem, id)
    except tf.errors.OpError as error:
        wrong(f"unreadable after {len(ids)} records of {len(shard.ids)}: {tensorflow_message(error)}")
    else:
        if framing.whole_records(path) >= 0:
            wrong(f"unreadable after {len(ids)} records of {len(shard.ids)}: a length is beyond the file's end")
        elif len(ids) != len(shard.ids):
            wrong(f"{len(ids)} records, {len(shard.ids)} in the manifest")
    for found, listed in zip(ids, shard.ids):
        if found not in (None, listed):
            wrong(f"in the place of {listed!r} in the manifest", found)
    return problems, (len(ids), frames, fields)


def _labels(record, split, noted):
    """Yields what is wrong with the classes of a parsed record; `noted` are those of the manifest, or None."""
    indices = record["indices"].numpy().tolist()
    labels = [label.decode(errors="backslashreplace") for label in record["labels"].numpy()]
    if len(indices) != len(labels):
        yield f"{len(indices)} label indices and {len(labels)} labels"
    for index, label in zip(indices, labels):
        listed = split.labels[index] if 0 <= index < len(split.labels) else None
        if listed is None:
            yield f"label index {index}, there are {len(split.labels)} labels"
        elif listed != label:
            yield f"label {label!r}, but label {index} is {listed!r}"
    if split.labelling == "single":
        if len(indices) > 1:
            yield f"{len(indices)} labels, one in the manifest"
        elif not indices and split.labels:
            yield "no label"
    if noted is not None and tuple(sorted(indices)) != noted:
        yield f"classes {sorted(indices)}, {list(noted)} in the manifest"
    segments = record["segments"].numpy().tolist()
    if segments and split.labelling != "timed":
        yield f"{len(segments)} labels with times, none in the manifest"
    for index, start, end in segments:
        if index not in indices:
            yield f"a time of class {index}, which is not among its classes {sorted(indices)}"
        if not 0 <= start < end:
            yield f"class {index} from {start} to {end} microseconds, where 0 <= start < end must hold"


def _record(record, split):
    """Yields what is wrong with a parsed record."""
    spec = split.spec
    if not np.isclose(record["fps"], spec.fps):
        yield f"{float(record['fps']):g} fps, {spec.fps:g} in the manifest"
    frames, fields = len(record["rgb"]), len(record["flow"])
    if frames == 0:
        yield "no frame"
    if spec.flow_method is None:
        if fields:
            yield f"{fields} flow fields, none in the manifest"
    else:
        if fields != frames - 1:
            yield f"{fields} flow fields for {frames} frames, which have {frames - 1}"
        for key in ("method", "bound", "scheme"):
            found, listed = record[f"flow_{key}"].numpy(), getattr(spec, f"flow_{key}")
            found = found.decode(errors="backslashreplace") if isinstance(found, bytes) else float(found)
            same = np.isclose(found, listed) if key == "bound" else found == listed  # a bound is stored as a float32
            if not same:
                yield f"flow {key} {found!r}, {listed!r} in the manifest"
    sizes = set()
    for kind in ("rgb", "flow"):
        images = record[kind]
        prints = sequence_example.fingerprints(images).numpy()
        stored = record[f"{kind}_fingerprint"].numpy()
        if len(prints) != len(stored):
            yield f"{len(stored)} fingerprints of {len(prints)} {kind} images"
        elif (prints != stored).any():
            yield f"{kind} images {np.flatnonzero(prints != stored).tolist()} are not those that were written"
        for number, image in enumerate(images):
            problem = _undecodable(image, sizes)
            if problem:
                yield f"{kind} image {number}: {problem}"
    if len(sizes) > 1:
        yield f"images of several sizes: {sorted(sizes)}"
    elif sizes and min(min(sizes)) != spec.short_side:
        yield f"images of short side {min(min(sizes))}, {spec.short_side} in the manifest"


def _undecodable(image, sizes):
    try:
        sizes.add(tuple(sequence_example.decode_rgb(image).shape[:2]))
    except tf.errors.OpError as error:
        return f"not a JPEG that decodes ({error.message.splitlines()[0]})"
    return None
