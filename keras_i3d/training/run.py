"""One training run: a folder with which any later start of the same command resumes."""

import contextlib
import functools
import math
import pathlib
import shutil

import keras

from keras_i3d import atomic, builders, data, facts, locks, recipes, runs
from keras_i3d.errors import TrainingError, notice
from keras_i3d.models import families
from keras_i3d.models.recurrent import BatchNormLSTM
from keras_i3d.precision import policy
from keras_i3d.specs import BOTH, INPUT_CHANNELS, check_stream
from keras_i3d.training import checkpoints, heads, run_errors, workers
from keras_i3d.training.checkpoints import KEPT, RestoreMetrics
from keras_i3d.training.faster_step import for_training
from keras_i3d.training.objective import compile_model
from keras_i3d.training.run_progress import Progress
from keras_i3d.training.run_start import has_begun, has_checkpoint, initial_weights, settled_heads
from keras_i3d.training.run_writer import RunWriter
from keras_i3d.weights import registry

LOCK = ".lock"


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
):
    """Trains one stream on records, or resumes a run that was stopped or killed.

    A run that was killed at any step and started again resumes from its last checkpoint: data, draws and all state are
    resumed to the step, so that under one seed it ends with the weights of a run that was not interrupted.

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
        recipe: a Recipe, or a name in `training.RECIPES`.
        weights: as for `keras_i3d.I3D`; or the folder of another run, whose `model.keras` is taken. A run that has a
            checkpoint resumes from that, and needs them no more.
        validation: records to measure top-1 and top-5 on, by the central clip of each video; None for no validation.
            Of several data sets a dictionary of the same names; the best weights have the best mean of their top-1.
        seed: seed of the new head, the order of the data and every draw.
        settings: {field of the recipe: value} to replace.
        devices: names of the devices to train on; by default all GPUs, or the CPU if there is none.
        progress: whether to show how many batches are done, with the figures of the epoch.
        errors: "raise" stops at a damaged record; "count" drops such records, with a line for each, and counts them in
            `log.csv` and at the end, since the run began; not with several workers. What a run that drops some
            resumes with differs by the clips that took their places.
        model: name of the network, a row of `models.families`. By default that of the weights, and "I3D" without any.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it. What is
            trained from them keeps it: `run.json`, each file of weights and an export's card name licence and source.

    Returns:
        The trained keras.Model, as `model.keras` holds it: float32 (B, T, H, W, C) to probabilities (B, classes).
        Of several data sets {name: such a model}.

    Raises:
        ValueError: settings that contradict each other, the records, or those of the run in `output`.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        TrainingError: the folder cannot be written, or another run writes there; the disk is too full; a record is
            damaged; memory ran out; the loss is no longer finite; another worker was lost.
    """
    if stream is not None:
        check_stream(stream, INPUT_CHANNELS)
    if errors == "count" and workers.shard()[1] > 1:
        raise ValueError(
            "Damaged records are dropped by one process alone, since the shares of several workers would no longer be "
            f'parts of one batch. Received: errors="count" with {workers.shard()[1]} workers. Make the records again.'
        )
    workers.cluster()
    if model is not None:
        weights = registry.whole_name(weights, [families.find(model).name])
    recipe = recipes.find(recipe) if isinstance(recipe, str) else recipe
    recipe = _scaled(recipe.with_settings(settings or {}))
    output = pathlib.Path(output)
    records, validation = _by_name(records, validation)
    settled, source = settled_heads(
        *(records, validation, stream, weights, seed, recipe, output, model, accept_licence)
    )
    strategy = workers.strategy(devices)
    trained = heads.of(settled, records, validation)  # outside the strategy's scope, so that one worker may write alone
    run = trained[0].run
    if trained[0].name:
        each = [f"{head.name} ({head.classes} classes, {head.run.clips} records)" for head in trained]
        notice(f"{output}: a head for each of {', '.join(each)}")
    with contextlib.ExitStack() as held, run_errors.told(run.recipe):
        begun = has_begun(output)
        if begun and workers.is_chief():  # at once: another process may be writing there
            held.enter_context(_prepared(output, trained))
        weights = None if has_checkpoint(output) else initial_weights(run, source)
        with strategy.scope(), policy(run.recipe.precision):
            if run.recipe.batch_size % strategy.num_replicas_in_sync:
                raise ValueError(
                    f"batch_size must divide among {strategy.num_replicas_in_sync} devices. "
                    f"Received: batch_size={run.recipe.batch_size}"
                )
            if run.recipe.accumulate > 1 and strategy.num_replicas_in_sync > 1:
                raise ValueError(
                    f"Gradients are accumulated on one device only. Received: accumulate={run.recipe.accumulate} on "
                    f"{strategy.num_replicas_in_sync} devices. Lower batch_size, or use one device."
                )
            keras.utils.set_random_seed(seed)
            model = build(run, weights, heads.labels(trained), accept_licence)
            weights = source = None  # and the arrays that were read of them
            compile_model(model, run.recipe, trained)
            if not begun and workers.is_chief():  # nothing is left of a run that cannot begin
                held.enter_context(_prepared(output, trained))
            saved = checkpoints.newest(output / "checkpoints")
            writer = RunWriter(model, trained, output)
            _fit(model, trained, writer, saved, progress, errors)
            writer.write_final()
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


def _scaled(recipe):
    """A Recipe for its batch size; a line says what became of settings that a user may have given himself."""
    scaled = recipe.scaled()
    if (scaled.steps, scaled.learning_rate) != (recipe.steps, recipe.learning_rate):
        notice(
            f"batch_size={recipe.batch_size} instead of {recipe.reference_batch}: {scaled.steps} steps instead of "
            f"{recipe.steps}, learning_rate {scaled.learning_rate:g}; reference_batch=None leaves them as they are"
        )
    return scaled


