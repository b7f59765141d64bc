"""Converts weights of a PyTorch, Caffe2 or MXNet code to Keras weights.

  python tools/convert_torch.py s3d-d76dad2f.pth weights/NAME.weights.h5

The network is found by the names and shapes in the file. No code of the file runs, whether PyTorch is installed or not.
The result loads with the network's builder, such as keras_i3d.S3D(weights="weights/NAME.weights.h5").
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags  # noqa: E402

_LABELS = flags.DEFINE_string("labels", None, "Name or file of the label list to note in the output.")


def main(argv):
    if len(argv) != 3:
        raise app.UsageError(f"two arguments: the file and the .weights.h5 to write. Received: {argv[1:]}")
    from keras_i3d.errors import KerasI3DError
    from keras_i3d.weights.conversion import convert_torch
    from keras_i3d.weights.download import sha256

    _, path, output = argv
    try:
        facts = convert_torch(path, output, _LABELS.value)
    except (KerasI3DError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{path}: {facts.source}")
    head = f"{facts.classes} classes" if facts.classes else "no head"
    print(f"{facts.family}, {facts.stream} stream, {head} -> {output}")
    print(f"sha256 {sha256(pathlib.Path(output))}")


if __name__ == "__main__":
    app.run(main)
