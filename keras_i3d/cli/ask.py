"""keras-i3d ask SERVER VIDEO...: labels of videos from a server that has an export of `export`.

SERVER is HOST:PORT for gRPC, which needs pip install 'keras-i3d[serving]', or http://HOST:PORT for REST.

  --model=NAME                name of the model on the server; default: i3d
  --version=N                 version of the model; default: the latest
  --signature=NAME            one whose input is `frames` as JPEGs; default: the export's own, of all its streams
  --fps=N --short_side=N      frames per second, and pixels of the shorter side; default: what the export takes
  --quality=N                 of the JPEGs, 1 to 100; default: 95
  --clip_frames=N             frames of a request, if the export takes any number; default: all of the video
  --top=N                     how many classes to print; default: 5, and of networks for several labels a video all
                              above their thresholds
  --seconds=S                 how long to wait for an answer; default: 300

A video that is longer than a request goes as clips, one after the other, the last one up to its end, and the logits of
all are averaged. A shorter one is repeated, and the output says so.

TensorFlow Serving takes requests of up to 2 GB by gRPC; a gRPC server that sets no limit takes 4 MB, and nginx 1 MB.

Examples:
  sh models/serve.sh          starts the server by docker; `keras-i3d export --output=models/i3d` wrote it
  keras-i3d serve models/i3d  starts one without docker, for REST
  keras-i3d ask localhost:8500 clip.mp4
  keras-i3d ask http://localhost:8501 clip.mp4
"""

import sys

from absl import flags

from keras_i3d.cli import UsageError, failures

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", "i3d", "", FLAGS)
flags.DEFINE_integer("version", None, "", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string("signature", None, "", FLAGS)
flags.DEFINE_float("fps", None, "", lower_bound=0.01, flag_values=FLAGS)
flags.DEFINE_integer("short_side", None, "", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("quality", 95, "", lower_bound=1, upper_bound=100, flag_values=FLAGS)
flags.DEFINE_integer("clip_frames", None, "", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("top", None, "", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float("seconds", 300, "", lower_bound=0.01, flag_values=FLAGS)


def main(arguments):
    """Prints the labels of each clip of each video, and those of all of it; returns 0, or 1 if any video failed."""
    if len(arguments) < 2:
        raise UsageError("ask takes a server, HOST:PORT or http://HOST:PORT, and at least one video.")
    from keras_i3d import client

    address, *videos = arguments
    server = client.connect(address, FLAGS.model, FLAGS.version, FLAGS.seconds)
    model = client.Model(
        server, FLAGS.signature, FLAGS.fps, FLAGS.short_side, quality=FLAGS.quality, clip_frames=FLAGS.clip_frames
    )
    failed = 0
    for video in videos:
        try:
            _ask(model, video)
        except Exception as error:  # one bad video must not stop the rest
            failed += 1
            if FLAGS.verbose:
                import traceback

                traceback.print_exception(error)
            message = failures.said(error, "ask", FLAGS)
            message = message if video in message else f"{video}: {message}"
            print(f"error: {message}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _ask(model, video):
    for number, answer in enumerate(model.ask(video)):
        if number == 0:
            print(f"{video}: {answer.video_frames} frames at {model.fps:g} fps; {FLAGS.model}, {model.signature}")
        if answer.clips > 1:
            print(f"  all {answer.clips} clips, their logits averaged")
        else:
            looped = f", looped to {answer.clip_frames} frames" if answer.looped else ""
            print(f"  {answer.start:.2f} to {answer.end:.2f} s{looped}")
        best = model.best(answer.logits, FLAGS.top)
        lines = [f"  {score:11.5f}  {label}" for label, score in best] or ["  no class above its threshold; see --top"]
        print("\n".join(lines), flush=True)
