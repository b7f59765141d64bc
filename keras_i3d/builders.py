"""Networks by name, with weights, as the public builders make them, and what those all share."""

import dataclasses
import functools
import inspect

from keras_i3d import facts, runs
from keras_i3d.errors import WeightsError, notice
from keras_i3d.models import families
from keras_i3d.specs import INPUT_CHANNELS, check_stream
from keras_i3d.weights import download, registry, sources

OWN = "own"  # an activation: what the weights were trained with


def build(
    family,
    include_top=True,
    weights=None,
    input_shape=None,
    stream=None,
    pooling=None,
    classes=None,
    classifier_activation=OWN,
    dropout=0.0,
    depth_multiplier=None,
    bn_momentum=None,
    name=None,
    accept_licence=None,
    **options,
):
    """Builds a network by its name, with weights; the other arguments are those of `keras_i3d.I3D`.

    Args:
        family: a key of `models.families.FAMILIES`; with `options`, the name of a public builder.
        weights: a Source does too, which was found already.
        stream: "rgb", "flow" or another that the network takes; by default its first.
        bn_momentum: None takes the network's own.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and the user accepts it.
        options: the builder's own arguments. None takes what the weights say, and the builder's default otherwise.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: no network of that name, or an argument out of its range.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched, or of another network.
    """
    if stream is not None:
        check_stream(stream, INPUT_CHANNELS)
    rows = families.of_builder(family, options, stream) if options else (families.find(family),)
    stream = stream or next(iter(rows[0].clips))
    source = found(
        registry.whole_name(weights, [row.name for row in rows]), stream, depth_multiplier, rows, accept_licence
    )
    row = _chosen(rows, source, family)
    if source is None:
        _say_what_else(row, options)
    settings = {} if bn_momentum is None else {"bn_momentum": bn_momentum}
    model = row.build(
        include_top=include_top,
        input_shape=input_shape,
        stream=stream,
        pooling=pooling,
        classes=size(classes, source, row),
        classifier_activation=activation(classifier_activation, source, row if classes is None else None),
        dropout=dropout,
        depth_multiplier=width(depth_multiplier, source),
        name=name,
        **settings,
    )
    if source is not None:
        sources.load(model, source)
        if runs.is_run(weights):
            _note_thresholds(model, runs.read(weights))
    return model


def _note_thresholds(model, run):
    """Notes in a model with the weights of a run the thresholds that were chosen for these."""
    known = facts.of(model)
    if known is not None and known.activation == facts.SIGMOID:
        facts.note(model, dataclasses.replace(known, thresholds=run.facts_of(model).thresholds))


def _chosen(rows, source, builder):
    """Returns the row that is built: that of the weights if it is one of `rows`, else the first of them."""
    own = families.find(source.facts.family) if source else None
    if own in rows:
        if own is not rows[0]:
            notice(f"{source.name} is of {own.name}, which is built: {own.title}")
        return own
    if own is not None and own.of == rows[0].of and own.name != rows[0].shares:
        raise WeightsError(
            f"{source.name} holds weights of {own.name}, {builder}({_as_arguments(own.options)}). Received: "
            f"{builder}({_as_arguments(rows[0].options)}), which is {rows[0].name}. Leave out what differs."
        )
    return rows[0]  # whose loading says what is wrong with weights of another network


def _say_what_else(row, options):
    """Says in a line which arguments were left open and are not the builder's default, because nothing else fits."""
    usual = families.of_builder(row.of, {})[0].options
    open_ones = {name for name, value in options.items() if value is None}
    other = {name: value for name, value in row.options.items() if name in open_ones and name in usual}
    other = {name: value for name, value in other.items() if value != usual[name]}
    if other:
        notice(f"{row.of} is made with {_as_arguments(other)}, with which alone there are such networks: {row.title}")


def _as_arguments(options):
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


