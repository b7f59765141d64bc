"""keras-i3d export ...: one or both streams as a SavedModel for TensorFlow Serving, labels and frame decoding inside.

With --format also as a file of another runtime, which takes clips that are scaled already.

  --rgb=WEIGHTS --flow=WEIGHTS    one or both: kinetics, kinetics-scratch, kinetics600, a .weights.h5, a .keras, a
                                  TensorFlow checkpoint, or the folder of a training run (its best weights, or its
                                  last where there are no others)
  --both=WEIGHTS              of a network that takes both in one tensor, which is exported alone
  --output=DIR                the model's folder; its last part is the name that the server knows it by
  --version=N                 writes DIR/N
  --format=saved_model|openvino|onnx|litert    model.xml and model.bin, model.onnx or model.tflite in the place of a
                              SavedModel, with labels.txt and a card; default: saved_model
  --precision=float32|bfloat16|float16    default: that of a run, else float32; outputs are float32; ONNX and LiteRT
                              are in float32 alone, OpenVINO in float32 or bfloat16
  --frames=N                  of a clip; 0 for any number, which a server cannot batch; default: a run's, else 64
  --flow_quality=opencv|fast|fastest      of the flow that the graph computes; default: opencv
  --labels=NAME|FILE|none     as for classify; default: the weights' own
  --thresholds=NUMBER|FILE    of networks for several labels a video, as for classify; default: those chosen by
                              evaluate, else 0.5
  --accept_licence            takes weights whose licence forbids commercial use; default: off
  --archive                   also writes NAME-VERSION.tar.gz and SHA256SUMS next to DIR; default: off
  --force                     replaces a version that is there, once the new one is verified; default: it is refused

Next to DIR come models.config, batching.config and serve.sh, the docker command, where they are not there yet.

Examples:
  keras-i3d export --rgb=kinetics --flow=kinetics --output=models/i3d --version=1 --precision=bfloat16
  keras-i3d export --rgb=runs/rgb --output=models/mine --version=2 --archive
  keras-i3d export --rgb=runs/rgb --output=models/phone --version=1 --format=litert --frames=16
"""

from absl import flags

from keras_i3d.cli import UsageError, start

FLAGS = flags.FlagValues()
flags.DEFINE_string("rgb", None, "", FLAGS)
flags.DEFINE_string("flow", None, "", FLAGS)
flags.DEFINE_string("both", None, "", FLAGS)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_integer("version", None, "", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_enum("format", "saved_model", ["saved_model", "openvino", "onnx", "litert"], "", FLAGS)
flags.DEFINE_enum("precision", None, ["float32", "bfloat16", "float16"], "", FLAGS)
flags.DEFINE_integer("frames", None, "", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_enum("flow_quality", "opencv", ["opencv", "fast", "fastest"], "", FLAGS)
flags.DEFINE_string("labels", None, "", FLAGS)
flags.DEFINE_string("thresholds", None, "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)
flags.DEFINE_bool("archive", False, "", FLAGS)
flags.DEFINE_bool("force", False, "", FLAGS)


def main(arguments):
    """Writes one version of a model; returns 0."""
    if arguments:
        raise UsageError(f"export takes flags alone. Received: {arguments}")
    if not (FLAGS.rgb or FLAGS.flow or FLAGS.both) or not FLAGS.output or FLAGS.version is None:
        raise UsageError("export takes --output, --version, and at least one of --rgb, --flow and --both.")
    another = FLAGS.format != "saved_model"
    if another and (FLAGS.archive or FLAGS["flow_quality"].present):
        raise UsageError(f"--archive and --flow_quality are of a SavedModel. Received: --format={FLAGS.format}")
    start()
    from keras_i3d import export

    names = ("both", "labels", "precision", "frames", "force", "accept_licence", "thresholds")
    settings = {name: FLAGS[name].value for name in names} | {"progress": True}
    if another:
        given = FLAGS.output, FLAGS.format, FLAGS.version, FLAGS.rgb, FLAGS.flow
        print(export.runtime_file(*given, **settings))
    else:
        own = {"flow_quality": FLAGS.flow_quality, "archive": FLAGS.archive}
        print(export.saved_model(FLAGS.output, FLAGS.version, FLAGS.rgb, FLAGS.flow, **own, **settings))
    return 0
