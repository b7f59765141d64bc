"""keras-i3d features VIDEO... --output=DIR: features of each video: files, folders or quoted globs.

  --output=DIR                files named after the videos, with a JSON next to those of each; DIR/failed.jsonl lists
                              the videos that could not be used; the same command again does what is missing
  --preset=NAME               a layout that others' code reads; what else is given replaces a part of it; default: none
  --list_presets              prints the presets, where each is from, and what nobody published; default: off
  --compare=THEIRS            instead of videos takes OURS, a file, and says in what two files of features of one video
                              differ; default: none

What makes them:
  --model=NAME                the network whose published weights are taken: I3D, S3D, R3D18, ..., as `keras-i3d models`
                              lists them; default: I3D
  --rgb=WEIGHTS               weights of each stream: kinetics, kinetics-scratch, a .weights.h5, a .keras, a TensorFlow
  --flow=WEIGHTS              checkpoint, or the folder of a training run (its best weights, or its last where there are
                              no others); default: kinetics
  --both=WEIGHTS              of a network that takes both in one tensor
  --streams=both|rgb|flow     or flow,rgb in this order; default: those whose weights are given, else those that weights
                              of the network are published for
  --endpoint=NAME             a layer that the paper names, such as Mixed_5c, or logits; default: what the head reads
  --window=N|all              frames that a row sees alone; or one pass over all frames, with a row for each step of the
                              endpoint; default: 16
  --step=N                    frames from a window to the next; default: the window
  --tail=drop|pad|repeat|shift    what becomes of frames behind the last whole window; default: drop
  --fps=N|native|weights      frames per second; each frame as it is stored; or those of the weights; default: weights
  --resize=short:N|WxH|least:N|stored    pixels of the shorter side; 340x256, whatever the aspect; the shorter side if
                              it is below; or none; default: that of the weights
  --crop=N                    pixels of the square that the network sees; default: that of the weights
  --crops=1|5|10              the centre, with the corners, and the same mirrored; default: 1
  --crop_order=NAME,...       of tl, tr, c, bl, br and tl_mirrored, ...; default: tl,tr,c,bl,br, then mirrored
  --pool=avg|none             the mean over positions, or all of them; default: avg
  --flow_method=tvl1|opencv|dis    default: what the weights were trained on
  --precision=float32|bfloat16|float16    default: that of a run, else float32
  --accept_licence            takes weights whose licence forbids commercial use; default: off

How they are stored:
  --format=npy|npz|h5         default: npy
  --files=one|per_stream|per_crop    default: one
  --axes=TC|CT|TNC|NTC        of T rows, N crops, C channels; default: TC
  --set=FIELD=VALUE           any other field of a layout: name, mean, std, stride, first, ...; may be repeated;
                              `python -m pydoc keras_i3d.features.Layout` lists them; default: those of the preset

How they are computed:
  --batch_size=N              windows that go through a network at once; default: 8
  --chunk_frames=N            frames that do, where one pass sees them all; default: 512
  --max_seconds=S             how long a video may last, because a small file may claim any length; default: 14400
  --runtime=auto|tensorflow|openvino    what runs the networks; auto: the one that measures faster here, if OpenVINO is
                              installed; default: auto
  --shard=I/N                 the I-th of N commands that share the videos; default: all of them
  --workers=N                 local processes, by Apache Beam; default: this one alone, or 2 of a DirectRunner
  --runner=NAME               a Beam runner; its flags follow after --; default: none

Examples:
  keras-i3d features videos --output=features --rgb=kinetics --window=16 --step=4
  keras-i3d features 'thumos/*.mp4' --output=thumos --preset=thumos14-actionformer --shard=2/8
  keras-i3d features --compare=theirs/x.npy features/x.npy
"""

import sys

from absl import flags

from keras_i3d.cli import UsageError, start
from keras_i3d.cli.videos import expand

