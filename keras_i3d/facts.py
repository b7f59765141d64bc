"""What a trained network is and expects: one record, which goes wherever its weights go.

It stands in a run's `run.json`, in the notes of every file of weights that this package writes, in the model itself (in
the layer that checks its clips, so that `model.save` and `clone_model` keep it), in an export's card, and in the
answer of an export's signature `facts`. Every verb reads this record and no other.
"""

import dataclasses
import hashlib
import numbers

import numpy as np

from keras_i3d import threshold_files
from keras_i3d.errors import notice
from keras_i3d.models import families, two_stream
from keras_i3d.models.family import clip_check
from keras_i3d.specs import INPUT_CHANNELS, LABEL_LISTS, ClipSpec

HEAD_DIGEST = "head"  # in a model, next to the record: digest of the head that it was noted of
KEY = "keras_i3d"  # of the notes in a `.weights.h5`
SOFTMAX, SIGMOID = "softmax", "sigmoid"


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a network was trained on and ends in.

    Attributes:
        stream: "rgb" or "flow"; or "both" of a network that takes both in one tensor.
        classes: size of the head; None for a body without one.
        labels: class names in the order of the classes; the name of a published list; or None if nobody said.
        activation: name of what makes probabilities of the logits, such as "softmax" or "sigmoid"; "linear" for a model
            that ends in its logits; None if nobody said.
        depth_multiplier: scale of the layers' widths; None if nobody said.
        precision: the Keras policy that it was trained in; None if nobody said.
        clip: the ClipSpec of its clips; None if nobody said.
        source: where the weights are from, for people.
        family: which network it is: the name of a row of `models.families`.
        licence: that of the published weights that they are, or that their training began with: an SPDX identifier,
            with words after it where it depends on something; None if nobody said.
        thresholds: of a network that ends in a sigmoid, from which probability on each class counts as there, in the
            order of the classes; None if none were chosen.
    """

    stream: str
    classes: int | None = None
    labels: tuple | str | None = None
    activation: str | None = None
    depth_multiplier: float | None = None
    precision: str | None = None
    clip: ClipSpec | None = None
    source: str = ""
    family: str = families.DEFAULT
    licence: str | None = None
    thresholds: tuple | None = None

    def record(self):
        """Returns plain numbers, strings, lists and dictionaries, as JSON and Keras's configurations hold them."""
        content = dataclasses.asdict(self)
        if isinstance(self.labels, tuple):
            content["labels"] = list(self.labels)
        if self.thresholds is not None:
            content["thresholds"] = list(self.thresholds)
        if self.clip is not None:
            content["clip"] |= {"mean": list(self.clip.mean), "std": list(self.clip.std)}
        return content

    @property
    def sees(self):
        """The ClipSpec of its clips; that of its family where nobody said."""
        return self.clip or families.find(self.family).clips[self.stream]

    @property
    def is_embedding(self):
        """Whether the network gives an embedding, and no logits of classes."""
        return families.find(self.family).activation == self.activation == "linear"

    def build(self, **settings):
        """Builds such a network with fresh weights, for clips of any length and size.

        Args:
            settings: further arguments of its family's builder.
        """
        return families.find(self.family).build(
            classifier_activation=self.activation or SOFTMAX,
            input_shape=(None, None, None, INPUT_CHANNELS[self.stream]),
            **self.arguments,
            **settings,
        )

    @property
    def arguments(self):
        """What its family builds such a network of, but for the activation: {argument: value}."""
        return {
            "stream": self.stream,
            "classes": self.classes or families.find(self.family).classes,
            "depth_multiplier": self.depth_multiplier or 1.0,
        }


def forbids_commerce(licence):
    """Whether a licence, as of `Facts.licence`, is one of Creative Commons that forbids commercial use."""
    return licence is not None and "-NC" in licence


def say_licence(name, facts):
    """Says in a line if the licence of what a name or a file holds, whose Facts are given, forbids commerce."""
    if forbids_commerce(facts.licence):
        notice(f"{name} is under {facts.licence}: no commercial use")


def parse(record, stream=None):
    """Returns the Facts of what `Facts.record` gave, or None for an empty record.

    A file may be anybody's: every value is of its own kind and range, and labels are a list, or the name of a published
    one. A path is never taken from a file.

    Args:
        record: a dictionary. What this version does not know is left out, because a later one may have written it.
        stream: the one to take if the record names none.

    Raises:
        ValueError: it is no such record.
    """
    if not record:
        return None
    try:
        content = {"stream": stream, **_known(record, Facts)}
        if content.get("clip"):
            clip = {
                name: tuple(v) if isinstance(v, list) else v for name, v in _known(content["clip"], ClipSpec).items()
            }
            content["clip"] = ClipSpec(**_checked(clip, "clip."))
        for name in ("labels", "thresholds"):
            if isinstance(content.get(name), list):
                content[name] = tuple(content[name])
        found = Facts(**_checked(content))
        if None not in (found.thresholds, found.classes) and len(found.thresholds) != found.classes:
            raise ValueError(f"{len(found.thresholds)} thresholds for {found.classes} classes")
        return found
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"what it notes about itself cannot be read ({error})") from error


def _known(record, kind):
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in record.items() if name in names}


def _number(low, high, kinds=numbers.Real):
    return lambda value: isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high


def _whole(high):
    return _number(1, high, numbers.Integral)


def _is_labels(value):
    if isinstance(value, tuple):
        return all(isinstance(label, str) for label in value)
    return isinstance(value, str) and value in LABEL_LISTS


