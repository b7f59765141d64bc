"""Files as a PyTorch code writes them, of an I3D as short as `tiny.shorten` left it."""

import numpy as np

from made import torch_writer

UNITS = ("Conv3d_1a_7x7", *(f"Mixed_3b.{branch}" for branch in ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")))


def write(path, classes):
    """Writes a file of piergiaj's names with drawn weights; returns its path."""
    from keras_i3d.models import families
    from keras_i3d.weights.originals import inceptions

    names = [f"{unit}.conv3d.weight" for unit in UNITS] + ["logits.conv3d.weight", "logits.conv3d.bias"]
    names += [f"{unit}.bn.{weight}" for unit in UNITS for weight in ("bias", "running_mean", "running_var")]
    shapes = families.find("I3D").variables(classes=classes)
    draw, tensors = np.random.default_rng(0), {}
    for name in names:
        shape = shapes[inceptions.piergiaj(name)]
        shape = (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape
        tensors[name] = torch_writer.tensor(draw.uniform(0.1, 1, shape).astype("float32") / np.prod(shape[1:]))
    path.write_bytes(torch_writer.zipped(tensors))
    return path