FLAGS = flags.FlagValues()
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_string("preset", None, "", FLAGS)
flags.DEFINE_bool("list_presets", False, "", FLAGS)
flags.DEFINE_string("compare", None, "", FLAGS)
flags.DEFINE_string("model", None, "", FLAGS)
flags.DEFINE_string("rgb", None, "", FLAGS)
flags.DEFINE_string("flow", None, "", FLAGS)
flags.DEFINE_string("both", None, "", FLAGS)
flags.DEFINE_list("streams", None, "", FLAGS)
flags.DEFINE_string("endpoint", None, "", FLAGS)
flags.DEFINE_string("window", None, "", FLAGS)
flags.DEFINE_integer("step", None, "", 1, flag_values=FLAGS)
flags.DEFINE_enum("tail", None, ["drop", "pad", "repeat", "shift"], "", FLAGS)
flags.DEFINE_string("fps", None, "", FLAGS)
flags.DEFINE_string("resize", None, "", FLAGS)
flags.DEFINE_integer("crop", None, "", 1, flag_values=FLAGS)
flags.DEFINE_enum("crops", None, ["1", "5", "10"], "", FLAGS)
flags.DEFINE_list("crop_order", None, "", FLAGS)
flags.DEFINE_enum("pool", None, ["avg", "none"], "", FLAGS)
flags.DEFINE_enum("flow_method", None, ["tvl1", "opencv", "dis"], "", FLAGS)
flags.DEFINE_enum("precision", None, ["float32", "bfloat16", "float16"], "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)
flags.DEFINE_enum("format", None, ["npy", "npz", "h5"], "", FLAGS)
flags.DEFINE_enum("files", None, ["one", "per_stream", "per_crop"], "", FLAGS)
flags.DEFINE_enum("axes", None, ["TC", "CT", "TNC", "NTC"], "", FLAGS)
flags.DEFINE_multi_string("set", [], "", FLAGS)
flags.DEFINE_integer("batch_size", 8, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("chunk_frames", 512, "", 1, flag_values=FLAGS)
flags.DEFINE_float("max_seconds", 4 * 3600, "", 1, flag_values=FLAGS)
flags.DEFINE_enum("runtime", None, ["auto", "tensorflow", "openvino"], "", FLAGS)
flags.DEFINE_string("shard", None, "", FLAGS)
flags.DEFINE_string("runner", None, "", FLAGS)
flags.DEFINE_integer("workers", None, "", 1, flag_values=FLAGS)

# Flags that are called like the argument that they are; only those that are given are passed on.
SAME = ("model", "rgb", "flow", "both", "endpoint", "step", "tail", "resize", "crop", "pool", "flow_method")
SAME += ("precision", "format", "files", "axes", "runtime")


def main(arguments):
    """Writes features of videos, or compares two files of features; returns 0, or 1 if any video failed."""
    if FLAGS.list_presets:
        if arguments:
            raise UsageError(f"features --list_presets takes no further words. Received: {arguments}")
        start()
        from keras_i3d.features.presets import PRESETS

        print("\n\n".join(map(str, PRESETS.values())))
        return 0
    if FLAGS.compare is not None:
        if len(arguments) != 1 or FLAGS.output:
            raise UsageError(f"features --compare=THEIRS takes one more file, OURS. Received: {arguments}")
        from keras_i3d.features.comparing import compare

        print(compare(FLAGS.compare, *arguments))
        return 0
    videos, beam_args = _words(arguments)
    if not videos or not FLAGS.output:
        raise UsageError("features takes --output, and at least one video: a file, a folder or a quoted glob.")
    settings = _settings()
    found = expand(videos)
    for video, problem in found:
        if problem:
            print(f"error: {video}: {problem}", file=sys.stderr, flush=True)
    videos = [video for video, problem in found if not problem]
    if not videos:
        return 1
    start()
    from keras_i3d.features.extracting import extract

    report = extract(
        videos,
        FLAGS.output,
        FLAGS.preset,
        shard=FLAGS.shard,
        runner=FLAGS.runner,
        workers=FLAGS.workers,
        beam_args=beam_args,
        batch_size=FLAGS.batch_size,
        chunk_frames=FLAGS.chunk_frames,
        max_seconds=FLAGS.max_seconds,
        accept_licence=FLAGS.accept_licence,
        **settings,
    )
    for video, reason in report.failed:
        print(f"error: {video}: {reason}", file=sys.stderr, flush=True)
    print(report)
    return 1 if report.failed or len(videos) < len(found) else 0


def _words(arguments):
    """(videos, flags of a runner): after -- there are flags if a runner takes them, and files if none does."""
    if FLAGS.runner is None:
        return arguments, []
    videos = [word for word in arguments if not word.startswith("--")]
    return videos, [word for word in arguments if word.startswith("--")]


def _settings():
    """What `extract` takes of the flags that are given."""
    settings = {name: FLAGS[name].value for name in SAME if FLAGS[name].value is not None}
    for text in FLAGS.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set takes FIELD=VALUE. Received: --set={text}")
        settings[name.replace("-", "_")] = _value(value)
    if FLAGS.window is not None:
        settings["window"] = _number("window", FLAGS.window, int, {"all": "all"})
    if FLAGS.fps is not None:
        settings["fps"] = _number("fps", FLAGS.fps, float, {"native": None, "weights": "weights"})
    if FLAGS.streams is not None:
        settings["streams"] = FLAGS.streams[0] if len(FLAGS.streams) == 1 else tuple(FLAGS.streams)
    if FLAGS.crops is not None:
        settings["crops"] = int(FLAGS.crops)
    if FLAGS.crop_order is not None:
        if FLAGS.crops is not None and len(FLAGS.crop_order) != int(FLAGS.crops):
            raise UsageError(
                f"--crop_order must name each of --crops={FLAGS.crops}. Received: {len(FLAGS.crop_order)} names"
            )
        settings["crops"] = tuple(FLAGS.crop_order)
    return settings


def _number(name, text, kind, words):
    if text in words:
        return words[text]
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"--{name} must be a number, or {' or '.join(words)}. Received: --{name}={text}") from None


def _value(text):
    """A value of --set: none, true, a number, several of them with commas between, or text."""
    if "," in text:
        return tuple(_value(part) for part in text.split(",") if part)
    known = {"none": None, "true": True, "false": False}
    if text.lower() in known:
        return known[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
