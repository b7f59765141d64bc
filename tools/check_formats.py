"""Exports each network of the family in each format, narrow and with drawn weights, and prints a table: what works.

  pip install '.[openvino,onnx,litert]'
  python tools/check_formats.py [--networks=NAME,NAME] [--formats=openvino,onnx,litert] [--precision=bfloat16]
      [--depth_multiplier=1 --frames=16 --size=224]

A row has, for each format, the relative L2 of the logits from the plain float32 model's, as its runtime gives them in a
process of its own, or why there is no file. Full-sized networks have the same layers; narrow ones take seconds.
"""

import math
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402

_NETWORKS = flags.DEFINE_list("networks", [], "Rows of the family; by default all.")
_FORMATS = flags.DEFINE_list("formats", ["openvino", "onnx", "litert"], "Which formats.")
_PRECISION = flags.DEFINE_enum("precision", None, ["float32", "bfloat16"], "Of the file; by default float32.")
_WIDTH = flags.DEFINE_float("depth_multiplier", 0.125, "How wide the networks are.", 0.01)
_FRAMES = flags.DEFINE_integer("frames", 10, "Of a clip; more where a network takes no fewer.", 1)
_SIZE = flags.DEFINE_integer("size", 48, "Pixels of height and width; more where a network takes no fewer.", 1)

CLASSES = 5


def drawn(row, width, frames, size):
    """Returns a network of a row whose every layer matters to its logits, and its stream."""
    import keras
    import numpy as np

    from keras_i3d.specs import INPUT_CHANNELS

    stream = next(iter(row.clips))
    frames = max(row.min_frames + (stream != "rgb"), frames)
    shape = (frames, *(max(row.min_size, size),) * 2, INPUT_CHANNELS[stream])
    keras.utils.set_random_seed(0)
    model = row.build(input_shape=shape, classes=CLASSES, depth_multiplier=width)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        shape, kind = tuple(weight.shape), weight.name
        if kind in ("gamma", "moving_variance"):
            weight.assign(draw.uniform(0.5, 1.5, shape))
        elif len(shape) < 2:
            weight.assign(draw.normal(0, 0.1, shape))
        elif kind == "kernel":
            # What a softmax compares is kept small: it makes a digit of an answer of one of a large score.
            scale = 0.1 if any(part in weight.path for part in ("_theta_", "_phi_")) else 1
            weight.assign(draw.normal(0, scale * math.sqrt(2 / math.prod(shape[:-1])), shape))
    return model, stream, frames


def check(row, form, width, precision=None, frames=10, size=48):
    """Returns a cell of the table: the relative L2, or the line that says why there is none."""
    from keras_i3d import errors, export

    model, stream, frames = drawn(row, width, frames, size)
    with tempfile.TemporaryDirectory() as folder:
        settings = {stream: model, "labels": "none", "frames": frames, "precision": precision}
        try:
            made = export.runtime_file(pathlib.Path(folder) / "network", form, **settings)
        except (ValueError, errors.KerasI3DError) as error:
            return str(error)
    found = made.card["deviation"]
    agree = "" if found["top1_agrees"] == found["clips"] else f", first labels {found['top1_agrees']}/{found['clips']}"
    return f"{found['relative_l2']:.0e}{agree}"


def main(argv):
    del argv
    from keras_i3d.models import families

    forms = _FORMATS.value
    print(f"| network | {' | '.join(forms)} |\n|---|{'---|' * len(forms)}")
    settings = _WIDTH.value, _PRECISION.value, _FRAMES.value, _SIZE.value
    for name in _NETWORKS.value or families.FAMILIES:
        cells = (check(families.find(name), form, *settings) for form in forms)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    app.run(main)
