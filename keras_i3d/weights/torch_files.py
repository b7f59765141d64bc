"""Weights files of the PyTorch world, of anybody, as named arrays; no code of theirs runs.

PyTorch's two formats hold pickles. They are read by `pickles`, whose machine has no call, and compared with what the
file stores. Where PyTorch is installed, its own loader of weights alone then gives the numbers. Caffe2's `.pkl` are
pickles of NumPy's arrays. `.safetensors`, `.npz` and MXNet's `.params` hold nothing but arrays.
"""

import dataclasses
import math
import os
import pathlib
import re
import zipfile

import numpy as np

from keras_i3d import stored
from keras_i3d.errors import WeightsError, one_line
from keras_i3d.weights import array_files, pickles
from keras_i3d.weights.by_name import listed

SUFFIXES = (".pth", ".pt", ".pyth", ".pkl", ".tar", ".safetensors", ".npz", ".params")
SAFE = (2, 6)  # before it, PyTorch's loader of weights alone could be made to run code (CVE-2025-32434)
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model", "net", "blobs")  # under which people save weights
PREFIXES = ("module.", "_orig_mod.")  # of networks that were trained on several devices, or compiled
CAFFE2_BESIDE = r".*_momentum|lr|model_iter|lr_iter"  # of a blob that is the optimizer's
STORAGES = {
    "Double": "<f8",
    "Float": "<f4",
    "Half": "<f2",
    "BFloat16": array_files.BFLOAT16,
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "|i1",
    "Byte": "|u1",
    "Bool": "|b1",
}
PROTOCOLS = b"\2\3\4\5"  # what stands after the first byte of a pickle
FIRST_PROTOCOLS = (b"(d", b"}q", b"}(", b"cc")  # how a dictionary begins in Python 2's
LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the number whose pickle begins the older format


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers that tensors are views of: `size` of them under `key`, from `start` on."""

    dtype: str
    key: str
    size: int
    start: int = 0


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides in numbers."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


def is_torch(path):
    """Whether `read` is for a file: by its content, or, where that says nothing, by its name.

    A `.keras`, a `.weights.h5` or a TensorFlow checkpoint is none.
    """
    path = pathlib.Path(path)
    try:
        return path.is_file() and (path.suffix.lower() in SUFFIXES or _reader(path) is not None)
    except OSError:  # it may not be read
        return False


def read(path):
    """Reads the weights in a file: PyTorch's, Caffe2's `.pkl`, `.safetensors`, `.npz` or MXNet's `.params`.

    What people save around a state_dict is taken off, optimizer states are left out, and a prefix that all names have
    because of how a network was trained goes.

    Args:
        path: the file, of any name.

    Returns:
        {name: array} of the numbers as they are stored, bfloat16 as float32, in the order of the file. Arrays that
        share memory in the file share it here.

    Raises:
        WeightsError: it cannot be read, or holds more than arrays in plain containers.
    """
    path = pathlib.Path(path)
    try:
        reader = _reader(path)
        if reader is None:
            raise ValueError("its content is of none of the formats that this reads")
        arrays = _bare(reader(path))
        if not arrays:
            raise ValueError("it holds no arrays")
    except pickles.NamesCodeError as error:
        raise WeightsError(
            f"{path}: a file of weights holds arrays in plain containers, and nothing that would have to be run. "
            f"Received: {one_line(error)}. Save the network's weights alone: torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # of a damaged archive or pickle, or of PyTorch: any of a dozen of types
        raise WeightsError(
            f"{path}: not a readable file of PyTorch's, Caffe2's or MXNet's weights, .safetensors or .npz "
            f"({stored.reason(path, error)}). Copy or download it again."
        ) from error
    return arrays


def _reader(path):
    """The function that reads a file of this content; None if it is of no such format."""
    with open(path, "rb") as file:
        begin = file.read(32)
    named = path.suffix.lower() in SUFFIXES
    if begin.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except Exception:  # of a damaged archive, which its own reader tells of
            return _torch_or(_read_zip) if named else None
        if _pickled(names):
            return _torch_or(_read_zip)
        return stored.read_npz if names and all(name.endswith(".npy") for name in names) else None
    if begin.startswith(b"\x80") and LEGACY in begin:
        return _torch_or(_read_legacy)
    if begin.startswith(array_files.PARAMS):
        return array_files.read_params
    if path.suffix.lower() == ".safetensors" or (begin[8:10] == b'{"' and begin[4:8] == bytes(4)):
        return array_files.read_safetensors
    if begin[:1] == b"\x80" and begin[1:2] in PROTOCOLS or (named and begin[:2] in FIRST_PROTOCOLS):
        return _read_pickle
    return None


def _pickled(names):
    """The members of an archive that are the pickle of its objects."""
    return [name for name in names if name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)]


def _torch_or(own):
    """A reader of PyTorch's files: `own`, and, where PyTorch is installed, PyTorch after it.

    `own` is first because PyTorch's loader takes memory on a file's word: 4 GiB for a pickle of ten bytes. Where
    PyTorch refuses more than `own` does, such as numbers of NumPy next to the weights, what `own` read is taken.
    """

    def reader(path):
        arrays, torch = own(path), _torch()
        if torch is None:
            return arrays
        try:
            return _by_torch(torch, path)
        except Exception:  # of any type, with the advice to run the file's code
            return arrays

    return reader


def _torch():
    """PyTorch, if it is installed, and its loader of weights alone is one."""
    try:
        import torch
    except (ImportError, OSError):  # not installed, or without a library that it needs
        return None
    version = re.match(r"(\d+)\.(\d+)", torch.__version__)
    return torch if version and tuple(map(int, version.groups())) >= SAFE else None


def _by_torch(torch, path):
    leaves = _leaves(torch.load(path, map_location="cpu", weights_only=True), torch.Tensor)
    plain = {name: leaf.detach() for name, leaf in leaves.items()}
    return {name: (each.float() if each.dtype == torch.bfloat16 else each).numpy() for name, each in plain.items()}


def _read_zip(path):
    """Reads the format of PyTorch since 1.6: an archive of a pickle, and a member a storage."""
    with zipfile.ZipFile(path) as archive:
        stored.check_zip(archive, os.path.getsize(path))
        members = {member.filename: member for member in archive.infolist()}
        found = _pickled(members)
        if len(found) != 1:
            raise ValueError("an archive without one data.pkl")
        folder = found[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in members:
            raise pickles.NamesCodeError("a program of TorchScript")
        tree, _ = pickles.load(archive.read(found[0]), names=NAMES, persistent=_Storages())
        order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in members else b"little"
        if order not in (b"little", b"big"):
            raise ValueError(f"its numbers have an order of bytes that there is not, {order[:20]!r}")

        def content(storage):
            member = members.get(f"{folder}data/{storage.key}")
            if member is None:
                raise ValueError(f"a tensor of storage {storage.key}, which is not in it")
            if member.file_size < storage.size * array_files.itemsize(storage.dtype):
                raise ValueError(f"storage {storage.key} has {storage.size} numbers, and {member.file_size} bytes")
            data = memoryview(archive.read(member))[: storage.size * array_files.itemsize(storage.dtype)]
            if order == b"big":
                return np.frombuffer(data, f"u{array_files.itemsize(storage.dtype)}").byteswap().tobytes()
            return data

        return _in_arrays(_leaves(tree, Tensor | pickles.Array), content, path)


def _read_legacy(path):
    """Reads PyTorch's format of before 1.6: five pickles and then, one after the other, the storages."""
    content, at, parts, storages = path.read_bytes(), 0, [], _Storages()
    for _ in range(5):  # a magic number, the version, notes on the machine, the objects, the keys of the storages
        part, at = pickles.load(content, at, NAMES, storages)
        parts.append(part)
    if parts[1] != 1001:
        raise ValueError("a version of PyTorch's older format that is not read")
    places, known = {}, storages.known
    for key in pickles.items_of(parts[4]):
        if not isinstance(key, str) or key not in known or key in places:
            raise ValueError("it lists storages that it does not describe")
        size = known[key].size * array_files.itemsize(known[key].dtype)
        if content[at : at + 8] != known[key].size.to_bytes(8, "little") or len(content) < at + 8 + size:
            raise ValueError(f"storage {key} has {known[key].size} numbers, and they are not stored")
        places[key] = slice(at + 8, at + 8 + size)
        at += 8 + size
    view = memoryview(content)

    def stored_content(storage):
        if storage.key not in places:
            raise ValueError(f"a tensor of storage {storage.key}, which is not in it")
        return view[places[storage.key]]

    return _in_arrays(_leaves(parts[3], Tensor | pickles.Array), stored_content, path)


