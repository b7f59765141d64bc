"""keras-i3d records ...: videos to TFRecords with both streams, ready for training.

  --source=PATH|KIND:PATH     a folder of class folders, a .csv, or KIND: kinetics, ucf101, hmdb51, charades, folder,
                              csv; records:DIR or records:DIR/SPLIT divides what is built, without decoding it again
  --annotations=PATH          kinetics, charades: the CSV; ucf101, hmdb51: the folder of lists; csv: the CSV
  --labels=FILE               the classes in order, a name a line
                              default: the folders' names in order, or those of the annotations
  --labelling=single|multi|timed        csv, charades: one label a video; several, as in a.mp4,run;jump; or a row for
                              each label and its times, path,label,start,end
                              default: csv: multi if a label has a ; in it, otherwise single; charades: timed
  --split=NAME                which split of the data set; a folder or CSV is called so
                              default: ucf101, hmdb51: train; kinetics, charades: by their file; otherwise all
  --split=NAME:FRACTION,...   divides it, as in train:0.8,test:0.2: by source video, each class alike
  --split_fraction=F,F[,F]    the same, into train,test or train,validation,test
  --seed=N                    of the division; default: 0
  --group=REGEX               what in the id of a video names its source, as in '^[a-z]+', where names such as
                              v_Run_g01_c02 or a_part2 do not show it
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

If it is stopped at any point, the same command does what is missing. How many videos of each class a divided data set
has in its splits is a table on standard output, before the first video is read.

Examples:
  keras-i3d records --source=videos --split=train:0.8,test:0.2 --output=records
  keras-i3d records --source=records:records/train --split_fraction=0.9,0.1 --output=again
  keras-i3d records --source=ucf101:UCF-101 --split=train --output=ucf101
  keras-i3d records --source=kinetics:gs://b/k400 --annotations=train.csv --output=gs://b/records \\
      --runner=DataflowRunner -- --project=p --region=r --temp_location=gs://b/tmp
"""

import os
import sys

from absl import flags

from keras_i3d.cli import UsageError, start
from keras_i3d.errors import notice

FLAGS = flags.FlagValues()
flags.DEFINE_string("source", None, "", FLAGS)
flags.DEFINE_string("annotations", None, "", FLAGS)
flags.DEFINE_string("labels", None, "", FLAGS)
flags.DEFINE_enum("labelling", None, ["single", "multi", "timed"], "", FLAGS)
flags.DEFINE_string("split", None, "", FLAGS)
flags.DEFINE_string("split_fraction", None, "", FLAGS)
flags.DEFINE_integer("seed", 0, "", flag_values=FLAGS)
flags.DEFINE_string("group", None, "", FLAGS)
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

DECODED = ("flow_method", "short_side", "fps", "quality", "max_seconds", "workers", "runner")  # of no use to a copy


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
    divided = FLAGS.split_fraction if FLAGS.split_fraction is not None else FLAGS.split
    if FLAGS.split_fraction is None and ":" not in (divided or ""):
        divided = None
    _check_division(divided)
    start()
    from keras_i3d.records import annotations, divide, dividing

    annotations.check_output(FLAGS.source, FLAGS.output)
    fractions = divided and dividing.parse_fractions(divided)
    listing = annotations.find(
        *(FLAGS.source, FLAGS.annotations, FLAGS.labels, None if divided else FLAGS.split, FLAGS.split_number),
        labelling=FLAGS.labelling,
    )
    listings = [listing]
    if divided:
        division = divide(listing, fractions, FLAGS.seed, FLAGS.group)
        print(division, flush=True)
        listings = division.listings
    reports = [_build(listing, arguments) for listing in listings]
    if any(report.failed for report in reports):
        if divided:
            _say_what_is_lost(listings)
        print(f"reasons: {os.path.join(FLAGS.output, 'failed.jsonl')}", file=sys.stderr)
    return 0 if all(report.written for report in reports) else 1


def _check_division(divided):
    """Raises UsageError for flags that do not go together with a data set that is divided, or is not."""
    if FLAGS.split_fraction is not None and FLAGS.split is not None:
        raise UsageError("records takes --split or --split_fraction, not both.")
    lost = [f"--{name}" for name in ("seed", "group") if FLAGS[name].present]
    if lost and not divided:
        raise UsageError(f"{', '.join(lost)} of records is for a division: --split=train:0.8,test:0.2.")
    if FLAGS.source.startswith("records:"):
        if not divided:
            raise UsageError("records --source=records:DIR takes --split=train:0.8,test:0.2, or --split_fraction.")
        lost = [f"--{name}" for name in DECODED if FLAGS[name].present]
        if lost:
            raise UsageError(f"{', '.join(lost)} of records is for videos; records are copied as they are.")


def _say_what_is_lost(listings):
    """Says which split lost all its videos of a class, because none of them could be read."""
    from keras_i3d.records import dividing, manifest

    for listing in listings:
        built = manifest.read(os.path.join(FLAGS.output, f"{listing.split}.json"))
        if lost := dividing.lost_classes(listing, built):
            notice(
                f"{listing.split} has no video left of {len(lost)} classes, because all failed (first: {lost[0]}). "
                "Remove what failed from the videos, and divide them anew into another folder"
            )


def _build(listing, arguments):
    """Builds a split, and prints what became of it; returns the Report."""
    from keras_i3d.records import RecordSpec, build

    spec = listing.spec or RecordSpec(
        fps=FLAGS.fps,
        short_side=FLAGS.short_side,
        quality=FLAGS.quality,
        flow_method=None if FLAGS.flow_method == "none" else FLAGS.flow_method,
    )
    report = build(
        *(listing, FLAGS.output, spec, FLAGS.shards, FLAGS.workers, FLAGS.runner, arguments),
        max_seconds=FLAGS.max_seconds,
    )
    print(report, flush=True)
    return report
