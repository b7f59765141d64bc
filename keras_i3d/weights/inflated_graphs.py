"""2D networks that Keras or PyTorch made, inflated over time: ResNets into I3D-ResNets, and any plain graph into 3D.

A kernel (h, w, in, out) becomes (t, h, w, in, out): t copies, each divided by t. A video of one repeated image then
gives at each step what the image gave, away from the first and last frames, where zero padding shows
(arXiv 1705.07750, section 2.4.1). Padding in space has to be that of the 2D network for this.

| 2D network | goes into I3D-ResNets of | which then take |
|---|---|---|
| keras.applications' ResNet50, ResNet101 | variant="keras" | RGB levels minus a mean, see below |
| torchvision's and gluon-cv's (v1b) ResNet-50, -101 | all others | RGB by ImageNet's mean and deviation |

keras.applications strides a block in its first 1 x 1 convolution, the others in that of 3 x 3. Its convolutions have
biases before batch norm: each is taken off the moving mean, which computes the same. Its `preprocess_input` gives BGR
minus (103.939, 116.779, 123.68), without dividing. The first kernel's channels are reversed here, so that the 3D
network takes RGB minus the same mean, as its row's ClipSpec says. A network that is fed otherwise has to adapt.
"""

import functools
import re

import keras
import numpy as np

from keras_i3d.errors import WeightsError
from keras_i3d.models import families
from keras_i3d.weights.by_name import listed
from keras_i3d.weights.originals.deepmind import inflated_kernel
from keras_i3d.weights.originals.resnets import TUSHAR_N

UNITS = {"0": "branch1", "1": "branch2a", "2": "branch2b", "3": "branch2c"}  # of a block, by keras.applications' number


def imagenet(family):
    """Returns what `read_resnet` makes of ImageNet's weights for a row that takes keras.applications' ResNets.

    Keras downloads them.
    """
    network = getattr(keras.applications, f"ResNet{family.inflated_from.depth}")
    return read_resnet(network(weights="imagenet", include_top=False), family)


def read_resnet(source, family):
    """Inflates a 2D ResNet: a keras.Model of `keras.applications`, or {name: array} of torchvision's or gluon-cv's."""
    if isinstance(source, keras.Model):
        return read_keras_resnet(source, family)
    return read_torch_resnet(source, family, "the 2D network")


def read_keras_resnet(model, family):
    """Inflates `keras.applications.ResNet50` or `ResNet101`, with its top or without.

    Args:
        model: the 2D keras.Model, built with weights="imagenet" or trained since.
        family: the row that it is to become.

    Returns:
        {layer: arrays} of the row's body but for non-local blocks.

    Raises:
        WeightsError: a row that is strided otherwise, or names or shapes that are not the 2D network's.
    """
    _check_strided(family, True, f"keras.applications' {model.name}")
    variables, unmatched = {}, []
    for layer in model.layers:
        if not layer.weights or layer.name == "predictions":
            continue
        at = _place_of_keras(layer.name)
        if at is None:
            unmatched.append(layer.name)
            continue
        variables |= {(at, weight.name): np.asarray(weight) for weight in layer.weights}
    if unmatched:
        raise WeightsError(f"{model.name} is no ResNet of keras.applications: {listed(unmatched)}")
    first = (family.first, "kernel")
    if first in variables and np.ndim(variables[first]) == 4:
        variables[first] = variables[first][:, :, ::-1]  # BGR to RGB
    for layer, weight in [*variables]:
        if weight == "bias":
            norm = (layer.replace("_conv_3d", "_batch_norm"), "moving_mean")
            variables[norm] = variables.get(norm, 0) - variables.pop((layer, weight))
    return _in_3d(variables, family, model.name)


def _place_of_keras(name):
    match = re.fullmatch(r"conv1_(conv|bn)|conv(\d)_block(\d+)_([0-3])_(conv|bn)", name)
    if match is None:
        return None
    stem, stage, block, unit, kind = match.groups()
    unit = "conv1" if stem else f"res{stage}_{int(block) - 1}_{UNITS[unit]}"
    return f"{unit}_{'batch_norm' if (stem or kind) == 'bn' else 'conv_3d'}"


