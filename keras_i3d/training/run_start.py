"""The start of a run: what is asked for, what was left open decided, and whether it is the same as before."""

import dataclasses
import math
import os
import pathlib

from keras_i3d import data, recipes, runs
from keras_i3d.data.record_files import check_one_class, find_each
from keras_i3d.errors import notice
from keras_i3d.models import families
from keras_i3d.records.manifest import check_same
from keras_i3d.runs import Run
from keras_i3d.training import continuing, workers
from keras_i3d.training.asked_recipe import AskedRecipe
from keras_i3d.weights import download, registry, sources, tensorflow_files

RESERVED = ("checkpoints", "tensorboard", "pictures", "wandb")  # folders of a run
VALIDATIONS = 100  # of a run that goes over few clips often, unless its recipe says how many


def settled(records, validation, stream, weights, seed, recipe, output, family=None, accept_licence=None):
    """Returns (the Run of one data set, Source or None); the arguments and errors are those of `settled_heads`."""
    validation = {} if validation is None else {"": validation}
    found, source = settled_heads(
        {"": records}, validation, stream, weights, seed, recipe, output, family, accept_licence
    )
    return found[""], source


def settled_heads(records, validation, stream, weights, seed, recipe, output, family=None, accept_licence=None):
    """Settles what is asked for, what was left open filled in from the run in `output`, or decided.

    Args:
        records: {name of the data set: what `data.load` takes}; of one data set the name may be "".
        validation: the same of what is measured on; {} for no validation.
        stream, weights, seed: as for `train`.
        recipe: the Recipe, in which None leaves a setting open, or an AskedRecipe.
        output: the folder of the run; None for no run.
        family: the network's name; None takes that of the weights.
        accept_licence: as for `train`.

    Returns:
        ({name: Run}, the Source of the weights). A file is read once: whoever builds the network takes it from here. It
        is None where nothing had to be found: of a run that has begun, of one that starts from another, or afresh.

    Raises:
        ValueError: records that cannot be trained on, or another run in `output`.
        WeightsError: weights that cannot be read, or whose licence nobody accepts.
    """
    _check_names(records, validation)
    trained_on = {name: _source(pattern) for name, pattern in records.items()}
    measured_on = {name: _held_out(validation[name], records[name], trained_on[name]) for name in validation}
    if list(records) != [""]:
        find_each(trained_on)
        find_each(measured_on or trained_on)
        check_one_class(trained_on)
    before = runs.read_heads(output) if output is not None and runs.is_run(output) and has_begun(output) else {}
    earlier = next(iter(before.values()), None)
    if stream is None and family is None and runs.is_run(weights):
        stream = runs.read(weights).stream
    stream = stream or next(iter(families.find(family or families.DEFAULT).clips))
    known, found_weights = _known(weights, stream, earlier, family, accept_licence)
    family = families.find(family or (known.family if known else families.DEFAULT))
    if stream not in family.clips:
        raise ValueError(f"{family.name} takes the stream {' or '.join(family.clips)}. Received: stream={stream!r}")
    clip = (known and known.stream == stream and known.clip) or family.clips[stream]
    clips = sum(source.records for source in trained_on.values())
    asked = recipe if isinstance(recipe, AskedRecipe) else AskedRecipe(recipe)
    recipe = asked.for_clips(clips, says=not earlier)
    decided = {
        "clip_frames": lambda: clip.frames or family.clips[stream].frames,
        "frame_stride": lambda: clip.frame_stride,
        "size": lambda: clip.crop,
        "depth_multiplier": lambda: (known and known.depth_multiplier) or 1.0,
        "precision": workers.best_precision,
        "bn_momentum": lambda: recipes.bn_momentum(recipe.steps),
        "validate_every": lambda: _validate_every(recipe, clips),
        "accumulate": lambda: None,  # by who knows the network's graph and the devices
        "remat": lambda: None,
    }
    for field, decide in decided.items():
        if getattr(recipe, field) is None:
            recipe = dataclasses.replace(recipe, **{field: getattr(earlier.recipe, field) if earlier else decide()})
    if earlier:
        recipe = continuing.longer(earlier.recipe, recipe, asked.given, _updates_done(output, earlier), output)
    _check_updates(recipe)
    family.check_clip(recipe.clip_frames, recipe.size)
    if recipe.patience is not None and not validation:
        raise ValueError(
            "patience counts validations. Received: "
            f"patience={recipe.patience} without a validation. Pass validation=, or patience=None."
        )
    of_all = {
        "stream": stream,
        "weights": weights if weights is None else os.fspath(weights),
        "seed": seed,
        "recipe": recipe,
        "weights_digest": _weights_digest(weights),
        "weights_licence": earlier.weights_licence if earlier else known and known.licence,
        "weights_source": earlier.weights_source if earlier else known.source if known else "",
        "family": family.name,
        "mean": clip.mean,
        "std": clip.std,
    }
    found = {
        name: Run(
            records=_named(records[name]),
            validation=_named(validation[name]) if name in validation else None,
            spec=source.spec,
            labels=source.labels,
            labelling=source.labelling,
            clips=source.records,
            records_digest=source.digest,
            validation_digest=measured_on[name].digest if name in validation else None,
            shared_with=tuple(other for other in records if other != name),
            **of_all,
        )
        for name, source in trained_on.items()
    }
    if before:
        _check_same(before, found, output)
    own = next(iter(found.values())).clip
    if known and known.clip and str(known.clip) != str(own):
        notice(f"{weights} was trained on clips of {known.clip}; this run takes {own}")
    return found, found_weights


