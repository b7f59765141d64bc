"""The checkpoints that the original codes write: Sonnet's Inception I3D, and TF-Slim's 2D Inception V1.

No model is built to read one: what comes of it must not depend on the caller's dtype policy, backend or strategy.
"""

import re

import numpy as np

from keras_i3d.errors import WeightsError, notice
from keras_i3d.facts import SOFTMAX, Facts
from keras_i3d.models import families
from keras_i3d.specs import STREAMS
from keras_i3d.weights import tensorflow_files
from keras_i3d.weights.by_name import in_layout, listed

SONNETS = SLIMS = "I3D"  # the network that Sonnet's checkpoints are of, and into which TF-Slim's are inflated
SONNET_KINDS = {"conv_3d": ("w", "b"), "batch_norm": ("beta", "moving_mean", "moving_variance")}
SLIM_SUFFIXES = {
    "weights": "conv_3d/w",
    "biases": "conv_3d/b",
    "BatchNorm/beta": "batch_norm/beta",
    "BatchNorm/moving_mean": "batch_norm/moving_mean",
    "BatchNorm/moving_variance": "batch_norm/moving_variance",
}


def read_sonnet(prefix):
    """Reads an Inception I3D checkpoint, published or fine-tuned, as {layer name: arrays}.

    Both published layouts: variables under a scope such as `RGB/inception_i3d/` with (C,) batch norm,
    and the Kinetics-600 one with no scope, (1, 1, 1, 1, C) batch norm and optimizer slots, which are left out.

    Args:
        prefix: path of the checkpoint, without `.index` or `.data-...`.

    Raises:
        WeightsError: unreadable, not an I3D, or with variables that belong to no layer.
    """
    prefix = tensorflow_files.checkpoint_prefix(prefix)
    variables = tensorflow_files.read(prefix)
    unit = families.find(SONNETS).first.removesuffix("_conv_3d")
    scopes = [name[: -len(f"{unit}/conv_3d/w")] for name in variables if name.endswith(f"{unit}/conv_3d/w")]
    if len(scopes) != 1:
        raise WeightsError(
            f"{prefix}: an Inception I3D checkpoint has one variable .../{unit}/conv_3d/w; found {len(scopes)}. "
            + (f"Its first variables: {listed(variables)}" if not scopes else f"Split it by scope: {listed(scopes)}")
        )
    scope = scopes[0]
    weights, unmatched = {}, []
    for name, value in variables.items():
        unit, kind, variable = (name.removeprefix(scope).rsplit("/", 2) + ["", ""])[:3]
        if not name.startswith(scope) or variable not in SONNET_KINDS.get(kind, ()):
            unmatched.append(name)
            continue
        if kind == "batch_norm":
            value = value.reshape(-1) if value.size == max(value.shape) else value
        weights.setdefault(f"{unit}_{kind}".replace("/", "_"), {})[variable] = value
    if unmatched:
        raise WeightsError(f"{prefix}: {len(unmatched)} variables belong to no layer of I3D: {listed(unmatched)}")
    return _in_keras_order(weights)


def read_inception_v1(prefix, channels=3, network=SLIMS):
    """Reads a TF-Slim Inception V1 checkpoint as weights of a network of the same blocks, kernels repeated over time.

    A kernel (h, w, in, out) becomes (t, h, w, in, out): t copies, each divided by t, so that a video of one
    repeated image gives what the image gave (arXiv 1705.07750, section 2.4.1). Of a 2D network t is 1. The class layer
    is skipped, and what the network has beyond the blocks is left out. A network of two such bodies gets them twice.

    For flow that is common practice and not described in the paper; a line says so.

    Args:
        prefix: path of the checkpoint; both of TensorFlow's formats.
        channels: of the clip: 3 for RGB, 2 for flow. A first kernel that reads flow is averaged over its input channels
            and repeated.
        network: name of a row that is inflated from it.

    Raises:
        WeightsError: unreadable, or any name or shape that is not Inception V1's.
    """
    family = families.find(network)
    shapes = family.layout(include_top=False, stream=_stream(family, channels))
    shapes = {name: each for name, each in shapes.items() if _unit(name) in _inception_v1()}
    by_unit = {_unit(name): each for name, each in shapes.items()}
    weights, unmatched = {}, []
    for name, value in tensorflow_files.read(prefix).items():
        layer, variable = slim_place(name) or (None, None)
        if layer is None:
            unmatched.append(name)
            continue
        if layer.startswith("Logits_"):
            continue
        if variable == "w":
            if layer not in by_unit:
                unmatched.append(name)
                continue
            value = inflated_kernel(value, by_unit[layer][0][0])
        weights.setdefault(layer, {})[variable] = value
    if unmatched:
        raise WeightsError(f"{prefix}: {len(unmatched)} variables are not Inception V1's: {listed(unmatched)}")
    read = _in_keras_order(weights)
    first = families.find(SLIMS).first
    weights = {name: list(read[_unit(name)]) for name in shapes if _unit(name) in read}
    weights |= {unit: each for unit, each in read.items() if unit not in by_unit}  # which are none of the network's
    for name in weights:
        if _unit(name) != first or np.ndim(weights[name][0]) != 5:
            continue
        wanted, found = shapes[name][0][3], weights[name][0].shape[3]
        if wanted != found == 3:
            notice(f"the first convolution is averaged over RGB and repeated for {wanted} flow channels")
            weights[name][0] = np.repeat(weights[name][0].mean(axis=3, keepdims=True), wanted, axis=3)
    return in_layout(weights, shapes, prefix)


def slim_place(name):
    """Returns (layer, Sonnet's name of the variable) of a variable of TF-Slim's 2D Inception V1, or None.

    The layer is called as those of I3D, whether there is one or not.
    """
    match = re.fullmatch(rf"InceptionV1/(.+?)/({'|'.join(SLIM_SUFFIXES)})", name)
    if match is None:
        return None
    kind, variable = SLIM_SUFFIXES[match[2]].split("/")
    return f"{match[1].replace('Conv2d', 'Conv3d').replace('/', '_')}_{kind}", variable


def _inception_v1():
    return families.find(SLIMS).layout(include_top=False).keys()


def _unit(layer):
    """A layer's name without that of the body that it is in."""
    return re.sub("^(rgb|flow)_", "", layer)


def _stream(family, channels):
    stream = STREAMS.get(channels)
    return stream if stream in family.clips else None


def _in_keras_order(weights):
    """{layer: {variable: array}} -> {layer: [arrays]}; a batch norm or convolution has all its parts or fails later."""
    order = [variable for kind in SONNET_KINDS.values() for variable in kind]
    return {layer: [parts[v] for v in order if v in parts] for layer, parts in weights.items()}


def inflated_kernel(kernel, frames):
    """(h, w, in, out) -> (frames, h, w, in, out): copies, each divided by their number (arXiv 1705.07750, 2.4.1)."""
    return np.repeat(kernel[None] / np.asarray(frames, kernel.dtype), frames, axis=0)


def facts(stream):
    """Returns the Facts of a Sonnet checkpoint that says nothing of itself; that code trains with a softmax."""
    return Facts(stream, activation=SOFTMAX, family=SONNETS)
