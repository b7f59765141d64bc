"""The files of TensorFlow's checkpoints, looked through before TensorFlow reads them.

Its reader takes lengths as they are written, and a wrong one ends the process, not the call. Both formats are sorted
string tables (LevelDB's): blocks of keys and values, then an index of the blocks, then a footer that says where that
is. TensorFlow compresses none. In the second format a PREFIX.index holds a BundleEntryProto a variable, and the values
lie in PREFIX.data-NNNNN-of-NNNNN; the first format is one file of SavedTensorSlices.
"""

import hashlib
import math
import mmap
import os
import re
import struct

from keras_i3d import stored
from keras_i3d.errors import WeightsError, missing_package, one_line

MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
FOOTER = 48
TRAILER = 5  # bytes after a block: its compression, its CRC
LONG = 1 << 20  # no key is as long


def index(path):
    """Returns {variable: BundleEntryProto} of a `.index` file, whether or not its data is there.

    Raises:
        ValueError, OSError, or what protobuf raises for damage: it cannot be read.
    """
    from tensorflow.core.protobuf import tensor_bundle_pb2

    entries = {}
    for key, value in _table(path):
        if key:
            entries[key.decode()] = tensor_bundle_pb2.BundleEntryProto.FromString(value)
        else:
            header = tensor_bundle_pb2.BundleHeaderProto.FromString(value)
    if header.num_shards < 1 or header.endianness != header.LITTLE:
        raise ValueError("its header is of no checkpoint that is read here")
    return entries


def crcs(path):
    """Returns {variable: masked crc32c} of a checkpoint's `.index` file, whether or not its data is there.

    TensorFlow reads that file and does not give out the CRCs.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return {name: entry.crc32c for name, entry in index(path).items()}
    except Exception as error:
        raise WeightsError(f"{path}: not the index of a TensorFlow checkpoint ({one_line(error)})") from error


def crc_digest(path):
    """Returns the sha256 over the lines "variable crc32c" of a `.index` file, sorted: it is of the tensors alone.

    An index also holds where each tensor lies, so that a checkpoint that was saved again has another one.
    """
    return hashlib.sha256("".join(f"{name} {crc}\n" for name, crc in sorted(crcs(path).items())).encode()).hexdigest()


def check(prefix):
    """Raises ValueError, OSError or the like if the files of a checkpoint do not hold what they declare.

    Args:
        prefix: path of the checkpoint, of either format.

    Returns:
        The names of its variables of numbers, sorted; texts are TensorFlow's own notes.
    """
    if not os.path.exists(f"{prefix}.index"):
        return _check_first(prefix)
    names, folder, begin = [], os.path.dirname(prefix) or ".", f"{os.path.basename(prefix)}.data-"
    shards = {int(name[len(begin) :][:5]): name for name in os.listdir(folder) if _is_shard(name, begin)}
    places = {number: os.path.join(folder, name) for number, name in shards.items()}
    if pipes := [place for place in places.values() if not (os.path.isfile(place) or os.path.isdir(place))]:
        raise ValueError(f"a regular file is needed. Received: {os.path.basename(pipes[0])}")
    sizes = {number: os.path.getsize(place) for number, place in places.items() if os.path.isfile(place)}
    for name, entry in index(f"{prefix}.index").items():
        if entry.slices:
            raise ValueError(f"{name} is stored in slices, which is not read")
        size = _bytes(name, entry.dtype, entry.shape)
        if size is None:
            continue
        if size != entry.size or entry.offset < 0:
            raise ValueError(f"{name} declares {size} bytes, and {entry.size} are stored")
        if entry.shard_id in sizes and entry.offset + size > sizes[entry.shard_id]:
            raise ValueError("its data is shorter than its index says: copy it again")
        names.append(name)
    return sorted(names)


def is_first_format(path):
    """Whether a file ends as one of TensorFlow's first format does."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - len(MAGIC), 0))
        return file.read() == MAGIC


def _is_shard(name, begin):
    number, _, count = name.removeprefix(begin).partition("-of-")
    return name.startswith(begin) and len(number) == len(count) == 5 and (number + count).isdecimal()


def _check_first(path):
    from tensorflow.core.util import saved_tensor_slice_pb2

    names, declared = [], 0
    for key, value in _table(path):
        record = saved_tensor_slice_pb2.SavedTensorSlices.FromString(value)
        if not key:
            for tensor in record.meta.tensor:
                size = _bytes(tensor.name, tensor.type, tensor.shape)
                if size is not None:
                    names.append(tensor.name)
                    declared += size
    # A number takes one byte at least as it is stored, and eight or, if complex, sixteen in memory.
    if declared > 16 * os.path.getsize(path):
        raise ValueError(f"it declares {declared} bytes, and {os.path.getsize(path)} are stored")
    return sorted(names)


