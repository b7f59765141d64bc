"""Whether a model can learn a handful of clips by heart: what one does by hand before a long run."""

import dataclasses

import numpy as np

from keras_i3d import data, recipes
from keras_i3d.precision import policy
from keras_i3d.specs import BOTH
from keras_i3d.training import run_errors, workers
from keras_i3d.training.objective import compile_model
from keras_i3d.training.run import build
from keras_i3d.training.run_start import initial_weights, settled


@dataclasses.dataclass(frozen=True)
class FitCheck:
    """What came of a check: clips, steps taken, the loss and top-1 after them, and whether all clips were learnt."""

    clips: int
    steps: int
    loss: float
    top1: float

    @property
    def passed(self):
        return self.top1 == 1

    def __str__(self):
        found = f"{self.clips} clips, {self.steps} steps: loss {self.loss:.3g}, top-1 {self.top1:.0%}"
        if self.passed:
            return f"fit check passed: {found}"
        return f"fit check FAILED: {found}. Look at the clips (`keras-i3d show`), the labels and the learning rate."


def fit_check(
    records,
    stream=None,
    recipe="full-ft",
    weights="kinetics",
    seed=0,
    settings=None,
    clips=8,
    steps=100,
    model=None,
    accept_licence=None,
):
    """Trains on the same few clips, as they are, until all are classified right.

    Args:
        records, stream, recipe, weights, seed, settings: as for `train`. Schedule, dropout and draws are left out.
        clips: how many, the first of as many classes as there are.
        steps: updates at most.
        model, accept_licence: as for `train`.

    Returns:
        A FitCheck.

    Raises:
        ValueError: as `train`.
    """
    if isinstance(records, dict):
        raise ValueError(f"A fit check is of one data set. Received: {', '.join(records)}. Check each by itself.")
    recipe = recipes.find(recipe) if isinstance(recipe, str) else recipe
    recipe = recipe.with_settings(settings or {}).scaled()
    changed = {"boundaries": (), "rates": (), "warmup_steps": 0, "dropout": 0.0, "label_smoothing": 0.0}
    recipe = dataclasses.replace(recipe, **changed, batch_size=clips, accumulate=1, bn_momentum=0.9, steps=steps)
    asked, source = settled(records, None, stream, weights, seed, recipe, None, model, accept_licence)
    with run_errors.told(recipe), workers.strategy().scope(), policy(asked.recipe.precision):
        x, y = _few(asked, records, clips)
        model = build(asked, initial_weights(asked, source), accept_licence=accept_licence)
        compile_model(model, asked.recipe)
        with workers.without_remapping():
            for _ in range(steps):
                logs = model.train_on_batch(x, y, return_dict=True)
                model.reset_metrics()
                if logs["top1"] == 1:
                    break
    return FitCheck(len(y), int(model.optimizer.iterations), float(logs["loss"]), float(logs["top1"]))


def _few(run, records, clips):
    """x and y of the first clips, of every class as many as of the others, as far as they go."""
    recipe, found, wanted = run.recipe, [], -(-clips // len(run.labels))
    drawn = {"size": recipe.size, "frame_stride": recipe.frame_stride, "mean": run.mean, "std": run.std}
    for x, y in data.load(records, run.stream, recipe.clip_frames, joined=run.stream == BOTH, **drawn):
        if sum(label == int(y[0]) for _, label in found) < wanted:
            found.append((x[0].numpy(), int(y[0])))
        if len(found) == clips:
            break
    return np.stack([x for x, _ in found]), np.array([y for _, y in found])
