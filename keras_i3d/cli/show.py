"""keras-i3d show VIDEO...|RECORDS --output=x.png: a sheet of frames over their flow, or as .gif the clip itself.

Videos are files, folders or quoted globs, as for classify; records are one file, folder or glob.

  --output=x.png|x.gif        of several videos with a * in the name, which stands for that of each
  --record=N|ID               which record of a file or folder of records: its place, or its id. Of a folder of several
                              splits the first is shown, and the others are named; default: 0
  --flow_method=tvl1|opencv|dis|none    how the flow of a video is computed; records have theirs; default: tvl1
  --start=S --seconds=S       the part of a video; default: 0 and 10
  --bound=PIXELS              the motion, in pixels per frame, that is painted in full colour; default: the fastest of
                              the clip

Examples:
  keras-i3d show clip.mp4 --output=clip.png
  keras-i3d show videos/ --output='sheets/*.png'
  keras-i3d show 'records/train-*' --record=run/007.mp4 --output=clip.gif
"""

import glob
import os
import re
import sys

from absl import flags

from keras_i3d import paths
from keras_i3d.cli import UsageError, failures, start, videos
from keras_i3d.errors import VideoError

FLAGS = flags.FlagValues()
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_string("record", "0", "", FLAGS)
flags.DEFINE_enum("flow_method", "tvl1", ["tvl1", "opencv", "dis", "none"], "", FLAGS)
flags.DEFINE_float("start", 0, "", 0, flag_values=FLAGS)
flags.DEFINE_float("seconds", 10, "", 0, flag_values=FLAGS)
flags.DEFINE_float("bound", None, "", 0, flag_values=FLAGS)

# The names of files of records: `records.manifest.SHARD` without TensorFlow, and those of other writers.
RECORDS = re.compile(r".+-\d{5}-of-\d{5}|.+\.tfrecord")
SHOWN = 5  # labels of a record in the title of its picture


def main(arguments):
    """Writes a picture of each video, or of one record; returns 0, or 1 if a video failed."""
    of_videos = [_names_videos(argument) for argument in arguments]
    if not arguments or not FLAGS.output or (len(arguments) > 1 and not all(of_videos)):
        raise UsageError("show takes videos, or records by one name, and --output.")
    meant_for_videos = [f"--{name}" for name in ("start", "seconds", "flow_method") if FLAGS[name].present]
    if meant_for_videos and not of_videos[0]:
        raise UsageError(f"{', '.join(meant_for_videos)} of show is for a video; a record is shown as it is.")
    if FLAGS["record"].present and of_videos[0]:
        raise UsageError("--record of show is for records, not for a video.")
    found = dict(videos.expand(arguments)) if of_videos[0] else {}
    outputs = videos.outputs("show", FLAGS.output, list(found)) if found else {}
    if len(found) == 1 and any(found.values()):
        raise VideoError(*found.popitem())
    from keras_i3d import visualize

    visualize.check_name(FLAGS.output)
    start()
    if len(found) > 1:
        return _each(found, outputs)
    if found:
        _save(*outputs.values(), *_video(*found))
    else:
        _save(FLAGS.output, *_record(arguments[0]))
    return 0


def _each(found, outputs):
    """Shows several videos, of which a bad one does not stop the rest; returns 0, or 1 if any of them failed."""
    failed = 0
    for source, problem in found.items():
        try:
            if problem:
                raise VideoError(source, problem)
            os.makedirs(os.path.dirname(outputs[source]) or ".", exist_ok=True)
            _save(outputs[source], *_video(source))
        except Exception as error:
            failed += 1
            if FLAGS.verbose:
                import traceback

                traceback.print_exception(error)
            message = failures.said(error, "show", FLAGS)
            message = message if source in message else f"{source}: {message}"
            print(f"error: {message}", file=sys.stderr, flush=True)
    print(f"{len(found) - failed} shown, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def _names_videos(argument):
    """Whether a word means videos: a file by its suffix, a folder or a glob by what it holds or matches."""
    from keras_i3d.records.video_files import is_video

    if os.path.isdir(argument):
        inside = os.listdir(argument)
        return bool(inside) and not any(map(RECORDS.fullmatch, inside))
    if os.path.exists(argument) or is_video(argument) or not glob.has_magic(argument):
        return is_video(argument)
    matched = glob.iglob(paths.pattern(argument), recursive=True)
    return any(is_video(path) if os.path.isfile(path) else _names_videos(path) for path in matched)


def _save(path, frames, fields, title, fps):
    from keras_i3d import visualize

    visualize.save(path, frames, fields, title, fps, FLAGS.bound)
    print(f"{title}\n-> {path}", flush=True)


def _video(source):
    from keras_i3d import flow, specs, video

    frames = video.read(source, start=FLAGS.start, end=FLAGS.start + FLAGS.seconds)
    fields = None if FLAGS.flow_method == "none" else flow.compute(frames, FLAGS.flow_method, progress=True)
    title = f"{os.path.basename(source)}, {len(frames)} frames, flow: {FLAGS.flow_method}"
    return frames, fields, title, specs.FPS


def _record(source):
    from keras_i3d.data.record_files import read_one

    record = read_one(source, FLAGS.record)
    names = [label.decode(errors="replace") for label in record["labels"]]
    classes = {index: f"{index} {name}" for index, name in zip(record["indices"], names)}
    label = ", ".join(list(classes.values())[:SHOWN]) or "no label"
    label += f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
    for index, begin, end in record["segments"]:
        print(f"{begin / 1e6:.2f} to {end / 1e6:.2f} s: {classes.get(index, index)}")
    method = record["flow_method"] or ("third-party" if record["flow"] is not None else "none")
    title = f"{record['id']}: {label}, {len(record['rgb'])} frames, flow: {method}"
    return record["rgb"], record["flow"], title, float(record["fps"]) or 25.0
