"""keras-i3d stream SOURCE: names what happens in a video while it comes.

SOURCE is a file; - for standard input, or a named pipe, of anything that FFmpeg reads without seeking (MPEG-TS,
Matroska); a camera: /dev/video0, avfoundation:0 or dshow:video=NAME; or a URL: rtsp://, http://, https://, rtmp://,
srt://, udp:// or tcp://.

  --every=SECONDS             from one answer to the next, 0 for each step of the network; default: about 1, and of rows
                              each step
  --window=SECONDS            of the latest frames that an answer is of; default: as many as the network was trained on
  --exact                     an answer is of a row of logits, each final, as `classify` has it over the video up to
                              its last whole step; it comes later, by the receptive field of the network; default: off
  --delay=SECONDS             the same, but a row waits only so long, and its line says what it lacks; default: off
  --realtime                  a file or pipe comes as fast as its timestamps say and does not wait; default: off
  --reconnect                 a URL or camera that ends or breaks off is opened again and again; default: off
  --timeout=SECONDS           how long to wait for a URL; default: 10
  --rgb=WEIGHTS               weights of each stream: kinetics, kinetics-scratch, kinetics600, a .weights.h5, a .keras,
  --flow=WEIGHTS              a TensorFlow checkpoint, or the folder of a training run (its best weights, or its last
                              where there are no others); default: kinetics
  --both=WEIGHTS              of a network that takes both in one tensor; alone, or with the streams that are given
  --streams=both|rgb|flow     which streams vote; their logits are summed; default: those whose weights are given, else
                              both
  --labels=NAME|FILE|none     kinetics400, kinetics600, or a file with a name a line; default: the weights' own
  --top=N                     how many classes to print; default: 3, and of networks for several labels a video all
                              above their thresholds
  --thresholds=NUMBER|FILE    of networks for several labels: from which probability on a class counts as there, one
                              number for all or a thresholds.json; default: those chosen by evaluate, else 0.5
  --flow_method=tvl1|opencv|dis    how flow is computed; default: what the weights were trained on
  --precision=float32|bfloat16|float16    default: that of a run, else float32
  --runtime=auto|tensorflow|openvino    what runs the networks; auto: the one that measures faster here, if OpenVINO is
                              installed; default: auto
  --chunk_frames=N            frames that go through a network at once, if a window has more; default: 512
  --accept_licence            takes weights whose licence forbids commercial use; default: off
  --json                      one JSON object an answer; default: text

A line has the part of the video that it is of, the classes, how many seconds that is behind the newest frame, and how
many steps were dropped so far because the networks were slower than the video. A file or a pipe waits, and drops none.
Ctrl-C ends the reading and prints the last answers; again, it ends at once.

Examples:
  keras-i3d stream --streams=rgb /dev/video0
  keras-i3d stream --streams=rgb --json --reconnect rtsp://user:password@camera/1 > answers.jsonl
  record | keras-i3d stream --rgb=runs/rgb --exact -
"""

import contextlib
import json
import signal
import threading

from absl import flags

from keras_i3d.cli import UsageError, network_flags, start

FLAGS = flags.FlagValues()
network_flags.define(FLAGS)
flags.DEFINE_float("every", None, "", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_float("window", None, "", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_bool("exact", False, "", FLAGS)
flags.DEFINE_float("delay", None, "", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_bool("realtime", False, "", FLAGS)
flags.DEFINE_bool("reconnect", False, "", FLAGS)
flags.DEFINE_float("timeout", 10, "", lower_bound=0.1, flag_values=FLAGS)
flags.DEFINE_string("thresholds", None, "", FLAGS)
flags.DEFINE_integer("top", None, "", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_bool("json", False, "", FLAGS)

LIVE = ("every", "window", "exact", "delay", "realtime", "reconnect", "timeout", "top")


def main(arguments):
    """Prints an answer each time one is due; returns 0 at the end of the source, and 130 if it was interrupted."""
    if len(arguments) != 1:
        raise UsageError("stream takes one source: a file, - for standard input, a camera or a URL.")
    (source,) = arguments
    if FLAGS.exact and FLAGS.delay is not None:
        raise UsageError("--exact waits as long as it takes, and --delay less. Leave one of the two out.")
    if FLAGS.window is not None and (FLAGS.exact or FLAGS.delay is not None):
        raise UsageError("--window is of answers of the latest frames. Leave --exact and --delay out, or --window.")
    from keras_i3d.video import live_sources

    found = live_sources.find(source)  # before weights are fetched
    if FLAGS.reconnect and found.kind in (live_sources.FILE, live_sources.PIPE):
        raise UsageError(f"--reconnect is of cameras and URLs. Received: {found.name}, a {found.kind}.")
    start()
    from keras_i3d.inference import Classifier, LiveClassifier

    classifier = Classifier(**network_flags.settings(FLAGS, "thresholds"))
    live = LiveClassifier(classifier, **{name: FLAGS[name].value for name in LIVE})
    with _interruptions(live) as interrupted, contextlib.closing(live.answers(source)) as answers:
        for answer in answers:
            print(json.dumps(answer.record(), allow_nan=False) if FLAGS.json else answer, flush=True)
    return 130 if interrupted else 0


@contextlib.contextmanager
def _interruptions(live):
    """Makes the first Ctrl-C end the reading alone; gives a list that is not empty from then on."""
    interrupted = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(*_):
        interrupted.append(True)
        signal.signal(signal.SIGINT, before)
        live.stop()

    signal.signal(signal.SIGINT, stop)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
