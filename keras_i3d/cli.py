"""keras-i3d VERB ...: video action recognition from the shell.

  keras-i3d classify VIDEO...   names what happens in each video: files, folders or quoted globs
      --streams=both|rgb|flow     which streams vote; their logits are summed
      --rgb_weights=NAME|PATH     kinetics, kinetics-scratch, kinetics600, or a .weights.h5, .keras or
      --flow_weights=NAME|PATH    TensorFlow checkpoint
      --labels=NAME|FILE|none     kinetics400, kinetics600, or a file with a name a line
      --top=5                     how many classes to print
      --flow=tvl1|opencv|dis      tvl1 is what the weights were trained on; opencv is its slow reference;
                                  dis is faster and something else
      --precision=float32|bfloat16|float16
      --json                      one JSON object a video, even for one that fails
  keras-i3d records ...         videos to TFRecords with both streams, ready for training
      --source=PATH|KIND:PATH     a folder of class folders, a .csv, or KIND: kinetics, ucf101, hmdb51, folder, csv
      --annotations=PATH          kinetics: its CSV; ucf101, hmdb51: the folder of lists; csv: the CSV
      --labels=FILE               the classes in order, a name a line
      --split=NAME                which split of the data set; a folder or CSV is called so
      --split_number=1            ucf101, hmdb51: which of the three published divisions
      --output=DIR                one folder for all splits; DIR/failed.jsonl lists the videos that could not be read
      --flow=tvl1|dis|opencv|none
      --shards=N                  files; by default of 64 videos each, at least 8 (or one a video)
      --workers=N                 processes; by default one a core
      --short_side=256 --fps=25 --quality=95    smaller ones for experiments
      --runner=NAME               a Beam runner other than local processes; its flags follow after --
                                  Stopped at any point, the same command does what is missing.
  keras-i3d records --check=DIR   reads every byte of such a folder; prints a line for each problem
  keras-i3d version             prints the version

Examples:
  keras-i3d classify clip.mp4
  keras-i3d classify --streams=rgb --json videos/ > labels.jsonl
  keras-i3d records --source=ucf101:UCF-101 --split=train --output=ucf101
  keras-i3d records --source=kinetics:gs://b/k400 --annotations=train.csv --output=gs://b/records \\
      --runner=DataflowRunner -- --project=p --region=r --temp_location=gs://b/tmp
  keras-i3d classify --rgb_weights=mine.weights.h5 --labels=mine.txt --streams=rgb 'clips/*.avi'

Published weights are fetched at first use and cached in $KERAS_HOME/keras_i3d (~/.keras/keras_i3d).
KERAS_I3D_MIRROR names a URL or a folder to fetch them from instead.
"""

import glob
import json
import os
import pathlib
import sys

from absl import app, flags

from keras_i3d.messages import KerasI3DError
from keras_i3d.version import __version__

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm"),
    *(".gif", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".ogv"),
)

_STREAMS = flags.DEFINE_enum("streams", "both", ["both", "rgb", "flow"], "Which streams vote; their logits are summed.")
_RGB_WEIGHTS = flags.DEFINE_string("rgb_weights", "kinetics", "Name or path of the RGB stream's weights.")
_FLOW_WEIGHTS = flags.DEFINE_string("flow_weights", "kinetics", "Name or path of the flow stream's weights.")
_LABELS = flags.DEFINE_string(
    "labels", None, "kinetics400, kinetics600, a file with a name a line, or none. Default: the weights' or data's own."
)
_TOP = flags.DEFINE_integer("top", 5, "How many classes to print.", lower_bound=1)
_FLOW = flags.DEFINE_enum(
    "flow",
    "tvl1",
    ["tvl1", "opencv", "dis", "none"],
    "tvl1 is what the weights were trained on; opencv is its slow reference; none for records without flow.",
)
_PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "bfloat16", "float16"], "What the models compute in."
)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON object a video, even for one that fails.")

# records
_SOURCE = flags.DEFINE_string("source", None, "PATH or KIND:PATH; a kind is folder, csv, kinetics, ucf101 or hmdb51.")
_ANNOTATIONS = flags.DEFINE_string("annotations", None, "The data set's CSV file, or folder of lists.")
_SPLIT = flags.DEFINE_string("split", None, "Which split of the data set.")
_SPLIT_NUMBER = flags.DEFINE_integer("split_number", 1, "Which division of UCF101 or HMDB51.", 1, 3)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to write to.")
_SHARDS = flags.DEFINE_integer("shards", None, "Files of a split. Default: of 64 videos each, at least 8.", 1)
_WORKERS = flags.DEFINE_integer("workers", None, "Processes. Default: one a core.", 1)
_SHORT_SIDE = flags.DEFINE_integer("short_side", 256, "Pixels of the shorter side.", 1)
_FPS = flags.DEFINE_float("fps", 25, "Frames per second.", 0)
_QUALITY = flags.DEFINE_integer("quality", 95, "Of the JPEGs.", 1, 100)
_RUNNER = flags.DEFINE_string("runner", None, "A Beam runner other than local processes; its flags follow after --.")
_CHECK = flags.DEFINE_string("check", None, "A folder of records to check.")


