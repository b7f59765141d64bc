"""Checkpoints of the original codes as `.weights.h5` files."""

import dataclasses
import os
import pathlib

from keras_i3d import paths
from keras_i3d.errors import WeightsError
from keras_i3d.facts import SOFTMAX, Facts, say_licence
from keras_i3d.models import families
from keras_i3d.specs import CHANNELS, STREAMS, check_stream
from keras_i3d.weights import by_name, download, published, registry, tensorflow_files, torch_files
from keras_i3d.weights.h5_files import write_h5
from keras_i3d.weights.labels import read_labels
from keras_i3d.weights.originals import catalogue, deepmind, original

# Sizes of heads that end in a softmax, whoever trained them: those of the three Kinetics, and of ImageNet with and
# without a class for the background.
ONE_LABEL = (400, 600, 700, 1000, 1001)


def convert_sonnet(checkpoint, output, labels=None):
    """Converts an I3D checkpoint of the original TensorFlow code to a `.weights.h5`.

    Args:
        checkpoint: path prefix; published, or fine-tuned by a user.
        output: the `.weights.h5` to write.
        labels: name or file of the label list to note in it; by default that of a published checkpoint.

    Returns:
        The Facts that were noted in the file.

    Raises:
        WeightsError: the checkpoint is unreadable, or a name or shape in it has no counterpart in I3D.
        ValueError: labels of another number than the classes, or an output that cannot be named so.
    """
    checkpoint, output = tensorflow_files.checkpoint_prefix(paths.expand(checkpoint)), paths.expand(output)
    weights = deepmind.read_sonnet(checkpoint)
    family = families.find(deepmind.SONNETS)
    if missing := {family.first, family.head} - set(weights):
        raise WeightsError(f"{checkpoint} has no {min(missing)}.")
    channels, classes = weights[family.first][0].shape[3], int(weights[family.head][0].shape[-1])
    stream = STREAMS.get(channels)
    if stream is None:
        raise WeightsError(f"{checkpoint} takes {channels} input channels; the streams have 3 (rgb) or 2 (flow).")
    index = f"{checkpoint}.index"  # TensorFlow's first format, which is one file, has none
    entry = registry.identify(index) if os.path.isfile(index) else None
    labels = _labels(labels, classes, checkpoint) if labels is not None else entry and entry.labels
    weights = by_name.in_layout(weights, family.layout(stream=stream, classes=classes), checkpoint)
    source = "not a published checkpoint (its tensor CRCs are new)"
    facts = dataclasses.replace(_of_sonnet(stream, classes), source=source)
    if entry:
        facts = dataclasses.replace(entry.facts, source=f"published checkpoint {entry.name}")
    facts = dataclasses.replace(facts, labels=labels)
    write_h5(weights, output, family.groups(stream=stream, classes=classes), **facts.record())
    return facts


def _labels(labels, classes, name):
    """The labels to note, by the name of a published list or as a tuple; raises ValueError if they are not as many."""
    if labels not in registry.LABELS:
        labels = tuple(read_labels(labels))
    count = registry.LABELS[labels].classes if isinstance(labels, str) else len(labels)
    if count != classes:
        raise ValueError(f"{count} labels for {classes or 'no'} classes. Pass the list that belongs to {name}.")
    return labels


def read_torch(path, wanted=()):
    """Reads weights that a PyTorch, Caffe2 or MXNet code wrote, of a network that is known by its names and shapes.

    Args:
        path: the file, as `torch_files.read` takes it.
        wanted: names of rows of `models.families` that it should be of, if it can be told no other way.

    Returns:
        ({layer: [float32 arrays in Keras's order]}, Facts). Its source has the file's name and sha256.

    Raises:
        WeightsError: the file is unreadable, of no known network, or not whole.
    """
    path = pathlib.Path(path)
    digest = download.sha256(path)
    entry = published.identify(path, digest)
    wanted = [entry.family] if entry else wanted  # by its hash it can be told
    found, weights, known = original.find(torch_files.read(path), catalogue.ORIGINALS, str(path), wanted)
    if entry and (entry.family, entry.classes, entry.stream) == (known.family, known.classes, known.stream):
        known = entry.facts
    else:
        known = _without_guess(known)
    return weights, dataclasses.replace(known, source=f"{found.name}'s {path.name}, sha256 {digest}")


