"""Files that are a table of named arrays and nothing else: `.safetensors`, and `.params` of MXNet.

Both are read here: neither needs more than these lines, and each place and length in them is compared with the bytes
that are there.
"""

import json
import math

import numpy as np

BFLOAT16 = "bfloat16"  # which NumPy does not know
SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
HEADER = 100_000_000  # bytes, the format's own limit
PARAMS = (0x112).to_bytes(8, "little")  # what a `.params` begins with
PARAMS_DENSE = {0xF993FAC8: 0, 0xF993FAC9: 4, 0xF993FACA: 4}  # what begins an array: bytes of its kind of storage
PARAMS_DTYPES = ("<f4", "<f8", "<f2", "|u1", "<i4", "|i1", "<i8", "|b1")


def itemsize(dtype):
    """Bytes of a number of a dtype, `BFLOAT16` too."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def numbers(content, dtype):
    """Returns the numbers that these bytes are, not copied; bfloat16 as float32."""
    if dtype == BFLOAT16:
        return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(content, dtype)


def read_safetensors(path):
    """Returns {name: array} of a `.safetensors`, of any kind of number that NumPy or float32 can hold.

    Raises:
        ValueError: it cannot be read: its arrays must fill it, one after the other, as the format has it.
    """
    content = memoryview(path.read_bytes())
    if len(content) < 8:
        raise ValueError("it is cut")
    length = int.from_bytes(content[:8], "little")
    if length > min(HEADER, len(content) - 8):
        raise ValueError(f"a header of {length} bytes, and {len(content) - 8} are stored")
    header = json.loads(str(content[8 : 8 + length], "utf-8"), object_pairs_hook=_once)
    data, entries = content[8 + length :], []
    if not isinstance(header, dict):
        raise ValueError("a header that is no table")
    for name, entry in header.items():
        if name != "__metadata__":
            entries.append((*_span(name, entry), name))
    arrays, end = {}, 0
    for start, stop, dtype, shape, name in sorted(entries, key=lambda entry: entry[:2]):
        if start != end:
            raise ValueError(f"{name} begins at byte {start} of the data, where {end} is next")
        if stop > len(data):
            raise ValueError(f"{name} ends at byte {stop} of the data, and {len(data)} are stored")
        arrays[name] = numbers(data[start:stop], dtype).reshape(shape)
        end = stop
    if end != len(data):
        raise ValueError(f"its arrays are {end} bytes, and {len(data)} are stored")
    return {name: arrays[name] for name in header if name in arrays}


def _once(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _span(name, entry):
    """(first byte, byte after the last, dtype, shape) of what a header says of an array."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise ValueError(f"{name} has no dtype, shape and place")
    dtype, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SAFETENSORS:
        raise ValueError(f"{name} is of {dtype!r}, which is none of {', '.join(SAFETENSORS)}")
    for each in (shape, place):
        if not isinstance(each, list) or len(each) > 32 or not all(type(n) is int and n >= 0 for n in each):
            raise ValueError(f"{name} has a shape or place that none has")
    size = math.prod(shape) * itemsize(SAFETENSORS[dtype])
    if len(place) != 2 or place[1] - place[0] != size:
        raise ValueError(f"{name} declares {size} bytes, and is stored in {place}")
    return *place, SAFETENSORS[dtype], shape


def read_params(path):
    """Returns {name: array} of a `.params` of MXNet (Gluon): the dense arrays of `mxnet.nd.save` of a dictionary.

    The layout, in little-endian numbers: eight bytes that say so, eight zeros, how many arrays (8 bytes). Of each: its
    magic (4), kind of storage (4), rank (4), sizes (8 each), device (4 + 4), dtype (4), content. Then how many names
    (8), and of each its length (8) and text. An array of before version 1 begins with its rank; its sizes take 4 bytes.

    Raises:
        ValueError: it cannot be read, or it holds sparse arrays.
    """
    take = _taker(memoryview(path.read_bytes()))
    if bytes(take(8)) != PARAMS:
        raise ValueError("it does not begin as one")
    take(8)
    arrays = [_param(take) for _ in _counted(take, "arrays")]
    names = [bytes(take(_number(take, 8))).decode() for _ in _counted(take, "names")]
    if len(names) != len(arrays) or len(set(names)) != len(names):
        raise ValueError(f"{len(arrays)} arrays, and {len(set(names))} names")
    # Of a network saved with its graph, "arg:" are the weights and "aux:" the statistics.
    return {name.removeprefix("arg:").removeprefix("aux:"): array for name, array in zip(names, arrays)}


def _taker(content):
    """A function that returns the next so many bytes."""
    at = 0

    def take(size):
        nonlocal at
        if size > len(content) - at:
            raise ValueError(f"it is cut: {size} bytes are next, and {len(content) - at} are stored")
        at += size
        return content[at - size : at]

    return take


def _number(take, width):
    return int.from_bytes(take(width), "little")


def _counted(take, what):
    count = _number(take, 8)
    if count > 1 << 20:
        raise ValueError(f"{count} {what}")
    return range(count)


def _param(take):
    first = _number(take, 4)
    rank = first
    if first in PARAMS_DENSE:
        if _number(take, PARAMS_DENSE[first]):
            raise ValueError("a sparse array")
        rank = _number(take, 4)
    if rank > 32:
        raise ValueError("an array of a later version")
    shape = [_number(take, 8 if first in PARAMS_DENSE else 4) for _ in range(rank)]
    if not rank and first != 0xF993FACA:
        raise ValueError("an array without a shape: its network was saved before it had weights")
    take(8)  # the device
    kind = _number(take, 4)
    if kind >= len(PARAMS_DTYPES):
        raise ValueError(f"an array of MXNet's dtype {kind}")
    dtype = np.dtype(PARAMS_DTYPES[kind])
    return np.frombuffer(take(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
