"""Checks of a network's weights: of its head, its batch norms, its filters, and of what it says about itself."""

import contextlib
import dataclasses
import os

import numpy as np

from keras_i3d import networks
from keras_i3d.checkup.findings import fault, fine, look, note, some, warning
from keras_i3d.checkup.weights_cache import cached_path
from keras_i3d.errors import one_line
from keras_i3d.plurals import counted
from keras_i3d.weights import registry
from keras_i3d.weights.h5_files import intact

HARDLY = 0.05  # how far moving statistics are from 0 and 1 if they hardly moved, the median over channels
MOST = 0.9  # of the layers
DEAD = 1e-3  # of the median length of a layer's filters, below which one is dead
DEAD_SHARE = 0.1  # of all filters


def load(weights, stream=None):
    """Loads a network without fetching anything.

    Args:
        weights: as for `networks.load`.
        stream: that was asked for; None for the weights' own.

    Returns:
        (Network or None, [Finding]).
    """
    if registry.is_name(weights):
        asked = stream or "rgb"
        path = cached_path(weights, asked)
        if not intact(path):
            there = "damaged" if path.exists() else "not there"
            remedy = f"keras-i3d classify VIDEO --streams={asked} --{asked}={weights} fetches them"
            why = "the doctor fetches nothing, so these weights were not looked at"
            return None, [note("weights.not_cached", f"{path.name} is {there} in the cache", why, remedy)]
        stream = asked
    try:
        return networks.load(weights, None if _has_own_stream(weights) else stream), []
    except Exception as error:  # of a file that anybody may have written
        return None, [
            fault(
                "weights.unreadable",
                one_line(error, 400),
                "no verb can use them",
                "check the path; if the file was copied, compare its sha256 with that of the original",
            )
        ]


def _has_own_stream(weights):
    """Whether it is for `stream` below to say that another one was asked for."""
    return not registry.is_name(weights) and isinstance(weights, str | os.PathLike)


def examine(weights, stream=None):
    """Returns (Network or None, Findings about weights)."""
    network, found = load(weights, stream)
    if network is not None:
        found = found + list(look(weights, CHECKS, network, stream))
    return network, [dataclasses.replace(each, about=str(weights)) for each in found]


def about_itself(network, _stream):
    """Which network it is, and what it notes of itself."""
    facts = network.facts
    kind = "an embedding" if network.facts.is_embedding else f"{facts.classes} classes"
    yield fine("weights.facts", f"{network.family.name}, {facts.stream}, {kind}; {network.clip}")
    if facts.clip is None:
        yield note(
            "weights.clip",
            "the file does not say what clips it was trained on",
            f"it is given {network.clip}, which need not be right",
            "save it by this package, which notes them: train, or keras_i3d.facts.note",
        )


def asked_stream(network, stream):
    """Whether it is of the stream that was asked for."""
    if stream not in (None, network.stream):
        yield fault(
            "weights.stream",
            f"weights of the {network.stream} stream ({network.model.input_shape[-1]} channels), asked for as {stream}",
            "no verb takes one stream for the other",
            f"--{network.stream}={network.origin}",
        )


def finite(network, _stream):
    """NaN and infinity."""
    bad = [layer.name for layer in network.model.layers if not all(map(_is_finite, layer.get_weights()))]
    if bad:
        yield fault(
            "weights.finite",
            f"NaN or infinity in {counted(len(bad), 'layer')}: {some(bad)}",
            "every probability is NaN, or the same",
            "take an earlier checkpoint of the run, and train with a lower --set=learning_rate= or --set=clip_norm=5",
        )
    else:
        yield fine("weights.finite", "every weight is finite")


def _is_finite(array):
    return np.isfinite(np.asarray(array, np.float32)).all()


def head(network, _stream):
    """Whether the head was trained."""
    try:
        network.require_trained()
    except ValueError as error:
        yield fault(
            "weights.head",
            str(error).partition(". ")[0],
            "its labels are as good as drawn by lot",
            "train it: keras-i3d train --weights="
            + f"{network.origin} --set=part=head; or keep the classes it came with",
        )
        return
    if not network.facts.is_embedding:
        yield fine("weights.head", f"its head of {network.facts.classes} classes was trained")


