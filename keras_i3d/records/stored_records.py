"""Records that are there as the source of others: listed by their manifests, and copied byte by byte.

What is copied is a record with its length and checksums, as it lies in its file. The new file is read back with these
checksums, so that damage is found on either side. A record keeps what it says of itself, also the split that it was
made for; which split it is in is what its new manifest says.
"""

import fnmatch
import os

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_i3d import paths
from keras_i3d.errors import BuildError, notice, tensorflow_message
from keras_i3d.records import contexts, framing, manifest, sequence_example
from keras_i3d.records.build_state import manifests
from keras_i3d.records.listing import Listing, Stored

CHECK = "`keras-i3d records --check=DIR` finds all that is damaged"


def records(source):
    """Lists the records of a folder that `records.build` wrote.

    Args:
        source: the folder, whose splits are taken together; or FOLDER/SPLIT or a glob such as FOLDER/train-*, for the
            splits of that name, or that have such files.

    Returns:
        A Listing of Stored records, in the order of the manifests; its split is "all" if there are several.

    Raises:
        ValueError: no manifest there; manifests that disagree; an id that two splits have.
    """
    source = os.fspath(paths.expand(source))
    folder, wanted = (source, None) if tf.io.gfile.isdir(source) else os.path.split(source)
    found = [each for each in manifests(folder or ".") if wanted is None or _is_of(each, wanted)]
    if not found:
        raise ValueError(
            "Records to be divided are a folder with a manifest, SPLIT.json, or FOLDER/SPLIT-* in one. Received: "
            f"{source}"
        )
    first = found[0]
    for other in found[1:]:
        where = [os.path.join(folder, f"{each.split}.json") for each in (first, other)]
        manifest.check_same("The records", first.spec, other.spec, *where)
        for what in ("labels", "labelling"):
            if getattr(first, what) != getattr(other, what):
                raise ValueError(f"The {what} of {where[0]} and {where[1]} must agree. Choose one by {folder}/SPLIT-*")
    if len(found) > 1:
        notice(f"{folder}: its splits {', '.join(each.split for each in found)} are taken together")
    examples = [example for each in found for example in _examples(each, folder)]
    seen = set()
    for example in examples:
        if example.id in seen:
            raise ValueError(
                f"The ids of records are unique. Received: {example.id!r} more than once in {source}. Choose a split "
                f"by {folder}/SPLIT-*"
            )
        seen.add(example.id)
    split = first.split if len(found) == 1 else "all"
    return Listing(first.source, split, first.labels, tuple(examples), (), first.labelling, first.spec)


def _is_of(found, wanted):
    names = (found.split, *(shard.name for shard in found.shards))
    return any(fnmatch.fnmatchcase(name, wanted) for name in names)


def _examples(found, folder):
    """Yields a split's Stored records."""
    damaged = {video["id"]: video for video in found.damaged}
    for shard in found.shards:
        path = os.path.join(folder, shard.name)
        classes = shard.classes
        if classes is None:
            classes = tuple(context.indices for context in contexts.read(path))
            if len(classes) != len(shard.ids):
                raise ValueError(f"{path} has {len(classes)} records, {len(shard.ids)} in its manifest. {CHECK}")
        for place, (id, index) in enumerate(zip(shard.ids, classes)):
            if index and index[-1] >= len(found.labels):
                raise ValueError(f"{path}: {id} has the class {index[-1]}, of {len(found.labels)} labels. {CHECK}")
            label = tuple(found.labels[each] for each in index)
            if found.labelling == "single":
                label, index = (label[0], index[0]) if index else (None, None)
            yield Stored(id, path, label, index, None, None, found.split, (), place, damaged.get(id))


class Frames:
    """The records of files as they lie there, with their lengths and checksums."""

    def __init__(self):
        self._known = {}

    def read(self, example):
        """Returns the bytes of a Stored record, given as a plan has it: a dictionary.

        Raises:
            BuildError: the file has no such record, or is cut short.
        """
        path, place = example["path"], example["place"]
        if path not in self._known:
            self._known[path] = tuple(framing.frames(path))
        if place >= len(self._known[path]):
            raise BuildError(
                f"{path} has {len(self._known[path])} records that can be read, and more in its manifest. {CHECK}"
            )
        begin, size = self._known[path][place]
        with framing.opened(path) as file:
            file.seek(begin)
            return file.read(size)


def check_copied(path, examples):
    """Reads a file of copied records back, with their checksums.

    Raises:
        BuildError: a record is damaged, or is not what the manifest of its source says.
    """
    read = framing.dataset(path).as_numpy_iterator()
    for example in examples:
        source = f"{example['path']}, record {example['place']}"
        try:
            id = sequence_example.record_id(next(read))
        except (tf.errors.OpError, DecodeError, IndexError, StopIteration) as error:
            said = tensorflow_message(error) if isinstance(error, tf.errors.OpError) else "it has no id"
            raise BuildError(f"{source} is damaged ({said}), and cannot be copied. {CHECK}") from error
        if id != example["id"]:
            raise BuildError(f"{source} is {id!r}, and {example['id']!r} in its manifest. {CHECK}")
