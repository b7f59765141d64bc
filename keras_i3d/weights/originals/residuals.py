"""Video ResNets as torchvision, ig65m-pytorch and VMZ name their weights, and C3D as mmaction2 does."""

import functools
import re

from keras_i3d.models.c3d import LAYERS
from keras_i3d.models.inception import HEAD
from keras_i3d.models.residual import NETWORKS, PARTED
from keras_i3d.weights.originals.original import Original

CONV = {"weight": "kernel", "bias": "bias"}
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}

# The number of a layer in PyTorch's sequence: (half, whether it is a batch norm).
WHOLE = {"0": ("", False), "1": ("", True)}
STEM_HALVES = {"0": ("spatial_", False), "1": ("spatial_", True), "3": ("temporal_", False), "4": ("temporal_", True)}
HALVES = {"0.0": ("spatial_", False), "0.1": ("spatial_", True), "0.3": ("temporal_", False), "1": ("temporal_", True)}


def place(name, parted):
    """(layer, weight) of a variable of torchvision's VideoResNet, or None.

    Args:
        name: as in "layer2.0.conv1.0.weight"; ig65m-pytorch and VMZ have the same names.
        parted: whether convolutions are 1 x 3 x 3 and 3 x 1 x 1.
    """
    path, _, leaf = name.rpartition(".")
    if path == "fc":
        return _weight(HEAD, CONV, leaf)
    if stem := re.fullmatch(r"stem\.(\d)", path):
        return _unit("conv1", (STEM_HALVES if parted else WHOLE).get(stem[1]), leaf)
    block = re.fullmatch(r"layer([1-4])\.(\d+)\.(conv1|conv2|downsample)\.([\d.]+)", path)
    if not block:
        return None
    stage, number, part, index = block.groups()
    unit = {"conv1": "a", "conv2": "b", "downsample": "shortcut"}[part]
    halves = HALVES if parted and part != "downsample" else WHOLE
    return _unit(f"conv{int(stage) + 1}_{int(number) + 1}_{unit}", halves.get(index), leaf)


def _unit(unit, where, leaf):
    if where is None:
        return None
    half, norm = where
    layer = f"{unit}_{half}{'batch_norm' if norm else 'conv_3d'}"
    # A convolution before a batch norm has no bias.
    return _weight(layer, NORM if norm else {"weight": "kernel"}, leaf)


def _weight(layer, names, leaf):
    return (layer, names[leaf]) if leaf in names else None


def place_c3d(name):
    """(layer, weight) of a variable of mmaction2's C3D, or None; its Sports-1M file names the backbone alone."""
    match = re.fullmatch(r"(?:backbone\.)?(?:(conv\d[ab])\.conv|(fc[67]))\.(weight|bias)", name)
    if match and (match[1] or match[2]) in {row[0] for row in LAYERS}:
        return f"{match[1] or match[2]}_conv_3d", CONV[match[3]]
    match = re.fullmatch(r"cls_head\.fc_cls\.(weight|bias)", name)
    return (HEAD, CONV[match[1]]) if match else None


def unflattened(layer, weight, array):
    """The kernel of fc6 as that of a convolution: (4096, 512 x 1 x 4 x 4) to (1, 4, 4, 512, 4096).

    The original flattens (channel, time, height, width).
    """
    if (layer, weight) != ("fc6_conv_3d", "kernel") or array.ndim != 2 or array.shape[1] % 16:
        return None  # of another shape, it is listed as such
    return array.reshape(len(array), -1, 1, 4, 4).transpose(2, 3, 4, 1, 0)


ORIGINALS = (
    *(
        Original(network.code, row, functools.partial(place, parted=network.stem == PARTED))
        for row, network in NETWORKS.items()
    ),
    Original("mmaction2", "C3D", place_c3d, convert=unflattened),
)
