"""keras-i3d learn FOLDER --output=DIR: from a folder of videos to a model, its accuracy, a report and an export.

FOLDER holds a folder of videos for each class. If it holds train/ and test/ or validation/ with such class folders
instead, they are the splits. A .csv and KIND:PATH are taken as `records --source` takes them.

  --output=DIR                takes records, runs, report and export, and learn.json with all choices
  --time=20m                  how long all of it may take: 90s, 20m, 2h, 1h30m; default: what the choices take, which is
                              said first
  --weights=NAME|PATH|none    what to start from, as for train; default: kinetics
  --stream=rgb|flow|both      default: both, if the network and its weights have them
  --model=NAME                the network, as for train; default: that of the weights, I3D without any
  --recipe=NAME|FILE          as for train; default: modern-finetune, modern-scratch or charades, by weights and labels
  --set=FIELD=VALUE           a setting of the recipe, passed to train; may be repeated; default: chosen
  --seed=N                    of the split and of training; default: 0
  --annotations=PATH --labels=FILE --labelling=single|multi|timed    as for records
  --noexport                  without a model for servers; default: --export
  --accept_licence            takes weights whose licence forbids commercial use; default: off

Each step is a command of keras-i3d, which is printed before it runs: in DIR the same commands do the same by hand. If
it is stopped at any point, the same command continues.

Examples:
  keras-i3d learn videos --output=learned --time=30m
  keras-i3d learn videos --output=learned --weights=none --stream=rgb
  keras-i3d learn clips.csv --output=learned --set=flip=false
"""

import dataclasses
import pathlib
import shlex
import sys
import time

from absl import flags

from keras_i3d import cli, paths
from keras_i3d.cli import UsageError, start

FLAGS = flags.FlagValues()
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_string("time", None, "", FLAGS)
flags.DEFINE_string("weights", "kinetics", "", FLAGS)
flags.DEFINE_enum("stream", None, ["rgb", "flow", "both"], "", FLAGS)
flags.DEFINE_string("model", None, "", FLAGS)
flags.DEFINE_string("recipe", None, "", FLAGS)
flags.DEFINE_multi_string("set", [], "", FLAGS)
flags.DEFINE_integer("seed", 0, "", flag_values=FLAGS)
flags.DEFINE_string("annotations", None, "", FLAGS)
flags.DEFINE_string("labels", None, "", FLAGS)
flags.DEFINE_enum("labelling", None, ["single", "multi", "timed"], "", FLAGS)
flags.DEFINE_bool("export", True, "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)


def main(arguments):
    """Does all of it, or what is left of it; returns 0, or the status of the command that failed."""
    if len(arguments) != 1 or not FLAGS.output:
        raise UsageError(f"learn takes one folder of videos, and --output. Received: {shlex.join(arguments) or 'none'}")
    began = time.monotonic()
    asked = _asked(arguments[0])
    start()
    from keras_i3d.learning import commands
    from keras_i3d.records import annotations

    folder = pathlib.Path(FLAGS.output)
    state = commands.read(folder)
    if state is None:
        annotations.check_output(asked.source, folder)
        state = _begun(asked, folder, began)
    else:
        commands.check_same(state.asked, commands.absolute(asked), folder)
        if state.done < len(state.commands):
            print(f"{folder} was begun before: {state.done} of {len(state.commands)} commands are done.")
    status = _run(state, folder, began)
    if status == 0:
        from keras_i3d.learning import summary

        print(summary.text(commands.read(folder), folder))
    return status


def _asked(source):
    """What the flags ask for, as an Asked."""
    from keras_i3d.learning.choices import Asked, seconds_of

    settings = []
    for text in FLAGS.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes FIELD=VALUE. Received: --set={text}")
        settings.append((name.replace("-", "_"), value))
    names = ("stream", "model", "recipe", "seed", "annotations", "labels", "labelling", "export", "accept_licence")
    return Asked(
        source=source,
        seconds=FLAGS.time and seconds_of(FLAGS.time),
        weights=None if FLAGS.weights.lower() == "none" else FLAGS.weights,
        settings=tuple(dict(settings).items()),
        **{name: FLAGS[name].value for name in names},
    )


def _begun(asked, folder, began):
    """Looks, measures and chooses; returns the State, which is written in the folder."""
    from keras_i3d.learning import choosing, commands, surveying, timing
    from keras_i3d.progress import duration

    family, streams, why = timing.streams(asked)
    found = surveying.survey(asked.source, asked.annotations, asked.labels, asked.labelling)
    width, why_width = choosing.width(found, asked, timing.width_of_weights(asked))
    recipe, _ = choosing.recipe_name(found, asked)
    timing.fetch(asked, family, streams)
    network = timing.network(asked, family, streams, width, recipe, why, why_width)
    machine = None if choosing.is_settled(asked) else timing.machine(asked, found, network, recipe)
    chosen = choosing.choose(found, asked, network, machine, time.monotonic() - began)
    print("\n".join(["Chosen:", *(f"  {line}" for line in chosen.said)]))
    for line in chosen.left_out:
        print(f"  the time is short: {line}")
    if chosen.seconds:
        parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in chosen.seconds.items())
        print(f"  estimate: about {duration(sum(chosen.seconds.values()))} in all: {parts}")
    known = commands.absolute(asked)
    planned = commands.planned(known, chosen, found, lambda path: commands.seen_from(folder, path, asked))
    folder.mkdir(parents=True, exist_ok=True)
    state = commands.State(known, chosen, planned, () if found.same_labels or asked.labels else found.labels)
    state.write(folder)
    return state


def _run(state, folder, began):
    """Runs the commands that are left, in the folder; returns the status of the last one."""
    from keras_i3d import locks
    from keras_i3d.errors import TrainingError
    from keras_i3d.learning import commands

    before, total = state.seconds, len(state.commands)
    busy = TrainingError(f"Another `learn` writes in {folder}. Wait for it, stop it, or name another --output=.")
    with locks.hold(folder / ".lock", busy), paths.inside(folder):
        state.write_labels(".")
        if state.done < total:
            print(f"\n$ cd {shlex.quote(str(folder))}", flush=True)
        for number, command in enumerate(state.commands):
            if number < state.done:
                continue
            print(f"\n$ keras-i3d {shlex.join(command)}", flush=True)
            if not commands.is_done(command, "."):
                verbose = ["--verbose"] if FLAGS.verbose else []
                status = cli.main([command[0], *verbose, *command[1:]])
                if status:
                    print(
                        f"stopped in command {number + 1} of {total}; the same `keras-i3d learn` continues there",
                        file=sys.stderr,
                    )
                    return status
            state = dataclasses.replace(state, done=number + 1, seconds=before + time.monotonic() - began)
            state.write(".")
    return 0