COMMON = """
    Args:
        include_top: whether to end in the classification head.
        weights: {names}None (fresh), or a path: `.weights.h5`, `.keras`, a file that the original code wrote, or the
            folder of a training run. Published weights are downloaded, verified and converted at first use, and cached
            in `$KERAS_HOME/keras_i3d`.
        input_shape: (T, H, W, C); by default (None, {crop}, {crop}, {channels}). Any height and width from {least}
            pixels, any length from {frames} frames; None for what is not fixed.
        stream: {streams}.
        pooling: with include_top=False: None returns (B, T', H', W', C'), "avg" and "max" give float32 (B, C').
        classes: size of the head. None takes the weights' own ({classes} without weights). Any other number with
            pretrained weights loads the body and draws a new head, and a line says so.
        classifier_activation: applied to the averaged logits; None returns the logits. "own" takes what the weights
            were trained with, and "softmax" if they do not say.
        dropout: the share dropped before the last layer in training.
        depth_multiplier: scales every layer's width, at least 8; below 1 for experiments without weights. None takes
            the weights' own, and 1 without weights.
        bn_momentum: momentum of the moving statistics; None takes the original's. 0.999 suits 100,000 steps; in a run
            of a few hundred they would never arrive: use 0.9.
        name: the model's name.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it.
{own}
    Returns:
        A functional `keras.Model`: float32 (B, T, H, W, C), as `preprocess_input` scales it, to float32 (B, classes).

    Raises:
        ValueError: an argument out of its range.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched, or of another network.
"""


def builder(name, weights=None, **options):
    """Makes the public function that builds a network, or the networks that its options tell apart.

    Args:
        name: the builder's, `Family.of` of its rows.
        weights: default of the argument.
        options: {argument of its own: default}. The decorated function's docstring says, after a line "Args:", what
            each is; all that builders share is added.

    Returns:
        A decorator. What it decorates has a name and a docstring, and is never called.
    """
    defaults = {**inspect.signature(build).parameters}
    defaults.pop("family"), defaults.pop("options")
    defaults["weights"] = defaults["weights"].replace(default=weights)
    own = [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=value) for option, value in options.items()
    ]
    signature = inspect.Signature([*defaults.values(), *own])

    def decorate(described):
        @functools.wraps(described)
        def network(*arguments, **settings):
            bound = signature.bind(*arguments, **settings)
            bound.apply_defaults()
            return build(name, **bound.arguments)

        network.__signature__ = signature
        network.__doc__ = _documented(described, name)
        return network

    return decorate


def _documented(described, name):
    """The docstring of a builder: its own, and what all share."""
    row = families.of_builder(name, {})[0]
    about, _, own = (described.__doc__ or "").partition("\n    Args:\n")
    streams = " or ".join(f'"{stream}"' for stream in row.clips)
    clip = next(iter(row.clips.values()))
    known = "".join(f'"{each}", ' for each in registry.names([each.name for each in families.of_builder(name, {})]))
    return (
        about.rstrip()
        + "\n"
        + COMMON.format(
            names=known,
            crop=clip.crop,
            channels=INPUT_CHANNELS[clip.stream],
            least=row.min_size,
            frames=row.min_frames,
            streams=streams,
            classes=row.classes,
            own=own.rstrip() + "\n" if own else "",
        )
    )


def found(weights, stream, depth_multiplier, rows=(), accept_licence=None):
    """Returns the Source of what `weights=` names, or the Source that it is already; None for None."""
    if weights is None:
        return None
    check_stream(stream, INPUT_CHANNELS)
    is_found = isinstance(weights, sources.Source)
    if depth_multiplier not in (None, 1.0) and (weights.published if is_found else registry.is_name(weights)):
        raise ValueError(
            f"Published weights have depth_multiplier=1. Received: weights={weights.name if is_found else weights!r}, "
            f"depth_multiplier={depth_multiplier}. Pass weights=None."
        )
    if is_found:
        return weights
    if runs.is_run(weights):
        weights = runs.weights_file(weights)
    return sources.find(weights, stream, download.ATTEMPTS, [row.name for row in rows], accept_licence)


def size(classes, source, row):
    """The number of classes: what is asked for, that of the weights, or the network's own."""
    if classes is not None:
        return classes
    return (source.facts.classes if source else None) or row.classes


def width(depth_multiplier, source):
    if depth_multiplier is not None:
        return depth_multiplier
    return (source.facts.depth_multiplier if source else None) or 1.0


def activation(wanted, source, row=None):
    """What a new model ends in: by default as its weights or its row say. A line if it is not what weights end in."""
    own = source.facts.activation if source else None
    if wanted == OWN:
        if source:
            sources.say_activation(source)
        return own or (row.activation if row else facts.SOFTMAX)
    if own and wanted not in (own, None):
        notice(f"{source.name} was trained with {own}; the model ends in {wanted}, as asked")
    return wanted
