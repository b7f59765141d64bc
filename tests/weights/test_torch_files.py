"""Weights files of the PyTorch world: both formats, pickles of NumPy's arrays, and files that would run code."""

import dataclasses
import io
import json
import pathlib
import pickle
import random
import sys
import tracemalloc
import types
import zipfile

import h5py
import numpy as np
import pytest
from made import torch_writer
from made.torch_writer import Call, Named, Storage, Tensor, tensor

from keras_i3d import stored
from keras_i3d.errors import WeightsError
from keras_i3d.weights import pickles, torch_files

FORMATS = {"since 1.6": torch_writer.zipped, "before 1.6": torch_writer.legacy}
PICKLED = {**FORMATS, "pickle": lambda tree: torch_writer.pickled(tree)[0]}
DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


@pytest.fixture(autouse=True)
def without_torch(monkeypatch):
    """Whether PyTorch is installed or not, it is this package's own reader that is tested."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture(params=FORMATS)
def saved(request, tmp_path):
    """A function that writes what is saved in one of PyTorch's formats, and returns the path."""

    def save(tree, **settings):
        path = tmp_path / "x.pth"
        path.write_bytes(FORMATS[request.param](tree, **settings))
        return path

    return save


def some(seed=0):
    draw = np.random.default_rng(seed)
    arrays = {
        "conv.weight": draw.standard_normal((4, 3, 1, 2, 2)).astype("float32"),
        "conv.bias": draw.standard_normal(4).astype("float32"),
        "bn.num_batches_tracked": np.int64(7),
    }
    return {name: np.asarray(array) for name, array in arrays.items()}


def tensors(arrays):
    return {name: tensor(array) for name, array in arrays.items()}


