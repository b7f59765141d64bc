"""What the records of a run ask of its network: which kind of labels, and how uneven their classes are."""

import dataclasses

import numpy as np

from keras_i3d import data
from keras_i3d.data import balancing
from keras_i3d.models import families


@dataclasses.dataclass(frozen=True)
class Targets:
    """What losses and figures are made for.

    Attributes:
        labelling: "single", "multi" or "timed", as of `specs.LABELLINGS`.
        weights: the weight of each class in the loss; () if all count alike.
        frame_loss: of labels over time, the share of the loss that is on each frame.
        step, window: of the network's `Family`: frames a step, and steps a row of logits.
        held_out: clips of the validation, by which the room for their scores is made.
        batch_size: clips of a batch of it, over all devices.
    """

    labelling: str = "single"
    weights: tuple = ()
    frame_loss: float = 0.5
    step: int = 1
    window: int = 1
    held_out: int = 0
    batch_size: int = 1


def of(run, records, validation=()):
    """Returns the Targets of a run.

    Args:
        run: the Run, of several heads the first.
        records: what each head is trained on, as `data.load` takes it, in their order.
        validation: what each is measured on; none for no validation.
    """
    recipe, family = run.recipe, families.find(run.family)
    weights = ()
    if recipe.class_weights != "none":
        drawn = [balancing.clips_of(data.find(each).counts, recipe.balance) for each in records]
        of_each = [class_weights(counts, recipe.class_weights) for counts in drawn]
        weights = tuple(np.concatenate(of_each).tolist())
    return Targets(
        labelling=run.labelling,
        weights=weights,
        frame_loss=recipe.frame_loss,
        step=family.step,
        window=family.window,
        held_out=sum(data.find(each).records for each in validation) if run.labelling != "single" else 0,
        batch_size=recipe.batch_size // recipe.accumulate,
    )


def class_weights(counts, how):
    """Returns the weights of classes in a loss, float64 (classes,), whose mean over the clips is 1.

    Args:
        counts: how many clips each class has in an epoch.
        how: "equal" or "sqrt", as of `Recipe.class_weights`. A class without clips weighs as much as the class that
            weighs the most.
    """
    counts = np.asarray(counts, float)
    if not counts.any():
        return np.ones(len(counts))
    found = balancing.factors(counts, how)
    found = np.where(counts > 0, found, found.max())
    return found * counts.sum() / (found * counts).sum()
