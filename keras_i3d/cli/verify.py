"""keras-i3d verify: compares what this installation gives with what was published.

It fetches DeepMind's weights and the sample of their repository, some 250 MB, and checks the files, the logits of the
sample, and published Frechet video distances. Each check prints what was expected, what was measured, and how far off
it may be. On two cores all of it should take five to fifteen minutes.

  --only=GROUP[,GROUP...]     files, logits, fvd, accuracy; logits and fvd check the files that they need; default: all
                              but accuracy, and accuracy if --records is given
  --offline                   takes what the cache has, and skips and names the rest; default: off
  --records=PATH              for accuracy: records of the set, as for evaluate; default: none
  --rgb=WEIGHTS --flow=WEIGHTS    for accuracy: one or both, as for evaluate, such as kinetics; default: none
  --protocol=NAME             for accuracy: whole, views:NxM or middle; default: whole
  --accept_licence            takes weights whose licence forbids commercial use; default: off
  --output=FILE.md|FILE.json  takes a report that can stand in an issue: versions, processor, backend, each check,
                              hashes; no paths of yours; default: none
  --json                      prints what FILE.json takes; default: text

The exit status is 0 if all that ran is as expected, and 1 if something deviates, a host cannot be reached, or nothing
could be compared. Skipped checks are counted and named. The same command resumes what was fetched in part.

Examples:
  keras-i3d verify --output=verify.md
  keras-i3d verify --only=logits --offline
  keras-i3d verify --only=accuracy --records='kinetics/test-*' --rgb=kinetics --flow=kinetics
"""

import json
import sys

from absl import flags

from keras_i3d.cli import UsageError, start

GROUPS = ("files", "logits", "fvd", "accuracy")  # of `verification`, which imports Keras

FLAGS = flags.FlagValues()
flags.DEFINE_list("only", None, "", FLAGS)
flags.DEFINE_bool("offline", False, "", FLAGS)
flags.DEFINE_string("records", None, "", FLAGS)
flags.DEFINE_string("rgb", None, "", FLAGS)
flags.DEFINE_string("flow", None, "", FLAGS)
flags.DEFINE_string("protocol", "whole", "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_bool("json", False, "", FLAGS)


def main(arguments):
    """Prints each check; returns 0 if all that ran is as expected, else 1."""
    if arguments:
        raise UsageError(f"verify takes flags alone. Received: {arguments}")
    unknown = [name for name in FLAGS.only or () if name not in GROUPS]
    if unknown or FLAGS.only == []:
        raise UsageError(f"--only takes groups of {', '.join(GROUPS)}. Received: --only={','.join(unknown)}")
    start()
    from keras_i3d.verification import verify

    found = verify(
        FLAGS.only,
        offline=FLAGS.offline,
        records=FLAGS.records,
        rgb=FLAGS["rgb"].value or None,
        flow=FLAGS["flow"].value or None,
        protocol=FLAGS.protocol,
        output=FLAGS.output,
        accept_licence=FLAGS.accept_licence or None,
        told=None if FLAGS.json else lambda outcome: print(outcome, flush=True),
        progress=True,
    )
    print(json.dumps(found.record(), indent=1) if FLAGS.json else found.summary())
    if found.unreachable:
        print(f"error: {found.unreachable[0]} The same command resumes.", file=sys.stderr)
    if FLAGS.output:
        print(f"written: {FLAGS.output}", file=sys.stderr)
    return 0 if found.passed else 1
