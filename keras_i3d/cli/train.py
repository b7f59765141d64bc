"""keras-i3d train ...: trains one stream on records, or goes on with a run that was stopped or killed.

  --records=PATH              a folder of one split, or a quoted glob such as 'records/train-*'
  --validation=PATH           records to measure on after each pass; default none
  --stream=rgb|flow
  --recipe=NAME               full-ft, fixed, original (arXiv 1705.07750, table 4), kinetics-rgb, kinetics-flow
  --weights=NAME|PATH|none    what to start from: kinetics, imagenet, ..., a file, a run's folder, or nothing
  --output=RUN                the run's folder; the same command again goes on where it was stopped
  --set=FIELD=VALUE           replaces a setting of the recipe; may be repeated
  --seed=0
  --errors=raise|count        stop at a damaged record, or drop it and count it
  --fit_check                 instead of a run: whether the model can learn a handful of clips by heart
  --recipes                   prints the recipes, their settings and what to expect of them

Examples:
  keras-i3d train --records='ucf101/train-*' --validation='ucf101/test-*' --stream=rgb --output=runs/rgb
  keras-i3d train --records='ucf101/train-*' --stream=flow --recipe=fixed --output=runs/flow --set=batch_size=16
"""

import dataclasses
import textwrap

from absl import flags

from keras_i3d.cli import UsageError

FLAGS = flags.FlagValues()
flags.DEFINE_string("records", None, "", FLAGS)
flags.DEFINE_string("validation", None, "", FLAGS)
flags.DEFINE_enum("stream", "rgb", ["rgb", "flow"], "", FLAGS)
flags.DEFINE_string("recipe", "full-ft", "", FLAGS)
flags.DEFINE_string("weights", "kinetics", "", FLAGS)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_multi_string("set", [], "", FLAGS)
flags.DEFINE_integer("seed", 0, "", flag_values=FLAGS)
flags.DEFINE_enum("errors", "raise", ["raise", "count"], "", FLAGS)
flags.DEFINE_bool("fit_check", False, "", FLAGS)
flags.DEFINE_bool("recipes", False, "", FLAGS)


def main(arguments):
    """Trains; returns 0, or 1 if a fit check fails."""
    if arguments:
        raise UsageError(f"train takes flags alone. Received: {arguments}")
    from keras_i3d import training

    if FLAGS.recipes:
        for name, recipe in training.RECIPES.items():
            print(f"{name}: {textwrap.dedent(recipe.__doc__).strip()}")
            print(textwrap.fill(f"  {dataclasses.asdict(recipe())}\n", 118, subsequent_indent="  "))
        return 0
    if not FLAGS.records or not (FLAGS.output or FLAGS.fit_check):
        raise UsageError("train takes --records and --output.")
    settings = {}
    for text in FLAGS.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes FIELD=VALUE. Received: --set={text}")
        settings[name] = value
    common = {
        "stream": FLAGS.stream,
        "recipe": FLAGS.recipe,
        "weights": None if FLAGS.weights.lower() == "none" else FLAGS.weights,
        "seed": FLAGS.seed,
        "settings": settings,
    }
    if FLAGS.fit_check:
        result = training.fit_check(FLAGS.records, **common)
        print(result)
        return 0 if result.passed else 1
    training.train(FLAGS.records, FLAGS.output, validation=FLAGS.validation, errors=FLAGS.errors, **common)
    print(f"trained: {FLAGS.output}/model.keras")
    return 0
