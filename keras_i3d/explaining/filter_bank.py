"""The filters that read the clip, as figure 4 of the I3D paper has them, and what inflation and training made of them.

Carreira and Zisserman 2017, arXiv 1705.07750, section 3.4: a 2D filter, repeated over time, begins still; what training
adds is motion. `FilterBank.temporal_share` is that part of a filter's energy which lies outside of its mean over time.
"""

import dataclasses
import os

import keras
import numpy as np

from keras_i3d import networks, runs
from keras_i3d.errors import WeightsError
from keras_i3d.models.blocks import SpaceToDepth3D
from keras_i3d.models.stacking import FlowStacks
from keras_i3d.specs import CHANNELS
from keras_i3d.weights import download, registry, sources
from keras_i3d.weights.originals.deepmind import inflated_kernel

INFLATED = "inflated"  # stands for ImageNet's weights, as the network takes them


@dataclasses.dataclass(frozen=True, eq=False)
class FilterBank:
    """The kernels of a layer that reads frames or flow.

    Attributes:
        origin: what messages call the network.
        layer: its name.
        kernel: float32 (t, h, w, C, filters), in the order of time: C is 3 of RGB, 2 of flow.
        start: the same of the 2D weights that it is compared with, repeated over time and divided by t; None for none.
        against: what these are; None for none.
    """

    origin: str
    layer: str
    kernel: np.ndarray
    start: np.ndarray | None = None
    against: str | None = None

    @property
    def norm(self):
        """float64 (filters,): the L2 norm of each."""
        return np.sqrt(np.sum(np.float64(self.kernel) ** 2, axis=(0, 1, 2, 3)))

    @property
    def temporal_share(self):
        """float64 (filters,), in [0, 1]: the energy of each outside of its mean over time; 0 of a repeated filter."""
        kernel = np.float64(self.kernel)
        varied = np.sum((kernel - kernel.mean(axis=0)) ** 2, axis=(0, 1, 2, 3))
        return varied / np.maximum(self.norm**2, 1e-300)

    @property
    def cosine(self):
        """float64 (filters,), in [-1, 1]: of each with the inflated 2D filter; None without one."""
        if self.start is None:
            return None
        start = np.float64(self.start)
        product = np.sum(self.kernel * start, axis=(0, 1, 2, 3))
        return product / np.maximum(self.norm * np.sqrt(np.sum(start**2, axis=(0, 1, 2, 3))), 1e-300)

    def record(self):
        """Returns what `--json` prints: plain numbers, strings and lists."""
        numbers = {"norm": self.norm, "temporal_share": self.temporal_share, "cosine": self.cosine}
        numbers = {name: values.tolist() for name, values in numbers.items() if values is not None}
        shape = list(self.kernel.shape)
        return {"network": self.origin, "layer": self.layer, "kernel": shape, "against": self.against, **numbers}

    def __str__(self):
        t, h, w, channels, filters = self.kernel.shape
        seen = "RGB" if channels == CHANNELS["rgb"] else "flow"
        lines = [f"{self.origin}, {self.layer}: {filters} filters of {t} x {h} x {w} over {seen}"]
        lines.append(_range("norm", self.norm))
        if t > 1:
            lines.append(_range("share of the energy that varies over time", self.temporal_share))
        if self.start is not None:
            lines.append(_range(f"cosine with {self.against}, repeated over time", self.cosine))
        return "\n".join(lines)