class _Storages:
    """What the ids in a pickle are: ("storage", its class, its key, its device, how many numbers, a part of it)."""

    def __init__(self):
        self.known = {}

    def __call__(self, key):
        if not (isinstance(key, tuple) and len(key) >= 5 and key[0] == "storage" and isinstance(key[1], pickles.Name)):
            raise ValueError("it refers to what is no storage of numbers")
        _, kind, name, _, size, *more = key
        dtype = STORAGES.get(kind.text.removeprefix("torch.").removesuffix("Storage"))
        if dtype is None or not isinstance(name, str) or not pickles.is_shape((size,)):
            raise ValueError("it refers to what is no storage of numbers")
        whole = Storage(dtype, name, size)
        if self.known.setdefault(name, whole) != whole:
            raise ValueError(f"storage {name} is described in two ways")
        if more and more[0] is not None:  # of PyTorch before 0.4
            _, start, size = more[0]
            if not pickles.is_shape((start, size)) or start + size > whole.size:
                raise ValueError(f"a part of storage {name} that it does not have")
            return dataclasses.replace(whole, start=start, size=size)
        return whole


def _tensor(storage, offset, shape, strides, *_):
    if not isinstance(storage, Storage) or not all(map(pickles.is_shape, ((offset,), shape, strides))):
        raise ValueError("a tensor that is no view of a storage")
    if len(shape) != len(strides):
        raise ValueError(f"a tensor of {len(shape)} axes with {len(strides)} strides")
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor, *_):
    if not isinstance(tensor, Tensor):
        raise ValueError("a parameter that is no tensor")
    return tensor


