"""keras-i3d records ...: videos to TFRecords with both streams, ready for training.

  --source=PATH|KIND:PATH     a folder of class folders, a .csv, or KIND: kinetics, ucf101, hmdb51, folder, csv
  --annotations=PATH          kinetics: its CSV; ucf101, hmdb51: the folder of lists; csv: the CSV
  --labels=FILE               the classes in order, a name a line
                              default: the folders' names in order, or those of the annotations
  --split=NAME                which split of the data set; a folder or CSV is called so
  --split_number=N            ucf101, hmdb51: which of the three published divisions; default: 1
  --output=DIR                one folder for all splits; DIR/failed.jsonl lists the videos that could not be read
  --flow_method=tvl1|dis|opencv|none    default: tvl1
  --shards=N                  files; default: of 64 videos each, at least 8 (or one a video)
  --workers=N                 processes; default: one a core
  --short_side=N --fps=N --quality=N    pixels, frames per second, of the JPEGs; default: 256, 25, 95
  --max_seconds=S             how long a video, or its part, may last, because a small file may claim any length;
                              default: 14400
  --runner=NAME               a Beam runner; its flags follow after --; default: local processes
  --check=DIR                 reads every byte of such a folder instead; prints a line for each problem

If it is stopped at any point, the same command does what is missing.

Examples:
  keras-i3d records --source=videos --output=records
  keras-i3d records --source=ucf101:UCF-101 --split=train --output=ucf101
  keras-i3d records --source=kinetics:gs://b/k400 --annotations=train.csv --output=gs://b/records \\
      --runner=DataflowRunner -- --project=p --region=r --temp_location=gs://b/tmp
"""

import os
import sys

from absl import flags

from keras_i3d.cli import UsageError, start

FLAGS = flags.FlagValues()
flags.DEFINE_string("source", None, "", FLAGS)
flags.DEFINE_string("annotations", None, "", FLAGS)
flags.DEFINE_string("labels", None, "", FLAGS)
flags.DEFINE_string("split", None, "", FLAGS)
flags.DEFINE_integer("split_number", 1, "", 1, 3, FLAGS)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_enum("flow_method", "tvl1", ["tvl1", "opencv", "dis", "none"], "", FLAGS)
flags.DEFINE_integer("shards", None, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("workers", None, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("short_side", 256, "", 1, flag_values=FLAGS)
flags.DEFINE_float("fps", 25, "", 0, flag_values=FLAGS)
flags.DEFINE_integer("quality", 95, "", 1, 100, FLAGS)
flags.DEFINE_float("max_seconds", 4 * 3600, "", 1, flag_values=FLAGS)
flags.DEFINE_string("runner", None, "", FLAGS)
flags.DEFINE_string("check", None, "", FLAGS)


def main(arguments):
    """Builds records of a data set, or checks them; returns 0, or 1 if there are problems or no record."""
    if FLAGS.check is not None:
        if arguments or FLAGS.source or FLAGS.output:
            raise UsageError("records --check=DIR takes no --source, --output or further words.")
        start()
        from keras_i3d.records import check

        checked = check(FLAGS.check, progress=True)
        for problem in checked.problems:
            print(problem)
        print(checked)
        return 1 if checked.problems else 0
    if not FLAGS.source or not FLAGS.output:
        raise UsageError("records takes --source and --output, or --check=DIR.")
    if any(not word.startswith("--") for word in arguments) or (arguments and not FLAGS.runner):
        raise UsageError(f"records takes flags alone; those of a --runner follow after --. Received: {arguments}")
    start()
    from keras_i3d.records import RecordSpec, annotations, build

    spec = RecordSpec(
        fps=FLAGS.fps,
        short_side=FLAGS.short_side,
        quality=FLAGS.quality,
        flow_method=None if FLAGS.flow_method == "none" else FLAGS.flow_method,
    )
    listing = annotations.find(FLAGS.source, FLAGS.annotations, FLAGS.labels, FLAGS.split, FLAGS.split_number)
    report = build(
        *(listing, FLAGS.output, spec, FLAGS.shards, FLAGS.workers, FLAGS.runner, arguments),
        max_seconds=FLAGS.max_seconds,
    )
    print(report)
    if report.failed:
        print(f"reasons: {os.path.join(FLAGS.output, 'failed.jsonl')}", file=sys.stderr)
    return 0 if report.written else 1
