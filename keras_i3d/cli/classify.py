"""keras-i3d classify VIDEO...: names what happens in each video: files, folders or quoted globs.

  --rgb=WEIGHTS               weights of each stream: kinetics, kinetics-scratch, kinetics600, a .weights.h5, a .keras,
  --flow=WEIGHTS              a TensorFlow checkpoint, or the folder of a training run (its best weights, or its last
                              where there are no others); default: kinetics
  --both=WEIGHTS              of a network that takes both in one tensor; alone, or with the streams that are given
  --streams=both|rgb|flow     which streams vote; their logits are summed; default: those whose weights are given, else
                              both
  --labels=NAME|FILE|none     kinetics400, kinetics600, or a file with a name a line; default: the weights' own
  --top=N                     how many classes to print; default: 5, and of networks for several labels a video all
                              above their thresholds
  --thresholds=NUMBER|FILE    of networks for several labels: from which probability on a class counts as there, one
                              number for all or a thresholds.json; default: those chosen by evaluate, else 0.5
  --flow_method=tvl1|opencv|dis    tvl1 is what the published weights were trained on; opencv is its slow reference; dis
                              is faster and something else; default: what the weights were trained on
  --precision=float32|bfloat16|float16    default: that of a run, else float32
  --runtime=auto|tensorflow|openvino    what runs the networks; auto: the one that measures faster here, if OpenVINO is
                              installed; default: auto
  --chunk_frames=N            frames that go through a network at once: fewer take less memory; default: 512
  --max_seconds=S             how long a video may last, because a small file may claim any length; default: 14400
  --accept_licence            takes weights whose licence forbids commercial use; default: off
  --json                      one JSON object a video, even for one that fails; default: text

Examples:
  keras-i3d classify clip.mp4
  keras-i3d classify --streams=rgb --json videos/ > labels.jsonl
  keras-i3d classify --rgb=mine.weights.h5 --labels=mine.txt 'clips/*.avi'
"""

import json
import sys

from absl import flags

from keras_i3d.cli import UsageError, failures, network_flags, start, videos

FLAGS = flags.FlagValues()
network_flags.define(FLAGS)
flags.DEFINE_string("thresholds", None, "", FLAGS)
flags.DEFINE_integer("top", None, "", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float("max_seconds", 4 * 3600, "", 1, flag_values=FLAGS)
flags.DEFINE_bool("json", False, "", FLAGS)


def main(arguments):
    """Prints the top labels of each video; returns 0, or 1 if any of them failed."""
    if not arguments:
        raise UsageError("classify takes at least one video: a file, a folder or a quoted glob.")
    found = videos.expand(arguments)
    classifier = None
    if not all(problem for _, problem in found):  # weights may have to be fetched
        classifier = _classifier(found)
    failed = 0
    for video, problem in found:
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
    if len(found) > 1:
        print(f"{len(found) - failed} classified, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def _classifier(found):
    """The Classifier that the flags describe."""
    start()
    from keras_i3d.inference import Classifier

    try:
        return Classifier(progress=True, **network_flags.settings(FLAGS, "max_seconds", "thresholds"))
    except Exception as error:
        for video, problem in found if FLAGS.json else ():
            print(json.dumps({"video": video, "error": problem or failures.said(error, "classify", FLAGS)}))
        raise
