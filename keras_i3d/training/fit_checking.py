"""What one does by hand before a long run: look at the data, try the learning rate, learn a few clips by heart."""

import dataclasses
import pathlib

import numpy as np

from keras_i3d import atomic, charts, data
from keras_i3d.errors import notice
from keras_i3d.precision import policy
from keras_i3d.specs import BOTH
from keras_i3d.training import rate_range, run_errors, targets, workers
from keras_i3d.training.asked_recipe import AskedRecipe
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.data_checks import ClipChecks, check_labels
from keras_i3d.training.example_clips import Examples
from keras_i3d.training.optimizing import HeldRate
from keras_i3d.training.rate_range import RateRange
from keras_i3d.training.run import build
from keras_i3d.training.run_start import initial_weights, settled

LOOKED_AT = 24  # clips, for what is wrong with their frames and flow
BUFFER = 64  # clips that the batches of the range test are drawn from
PLOT = "range.png"


@dataclasses.dataclass(frozen=True)
class FitCheck:
    """What came of a check.

    Attributes:
        clips, steps: how many were learnt, in how many updates at most.
        loss, top1: after them. Of several labels `top1` is the share of the clips all of whose labels are right at
            probability 0.5; of labels over time they are those of the whole clip.
        labelling: of the records, as of `specs.LABELLINGS`.
        findings: the Findings about records and learning rate.
        rates: the RateRange; None without a range test.
    """

    clips: int
    steps: int
    loss: float
    top1: float
    labelling: str = "single"
    findings: tuple = ()
    rates: RateRange | None = None

    @property
    def passed(self):
        """Whether all clips were learnt, and nothing else is wrong."""
        return self.top1 == 1 and not any(finding.wrong for finding in self.findings)

    def __str__(self):
        right = "top-1" if self.labelling == "single" else "all labels right of"
        found = f"{self.clips} clips, {self.steps} steps: loss {self.loss:.3g}, {right} {self.top1:.0%}"
        first = f"fit check {'passed' if self.passed else 'FAILED'}: {found}"
        if self.top1 < 1:
            first += ". Look at the clips (`keras-i3d show`), the labels and the learning rate."
        return "\n".join([first, *map(str, self.findings)])


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
    range_steps=rate_range.STEPS,
    output=None,
):
    """Looks at records and learning rate, then trains on the same few clips, as they are, until all are named rightly.

    It looks for labels that are not those of the folders in the records' ids, clips whose frames are all equal, and
    flow that is zero. A range test (arXiv 1506.01186) tries learning rates on batches of as many clips as are learnt by
    heart; a rate for larger batches is in proportion. The weights that the run begins with come back after it.

    Args:
        records, stream, recipe, weights, seed, settings: as for `train`. Schedule, dropout and draws are left out.
        clips: how many, the first of as many classes as there are.
        steps: updates at most.
        model, accept_licence: as for `train`.
        range_steps: learning rates that are tried; 0 for no range test.
        output: a folder for `range.png`, a plot of that test; made if it is not there. None for no plot.

    Returns:
        A FitCheck; printed, it has a line for each finding, with its remedy.

    Raises:
        ValueError: as `train`.
    """
    if isinstance(records, dict):
        raise ValueError(f"A fit check is of one data set. Received: {', '.join(records)}. Check each by itself.")
    recipe = AskedRecipe.of(recipe, settings).for_clips()
    used, share = recipe.learning_rate, recipe.batch_size / clips
    changed = {"boundaries": (), "rates": (), "warmup_steps": 0, "dropout": 0.0, "label_smoothing": 0.0}
    changed |= {"passes": None, "schedule": "steps", "unfreeze": (), "ema": None, "patience": None, "precise_bn": 0}
    recipe = dataclasses.replace(recipe, **changed, batch_size=clips, accumulate=1, bn_momentum=0.9, steps=steps)
    asked, source = settled(records, None, stream, weights, seed, recipe, None, model, accept_licence)
    with run_errors.told(recipe), workers.strategy().scope(), policy(asked.recipe.precision):
        x, y, findings = _looked_at(asked, records, clips)
        model = build(asked, initial_weights(asked, source), accept_licence=accept_licence)
        compile_model(model, asked.recipe, asked=targets.of(asked, [records]))
        right = "top1" if asked.labelling == "single" else "exact"
        model.optimizer.learning_rate = held = HeldRate(used)
        measured = None
        with workers.without_remapping():
            if range_steps:
                between = rate_range.RANGES[recipe.optimizer]
                batches = _batches(asked, records, clips)
                measured = rate_range.measure(model, held, batches, between, range_steps, max(share, 1.0))
                findings.append(measured.finding(used))
                held.rate.assign(used)
            for _ in range(steps):
                logs = model.train_on_batch(x, y, return_dict=True)
                model.reset_metrics()
                if logs[right] == 1:
                    break
    if measured is not None and output is not None:
        _draw(measured, used, pathlib.Path(output))
    taken = int(model.optimizer.iterations)
    return FitCheck(len(y), taken, float(logs["loss"]), float(logs[right]), asked.labelling, tuple(findings), measured)


def _looked_at(run, records, clips):
    """Returns (x, y, Findings): of some clips the first of every class, as many as of the others if there are.

    Of several labels, as many of every set of labels.
    """
    examples, wanted = Examples(run, records, max(LOOKED_AT, clips)), -(-clips // len(run.labels))
    checks, found, labelled = ClipChecks(run.spec), [], []
    for example in examples:
        checks.add(example)
        labelled.append((example.id, example.classes))
        if len(found) < clips and sum(np.array_equal(example.y, y) for _, y in found) < wanted:
            found.append((example.taken(run.stream)[0], example.y))
    source = examples.source
    if source.classes and None not in source.classes:
        labelled = zip(sum(source.ids, ()), sum(source.classes, ()))
    findings = [*check_labels(labelled, run.labels), *checks.findings()]
    return np.stack([x for x, _ in found]), np.stack([y for _, y in found]), findings


def _batches(run, records, clips):
    """Batches of training clips, drawn as those of a run but for what changes colours or mixes clips."""
    recipe = run.recipe
    return data.load(
        records,
        stream=run.stream,
        joined=run.stream == BOTH,
        clip_frames=recipe.clip_frames,
        frame_stride=recipe.frame_stride,
        size=recipe.size,
        mean=run.mean,
        std=run.std,
        training=True,
        batch_size=clips,
        seed=run.seed,
        repeat=True,
        short_sides=recipe.short_sides,
        flip=recipe.flip,
        shuffle_buffer=BUFFER,
    )


def _draw(measured, used, folder):
    """Writes the plot of a range test; a line says if there is none, because matplotlib is missing."""
    try:
        charts.matplotlib(PLOT)
    except ImportError as error:
        notice(f"the learning rates are not drawn: {error}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(folder / PLOT) as temporary:
        temporary.write_bytes(charts.rates(measured, used, "learning-rate range test"))
    notice(f"{folder / PLOT}: the loss at each learning rate")
