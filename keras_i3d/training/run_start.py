"""The start of a run: what is asked for, what was left open decided, and whether it is the same as before."""

import dataclasses
import hashlib
import json
import math
import os
import pathlib

from keras_i3d import data, recipes, runs
from keras_i3d.models import families
from keras_i3d.records.manifest import check_same
from keras_i3d.runs import Run
from keras_i3d.training import workers
from keras_i3d.weights import download, registry, sources, tensorflow_files


def settled(records, validation, stream, weights, seed, recipe, output, family=None):
    """Returns the Run that is asked for, what was left open filled in from the run in `output`, or decided.

    Args:
        records, validation, stream, weights, seed: as for `train`.
        recipe: the Recipe, in which None leaves a setting open.
        output: the folder of the run; None for no run.
        family: the network's name; None takes that of the weights.

    Raises:
        ValueError: records that cannot be trained on, or another run in `output`.
    """
    source = data.find(records)
    if source.spec is None or source.records is None:
        raise ValueError(f"A run needs records with a manifest, as `keras-i3d records` writes it. Received: {records}")
    if len(source.labels) < 2:
        raise ValueError(
            f"A network learns to tell classes apart, and needs at least two. Received: {records}, of one class: "
            f"{', '.join(source.labels)}. Add the records of another class, if only of videos without it."
        )
    held_out = None
    if validation is not None:
        held_out = data.find(validation)
        check_same("The records", source.spec, held_out.spec or source.spec, records, validation)
        if held_out.labels != source.labels:
            raise ValueError(f"Training and validation need the same labels. Those of {validation} differ.")
    before = runs.read(output) if output is not None and runs.is_run(output) and has_begun(output) else None
    stream = stream or next(iter(families.find(family).clips if family else families.find(families.DEFAULT).clips))
    known = _known(weights, stream, before)
    family = families.find(family or (known.family if known else families.DEFAULT))
    if stream not in family.clips:
        raise ValueError(f"{family.name} takes the stream {' or '.join(family.clips)}. Received: stream={stream!r}")
    clip = (known and known.stream == stream and known.clip) or family.clips[stream]
    run = Run(
        records=str(records),
        validation=None if validation is None else str(validation),
        stream=stream,
        weights=weights if weights is None else os.fspath(weights),
        seed=seed,
        recipe=recipe,
        spec=source.spec,
        labels=source.labels,
        clips=source.records,
        records_digest=_records_digest(source),
        validation_digest=held_out and _records_digest(held_out),
        weights_digest=_weights_digest(weights),
        family=family.name,
        mean=clip.mean,
        std=clip.std,
    )
    decided = {
        "clip_frames": lambda: clip.frames or family.clips[stream].frames,
        "frame_stride": lambda: clip.frame_stride,
        "size": lambda: clip.crop,
        "depth_multiplier": lambda: (known and known.depth_multiplier) or 1.0,
        "precision": workers.best_precision,
        "bn_momentum": lambda: recipes.bn_momentum(recipe.steps),
        "validate_every": lambda: math.ceil(run.clips / recipe.batch_size),
    }
    for field, decide in decided.items():
        if getattr(run.recipe, field) is None:
            value = getattr(before.recipe, field) if before else decide()
            run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, **{field: value}))
    family.check_clip(run.recipe.clip_frames, run.recipe.size)
    if before:
        whose = f"the run in {output}", "this one (take another output)"
        check_same("Recipe", before.recipe, run.recipe, *whose)
        before = _renamed(dataclasses.replace(before, folder=None), run)
        check_same("Settings", before, run, *whose)
    return run


def has_begun(output):
    """Whether the run in a folder has anything to lose: a checkpoint, or its end. Before, its settings may change."""
    return has_checkpoint(output) or (pathlib.Path(output) / runs.MODEL).exists()


def has_checkpoint(output):
    """Whether the run in a folder resumes from a checkpoint, readable or not."""
    return any(pathlib.Path(output).glob("checkpoints/step-*.npz"))


def _known(weights, stream, before):
    """Returns the Facts of the weights that a run starts from; None without any.

    Of a run that has begun (`before`) its own are taken, because its weights may be gone.
    """
    if before:
        return before.facts
    if runs.is_run(weights):
        return runs.read(weights).facts
    return None if weights is None else sources.find(weights, stream).facts


def initial_weights(run):
    """What a run starts from, as `keras_i3d.I3D` takes it: where `weights` names a run, the file in it.

    Raises:
        ValueError: that run is of another stream or width, or has not ended.
    """
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


def _records_digest(source):
    content = [[os.path.basename(file), ids] for file, ids in zip(source.files, source.ids)]
    facts = {"files": content, "labels": source.labels, "spec": dataclasses.asdict(source.spec)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _weights_digest(weights):
    if weights is None or registry.is_name(weights):
        return None
    path = _file(weights)
    return path and download.sha256(path)


def _file(weights):
    """The file that a path of weights names, for a checkpoint its index; None if there is none."""
    path = pathlib.Path(weights)
    if path.is_dir():
        path = path / runs.MODEL
    elif not path.is_file():
        path = pathlib.Path(f"{tensorflow_files.checkpoint_prefix(path)}.index")
    return path if path.is_file() else None
