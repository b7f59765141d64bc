"""keras-i3d fvd REAL GENERATED: Frechet video distance by a named protocol, with all that the number depends on.

REAL and GENERATED are each a folder of videos, a folder with a folder of frames a video, a .npy or .npz of uint8 videos
(N, T, H, W, 3), or statistics that --save_real wrote; REAL may be a .pkl that cd-fvd publishes.

  --protocol=original|stylegan-v|cd-fvd|common-metrics    how frames are resized, clips are chosen, and the distance is
                              estimated; their numbers cannot be compared; default: original
  --all_protocols             all four in one pass, to recognise a number of a paper; default: off
  --frames=N                  of a clip; default: 16
  --stride=N                  frames from one frame of a clip to the next; default: 1
  --videos=N                  clips of a side at most; 0 for one of every video; default: 2048
  --seed=N                    of what is drawn: which videos, and where their clips begin; default: 0
  --resolution=N              of cd-fvd: 128 or 256 pixels that frames are scaled to first; default: 256
  --kernel                    the kernel video distance too, which needs fewer videos; default: off
  --bootstrap=N               an interval by N draws; default: 0, none
  --extrapolate               an estimate for infinitely many videos; default: off
  --motion_check              the same videos frozen, and with their frames shuffled; default: off
  --weights=WEIGHTS           of the network: what classify takes for --rgb; default: kinetics-scratch, which published
                              numbers are by
  --accept_licence            takes weights whose licence forbids commercial use; default: off
  --output=FILE.json          takes the number with its protocol card; default: none
  --save_real=FILE.npz --save_generated=FILE.npz    take a side's statistics, which may be that side the next time;
                              default: none
  --batch_size=N              clips that go through the network at once; default: as many as have 128 frames
  --precision=float32|bfloat16|float16    default: that of a run, else float32
  --max_seconds=S             how long a video may last; default: 14400
  --json                      prints what --output takes; default: text

Examples:
  keras-i3d fvd videos/real videos/generated
  keras-i3d fvd --protocol=stylegan-v --save_real=ucf101.npz --output=card.json frames/ucf101 frames/mine
  keras-i3d fvd --all_protocols --videos=0 real.npy generated.npy
"""

import json
import os
import sys

from absl import flags

from keras_i3d.cli import UsageError, start

FLAGS = flags.FlagValues()
flags.DEFINE_enum("protocol", "original", ["original", "stylegan-v", "cd-fvd", "common-metrics"], "", FLAGS)
flags.DEFINE_bool("all_protocols", False, "", FLAGS)
flags.DEFINE_integer("frames", 16, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("stride", 1, "", 1, flag_values=FLAGS)
flags.DEFINE_integer("videos", 2048, "", 0, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "", 0, flag_values=FLAGS)
flags.DEFINE_integer("resolution", None, "", 1, flag_values=FLAGS)
flags.DEFINE_bool("kernel", False, "", FLAGS)
flags.DEFINE_integer("bootstrap", 0, "", 0, flag_values=FLAGS)
flags.DEFINE_bool("extrapolate", False, "", FLAGS)
flags.DEFINE_bool("motion_check", False, "", FLAGS)
flags.DEFINE_string("weights", "kinetics-scratch", "", FLAGS)
flags.DEFINE_bool("accept_licence", False, "", FLAGS)
flags.DEFINE_string("output", None, "", FLAGS)
flags.DEFINE_string("save_real", None, "", FLAGS)
flags.DEFINE_string("save_generated", None, "", FLAGS)
flags.DEFINE_integer("batch_size", None, "", 1, flag_values=FLAGS)
flags.DEFINE_enum("precision", None, ["float32", "bfloat16", "float16"], "", FLAGS)
flags.DEFINE_float("max_seconds", 4 * 3600, "", 1, flag_values=FLAGS)
flags.DEFINE_bool("json", False, "", FLAGS)


def main(arguments):
    """Prints the distance with its card; returns 0."""
    if len(arguments) != 2:
        raise UsageError("fvd takes two sides, REAL and GENERATED: folders, .npy, .npz or .pkl.")
    for side in arguments:  # before seconds go into starting Keras
        if not os.path.exists(side):
            raise ValueError(f"{side}: no such file or folder. A side is a folder, a .npy, a .npz or a .pkl.")
    start()
    from keras_i3d.frechet.fvd import fvd

    result = fvd(
        *arguments,
        protocol=FLAGS.protocol,
        frames=FLAGS.frames,
        videos=FLAGS.videos or None,
        seed=FLAGS.seed,
        weights=FLAGS.weights,
        accept_licence=FLAGS.accept_licence,
        stride=FLAGS.stride,
        resolution=FLAGS.resolution,
        all_protocols=FLAGS.all_protocols,
        kernel=FLAGS.kernel,
        bootstrap=FLAGS.bootstrap,
        extrapolate=FLAGS.extrapolate,
        motion_check=FLAGS.motion_check,
        save_real=FLAGS.save_real,
        save_generated=FLAGS.save_generated,
        output=FLAGS.output,
        batch_size=FLAGS.batch_size,
        precision=FLAGS.precision,
        max_seconds=FLAGS.max_seconds,
        progress=True,
    )
    print(json.dumps(result.record(), indent=2, allow_nan=False) if FLAGS.json else result)
    for path in filter(None, (FLAGS.output, FLAGS.save_real, FLAGS.save_generated)):
        print(f"written: {path}", file=sys.stderr)
    return 0
