"""keras-i3d web: a page in a browser. Drop a video on it and see labels, time line, flow, evidence and segments.

Needs pip install 'keras-i3d[web]'. It works without network. Networks are loaded once, when it starts.

  --port=N                    default: 8520; 0 takes one that is free, and the line that says where the page is names it
  --host=ADDRESS              default: 127.0.0.1, which no other machine reaches. Any other one is open to whoever
                              reaches it: there is no password and no encryption
  --names=NAME,...            host names by which the page may be asked for, next to addresses and localhost; another
                              site can point a name of its own to this machine; default: the host alone
  --open                      opens the page in the browser of this machine; default: off
  --max_megabytes=N           how large a video's file may be; default: 200
  --max_seconds=S             how long a video may last; default: 600
  --max_videos=N              how many videos are kept at a time, each with its film; default: 8
  --rgb=WEIGHTS --flow=WEIGHTS --both=WEIGHTS    weights of each stream, as for classify; default: kinetics
  --streams=both|rgb|flow     which streams vote; default: those whose weights are given, else both
  --labels=NAME|FILE|none     kinetics400, kinetics600, or a file with a name a line; default: the weights' own
  --threshold=NUMBER|FILE     from which probability on a label is there, as for segments; for several labels a video
                              also which labels are named; default: 0.3, for several labels those chosen by evaluate,
                              else 0.5
  --smooth=S                  seconds over which logits along time are averaged; default: 1
  --shortest=S                shorter segments are left out; default: 0.5
  --top=N                     how many labels are named and drawn along time; default: 5
  --flow_method=tvl1|opencv|dis    default: what the weights were trained on
  --precision=float32|bfloat16|float16    default: that of a run, else float32
  --runtime=auto|tensorflow|openvino    what runs the networks, as for classify; default: auto, decided at the start
  --chunk_frames=N            frames that go through a network at once: fewer take less memory; default: 512
  --accept_licence            takes weights whose licence forbids commercial use; default: off

One video is worked on at a time, and the others wait in their order. A video is deleted when its page says so, ten
minutes after its page was closed, or when the server ends. Ctrl-C ends it.

Examples:
  keras-i3d web --open
  keras-i3d web --rgb=runs/rgb --flow=runs/flow --port=0
"""

import logging

from absl import flags

from keras_i3d.cli import UsageError, failures, network_flags, start

FLAGS = flags.FlagValues()
network_flags.define(FLAGS)
flags.DEFINE_integer("port", 8520, "", lower_bound=0, upper_bound=65535, flag_values=FLAGS)
flags.DEFINE_string("host", "127.0.0.1", "", FLAGS)
flags.DEFINE_list("names", [], "", FLAGS)
flags.DEFINE_bool("open", False, "", FLAGS)
flags.DEFINE_float("max_megabytes", 200, "", 0.001, flag_values=FLAGS)
flags.DEFINE_float("max_seconds", 600, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("max_videos", 8, "", 1, flag_values=FLAGS)
flags.DEFINE_string("threshold", None, "", FLAGS)
flags.DEFINE_float("smooth", 1, "", 0, flag_values=FLAGS)
flags.DEFINE_float("shortest", 0.5, "", 0, flag_values=FLAGS)
flags.DEFINE_integer("top", 5, "", 1, flag_values=FLAGS)


def main(arguments):
    """Serves the page until it is interrupted; returns 0."""
    if arguments:
        raise UsageError(f"web takes no video: it is dropped on the page. Received: {' '.join(arguments)}")
    from keras_i3d import web

    web.serve(
        _answers,
        FLAGS.host,
        FLAGS.port,
        FLAGS.names,
        web.Limits(FLAGS.max_megabytes, FLAGS.max_seconds, FLAGS.max_videos),
        said=lambda error: failures.said(error, "web", FLAGS),
        opens=FLAGS.open,
        ready=lambda line: print(line, flush=True),
    )
    return 0


def _answers():
    """Loads the networks that the flags describe."""
    start()
    if not FLAGS.verbose:  # TensorFlow advises against new graphs, of which each explanation has some
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from keras_i3d.inference import Classifier
    from keras_i3d.segments import finding
    from keras_i3d.web import answering

    thresholds = None if FLAGS.threshold is None else False
    classifier = Classifier(thresholds=thresholds, **network_flags.settings(FLAGS, "max_seconds"))
    threshold = finding.checked(FLAGS.threshold, classifier)
    if classifier.activation != "softmax":
        classifier.thresholds = threshold
    return answering.Answers(classifier, threshold, FLAGS.smooth, FLAGS.shortest, FLAGS.top)
