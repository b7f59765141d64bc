"""The one door for what a user may name as the weights of a stream, whatever the verb: a network and its facts."""

import dataclasses
import difflib
import os

import keras
import numpy as np

from keras_i3d import facts, paths, runs, threshold_files
from keras_i3d.errors import notice
from keras_i3d.facts import SIGMOID, SOFTMAX, Facts
from keras_i3d.models import families
from keras_i3d.models.blocks import HeadPool
from keras_i3d.models.family import draw_rest, without_memory
from keras_i3d.precision import PRECISIONS, policy
from keras_i3d.runs import Run
from keras_i3d.specs import STREAMS, ClipSpec
from keras_i3d.weights import by_name, download, keras_files, registry, sources
from keras_i3d.weights.labels import read_labels


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network of one stream, ready for videos of any length and size.

    Attributes:
        model: a functional keras.Model: float32 (B, T, H, W, C) as `clip.prepared` gives it, any T, H and W, to
            (B, classes).
        facts: what it was trained on. Its classes and its activation are those of `model`.
        origin: what messages call it.
        clip: the ClipSpec of what it takes: the facts'. Where nobody said, that of the published weights, with the size
            and length of the model's input if these are fixed.
        run: the training run that it is of; None for all else.
        family: what is known of such networks.
    """

    model: keras.Model
    facts: Facts
    origin: str
    clip: ClipSpec
    run: Run | None = None

    @property
    def stream(self):
        return self.facts.stream

    @property
    def family(self):
        return families.find(self.facts.family)

    def to_logits(self):
        """Returns the model up to its logits: float32 (B, T, H, W, C) to (B, classes)."""
        return self.up_to(self.family.logits)

    def to_rows(self):
        """Returns the model up to its rows of logits: float32 (B, T, H, W, C) to (B, rows, ..., classes).

        Of a network whose answer is the last row, up to the features that its recurrence reads, (B, steps, ..., C).
        """
        return self.up_to(self.family.features or self.family.head)

    def to_answer(self):
        """Returns the model from such features of a whole video to its logits; None if those are the mean of rows."""
        if self.family.features is None:
            return None
        ends = (self.model.get_layer(name).output for name in (self.family.features, self.family.logits))
        return keras.Model(*ends, name=self.model.name)

    def to_endpoint(self, name):
        """Returns the model up to a layer: float32 (B, T, H, W, C) to (B, T', H', W', C'), or (B, T', C') of an LSTM.

        Args:
            name: one of the row's `endpoints` but the last two, `body` or `pool`.

        Raises:
            ValueError: no such layer.
        """
        names = tuple(dict.fromkeys((*self.family.endpoints[:-2], self.body, self.pool)))
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 3, 0.5)
            hint = f"; near are {', '.join(near)}" if near else ""
            raise ValueError(
                f"An endpoint of {self.family.name} is one of {', '.join(names)}{hint}. Received: {name!r}"
            )
        return self.up_to(name)

    def to_head(self):
        """Returns the model up to what its head reads: float32 (B, T, H, W, C) to (B, rows, ..., C').

        The head is linear: the mean of these over rows and positions, through the head, is the clip's logits; of a
        network whose answer is its last row, the mean over the positions of that one.
        """
        return keras.Model(self.model.input, self.model.get_layer(self.family.head).input, name=self.model.name)

    @property
    def pool(self):
        """The name of the average pool that ends the body, from which each row of logits is made."""
        return next(layer.name for layer in self.model.layers if isinstance(layer, HeadPool))

    @property
    def body(self):
        """The name of the layer that the average pool reads: "Mixed_5c" of I3D."""
        read = self.model.get_layer(self.pool).input
        return next(layer.name for layer in self.model.layers if layer.output is read)

    def up_to(self, layer):
        """Returns the model up to a layer, by its name."""
        return keras.Model(self.model.input, self.model.get_layer(layer).output, name=self.model.name)

    def say_what_is_assumed(self, spec=None):
        """Says in a line how its clips are taken, where nobody noted how those were made that it was trained on.

        Args:
            spec: the RecordSpec of the records that clips are taken from; None if they are made of videos.
        """
        if self.facts.clip is None:
            clip = self.clip if spec is None else spec.clip(self.stream, self.clip.crop)
            notice(f"{self.origin} does not say what clips it was trained on, or was trained since; taken as: {clip}")

    def require_trained(self):
        """Raises ValueError if its head was never trained: its bias is exactly zero only as it was drawn."""
        bias = np.asarray(self.model.get_layer(self.family.head).get_weights()[-1])
        if not np.any(bias):
            if len(bias) == 1 and self.facts.activation == SOFTMAX:
                raise ValueError(
                    f"The head of {self.origin} has one class, and its softmax says 1 for every video, so training "
                    "cannot change it. Train it on at least two classes, such as one of videos of something else."
                )
            raise ValueError(
                f"The head of {self.origin} was never trained, so its predictions mean nothing. Train it, or load "
                "weights whose number of classes it keeps (classes=None)."
            )


def load(weights, stream=None, precision=None, attempts=download.ATTEMPTS, accept_licence=None):
    """Loads the network of one stream.

    Args:
        weights: a published name; the folder of a training run, which stands for its best weights, and for the last
            where there are no others, or a weights file in it; a `.weights.h5`, `.keras`,
            TensorFlow checkpoint or file of the original's code anywhere else; a model that this package made, of any
            fixed size or none; or None for a network that was never trained.
        stream: "rgb" or "flow"; None takes what `weights` is of.
        precision: a key of PRECISIONS to compute in. By default the policy that it was trained in, and float32 if
            nobody said.
        attempts: connections to try if weights have to be fetched.
        accept_licence: True, or the name of a licence, if the user accepts one that forbids commerce.

    Returns:
        A Network.

    Raises:
        ValueError: another stream's weights, or weights that are not there.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
    """
    wanted = precision and PRECISIONS[precision]
    weights = paths.expand(weights)
    if isinstance(weights, keras.Model):
        network = _of_model(weights, facts.of(weights), f"the model {weights.name}", wanted)
    elif runs.is_run(weights):
        run = runs.read(weights)
        _check_stream(run.stream, stream, f"{weights}, a run")  # before its model is read
        file = runs.weights_file(weights)
        model = runs.load_model(file, precision=wanted)
        known = dataclasses.replace(run.facts, thresholds=facts.of(model).thresholds)
        network = dataclasses.replace(_of_model(model, known, os.fspath(file), None), run=run)
    elif _is_keras(weights):
        model = keras_files.load(weights)
        network = _of_model(model, facts.of(model), os.fspath(weights), wanted)
        facts.say_licence(network.origin, network.facts)
    else:
        network = _built(weights, stream, wanted, attempts, accept_licence)
    _check_stream(network.stream, stream, network.origin)
    return network


def _built(weights, stream, policy_name, attempts, accept_licence):
    """A network of this package's own, with the weights of a name, a file, or none."""
    if weights is not None and not registry.is_name(weights) and os.path.isdir(weights):
        raise ValueError(f"A training run is a folder with a {runs.FACTS}. Received: {weights}, which has none.")
    source = None if weights is None else sources.find(weights, stream, attempts, accept_licence=accept_licence)
    known = source.facts if source else Facts(stream)
    _check_stream(known.stream, stream, str(weights))
    if source is not None:
        sources.say_activation(source)

    def build():
        with policy(policy_name or known.precision or "float32"):
            return known.build()

    if source is None:
        model = build()
    else:
        model = without_memory(build)  # nothing is drawn only to be written over
        sources.load(model, source)
        draw_rest(model)
    return Network(model, _seen_in(model, known), str(weights), known.sees)


def _of_model(model, known, origin, policy_name):
    """A network of a model that is there; made anew if it takes clips of one size, or another precision is wanted."""
    family = families.of(model)
    names = {layer.name for layer in model.layers}
    if family is None or not {family.head, family.logits} <= names or not hasattr(model.input, "shape"):
        raise ValueError(f"A network is a model of one stream that this package made, with its top. Received: {origin}")
    *sizes, channels = model.input_shape[1:]
    own = STREAMS.get(channels)
    if own is None:
        raise ValueError(f"A network takes 3 channels (rgb), 2 (flow) or 5 (both). Received: {origin}, for {channels}")
    frames, height, width = sizes
    if height != width:
        raise ValueError(f"A network takes square clips, or any. Received: {origin}, for {height} x {width} pixels")
    known = _seen_in(model, known or Facts(own, family=family.name))
    clip = known.sees
    if known.clip is None:  # its input is all that tells
        clip = dataclasses.replace(clip, crop=height or clip.crop, frames=frames or clip.frames)
    computed_in = next(layer for layer in model.layers if layer.weights).dtype_policy.name
    if policy_name not in (None, computed_in):
        arrays = by_name.layer_weights(model)
        shapes = {name: [array.shape for array in layer] for name, layer in arrays.items()}
        width = family.depth_multiplier_of(shapes, known.depth_multiplier)
        with policy(policy_name):
            model = dataclasses.replace(known, depth_multiplier=width).build()
        by_name.assign(model, arrays, origin)
        facts.note(model, known)
    elif any(size is not None for size in sizes):
        fixed, model = model, keras.models.clone_model(model, keras.Input((None, None, None, channels), name=own))
        model.set_weights(fixed.get_weights())
    return Network(model, dataclasses.replace(known, precision=known.precision or computed_in), origin, clip)


def _seen_in(model, known):
    """Facts whose classes and activation are those of the model itself, if it does not end in its logits."""
    own = facts.activation(model) or "linear"
    activation = (known.activation or own) if own == "linear" else own
    return dataclasses.replace(known, classes=facts.classes(model), activation=activation)


def _is_keras(weights):
    return isinstance(weights, str | os.PathLike) and os.fspath(weights).endswith(".keras") and os.path.isfile(weights)


def _check_stream(own, wanted, origin):
    if wanted is not None and own != wanted:
        raise ValueError(f"The {wanted} stream takes weights of its own. Received: {origin}, of the {own} stream")


def flow_method(wanted, clip: ClipSpec):
    """The method to compute flow by; a line if it is not what the weights were trained on."""
    if wanted not in (None, clip.flow_method) and {wanted, clip.flow_method} != {"tvl1", "opencv"}:
        notice(f"flow by {wanted}; the weights were trained on {clip.flow_method}")
    return wanted or clip.flow_method


def label_list(labels, networks, attempts=download.ATTEMPTS):
    """Returns the names of the classes of networks that answer together.

    Args:
        labels: "kinetics400", "kinetics600", a file with a name a line, a list of names, "none" for class indices, or
            None for those that belong to the weights.
        networks: {stream: Network}.
        attempts: connections to try if the list has to be fetched.

    Raises:
        ValueError: networks of different classes, or a list of another number.
    """
    classes = one_value({stream: network.facts.classes for stream, network in networks.items()}, "classes")
    own = {stream: network.facts.labels for stream, network in networks.items() if network.facts.labels}
    if labels is None and own:
        labels = one_value(own, "labels")
    if labels is None or labels == "none":
        if labels is None:
            notice("the weights bring no label list, so class indices are shown; pass labels= to name them")
        return [str(i) for i in range(classes)]
    names = read_labels(labels, attempts)
    if len(names) != classes:
        raise ValueError(f"{len(names)} labels for {classes} classes. Pass the list that belongs to the weights.")
    return names


def activation(networks):
    """Returns the name of what makes probabilities of the summed logits: the networks' own, which must be one.

    A network that ends in its logits has none; softmax is taken then, and a line says so.

    Raises:
        ValueError: networks of several activations, or one whose output is no logits of classes.
    """
    for network in networks.values():
        if network.facts.is_embedding:
            raise ValueError(
                f"{network.origin} ({network.family.name}) gives an embedding, and no classes to choose from. Ask its "
                "model in Python, or train a head on it: train --model=... --weights=..."
            )
    found = one_value({stream: network.facts.activation for stream, network in networks.items()}, "activation")
    if found in (None, "linear"):
        notice("the network ends in its logits and does not say what it was trained with; softmax is taken")
        return SOFTMAX
    return found


def thresholds(given, networks, labels, activation):
    """Returns from which probability on each class counts as there; None of networks that do not end in a sigmoid.

    Args:
        given: what a user gives, as of `threshold_files.given`; None for what was chosen for the network. Where nothing
            was, or where several networks answer together, it is 0.5, and a line says so.
        networks: {stream: Network}.
        labels: class names.
        activation: of the networks, as `activation` gives it.

    Raises:
        ValueError: thresholds that cannot be, or of networks of one label a video.
    """
    if activation != SIGMOID:
        if given is not None:
            raise ValueError(
                f"thresholds= is of networks that end in a sigmoid, whose classes do not exclude each other. Received: "
                f"thresholds={given!r} and {activation}"
            )
        return None
    if given is not None:
        return threshold_files.given(given, labels)
    own = [network.facts.thresholds for network in networks.values()]
    if len(own) == 1 and own[0] is not None:
        return own[0]
    why = "no thresholds were chosen" if not any(own) else "thresholds were chosen for each stream alone"
    notice(
        f"{why}, so a class counts as there from {threshold_files.DEFAULT:g} on; evaluate --choose_thresholds chooses "
        "them on a validation split"
    )
    return (threshold_files.DEFAULT,) * len(labels)


def one_value(by_stream, what):
    """Returns the value that all streams have of a fact, or raises ValueError."""
    values = set(by_stream.values())
    if len(values) > 1:
        raise ValueError(f"Streams that answer together need the same {what}. Received: {by_stream}")
    return values.pop()
