"""Which files of records a pattern means, in their order, and what their manifests say of them."""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import json
import os

import tensorflow as tf

from keras_i3d import paths
from keras_i3d.errors import missing_package, notice, tensorflow_message
from keras_i3d.records import contexts, framing, manifest, sequence_example
from keras_i3d.specs import RecordSpec

IO_SCHEMES = ("s3://", "az://", "hdfs://")
LOOKED_AT = 64  # records of a third-party file, for how many labels each has; of a remote one the first


@dataclasses.dataclass(frozen=True)
class Source:
    """Files of records.

    Attributes:
        files: paths, in order.
        ids: for each file, the ids of its records in order; None for a third-party file, which no manifest describes.
        sizes: for each third-party file its size in bytes; None for the others.
        spec: the RecordSpec of all records that have one; None if no file has a manifest.
        labels: class names in the order of the class indices; () if no file has a manifest.
        labelling: "single", "multi" or "timed", as of `specs.LABELLINGS`. Of third-party files "multi" if one of the
            first records has several labels.
        classes: for each file, the class indices of each of its records; None for one whose manifest does not say.
    """

    files: tuple
    ids: tuple
    sizes: tuple
    spec: RecordSpec | None = None
    labels: tuple = ()
    labelling: str = "single"
    classes: tuple = ()

    @property
    def records(self):
        """How many records there are; None if a file has no manifest."""
        return None if None in self.ids else sum(map(len, self.ids))

    @functools.cached_property
    def digest(self):
        """The sha256 over names of files, ids, labels and spec, as a run notes it; None if a file has no manifest."""
        if self.spec is None or None in self.ids:
            return None
        content = [[os.path.basename(file), ids] for file, ids in zip(self.files, self.ids)]
        facts = {"files": content, "labels": self.labels, "spec": dataclasses.asdict(self.spec)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def record_classes(self):
        """For each file, the class indices of each of its records: `classes`, and for the files that have none there
        what is read from the records themselves, which a line says.

        Raises:
            ValueError: a record of a class that is none of the labels.
        """
        known = self.classes or (None,) * len(self.files)
        silent = [file for file, classes in zip(self.files, known) if classes is None]
        if silent:
            notice(f"the classes of {len(silent)} files of records are read from the records, first {silent[0]}")
        found = []
        for file, classes in zip(self.files, known):
            if classes is None:
                classes = tuple(context.indices for context in contexts.read(file))
            highest = max((index for indices in classes for index in indices), default=-1)
            if self.labels and highest >= len(self.labels):
                raise ValueError(f"{file}: classes are among the {len(self.labels)} labels. Received: {highest}")
            found.append(classes)
        return tuple(found)

    @functools.cached_property
    def counts(self):
        """How many records each class has: a tuple as long as the labels, or, without labels, up to the highest class.

        A record of several classes counts for each of them.

        Raises:
            ValueError: as `record_classes`.
        """
        counts = collections.Counter(i for file in self.record_classes for indices in file for i in indices)
        return tuple(counts[index] for index in range(len(self.labels) or max(counts, default=-1) + 1))

    def shard(self, index, count):
        """Returns every `count`-th file from `index` on, as (numbers in `files`, Source)."""
        if not 0 <= index < count:
            raise ValueError(f"shard=(index, count) needs 0 <= index < count. Received: shard={(index, count)}")
        if count > len(self.files):
            raise ValueError(
                f"Every one of {count} shards needs a file of its own. Received: {len(self.files)} files of records. "
                f"Build the records with --shards={count} or a multiple of it."
            )
        numbers = tuple(range(index, len(self.files), count))
        pick = {name: tuple(getattr(self, name)[i] for i in numbers) for name in ("files", "ids", "sizes", "classes")}
        return numbers, dataclasses.replace(self, **pick)


def find(pattern):
    """Finds files of records and reads the manifests next to them.

    Args:
        pattern: a folder, which holds one split and nothing unfinished; a glob; or a list of files. Local, gs://, or,
            with tensorflow-io, s3://, az:// and hdfs://. A path that is there is no glob, nor is the folder of one.

    Returns:
        A Source; the files in the order of their names, or as listed.

    Raises:
        FileNotFoundError: nothing there, or not all of a data set.
        ValueError: a folder of several splits, a file that its manifest does not name, manifests that disagree.
        ImportError: a remote file system that needs tensorflow-io.
    """
    if isinstance(pattern, Source):
        return pattern
    if isinstance(pattern, str | os.PathLike):
        pattern = os.fspath(paths.expand(pattern))
        check_file_system([pattern])
        files, manifests = _files(pattern)
    else:
        files, manifests = [os.fspath(paths.expand(file)) for file in pattern], None
        check_file_system(files)
        _check_there(files, pattern)
    if manifests is None:
        manifests = _manifests(files)
    if not files:
        raise FileNotFoundError(f"No files of records: pattern={pattern!r}. {_REMEDY}")
    source = _source(files, manifests)
    return source if any(manifests) else _labelled(source)


def find_each(patterns):
    """Finds the files of several data sets that are read together.

    Args:
        patterns: {name: pattern as for `find`}.

    Returns:
        {name: Source}.

    Raises:
        ValueError: none, one without a manifest or records, two whose manifests differ in more than their labels, or
            that have a file in common; and as `find`.
    """
    sources = {name: find(pattern) for name, pattern in patterns.items()}
    if not sources:
        raise ValueError("Data sets are given as {name: records}. Received: none")
    first = next(iter(sources.values()))
    seen = {}
    for name, source in sources.items():
        if source.spec is None or not source.records:
            raise ValueError(
                "Data sets that are read together have manifests, as `keras-i3d records` writes them. Received: "
                f"{name}, {patterns[name]}"
            )
        manifest.check_same("The records", first.spec, source.spec, first.files[0], source.files[0])
        if twice := [file for file in source.files if file in seen]:
            raise ValueError(
                f"Each data set has records of its own. Received: {twice[0]} in {seen[twice[0]]} and {name}. Several "
                "files of one data set are one pattern, or a list."
            )
        seen |= dict.fromkeys(source.files, name)
    return sources


def check_one_class(sources):
    """Raises ValueError unless the records of several data sets, {name: Source}, show one class each."""
    for name, source in sources.items():
        if source.labelling != "single":
            raise ValueError(
                "Data sets that are read together have one class a video. Received: "
                f"{name}, whose labelling is {source.labelling}. Take it alone."
            )


def read_one(pattern, which):
    """Returns one record, decoded, as `records.decode` gives it.

    Args:
        pattern: as for `find`. Of a folder of several splits a place is one in the first, and a line names the others.
        which: its id, or its place among all records, from 0, as text.

    Raises:
        ValueError: there is no such record, or it cannot be read; and as `find`.
    """
    count = 0
    for file, number, id in _each(_first_split(pattern, which)):
        if which in (str(count), id):
            return _decoded(file, number, id)
        count += 1
    if not count:
        raise ValueError(
            f"{pattern} has no record that can be read: it is empty, damaged, or no file of records. A video is known "
            "by its suffix, such as .mp4."
        )
    raise ValueError(
        f"{pattern} has no record {which!r}. It has {count} records: give a place in 0..{count - 1}, or an id."
    )


def _first_split(pattern, which):
    """Returns the Source that `which` is looked for in: for an id all splits of a folder."""
    folder = paths.expand(pattern)
    if not isinstance(folder, str | os.PathLike) or not tf.io.gfile.isdir(os.fspath(folder)):
        return find(pattern)
    folder = os.fspath(folder)
    splits = _splits(folder)
    if len(splits) < 2:
        return find(folder)
    if not which.isdecimal():
        return find([os.path.join(folder, name) for names in splits.values() for name in names])
    first, *others = splits
    glob = os.path.join(folder, others[0]) + ("-*" if manifest.SHARD.fullmatch(splits[others[0]][0]) else "")
    notice(f"{folder} holds {first} and {', '.join(others)}: this is {first}; choose another by a glob: {glob}")
    return find([os.path.join(folder, name) for name in splits[first]])


def _each(source):
    """Yields (file, number in it, id) of every record, from the manifests if there are some."""
    for file, ids in zip(source.files, source.ids):
        if ids is None:
            ids = _ids(file)
        yield from ((file, number, id) for number, id in enumerate(ids))


def _ids(file):
    """Yields the ids of the records of a third-party file, "" for one that is no SequenceExample, up to damage."""
    for raw in framing.dataset(file).ignore_errors():
        try:
            yield sequence_example.parse(raw)["id"].numpy().decode(errors="replace")
        except tf.errors.OpError:
            yield ""


def _decoded(file, number, id):
    try:
        return sequence_example.decode(sequence_example.read(file, number))
    except IndexError as error:
        raise ValueError(f"{file} cannot be read beyond its first {number} records, or fewer: it is damaged") from error
    except (tf.errors.OpError, ValueError) as error:
        said = tensorflow_message(error) if isinstance(error, tf.errors.OpError) else error
        raise ValueError(f"{file}: {id or f'record {number}'} is no record that can be shown ({said})") from error


_REMEDY = "Give a folder, a glob such as FOLDER/train-*, or a list of files; `keras-i3d records` writes them."


def check_file_system(files):
    """Imports tensorflow-io where a path needs it, or raises ImportError with what to install."""
    needed = [path for path in files if path.startswith(IO_SCHEMES)]
    if not needed:
        return
    scheme = needed[0].partition("//")[0] + "//"
    stack = f"Files at {scheme} (tensorflow-io 0.37.1 with TensorFlow 2.16, which the extra io brings)"
    if not tf.__version__.startswith("2.16."):
        raise ImportError(f"{stack} cannot be read by TensorFlow {tf.__version__}. Run: pip install 'keras-i3d[io]'")
    try:
        import tensorflow_io  # noqa: F401
    except ImportError as error:
        raise missing_package("tensorflow_io", "'keras-i3d[io]'", stack) from error


def _files(pattern):
    """Returns the files of a folder or a glob, and their manifests if these were read for it."""
    if not tf.io.gfile.isdir(pattern):
        there = tf.io.gfile.exists(pattern)
        files = [pattern] if there else tf.io.gfile.glob(paths.pattern(pattern, tf.io.gfile.isdir))
        return sorted(file for file in files if not file.endswith((".part", ".json", "/"))), None
    splits = _splits(pattern)
    shards = [name for names in splits.values() for name in names]
    sharded = [match for name in shards if (match := manifest.SHARD.fullmatch(name))]
    if sharded and len(splits) > 1:
        raise ValueError(
            f"A folder of one split is needed. Received: {pattern}, which holds {', '.join(splits)}. "
            f"Choose by a glob: {os.path.join(pattern, sharded[0]['split'])}-*"
        )
    files = [os.path.join(pattern, name) for name in shards]
    manifests = _manifests(files)
    if sharded and not any(manifests) and len(sharded) < int(sharded[0]["count"]):
        raise FileNotFoundError(
            f"{pattern} holds {len(sharded)} of {int(sharded[0]['count'])} files of {min(splits)} and no manifest: it "
            "is unfinished. Finish it, or choose files by a glob."
        )
    for path, content in {os.path.dirname(f): m for f, m in zip(files, manifests) if m}.items():
        _check_there([os.path.join(path, shard.name) for shard in content.shards], pattern)
    return files, manifests


def _splits(folder):
    """Returns {split, or name of a third-party file: names of its files} of a folder, both in order."""
    splits = {}
    for name in sorted(tf.io.gfile.listdir(folder)):
        match = manifest.SHARD.fullmatch(name)
        if match or name.endswith(".tfrecord"):
            splits.setdefault(match["split"] if match else name, []).append(name)
    return dict(sorted(splits.items()))


def _check_there(files, pattern):
    """Raises FileNotFoundError if one of the files is not there."""
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        missing = [file for file, there in zip(files, threads.map(tf.io.gfile.exists, files)) if not there]
    if missing:
        raise FileNotFoundError(f"{len(missing)} of {len(files)} files of {pattern} are not there, first {missing[0]}")


def _manifests(files):
    """Returns for each file its Manifest, or None; each is read once."""
    known = {}

    def of(file):
        match = manifest.SHARD.fullmatch(os.path.basename(file))
        if not match:
            return None
        key = os.path.dirname(file), match["split"]
        if key not in known:
            known[key] = manifest.of_shard(file)
        return known[key]

    return [of(file) for file in files]


def _source(files, manifests):
    spec, labels, labelling, where = None, (), "single", None
    for file, content in zip(files, manifests):
        if content is None:
            continue
        if where is not None:
            manifest.check_same("The records", spec, content.spec, where, file)
            if labels != content.labels:
                raise ValueError(
                    f"The labels of {where} and {file} must agree. Received: {_differing(labels, content.labels)}"
                )
            if labelling != content.labelling:
                raise ValueError(
                    f"The records of {where} and {file} must be labelled alike. Received: {labelling} and "
                    f"{content.labelling}"
                )
        spec, labels, labelling, where = content.spec, content.labels, content.labelling, file
    ids, classes = [], []
    for file, content in zip(files, manifests):
        by_name = {shard.name: shard for shard in content.shards} if content else {}
        if content and os.path.basename(file) not in by_name:
            raise ValueError(f"{file} is not one of the files that its manifest {content.split}.json names")
        ids.append(by_name[os.path.basename(file)].ids if content else None)
        classes.append(by_name[os.path.basename(file)].classes if content else None)
    twice = [file for file, count in collections.Counter(files).items() if count > 1]
    if twice:
        raise ValueError(f"Each file of records is read once. Received more than once: {twice[0]}")
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        sizes = threads.map(lambda f, i: tf.io.gfile.stat(f).length if i is None else None, files, ids)
        return Source(tuple(files), tuple(ids), tuple(sizes), spec, labels, labelling, tuple(classes))


def _labelled(source):
    """A Source of third-party files: "multi" if one of the first records that can be read has several labels."""
    count = LOOKED_AT if not framing.is_remote(source.files[0]) else 1
    for context in itertools.islice(contexts.read(source.files[0]), count):
        if len(context.indices) > 1:
            notice(f"{source.files[0]}: records have several labels each, so labelling=multi is taken")
            return dataclasses.replace(source, labelling="multi")
    return source


def _differing(first, second):
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} labels"
    place = next(i for i, (a, b) in enumerate(zip(first, second)) if a != b)
    return f"{first[place]!r} and {second[place]!r} at index {place}"
