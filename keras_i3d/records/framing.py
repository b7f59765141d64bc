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


def whole_records(path):
    """Returns how many records lie before the first whose length is beyond the file's end; -1 if there is none.

    Args:
        path: a file. One that is not local is not looked at, as each length would be a request: -1.

    Raises:
        ValueError, OSError: no regular file; see `files.regular`.
    """
    path = os.fspath(path).removeprefix("file://")
    if "://" in path:
        return -1
    with open(path, "rb", buffering=0, opener=regular) as file:
        size = os.fstat(file.fileno()).st_size
        at = number = 0
        while size - at >= HEADER:
            file.seek(at)
            length = int.from_bytes(file.read(8), "little")
            if length > size - at - FRAME:
                return number
            at += length + FRAME
            number += 1
    return -1


def whole_records_of(paths):
    """Returns `whole_records` of each path, looked for in several files at once."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(whole_records, paths))


def dataset(path):
    """Returns the records of a file as a tf.data.Dataset of bytes, which ends before a length that cannot be."""
    return tf.data.TFRecordDataset(path).take(whole_records(path))