def read_torch_resnet(arrays, family, source):
    """Inflates a 2D ResNet of torchvision's or gluon-cv's names, as gluon-cv does itself; its class layer is left out.

    Args:
        arrays: {"layer1.0.conv1.weight": (out, in, h, w) and so on}.
        family: the row that it is to become.
        source: what to call it.

    Returns:
        {layer: arrays} of the row's body but for non-local blocks.

    Raises:
        WeightsError: a row that is strided otherwise, or names or shapes that are not the 2D network's.
    """
    _check_strided(family, False, source)
    depth = family.inflated_from.depth
    place = functools.partial(TUSHAR_N.place, depth, 0)
    variables, unmatched = {}, []
    for name, array in arrays.items():
        if re.fullmatch(TUSHAR_N.beside, name):
            continue
        at = place(name)
        if at is None:
            unmatched.append(name)
        elif at[0] != family.head:
            array = np.asarray(array)
            variables[at] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    if unmatched:
        raise WeightsError(f"{source} is no ResNet-{depth}, which has no {listed(unmatched)}")
    return _in_3d(variables, family, source)


def _check_strided(family, first, source):
    """Raises WeightsError unless a row takes 2D ResNets, strided in a block's first convolution or elsewhere."""
    rows = [row for row in families.FAMILIES.values() if row.inflated_from and row.inflated_from.depth]
    if family.name not in [row.name for row in rows]:
        takers = dict.fromkeys(row.of for row in rows)
        raise WeightsError(f"{source} goes into {' or '.join(takers)}. Received: {family.name}")
    if family.inflated_from.strided_first != first:
        alike = next(row for row in rows if row.of == family.of and row.inflated_from.strided_first == first)
        options = ", ".join(f"{name}={value!r}" for name, value in alike.options.items())
        raise WeightsError(
            f"{source} is strided in the {'1 x 1' if first else '3 x 3'} convolution of a block, {family.name} is not. "
            f"Build one that is, as {family.of}({options})."
        )


def _in_3d(variables, family, source):
    """{(layer, weight): 2D array} -> {layer: [3D arrays]}; a weight that is left over on either side is an error."""
    shapes = {at: shape for at, shape in family.variables(include_top=False).items() if "_nonlocal_" not in at[0]}
    wrong = sorted({"/".join(at) for at in {*shapes} ^ {*variables}})
    if wrong:
        raise WeightsError(f"{source} is not the 2D network of {family.name}, which differ in {listed(wrong)}")
    weights = {}
    for at, shape in shapes.items():
        array = np.asarray(variables[at], "float32")
        array = inflated_kernel(array, shape[0]) if array.ndim == 4 else array
        if array.shape != tuple(shape):
            raise WeightsError(f"{source}: {'/'.join(at)} inflated is {array.shape} where {family.name} has {shape}")
        weights.setdefault(at[0], []).append(array)
    return weights


# Any graph.

# 2D layers and their 3D counterparts; what each number of two sides becomes is in `_over_time`.
COUNTERPARTS = {
    "Conv2D": keras.layers.Conv3D,
    "MaxPooling2D": keras.layers.MaxPooling3D,
    "AveragePooling2D": keras.layers.AveragePooling3D,
    "GlobalAveragePooling2D": keras.layers.GlobalAveragePooling3D,
    "GlobalMaxPooling2D": keras.layers.GlobalMaxPooling3D,
    "ZeroPadding2D": keras.layers.ZeroPadding3D,
    "Cropping2D": keras.layers.Cropping3D,
    "UpSampling2D": keras.layers.UpSampling3D,
    "SpatialDropout2D": keras.layers.SpatialDropout3D,
}
# Layers that are the same over a further axis; those with an axis have it counted from the end.
SAME = {
    "Activation", "Add", "Average", "BatchNormalization", "Concatenate", "Dropout", "ELU", "LeakyReLU", "Maximum",
    "Minimum", "Multiply", "ReLU", "Rescaling", "Softmax", "Subtract",
}  # fmt: skip


