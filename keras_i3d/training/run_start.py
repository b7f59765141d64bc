"""What a run was asked to do, as its `run.json` holds it, and whether another start asks for the same."""

import dataclasses
import hashlib
import json
import math
import os
import pathlib

from keras_i3d import data, recipes, runs
from keras_i3d.errors import one_line
from keras_i3d.records.manifest import check_same
from keras_i3d.records.sequence_example import RecordSpec
from keras_i3d.training import workers
from keras_i3d.version import __version__
from keras_i3d.weights import download, registry, sources, tensorflow_files


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run was asked to do; written to `run.json`, and compared when it is started again.

    Paths are as they were given. What they name is known by its digest, so that a start from another working directory,
    or after a folder was moved, is of the same run.

    Attributes:
        records, validation, weights: paths, or the name of weights.
        records_digest, validation_digest: sha256 over files, ids, labels and spec of the records.
        weights_digest: sha256 of the file that `weights` names; None for a name, or if there is none.
    """

    records: str
    validation: str | None
    stream: str
    weights: str | None
    seed: int
    recipe: recipes.Recipe
    spec: RecordSpec
    labels: tuple
    clips: int
    version: str = __version__
    records_digest: str | None = None
    validation_digest: str | None = None
    weights_digest: str | None = None

    @property
    def clip(self):
        """The ClipSpec of what the trained model takes."""
        return self.spec.clip(self.stream, self.recipe.size, self.recipe.clip_frames, self.recipe.frame_stride)


def make_plan(records, validation, stream, weights, seed, recipe, output):
    """The Plan of a run, what was left open filled in from the run in `output` (None for no run), or decided.

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
        records_digest=_records_digest(source),
        validation_digest=held_out and _records_digest(held_out),
        weights_digest=_weights_digest(weights),
    )
    before = read_plan(output) if output is not None and runs.is_run(output) and has_begun(output) else None
    decided = {
        "depth_multiplier": lambda: _width(plan),
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
        before = _renamed(before, plan)
        check_same("Settings", before, plan, f"the run in {output}", "this one (take another output)")
    return plan


def has_begun(output):
    """Whether the run in a folder has anything to lose: a checkpoint, or its end. Before, its settings may change."""
    return has_checkpoint(output) or (pathlib.Path(output) / runs.MODEL).exists()


def has_checkpoint(output):
    """Whether the run in a folder resumes from a checkpoint, readable or not."""
    return any(pathlib.Path(output).glob("checkpoints/step-*.npz"))


def _width(plan):
    """The depth_multiplier of the weights that a run starts from; 1 without any."""
    weights = plan.weights
    if weights is None or registry.is_name(weights):
        return 1.0
    if runs.is_run(weights):
        return runs.read(weights).depth_multiplier
    return sources.find(weights, plan.stream).facts.depth_multiplier or 1.0


def read_plan(folder):
    """Returns the Plan of the run in a folder.

    Raises:
        ValueError: no run there, or one of another version that this one does not read.
    """
    found = runs.read(folder)
    path = found.folder / runs.FACTS
    try:
        recipe = recipes.Recipe(**found.recipe)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} was written by another version ({found.version}): {one_line(error)}") from error
    names = [field.name for field in dataclasses.fields(Plan)]
    facts = {name: getattr(found, name) for name in names if hasattr(found, name)}
    digests = json.loads(path.read_text(encoding="utf-8"))
    return Plan(
        **{**facts, **{name: digests.get(name) for name in names if name.endswith("_digest")}, "recipe": recipe}
    )


def initial_weights(plan):
    """What a run starts from, as `keras_i3d.I3D` takes it: if `weights` names a run, the file in it.

    Raises:
        ValueError: that run is of another stream or width, or has not ended.
    """
    weights = plan.weights
    if weights is None or registry.is_name(weights) or not runs.is_run(weights):
        return weights
    found = runs.read(weights)
    if found.stream != plan.stream:
        raise ValueError(f"{weights} is a run of {found.stream}. Received: stream={plan.stream!r}.")
    width = plan.recipe.depth_multiplier
    if found.depth_multiplier != width:
        raise ValueError(
            f"{weights} was trained with depth_multiplier={found.depth_multiplier}. Received: "
            f"depth_multiplier={width}. Pass --set=depth_multiplier={found.depth_multiplier}."
        )
    return os.fspath(runs.weights_file(weights))


def _renamed(before, plan):
    """The Plan of a run, with the paths of another start if they name the same."""
    changes = {"version": plan.version}
    for name in ("records", "validation"):
        old, new = getattr(before, f"{name}_digest"), getattr(plan, f"{name}_digest")
        if old is None:  # an early version, which wrote none: the path has to do
            changes[f"{name}_digest"] = new
        elif old == new:
            changes[name] = getattr(plan, name)
    if _same_weights(before, plan):
        changes |= {"weights": plan.weights, "weights_digest": plan.weights_digest}
    return dataclasses.replace(before, **changes)


def _same_weights(before, plan):
    if before.weights == plan.weights:
        return True
    if None in (before.weights, plan.weights) or registry.is_name(before.weights) or registry.is_name(plan.weights):
        return False
    if None in (before.weights_digest, plan.weights_digest):  # gone since: the name is all there is to compare
        return os.path.basename(before.weights) == os.path.basename(plan.weights)
    return before.weights_digest == plan.weights_digest


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
