"""Checks of a training run: whether it ended, its log, its recipe, its records, and the weights that it left."""

import dataclasses
import glob
import math
import os
import shlex

from keras_i3d import paths, runs
from keras_i3d.checkup import network_state, record_checks, record_relations, record_sample
from keras_i3d.checkup.findings import fault, fine, look, note, warning
from keras_i3d.checkup.network_state import share_left
from keras_i3d.data import record_files
from keras_i3d.errors import one_line
from keras_i3d.plurals import counted

WORSE = 0.05  # that the last validation may be below the best
CHANCE, ABOVE = 1.5, 0.1  # times chance, and share of the way from chance to 1: a network below both has learnt nothing
APART = 0.3  # that the accuracy in training may be above that of the validation
WAITING = 0.3  # of the time that a step may wait for data
LEFT = 0.1  # of the statistics that a batch norm begins with


def examine(place, stream=None, named=()):
    """Returns (Network or None, Findings about a run's folder).

    Args:
        place: the run.
        stream: that weights are asked for; None for their own.
        named: records that are looked at with it in any case.
    """
    network, found = None, []
    try:
        heads = runs.read_heads(place)
    except (ValueError, OSError) as error:
        remedy = "copy run.json from where the run was trained; or give the weights themselves: best.weights.h5"
        said = fault("run.unreadable", one_line(error, 400), "no verb can use the run", remedy)
        return None, [dataclasses.replace(said, about=str(place))]
    for name, run in heads.items():
        about = os.path.join(place, name) if name else str(place)
        found += look(about, CHECKS, run)
        own = None
        if (run.folder / runs.MODEL).is_file() or (run.folder / runs.BEST).is_file():
            own, more = network_state.examine(str(run.folder), stream)
            network = own
            found += [*more]
        found += look(about, (own_records,), run, own, named)
    return network, found


def ended(run):
    """Whether it ran to its end."""
    rows = run.log()
    last = int(rows[-1]["step"]) if rows and rows[-1].get("step") is not None else 0
    if (run.folder / runs.MODEL).is_file():
        done = counted(last or run.recipe.steps, "step")
        yield fine("run.ended", f"{run.family}, {run.stream}: it ended after {done}")
    else:
        yield warning(
            "run.ended",
            f"it has no {runs.MODEL}: stopped after {last} of {run.recipe.steps} steps, or still training",
            "its last weights are not there yet",
            f"give the same command again, which resumes: keras-i3d train --output={shlex.quote(str(run.folder))} ...",
        )


def recipe(run):
    """What it was trained with."""
    its = run.recipe
    began = f"from {run.weights}" if run.weights else "from fresh weights"
    yield fine(
        "run.recipe",
        f"{began}, {run.clips} clips of {len(run.labels)} classes, {its.steps} steps of {its.batch_size}, "
        f"{its.optimizer} at {its.learning_rate:g}, {its.clip_frames} frames of {its.size} pixels",
    )


def losses(run):
    """NaN in the log."""
    for row in run.log():
        bad = [name for name in ("loss", "val_loss") if row.get(name) is not None and not math.isfinite(row[name])]
        if bad:
            yield fault(
                "run.loss",
                f"{bad[0]} is {row[bad[0]]} at step {row['step']:.0f}",
                "its weights are NaN from there on, or of no use",
                "begin again with a lower --set=learning_rate=, a longer --set=warmup_steps=, or --set=clip_norm=5",
            )
            return


