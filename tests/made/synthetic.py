"""Checkpoints with the original variable names and shapes and seeded values, as the goldens were made from."""

import functools
import pathlib
import re
import zlib

import numpy as np

SCOPES = {"rgb": "RGB/inception_i3d/", "flow": "Flow/inception_i3d/"}
VARIABLES = {"conv_3d": ("w", "b"), "batch_norm": ("beta", "moving_mean", "moving_variance")}


def weight(name, shape, seed):
    """The value of variable `name`: He-normal kernels, small offsets, variances in [0.5, 1.5)."""
    draw = np.random.RandomState(zlib.crc32(f"{seed}/{name}".encode()))
    if name.endswith(("/w", "/weights")):
        return (draw.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype("float32")
    if "variance" in name:
        return (0.5 + draw.rand(*shape)).astype("float32")
    return (0.1 * draw.standard_normal(shape)).astype("float32")


def clip(shape, seed):
    """A random clip or image, float32 in [-1, 1)."""
    return (np.random.RandomState(seed).rand(*shape) * 2 - 1).astype("float32")


@functools.lru_cache
def i3d_shapes(stream="rgb", classes=400, depth_multiplier=1.0):
    """{layer name: [shapes]} of an I3D."""
    from keras_i3d.weights.by_name import layer_shapes
    from made.tiny import i3d

    return layer_shapes(i3d(stream=stream, classes=classes, depth_multiplier=depth_multiplier))


def sonnet_shapes(layers, scope="RGB/inception_i3d/", kin600=False):
    """{original variable name: shape} of an I3D, in the layout of the K400 or of the Kinetics-600 checkpoint."""
    shapes = {}
    for layer, each in layers.items():
        block, branch, unit, kind = re.fullmatch(
            r"(?:(Mixed_..|Logits)_)?(?:(Branch_.)_)?(.+)_(conv_3d|batch_norm)", layer
        ).groups()
        for variable, shape in zip(VARIABLES[kind], each):
            if kin600 and kind == "batch_norm":
                shape = (1, 1, 1, 1, *shape)
            name = scope + "/".join(part for part in (block, branch, unit, kind, variable) if part)
            shapes[name] = shape
            if kin600 and not variable.startswith("moving"):
                shapes[f"{name}/Momentum"] = shape
    return shapes


def slim_shapes(layers):
    """{TF-Slim variable name: shape} of the 2D Inception V1 that an I3D inflates, its class layer left out."""
    names = {"conv_3d/w": "weights", **{f"batch_norm/{v}": f"BatchNorm/{v}" for v in VARIABLES["batch_norm"]}}
    shapes = {}
    for name, shape in sonnet_shapes(layers, scope="InceptionV1/").items():
        unit, kind, variable = name.rsplit("/", 2)
        if "/Logits" not in name:
            name = f"{unit.replace('Conv3d', 'Conv2d')}/{names[f'{kind}/{variable}']}"
            shapes[name] = tuple(shape[1:] if len(shape) == 5 else shape)
    return shapes


def write(shapes, seed, prefix):
    """Writes `prefix`.index and `prefix`.data-00000-of-00001, and returns `prefix` as a string."""
    return save({name: weight(name, shape, seed) for name, shape in shapes.items()}, prefix)


def save(values, prefix):
    """Writes a checkpoint of these {name: array}, and returns `prefix` as a string."""
    import tensorflow as tf

    pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(value) for value in values.values()],
    )
    return str(prefix)


def write_first_format(shapes, seed, path):
    """Writes `path` in TensorFlow's first checkpoint format, one file, with a global step."""
    import tensorflow as tf

    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        values = {name: weight(name, shape, seed) for name, shape in shapes.items()}
        values["global_step"] = np.int64(7)
        variables = [tf.compat.v1.get_variable(name, initializer=value) for name, value in values.items()]
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(variables, write_version=tf.compat.v1.train.SaverDef.V1)
        return saver.save(session, str(path), write_meta_graph=False)
