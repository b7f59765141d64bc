"""Converts an Inception I3D checkpoint of the original TensorFlow code to Keras weights.

  python tools/convert_sonnet.py --checkpoint=DIR/model.ckpt --output=weights/NAME.weights.h5

The checkpoint may be published or fine-tuned; the tool says which published one it was given. The result
loads with keras_i3d.I3D(weights="weights/NAME.weights.h5").
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags  # noqa: E402

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Prefix of the checkpoint, without .index.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write; ends in .weights.h5.", required=True)
_LABELS = flags.DEFINE_string("labels", None, "Name or file of the label list to note in the output.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"no arguments besides the flags. Received: {argv[1:]}")
    from keras_i3d.errors import KerasI3DError
    from keras_i3d.weights.conversion import convert_sonnet
    from keras_i3d.weights.download import sha256

    try:
        facts = convert_sonnet(_CHECKPOINT.value, _OUTPUT.value, _LABELS.value)
    except (KerasI3DError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{_CHECKPOINT.value}: {facts.source}")
    print(f"{facts.stream} stream, {facts.classes} classes -> {_OUTPUT.value}")
    print(f"sha256 {sha256(pathlib.Path(_OUTPUT.value))}")


if __name__ == "__main__":
    app.run(main)
