"""What a record says of its video, without its pictures: a few hundred bytes at the beginning of each record.

Protocol buffers are written in the order of their fields, so that the context of a SequenceExample comes before its
lists of pictures. Of a local file only the contexts are read, whatever the size of the pictures.
"""

import dataclasses
import os

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_i3d.records import framing

HEAD = 4096  # bytes that hold most contexts
CONTEXT = 0x0A  # the tag of a SequenceExample's first field


@dataclasses.dataclass(frozen=True)
class Context:
    """What one record says of its video.

    Attributes:
        id: "" if it has none, or if its bytes are no SequenceExample.
        indices: its class indices, ascending, each once.
        labels: the names of the classes, in the order that the record has them.
    """

    id: str
    indices: tuple
    labels: tuple


def read(path):
    """Yields the Context of each record of a file, in order, up to where the file is damaged.

    Args:
        path: a file of records. Of one that is not local all bytes are read.

    Raises:
        ValueError, OSError, tf.errors.OpError: no regular file, or none that can be opened.
    """
    for features in _features(os.fspath(path)):
        id = [value.decode(errors="backslashreplace") for value in features["example/id"].bytes_list.value]
        labels = [value.decode(errors="backslashreplace") for value in features["clip/label/string"].bytes_list.value]
        indices = sorted(set(features["clip/label/index"].int64_list.value))
        yield Context(id[0] if id else "", tuple(indices), tuple(labels))


def _features(path):
    if framing.is_remote(path):
        for raw in framing.dataset(path).ignore_errors().as_numpy_iterator():
            yield _parsed(tf.train.SequenceExample, raw).context.feature
        return
    with framing.opened(path) as file:
        for begin, size in framing.frames(path):
            yield _context(file, begin + framing.HEADER, size - framing.FRAME).feature


def _context(file, begin, length):
    """The context of the record whose `length` bytes begin there."""
    file.seek(begin)
    head = file.read(min(length, HEAD))
    size, first = _varint(head, 1)
    if head[:1] != bytes([CONTEXT]) or first + size > length:
        file.seek(begin)
        return _parsed(tf.train.SequenceExample, file.read(length)).context
    if first + size > len(head):
        file.seek(begin)
        head = file.read(first + size)
    return _parsed(tf.train.Features, head[first : first + size])


def _varint(data, at):
    """Returns (the number that begins at a place, the place after it)."""
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    return 0, at


def _parsed(kind, data):
    """A message of protocol buffers; an empty one if the bytes are none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        return kind()