def _check_updates(recipe):
    """Raises ValueError for a warm-up, or a stage of training, that the run would end before."""
    for name, at in (("warmup_steps", recipe.warmup_steps), *(("unfreeze", at) for at, _ in recipe.unfreeze)):
        if at >= recipe.steps:
            raise ValueError(
                f"{name} must end before the last update. Received: {name} of {at} and steps={recipe.steps}. Lower "
                f"{name}, or raise steps."
            )


def _check_names(records, validation):
    """Raises ValueError for names of data sets that cannot name a head, or that training and validation differ in."""
    for name in records:
        if list(records) != [""] and (not runs.HEAD_NAME.fullmatch(name) or name in RESERVED):
            raise ValueError(
                "The name of a data set names its head's folder: letters, digits, _ and -, not val_... nor "
                f"{' nor '.join(RESERVED)}. Received: {name!r}. Rename its folder, or train in Python with "
                'records={"NAME": ...}.'
            )
    if validation and set(validation) != set(records):
        raise ValueError(
            f"Every data set has a validation, or none has. Received: records of {', '.join(records)}, validation of "
            f"{', '.join(validation)}"
        )


def _source(records):
    """The Source of records that can be trained on."""
    source = data.find(records)
    if source.spec is None or source.records is None:
        raise ValueError(f"A run needs records with a manifest, as `keras-i3d records` writes it. Received: {records}")
    if len(source.labels) < 2 and source.labelling == "single":
        raise ValueError(
            f"A network learns to tell classes apart, and needs at least two. Received: {records}, of one class: "
            f"{', '.join(source.labels)}. Add the records of another class, if only of videos without it."
        )
    return source


def _held_out(validation, records, trained_on):
    """The Source of a validation, whose videos are made like those that are trained on, with the same labels."""
    source = data.find(validation)
    check_same("The records", trained_on.spec, source.spec or trained_on.spec, records, validation)
    if source.labels != trained_on.labels:
        raise ValueError(f"Training and validation need the same labels. Those of {validation} differ.")
    if source.labelling != trained_on.labelling:
        raise ValueError(
            f"Training and validation need records that are labelled alike. Received: {records}, {trained_on.labelling}"
            f", and {validation}, {source.labelling}"
        )
    return source


def _named(pattern):
    """What `run.json` calls records: their path, or the paths of the files, with commas."""
    if isinstance(pattern, str | os.PathLike):
        return os.fspath(pattern)
    return ", ".join(map(os.fspath, pattern.files if isinstance(pattern, data.Source) else pattern))


def _check_same(before, found, output):
    """Raises ValueError where the run in `output` was asked for something else than this one."""
    if list(before) != list(found):
        had, have = (", ".join(filter(None, run)) or "one alone" for run in (before, found))
        raise ValueError(
            f"The run in {output} and this one must have the same data sets, in the same order. Received: {had}; and "
            f"{have}. Take another output."
        )
    whose = f"the run in {output}", "this one (take another output)"
    for name, run in found.items():
        recipe = continuing.as_asked(before[name].recipe, run.recipe)
        check_same("Recipe", recipe, run.recipe, *whose)
        check_same(
            "Settings", _renamed(dataclasses.replace(before[name], recipe=recipe, folder=None), run), run, *whose
        )


