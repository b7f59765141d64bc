"""The most probable classes of each clip, by name."""

import numbers

import numpy as np

from keras_i3d import errors, facts
from keras_i3d.facts import Facts
from keras_i3d.models import families
from keras_i3d.weights import registry
from keras_i3d.weights.labels import read_labels


def decode_predictions(preds, top=5, labels=None, network=None):
    """Names the most probable classes of each clip, as keras.applications does.

    By default the number of classes decides: 400 are Kinetics-400's and 600 are Kinetics-600's, in the order of
    DeepMind's weights. Other codes order them otherwise, and a network that was trained on other classes has its own
    names: `network=` takes those that belong to its weights.

    Args:
        preds: float (B, classes), the output of a model.
        top: how many to name.
        labels: "kinetics400", "kinetics600" (fetched with the weights, then cached), the path of a text file
            with a name a line, or a sequence of names.
        network: whose labels to take instead. The model that gave `preds`, of one stream or two; the name of a network
            as `keras-i3d models` lists them, for its published weights of so many classes; or a name of published
            weights as the command line takes it, "kinetics600" or "I3D:kinetics-piergiaj".

    Returns:
        For each clip a list of (class index, label, score), best first.

    Raises:
        ValueError: `preds` is not (B, classes) with as many classes as labels, or not finite; `top` below 1; no
            published list has so many; or a network that gives an embedding, or of whose classes nobody published the
            order.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2:
        raise ValueError(f"preds must be (batch, classes). Received: shape {preds.shape}")
    if not np.isfinite(preds).all():
        raise ValueError("preds must be finite. Received: NaN or infinity. Check the weights and the precision.")
    check_top(top)
    if labels is not None and network is not None:
        raise ValueError(f"Labels are given by labels= or by network=, not by both. Received: labels={labels!r}")
    classes = preds.shape[1]
    if network is not None:
        labels = _of_network(network, classes)
    elif labels is None:
        labels = _of_so_many(classes)
    published = registry.LABELS.get(labels) if isinstance(labels, str) else None  # how many, before it is fetched
    names = None if published else read_labels(labels)
    count = published.classes if published else len(names)
    if classes != count:
        raise ValueError(f"{count} labels for {classes} classes. Pass labels= for this model's own classes.")
    names = names or read_labels(labels)
    return [[(int(i), names[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top]] for row in preds]


def check_top(top):
    """Raises ValueError unless `top` is a whole number of at least 1."""
    if isinstance(top, bool) or not isinstance(top, numbers.Integral) or top < 1:
        raise ValueError(f"top is how many classes to name, at least 1. Received: top={top!r}")


def _of_so_many(classes):
    """The name of the published list of so many labels."""
    found = [name for name, entry in registry.LABELS.items() if entry.classes == classes]
    if not found:
        there = " and ".join(f"{entry.classes} ({name})" for name, entry in registry.LABELS.items())
        raise ValueError(
            f"Published lists have {there} labels. Received: {classes} classes. Pass labels= with their names, or "
            "network= with the model, if it was trained here."
        )
    return found[0]


def _of_network(network, classes):
    """The labels of a network, as `read_labels` takes them."""
    if isinstance(network, str):
        what, known = f'network="{network}"', _published(network, classes)
    else:
        what, known = f"the model {getattr(network, 'name', network)}", _in(network)
    if any(each.is_embedding for each in known):
        raise ValueError(f"An embedding has no classes to name. Received: {what}, which gives one.")
    found = {each.labels for each in known}
    if len(found) == 1 and None not in found:
        return found.pop()
    why = "whose weights bring no label list"
    if not found:
        why = f"of which no weights of {classes} classes are published"
    elif None not in found:
        why = "whose two streams differ in it"
    raise ValueError(f"A network needs one known order of its classes. Received: {what}, {why}. Pass labels=.")


def _published(name, classes):
    """The Facts of the published weights that a name means; of a network's, of those of so many classes."""
    entries = (*registry.CHECKPOINTS.values(), *registry.PUBLISHED.values())
    if registry.is_name(name):
        return [entry.facts for entry in entries if entry.weights == name]
    try:
        row = families.find(name)
    except ValueError as error:
        raise ValueError(
            f'{error}. Published weights are named as in "I3D:charades"; of a run or a file network= takes the model.'
        ) from None
    unsaid = Facts(next(iter(row.clips)), activation=row.activation, family=row.name)
    own = [entry.facts for entry in entries if entry.family in (row.name, row.shares)]
    return [unsaid] if unsaid.is_embedding else [each for each in own if each.classes == classes]


def _in(model):
    """The Facts of each stream of a model; where nothing is noted, what shows in the stream itself."""
    streams = [each for each in (model, *getattr(model, "layers", ())) if hasattr(each, "layers") and families.of(each)]
    if not streams:
        raise ValueError(
            f"network is a model that this package made, or a name. Received: {errors.one_line(repr(model))}"
        )
    found = []
    for each in streams:
        row = families.of(each)
        unsaid = Facts(next(iter(row.clips)), activation=facts.activation(each), family=row.name)
        found.append(facts.of(each) or unsaid)
    return found
