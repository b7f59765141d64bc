"""What is known of weights and labels before any of them is loaded or fetched: what cannot fit is refused at once."""

import os

import keras

from keras_i3d import facts, paths, runs
from keras_i3d.errors import WeightsError
from keras_i3d.weights import h5_files, registry, sources
from keras_i3d.weights.labels import read_labels


def classes(weights, stream, accept_licence=None):
    """Returns how many classes weights have, as far as that is known without loading them; else None.

    Args:
        weights: what a stream's weights may be: a published name, a path, a training run's folder, a model, or None.
        stream: "rgb" or "flow".
        accept_licence: as for `networks.load`.

    Raises:
        ValueError: a name that was not published for the stream, or no such file.
        WeightsError: a licence that forbids commerce, which nobody accepts.
    """
    if weights is None:
        return None
    if isinstance(weights, keras.Model):
        return facts.classes(weights)
    if registry.is_name(weights):
        if weights == "imagenet":
            return None
        entry = registry.find(weights, stream)
        registry.check_licence(entry, accept_licence)
        return entry.classes
    if runs.is_run(weights):
        return len(runs.read(weights).labels)
    path = paths.expand(weights)
    if not isinstance(path, str | os.PathLike) or not (os.path.exists(path) or os.path.isfile(f"{path}.index")):
        sources.find(weights, stream)  # raises what is wrong with it
        return None
    try:
        noted = h5_files.facts_of(path) if os.path.isfile(path) else None
        return noted and noted.classes
    except WeightsError:  # whoever loads it will say
        return None


def label_count(labels):
    """Returns how many names a list of labels has, or None for labels that are not chosen; nothing is fetched."""
    if labels is None or (isinstance(labels, str) and labels == "none"):
        return None
    if isinstance(labels, str) and labels in registry.LABELS:
        return registry.LABELS[labels].classes
    return len(read_labels(labels))


def check(weights, labels=None, accept_licence=None):
    """Raises ValueError if weights are not there, or not for as many classes as each other or as labels.

    Of a licence that nobody accepts it is a WeightsError.

    Args:
        weights: {stream: what `classes` takes}. Models are loaded already, and left to those who take them.
        labels: what `classify` takes as its labels.
        accept_licence: as for `networks.load`.
    """
    there = {stream: given for stream, given in weights.items() if not isinstance(given, keras.Model)}
    known = {
        stream: number
        for stream, given in there.items()
        if (number := classes(given, stream, accept_licence)) is not None
    }
    if len(set(known.values())) > 1:
        raise ValueError(f"The streams must be trained on the same classes. Received: {known}")
    count = label_count(labels)
    for number in set(known.values()):
        if count not in (None, number):
            raise ValueError(f"{count} labels for {number} classes. Pass the list that belongs to the weights.")