def _is_colour(value, low):
    return isinstance(value, tuple) and len(value) == 3 and all(map(_number(low, 4), value))


def _is_text(value):
    return isinstance(value, str)


def _is_line(value):
    return _is_text(value) and len(value) <= LINE and value.isprintable()


SIZE = 1 << 14  # pixels: no network sees more, and a file could ask for any
LINE = 200  # characters of a text that is printed
RULES = {  # what each fact is if it is said, in words and as a test
    "stream": ("rgb, flow or both", lambda value: isinstance(value, str) and value in INPUT_CHANNELS),
    "classes": ("a number of classes", _whole(1 << 24)),
    "labels": (f"a list of names, or {' or '.join(LABEL_LISTS)}; never a path", _is_labels),
    "activation": ("a name", _is_text),
    "depth_multiplier": ("a number above 0, at most 64", _number(1e-6, 64)),
    "precision": ("the name of a Keras policy", _is_text),
    "clip": ("a table of facts", lambda value: isinstance(value, ClipSpec)),
    "source": ("text", _is_text),
    "family": ("the name of a network", lambda value: isinstance(value, str) and value in families.FAMILIES),
    "licence": (f"one line of at most {LINE} characters", _is_line),
    "thresholds": ("a number in [0, 1] for each class", threshold_files.is_thresholds),
    "fps": ("frames per second, at most 1000", _number(1e-3, 1000)),
    "short_side": (f"pixels, at most {SIZE}", _whole(SIZE)),
    "crop": (f"pixels, at most {SIZE}", _whole(SIZE)),
    "mean": ("three numbers in [-4, 4]", lambda value: _is_colour(value, -4)),
    "std": ("three numbers above 0, at most 4", lambda value: _is_colour(value, 1e-6)),
    "flow_method": ("a name", _is_text),
    "flow_bound": ("pixels per frame", _number(1e-6, 1e6)),
    "flow_scheme": ("a name", _is_text),
    "frames": ("a number of frames", _whole(1 << 20)),
    "frame_stride": ("a number of frames", _whole(1 << 20)),
}
OPTIONAL = {field.name for kind in (Facts, ClipSpec) for field in dataclasses.fields(kind) if field.default is None}


def _checked(content, scope=""):
    """Returns the facts; raises ValueError for one that breaks its rule. What nobody said is None, if it may be."""
    for name, value in content.items():
        rule, holds = RULES[name]
        unsaid = value is None and (name in OPTIONAL or (name, scope) == ("stream", ""))
        if not unsaid and not holds(value):
            raise ValueError(f"{scope}{name} must be {rule}. Received: {_short(value)}")
    return content


def _short(value):
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def of(model):
    """Returns the Facts that a model of one stream carries, or None.

    What shows in the model itself (the classes, the activation) is read off it, whatever the record says; of a model
    that ends in its logits the record's activation is taken. A model whose head is not the one that they were noted of
    was trained since, or got a head of its own: the record is of another network then, and None is returned. A body
    without a head keeps what is true of it.
    """
    layer = clip_check(model)
    found = layer and parse(layer.facts)
    if not found:
        return None
    found = dataclasses.replace(found, family=families.of(model).name)
    if classes(model) is None:
        return dataclasses.replace(found, classes=None, labels=None, activation=None, thresholds=None)
    if layer.facts.get(HEAD_DIGEST) != head_digest(model):
        return None
    return dataclasses.replace(found, classes=classes(model), activation=_own_activation(model) or found.activation)


def note(model, facts):
    """Writes Facts into a model of one stream; they stay with it through `model.save`, until its head is trained on.

    Args:
        model: a keras.Model that this package made, trained.
        facts: a Facts; its classes and activation are read off the model. None removes what was noted.

    Returns:
        The model.

    Raises:
        ValueError: a model that is not this package's, which has no place for them, or facts out of their range.
    """
    layer = clip_check(model)
    if layer is None:
        raise ValueError(f"Facts are noted in a model of one stream that this package made. Received: {model.name}")
    layer.facts = None
    if facts is not None:
        own = {"classes": classes(model), "activation": _own_activation(model) or facts.activation}
        own["family"] = families.of(model).name
        record = dataclasses.replace(facts, **own).record()
        parse(record)
        layer.facts = {**record, HEAD_DIGEST: head_digest(model)}
    return model


def head_digest(model):
    """Returns the sha256 of the arrays of a model's head; None without a head."""
    if classes(model) is None:
        return None
    digest = hashlib.sha256()
    for weight in model.get_layer(families.of(model).head).get_weights():
        digest.update(np.ascontiguousarray(weight, np.float32).tobytes())
    return digest.hexdigest()


def _own_activation(model):
    """The activation that a model itself ends in, or None for one that ends in its logits."""
    name = activation(model)
    return None if name == "linear" else name


def classes(model):
    """Returns the size of a model's head; None without one."""
    logits = _layer(model, "logits")
    return None if logits is None else int(logits.output.shape[-1])


def activation(model):
    """Returns the name of what a model makes of its logits; None for one that ends before."""
    layer = _layer(model, "predictions")
    if layer is None:
        return None
    name = layer.get_config().get("activation", type(layer).__name__.lower())
    return name if isinstance(name, str) else "a function of its own"


def _layer(model, role):
    """The layer that is a model's "logits" or "predictions", of one stream or of two; None without one."""
    name = getattr(families.of(model) or two_stream, role)
    return next((layer for layer in model.layers if layer.name == name), None)
