"""Files that are a table of arrays: `.safetensors` and MXNet's `.params`, sound and bent."""

import random
import struct

import numpy as np
import pytest
from made import torch_writer

from keras_i3d.errors import WeightsError
from keras_i3d.weights import torch_files

ARRAYS = {
    "conv.weight": np.arange(24, dtype="float32").reshape(2, 3, 4),
    "half": np.float16([1.5]),
    "double": np.float64([[2.5]]),
    "steps": np.int64([7]),
    "none": np.zeros((0, 2), "float32"),
}


def equal(found, arrays):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        np.testing.assert_array_equal(found[name], array)


def refused(path, message):
    with pytest.raises(WeightsError, match=message) as error:
        torch_files.read(path)
    assert str(error.value).isprintable()
    assert str(path) in str(error.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.weights"


def test_safetensors(path):
    arrays = {**ARRAYS, "flags": np.array([True, False]), "number": np.array(3.5)}
    path.write_bytes(torch_writer.safetensors(arrays))
    equal(torch_files.read(path), arrays)

    def upper(header):
        header["half"]["dtype"] = "BF16"
        return header

    halves = {"half": np.uint16([0x3FC0])}
    path.write_bytes(torch_writer.safetensors({"half": halves["half"].view("float16")}, upper))
    equal(torch_files.read(path), {"half": np.float32([1.5])})


def entry(**changed):
    def change(header):
        header["a"] |= changed
        return header

    return change


def renamed(header):
    return {**header, "b": header["a"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (entry(data_offsets=[0, 1 << 40]), "declares 24 bytes, and is stored in"),
        (entry(shape=[1 << 38], data_offsets=[0, 1 << 40]), "ends at byte 1099511627776 of the data, and 24 are"),
        (entry(shape=[5], data_offsets=[0, 20]), "its arrays are 20 bytes, and 24 are stored"),
        (entry(shape=[5], data_offsets=[4, 24]), "a begins at byte 4 of the data, where 0 is next"),
        (entry(data_offsets=[-24, 0]), "a shape or place that none has"),
        (entry(shape=[-6]), "a shape or place that none has"),
        (entry(shape=[True, 6]), "a shape or place that none has"),
        (entry(shape=[6.0]), "a shape or place that none has"),
        (entry(shape=[1] * 40), "a shape or place that none has"),
        (entry(dtype="F8"), "a is of 'F8', which is none of F64, F32"),
        (entry(dtype=["F32"]), "which is none of F64, F32"),
        (renamed, "b begins at byte 0 of the data, where 24 is next"),
        (lambda header: {"a": 5}, "a has no dtype, shape and place"),
        (lambda header: [1], "a header that is no table"),
        (lambda header: b"{", "Expecting"),
        (lambda header: b'{"a":' * 100_000, "recursion|nest|Recursion"),
        (lambda header: b'{"a": 1, "a": 2}', "a name is there twice"),
        (lambda header: b"\xff\xfe", "decode"),
    ],
)
def test_bent_safetensors(change, message, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(torch_writer.safetensors({"a": np.arange(6, dtype="float32")}, change))
    refused(path, message)


@pytest.mark.parametrize("length", [0, 7, 8, 1 << 30, (1 << 64) - 1])
def test_a_header_beyond_the_file(length, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", length)[:length] if length < 8 else struct.pack("<Q", length) + b"{}")
    refused(path, "it is cut|it is empty|a header of")


@pytest.mark.parametrize("magic", [0, 0xF993FAC8, 0xF993FAC9, 0xF993FACA])
def test_params_of_every_version(magic, path):
    arrays = {**ARRAYS, "bytes": np.uint8([200]), "small": np.int8([-3]), "int": np.int32([9])}
    if magic == 0xF993FACA:
        arrays["number"] = np.array(2.5, "float32")
    path.write_bytes(torch_writer.params(arrays, magic))
    equal(torch_files.read(path), arrays)


def test_params_of_a_network_with_its_graph(path):
    path.write_bytes(torch_writer.params({"arg:w": ARRAYS["half"], "aux:mean": ARRAYS["double"]}))
    equal(torch_files.read(path), {"w": ARRAYS["half"], "mean": ARRAYS["double"]})


def at(place, layout, *values):
    """A change of numbers at a byte of a `.params` of one array "a" of six."""

    def change(content):
        struct.pack_into(layout, content, place, *values)
        return content

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at(16, "<Q", 1 << 40), "1099511627776 arrays"),
        (at(16, "<Q", 0), r"\d+ names|it is cut"),
        (at(16, "<Q", 2), "it is cut|later version"),
        (at(28, "<i", 1), "a sparse array"),
        (at(32, "<I", 40), "an array of a later version"),
        (at(32, "<I", 0), "an array without a shape"),
        (at(36, "<q", 1 << 40), "it is cut: 4398046511104 bytes are next"),
        (at(36, "<q", -1), "it is cut"),
        (at(52, "<I", 12), "an array of MXNet's dtype 12"),
        (at(24, "<I", 77), "an array of a later version"),
        (at(80, "<Q", 2), "it is cut"),
        (at(88, "<Q", 1 << 40), "it is cut"),
        (lambda content: content[:-1] + b"\xff", "decode"),
    ],
)
def test_bent_params(change, message, path):
    content = bytearray(torch_writer.params({"a": np.arange(6, dtype="float32")}))
    path.write_bytes(change(content))
    refused(path, message)


@pytest.mark.parametrize("write", [torch_writer.safetensors, torch_writer.params])
def test_cut_and_flipped(write, tmp_path):
    draw, path = random.Random(3), tmp_path / "x.safetensors"
    whole = write(ARRAYS)
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        refused(path, r"\(.+\)")
    for _ in range(300):
        content = bytearray(whole)
        content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        try:
            torch_files.read(path)
        except WeightsError:
            continue