def _bytes(name, dtype, shape):
    """How many bytes a variable has in memory; None for text."""
    import tensorflow as tf

    kind = tf.dtypes.as_dtype(dtype)
    if kind == tf.string:
        return None
    if not (kind.is_floating or kind.is_integer or kind.is_bool or kind.is_complex) or kind.is_quantized:
        raise ValueError(f"{name[:200]} is no array of numbers")
    sizes = [dimension.size for dimension in shape.dim]
    if shape.unknown_rank or min(sizes, default=0) < 0 or len(sizes) > 32 or math.prod(filter(None, sizes)) >= 1 << 60:
        raise ValueError(f"{name[:200]} has a shape that no array has")
    return math.prod(sizes) * kind.size


def _table(path):
    """Yields (key, value) of a sorted string table, every length compared with what is there."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size < FOOTER:
            raise ValueError("not an sstable: it is too short")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            footer = content[-FOOTER:]
            if footer[-len(MAGIC) :] != MAGIC:
                raise ValueError("not an sstable: it does not end as one")
            handle, at = _handle(footer, 0)
            _entries(_block(content, handle))
            handle, _ = _handle(footer, at)
            last = 0
            for _, value in _entries(_block(content, handle)):
                handle, _ = _handle(value, 0)
                if handle[0] < last:
                    raise ValueError("its blocks overlap")
                last = sum(handle)
                yield from _entries(_block(content, handle))


def _block(content, handle):
    offset, size = handle
    if offset + size + TRAILER > len(content) - FOOTER:
        raise ValueError("a block lies beyond its end")
    if content[offset + size]:
        raise ValueError("a block is compressed, which TensorFlow does not write")
    return content[offset : offset + size]


def _entries(block):
    """Returns [(key, value)] of a table block, whose keys are stored as what differs from the key before."""
    (count,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (count + 1)
    if end < 0:
        raise ValueError("a block is shorter than its list of places")
    at, key, found, whole = 0, b"", [], {0}
    while at < end:
        begin = at
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        size, at = _varint(block, at)
        if shared > len(key) or at + rest + size > end or shared + rest > LONG:
            raise ValueError("an entry lies beyond the end of its block")
        if not shared:
            whole.add(begin)
        key = key[:shared] + block[at : at + rest]
        at += rest
        found.append((key, block[at : at + size]))
        at += size
    if not whole.issuperset(struct.unpack(f"<{count}I", block[end : len(block) - 4])):
        raise ValueError("a block's list of places is wrong")
    return found


def _handle(data, at):
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a length has more digits than any")


# What optimizers and averages leave in a checkpoint in addition to the model.
SLOTS = re.compile(r"/(Momentum|Adam(_1)?|RMSProp(_1)?|ExponentialMovingAverage)$|(^|/)(global_step|beta[12]_power)$")


def checkpoint_prefix(path):
    """Returns the prefix of a TensorFlow checkpoint, also for the path of its `.index` or `.data-...` file."""
    return re.sub(r"\.(index|data-\d+-of-\d+)$", "", str(path))


def read(prefix):
    """Returns {name: array} of a TensorFlow checkpoint, without what optimizers left in it."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise missing_package("tensorflow", "tensorflow", "Reading a TensorFlow checkpoint") from error
    if os.path.isdir(prefix):  # TensorFlow would take the newest checkpoint in it, under a name that nobody gave
        found = sorted(name for name in os.listdir(prefix) if name.endswith(".index"))
        such = f": {os.path.join(prefix, checkpoint_prefix(found[0]))}" if found else "; there is none"
        raise WeightsError(f"{prefix} is a folder. Pass the prefix of a checkpoint in it{such}.")
    try:
        names = [name for name in check(str(prefix)) if not SLOTS.search(name)]
        reader = tf.train.load_checkpoint(str(prefix))
        return {name: reader.get_tensor(name) for name in names}
    except Exception as error:  # of a damaged file TensorFlow says so by a dozen of types, an IndexError among them
        raise WeightsError(f"{prefix}: not a readable TensorFlow checkpoint ({_reason(error, prefix)})") from error


def _reason(error, prefix):
    """One line on what is wrong with the files of a checkpoint."""
    folder, name = os.path.split(str(prefix))
    for other in sorted(os.listdir(folder or ".") if os.path.isdir(folder or ".") else ()):
        path = os.path.join(folder, other)
        if re.fullmatch(re.escape(name) + r"(\.index|\.data-\d+-of-\d+)?", other) and stored.is_pointer(path):
            return f"{other} is a pointer of Git LFS, not the file itself: run git lfs pull"
    said = str(error).strip().splitlines()
    if isinstance(error, IndexError):
        return "its data is shorter than its index says: copy it again"
    return said[0] if said else type(error).__name__