def build(run, weights=None, labels=None, accept_licence=None):
    """Returns the model of a Run, with these weights (as for `builders.build`), not compiled; it returns logits.

    Args:
        run: the Run.
        weights, accept_licence: as for `builders.build`.
        labels: the classes; None for the run's own.
    """
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
    head = family.head
    for layer in model.layers:
        frozen = recipe.part == "head" and layer.name != head
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = not (frozen or recipe.freeze_bn)
            layer.synchronized = recipe.sync_bn
        elif layer.weights:
            layer.trainable = not frozen
            if isinstance(layer, BatchNormLSTM):
                layer.freeze_statistics = recipe.freeze_bn
            if layer.trainable and recipe.weight_decay:
                for weight in layer.trainable_weights:
                    if len(weight.shape) > 1:  # kernels, not offsets
                        weight.regularizer = keras.regularizers.L2(recipe.weight_decay / 2)
    return for_training(_of_rows(model, head) if family.answer == "last" else model, recipe.remat)


def _of_rows(model, head):
    """The model up to its rows of logits, (B, rows, classes), each of which is trained."""
    rows = model.get_layer(head).output
    rows = keras.layers.Reshape((-1, rows.shape[-1]), dtype="float32", name="rows")(rows)
    return keras.Model(model.input, rows, name=model.name)


def _say_what_changes(model, run, labels):
    """Says in a line where the weights that a run starts from are of other labels than its own."""
    before = facts.of(model)
    if before is None:
        return
    if isinstance(before.labels, tuple) and before.labels != labels:
        notice(f"{run.weights} has as many classes and other labels; its head is where the new one starts")


@contextlib.contextmanager
def _prepared(output, trained):
    """Makes the folder, which no other run may write in, and finds out now whether hours of work will find place."""
    sizes = [4 * sum(math.prod(weight.shape) for weight in head.model.weights) for head in trained]
    needed = max(sizes) * 2 * (KEPT + 1) + 2 * sum(sizes)  # weights and momentum of each checkpoint; the best, the last
    busy = TrainingError(f"Another run writes in {output}. Wait for it, stop it, or choose another output.")
    folders = [head.folder(output) for head in trained]
    with contextlib.ExitStack() as held:
        try:
            for folder in (output / "checkpoints", *folders):
                folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locks.hold(output / LOCK, busy))
            for folder in dict.fromkeys((output, output / "checkpoints", *folders)):
                atomic.clean(folder, alone=True)
            free = shutil.disk_usage(output).free
            for folder, head in zip(folders, trained):
                _note(folder, head.run, has_begun(output))
            if trained[0].name:
                atomic.write_text(output / runs.FACTS, runs.text_of_heads([head.name for head in trained]))
        except OSError as error:
            raise TrainingError(f"Cannot write in {output} ({error.strerror}). Choose another output.") from error
        if free < needed:
            raise TrainingError(
                f"A run of this model keeps up to {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free in {output}. "
                "Free some space, or choose another output."
            )
        yield


def _note(folder, run, begun):
    """Writes what a head's folder says of itself; of a run that has begun it is what it was."""
    if begun:
        text = (folder / runs.FACTS).read_text(encoding="utf-8")
    else:
        atomic.write_text(folder / "labels.txt", "".join(f"{label}\n" for label in run.labels))
        text = run.text()
    atomic.write_text(folder / runs.FACTS, text)


def _fit(model, trained, writer, saved, progress, errors):
    run, held_out = trained[0].run, heads.patterns(trained, "validation")
    recipe = run.recipe
    total, every = recipe.steps * recipe.accumulate, recipe.validate_every * recipe.accumulate
    writer.resume(saved)
    step = writer.step
    metrics = saved.metrics if step % every else None  # after an epoch they are the validation's
    if step:
        notice(f"{writer.output}: resuming after step {step // recipe.accumulate} of {recipe.steps}")
    clips = functools.partial(_clips, run, errors=errors)
    validation = writer.counted(clips(held_out)) if held_out else None
    batch_size = recipe.batch_size // recipe.accumulate
    bar = Progress(total, step, batch_size, progress and workers.is_chief())
    with contextlib.closing(bar), contextlib.closing(writer), writer.interruptible():
        while step < total:
            if step % every:  # the rest of an epoch
                end = min(step + every - step % every, total)
            else:  # all whole epochs that are left, or the last, short one
                end = max(total - total % every, step) if total - total % every > step else total
            workers.fit(
                model,
                writer.counted(clips(heads.patterns(trained, "records"), training=True, start_batch=step)),
                [RestoreMetrics(metrics), bar, writer],
                validation,
                steps_per_epoch=min(end - step, every),
                initial_epoch=step // every,
                epochs=math.ceil(end / every),
            )
            step, metrics = end, None


def _clips(run, records, training=False, start_batch=0, errors="raise"):
    recipe = run.recipe
    drawn = {"short_sides": recipe.short_sides, "color_jitter": recipe.color_jitter if run.stream != "flow" else 0.0}
    return data.load(
        records,
        stream=run.stream,
        joined=run.stream == BOTH,
        clip_frames=recipe.clip_frames,
        frame_stride=recipe.frame_stride,
        size=recipe.size,
        mean=run.mean,
        std=run.std,
        batch_size=recipe.batch_size // recipe.accumulate // workers.shard()[1],
        worker=workers.shard(),
        training=training,
        errors=errors,
        **(
            {"seed": run.seed, "repeat": True, "start_batch": start_batch, "flip": recipe.flip, **drawn}
            if training
            else {}
        ),
    )
