"""keras-i3d filters MODEL --output=filters.png: the filters that read the clip, a row each, time as columns.

MODEL is what --rgb of classify takes: a published name, a file of weights, or the folder of a training run (its best
weights, or its last where there are no others).

  --output=filters.png        default: none, the numbers alone are printed
  --stream=rgb|flow           of a published name; default: the weights' own, else rgb
  --layer=NAME                another convolution that reads frames or flow; default: the network's first
  --against=WEIGHTS|inflated  2D weights, whose filters stand next to the trained ones, repeated over time: a file, such
                              as a TF-Slim checkpoint, or inflated for ImageNet's, which are fetched; default: none
  --accept_licence            takes weights whose licence forbids commercial use; default: off
  --json                      the numbers of every filter; default: text

Of each filter: its norm, the share of its energy outside of its mean over time (0 of a filter that is only repeated),
and its cosine with the inflated 2D filter.

Examples:
  keras-i3d filters runs/rgb --output=filters.png
  keras-i3d filters kinetics --stream=rgb --against=inflated --output=filters.png
"""

import json
import os

from absl import flags

from keras_i3d.cli import UsageError, start

FLAGS = flags.FlagValues()
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_enum("stream", None, ["rgb", "flow", "both"], "", FLAGS)
flags.DEFINE_string("layer", None, "", FLAGS)
flags.DEFINE_string("against", None, "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)
flags.DEFINE_bool("json", False, "", FLAGS)


def main(arguments):
    """Writes the picture, prints the numbers; returns 0."""
    if len(arguments) != 1:
        raise UsageError("filters takes one model: a published name, a file of weights, or a training run.")
    start()
    from keras_i3d.explaining import filter_bank, filter_sheets
    from keras_i3d.weights import registry

    if FLAGS.output:
        filter_sheets.check_name(FLAGS.output)
        os.makedirs(os.path.dirname(FLAGS.output) or ".", exist_ok=True)
    stream = FLAGS.stream or ("rgb" if registry.is_name(arguments[0]) else None)
    bank = filter_bank.first_filters(
        arguments[0], stream, FLAGS.layer, FLAGS.against, accept_licence=FLAGS.accept_licence
    )
    if FLAGS.output:
        filter_sheets.save_filters(FLAGS.output, bank)
    print(json.dumps(bank.record()) if FLAGS.json else bank, flush=True)
    if FLAGS.output and not FLAGS.json:
        print(f"-> {FLAGS.output}", flush=True)
    return 0
