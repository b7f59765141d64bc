"""keras-i3d train ...: trains one stream on records, or resumes a run that was stopped or killed.

  --records=PATH              a folder of one split, or a quoted glob such as 'records/train-*'; repeated, each is a
                              data set with a head of its own on one body, RUN/NAME, named after its folder
  --validation=PATH           records to measure on after each pass; one for each --records, in their order;
                              default: none
  --test=PATH                 records of one --records that the last line's command evaluates; if they are those of
                              --validation, by the last weights, since the best were chosen on them; default: those of
                              --validation, by the best weights
  --stream=rgb|flow|both      both is for networks that take both in one tensor; default: the network's first
  --recipe=NAME|FILE          full-ft, fixed, original (arXiv 1705.07750, table 4), kinetics-rgb, kinetics-flow,
                              modern-finetune, modern-scratch, charades; or a FILE.py or FILE.json of your own;
                              default: full-ft
  --weights=NAME|PATH|none    what to start from: kinetics, imagenet, ..., a file, a run's folder (its best weights, or
                              its last), or nothing; default: kinetics
  --accept_licence            takes weights whose licence forbids commercial use, and the run keeps it; default: off
  --model=NAME                the network: I3D, S3D, S3DG, I2D, TopHeavyI3D, BottomHeavyI3D, R3D18, MC318, R2Plus1D18,
                              R3D34, R2Plus1D34, I3DResNet50, I3DResNet101, C3D, InceptionV1, TwoStreamConvNet,
                              FusedTwoStream, ConvNetLSTM, or another one of theirs that `keras-i3d models` lists;
                              default: that of the weights, I3D without any
  --output=RUN                the run's folder; the same command again resumes a run that was stopped, and with more
                              steps it continues one that has ended
  --set=FIELD=VALUE           replaces a setting of the recipe, and is never changed; may be repeated; default: the
                              recipe's own, batch and rate made to fit the number of clips, its parts to memory
  --seed=N                    default: 0
  --errors=raise|count        stop at a damaged record, or drop it and count it; default: raise
  --pictures=N                clips of the validation that are drawn after each, with flow and predictions, next to the
                              confusions, for TensorBoard and in RUN/pictures; 0 for none; default: 8
  --log=wandb|mlflow          a service that gets the figures of log.csv too; may be repeated; default: none
  --plan                      prints the plan of the run, and trains nothing: clips a class, steps, rate, memory;
                              default: off
  --fit_check                 instead of a run: whether labels, frames and flow look sound, which learning rates let the
                              loss fall, and whether the model can learn a handful of clips by heart; with --output a
                              plot of the rates, RUN/range.png; default: off
  --recipes                   prints a table of the recipes, a FILE of yours too, and what to expect of them;
                              default: off

Examples:
  keras-i3d train --records='ucf101/train-*' --validation='ucf101/test-*' --stream=rgb --output=runs/rgb
  keras-i3d train --records='ucf101/train-*' --stream=flow --recipe=fixed --output=runs/flow --set=batch_size=16
  keras-i3d train --records='ucf101/train-*' --output=runs/rgb --plan
  keras-i3d train --records='ucf101/train-*' --records='hmdb51/train-*' --output=runs/both
"""

import os
import pathlib
import re

from absl import flags

