"""Weights by name or path: what a user may pass as `weights=`, found, verified, and loaded by layer name."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable

import numpy as np

from keras_i3d import facts, paths
from keras_i3d.errors import WeightsError, notice
from keras_i3d.facts import SOFTMAX, Facts
from keras_i3d.models import families
from keras_i3d.specs import STREAMS
from keras_i3d.weights import (
    by_name,
    cache,
    conversion,
    download,
    h5_files,
    inflated_graphs,
    keras_files,
    registry,
    tensorflow_files,
    torch_files,
)
from keras_i3d.weights.originals import deepmind


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model's weights come from, known before they are read.

    Attributes:
        name: what to call it in messages.
        facts: what is known of the network that they are of, the classes of its head always.
        read: returns {layer name: arrays}.
        partial: whether layers of the network's body may be missing in them, which stay as they were drawn then.
        published: whether it was asked for by a published name.
    """

    name: str
    facts: Facts
    read: Callable
    partial: bool = False
    published: bool = False


def find(weights, stream=None, attempts=download.ATTEMPTS, wanted=(), accept_licence=None):
    """Returns the Source that `weights=` names: a registry name or a path. Nothing is downloaded yet.

    Args:
        weights: the name or the path.
        stream: "rgb" or "flow"; None takes a file's own, which a name does not have.
        attempts: connections to try, when it is read.
        wanted: names of the networks that they may be of, for files that say nothing of themselves; all if empty.
        accept_licence: True, or the name of a licence, if the user accepts one that forbids commerce.

    Raises:
        ValueError: neither a published name nor an existing path.
        WeightsError: a file that is no weights file, or a published name whose licence nobody accepts.
    """
    if not registry.is_name(weights):
        return _from_path(weights, stream, wanted)
    if stream is None:
        raise ValueError(f'Published weights belong to "rgb" or "flow". Received: {weights!r} without a stream')
    if weights == registry.IMAGENET:
        family = families.find(next(filter(registry.has_imagenet, wanted), deepmind.SLIMS))
        read, partial = functools.partial(_imagenet, family, stream, attempts), not family.inflated_from.depth
        return Source(weights, Facts(stream, family=family.name), read, partial, published=True)
    entry = registry.find(weights, stream)
    registry.check_licence(entry, accept_licence)
    return Source(entry.name, entry.facts, functools.partial(_cached, cache.published, entry, attempts), published=True)


def _cached(fetch, *asked):
    return h5_files.read_h5(fetch(*asked))


def _imagenet(family, stream, attempts):
    """{layer: arrays} of ImageNet's weights, inflated for a network."""
    if family.inflated_from.depth:
        return inflated_graphs.imagenet(family)
    return h5_files.read_h5(cache.imagenet(stream, attempts, family.name))


def load(model, source):
    """Gives a model the weights of a Source, by layer name, and notes in it what is known of them.

    A head for another number of classes than the source's stays as it was drawn, and a line says so; nothing is noted
    then, because what such a model is trained on is still to come. A line names a licence that forbids commerce.

    Raises:
        WeightsError: a layer without its counterpart, or another stream's weights; the model is untouched.
    """
    family = families.find(source.facts.family)
    _check_family(model, family, source.name)  # before anything is fetched
    facts.say_licence(source.name, source.facts)
    weights = source.read()
    shapes = by_name.layer_shapes(model)
    own = {scope: _family_of(layers) if scope else family for scope, layers in _parts(weights).items()}
    for name in (scope + each.first for scope, each in own.items() if scope + each.first in weights):
        _check_stream(np.shape(weights[name][0])[-2], shapes.get(name, [(None,) * 5])[0][-2], source.name)
    heads = {scope + each.head for scope, each in own.items()} & {*shapes, *weights}
    fresh = {n for n in heads & set(shapes) if n not in weights or np.shape(weights[n][0]) != shapes[n][0]}
    missing = {name for name in shapes if name not in weights and name not in heads} if source.partial else set()
    by_name.assign(model, weights, source.name, skip=fresh | missing | (heads - set(shapes)))
    if missing:
        notice(f"{source.name}: {by_name.listed(missing)} are new and must be trained")
    if fresh:
        classes = shapes[min(fresh)][0][-1]
        had = f" instead of {source.facts.classes}" if source.facts.classes else ""
        notice(f"{source.name}: body loaded; the head for {classes} classes{had} is new and must be trained")
    elif hasattr(model.input, "shape"):  # one stream
        headless = {} if family.head in shapes else {"classes": None, "labels": None, "activation": None}
        facts.note(model, dataclasses.replace(source.facts, **headless))


def say_activation(source):
    """Says in a line where nobody said what a Source's network ends in: softmax is taken."""
    known = source.facts
    if known.activation or not known.classes:
        return
    alike = {
        each.weights: each.facts.activation
        for each in registry.of_network(known.family)
        if each.classes == known.classes
    }
    others = [f' ("{name}", of as many classes, ends in {its})' for name, its in alike.items() if its != SOFTMAX]
    notice(
        f"{source.name} does not say what it ends in; softmax is taken{''.join(others)}. For sigmoid, build it in "
        'Python with classifier_activation="sigmoid", and save it as .keras'
    )


