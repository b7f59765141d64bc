"""The learning-rate range test (Smith 2015, arXiv 1506.01186): which rates let the loss fall, in a few dozen steps."""

import dataclasses
import math

import numpy as np

from keras_i3d.training.checkpoints import variables
from keras_i3d.training.data_checks import Finding

STEPS = 40
RANGES = {"sgd": (1e-5, 10.0), "adamw": (1e-7, 0.1)}  # of learning rates that are tried, by the recipe's optimizer
KEPT = 0.6  # of the smoothed loss from step to step
DIVERGED = 3  # times the first loss, at which the test ends
BEGINS = 0.1  # of the whole fall, from which on the loss counts as falling
FAR = 10  # times above or below the range, where a rate is wrong


@dataclasses.dataclass(frozen=True)
class RateRange:
    """What came of a range test. All rates are those for the batches of the recipe.

    Attributes:
        rates: the rates that were tried, ascending.
        losses: the loss after an update by each.
        smoothed: the same, averaged over the steps before.
        low, high: between which the loss falls; None if it falls nowhere.
        suggested: their middle, in logarithms.
        share: clips of the recipe's batches to one of those that were tried, by which the rates were multiplied.
    """

    rates: tuple
    losses: tuple
    smoothed: tuple
    low: float | None = None
    high: float | None = None
    suggested: float | None = None
    share: float = 1.0

    def finding(self, used):
        """Returns the Finding about a recipe's learning rate: wrong if more than ten times off the range.

        How far the proportion of rate and batch holds is not known, so below the range counts what is below it in the
        batches that were tried.
        """
        if not self.rates:
            return Finding("learning rate: the loss of the first batches is no number. Look at the clips.", True)
        if self.suggested is None:
            return Finding(
                f"learning rate: none from {self.rates[0]:.1g} to {self.rates[-1]:.1g} lets the loss fall within "
                f"{len(self.rates)} steps. Look at the clips and their labels.",
                False,
            )
        found = f"where the loss falls, {self.low:.1g} to {self.high:.1g}"
        remedy = f"Pass --set=learning_rate={self.suggested:.1g}, in the middle of that."
        if used > FAR * self.high:
            return Finding(f"learning rate: {used:g} is more than {FAR} times above {found}. {remedy}", True)
        if used < self.low / max(self.share, 1) / FAR:
            return Finding(f"learning rate: {used:g} is more than {FAR} times below {found}. {remedy}", True)
        return Finding(f"learning rate: {used:g}; {found}.", False)


def measure(model, held, batches, between, steps=STEPS, share=1.0):
    """Trains with rates that rise geometrically, then takes every change back.

    Args:
        model: a compiled model, whose optimizer is built and has the learning rate `held`.
        held: the HeldRate.
        batches: an iterable of (x, y), at least `steps` + 1.
        between: (first rate, last rate).
        steps: how many rates.
        share: see `RateRange`.

    Returns:
        A RateRange; of fewer rates if the loss diverged before the last.
    """
    before = [np.asarray(variable).copy() for variable in variables(model)]
    rates, losses = np.geomspace(*between, steps), []
    for (x, y), rate in zip(batches, [*rates, rates[-1]]):
        held.rate.assign(rate)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))  # as the rates before it left it
        if not losses[-1] < DIVERGED * losses[0]:
            break
    for variable, value in zip(variables(model), before, strict=True):
        variable.assign(value)
    model.reset_metrics()
    return analysed(rates[: len(losses) - 1] * share, losses, share)


def analysed(rates, losses, share=1.0):
    """Returns the RateRange of rates and losses: one before any update, then one after each."""
    after = np.array(losses[1:], float)
    after = np.where(np.isfinite(after), after, DIVERGED * losses[0])
    smoothed, mean = [], losses[0]
    for loss in after:
        mean = KEPT * mean + (1 - KEPT) * loss
        smoothed.append(mean)
    measured = RateRange(tuple(map(float, rates)), tuple(map(float, after)), tuple(map(float, smoothed)), share=share)
    quiet = np.array(losses[: max(len(losses) // 4, 2)])  # of rates so low that they change nothing
    best = int(np.argmin(smoothed)) if smoothed else 0
    fall = quiet.mean() - smoothed[best] if smoothed else 0.0
    noise = np.diff(losses[: max(best + 2, len(losses) // 2)]).std() / math.sqrt(2)  # of a loss, without its trend
    if fall <= max(2 * noise, 0.01 * abs(quiet.mean())):  # which is what noise alone makes of it
        return measured
    falling = [i for i in range(best) if smoothed[i] > quiet.mean() - BEGINS * fall]
    low = min(falling[-1] + 1, best) if falling else 0
    low, high = float(rates[low]), float(rates[best])
    return dataclasses.replace(measured, low=low, high=high, suggested=math.sqrt(low * high))
