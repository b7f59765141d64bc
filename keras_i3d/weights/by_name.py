"""Weights by layer name: compared, assigned, fingerprinted.

Weights travel as `{layer name: [arrays in Keras's order]}`; the layers of a nested model as `model/layer`. A name or a
shape without its counterpart is an error.
"""

import hashlib

import numpy as np

from keras_i3d.errors import WeightsError
from keras_i3d.models.family import give


def layer_weights(model):
    """Returns {layer name: arrays} of a model; the layers of a nested model as `model/layer`."""
    return {name: [np.asarray(w) for w in layer.get_weights()] for name, layer in weighted_layers(model)}


def layer_shapes(model):
    """Returns {layer name: [shapes]} of a model, in the order of its layers."""
    return {name: [tuple(w.shape) for w in layer.weights] for name, layer in weighted_layers(model)}


def weighted_layers(model, path=""):
    """Yields (name, layer) for each layer with weights, those of nested models under `model/`."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from weighted_layers(layer, f"{path}{layer.name}/")
        elif layer.weights:
            yield path + layer.name, layer


def fingerprint(shapes):
    """Returns the sha256 of a model's layer names and weight shapes, in order.

    Keras loads `.weights.h5` by class and position: equal fingerprints are what makes that safe.
    """
    return hashlib.sha256(
        repr([(name, [tuple(s) for s in each]) for name, each in shapes.items()]).encode()
    ).hexdigest()


def digest(model):
    """Returns the sha256 of a model's weights: of each layer's name and of the shapes and values of its arrays.

    Layers are taken in the order of their names and values as float32, little-endian, so that the same weights have the
    same digest whatever file they came in and whatever precision the model computes in.
    """
    found = hashlib.sha256()
    for name, arrays in sorted(layer_weights(model).items()):
        found.update(repr((name, [array.shape for array in arrays])).encode())
        for array in arrays:
            found.update(np.ascontiguousarray(array, "<f4").data)
    return found.hexdigest()


def check_match(weights, shapes, source, skip=()):
    """Raises WeightsError listing every layer of `weights` and of the model's `shapes` without its equal."""
    missing = [name for name in shapes if name not in weights and name not in skip]
    unknown = [name for name in weights if name not in shapes and name not in skip]
    differing = [
        f"{name} {[np.shape(w) for w in weights[name]]} where the model has {shape}"
        for name, shape in shapes.items()
        if name in weights and name not in skip and [tuple(np.shape(w)) for w in weights[name]] != shape
    ]
    complaints = [
        f"{len(names)} {what}: {listed(names)}"
        for names, what in (
            (missing, "layers of the model are not in it"),
            (unknown, "of its layers are not in the model"),
            (differing, "layers differ in shape"),
        )
        if names
    ]
    if complaints:
        raise WeightsError(f"{source} does not belong to this model: {'; '.join(complaints)}.{_hint(weights, shapes)}")


def _hint(weights, shapes):
    """The remedy, where the way in which weights and model differ tells it."""
    nested = {name.partition("/")[0] for name in weights if "/" in name}
    if nested and not any("/" in name for name in shapes):
        return f" It holds models inside a model: save {' or '.join(sorted(nested))} alone, and pass that."
    if any("/" in name for name in shapes):
        return ' The model has two streams: pass weights={"rgb": ..., "flow": ...}, or a two-stream model\'s own file.'
    if set(weights) == set(shapes):
        return " Layers of other widths: pass the depth_multiplier that it was built with."
    return " Pass a file that the layers of such a model were saved in, by their names."


def assign(model, weights, source, skip=()):
    """Sets a model's weights by layer name, all or none; layers in `skip` stay as they are."""
    check_match(weights, layer_shapes(model), source, skip)
    for name, layer in weighted_layers(model):
        if name not in skip:
            for variable, array in zip(layer.weights, weights[name]):
                give(variable, array)


def in_layout(weights, shapes, source):
    """Returns the weights as float32, in the order of `shapes`, whose layers and shapes they must have."""
    check_match(weights, shapes, source)
    return {name: [np.asarray(array, "float32") for array in weights[name]] for name in shapes}


def listed(names, most=6):
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