def _without_guess(known):
    """Returns Facts without a softmax that nobody said: of a user's classes, or of as many as no softmax is known of.

    The codes have training with several labels a clip too, such as that of Charades, and no file tells of it.
    """
    alike = [each for each in registry.of_network(known.family) if each.classes == known.classes]
    if known.activation != SOFTMAX or known.classes in ONE_LABEL or any(e.facts.activation == SOFTMAX for e in alike):
        return known
    return dataclasses.replace(known, activation=None)


def read_tensorflow(path, stream=None, wanted=()):
    """Reads a TensorFlow checkpoint: DeepMind's, TF-Slim's or Model Garden's, known by its variables' names.

    Args:
        path: its prefix; both of TensorFlow's formats.
        stream: the one to take if neither names nor shapes tell.
        wanted: as for `read_torch`.

    Returns:
        ({layer: [arrays in Keras's order]}, Facts).

    Raises:
        WeightsError: the checkpoint is unreadable, of no known network, or not whole.
    """
    prefix = tensorflow_files.checkpoint_prefix(path)
    index = f"{prefix}.index"
    variables = None if os.path.isfile(index) else tensorflow_files.read(prefix)
    names = tensorflow_files.crcs(index) if variables is None else variables
    if not any("/conv_3d/" in name for name in names):
        variables = tensorflow_files.read(prefix) if variables is None else variables
        of_tensorflow = [each for each in catalogue.ORIGINALS if not each.torch]
        _, weights, known = original.find(variables, of_tensorflow, os.path.basename(prefix), wanted)
        return weights, _without_guess(known)
    weights = deepmind.read_sonnet(prefix)
    entry = registry.identify(index) if os.path.isfile(index) else None
    head = weights.get(families.find(deepmind.SONNETS).head)
    return weights, entry.facts if entry else _of_sonnet(stream, head and int(head[0].shape[-1]))


def _of_sonnet(stream, classes):
    """The Facts of a checkpoint of DeepMind's code that is not published."""
    return _without_guess(dataclasses.replace(deepmind.facts(stream), classes=classes))


def convert_torch(path, output, labels=None):
    """Converts a file of weights of a PyTorch, Caffe2 or MXNet code to a `.weights.h5`.

    Args:
        path: the file, of any kind that `torch_files.read` takes.
        output: the `.weights.h5` to write.
        labels: name or file of the label list to note in it.

    Returns:
        The Facts that were noted in the file.

    Raises:
        WeightsError: the file is unreadable, of no known network, or not whole.
        ValueError: labels of another number than the classes, no such file, or an output that cannot be named so.
    """
    path, output = pathlib.Path(paths.expand(path)), paths.expand(output)
    if not path.is_file():
        raise ValueError(f"A file of weights is converted. Received: {path}, which is none.")
    weights, facts = read_torch(path)
    say_licence(path, facts)
    if labels is not None:
        facts = dataclasses.replace(facts, labels=_labels(labels, facts.classes, path))
    top = {"include_top": facts.classes is not None, "stream": facts.stream, "classes": facts.classes}
    write_h5(weights, output, families.find(facts.family).groups(**top), **facts.record())
    return facts


def convert_inception_v1(checkpoint, output, stream="rgb"):
    """Inflates a 2D Inception V1 checkpoint of TF-Slim to the `.weights.h5` of an I3D without its class layer.

    Args:
        checkpoint: path prefix; both of TensorFlow's formats.
        output: the `.weights.h5` to write.
        stream: "rgb" or "flow".

    Raises:
        WeightsError: the checkpoint is unreadable, or not Inception V1's.
        ValueError: an output that cannot be named so.
    """
    weights = deepmind.read_inception_v1(checkpoint, CHANNELS[check_stream(stream)])
    source = f"inflated from {os.path.basename(checkpoint)}"
    groups = families.find(deepmind.SLIMS).groups(include_top=False, stream=stream)
    write_h5(weights, output, groups, **Facts(stream, source=source, family=deepmind.SLIMS).record())
