"""A run that is asked for more steps or patience than before: what may change with them, and its learning rate then."""

import dataclasses

from keras_i3d.errors import notice
from keras_i3d.training.optimizing import schedule

# What a user may set anew together with more steps, because it is of the updates to come.
CHANGEABLE = ("steps", "boundaries", "rates")
# What follows from the number of steps. Unless it is set, it stays as it was when the run began.
KEPT = ("boundaries", "rates", "warmup_steps", "unfreeze")


def longer(before, asked, given, done, where):
    """Returns the Recipe of a run that may be asked for more steps.

    Args:
        before: the Recipe of the run so far.
        asked: the Recipe that is asked for now.
        given: names of the fields that the user sets.
        done: updates done.
        where: the run, for messages.

    Returns:
        `asked`, if it has no more steps than before; else that with what the user does not set as it was. A line
        says what becomes of the learning rate.

    Raises:
        ValueError: a learning rate that the updates done did not have.
    """
    if asked.steps <= before.steps:
        return asked
    asked = dataclasses.replace(asked, **{name: getattr(before, name) for name in KEPT if name not in given})
    past = [
        [(step, rate) for step, rate in zip(recipe.boundaries, recipe.rates) if step < done]
        for recipe in (before, asked)
    ]
    if past[0] != past[1]:
        raise ValueError(
            f"With more steps only the learning rates of the steps to come may change. Received: {done} steps done in "
            f"{where} with boundaries={before.boundaries}, rates={before.rates}; boundaries={asked.boundaries}, "
            f"rates={asked.rates} asked for. Pass those before step {done} as they were, or take another output."
        )
    said = f"{where}: {asked.steps:,} steps instead of {before.steps:,}, from step {done:,} on"
    rates = [_rate(recipe, done) for recipe in (before, asked)]
    if asked.schedule == "cosine":
        said += (
            f"; the cosine now ends at step {asked.steps:,}, so its rate is {rates[1]:.3g} there, not {rates[0]:.3g}"
        )
    else:
        to_come = [f"{rate:.3g} from step {step:,}" for step, rate in zip(asked.boundaries, asked.rates) if step > done]
        said += f", at a learning rate of {', '.join([f'{rates[1]:.3g}', *to_come])}"
    notice(said)
    return asked


def as_asked(before, asked):
    """Returns the Recipe of a run so far as it may be compared with one that asks for more steps, or more patience."""
    if before.patience is not None and (asked.patience is None or asked.patience > before.patience):
        before = dataclasses.replace(before, patience=asked.patience)
    if asked.steps <= before.steps:
        return before
    return dataclasses.replace(before, **{name: getattr(asked, name) for name in CHANGEABLE})


def _rate(recipe, step):
    """The learning rate of the update after `step` others."""
    return float(schedule(recipe)(step * (recipe.accumulate or 1)))
