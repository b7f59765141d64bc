"""Files as PyTorch, Caffe2, MXNet and safetensors write them, made without any of them: sound ones, and bent ones."""

import collections
import dataclasses
import io
import json
import math
import pickle
import struct
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C  # of the format of before 1.6
KINDS = {  # of a storage, and its bytes
    "float64": "Double",
    "float32": "Float",
    "float16": "Half",
    "int64": "Long",
    "int32": "Int",
    "int16": "Short",
    "int8": "Char",
    "uint8": "Byte",
    "bool": "Bool",
}


@dataclasses.dataclass(frozen=True)
class Named:
    """What stands in a pickle as `module.name`."""

    text: str

    def __call__(self):
        raise AssertionError("only its name is written")


@dataclasses.dataclass(eq=False)
class Storage:
    """The numbers that tensors are views of; `size` is what a file says of them."""

    numbers: np.ndarray
    kind: str = ""
    size: int | None = None
    key: str | None = None
    part: tuple | None = None

    def __post_init__(self):
        self.kind = self.kind or KINDS[self.numbers.dtype.name]
        self.size = self.numbers.size if self.size is None else self.size


@dataclasses.dataclass(eq=False)
class Tensor:
    """A view of a storage, as PyTorch pickles one."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple

    def __reduce_ex__(self, protocol):
        arguments = (self.storage, self.offset, self.shape, self.strides, False, collections.OrderedDict())
        return Named("torch._utils._rebuild_tensor_v2"), arguments


@dataclasses.dataclass(eq=False)
class Parameter:
    tensor: Tensor

    def __reduce_ex__(self, protocol):
        return Named("torch._utils._rebuild_parameter"), (self.tensor, True, collections.OrderedDict())


@dataclasses.dataclass(eq=False)
class Call:
    """What calls `module.name` when Python reads it."""

    name: str
    arguments: tuple = ()

    def __reduce_ex__(self, protocol):
        return Named(self.name), self.arguments


def tensor(array, kind=""):
    """The tensor of an array, of a storage of its own."""
    array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
    strides = tuple(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim))
    return Tensor(Storage(array.reshape(-1), kind), 0, array.shape, strides)


def bfloat16(array):
    """The tensor of the upper halves of float32 numbers."""
    array = np.asarray(array, "float32")
    return dataclasses.replace(
        tensor(array), storage=Storage((array.reshape(-1).view("<u4") >> 16).astype("<u2"), "BFloat16")
    )


class _Pickler(pickle._Pickler):
    """Pickles `Named` by its name alone, and storages as something that is stored elsewhere."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol, storages, legacy):
        super().__init__(file, protocol)
        self.storages, self.legacy = storages, legacy

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        if value not in self.storages:
            self.storages.append(value)
        key = value.key or str(self.storages.index(value))
        named = "storage", Named(f"torch.{value.kind}Storage"), key, "cpu", value.size
        return (*named, value.part) if self.legacy else named

    def save_named(self, value):
        module, _, name = value.text.rpartition(".")
        self.write(b"c" + f"{module}\n{name}\n".encode())

    dispatch[Named] = save_named


def pickled(tree, protocol=2, storages=None, legacy=False):
    """The bytes of a pickle, and of which storages it is."""
    storages = [] if storages is None else storages
    file = io.BytesIO()
    _Pickler(file, protocol, storages, legacy).dump(tree)
    return file.getvalue(), storages


def zipped(tree, folder="archive/", order="little", content=None, members=None, compression=zipfile.ZIP_STORED):
    """The bytes of the format since 1.6.

    Args:
        tree: what is saved.
        folder: what the members' names begin with.
        order: of the bytes of a number.
        content: the pickle, if it is not that of `tree`.
        members: further {name: bytes}, or other ones in the place of those.
        compression: of the archive.
    """
    made, storages = pickled(tree)
    parts = {f"{folder}data.pkl": made if content is None else content, f"{folder}byteorder": order.encode()}
    for number, storage in enumerate(storages):
        numbers = storage.numbers
        parts[f"{folder}data/{number}"] = (numbers if order == "little" else numbers.byteswap()).tobytes()
    parts |= {f"{folder}version": b"3\n", **(members or {})}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, each in parts.items():
            archive.writestr(name, each)
    return file.getvalue()


def legacy(tree, content=None, keys=None, protocol=2):
    """The bytes of the format before 1.6; `content` is another pickle, `keys` are other names of its storages."""
    made, storages = pickled(tree, protocol, legacy=True)
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(each, protocol) for each in (MAGIC, 1001, machine)]
    named = [storage.key or str(number) for number, storage in enumerate(storages)]
    parts += [made if content is None else content, pickle.dumps(named if keys is None else keys, protocol)]
    for storage in storages:
        parts += [struct.pack("<q", storage.numbers.size), storage.numbers.tobytes()]
    return b"".join(parts)


def python_2(blobs):
    """The bytes of {"blobs": arrays} as Python 2 pickles NumPy's arrays: all text is bytes."""

    def text(value):
        short = len(value) < 256
        return (b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<I", len(value))) + value

    def array(value):
        shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in value.shape) + b"t"
        dtype = b"cnumpy\ndtype\n(" + text(value.dtype.str[1:].encode()) + b"K\0K\1tR(K\3" + text(b"<") + b"NNN"
        dtype += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t" + text(b"b") + b"tR"
        return made + b"(K\1" + shape + dtype + b"\x89" + text(value.tobytes()) + b"tb"

    items = b"".join(text(name.encode()) + array(value) for name, value in blobs.items())
    return b"\x80\2}(" + text(b"blobs") + b"}(" + items + b"uu."


def params(arrays, magic=0xF993FAC9, kinds=("float32", "float64", "float16", "uint8", "int32", "int8", "int64")):
    """The bytes of MXNet's `.params`; a magic of 0 leaves it out, as before version 1."""
    made = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        made.append(struct.pack("<I", magic) if magic else b"")
        made.append(struct.pack("<i", 0) if magic > 0xF993FAC8 else b"")
        made.append(struct.pack(f"<I{array.ndim}{'q' if magic else 'I'}", array.ndim, *array.shape))
        made.append(struct.pack("<iii", 1, 0, kinds.index(array.dtype.name)) + array.tobytes())
    made.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        made.append(struct.pack("<Q", len(name)) + name.encode())
    return b"".join(made)


def safetensors(arrays, change=lambda header: header):
    """The bytes of a `.safetensors`, its header changed."""
    kinds = {"f": "F", "i": "I", "u": "U"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        kind = "BOOL" if array.dtype.kind == "b" else f"{kinds[array.dtype.kind]}{8 * array.itemsize}"
        place = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": place}
        data += array.tobytes()
    text = change(header)
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    return struct.pack("<Q", len(text)) + text + data
