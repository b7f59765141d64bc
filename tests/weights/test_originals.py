"""A file of another code's weights, told by its names and shapes."""

import dataclasses
import re

import numpy as np
import pytest

from keras_i3d.errors import WeightsError
from keras_i3d.models import families
from keras_i3d.weights import published
from keras_i3d.weights.originals import original
from keras_i3d.weights.originals.catalogue import ORIGINALS
from keras_i3d.weights.originals.original import Original

ROW = families.find("S3D")


def place(name):
    layer, dot, weight = name.removeprefix("net.").partition(".")
    return (layer, weight) if dot and name.startswith("net.") else None


def other_place(name):
    return place("net." + name.removeprefix("other."))


KNOWN = Original("somebody", "S3D", place)


def written(classes=11, stream="rgb", prefix="net."):
    """What a PyTorch code would hold of an S3D: kernels (out, in, t, h, w), the head a matrix."""
    draw = np.random.default_rng(0)
    arrays = {}
    for (layer, weight), shape in ROW.variables(classes=classes, stream=stream).items():
        if len(shape) > 1:
            shape = (shape[-1], shape[-2]) if layer == ROW.head else (shape[-1], shape[-2], *shape[:-2])
        arrays[f"{prefix}{layer}.{weight}"] = draw.standard_normal(shape).astype("float32")
    arrays[f"{prefix}step.num_batches_tracked"] = np.int64(3)
    return arrays


@pytest.fixture(scope="module")
def arrays():
    return written()


def test_a_file_is_read_in_our_axes(arrays):
    found, weights, facts = original.find(arrays, [KNOWN], "file.pth")
    assert found is KNOWN
    assert (facts.family, facts.classes, facts.stream, facts.activation) == ("S3D", 11, "rgb", "softmax")
    assert {name: [each.shape for each in held] for name, held in weights.items()} == ROW.layout(classes=11)
    kernel = arrays[f"net.{ROW.first}.kernel"]
    np.testing.assert_array_equal(weights[ROW.first][0], kernel.transpose(2, 3, 4, 1, 0))
    np.testing.assert_array_equal(weights[ROW.head][0][0, 0, 0], arrays[f"net.{ROW.head}.kernel"].T)
    norm = ROW.first.replace("conv_3d", "batch_norm")
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    for value, weight in zip(weights[norm], names):
        np.testing.assert_array_equal(value, arrays[f"net.{norm}.{weight}"])


def test_a_body_of_the_other_stream():
    arrays = written(stream="flow")
    arrays = {name: value for name, value in arrays.items() if ROW.head not in name}
    _, weights, facts = original.find(arrays, [KNOWN], "file.pth")
    assert (facts.stream, facts.classes, facts.activation) == ("flow", None, None)
    assert ROW.head not in weights


def test_what_is_left_over_on_either_side_is_listed(arrays):
    lacking = {name: value for name, value in arrays.items() if "Mixed_4b_Branch_0" not in name}
    with pytest.raises(WeightsError, match="5 weights of the network are not in it: Mixed_4b_Branch_0"):
        original.find(lacking, [KNOWN], "file.pth")
    with pytest.raises(WeightsError, match=r"Nearest is S3D of somebody, which has no something\.else"):
        original.find(arrays | {"something.else": np.ones(3)}, [KNOWN], "file.pth")
    with pytest.raises(WeightsError, match="1 of its variables have no counterpart: nowhere/kernel"):
        original.find(arrays | {"net.nowhere.kernel": np.ones(3)}, [KNOWN], "file.pth")
    name = f"net.{ROW.first}.kernel"
    with pytest.raises(WeightsError, match=rf"1 shapes differ: {ROW.first}/kernel .* 63\) where the network has"):
        original.find(arrays | {name: arrays[name][:-1]}, [KNOWN], "file.pth")
    with pytest.raises(WeightsError, match="of no network that is known by its variables' names.*first variables: a"):
        original.find({"a": np.ones(3)}, [KNOWN], "file.pth")


def test_two_codes_of_the_same_names(arrays, capsys):
    """The row that is wanted decides, else the file's name, else the first, and a line says so."""
    i3d = Original("another", "I3D", place)  # whose layers are others
    twin = Original("twin", "S3D", place, named="twin")
    assert original.find(arrays, [i3d, KNOWN, twin], "file.pth")[0] is KNOWN
    assert original.find(arrays, [KNOWN, twin], "a/twin-1.pth")[0] is twin
    assert original.find(arrays, [KNOWN, twin], "a/twin-1.pth", wanted=["S3D"])[0] is twin
    assert original.find(arrays, [KNOWN, twin], "twins/1.pth")[0] is KNOWN  # a folder's name says nothing
    assert not capsys.readouterr().err


def test_a_file_of_a_network_that_is_not_here(arrays):
    wary = Original("somebody", "S3D", place, unlike="8x8")
    with pytest.raises(WeightsError, match="like_8x8.pkl is named like a file of a network that is not here"):
        original.find(arrays, [wary], "a/like_8x8.pkl")
    assert original.find(arrays, [wary], "8x8/like.pkl")[0] is wary
    patterns = {each.unlike for each in ORIGINALS if each.unlike}
    assert [pattern for pattern in patterns if re.search(pattern, "i3d_nonlocal_8x8_IN_pretrain_400k.pkl")]
    for entry in published.ENTRIES:  # no published one is refused
        assert not [pattern for pattern in patterns if re.search(pattern, entry.file.path)], entry.name


def test_every_original_is_of_a_row():
    for each in ORIGINALS:
        assert each.family in families.FAMILIES, each.name


def test_the_licence_of_weights_that_a_code_publishes(arrays, capsys):
    """What a file is taken for has it; of what it may be too, a line names it."""
    licensed = dataclasses.replace(KNOWN, licence="CC-BY-NC-4.0, if somebody published it")
    other = Original("another", "S3D-kylemin", place)
    assert original.find(arrays, [licensed, other], "file.pth")[2].licence == licensed.licence
    capsys.readouterr()
    assert original.find(arrays, [other, licensed], "file.pth")[2].licence is None
    assert f"may be of S3D ({licensed.licence}) too, by its names and shapes" in capsys.readouterr().err
    under = {each.name: each.licence for each in ORIGINALS if each.licence}
    assert set(under) == {"video-nonlocal-net", "Tushar-N"}
    assert all(licence.startswith("CC-BY-NC-4.0, if ") for licence in under.values())