def classify(arguments):
    """Prints the top labels of each video; returns 0, or 1 if any of them failed."""
    if not arguments:
        raise app.UsageError("classify takes at least one video: a file, a folder or a quoted glob.")
    if _FLOW.value == "none":
        raise app.UsageError("classify takes --flow=tvl1, opencv or dis; without flow it is --streams=rgb.")
    videos = expand(arguments)
    from keras_i3d.inference import Classifier

    try:
        classifier = Classifier(
            _STREAMS.value,
            rgb_weights=_RGB_WEIGHTS.value,
            flow_weights=_FLOW_WEIGHTS.value,
            labels=_LABELS.value,
            flow=_FLOW.value,
            precision=_PRECISION.value,
            progress=True,
        )
    except (KerasI3DError, ValueError, ImportError) as error:
        for video, _ in videos if _JSON.value else ():
            print(json.dumps({"video": video, "error": str(error)}))
        raise
    failed = 0
    for video, problem in videos:
        try:
            if problem:
                raise ValueError(f"{video}: {problem}")
            result = classifier(video, _TOP.value)
            text = json.dumps(result.record(), allow_nan=False) if _JSON.value else str(result)
        except Exception as error:  # one bad video must not stop the rest
            failed += 1
            message = str(error) if video in str(error) else f"{video}: {type(error).__name__}: {error}"
            if _JSON.value:
                print(json.dumps({"video": video, "error": message}), flush=True)
            print(f"error: {message}", file=sys.stderr, flush=True)
            continue
        print(text, flush=True)
    if len(videos) > 1:
        print(f"{len(videos) - failed} classified, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def records(arguments):
    """Builds records of a data set, or checks them; returns 0, or 1 if there are problems or no record."""
    if _CHECK.value is not None:
        if arguments or _SOURCE.value or _OUTPUT.value:
            raise app.UsageError("records --check=DIR takes no --source, --output or further words.")
        from keras_i3d.data.check import check

        checked = check(_CHECK.value, progress=True)
        for problem in checked.problems:
            print(problem)
        print(checked)
        return 1 if checked.problems else 0
    if not _SOURCE.value or not _OUTPUT.value:
        raise app.UsageError("records takes --source and --output, or --check=DIR.")
    if any(not word.startswith("--") for word in arguments) or (arguments and not _RUNNER.value):
        raise app.UsageError(f"records takes flags alone; those of a --runner follow after --. Received: {arguments}")
    from keras_i3d.data import build, datasets
    from keras_i3d.data.records import RecordSpec

    spec = RecordSpec(
        fps=_FPS.value,
        short_side=_SHORT_SIDE.value,
        quality=_QUALITY.value,
        flow_method=None if _FLOW.value == "none" else _FLOW.value,
    )
    listing = datasets.find(_SOURCE.value, _ANNOTATIONS.value, _LABELS.value, _SPLIT.value, _SPLIT_NUMBER.value)
    report = build.build(listing, _OUTPUT.value, spec, _SHARDS.value, _WORKERS.value, _RUNNER.value, arguments)
    print(report)
    if report.failed:
        print(f"reasons: {os.path.join(_OUTPUT.value, 'failed.jsonl')}", file=sys.stderr)
    return 0 if report.written else 1


def version(arguments):
    """Prints the version."""
    del arguments
    print(f"keras-i3d {__version__}")
    return 0


VERBS = {"classify": classify, "records": records, "version": version}


def expand(arguments):
    """Returns [(path, problem or None)] for files, folders (searched through, sorted) and globs.

    A path that exists is never taken for a glob, for some file names contain brackets.
    """
    found = []
    for argument in arguments:
        if os.path.isdir(argument):
            files = (p for p in pathlib.Path(argument).rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
            inside = sorted(map(str, files))
            found += [(path, None) for path in inside] or [(argument, "the folder holds no video")]
        elif not os.path.exists(argument) and glob.has_magic(argument):
            inside = sorted(glob.glob(argument, recursive=True))
            found += [(path, None) for path in inside] or [(argument, "the pattern matches no file")]
        else:
            found.append((argument, None))
    return found


def main(argv):
    verb = argv[1] if len(argv) > 1 else None
    if verb not in VERBS:
        given = "no verb" if verb is None else repr(verb)
        raise app.UsageError(f"the first word must be one of: {', '.join(VERBS)}. Received: {given}")
    try:
        return VERBS[verb](argv[2:])
    except (KerasI3DError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def run():
    """The console command."""
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(errors="backslashreplace")  # a file name need not be text
    sys.modules["__main__"].__doc__ = __doc__  # what absl prints for --help
    app.run(main)
