"""The framing of a TFRecord file: how far the lengths in it can be believed.

A record is its length (8 bytes, little endian), a checksum of that, its bytes, and a checksum of them. TensorFlow's
reader sets aside what a length claims before it looks for the bytes. Where memory has no such place the process ends
by a signal, so a length is compared with the file before TensorFlow reads it. Only the lengths are read here: one
small read a record, whatever its size.
"""

import concurrent.futures
import os

import tensorflow as tf

from keras_i3d.records.video_files import regular

HEADER, FRAME = 12, 16  # bytes before a record, and around it
AT_ONCE = 16
LOCAL = "file://"


def whole_records(path):
    """Returns how many records lie before the first whose length is beyond the file's end; -1 if there is none.

    Args:
        path: a file. One that is not local is not looked at, as each length would be a request: -1.

    Raises:
        ValueError, OSError: no regular file; see `video_files.regular`.
    """
    if is_remote(path):
        return -1
    number = end = 0
    for begin, size in frames(path):
        number, end = number + 1, begin + size
    return number if os.path.getsize(os.fspath(path).removeprefix(LOCAL)) - end >= HEADER else -1


def frames(path):
    """Yields (first byte, bytes) of each record in its file, with its length and checksums, up to what cannot be.

    Raises:
        ValueError, OSError, tf.errors.OpError: no regular file, or none that can be opened.
    """
    with opened(path) as file:
        size, at = file.seek(0, os.SEEK_END) if not is_remote(path) else file.size(), 0
        while size - at >= HEADER:
            file.seek(at)
            length = int.from_bytes(file.read(8), "little")
            if length > size - at - FRAME:
                return
            yield at, length + FRAME
            at += length + FRAME


def opened(path):
    """Opens a file of records for reading bytes anywhere in it."""
    if is_remote(path):
        return tf.io.gfile.GFile(path, "rb")
    return open(os.fspath(path).removeprefix(LOCAL), "rb", buffering=0, opener=regular)


def is_remote(path):
    """Whether a file is on another machine, so that each small read is a request."""
    return "://" in os.fspath(path).removeprefix(LOCAL)


def whole_records_of(paths):
    """Returns `whole_records` of each path, looked for in several files at once."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(whole_records, paths))


def dataset(path):
    """Returns the records of a file as a tf.data.Dataset of bytes, which ends before a length that cannot be."""
    return tf.data.TFRecordDataset(path).take(whole_records(path))