def equal(found, arrays):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def refused(path, message):
    """Checks that a WeightsError of one line with the path and a remedy says it, without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=message) as error:
            torch_files.read(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    said = str(error.value)
    assert said.isprintable()
    assert len(said) < 1000
    assert said.startswith(f"{path}: ")
    assert said.endswith(("Copy or download it again.", "torch.save(model.state_dict(), path)."))


def outcome(path):
    """Whether a file is "read", or "refused" in one line."""
    try:
        torch_files.read(path)
    except WeightsError as error:
        return "refused" if str(error).isprintable() else str(error)
    return "read"


# What sound files hold


def test_every_kind_of_number(saved):
    arrays = {name: np.array([[0, 1, 3], [1, 0, 2]]).astype(name) for name in DTYPES}
    tree = {**tensors(arrays), "bfloat16": torch_writer.bfloat16([1.5, -3.0])}
    equal(torch_files.read(saved(tree)), {**arrays, "bfloat16": np.float32([1.5, -3.0])})


def test_views_of_storages(saved):
    numbers = np.arange(60, dtype="float32")
    storage = Storage(numbers)
    whole = numbers.reshape(3, 4, 5)
    tree = {
        "whole": Tensor(storage, 0, (3, 4, 5), (20, 5, 1)),
        "turned": Tensor(storage, 0, (5, 3, 4), (1, 20, 5)),
        "part": Tensor(storage, 20, (2, 2, 5), (20, 10, 1)),
        "number": Tensor(storage, 59, (), ()),
        "repeated": Tensor(storage, 3, (2, 3), (0, 1)),
        "of one": Tensor(storage, 0, (1, 2), (1 << 40, 1)),
        "none": Tensor(Storage(np.zeros(0, "float32")), 0, (0, 3), (3, 1)),
        "trained": torch_writer.Parameter(Tensor(storage, 0, (2,), (1,))),
    }
    found = torch_files.read(saved(tree))
    expected = {
        "whole": whole,
        "turned": whole.transpose(2, 0, 1),
        "part": whole[1:, ::2],
        "number": whole[-1, -1, -1],
        "repeated": np.float32([[3, 4, 5]] * 2),
        "of one": np.float32([[0, 1]]),
        "none": np.zeros((0, 3), "float32"),
        "trained": np.float32([0, 1]),
    }
    equal(found, {name: np.asarray(array) for name, array in expected.items()})
    assert np.shares_memory(found["whole"], found["turned"])


WRAPPED = {
    "mmaction2, Lightning": lambda tree: {"epoch": 3, "state_dict": tree, "meta": {"time": "now"}},
    "PySlowFast": lambda tree: {"epoch": 1, "model_state": tree, "cfg": "A: 1\n"},
    "DeiT": lambda tree: {"model": tree, "scaler": {"scale": 1.5}},
    "several": lambda tree: {"model": {"state_dict": tree}},
    "devices": lambda tree: {f"module.{name}": value for name, value in tree.items()},
    "compiled": lambda tree: {"state_dict": {f"_orig_mod.module.{name}": value for name, value in tree.items()}},
    "optimizer": lambda tree: {
        "optimizer": {"state": {0: {"step": 5, "exp_avg": tensor(np.zeros(9))}}, "param_groups": [{"lr": 0.1}]},
        "state_dict": tree,
        "done": True,
        "best": 1 << 70,
        "more": [None, (1, 2.5), {1, 2}, b"ab", "é", frozenset("a"), np.float64(2), np.arange(3), bytearray(b"c")],
        "size": Call("torch.Size", ((1, 2),)),
        "device": Call("torch.device", ("cpu",)),
        "dtype": Named("torch.float32"),
    },
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_people_save_around_weights(kind, saved):
    arrays = some()
    equal(torch_files.read(saved(WRAPPED[kind](tensors(arrays)))), arrays)


def test_a_state_dict_of_python_2_and_its_metadata(tmp_path):
    """An OrderedDict of pairs, and one with attributes."""
    tree = Call("collections.OrderedDict", ([["w", tensor(np.float32([1, 2]))]],))
    content, storages = torch_writer.pickled(tree)
    content = content[:-1] + torch_writer.pickled({"_metadata": {"": {"version": 1}}})[0][2:-1] + b"b."
    path = tmp_path / "x.pt"
    path.write_bytes(torch_writer.zipped(tree, content=content))
    equal(torch_files.read(path), {"w": np.float32([1, 2])})


@pytest.mark.parametrize("settings", [{"folder": ""}, {"folder": "s3d/"}, {"order": "big"}, {"compression": 8}])
def test_archives_of_other_names_and_orders(settings, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(torch_writer.zipped({"half": torch_writer.bfloat16([2.5]), **tensors(some())}, **settings))
    equal(torch_files.read(path), {"half": np.float32([2.5]), **some()})


def test_parts_of_storages_of_before_0_4(tmp_path):
    numbers = np.arange(9, dtype="float32")
    tree = {"w": Tensor(Storage(numbers, part=("1", 3, 4)), 1, (3,), (1,))}
    (tmp_path / "x.pth").write_bytes(torch_writer.legacy(tree))
    equal(torch_files.read(tmp_path / "x.pth"), {"w": numbers[4:7]})
    tree["w"].storage.part = ("1", 7, 4)
    (tmp_path / "x.pth").write_bytes(torch_writer.legacy(tree))
    refused(tmp_path / "x.pth", "a part of storage 0 that it does not have")


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_numpy_arrays(protocol, tmp_path):
    arrays = {
        "conv1_w": np.random.default_rng(0).standard_normal((3, 4)).astype("float32"),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">f4"),
        "none": np.zeros((0, 2)),
        "flags": np.array([True, False]),
    }
    beside = {"conv1_w_momentum": np.zeros(2), "lr": np.float32(3), "model_iter": np.arange(1), "step": 5}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"blobs": {**arrays, **beside}, "cfg": "a\n'\"é\t\\"}, protocol))
    equal(torch_files.read(tmp_path / "x.pkl"), {**arrays, "swapped": np.arange(3, dtype="float32")})


def test_a_pickle_of_python_2(tmp_path):
    blobs = {"conv1_w": np.arange(300, dtype="float32").reshape(3, 100), "res_bn_s": np.float32([255, -1])}
    (tmp_path / "x.pkl").write_bytes(torch_writer.python_2(blobs))
    equal(torch_files.read(tmp_path / "x.pkl"), blobs)
    assert torch_files.is_torch(tmp_path / "x.pkl")


def test_pytorch_reads_its_own_files_where_it_is(tmp_path, monkeypatch):
    """Weights alone, on the CPU; not by a version whose loader of weights alone can be made to run code."""

    class FakeTensor:
        dtype = "bfloat16"

        def detach(self):
            return self

        def float(self):
            return self

        def numpy(self):
            return np.float32([8])

    asked = []

    def load(path, **settings):
        asked.append((path, settings))
        return {"state_dict": {"module.w": FakeTensor()}}

    fake = types.SimpleNamespace(load=load, Tensor=FakeTensor, bfloat16="bfloat16", __version__="2.13.0+cpu")
    monkeypatch.setitem(sys.modules, "torch", fake)
    for number, write in enumerate(FORMATS.values()):
        path = tmp_path / f"{number}.pth"
        path.write_bytes(write({"w": tensor(np.float32([9]))}))
        equal(torch_files.read(path), {"w": np.float32([8])})
        assert asked.pop() == (path, {"map_location": "cpu", "weights_only": True})
        fake.__version__ = "2.5.1"
        equal(torch_files.read(path), {"w": np.float32([9])})
        assert not asked
        fake.__version__ = "2.6.0"


def test_where_pytorch_refuses_this_package_says_why(tmp_path, monkeypatch):
    def load(path, **settings):
        raise pickle.UnpicklingError("Pass weights_only=False")

    fake = types.SimpleNamespace(load=load, __version__="2.13.0")
    monkeypatch.setitem(sys.modules, "torch", fake)
    (tmp_path / "x.pth").write_bytes(torch_writer.zipped({"w": Call("os.system", ("true",))}))
    refused(tmp_path / "x.pth", r"Received: a reference to os\.system\. Save")
    (tmp_path / "x.pth").write_bytes(torch_writer.zipped({"w": tensor(np.float32([9])), "n": np.float64(1)}))
    equal(torch_files.read(tmp_path / "x.pth"), {"w": np.float32([9])})


# What would run code


def malicious(marker):
    """{what: tree of a file that touches `marker` when Python reads it, or calls what it should not}."""
    touch = f"import pathlib; pathlib.Path({str(marker)!r}).touch()"
    return {
        "os.system": Call("os.system", (f"touch {marker}",)),
        "posix.system": Call("posix.system", (f"touch {marker}",)),
        "builtins.eval": Call("builtins.eval", (f"open({str(marker)!r}, 'w')",)),
        "builtins.exec": Call("builtins.exec", (touch,)),
        "__builtin__.eval": Call("__builtin__.eval", (f"open({str(marker)!r}, 'w')",)),
        "builtins.open": Call("builtins.open", (str(marker), "w")),
        "builtins.getattr": Call("builtins.getattr", (Named("torch.float32"), "__class__")),
        "builtins.__import__": Call("builtins.__import__", ("os",)),
        "subprocess.Popen": Call("subprocess.Popen", (["touch", str(marker)],)),
        "runpy._run_code": Call("runpy._run_code", (touch, {})),
        "torch.load": Call("torch.load", (str(marker),)),
        "torch.hub.load": Call("torch.hub.load", ("a/b", "c")),
        "torch.storage._load_from_bytes": Call("torch.storage._load_from_bytes", (b"",)),
        "torch.serialization.__import__": Call("torch.serialization.__import__", ("os",)),
        "torch.nn.modules.conv.Conv3d": Call("torch.nn.modules.conv.Conv3d", ()),
        "__main__.I3D": Call("__main__.I3D", ()),
        "numpy.load": Call("numpy.load", (str(marker),)),
        "numpy.f2py.compile": Call("numpy.f2py.compile", (touch,)),
        "numpy.testing._private.utils.runstring": Call("numpy.testing._private.utils.runstring", (touch, {})),
        "collections.OrderedDict.__init__": Call("collections.OrderedDict.__init__", ()),
        "_codecs.decode": Call("_codecs.decode", (b"", "rot13")),
        "copyreg._reconstructor": Call("copyreg._reconstructor", ()),
        "functools.partial": Call("functools.partial", (Named("os.system"), f"touch {marker}")),
    }


def places(bad, sound):
    """Trees with the bad thing in different places of a file that is sound otherwise."""
    return (
        bad,
        {"state_dict": sound, "epoch": bad},
        {"state_dict": sound, "optimizer": {"state": [{"deep": (bad,)}]}},
        {**sound, "conv.weight": bad},
        {**sound, "x": Call("collections.OrderedDict", ([["a", bad]],))},
        {**sound, "x": Call("torch._utils._rebuild_parameter", (bad, True, None))},
    )


@pytest.mark.parametrize("name", malicious(""))
@pytest.mark.parametrize("kind", PICKLED)
def test_code_is_refused_by_its_name_and_does_not_run(kind, name, tmp_path):
    bad, path = malicious(tmp_path / "ran")[name], tmp_path / "x.pth"
    # A plain pickle may not name what is PyTorch's either.
    for tree in places(bad, {})[:-1] if kind == "pickle" else places(bad, tensors(some())):
        path.write_bytes(PICKLED[kind](tree))
        wanted = "os.system" if name == "functools.partial" else name
        with pytest.raises(
            WeightsError, match=r"nothing that would have to be run\. Received: a reference to "
        ) as error:
            torch_files.read(path)
        assert f"reference to {wanted}." in str(error.value) or f"reference to {name}." in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_the_malicious_files_would_run_in_python(tmp_path):
    """So that the test above means something."""
    pickle.loads(torch_writer.pickled(malicious(tmp_path / "ran")["builtins.exec"])[0])
    assert (tmp_path / "ran").exists()


RAW = {
    "in the magic number": (b"\x80\2cos\nsystem\nU\4true\x85R.", "a reference to os.system"),
    "INST": (b"\x80\2(U\4trueios\nsystem\n.", "a reference to os.system"),
    "OBJ": (b"\x80\2(cos\nsystem\nU\4trueo.", "a reference to os.system"),
    "NEWOBJ": (b"\x80\2cos\nsystem\nU\4true\x85\x81.", "a reference to os.system"),
    "STACK_GLOBAL": (b"\x80\4\x8c\2os\x8c\6system\x93\x8c\4true\x85R.", "a reference to os.system"),
    "a dotted name": (b"\x80\4\x8c\5torch\x8c\x0bnn.Module.x\x93.", r"a reference to torch.nn.Module.x"),
    "a name of no text": (b"\x80\4K\1K\2\x93.", "a name that is no text"),
    "EXT": (b"\x80\2\x82\1.", r"no pickle of arrays: at byte .* is b'\\x82'"),
    "NEWOBJ_EX": (b"\x80\4)}\x92.", "no pickle of arrays"),
    "PERSID": (b"\x80\2P0\n.", "no pickle of arrays"),
    "something stored elsewhere": (b"\x80\2K\1Q.", "(no storage|stored elsewhere)"),
    "a call of an array's class": (b"\x80\2cnumpy\nndarray\n)R.", "a call of numpy.ndarray, which makes no array"),
    "a number of half its bytes": (
        b"\x80\2cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\2f4\x85RU\2ab\x86R.",
        "an array that declares 4 bytes, and has 2",
    ),
    "records": (b"\x80\2cnumpy\ndtype\n]\x85R.", "an array of records"),
    "counts by a deep tuple": (
        b"\x80\2ccollections\nCounter\n])" + b"\x85" * 60_000 + b"K\1\x86a\x85R.",
        "a dictionary of what is none",
    ),
    "a call of a type": (b"\x80\2c__builtin__\nint\nK\1\x85R.", "a call of __builtin__.int, which makes no array"),
    "a call of no name": (b"\x80\2]K\1\x85R.", "a call of what is no name"),
    "a call without arguments": (b"\x80\2ccollections\nOrderedDict\nK\1R.", "a call without arguments"),
    "attributes of a name": (b"\x80\2ccollections\nOrderedDict\n}U\1aK\1sb.", "a state of what has none"),
    "attributes of a list": (b"\x80\2]}U\1aK\1sb.", "a state of what has none"),
    "items of a name": (b"\x80\2ccollections\nOrderedDict\nU\1aK\1s.", "items of what is no dictionary"),
    "a key that is a list": (b"\x80\2}]K\1s.", "keys are neither text nor numbers"),
    "a key that is a tuple": (b"\x80\2})K\1s.", "keys are neither text nor numbers"),
    "objects": (b"\x80\2cnumpy\ndtype\nU\2O8\x85R.", "an array of 'O8'"),
    "a class of arrays": (
        b"\x80\2cnumpy.core.multiarray\n_reconstruct\nctorch\nfloat32\nK\0\x85U\1b\x87R.",
        "(an array of a class of its own|reference to torch.float32)",
    ),
    "text in a codec": (b"\x80\2c_codecs\nencode\nX\1\0\0\0aX\5\0\0\0rot13\x86R.", "text in another encoding"),
    "nothing": (b"\x80\2.", "no"),
    "an unknown memory": (b"\x80\2h\5.", "no whole pickle"),
    "a mark that is not there": (b"\x80\2t.", "no whole pickle"),
    "an end that is not there": (b"\x80\2}", "it is cut"),
    "a text that is not there": (b"\x80\2X\xff\xff\xff\xffa.", "it is cut"),
    "a text of 2**63 bytes": (b"\x80\4\x8d" + b"\xff" * 8 + b"a.", "it is cut"),
    "a number of a megabyte": (b"\x80\2\x8b\0\0\x10\0" + b"\1" * (1 << 20) + b".", "thousands of digits"),
    "a number in words": (b"\x80\2I" + b"9" * 9000 + b"\n.", "it is cut"),
    "a list of lists": (b"\x80\2" + b"]" * (1 << 16) + b".", "a pickle of more than 65536 steps"),
    "marks": (b"\x80\2" + b"(" * (1 << 16) + b".", "a pickle of more than 65536 steps"),
    "a deep tuple": (b"\x80\2)" + b"\x85" * 60_000 + b".", "what it holds is no dictionary of arrays"),
    "copies of copies": (
        b"\x80\2X\0\0\x40\0" + b"a" * (4 << 20) + b"q\0" + b"c_codecs\nencode\nh\0\x85R0" * 1000 + b".",
        "it copies far more than it holds",
    ),
    "a dictionary in itself": (b"\x80\2}q\0X\5\0\0\0modelh\0s.", "none of what it holds is an array: model"),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_pickles_that_no_code_of_weights_writes(name, tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "STEPS", 1 << 16)
    content, message = RAW[name]
    (tmp_path / "x.pth").write_bytes(torch_writer.zipped({}, content=content))
    refused(tmp_path / "x.pth", message)
    (tmp_path / "x.pkl").write_bytes(content)
    refused(tmp_path / "x.pkl", message)
    (tmp_path / "x.pth").write_bytes(torch_writer.legacy({}, content=content))
    refused(tmp_path / "x.pth", message)


def test_no_name_of_a_pickle_is_looked_up(tmp_path, monkeypatch):
    """Not even the modules of those that are admitted are imported."""
    monkeypatch.setitem(pickles.NAMES, "this_module_is_not.here", dict)
    tree = {"w": tensor(np.float32([1])), "x": Call("this_module_is_not.here")}
    (tmp_path / "x.pth").write_bytes(torch_writer.zipped(tree))
    equal(torch_files.read(tmp_path / "x.pth"), {"w": np.float32([1])})


@pytest.mark.parametrize("member", ["constants.pkl"])
def test_a_program_of_torchscript(member, tmp_path):
    (tmp_path / "x.pt").write_bytes(torch_writer.zipped({}, members={f"archive/{member}": b"\x80\2]."}))
    refused(tmp_path / "x.pt", "Received: a program of TorchScript")


# What would take more than there is


def bent(**changes):
    """A tensor of a storage of six numbers, changed."""
    return dataclasses.replace(Tensor(Storage(np.zeros(6, "float32")), 0, (2, 3), (3, 1)), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (3, 2)}, "a tensor up to number 7 of its storage, which has 6"),
        ({"offset": 1}, "a tensor up to number 6 of its storage"),
        ({"offset": 1 << 40}, "of its storage, which has 6"),
        ({"offset": -1}, "a tensor that is no view of a storage"),
        ({"strides": (-3, 1)}, "a tensor that is no view of a storage"),
        ({"strides": (3,)}, "a tensor of 2 axes with 1 strides"),
        ({"shape": (2, -3)}, "a tensor that is no view"),
        ({"shape": (2, 3.0)}, "a tensor that is no view"),
        ({"shape": (1,) * 40, "strides": (1,) * 40}, "a tensor that is no view"),
        ({"shape": (1 << 40, 6), "strides": (0, 1)}, "all tensors together declares 26388279066624 bytes"),
        ({"shape": (1 << 59, 1 << 59), "strides": (0, 0)}, "all tensors together declares"),
        ({"storage": Storage(np.zeros(6, "float32"), size=1 << 40)}, "storage 0 has 1099511627776 numbers"),
        ({"storage": Storage(np.zeros(6, "float32"), size=-6)}, "no storage of numbers"),
        ({"storage": Storage(np.zeros(6, "float32"), "Double")}, "storage 0 has 6 numbers"),
        ({"storage": Storage(np.zeros(6, "float32"), "ComplexFloat")}, "reference to torch.ComplexFloatStorage"),
    ],
)
def test_tensors_beyond_what_is_stored(changes, message, saved):
    refused(saved({"w": bent(**changes)}), message)


def test_one_storage_in_two_ways(tmp_path):
    """A small one is read, and a large one is taken for it."""
    first, second = Storage(np.zeros(6, "float32"), key="0"), Storage(np.zeros(6, "float32"), key="0", size=1 << 20)
    tree = {"a": bent(storage=first), "b": bent(storage=second, offset=1 << 19)}
    for write in FORMATS.values():
        (tmp_path / "x.pth").write_bytes(write(tree))
        refused(tmp_path / "x.pth", "storage 0 is described in two ways")


def test_storages_that_are_not_there(tmp_path):
    path, tree = tmp_path / "x.pth", {"w": bent(storage=Storage(np.zeros(6, "float32"), key="../7"))}
    path.write_bytes(torch_writer.zipped(tree))
    refused(path, r"a tensor of storage \.\./7, which is not in it")
    for keys, message in ((["1"], "lists storages that it does not"), ([], "which is not in it"), (3, "no list")):
        path.write_bytes(torch_writer.legacy(tree, keys=keys))
        refused(path, message)
    path.write_bytes(torch_writer.legacy(tree, keys=[[]]))
    refused(path, "lists storages that it does not describe")


def test_archives_that_unpack_to_gigabytes(tmp_path):
    path = tmp_path / "x.pth"
    for member in ("archive/data.pkl", "archive/data/0", "archive/other"):
        bomb = {member: bytes(65 << 20)}
        path.write_bytes(torch_writer.zipped(tensors(some()), members=bomb, compression=zipfile.ZIP_DEFLATED))
        refused(path, r"declares 68\d+ bytes, and \d+ are stored")


# What is damaged, or is something else


def test_cut_files(tmp_path):
    """Anywhere."""
    for name, write in PICKLED.items():
        tree = {"a": 1, "b": [2]} if name == "pickle" else tensors(some())
        content = write(tree)
        for end in sorted({0, 1, 2, 10, len(content) - 1, *range(0, len(content), 41)}):
            (tmp_path / "x.pth").write_bytes(content[:end])
            assert torch_files.is_torch(tmp_path / "x.pth")
            with pytest.raises(WeightsError, match=r"not a readable file of PyTorch's.*Copy or download it again\.$"):
                torch_files.read(tmp_path / "x.pth")


def test_a_placeholder_of_git_lfs(tmp_path):
    (tmp_path / "x.pth").write_bytes(stored.LFS_POINTER + b"v1\n")
    refused(tmp_path / "x.pth", r"\(a pointer of Git LFS, not the file itself: run git lfs pull\)")


@pytest.mark.parametrize("kind", PICKLED)
def test_flipped_bytes_are_read_or_refused(kind, tmp_path):
    draw, path, counts = random.Random(kind), tmp_path / "x.pth", {"read": 0, "refused": 0}
    tree = {"state_dict": tensors(some()), "epoch": 3, "cfg": "a: 1", "best": 0.5, "history": [(1, 2), {"a": None}]}
    whole = torch_writer.python_2(some()) if kind == "pickle" else PICKLED[kind](tree)
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3, 8))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        counts[outcome(path)] += 1
    assert min(counts.values()) > 10


def test_flipped_bytes_in_the_pickle_of_an_archive(tmp_path):
    """Whose checksums are right."""
    draw, path, tree = random.Random(2), tmp_path / "x.pth", {"state_dict": tensors(some()), "epoch": 3}
    whole = torch_writer.pickled(tree)[0]
    for _ in range(400):
        content = bytearray(whole)
        content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(torch_writer.zipped(tree, content=bytes(content)))
        assert outcome(path) in ("read", "refused")


def test_what_is_told_by_its_content(tmp_path):
    sound = {
        "zip": torch_writer.zipped({}),
        "old": torch_writer.legacy({}),
        "old5": torch_writer.legacy({}, protocol=5),
    }
    sound |= {"pkl": torch_writer.python_2({}), "params": torch_writer.params({}), "st": torch_writer.safetensors({})}
    for name, content in sound.items():
        (tmp_path / name).write_bytes(content)
        assert torch_files.is_torch(tmp_path / name), name
    assert not torch_files.is_torch(tmp_path)
    assert not torch_files.is_torch(tmp_path / "not there.pth")


def test_other_files_are_none_of_these(tmp_path):
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        file["layers/conv3d/vars/0"] = [1.0]
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({}))
        archive.write(tmp_path / "x.weights.h5", "model.weights.h5")
    (tmp_path / "x.ckpt").write_bytes(bytes(100))
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    (tmp_path / "empty").touch()
    for path in tmp_path.iterdir():
        assert not torch_files.is_torch(path), path
        renamed = path.rename(tmp_path / f"{path.name}.pth")
        assert torch_files.is_torch(renamed)
        refused(renamed, "it is empty|its content is of none of the formats|an archive without one data.pkl")
        renamed.unlink()


def test_single_tensors_and_lists_are_no_weights(saved):
    for tree in (tensor(np.zeros(3)), [tensor(np.zeros(3))], {"a": 1}, {}, None):
        refused(saved(tree), "what it holds is no dictionary of arrays|none of what it holds is an array")


def test_npz_files_without_pickles(tmp_path):
    np.savez(tmp_path / "x.npz", **some(), text=np.array("who wrote it"))
    equal(torch_files.read(tmp_path / "x.npz"), some())
    marker = tmp_path / "ran"
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    content.write(torch_writer.pickled([malicious(marker)["builtins.exec"]])[0])
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content.getvalue())
    refused(tmp_path / "x.npz", "a.npy is object")
    assert not pathlib.Path(marker).exists()
