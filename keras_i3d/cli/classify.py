"""keras-i3d classify VIDEO...: names what happens in each video: files, folders or quoted globs.

  --rgb=WEIGHTS               weights of each stream: kinetics, kinetics-scratch, kinetics600, a .weights.h5, a .keras,
  --flow=WEIGHTS              a TensorFlow checkpoint, or the folder of a training run; default: kinetics
  --both=WEIGHTS              of a network that takes both in one tensor; alone, or with the streams that are given
  --streams=both|rgb|flow     which streams vote; their logits are summed; default: those whose weights are given, else
                              both
  --labels=NAME|FILE|none     kinetics400, kinetics600, or a file with a name a line; default: the weights' own
  --top=N                     how many classes to print; default: 5
  --flow_method=tvl1|opencv|dis    tvl1 is what the published weights were trained on; opencv is its slow reference; dis
                              is faster and something else; default: what the weights were trained on
  --precision=float32|bfloat16|float16    default: that of a run, else float32
  --chunk_frames=N            frames that go through a network at once: fewer take less memory; default: 512
  --max_seconds=S             how long a video may last, because a small file may claim any length; default: 14400
  --json                      one JSON object a video, even for one that fails; default: text

Examples:
  keras-i3d classify clip.mp4
  keras-i3d classify --streams=rgb --json videos/ > labels.jsonl
  keras-i3d classify --rgb=mine.weights.h5 --labels=mine.txt 'clips/*.avi'
"""

import glob
import json
import os
import pathlib
import sys

from absl import flags

from keras_i3d import paths
from keras_i3d.cli import UsageError, failures, start

FLAGS = flags.FlagValues()
flags.DEFINE_enum("streams", None, ["both", "rgb", "flow"], "", FLAGS)
flags.DEFINE_string("rgb", None, "", FLAGS)
flags.DEFINE_string("flow", None, "", FLAGS)
flags.DEFINE_string("both", None, "", FLAGS)
flags.DEFINE_string("labels", None, "", FLAGS)
flags.DEFINE_integer("top", 5, "", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_enum("flow_method", None, ["tvl1", "opencv", "dis"], "", FLAGS)
flags.DEFINE_enum("precision", None, ["float32", "bfloat16", "float16"], "", FLAGS)
flags.DEFINE_integer("chunk_frames", 512, "", flag_values=FLAGS)
flags.DEFINE_float("max_seconds", 4 * 3600, "", 1, flag_values=FLAGS)
flags.DEFINE_bool("json", False, "", FLAGS)


def main(arguments):
    """Prints the top labels of each video; returns 0, or 1 if any of them failed."""
    if not arguments:
        raise UsageError("classify takes at least one video: a file, a folder or a quoted glob.")
    videos = expand(arguments)
    classifier = None
    if not all(problem for _, problem in videos):  # weights may have to be fetched
        classifier = _classifier(videos)
    failed = 0
    for video, problem in videos:
        try:
            if problem:
                raise ValueError(f"{video}: {problem}")
            result = classifier(video, FLAGS.top)
            text = json.dumps(result.record(), allow_nan=False) if FLAGS.json else str(result)
        except Exception as error:  # one bad video must not stop the rest
            failed += 1
            if FLAGS.verbose:
                import traceback

                traceback.print_exception(error)
            message = failures.said(error, "classify", FLAGS)
            message = message if video in message else f"{video}: {message}"
            if FLAGS.json:
                print(json.dumps({"video": video, "error": message}), flush=True)
            print(f"error: {message}", file=sys.stderr, flush=True)
            continue
        print(text, flush=True)
    if len(videos) > 1:
        print(f"{len(videos) - failed} classified, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def _classifier(videos):
    """The Classifier that the flags describe."""
    start()
    from keras_i3d.inference import Classifier

    try:
        return Classifier(
            FLAGS.streams,
            rgb=FLAGS.rgb,
            flow=FLAGS.flow,
            both=FLAGS.both,
            labels=FLAGS.labels,
            flow_method=FLAGS.flow_method,
            precision=FLAGS.precision,
            chunk_frames=FLAGS.chunk_frames,
            progress=True,
            max_seconds=FLAGS.max_seconds,
        )
    except Exception as error:
        for video, problem in videos if FLAGS.json else ():
            print(json.dumps({"video": video, "error": problem or failures.said(error, "classify", FLAGS)}))
        raise


def expand(arguments):
    """Returns [(path, problem or None)] for files, folders (searched through, sorted) and globs.

    A path that exists is never taken for a glob, because some names contain brackets; nor is the folder of a glob. What
    a folder holds and is left out is said in a line.
    """
    found = []
    for argument in arguments:
        if os.path.isdir(argument):
            found += _inside(argument)
        elif not os.path.exists(argument) and glob.has_magic(argument):
            matched = sorted(glob.glob(paths.pattern(argument), recursive=True))
            for path in matched:
                if not os.path.isdir(path):
                    found.append((path, None))
                elif "**" not in argument:  # which matches the files in the folder as well
                    found += _inside(path)
            found += [] if matched else [(argument, "the pattern matches no file")]
        else:
            found.append((argument, None if os.path.exists(argument) else "no such file"))
    return found


def _inside(folder):
    from keras_i3d.records.video_files import walk

    walked = walk(folder)
    walked.say_what_is_left_out(folder)
    problems = dict.fromkeys(walked.videos)
    problems |= dict.fromkeys(walked.broken, "it is no file, but a link that leads nowhere, or a pipe")
    problems |= dict(walked.unlisted)
    inside = [(str(pathlib.Path(folder, path)), problem) for path, problem in sorted(problems.items())]
    return inside or [(folder, "the folder holds no video")]
