"""Inflates a 2D Inception V1 checkpoint (TF-Slim, ImageNet) to I3D weights, and checks the boring video.

  python tools/inflate_imagenet.py --checkpoint=DIR/inception_v1.ckpt --stream=rgb \
      --output=weights/imagenet_rgb.weights.h5
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags  # noqa: E402

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Prefix of the checkpoint.", required=True)
_STREAM = flags.DEFINE_enum("stream", "rgb", ["rgb", "flow"], "Which stream's weights to make.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write; ends in .weights.h5.", required=True)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"no arguments besides the flags. Received: {argv[1:]}")
    import keras_i3d
    from keras_i3d.weights.conversion import convert_inception_v1
    from keras_i3d.weights.download import sha256

    try:
        convert_inception_v1(_CHECKPOINT.value, _OUTPUT.value, _STREAM.value)
        model = keras_i3d.I3D(include_top=False, weights=_OUTPUT.value, stream=_STREAM.value)
        errors = keras_i3d.boring_video_error(model)
    except (keras_i3d.KerasI3DError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    print("Boring video, relative difference from the 2D network at the middle step:")
    for endpoint, error in errors.items():
        print(f"  {endpoint:18} {error:.2e}")
    print(f"{_STREAM.value} stream, no class layer -> {_OUTPUT.value}")
    print(f"sha256 {sha256(pathlib.Path(_OUTPUT.value))}")


if __name__ == "__main__":
    app.run(main)
