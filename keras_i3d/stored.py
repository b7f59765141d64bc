"""Files of arrays, in which nothing is believed before it is compared with what the file stores.

An archive or an HDF5 file of a few kilobytes may declare arrays of any size, and an HDF5 file may name other files for
its data. Sizes are compared with the bytes that are there before memory is taken for them, and only what lies in the
file itself is read.
"""

import math
import os
import zipfile

import h5py
import numpy as np

from keras_i3d.errors import one_line

SPARE = 64 << 20  # bytes that anything may unpack to
RATIO = 100  # how many times its stored bytes anything may unpack to beyond that; DEFLATE's own limit is 1032
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
NUMBERS = "fiub"
BFLOAT16 = "V2"  # what HDF5 makes of it


LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_pointer(path):
    """Whether a file is what Git LFS leaves in the place of one that was not fetched."""
    try:
        with open(path, "rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def reason(path, error):
    """One line on why a file cannot be read, which a library said in its own words."""
    if is_pointer(path):
        return "a pointer of Git LFS, not the file itself: run git lfs pull"
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        return "it is empty"
    return one_line(error)


def check_size(declared, stored, what):
    """Raises ValueError if far more bytes are declared than stored ones can unpack to."""
    if declared > max(SPARE, RATIO * stored):
        raise ValueError(f"{what} declares {declared} bytes, and {stored} are stored")


def check_zip(archive, size):
    """Raises ValueError for a zip archive whose members unpack to far more than they store.

    Args:
        archive: a zipfile.ZipFile, which reads no more of a member than it declares.
        size: bytes of the file.
    """
    members = archive.infolist()
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its members overlap, or the file is cut")
    check_size(sum(member.file_size for member in members), size, "the archive")
    for member in members:
        check_size(member.file_size, member.compress_size, member.filename)


def read_npz(path):
    """Returns {name: array} of a `.npz`, its checksums verified, and no shape believed that its bytes do not fill.

    Raises:
        ValueError, or what zipfile and NumPy raise for damage: it cannot be read.
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        check_zip(archive, os.path.getsize(path))
        for member in archive.infolist():
            with archive.open(member) as file:
                _check_header(file, member)
            with archive.open(member) as file:
                arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def _check_header(file, member):
    """Raises ValueError if the shape of an array is not that of its bytes."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{member.filename} is of a version of arrays that is not read: {version}")
    shape, _, dtype = readers[version](file)
    declared, stored = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    if dtype.hasobject or dtype.itemsize < 1 or min(shape, default=0) < 0 or declared != stored:
        raise ValueError(f"{member.filename} is {dtype} {_short(shape)}, {declared} bytes, and has {stored}")


def check_h5(file, size):
    """Raises ValueError unless an HDF5 file is groups and plain arrays of numbers, all stored in the file itself.

    No link but to what lies in it, each thing under one name; no data in other files; no shape that is not stored.

    Args:
        file: an open h5py.File.
        size: bytes of the file.

    Returns:
        How many numbers its arrays have in all.
    """
    seen, groups, numbers, declared, stored = set(), [("", file)], 0, 0, 0
    while groups:
        scope, group = groups.pop()
        for name in group:
            place = f"{scope}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{place[:200]} is a link to somewhere else; only what is stored in the file is read")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or item == file:
                raise ValueError(f"{place[:200]} is there under another name too")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((place, item))
            else:
                amount = _check_dataset(item, place[:200], size)
                numbers += amount
                declared += amount * item.dtype.itemsize
                stored += item.id.get_storage_size()
    if stored > size:
        raise ValueError("its arrays overlap, or the file is cut")
    check_size(declared, stored, "the file")
    return numbers


def _check_dataset(dataset, place, size):
    """Returns how many numbers a dataset has; raises ValueError unless they are in the file."""
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{place} is no array")
    settings = dataset.id.get_create_plist()
    if settings.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise ValueError(f"{place} is put together of other files; only what is stored in the file is read")
    if settings.get_external_count():
        raise ValueError(f"{place} lies in another file; only what is stored in the file is read")
    filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    if not FILTERS.issuperset(filters):
        raise ValueError(f"{place} is compressed by a filter that is not used for weights")
    if dataset.shape is None or not (dataset.dtype.kind in NUMBERS or dataset.dtype.str == f"|{BFLOAT16}"):
        raise ValueError(f"{place} is no array of numbers")
    amount, stored = math.prod(dataset.shape), dataset.id.get_storage_size()
    declared = amount * dataset.dtype.itemsize
    if stored > size or (not filters and stored < declared):
        raise ValueError(f"{place} declares {declared} bytes, and {min(stored, size)} are stored")
    check_size(declared, stored, place)
    return amount


def _short(shape):
    return str(shape) if len(str(shape)) <= 60 else f"{str(shape)[:60]}..."
