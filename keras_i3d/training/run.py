"""One training run: a folder with which any later start of the same command resumes."""

import contextlib
import functools
import math
import pathlib
import sys

import keras
import numpy as np

from keras_i3d import builders, data, facts
from keras_i3d.data import pipeline
from keras_i3d.errors import notice
from keras_i3d.models import families
from keras_i3d.models.recurrent import BatchNormLSTM
from keras_i3d.precision import policy
from keras_i3d.specs import BOTH, INPUT_CHANNELS, check_stream
from keras_i3d.training import (
    averaging,
    checkpoints,
    heads,
    optimizing,
    run_errors,
    run_folder,
    run_loggers,
    run_plan,
    targets,
    workers,
)
from keras_i3d.training.asked_recipe import AskedRecipe
from keras_i3d.training.checkpoints import RestoreMetrics
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.faster_step import for_training
from keras_i3d.training.huge_pages import HugePages
from keras_i3d.training.run_progress import Progress
from keras_i3d.training.run_start import has_begun, has_checkpoint, initial_weights, settled_heads
from keras_i3d.training.run_writer import RunWriter
from keras_i3d.weights import registry

DRAWN = (  # settings of a recipe that `data.load` takes under the same names
    *("short_sides", "flip", "area", "aspect", "strides", "reverse", "erase", "mixup", "cutmix", "repeats", "balance"),
)
UNMIXED = {"mixup": 0.0, "cutmix": 0.0, "erase": 0.0}  # clips for statistics, as those of inference are