NAMES = {  # what PyTorch's pickles name, as `pickles.NAMES`
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": lambda sizes=(): tuple(pickles.items_of(sizes)),
    "torch.device": lambda *_: None,
    **dict.fromkeys(f"torch.{name}Storage" for name in STORAGES),
    **dict.fromkeys(
        f"torch.{name}"
        for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    ),
}


def _read_pickle(path):
    """Reads a pickle of NumPy's arrays, as Caffe2's networks are saved."""
    tree, _ = pickles.load(path.read_bytes())
    leaves = _leaves(tree, pickles.Array)
    return {name: leaf.value for name, leaf in leaves.items() if leaf.value is not None}


def _leaves(tree, kinds):
    """The {name: array of these kinds} in what was saved: the weights, whatever people keep next to them."""
    for _ in range(len(WRAPPERS)):
        inner = [tree[name] for name in WRAPPERS if isinstance(tree, dict) and isinstance(tree.get(name), dict)]
        tree = inner[0] if inner else tree
    if not isinstance(tree, dict):
        raise ValueError("what it holds is no dictionary of arrays")
    leaves = {name: leaf for name, leaf in tree.items() if isinstance(name, str) and isinstance(leaf, kinds)}
    if not leaves:
        raise ValueError(f"none of what it holds is an array: {listed(map(str, tree))}")
    return leaves


def _in_arrays(leaves, content, path):
    """The arrays that tensors are: views of their storages, each of which `content` gives the bytes of, once."""
    views = [leaf for leaf in leaves.values() if isinstance(leaf, Tensor)]
    declared = sum(math.prod(each.shape) * array_files.itemsize(each.storage.dtype) for each in views)
    stored.check_size(declared, os.path.getsize(path), "all tensors together")
    numbers, arrays = {}, {}
    for name, leaf in leaves.items():
        if isinstance(leaf, pickles.Array):
            arrays[name] = leaf.value
            continue
        storage = leaf.storage
        if storage.key not in numbers:
            numbers[storage.key] = array_files.numbers(content(storage), storage.dtype)
        arrays[name] = _view(leaf, numbers[storage.key][storage.start : storage.start + storage.size])
    return {name: array for name, array in arrays.items() if array is not None}


def _view(tensor, numbers):
    """The part of a storage's numbers that a tensor is."""
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, numbers.dtype)
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides))
    if last >= len(numbers):
        raise ValueError(f"a tensor up to number {last} of its storage, which has {len(numbers)}")
    strides = [0 if n == 1 else stride * numbers.itemsize for n, stride in zip(tensor.shape, tensor.strides)]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)


def _bare(arrays):
    """The numbers in this machine's order, without what is the optimizer's and without a prefix of all names."""
    arrays = {
        name: array
        for name, array in arrays.items()
        if array.dtype.kind in stored.NUMBERS and not re.fullmatch(CAFFE2_BESIDE, name)
    }
    for prefix in PREFIXES * 2:
        if arrays and all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
