"""keras-i3d doctor [VIDEO|RECORDS|RUN|EXPORT|WEIGHTS ...]: what is wrong, why it matters, and what to do.

Looks at the installation and the cache of weights, and at whatever is named: videos, folders and quoted globs of them;
records, as a folder or a quoted glob; folders of train, export and learn; files of weights. Of a folder 20 videos are
looked at, and the records, runs and exports in it. Nothing is downloaded, and nothing is changed.

  --weights=WEIGHTS           the network that the videos or records are for, as for classify; default: those of the
                              runs that are named
  --stream=rgb|flow|both      the stream that weights are asked for; default: their own
  --everything                a line for each thing that is fine too; default: one line that names them,
                              if anything is named
  --json                      one list of objects: level, code, found, why, remedy, about; default: text

A fault makes results wrong; a warning may; a note is worth knowing. The exit status is 0 if there is no fault, 1 if
there is one, 2 for words that this verb does not take. Given source videos next to records made of them, a folder each,
colours are compared with theirs.

Examples:
  keras-i3d doctor
  keras-i3d doctor clip.mp4 --weights=runs/rgb
  keras-i3d doctor records/ videos/ runs/rgb runs/flow
  keras-i3d doctor 'records/test-*' --weights=mine.weights.h5 --json
"""

import json
import sys

from absl import flags

from keras_i3d.cli import UsageError

FLAGS = flags.FlagValues()
flags.DEFINE_string("weights", None, "", FLAGS)
flags.DEFINE_enum("stream", None, ["rgb", "flow", "both"], "", FLAGS)
flags.DEFINE_bool("everything", False, "", FLAGS)
flags.DEFINE_bool("json", False, "", FLAGS)


def main(arguments):
    """Prints the findings; returns 1 if there is a fault, else 0."""
    if FLAGS.stream and not (FLAGS.weights or arguments):
        raise UsageError("--stream of doctor says what weights are asked for: name some, or a run.")
    if "" in arguments:  # which would be this folder
        raise UsageError("doctor takes paths. Received an empty word, as of a variable that is not set.")
    from keras_i3d.checkup import examination, findings

    found = []
    for about, group in examination.examine(arguments, FLAGS.weights, FLAGS.stream):
        found += group
        if not FLAGS.json and group:
            print("\n".join([about, *findings.text(group, FLAGS.everything or not arguments), ""]), flush=True)
    if FLAGS.json:
        print(json.dumps([finding.record() for finding in found], indent=1, ensure_ascii=False))
    print(findings.summary(found), file=sys.stderr if FLAGS.json else sys.stdout)
    return 1 if findings.counted(found)[findings.FAULT] else 0