def inflate_graph(model, kernel_frames=3):
    """Makes a 3D network of a 2D one: `keras.applications.VGG16(include_top=False)` and the like.

    A convolution of more than one position becomes one over `kernel_frames` frames too, padded in time with zeros, so
    that a clip keeps its length; pools stay within a frame. Layers keep their names. What the 3D network takes is what
    the 2D one takes: VGG16's `preprocess_input`, BGR minus a mean, frame by frame.

    At the middle step of a video of one repeated image it computes what the 2D network does on the image, if the video
    is as long as the receptive field: 1 + (kernel_frames - 1) frames a convolution of more than one position.

    Args:
        model: a functional keras.Model of channels-last images, without its top if that flattens a map.
        kernel_frames: an odd number, 1 or more.

    Returns:
        A functional keras.Model: float32 (B, T, H, W, C) to (B, T, H', W', C'), or to what a global pool at its end
        gives: the mean or the maximum over time too.

    Raises:
        ValueError: a layer without counterpart, or arguments that are none of the above; all such layers are listed.
    """
    functional = isinstance(model, keras.Model) and not isinstance(model, keras.Sequential)
    if not functional or len(getattr(model, "inputs", None) or ()) != 1 or len(model.inputs[0].shape) != 4:
        raise ValueError(f"inflate_graph takes a functional keras.Model of one image. Received: {model!r}")
    if kernel_frames < 1 or kernel_frames % 2 == 0:
        raise ValueError(f"kernel_frames must be odd and at least 1. Received: kernel_frames={kernel_frames!r}")
    without = [layer for layer in model.layers if not _has_counterpart(layer)]
    if without:
        described = listed(f"{layer.name} ({type(layer).__name__})" for layer in without)
        flat = any(type(layer).__name__ in ("Flatten", "Reshape", "Dense") for layer in without)
        remedy = " Build the 2D network with include_top=False." if flat else ""
        raise ValueError(f"Every layer needs a counterpart in 3D. Received: {described}.{remedy}")
    padding, copies = {}, []

    def copy(layer):
        config = _over_time(layer, kernel_frames)
        if type(layer).__name__ == "Conv2D" and layer.padding == "valid" and config["kernel_size"][0] > 1:
            sides = ((config["kernel_size"][0] // 2,) * 2, (0, 0), (0, 0))
            padding[layer.name] = keras.layers.ZeroPadding3D(sides, name=f"{layer.name}_pad_time")
        copies.append((layer, COUNTERPARTS.get(type(layer).__name__, type(layer)).from_config(config)))
        return copies[-1][1]

    def call(layer, x, *args, **kwargs):
        return layer(padding[layer.name](x) if layer.name in padding else x, *args, **kwargs)

    image = model.inputs[0]
    name = next(layer.name for layer in model.layers if isinstance(layer, keras.layers.InputLayer))
    clip = keras.Input((None, *image.shape[1:]), name=name, dtype=image.dtype)
    inflated = keras.models.clone_model(model, clip, clone_function=copy, call_function=call)
    for layer, new in copies:
        weights = [inflated_kernel(w, new.kernel_size[0]) if w.ndim == 4 else w for w in layer.get_weights()]
        new.set_weights(weights)
    return inflated


def _has_counterpart(layer):
    name = type(layer).__name__
    if name == "Dense":
        return len(layer.input.shape) == 2  # of pooled features
    if name in COUNTERPARTS:
        return getattr(layer, "data_format", "channels_last") == "channels_last"
    axis = getattr(layer, "axis", -1)
    return name == "InputLayer" or (name in SAME and axis in (-1, len(layer.output.shape) - 1))


def _over_time(layer, kernel_frames):
    """The configuration of a layer's counterpart in 3D."""
    config = layer.get_config()
    if isinstance(config.get("axis"), int):
        config["axis"] = -1
    name = type(layer).__name__
    for key in ("kernel_size", "strides", "dilation_rate", "pool_size", "size"):
        if name in COUNTERPARTS and key in config:
            config[key] = (1, *config[key])
    if name == "Conv2D" and max(layer.kernel_size) > 1:
        config["kernel_size"] = (kernel_frames, *layer.kernel_size)
    for key in ("padding", "cropping"):
        if name in ("ZeroPadding2D", "Cropping2D") and key in config:
            config[key] = ((0, 0), *config[key])
    return config