def labels(network, _stream):
    """Whether it brings the names of its classes, and as many."""
    facts = network.facts
    if facts.is_embedding:
        return
    if facts.labels is None:
        yield note(
            "weights.labels",
            f"no list of labels comes with its {facts.classes} classes",
            "a list in another order gives every video a wrong name, and nothing can notice",
            "pass the list that it was trained with: --labels=FILE",
        )
    elif isinstance(facts.labels, tuple) and len(facts.labels) != facts.classes:
        yield fault(
            "weights.labels",
            f"{len(facts.labels)} labels for {facts.classes} classes",
            "names and classes do not belong together",
            "pass the list that it was trained with: --labels=FILE",
        )
    else:
        named = facts.labels if isinstance(facts.labels, str) else some(facts.labels)
        yield fine("weights.labels", f"labels for {facts.classes} classes: {named}")


def norms(network):
    """Returns the batch norms of a network, in order."""
    import keras

    return [layer for layer in network.model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def _moved(layer):
    """How far a batch norm's statistics are from what they begin with: the medians of both, and whether at all."""
    mean, variance = (np.asarray(value, np.float32) for value in (layer.moving_mean, layer.moving_variance))
    distance = max(float(np.median(np.abs(mean))), float(np.median(np.abs(variance - 1))))
    return distance, bool(mean.any() or (variance != 1).any())


def batch_norms(network, _stream):
    """Whether the statistics of batch norms arrived."""
    layers = norms(network)
    if not layers:
        return
    moved = [_moved(layer) for layer in layers]
    never = [layer.name for layer, (_, at_all) in zip(layers, moved) if not at_all]
    hardly = sum(distance < HARDLY for distance, _ in moved)
    why = (
        "in training a batch norm uses the statistics of its batch; afterwards it uses these, and the network gives "
        "other answers than it learnt"
    )
    remedy = (
        "train longer, or with --set=bn_momentum=0.9, or let --set=precise_bn=100 measure them at the end; of weights "
        "that were converted: convert moving_mean and moving_variance too"
    )
    if len(never) == len(layers):
        yield fault("weights.batch_norm", f"all {len(layers)} batch norms have mean 0 and variance 1", why, remedy)
    elif never:
        yield warning(
            "weights.batch_norm",
            f"{len(never)} of {len(layers)} batch norms have mean 0 and variance 1: {some(never)}",
            why,
            remedy,
        )
    elif hardly >= MOST * len(layers):
        yield warning(
            "weights.batch_norm",
            f"in {hardly} of {len(layers)} batch norms the statistics are within {HARDLY} of mean 0 and variance 1",
            why,
            remedy,
        )
    else:
        yield fine("weights.batch_norm", f"the statistics of {len(layers)} batch norms arrived")


def filters(network, _stream):
    """Filters that give nothing."""
    dead, count, where = 0, 0, []
    for layer in network.model.layers:
        kernel = next((w for w in layer.get_weights() if w.ndim >= 4), None)
        if kernel is None:
            continue
        length = np.linalg.norm(np.asarray(kernel, np.float32).reshape(-1, kernel.shape[-1]), axis=0)
        gone = int((length <= DEAD * np.median(length)).sum())
        dead, count = dead + gone, count + len(length)
        where += [layer.name] * bool(gone)
    if dead:
        say = warning if dead > DEAD_SHARE * count else note
        yield say(
            "weights.filters",
            f"{dead} of {count} filters are zero, in {some(where)}",
            "they take time and give nothing",
            "a lower --set=weight_decay=, if your training made them so",
        )
    elif count:
        yield fine("weights.filters", f"none of {count} filters is zero")


CHECKS = (about_itself, asked_stream, finite, head, labels, batch_norms, filters)


def label_names(network):
    """Returns the names of its classes, of a published list if that is in the cache; None if they are not known."""
    found = network.facts.labels
    if isinstance(found, str):
        from keras_i3d.weights import download

        path = download.cache_folder() / registry.LABELS[found].file.path
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return tuple(path.read_text(encoding="utf-8-sig").rstrip("\n").splitlines())
        return None
    return found


def share_left(run):
    """Returns what is left, after a run, of the batch statistics that it began with: momentum to the power of steps."""
    return run.recipe.bn_momentum**run.recipe.steps