def curve(run):
    """What the accuracies say."""
    rows, measure = run.log(), run.measure
    if not rows:
        yield note("run.curve", "its log is empty: no epoch has ended")
        return
    measured = [(row[f"val_{measure}"], row["step"]) for row in rows if _is_number(row.get(f"val_{measure}"))]
    if not measured:
        yield note(
            "run.validation",
            "it was never measured on held-out clips",
            "what it learnt by heart looks like what it learnt",
            "train --validation=RECORDS, or evaluate",
        )
        return
    best, last = max(measured), measured[-1]
    words = f"val_{measure} {last[0]:.3f} at the last step, {best[0]:.3f} at best (step {best[1]:.0f})"
    chance = 1 / len(run.labels)
    if (
        run.labelling == "single"
        and len(run.labels) > 1
        and best[0] <= min(CHANCE * chance, chance + ABOVE * (1 - chance))
    ):
        yield warning(
            "run.chance",
            f"{words}; chance is {chance:.3f}",
            "it has learnt nothing that holds for other clips",
            "give the doctor its records too; then train longer, or from weights: --weights=kinetics",
        )
    elif best[0] - last[0] > WORSE:
        yield note(
            "run.worse",
            words,
            "it was better before its end; a run's name stands for its best weights",
            "nothing, or fewer steps: --set=patience=3",
        )
    else:
        yield fine("run.curve", words)
    train = rows[-1].get(measure)
    if _is_number(train) and train - last[0] > APART:
        yield note(
            "run.overfit",
            f"{measure} {train:.3f} in training, {last[0]:.3f} on held-out clips",
            "it knows its clips by heart",
            "more clips, --weights=kinetics, or the recipe for few clips: keras-i3d train --help lists them",
        )


def waiting(run):
    """Whether it waited for its data."""
    shares = [row["waiting"] for row in run.log()[1:] if _is_number(row.get("waiting"))]
    if shares and sum(shares) / len(shares) > WAITING:
        yield note(
            "run.waiting",
            f"{sum(shares) / len(shares):.0%} of its time it waited for data",
            "the processor or GPU that trains stood still",
            "records of the size that is trained on, a faster disk, or more cores",
        )


def statistics(run):
    """How much of the first batch statistics is left, by momentum and steps."""
    its = run.recipe
    if run.weights or its.freeze_bn or its.precise_bn or its.bn_momentum is None:
        return
    left = share_left(run)
    if left > LEFT:
        yield warning(
            "run.batch_norm",
            f"momentum {its.bn_momentum:g} over {its.steps} steps leaves {left:.0%} of the batch statistics that it "
            "began with, mean 0 and variance 1",
            "in validation and use a batch norm takes these, and accuracy is far below that of training",
            "train --set=bn_momentum=0.9, or --set=precise_bn=100",
        )


def own_records(run, network, named=()):
    """Whether the records of a run are there, still those of its training, and labelled as its network is."""
    looked_at = {os.path.abspath(record_checks.folder_of(place)) for place in named}
    for place, digest in ((run.records, run.records_digest), (run.validation, run.validation_digest)):
        if not place:
            continue
        pattern = _there(place)
        if pattern is None and named:
            continue  # these may be the same, elsewhere
        if pattern is None:
            yield note(
                "run.records",
                f"{place} is not here",
                "so its labels were not compared with the network's",
                "give the doctor these records by their path here, next to the run",
            )
            continue
        try:
            source = record_files.find(pattern)
        except (ValueError, OSError, ImportError) as error:
            remedy = "give the doctor these records, next to the run, which says more"
            yield note("run.records", f"{place}: {one_line(error, 300)}", "they cannot be trained on again", remedy)
            continue
        if None not in (digest, source.digest) and digest != source.digest:
            yield note(
                "run.records",
                f"{place} is not what it was then: other files, ids, labels or settings",
                "the run cannot be resumed with it, and what is measured on it is of other clips",
                "nothing, if they were made again on purpose",
            )
        is_named = isinstance(pattern, str) and os.path.abspath(record_checks.folder_of(pattern)) in looked_at
        if network is not None and not is_named:  # else that is said with the records
            split = record_sample.Split(place, place, source)
            for each in record_relations.against_labels([split], network):
                yield dataclasses.replace(each, found=f"{place}: {each.found}")


def _there(place):
    """What finds records that a `run.json` names: their path, a glob, or paths with commas; None if it is not here."""
    if "://" in place:
        return None  # nothing is fetched here
    each = [os.fspath(paths.expand(path)) for path in (place, *place.split(", "))]
    here = [os.path.exists(path) or bool(glob.glob(paths.pattern(path))) for path in each]
    if here[0]:
        return each[0]
    return each[1:] if all(here[1:]) else None


def _is_number(value):
    return value is not None and math.isfinite(value)


CHECKS = (ended, recipe, losses, curve, waiting, statistics)