def first_filters(weights, stream=None, layer=None, against=None, attempts=download.ATTEMPTS, accept_licence=None):
    """Reads the filters of a layer that reads frames or flow.

    A first convolution whose weights lie rearranged, 2 x 2 x 2 neighbours on the channel axis, is put back to a kernel
    of single frames and pixels; of a network that reads stacks of fields, the fields are the time.

    Args:
        weights: what `networks.load` takes: a published name, a training run, a file, or a model.
        stream: "rgb" or "flow", which a published name needs.
        layer: name of the convolution; by default the network's first.
        against: 2D weights to compare with: "inflated" for ImageNet's, as the network takes them; a file, such as a
            TF-Slim checkpoint; a training run or a model. A kernel of one step is repeated over time. Of a filter over
            RGB the mean of its channels is taken for flow.
        attempts, accept_licence: as for `networks.load`.

    Returns:
        A FilterBank.

    Raises:
        ValueError: no such layer, or one that reads neither frames nor flow; weights that are not there.
        keras_i3d.WeightsError: weights without such a layer, or of another size.
    """
    network = networks.load(weights, stream, "float32", attempts, accept_licence)
    name = layer or network.family.first
    convolution = _convolution(network, name)
    kernel = np.float32(keras.ops.convert_to_numpy(convolution.kernel))
    before = next((other for other in network.model.layers if other.output is convolution.input), None)
    plain = _plain(kernel, before)
    if plain.shape[3] not in CHANNELS.values():
        raise ValueError(
            f"A picture is of filters over 3 channels (rgb) or 2 (flow). Received: {name}, which reads "
            f"{plain.shape[3]}. Take the first convolution, {network.family.first}."
        )
    if against is None:
        return FilterBank(network.origin, name, plain)
    found = _other_kernel(against, network, name, attempts, accept_licence)
    start = _inflated(_plain(found, before if found.shape[3] == kernel.shape[3] else None), plain.shape, against)
    called = "ImageNet's filter" if against == INFLATED else f"that of {_called(against)}"
    return FilterBank(network.origin, name, plain, start, called)


def _convolution(network, name):
    found = {each.name: each for each in network.model.layers if isinstance(each, keras.layers.Conv3D)}
    if name not in found:
        few = ", ".join([*found][:4])
        raise ValueError(f"A layer with filters of {network.family.name} is one of {few}, ... Received: layer={name!r}")
    return found[name]


def _plain(kernel, before):
    """A kernel over single frames and pixels.

    Args:
        kernel: (t, h, w, C, filters).
        before: the layer whose output it reads; None for the clip itself.
    """
    *sizes, channels, filters = kernel.shape
    if isinstance(before, SpaceToDepth3D):
        kernel = kernel.reshape(*sizes, 2, 2, 2, channels // 8, filters).transpose(0, 3, 1, 4, 2, 5, 6, 7)
        return kernel.reshape(*(2 * size for size in sizes), channels // 8, filters)
    if isinstance(before, FlowStacks):
        by_field = (2, before.fields) if before.order == "planes" else (before.fields, 2)
        kernel = kernel[0].reshape(*sizes[1:], *by_field, filters)
        return kernel.transpose((3, 0, 1, 2, 4) if before.order == "planes" else (2, 0, 1, 3, 4))
    return kernel


def _other_kernel(against, network, name, attempts, accept_licence):
    """The kernel of the same layer in other weights."""
    stream, family = network.stream, network.family.name
    if isinstance(against, keras.Model) or runs.is_run(against):
        other = networks.load(against, precision="float32")
        return np.float32(keras.ops.convert_to_numpy(_convolution(other, name).kernel))
    if against == INFLATED:
        if not registry.has_imagenet(family):
            raise ValueError(f"{family} is inflated from no ImageNet weights that are fetched. Pass against= a file.")
        source = sources.find(registry.IMAGENET, stream, attempts, (family,))
    else:
        own = stream if registry.is_name(against) else None
        source = sources.find(against, own, attempts, (family,), accept_licence)
    arrays = source.read()
    if name not in arrays:
        raise WeightsError(f"{source.name} has no layer {name}. Pass weights of a network of the same blocks.")
    return np.float32(arrays[name][0])


def _inflated(kernel, shape, against):
    """A 2D kernel, or one that was inflated, as one of this shape."""
    t, h, w, channels, filters = shape
    if kernel.shape[3] != channels:
        kernel = np.repeat(kernel.mean(axis=3, keepdims=True), channels, axis=3)
    if len(kernel) == 1 and t > 1:
        kernel = inflated_kernel(kernel[0], t)
    if kernel.shape != shape:
        raise WeightsError(
            f"Filters to compare are {t} or 1 x {h} x {w}, {filters} of them. Received: {kernel.shape} of "
            f"{_called(against)}. Pass weights of the same width."
        )
    return kernel


def _called(weights):
    return weights.name if isinstance(weights, keras.Model) else os.fspath(weights)


def _range(what, values):
    return f"  {what}: median {np.median(values):.3f}, {values.min():.3f} to {values.max():.3f}"