def _validate_every(recipe, clips):
    """Updates between two validations: a pass over the clips, or as many passes as make a hundredth of the run.

    A pass takes each clip as often as it is drawn.
    """
    clips *= recipe.repeats
    passes = max(recipe.steps * recipe.batch_size / clips / VALIDATIONS, 1)
    return math.ceil(math.floor(passes) * clips / recipe.batch_size)


def _updates_done(output, run):
    """How many updates the newest checkpoint of a run is of, by its name."""
    steps = [int(path.stem.removeprefix("step-")) for path in pathlib.Path(output).glob("checkpoints/step-*.npz")]
    return max(steps, default=0) // (run.recipe.accumulate or 1)


def has_begun(output):
    """Whether the run in a folder has anything to lose: a checkpoint, or its end. Before, its settings may change."""
    output = pathlib.Path(output)
    return has_checkpoint(output) or any((output / name / runs.MODEL).exists() for name in runs.head_names(output))


def has_checkpoint(output):
    """Whether the run in a folder resumes from a checkpoint, readable or not."""
    return any(pathlib.Path(output).glob("checkpoints/step-*.npz"))


def _known(weights, stream, earlier, family, accept_licence):
    """Returns (Facts, Source) of the weights that a run starts from, of the network that is asked for; None without.

    Of a run that has begun (`earlier`) its own are taken, because its weights may be gone.
    """
    if earlier:
        return earlier.facts, None
    if runs.is_run(weights):
        return runs.read(weights).facts, None
    if weights is None:
        return None, None
    source = sources.find(weights, stream, wanted=[family] if family else (), accept_licence=accept_licence)
    return source.facts, source


def initial_weights(run, source=None):
    """What a run starts from, as `builders.build` takes it: where `weights` names a run, the file in it.

    Args:
        run: the Run.
        source: what `settled_heads` found; it is taken then.

    Raises:
        ValueError: that run is of another stream or width, or has not ended.
    """
    if source is not None:
        return source
    weights = run.weights
    if weights is None or registry.is_name(weights) or not runs.is_run(weights):
        return weights
    found = runs.read(weights)
    if found.stream != run.stream:
        raise ValueError(f"{weights} is a run of {found.stream}. Received: stream={run.stream!r}.")
    width, own = run.recipe.depth_multiplier, found.facts.depth_multiplier
    if own != width:
        raise ValueError(
            f"{weights} was trained with depth_multiplier={own}. Received: depth_multiplier={width}. "
            f"Pass --set=depth_multiplier={own}."
        )
    return os.fspath(runs.weights_file(weights))


def _renamed(before, run):
    """The Run, with the paths of another start where they name the same."""
    changes = {"version": run.version}
    for name in ("records", "validation"):
        old, new = getattr(before, f"{name}_digest"), getattr(run, f"{name}_digest")
        if old is None:  # an early version, which wrote none: the path has to do
            changes[f"{name}_digest"] = new
        elif old == new:
            changes[name] = getattr(run, name)
    if _same_weights(before, run):
        changes |= {"weights": run.weights, "weights_digest": run.weights_digest}
    return dataclasses.replace(before, **changes)


def _same_weights(before, run):
    if before.weights == run.weights:
        return True
    if None in (before.weights, run.weights) or registry.is_name(before.weights) or registry.is_name(run.weights):
        return False
    if None in (before.weights_digest, run.weights_digest):  # gone since: the name is all there is to compare
        return os.path.basename(before.weights) == os.path.basename(run.weights)
    return before.weights_digest == run.weights_digest


def _weights_digest(weights):
    if weights is None or registry.is_name(weights):
        return None
    path = _file(weights)
    return path and download.sha256(path)


def _file(weights):
    """The file that a path of weights names, for a checkpoint its index; None if there is none."""
    path = pathlib.Path(weights)
    if path.is_dir():
        path = next((path / name for name in (runs.BEST, runs.MODEL) if (path / name).is_file()), path)
    elif not path.is_file():
        path = pathlib.Path(f"{tensorflow_files.checkpoint_prefix(path)}.index")
    return path if path.is_file() else None