def train(
    records,
    output,
    stream=None,
    recipe="full-ft",
    weights="kinetics",
    validation=None,
    seed=0,
    settings=None,
    devices=None,
    progress=True,
    errors="raise",
    model=None,
    accept_licence=None,
    plan_only=False,
    pictures=8,
    log=(),
):
    """Trains one stream on records, or resumes a run that was stopped or killed.

    A run that was killed at any step and started again resumes from its last checkpoint: data, draws and all state are
    resumed to the step, so that under one seed it ends with the weights of a run that was not interrupted. A run that
    has ended is left as it is; with more steps than before it is continued.

    Before the first step it prints a plan, with lines about what may be wrong with the clips. What a recipe of this
    package leaves open is made to fit: the batch to the number of clips (`AskedRecipe.for_clips`), its parts to memory.

    Args:
        records: a folder, glob or list of files, as for `data.load`, with a manifest. A dictionary {name: these} is
            several data sets, which differ in their labels alone: multi-task training, one body with a head for each
            (arXiv 1406.2199, section 4). The loss of a clip is of the head of its data set; the loss of a batch is the
            mean over its clips, of which each data set has a share in proportion to its size.
        output: folder of the run. Afterwards it has `run.json` (recipe, seed, clip spec), `labels.txt`, `log.csv`,
            `tensorboard/`, `checkpoints/`, `best.weights.h5` (if there is a validation) and `model.keras`.
            Of several data sets each has a folder of its name in it: a run's folder like any other, of the body with
            that head, for all that takes a run.
        stream: "rgb", "flow", or "both" for a network that takes both in one tensor. By default the first that `model`
            takes, and "rgb" without one.
        recipe: a Recipe, a name in `training.RECIPES`, or the path of a FILE.py or FILE.json (`recipe_files.read`).
        weights: as for `keras_i3d.I3D`; or the folder of another run, whose best weights are taken, or its last where
            it has no others. A run that has a checkpoint resumes from that, and needs them no more.
        validation: records to measure top-1 and top-5 on, by the central clip of each video; None for no validation. Of
            records with several labels it is the mean average precision, of labels over time that of their frames. Of
            several data sets a dictionary of the same names; the best weights have the best mean of their top-1.
        seed: seed of the new head, the order of the data and every draw.
        settings: {field of the recipe: value} to replace. None of them is changed; what follows from them is said.
        devices: names of the devices to train on; by default all GPUs, or the CPU if there is none.
        progress: whether to show the plan, how many batches are done, and a line for each validation.
        errors: "raise" stops at a damaged record; "count" drops such records, with a line for each, and counts them in
            `log.csv` and at the end, since the run began; not with several workers. What a run that drops some
            resumes with differs by the clips that took their places.
        model: name of the network, a row of `models.families`. By default that of the weights, and "I3D" without any.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it. What is
            trained from them keeps it: `run.json`, each file of weights and an export's card name licence and source.
        pictures: how many clips of the validation are drawn after each, with their flow if the records hold it and what
            the model takes them for, next to the confusions: PNG files in `pictures/`, which TensorBoard shows too. 0
            draws nothing.
        log: "wandb" or "mlflow", or several such names: services that get the figures of `log.csv` too, by the number
            of the update. A run that resumes continues in the same run of the service, whose id is in `loggers.json`.
        plan_only: whether to return the plan, a `run_plan.RunPlan`, in the place of training: nothing is written.

    Returns:
        The trained keras.Model, as `model.keras` holds it: float32 (B, T, H, W, C) to probabilities (B, classes).
        Of several data sets {name: such a model}.

    Raises:
        ValueError: settings that contradict each other, the records, or those of the run in `output`.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        TrainingError: the folder cannot be written, or another run writes there; the disk is too full; a record is
            damaged; memory is too small for a clip, or ran out; the loss is no longer finite; another worker was lost.
    """
    if stream is not None:
        check_stream(stream, INPUT_CHANNELS)
    services = run_loggers.find(log)
    if errors == "count" and workers.shard()[1] > 1:
        raise ValueError(
            "Damaged records are dropped by one process alone, since the shares of several workers would no longer be "
            f'parts of one batch. Received: errors="count" with {workers.shard()[1]} workers. Make the records again.'
        )
    workers.cluster()
    if model is not None:
        weights = registry.whole_name(weights, [families.find(model).name])
    recipe = AskedRecipe.of(recipe, settings)
    output = pathlib.Path(output)
    records, validation = _by_name(records, validation)
    settled, source = settled_heads(
        *(records, validation, stream, weights, seed, recipe, output, model, accept_licence)
    )
    strategy = workers.strategy(devices)
    trained = heads.of(settled, records, validation)  # outside the strategy's scope, so that one worker may write alone
    run = trained[0].run
    _clips(run, heads.patterns(trained, "records"), training=True, load=pipeline.check)  # before anything is made
    if trained[0].name:
        each = [f"{head.name} ({head.classes} classes, {head.run.clips} records)" for head in trained]
        notice(f"{output}: a head for each of {', '.join(each)}")
    with contextlib.ExitStack() as held, run_errors.told(run.recipe):
        begun = has_begun(output)
        writes = workers.is_chief() and not plan_only
        if begun and writes:  # at once: another process may be writing there
            held.enter_context(run_folder.prepared(output, trained))
        saved = checkpoints.newest(output / "checkpoints")
        if not plan_only and run_folder.has_ended(run, saved, trained, output):
            return run_folder.ended(run, saved, trained, output)
        weights = None if plan_only or has_checkpoint(output) else initial_weights(run, source)
        with strategy.scope(), policy(run.recipe.precision):
            if run.recipe.batch_size % strategy.num_replicas_in_sync:
                raise ValueError(
                    f"batch_size must divide among {strategy.num_replicas_in_sync} devices. "
                    f"Received: batch_size={run.recipe.batch_size}"
                )
            if (run.recipe.accumulate or 1) > 1 and strategy.num_replicas_in_sync > 1:
                raise ValueError(
                    f"Gradients are accumulated on one device only. Received: accumulate={run.recipe.accumulate} on "
                    f"{strategy.num_replicas_in_sync} devices. Lower batch_size, or use one device."
                )
            keras.utils.set_random_seed(seed)
            model = _network(run, weights, heads.labels(trained), accept_licence)
            weights = source = None  # and the arrays that were read of them
            plan = run_plan.of(model, trained, output, devices, strategy.num_replicas_in_sync, saved)
            if plan_only:
                return plan
            trained = heads.with_recipe(trained, plan.recipe)
            run = trained[0].run
            model = for_training(model, run.recipe.remat)
            _train_more(model, run.recipe, trained, (saved.step - 1) // run.recipe.accumulate if saved else 0)
            if not begun and writes:  # nothing is left of a run that cannot begin
                held.enter_context(run_folder.prepared(output, trained))
            if progress and workers.is_chief():
                print(plan, file=sys.stderr, flush=True)
            writer = RunWriter(model, trained, output, progress, pictures)
            with run_errors.told(run.recipe):  # as it was decided
                _fit(model, trained, writer, saved, progress, errors, services)
                _finish(model, trained, writer, errors)
    if writer.dropped:
        notice(f"{output}: {len(writer.dropped)} damaged records were dropped since the run began")
    models = {head.name: head.model for head in trained}
    return models.get("", models)


def _by_name(records, validation):
    """Returns records and validation as {name of the data set: what `data.load` takes}, the name of a single one ""."""
    if isinstance(records, dict) != isinstance(validation, dict) and validation is not None:
        raise ValueError(
            "Records and validation are both of one data set, or both dictionaries of several. Received: "
            f"records={records!r}, validation={validation!r}"
        )
    if isinstance(records, dict):
        return records, validation or {}
    return {"": records}, {} if validation is None else {"": validation}


def build(run, weights=None, labels=None, accept_licence=None):
    """Returns the model of a Run, with these weights (as for `builders.build`), not compiled; it returns logits.

    Args:
        run: the Run.
        weights, accept_licence: as for `builders.build`.
        labels: the classes; None for the run's own.
    """
    return for_training(_network(run, weights, labels, accept_licence), run.recipe.remat)


def _network(run, weights=None, labels=None, accept_licence=None):
    """The same, as it is before its training step is made faster."""
    recipe, labels = run.recipe, tuple(labels or run.labels)
    model = builders.build(
        run.family,
        weights=weights,
        stream=run.stream,
        input_shape=(recipe.clip_frames, recipe.size, recipe.size, INPUT_CHANNELS[run.stream]),
        classes=len(labels),
        classifier_activation=None,
        dropout=recipe.dropout,
        depth_multiplier=recipe.depth_multiplier,
        bn_momentum=recipe.bn_momentum,
        accept_licence=accept_licence,
    )
    _say_what_changes(model, run, labels)
    family = families.find(run.family)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = recipe.sync_bn
        elif isinstance(layer, BatchNormLSTM):
            layer.freeze_statistics = recipe.freeze_bn
        for weight in layer.trainable_weights:
            if len(weight.shape) > 1 and recipe.weight_decay and recipe.optimizer == "sgd":  # kernels, not offsets
                weight.regularizer = optimizing.Penalty(recipe.weight_decay / 2)
    optimizing.set_trainable(model, recipe)
    by_rows = family.answer == "last" or run.labelling == "timed"
    return _of_rows(model, family) if by_rows else model


def _of_rows(model, family):
    """The model up to its rows of logits, (B, rows, classes), the mean over positions, each of which is trained."""
    rows = model.get_layer(family.head).output
    _, count, *sides, classes = rows.shape
    if math.prod(sides) > 1:
        pool = keras.layers.AveragePooling3D((1, *sides), data_format="channels_last", dtype="float32", name="places")
        rows = pool(rows)
    rows = keras.layers.Reshape((count, classes), dtype="float32", name="rows")(rows)
    return keras.Model(model.input, rows, name=model.name)


def _say_what_changes(model, run, labels):
    """Says in a line where the weights that a run starts from are of other labels than its own."""
    before = facts.of(model)
    if before is None:
        return
    if isinstance(before.labels, tuple) and before.labels != labels:
        notice(f"{run.weights} has as many classes and other labels; its head is where the new one starts")


def _fit(model, trained, writer, saved, progress, errors, services):
    run, held_out = trained[0].run, heads.patterns(trained, "validation")
    recipe = run.recipe
    total, every = recipe.steps * recipe.accumulate, recipe.validate_every * recipe.accumulate
    writer.resume(saved)
    step = writer.step
    # After an epoch, also after the last, short one, they are the validation's.
    ended = writer.rows and writer.rows[-1]["step"] * recipe.accumulate == step
    metrics = saved.metrics if step % every and not ended else None
    if step:
        notice(f"{writer.output}: resuming after step {step // recipe.accumulate} of {recipe.steps}")
    clips = functools.partial(_clips, run, errors=errors)
    validation = writer.counted(clips(held_out)) if held_out else None
    batch_size = recipe.batch_size // recipe.accumulate
    pages = HugePages()
    bar = Progress(total, step, batch_size, progress and workers.is_chief(), recipe.accumulate)
    with contextlib.ExitStack() as held:
        logger = held.enter_context(run_loggers.started(services, writer))
        for each in (contextlib.closing(bar), contextlib.closing(writer), writer.interruptible()):
            held.enter_context(each)
        more = {update * recipe.accumulate: update for update, _ in recipe.unfreeze}
        while step < total and not writer.ended:
            if step in more:
                _train_more(model, recipe, trained, more[step])
            last = min([total, *(start for start in more if start > step)])
            if step % every:  # the rest of an epoch
                end = min(step + every - step % every, last)
            else:  # all whole epochs that are left, or the last, short one
                end = last - last % every if last - last % every > step else last
            ends_epoch = end % every == 0 or end == total
            workers.fit(
                model,
                writer.counted(clips(heads.patterns(trained, "records"), training=True, start_batch=step)),
                [RestoreMetrics(metrics), bar, writer, logger, pages],
                validation if ends_epoch else None,
                steps_per_epoch=min(end - step, every),
                initial_epoch=step // every,
                epochs=math.ceil(end / every),
            )
            step, metrics = end, None if ends_epoch else [np.asarray(value) for value in model.metrics_variables]


def _finish(model, trained, writer, errors):
    """Writes what a run ends with, after the statistics of its batch norms were renewed if the recipe asks for it."""
    recipe, held_out, logs = trained[0].run.recipe, heads.patterns(trained, "validation"), {}
    clips = functools.partial(_clips, trained[0].run, errors=errors)
    with writer.measured():
        if recipe.precise_bn:
            drawn = clips(heads.patterns(trained, "records"), training=True, **UNMIXED)
            averaging.renew_statistics(model, writer.counted(drawn), recipe.precise_bn)
            if held_out:
                found = workers.evaluate(model, writer.counted(clips(held_out)))
                logs = {f"val_{name}": value for name, value in found.items()}
        writer.write_final(logs)


def _train_more(model, recipe, trained, update):
    """Compiles a model for what is trained after so many updates; its optimizer keeps what it knows of it."""
    before = model.optimizer if model.compiled else None
    optimizing.set_trainable(model, recipe, update)
    patterns = [[getattr(head, name) for head in trained] for name in ("records", "validation")]
    asked = targets.of(trained[0].run, patterns[0], patterns[1] if trained[0].run.validation else ())
    compile_model(model, recipe, trained, asked, update)
    if before is not None:
        optimizing.keep_state(before, model.optimizer)


def _clips(run, records, training=False, start_batch=0, errors="raise", load=data.load, **changes):
    """What `load` makes of the clips of a run."""
    recipe = run.recipe
    drawn = {name: getattr(recipe, name) for name in DRAWN} | changes
    drawn["color_jitter"] = recipe.color_jitter if run.stream != "flow" else 0.0
    strides = recipe.strides if training else None  # frame_stride is the validation's then
    return load(
        records,
        stream=run.stream,
        joined=run.stream == BOTH,
        clip_frames=recipe.clip_frames,
        frame_stride=1 if strides else recipe.frame_stride,
        size=recipe.size,
        mean=run.mean,
        std=run.std,
        batch_size=recipe.batch_size // (recipe.accumulate or 1) // workers.shard()[1],
        worker=workers.shard(),
        training=training,
        errors=errors,
        **({"seed": run.seed, "repeat": True, "start_batch": start_batch, **drawn} if training else {}),
    )