from keras_i3d import paths
from keras_i3d.cli import UsageError, columns, start

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string("records", [], "", FLAGS)
flags.DEFINE_multi_string("validation", [], "", FLAGS)
flags.DEFINE_string("test", None, "", FLAGS)
flags.DEFINE_enum("stream", None, ["rgb", "flow", "both"], "", FLAGS)
flags.DEFINE_string("recipe", "full-ft", "", FLAGS)
flags.DEFINE_string("weights", "kinetics", "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)
flags.DEFINE_string("model", None, "", FLAGS)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_multi_string("set", [], "", FLAGS)
flags.DEFINE_integer("seed", 0, "", flag_values=FLAGS)
flags.DEFINE_enum("errors", "raise", ["raise", "count"], "", FLAGS)
flags.DEFINE_integer("pictures", 8, "", 0, flag_values=FLAGS)
flags.DEFINE_multi_enum("log", [], ["wandb", "mlflow"], "", FLAGS)
flags.DEFINE_bool("plan", False, "", FLAGS)
flags.DEFINE_bool("fit_check", False, "", FLAGS)
flags.DEFINE_bool("recipes", False, "", FLAGS)

# Of the table of --recipes: {head: characters of the column}.
COLUMNS = {"recipe": 15, "what for": 28, "steps": 7, "batch": 5, "learning rate": 21, "accuracy to expect": 32}
FOOT = """\
Steps are updates of the weights, each by a batch of clips. For few clips the batch is smaller. With another batch,
learning rate and steps follow it if they are not set, and a line gives both values. --set=FIELD=VALUE replaces any
setting: `python -m pydoc keras_i3d.training.Recipe` lists them."""


def main(arguments):
    """Trains; returns 0, or 1 if a fit check fails."""
    if arguments:
        raise UsageError(f"train takes flags alone. Received: {arguments}")
    if FLAGS.recipes:
        print(_table())
        return 0
    if not FLAGS.records or not (FLAGS.output or FLAGS.fit_check):
        raise UsageError("train takes --records and --output.")
    if FLAGS.test and len(FLAGS.records) > 1:
        raise UsageError(f"train --test is for one --records. Received: {len(FLAGS.records)}")
    records, validation = _data_sets(FLAGS.records, FLAGS.validation)
    settings = {}
    for text in FLAGS.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes FIELD=VALUE. Received: --set={text}")
        settings[name.replace("-", "_")] = value
    start()
    from keras_i3d import training

    common = {
        "stream": FLAGS.stream,
        "recipe": FLAGS.recipe,
        "weights": None if FLAGS.weights.lower() == "none" else FLAGS.weights,
        "seed": FLAGS.seed,
        "settings": settings,
        "model": FLAGS.model,
        "accept_licence": FLAGS.accept_licence,
    }
    if FLAGS.fit_check:
        result = training.fit_check(records, output=FLAGS.output, **common)
        print(result)
        return 0 if result.passed else 1
    common |= {"validation": validation, "errors": FLAGS.errors, "plan_only": FLAGS.plan}
    common |= {"pictures": FLAGS.pictures, "log": FLAGS.log}
    plan = training.train(records, FLAGS.output, **common)
    if FLAGS.plan:
        print(plan)
        return 0
    from keras_i3d.training import run_summary

    print("\n".join(run_summary.ending(FLAGS.output, FLAGS.test)))
    return 0


def _data_sets(records, validation):
    """Returns records and validation as `training.train` takes them: of one data set, or of several by their names."""
    if len(validation) not in (0, len(records)):
        raise UsageError(
            f"train takes one --validation for each --records, in their order. Received: {len(validation)} for "
            f"{len(records)}"
        )
    if len(records) == 1:
        return records[0], validation[0] if validation else None
    names = _names(records)
    return dict(zip(names, records)), dict(zip(names, validation)) or None


def _names(patterns):
    """Returns the names of data sets: those of the folders of their records, or of the nearest above that differ."""
    folders = []
    for pattern in patterns:
        path = pathlib.PurePath(pattern if "://" in pattern else os.path.abspath(pattern))
        is_file = paths.MAGIC.search(path.name) or path.suffix == ".tfrecord"
        folders.append((path.parent if is_file else path).parts[::-1])
    for names in zip(*folders):
        if len(set(names)) == len(names):
            return names
    raise UsageError(
        "Each --records is a data set with a head of its own, and named after its folder. Received: "
        f"{', '.join(patterns)}, whose folders are the same. Several files of one data set are one pattern, such as "
        "'FOLDER/train-*'"
    )


def _table():
    """Returns the recipes of this package, and that of a file in --recipe, as a table of lines up to 120 characters."""
    from keras_i3d import recipe_files
    from keras_i3d.recipes import RECIPES

    rows, found = [], {name: (make(), make.__doc__) for name, make in RECIPES.items()}
    if recipe_files.is_file(FLAGS.recipe):
        found[pathlib.PurePath(FLAGS.recipe).name] = recipe_files.described(FLAGS.recipe)
    for name, (recipe, text) in found.items():
        purpose, expected = _described(text)
        changes = [f"{rate:g} from {step:,}" for step, rate in zip(recipe.boundaries, recipe.rates)]
        if recipe.schedule == "cosine":
            changes = [f"cosine to {recipe.final_rate:g}"]
        rates = "\n".join([f"{recipe.learning_rate:g}", *changes])
        length = f"{recipe.passes:g} passes" if recipe.steps is None else f"{recipe.steps:,}"
        rows.append([name, purpose, length, str(recipe.batch_size), rates, expected])
    rule = ["-" * width for width in COLUMNS.values()]
    return "\n\n".join(["\n".join([_row(COLUMNS), _row(rule), _row(rows[0])]), *map(_row, rows[1:]), FOOT])


def _row(cells):
    return columns.row(cells, COLUMNS.values())


def _described(text):
    """Returns (what a recipe is for, what accuracy to expect of it), from its docstring."""
    text = " ".join(text.split()) or "a recipe of your own"
    first, _, rest = text.partition("Expect ")
    return re.split(r"[.:] ", first)[0].rstrip("."), rest.rstrip(".")
