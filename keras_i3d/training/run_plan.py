"""What a run is about to do, as a user reads it before the first step."""

import dataclasses
import math
import statistics

from keras_i3d import data
from keras_i3d.recipes import Recipe
from keras_i3d.specs import ClipSpec
from keras_i3d.training import data_warnings, step_memory, workers
from keras_i3d.training.step_memory import StepMemory, gigabytes

LISTED = 12  # classes at most that are listed one by one
MOST_READ = 10_000  # records without their classes in the manifest, which are read for them


@dataclasses.dataclass(frozen=True)
class DataPlan:
    """What one data set gives to a run.

    Attributes:
        name: of the data set; "" of a single one.
        clips: how many records it is trained on.
        counts: {class: how many of these it has}; None if nobody counted.
        validation: how many records it is measured on; None without a validation.
        validation_counts: the same of these.
    """

    name: str
    clips: int
    counts: dict | None = None
    validation: int | None = None
    validation_counts: dict | None = None


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """What a run is about to do; `print` it.

    Attributes:
        output: the run's folder.
        family, stream: what is trained.
        clip: the ClipSpec of what it takes.
        recipe: the Recipe, all of it decided.
        parts: a DataPlan for each data set.
        memory: the StepMemory of a step.
        free: bytes that it may take; None if nobody knows.
        on_gpu: whether that is a GPU's memory.
        devices: how many share a batch.
        done: steps done before.
    """

    output: str
    family: str
    stream: str
    clip: ClipSpec
    recipe: Recipe
    parts: tuple
    memory: StepMemory
    free: float | None
    on_gpu: bool = False
    devices: int = 1
    done: int = 0

    @property
    def clips(self):
        """How many records it is trained on."""
        return sum(part.clips for part in self.parts)

    @property
    def passes(self):
        """How often the run goes over its clips."""
        return self.recipe.steps * self.recipe.batch_size / max(self.clips, 1)

    @property
    def step_bytes(self):
        """What a step takes of the memory of one device, about."""
        recipe = self.recipe
        clips = recipe.batch_size // recipe.accumulate // self.devices
        return self.memory.total(clips, recipe.remat, recipe.accumulate)

    def __str__(self):
        recipe = self.recipe
        lines = [f"plan of {self.output}: {self.family}, {self.stream}, {recipe.precision}"]
        for part in self.parts:
            lines += _data(part)
        lines += [
            f"  clips of     {recipe.clip_frames} frames, {self.clip}",
            f"  steps        {recipe.steps:,} of {recipe.batch_size} clips: {_passes(self.passes)}{self._parts()}"
            + (f"; {self.done:,} are done" if self.done else ""),
            f"  rate         {self._rate()}",
        ]
        if any(part.validation is not None for part in self.parts):
            passes = recipe.validate_every * recipe.batch_size / max(self.clips, 1)
            lines.append(f"  validation   every {recipe.validate_every:,} steps ({_passes(passes)})")
        lines += [
            f"  memory       about {gigabytes(self.step_bytes)} {'of the GPU' if self.on_gpu else 'for the step'}, "
            + (f"{gigabytes(self.free)} free" if self.free is not None else "how much is free is not known here"),
            "  time         said after the first steps",
        ]
        return "\n".join(lines)

    def _parts(self):
        recipe, more = self.recipe, []
        if recipe.accumulate > 1:
            more.append(f"in {recipe.accumulate} parts of {recipe.batch_size // recipe.accumulate}")
        if self.devices > 1:
            more.append(f"{recipe.batch_size // self.devices} on each of {self.devices} devices")
        if recipe.remat:
            more.append("activations computed twice (remat)")
        return "".join(f", {text}" for text in more)

    def _rate(self):
        recipe = self.recipe
        if recipe.schedule == "cosine":
            falls = [f"half a cosine to {recipe.final_rate:g}"]
        else:
            falls = [f"{rate:.3g} from step {step:,}" for step, rate in zip(recipe.boundaries, recipe.rates)]
        rises = [f"after a rise over {recipe.warmup_steps:,} steps"] if recipe.warmup_steps else []
        return ", ".join([f"{recipe.learning_rate:.3g}", *rises, *falls, recipe.optimizer])


def _data(part):
    """The lines of one data set."""
    name = f" {part.name}" if part.name else ""
    held_out = "no validation" if part.validation is None else f"{part.validation:,} for validation"
    title = f"  data{name}".ljust(15)
    if not part.counts:
        return [f"{title}{part.clips:,} clips, {held_out}"]
    numbers = sorted(part.counts.values())
    spread = f"{numbers[0]} to {numbers[-1]} a class, median {math.floor(statistics.median(numbers))}"
    lines = [f"{title}{part.clips:,} clips of {len(numbers)} classes ({spread}), {held_out}"]
    if len(numbers) > LISTED:
        return lines
    width = max(map(len, part.counts))
    for label, count in part.counts.items():
        measured = part.validation_counts and f", {part.validation_counts.get(label, 0)} for validation"
        lines.append(f"    {label:{width}}  {count:>5,}{measured or ''}")
    return lines


def _passes(number):
    return f"{number:.1f} passes" if number < 9.95 else f"{number:,.0f} passes"


def of_data(name, source, held_out=None):
    """Returns the DataPlan of a data set.

    Args:
        name: of it.
        source: the Source of what it is trained on.
        held_out: the Source of what it is measured on, or None.
    """
    return DataPlan(
        name=name,
        clips=source.records,
        counts=_counts(source),
        validation=held_out and held_out.records,
        validation_counts=held_out and _counts(held_out),
    )


def _counts(source):
    """{class: records}; None where they would have to be counted in more records than takes moments to read."""
    if None in (source.classes or (None,)) and (source.records is None or source.records > MOST_READ):
        return None
    return dict(zip(source.labels, source.counts))


def of(model, trained, output, devices, replicas, saved):
    """Makes the plan of what is about to be trained; lines say what is odd, or was decided so that memory is enough.

    Args:
        model: what is trained, as it is before its training step is made faster.
        trained: its Heads.
        output: the run's folder.
        devices: as for `train`.
        replicas: how many devices share a batch.
        saved: the checkpoint that it resumes from, or None.

    Returns:
        A RunPlan, all of whose recipe is decided.

    Raises:
        TrainingError: memory is too small for one clip.
    """
    run = trained[0].run
    free, on_gpu = step_memory.devices_memory(devices)
    memory = step_memory.estimate(model, run.recipe, sum(head.run.clips for head in trained))
    recipe = run.recipe
    if workers.shard()[1] > 1:  # each would decide by its own memory
        recipe = dataclasses.replace(recipe, accumulate=recipe.accumulate or 1, remat=bool(recipe.remat))
    recipe = step_memory.fitted(recipe, memory, free, replicas)
    parts = []
    for head in trained:
        source = data.find(head.records)
        held_out = None if head.validation is None else data.find(head.validation)
        parts.append(of_data(head.name, source, held_out))
        if workers.is_chief():
            data_warnings.warn(parts[-1], recipe, source, held_out)
    return RunPlan(
        output=str(output),
        family=run.family,
        stream=run.stream,
        clip=run.clip,
        recipe=recipe,
        parts=tuple(parts),
        memory=memory,
        free=free,
        on_gpu=on_gpu,
        devices=replicas,
        done=saved.step // recipe.accumulate if saved else 0,
    )