def _check_family(model, family, name):
    """Raises WeightsError if the weights are of another network than the model, of one stream."""
    own = families.of(model)
    if own is not None and own is not family and own.shares != family.name:
        raise WeightsError(
            f"{name} holds weights of {family.name}; this model is {own.name}. Pass weights of {own.name} or none, or "
            f"build {family.name}."
        )


def _from_path(weights, stream, wanted):
    if not isinstance(weights, str | os.PathLike):
        raise ValueError(f"Unknown weights {weights!r}. {registry.choices(wanted)}")
    path = pathlib.Path(paths.expand(weights))
    noted = None
    if path.name.endswith(".weights.h5") and path.is_file():
        if h5_files.checksum_file(path).exists() and not h5_files.intact(path):
            raise WeightsError(
                f"{path} does not match the checksum in {h5_files.checksum_file(path).name}. Make it again, or remove "
                "the checksum if it was changed on purpose."
            )
        values = h5_files.read_h5(path)
        noted = h5_files.facts_of(path, stream)
    elif path.suffix == ".keras" and path.is_file():
        model = keras_files.load(path)
        values = by_name.layer_weights(model)
        own = families.of(model)
        noted = facts.of(model) or Facts(
            stream,
            activation=facts.activation(model),
            family=own.name if own else _family_of(_first_part(values)).name,
        )
    elif torch_files.is_torch(path):
        values, noted = conversion.read_torch(path, wanted)
    elif os.path.isfile(f"{tensorflow_files.checkpoint_prefix(path)}.index") or tensorflow_files.is_first_format(path):
        values, noted = conversion.read_tensorflow(path, stream, wanted)
    else:
        what = "not a weights file" if path.exists() else "no such file"
        raise ValueError(f"Unknown weights {str(weights)!r}: {what}. {registry.choices(wanted)}")
    return Source(str(weights), _completed(noted, values, stream, weights, wanted), lambda: values)


def _check_ranks(by_layer, family):
    """Raises WeightsError where a layer by the name of one of the network's has arrays of other ranks."""
    for name, shapes in family.layout().items():
        if name in by_layer and [np.ndim(array) for array in by_layer[name]] != [len(shape) for shape in shapes]:
            ranks = ", ".join(str(len(shape)) for shape in shapes)
            raise WeightsError(
                f"{name} needs arrays of {ranks} axes. Received: {[np.shape(array) for array in by_layer[name]]}"
            )


def _completed(noted, values, stream, name, wanted=()):
    """Returns Facts that say all that shows in the arrays themselves, whatever was noted.

    Where nothing was noted, the network is the one of `wanted` that has such layers; a line names those that have too.
    """
    by_layer = _first_part(values)
    shapes = {name: [np.shape(array) for array in arrays] for name, arrays in by_layer.items()}
    family = (
        families.find(noted.family) if noted else _of_layers(shapes, None if "" not in _parts(values) else name, wanted)
    )
    _check_ranks(by_layer, family)
    channels = np.shape(by_layer[family.first][0])[-2] if family.first in by_layer else None
    own = channels and family.stream_of(channels)
    noted = noted or Facts(own, family=family.name)
    classes = int(by_layer[family.head][0].shape[-1]) if family.head in by_layer else None
    embedding = family.activation if family.activation != SOFTMAX and classes == family.classes else None
    return dataclasses.replace(
        noted,
        stream=own or noted.stream or stream,
        classes=classes,
        activation=noted.activation or embedding,
        depth_multiplier=family.depth_multiplier_of(shapes, noted.depth_multiplier),
    )


def _parts(values):
    """{scope: {layer: arrays}} of the models inside a model; that of a model of one stream is ""."""
    parts = {}
    for name, arrays in values.items():
        scope, slash, layer = name.rpartition("/")
        parts.setdefault(scope + slash, {})[layer] = arrays
    return parts


def _first_part(values):
    """{layer: arrays} of the first stream of a model."""
    return next(iter(_parts(values).values()), {})


def _family_of(layers):
    """The Family that layers say they are of, where nobody else does."""
    return families.of_layers({name: [np.shape(array) for array in arrays] for name, arrays in layers.items()})


def _of_layers(shapes, name, wanted):
    """The Family of layers that say nothing of it, of `wanted` if one has such layers; without a name no line is said.

    A model of two streams has none, whose builder knows both networks.
    """
    alike = families.all_of_layers(shapes)
    family, *others = [row for row in alike if row.name in wanted] or alike
    others = [row.name for row in others if row.shares != family.name]
    if others and name:
        notice(f"{name} may be of {' or '.join(others)} too, by its layers; {family.name} is taken")
    return family


def _check_stream(channels, wanted, name):
    if wanted is not None and channels != wanted:
        own, asked = (STREAMS.get(number, "no stream") for number in (channels, wanted))
        raise WeightsError(
            f"{name} holds weights for {channels} input channels ({own}); this model takes {wanted} ({asked}). Pass "
            f'stream="{STREAMS.get(channels, "...")}" or the other stream\'s weights.'
        )
