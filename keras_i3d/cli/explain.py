"""keras-i3d explain VIDEO --output=x.png|gif|mp4|html: where in a video the evidence for a label lies.

The map of class activation adds up: its sum and the bias are the logit that classify --precision=float32 gives.
Networks whose head is not linear get Grad-CAM, and a line says so.

  --output=x.png|gif|mp4|html    a sheet of frames; the same moving; or a page with the sums and the curve
  --label=NAME|INDEX          the label to explain; default: the most probable one
  --streams=both|rgb|flow     also --stream=; which streams vote; default: those whose weights are given, else both
  --method=cam|gradcam        exact class activation, or Grad-CAM; default: cam wherever it tells positions apart
  --endpoint=NAME             the layer of a Grad-CAM, as `keras-i3d models NAME` lists them: an earlier one has a finer
                              map; default: the last one with several positions in space
  --faithfulness=N            points of the curve that hides the most important parts first, against random ones: of
                              each stream 4 N - 3 runs of its network at most; at least 2, or 0 for none; default: 6
  --start=S --seconds=S       the part of the video that is read, whose logits are explained then; default: 0, and the
                              whole
  --rgb=WEIGHTS               weights of each stream, as for classify: a published name, a file, or the folder of a
  --flow=WEIGHTS              training run (its best weights, or its last where there are no others); default: kinetics
  --both=WEIGHTS              of a network that takes both in one tensor
  --labels=NAME|FILE|none     kinetics400, kinetics600, or a file with a name a line; default: the weights' own
  --flow_method=tvl1|opencv|dis    default: what the weights were trained on
  --precision=float32|bfloat16|float16    default: float32
  --chunk_frames=N            frames that go through a network at once; default: 512
  --max_seconds=S             how long the video, or its part, may last, because it is kept in memory; default: 120
  --accept_licence            takes weights whose licence forbids commercial use; default: off

Examples:
  keras-i3d explain clip.mp4 --output=clip.html
  keras-i3d explain clip.mp4 --output=clip.png --rgb=runs/rgb --label='playing guitar' --faithfulness=0
  keras-i3d explain clip.mp4 --output=clip.gif --stream=rgb --method=gradcam --endpoint=Mixed_4f
"""

import os

from absl import flags

from keras_i3d.cli import UsageError, network_flags, start

FLAGS = flags.FlagValues()
network_flags.define(FLAGS, precision="float32", runtime=False)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_string("label", None, "", FLAGS)
flags.DEFINE_alias("stream", "streams", FLAGS)
flags.DEFINE_enum("method", None, ["cam", "gradcam"], "", FLAGS)
flags.DEFINE_string("endpoint", None, "", FLAGS)
flags.DEFINE_integer("faithfulness", 6, "", 0, flag_values=FLAGS)
flags.DEFINE_float("start", 0, "", 0, flag_values=FLAGS)
flags.DEFINE_float("seconds", None, "", 0, flag_values=FLAGS)
flags.DEFINE_float("max_seconds", 120, "", 1, flag_values=FLAGS)


def main(arguments):
    """Writes the picture, prints the sums; returns 0."""
    if len(arguments) != 1 or not FLAGS.output:
        raise UsageError("explain takes one video, and --output.")
    if os.path.realpath(arguments[0]) == os.path.realpath(FLAGS.output):
        raise UsageError(f"--output of explain must not be the video itself. Received: {FLAGS.output}")
    start()
    from keras_i3d.explaining import explanations, saving_explanations

    saving_explanations.check_name(FLAGS.output)
    os.makedirs(os.path.dirname(FLAGS.output) or ".", exist_ok=True)  # before what may take minutes
    found = explanations.explain(
        arguments[0],
        FLAGS.label,
        method=FLAGS.method,
        endpoint=FLAGS.endpoint,
        steps=FLAGS.faithfulness,
        start=FLAGS.start or None,
        end=None if FLAGS.seconds is None else FLAGS.start + FLAGS.seconds,
        progress=True,
        **network_flags.settings(FLAGS, "max_seconds"),
    )
    saving_explanations.save(FLAGS.output, found)
    print(f"{found}\n-> {FLAGS.output}", flush=True)
    return 0
