"""keras-i3d show VIDEO|RECORDS --output=x.png: a sheet of frames over their flow, or as .gif the clip itself.

  --output=x.png|x.gif
  --record=N|ID               which record of a file or folder of records: its place, or its id. Of a folder of several
                              splits the first is shown, and the others are named; default: 0
  --flow_method=tvl1|opencv|dis|none    how the flow of a video is computed; records have theirs; default: tvl1
  --start=S --seconds=S       the part of a video; default: 0 and 10
  --bound=PIXELS              the motion, in pixels per frame, that is painted in full colour; default: the fastest of
                              the clip

Examples:
  keras-i3d show clip.mp4 --output=clip.png
  keras-i3d show 'records/train-*' --record=run/007.mp4 --output=clip.gif
"""

import os

from absl import flags

from keras_i3d.cli import UsageError, start
from keras_i3d.errors import VideoError

FLAGS = flags.FlagValues()
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_string("record", "0", "", FLAGS)
flags.DEFINE_enum("flow_method", "tvl1", ["tvl1", "opencv", "dis", "none"], "", FLAGS)
flags.DEFINE_float("start", 0, "", 0, flag_values=FLAGS)
flags.DEFINE_float("seconds", 10, "", 0, flag_values=FLAGS)
flags.DEFINE_float("bound", None, "", 0, flag_values=FLAGS)


def main(arguments):
    """Writes a picture of one video or record; returns 0."""
    if len(arguments) != 1 or not FLAGS.output:
        raise UsageError("show takes one video, or records, and --output.")
    from keras_i3d.records.video_files import is_video

    source = arguments[0]
    named_so = is_video(source)
    if named_so and not os.path.exists(source):
        raise VideoError(source, "no such file")
    of_video = named_so and os.path.isfile(source)
    meant_for_videos = [f"--{name}" for name in ("start", "seconds", "flow_method") if FLAGS[name].present]
    if meant_for_videos and not of_video:
        raise UsageError(f"{', '.join(meant_for_videos)} of show is for a video; a record is shown as it is.")
    if FLAGS["record"].present and of_video:
        raise UsageError("--record of show is for records, not for a video.")
    from keras_i3d import visualize

    visualize.check_name(FLAGS.output)
    start()
    frames, fields, title, fps = _video(source) if of_video else _record(source)
    visualize.save(FLAGS.output, frames, fields, title, fps, FLAGS.bound)
    print(f"{title}\n-> {FLAGS.output}")
    return 0


def _video(source):
    from keras_i3d import flow, specs, video

    frames = video.read(source, start=FLAGS.start, end=FLAGS.start + FLAGS.seconds)
    fields = None if FLAGS.flow_method == "none" else flow.compute(frames, FLAGS.flow_method, progress=True)
    title = f"{os.path.basename(source)}, {len(frames)} frames, flow: {FLAGS.flow_method}"
    return frames, fields, title, specs.FPS


def _record(source):
    from keras_i3d.data.record_files import read_one

    record = read_one(source, FLAGS.record)
    label = f"{record['index']} {record['label']}" if record["index"] >= 0 else "no label"
    method = record["flow_method"] or ("third-party" if record["flow"] is not None else "none")
    title = f"{record['id']}: {label}, {len(record['rgb'])} frames, flow: {method}"
    return record["rgb"], record["flow"], title, float(record["fps"]) or 25.0
