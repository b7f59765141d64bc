"""What a folder of records holds: `SPLIT.json` next to the shards of each split."""

import dataclasses
import json
import os
import re

import tensorflow as tf

from keras_i3d import atomic
from keras_i3d.errors import one_line
from keras_i3d.records.video_files import regular
from keras_i3d.specs import LABELLINGS, RecordSpec
from keras_i3d.version import __version__

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records, complete.

    Attributes:
        name: of the file.
        ids: of its records, in their order.
        bytes: its size.
        classes: for each record the indices of its classes, ascending, none for one without a label; None if whoever
            wrote the manifest did not note them.
    """

    name: str
    ids: tuple
    bytes: int
    classes: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A split of a data set of records.

    Attributes:
        split: "train", ...
        labels: class names; the place in the list is the class index.
        spec: the RecordSpec by which every record was made.
        shards: the Shards, in order.
        failed: {"id", "path", "reason"} of each video that could not be used.
        missing: {"id", "path"} of each video that was listed and not there.
        source: what it was built from, for people.
        version: the package's, when it was built.
        damaged: {"id", "path", "packets", "cut_short"} of each video that was written in spite of damage: how many
            packets could not be decoded, and whether its file lacks a part.
        labelling: "single", "multi" or "timed", as of `specs.LABELLINGS`.
        plan: a hash of everything that the shards were made from.
    """

    split: str
    labels: tuple
    spec: RecordSpec
    shards: tuple
    failed: tuple = ()
    missing: tuple = ()
    source: str = ""
    version: str = __version__
    damaged: tuple = ()
    plan: str = ""
    labelling: str = "single"

    @property
    def records(self):
        """How many records the split has."""
        return sum(len(shard.ids) for shard in self.shards)

    def write(self, folder, temporary_in=None):
        """Writes `folder`/SPLIT.json, its temporary file in the folder `temporary_in`; returns its path."""
        path = os.path.join(folder, f"{self.split}.json")
        write_json(path, {"format": FORMAT, **dataclasses.asdict(self)}, temporary_in)
        return path


def read(path):
    """Reads a Manifest, or raises ValueError with what is wrong with the file.

    Raises:
        ValueError: it is damaged, or of another version.
        OSError, tf.errors.OpError: there is no such file, or it cannot be opened.
    """
    try:
        with _opened(path) as file:
            content = json.load(file)
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        shards = tuple(shard(**each) for each in _list(content.pop("shards"), "shards"))
        lists = {name: tuple(_list(content.pop(name), name)) for name in ("labels", "failed", "missing", "damaged")}
        if not all(isinstance(label, str) for label in lists["labels"]):
            raise ValueError("labels are text")
        for name in ("failed", "missing", "damaged"):
            videos(lists[name], name)
        if content.get("labelling", "single") not in LABELLINGS:
            raise ValueError(f"labelling is one of {', '.join(LABELLINGS)}")
        if not all(isinstance(value, str) for value in content.values() if not isinstance(value, dict)):
            raise ValueError(f"{', '.join(name for name in content if name != 'spec')} are text")
        return Manifest(spec=_spec(**content.pop("spec")), shards=shards, **lists, **content)
    except (OSError, tf.errors.OpError):
        raise
    except Exception as error:  # of damaged text, or of values of other kinds: any of a dozen of types
        said = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"{path} is not a manifest of records that this version reads: {said}") from error


LARGE = 1_000_000  # of what no record has as many: frames per second, pixels


def _list(value, name):
    if not isinstance(value, list):
        raise ValueError(f"{name} are a list")
    return value


def videos(found, name):
    """Raises ValueError unless they are tables of videos, as `Manifest.failed` has them."""
    if not all(isinstance(video, dict) and isinstance(video.get("id"), str) for video in found):
        raise ValueError(f"{name} are tables of videos, by their ids")


def _spec(**content):
    """A RecordSpec of numbers that are numbers, and not too large to be any video's."""
    spec = RecordSpec(**content)
    for name, kinds in (("fps", (int, float)), ("short_side", int), ("quality", int), ("flow_bound", (int, float))):
        value = getattr(spec, name)
        if isinstance(value, bool) or not isinstance(value, kinds) or value > LARGE:
            raise ValueError(f"{name} is no number that records have")
    return spec


def _opened(path):
    """Opens a text file, by `tf.io.gfile` if it is not local; a pipe in its place would be waited for."""
    path = os.fspath(path)
    return tf.io.gfile.GFile(path) if "://" in path else open(path, encoding="utf-8", opener=regular)


def shard(name, ids, bytes, classes=None):
    """A Shard of a manifest, whose name is that of a file in the same folder, not a path to somewhere else."""
    if os.path.basename(name) != name or not all(isinstance(id, str) for id in _list(ids, "ids")):
        raise ValueError(f"a shard is named as a file next to the manifest, its ids are text; received {name!r}")
    if type(bytes) is not int or bytes < 0:
        raise ValueError(f"the bytes of {name} are a number")
    if classes is not None:
        each = [_list(indices, "the classes of a record") for indices in _list(classes, "classes")]
        if len(each) != len(ids) or not all(type(i) is int and i >= 0 for indices in each for i in indices):
            raise ValueError(f"the classes of {name} are lists of class indices, one for each id")
        classes = tuple(map(tuple, each))
    return Shard(name, tuple(ids), bytes, classes)


def of_shard(path):
    """Returns the Manifest that a file of records belongs to, or None for a third-party file."""
    split = split_of(os.path.basename(path))
    own = split and os.path.join(os.path.dirname(path), f"{split}.json")
    return read(own) if own and tf.io.gfile.exists(own) else None


# The one name of a shard. Other writers of TFRecords often leave the ending out.
SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\.tfrecord)?")


def shard_name(split, number, count):
    """Returns "SPLIT-00000-of-00004.tfrecord"."""
    return f"{split}-{number:05}-of-{count:05}.tfrecord"


def split_of(name):
    """Returns the split of a file that is named by `shard_name`; None for any other file."""
    found = SHARD.fullmatch(name)
    return found["split"] if found and found["ending"] else None


def check_same(name, first, second, where_first, where_second):
    """Raises ValueError with both values if two dataclasses of one kind, such as RecordSpec, disagree."""
    if first != second:
        a, b = dataclasses.asdict(first), dataclasses.asdict(second)
        differing = "; ".join(f"{key}: {a[key]!r} and {b[key]!r}" for key in a if a[key] != b[key])
        raise ValueError(f"{name} of {where_first} and {where_second} must agree. Received: {differing}")


def write_json(path, content, temporary_in=None):
    """Writes a JSON file, local or not; see `write`."""
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(), temporary_in)


def write_bytes(path, content, temporary_in=None):
    """Writes bytes to a file, local or not, whose temporary file lies in the folder `temporary_in`, or next to it."""
    path = os.fspath(path)
    with atomic.replacing_by(tf.io.gfile, path, temporary_in) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(content)
