"""One training run: a folder that any later start of the same command goes on with."""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil

import keras

from keras_i3d import applications, data, runs
from keras_i3d.data.manifest import check_same
from keras_i3d.messages import notice
from keras_i3d.models.inception import HEAD, inception_i3d
from keras_i3d.precision import policy
from keras_i3d.specs import CHANNELS, check_stream
from keras_i3d.training import recipes, workers
from keras_i3d.training.fast import for_training
from keras_i3d.training.keeper import Keeper, write_text
from keras_i3d.training.objective import compile_model
from keras_i3d.training.progress import Progress
from keras_i3d.training.state import KEPT, RestoreMetrics
from keras_i3d.training.workers import TrainingError
from keras_i3d.version import __version__


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run was asked to do; written to `run.json`, and compared when it is started again."""

    records: str
    validation: str | None
    stream: str
    weights: str | None
    seed: int
    recipe: recipes.Recipe
    spec: data.RecordSpec
    labels: tuple
    clips: int
    version: str = __version__

    @property
    def clip(self):
        """The ClipSpec of what the trained model takes."""
        return self.spec.clip(self.stream, self.recipe.size, self.recipe.clip_frames, self.recipe.frame_stride)


def train(
    records,
    output,
    stream="rgb",
    recipe="full-ft",
    weights="kinetics",
    validation=None,
    seed=0,
    settings=None,
    devices=None,
    progress=True,
):
    """Trains one stream on a folder of records, or goes on with a run that was stopped or killed.

    A run that was killed at any step and started again goes on from its last checkpoint: data, draws and all state are
    resumed to the step, so that under one seed it ends with the weights of a run that was not interrupted.

    Args:
        records: a folder, glob or list of files, as for `data.load`, with a manifest.
        output: folder of the run. Afterwards it has `run.json` (recipe, seed, clip spec), `labels.txt`, `log.csv`,
            `tensorboard/`, `checkpoints/`, `best.weights.h5` (where there is a validation) and `model.keras`.
        stream: "rgb" or "flow".
        recipe: a Recipe, or a name in `training.RECIPES`.
        weights: as for `keras_i3d.I3D`.
        validation: records to measure top-1 and top-5 on, by the central clip of each video; None for no validation.
        seed: of the new head, the order of the data and every draw.
        settings: {field of the recipe: value} to replace.
        devices: names of the devices to train on; by default all GPUs, or the CPU where there is none.
        progress: whether to show a progress bar.

    Returns:
        The trained keras.Model, as `model.keras` holds it: float32 (B, T, H, W, C) to probabilities (B, classes).

    Raises:
        ValueError: settings that contradict each other, the records, or those of the run in `output`.
        TrainingError: the folder cannot be written, the disk is too full, or the loss is no longer finite.
    """
    check_stream(stream)
    recipe = recipes.find(recipe) if isinstance(recipe, str) else recipe
    recipe = recipe.with_settings(settings or {}).scaled()
    output = pathlib.Path(output)
    plan = make_plan(records, validation, stream, weights, seed, recipe, output)
    strategy = workers.strategy(devices)
    final = _final(plan)  # outside the strategy's scope, so that one worker alone may write it
    with strategy.scope(), policy(plan.recipe.precision):
        if plan.recipe.batch_size % strategy.num_replicas_in_sync:
            raise ValueError(
                f"batch_size must divide among {strategy.num_replicas_in_sync} devices. "
                f"Received: batch_size={plan.recipe.batch_size}"
            )
        if plan.recipe.accumulate > 1 and strategy.num_replicas_in_sync > 1:
            raise ValueError(
                f"Gradients are accumulated on one device only. Received: accumulate={plan.recipe.accumulate} on "
                f"{strategy.num_replicas_in_sync} devices. Lower batch_size, or use one device."
            )
        keras.utils.set_random_seed(seed)
        model = build(plan)
        compile_model(model, plan.recipe)
        if workers.is_chief():
            _prepare(output, plan, final)
        keeper = Keeper(model, final, plan, output)
        _fit(model, plan, keeper, progress)
        keeper.write_final()
    return final


def make_plan(records, validation, stream, weights, seed, recipe, output):
    """The Plan of a run, what was left open filled in from the run in `output`, or decided."""
    source = data.find(records)
    if source.spec is None or source.records is None:
        raise ValueError(f"A run needs records with a manifest, as `keras-i3d records` writes it. Received: {records}")
    if validation is not None:
        held_out = data.find(validation)
        check_same("The records", source.spec, held_out.spec or source.spec, records, validation)
        if held_out.labels != source.labels:
            raise ValueError(f"Training and validation need the same labels. Those of {validation} differ.")
    plan = Plan(
        records=str(records),
        validation=None if validation is None else str(validation),
        stream=stream,
        weights=weights if weights is None else os.fspath(weights),
        seed=seed,
        recipe=recipe,
        spec=source.spec,
        labels=source.labels,
        clips=source.records,
    )
    before = read_plan(output) if runs.is_run(output) else None
    decided = {
        "precision": workers.best_precision,
        "bn_momentum": lambda: recipes.bn_momentum(recipe.steps),
        "validate_every": lambda: math.ceil(plan.clips / recipe.batch_size),
    }
    for field, decide in decided.items():
        if getattr(plan.recipe, field) is None:
            value = getattr(before.recipe, field) if before else decide()
            plan = dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, **{field: value}))
    if before:
        check_same("Recipe", before.recipe, plan.recipe, f"the run in {output}", "this one (take another output)")
        before = dataclasses.replace(before, version=plan.version)
        check_same("Settings", before, plan, f"the run in {output}", "this one (take another output)")
    return plan


def read_plan(folder):
    """Returns the Plan of the run in a folder.

    Raises:
        ValueError: no run there, or one of another version that this one does not read.
    """
    found = runs.read(folder)
    try:
        recipe = recipes.Recipe(**found.recipe)
    except TypeError as error:
        path = found.folder / runs.FACTS
        raise ValueError(f"{path} was written by another version ({found.version}): {error}") from error
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(Plan)}
    return Plan(**{**facts, "recipe": recipe})


def build(plan):
    """Returns the model of a Plan, with the weights that it starts from, not compiled; it returns logits."""
    recipe = plan.recipe
    model = applications.I3D(
        weights=plan.weights,
        stream=plan.stream,
        input_shape=(recipe.clip_frames, recipe.size, recipe.size, CHANNELS[plan.stream]),
        classes=len(plan.labels),
        classifier_activation=None,
        dropout=recipe.dropout,
        depth_multiplier=recipe.depth_multiplier,
        bn_momentum=recipe.bn_momentum,
    )
    for layer in model.layers:
        frozen = recipe.part == "head" and layer.name != HEAD
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = not (frozen or recipe.freeze_bn)
            layer.synchronized = recipe.sync_bn
        elif layer.weights:
            layer.trainable = not frozen
            if layer.trainable and recipe.weight_decay:
                layer.kernel.regularizer = keras.regularizers.L2(recipe.weight_decay / 2)
    return for_training(model, recipe.remat)


def _final(plan):
    """The model that a run ends with: with a softmax, for any length and size, and without what only training needs."""
    recipe = plan.recipe
    with policy(recipe.precision):
        return inception_i3d(
            stream=plan.stream,
            classes=len(plan.labels),
            dropout=recipe.dropout,
            depth_multiplier=recipe.depth_multiplier,
            bn_momentum=recipe.bn_momentum,
            input_shape=(None, None, None, CHANNELS[plan.stream]),
        )


def _prepare(output, plan, model):
    """Makes the folder, and finds out now whether hours of work will find their place in it."""
    size = 4 * sum(math.prod(weight.shape) for weight in model.weights)
    needed = size * (2 * (KEPT + 1) + 2)  # weights and momentum of each checkpoint, the best, the last
    try:
        (output / "checkpoints").mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(output).free
        if not (output / runs.FACTS).exists():
            write_text(output / "labels.txt", "".join(f"{label}\n" for label in plan.labels))
            write_text(output / runs.FACTS, json.dumps(dataclasses.asdict(plan), indent=1) + "\n")
        else:
            write_text(output / runs.FACTS, (output / runs.FACTS).read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"Cannot write in {output} ({error.strerror}). Choose another output.") from error
    if free < needed:
        raise TrainingError(
            f"A run of this model keeps up to {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free in {output}. "
            "Free some space, or choose another output."
        )


def _fit(model, plan, keeper, progress):
    recipe = plan.recipe
    total, every = recipe.steps * recipe.accumulate, recipe.validate_every * recipe.accumulate
    restored = keeper.resume()
    step = keeper.step
    metrics = restored["metrics"] if step % every else None  # after an epoch they are the validation's
    if step:
        notice(f"{keeper.output}: going on after step {step // recipe.accumulate} of {recipe.steps}")
    validation = _clips(plan, plan.validation) if plan.validation else None
    batch_size = recipe.batch_size // recipe.accumulate
    bar = Progress(total, step, batch_size, progress and workers.is_chief())
    with contextlib.closing(bar), contextlib.closing(keeper), keeper.interruptible():
        while step < total:
            if step % every:  # the rest of an epoch
                end = min(step + every - step % every, total)
            else:  # all whole epochs that are left, or the last, short one
                end = max(total - total % every, step) if total - total % every > step else total
            workers.fit(
                model,
                _clips(plan, plan.records, training=True, start_batch=step),
                [RestoreMetrics(metrics), bar, keeper],
                validation,
                steps_per_epoch=min(end - step, every),
                initial_epoch=step // every,
                epochs=math.ceil(end / every),
            )
            step, metrics = end, None


def _clips(plan, records, training=False, start_batch=0):
    recipe = plan.recipe
    drawn = {"short_sides": recipe.short_sides, "color_jitter": recipe.color_jitter if plan.stream == "rgb" else 0.0}
    return data.load(
        records,
        stream=plan.stream,
        clip_frames=recipe.clip_frames,
        frame_stride=recipe.frame_stride,
        size=recipe.size,
        batch_size=recipe.batch_size // recipe.accumulate // workers.shard()[1],
        worker=workers.shard(),
        training=training,
        **(
            {"seed": plan.seed, "repeat": True, "start_batch": start_batch, "flip": recipe.flip, **drawn}
            if training
            else {}
        ),
    )
