"""The heads of a run: one for each data set, next to each other in the head layer of the network that is trained."""

import dataclasses

import keras

from keras_i3d.models import families
from keras_i3d.precision import policy
from keras_i3d.runs import Run


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """What a run makes of one data set: the body that all share, with classes of its own.

    Attributes:
        name: of the data set, and of the head's folder in the run's; "" in a run of one data set.
        run: the Run that its `run.json` tells of.
        records, validation: what it is trained and measured on, as `data.load` takes it; None for no validation.
        first: place of its first class among the classes of all.
        model: what training ends with: with a softmax, for any length and size, and without what only training needs.
    """

    name: str
    run: Run
    records: object
    validation: object
    first: int
    model: keras.Model

    @property
    def classes(self):
        return len(self.run.labels)

    def folder(self, output):
        """The head's own run in the folder of the whole run."""
        return output / self.name

    def called(self, figure):
        """What the logs call a figure of this head, such as "top1"."""
        return f"{self.name}.{figure}" if self.name else figure

    def part_of(self, weights):
        """Returns this head's part of {layer: arrays} of the network that is trained."""
        layer = families.find(self.run.family).head
        own = [array[..., self.first : self.first + self.classes] for array in weights[layer]]
        return {**weights, layer: own}


def of(settled, records, validation):
    """Returns the Heads of a run, with fresh networks.

    Args:
        settled: {name: Run}.
        records, validation: {name: what `data.load` takes}; no validation for {}.
    """
    found, first = [], 0
    for name, run in settled.items():
        found.append(Head(name, run, records[name], validation.get(name), first, _model(run)))
        first += len(run.labels)
    return tuple(found)


def _model(run):
    recipe = run.recipe
    with policy(recipe.precision):
        return run.facts.build(dropout=recipe.dropout, bn_momentum=recipe.bn_momentum)


def with_recipe(heads, recipe):
    """Returns the Heads with a Recipe in which all is decided."""
    runs = ((head, dataclasses.replace(head.run, recipe=recipe)) for head in heads)
    return tuple(dataclasses.replace(head, run=run) for head, run in runs)


def labels(heads):
    """The labels of all heads, in the order of the classes."""
    return tuple(label for head in heads for label in head.run.labels)


def patterns(heads, name):
    """Returns the "records" or "validation" of all heads as `data.load` takes them; None without a validation."""
    found = {head.name: getattr(head, name) for head in heads if getattr(head, name) is not None}
    return found.get("", found or None)
