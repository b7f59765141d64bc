"""What a trained network is and expects: one record, which goes wherever its weights go.

It stands in a run's `run.json`, in the notes of every file of weights that this package writes, in the model itself (in
the layer that checks its clips, so that `model.save` and `clone_model` keep it), in an export's card, and in the
answer of an export's signature `facts`. Every verb reads this record and no other.
"""

import dataclasses

from keras_i3d.specs import CLIPS, ClipSpec

KEY = "keras_i3d"  # of the notes in a `.weights.h5`
SOFTMAX = "softmax"


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a network was trained on and ends in.

    Attributes:
        stream: "rgb" or "flow".
        classes: size of the head; None for a body without one.
        labels: class names in the order of the classes; the name of a published list; or None where nobody said.
        activation: name of what makes probabilities of the logits, such as "softmax" or "sigmoid"; "linear" for a model
            that ends in its logits; None where nobody said.
        depth_multiplier: scale of the layers' widths; None where nobody said.
        precision: the Keras policy that it was trained in; None where nobody said.
        clip: the ClipSpec of its clips; None where nobody said.
        source: where the weights are from, for people.
    """

    stream: str
    classes: int | None = None
    labels: tuple | str | None = None
    activation: str | None = None
    depth_multiplier: float | None = None
    precision: str | None = None
    clip: ClipSpec | None = None
    source: str = ""

    def record(self):
        """Returns plain numbers, strings, lists and dictionaries, as JSON and Keras's configurations hold them."""
        content = dataclasses.asdict(self)
        if isinstance(self.labels, tuple):
            content["labels"] = list(self.labels)
        if self.clip is not None:
            content["clip"]["value_range"] = list(self.clip.value_range)
        return content

    @property
    def sees(self):
        """The ClipSpec of its clips; that of the published weights where nobody said."""
        return self.clip or CLIPS[self.stream]


def parse(record, stream=None):
    """Returns the Facts of what `Facts.record` gave, or None for an empty record.

    Args:
        record: a dictionary. What this version does not know is left out, for a later one may have written it.
        stream: the one to take where the record names none.

    Raises:
        ValueError: it is no such record.
    """
    if not record:
        return None
    try:
        known = {field.name for field in dataclasses.fields(Facts)}
        content = {"stream": stream, **{name: value for name, value in record.items() if name in known}}
        clip = content.get("clip")
        if clip:
            fields = {field.name for field in dataclasses.fields(ClipSpec)}
            clip = {name: tuple(v) if isinstance(v, list) else v for name, v in clip.items() if name in fields}
            content["clip"] = ClipSpec(**clip)
        if isinstance(content.get("labels"), list):
            content["labels"] = tuple(map(str, content["labels"]))
        return Facts(**content)
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"what it notes about itself cannot be read ({error})") from error


def of(model):
    """Returns the Facts that a model of one stream carries, or None.

    What shows in the model itself (the classes, the activation) is read off it, whatever the record says.
    """
    layer = _holder(model)
    found = layer and parse(layer.facts)
    if not found:
        return None
    shown = {name: value for name, value in (("classes", classes(model)), ("activation", activation(model))) if value}
    return dataclasses.replace(found, **shown)


def note(model, facts):
    """Writes Facts into a model of one stream; they stay with it through `model.save` and `clone_model`.

    Args:
        model: a keras.Model that this package made.
        facts: a Facts; None removes what was noted.

    Returns:
        The model.

    Raises:
        ValueError: a model that is not this package's, which has no place for them.
    """
    layer = _holder(model)
    if layer is None:
        raise ValueError(f"Facts are noted in a model of one stream that this package made. Received: {model.name}")
    layer.facts = None if facts is None else facts.record()
    return model


def classes(model):
    """Returns the size of a model's head; None without one."""
    logits = _layer(model, "Logits")
    return None if logits is None else int(logits.output.shape[-1])


def activation(model):
    """Returns the name of what a model makes of its logits; None without a head, or where it has no name."""
    layer = _layer(model, "Predictions")
    if layer is None:
        return None
    name = layer.get_config().get("activation", type(layer).__name__.lower())
    return name if isinstance(name, str) else None


def _layer(model, name):
    return next((layer for layer in model.layers if layer.name == name), None)


def _holder(model):
    return next((layer for layer in model.layers if hasattr(layer, "facts")), None)
