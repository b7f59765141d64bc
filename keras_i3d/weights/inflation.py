"""2D ImageNet weights inflated over time, and the proof that a still video gives what the image gave."""

import collections.abc

import keras
import numpy as np

from keras_i3d.errors import WeightsError
from keras_i3d.models import families
from keras_i3d.models.blocks import ClipCheck
from keras_i3d.models.inception import INCEPTION_V1
from keras_i3d.weights import inflated_graphs
from keras_i3d.weights.by_name import assign, layer_shapes, layer_weights
from keras_i3d.weights.originals.deepmind import read_inception_v1


def inflate(source, model):
    """Fills the body of a network with 2D ImageNet weights, inflated over time; the class layer stays as it is.

    An I3D takes Inception V1, as does any network of the same blocks, once or twice, such as the 2D ones, whose kernels
    are those of the checkpoint. An `I3DResNet50` or `I3DResNet101` takes a 2D ResNet: `keras-i3d models NAME` says
    which. Layers that the 2D network does not have, as non-local blocks, stay as they are. For a flow model the first
    convolution is the RGB one averaged over its input channels and repeated, see `read_inception_v1`.

    Args:
        source: path prefix of a TF-Slim Inception V1 checkpoint (`inception_v1.ckpt`); for an I3D-ResNet, a
            `keras.applications.ResNet50(weights="imagenet")` or `ResNet101`, or the arrays of torchvision's or
            gluon-cv's as {name: array}.
        model: a model of one tensor that this package made, full width.

    Returns:
        `model`.

    Raises:
        WeightsError: the source is none of these, or the model not one that takes it; the model is untouched.
        ValueError: a model of two streams, or of somebody else's.
    """
    if not hasattr(model.input, "shape"):
        raise ValueError("inflate takes one stream's model at a time. Received: a model of two streams")
    family = families.of(model)
    if family is None:
        raise ValueError(f"inflate fills a model that this package made. Received: {model.name}")
    if isinstance(source, keras.Model | collections.abc.Mapping):
        weights = inflated_graphs.read_resnet(source, family)
        new = {name for name in layer_shapes(model) if name not in weights}
        assign(model, weights, "the 2D network", skip=new)
        return model
    if family.inflated_from != INCEPTION_V1:
        raise WeightsError(f"{source} holds Inception V1, whose blocks {family.name} lacks")
    weights = read_inception_v1(source, model.input_shape[-1], family.name)
    beyond = set(family.layout(include_top=False)) - set(weights)  # of the body, what Inception V1 does not have
    assign(model, weights, source, skip={family.head, *beyond})
    return model


def boring_video_error(model, image=None, frames=104, reference=None):
    """Measures how far a video of one repeated image is from the 2D network on that image.

    An inflated network computes the same thing at every time step of such a "boring video"
    (arXiv 1705.07750, section 2.4.1), away from the first and last frames, where zero padding shows.
    The middle step of each endpoint is compared; with 104 frames its receptive field, 99 frames at
    Mixed_5c, lies inside the video.

    Args:
        model: an I3D.
        image: float32 (H, W, C) in [-1, 1]; by default random values, 224 x 224.
        frames: length of the boring video.
        reference: {endpoint: float32 (h, w, C)}, what the 2D network computes; by default the model's own
            2D counterpart, with kernels summed over time.

    Returns:
        {endpoint: relative L2 difference}, for Conv3d_1a_7x7 to Mixed_5c, or for those in `reference`.

    Raises:
        ValueError: a model of somebody else's or of two streams, one through which no single frame passes
            without `reference`, an image of other channels, or an unknown endpoint in `reference`.
    """
    family = families.of(model)
    if family is None:
        raise ValueError(f"A boring video needs a model of one stream that this package made. Received: {model.name}")
    if reference is None and family.steps(1) < 1:
        raise ValueError(
            f"A network gives its own 2D counterpart if one frame passes through it. Received: {family.name}. Pass "
            "reference=, what the 2D network computes."
        )
    endpoints = [name for name in family.endpoints if name not in (family.logits, family.predictions)]
    if reference is not None:
        unknown = set(reference) - set(endpoints)
        if unknown or not reference:
            raise ValueError(f"reference has endpoints from {endpoints}. Received: {sorted(unknown)}")
        endpoints = [name for name in endpoints if name in reference]
    channels = model.input_shape[-1]
    if image is None:
        image = np.random.default_rng(0).uniform(-1, 1, (224, 224, channels)).astype("float32")
    if np.ndim(image) != 3 or np.shape(image)[-1] != channels:
        raise ValueError(f"image must be (height, width, {channels}). Received: shape {np.shape(image)}")

    def any_length(layer):
        return ClipCheck(1, 1) if isinstance(layer, ClipCheck) else layer.__class__.from_config(layer.get_config())

    body = keras.Model(model.input, {name: model.get_layer(name).output for name in endpoints})
    body = keras.models.clone_model(body, keras.Input((None, None, None, channels)), any_length)
    wanted = layer_shapes(body)
    weights = {name: arrays for name, arrays in layer_weights(model).items() if name in wanted}
    assign(body, weights, model.name)
    video = body.predict_on_batch(np.broadcast_to(image, (1, frames, *image.shape)))
    if reference is None:
        # On a single frame, SAME padding leaves only the middle tap of each kernel to act.
        assign(body, {name: _flattened(values) for name, values in weights.items()}, model.name)
        still = body.predict_on_batch(image[None, None])
        reference = {name: value[0, 0] for name, value in still.items()}
    errors = {}
    for name in endpoints:
        middle = video[name][0, video[name].shape[1] // 2]
        errors[name] = float(np.linalg.norm(middle - reference[name]) / np.linalg.norm(reference[name]))
    return errors


def _flattened(arrays):
    """Kernels summed over time into their middle tap; all else as it is."""
    if arrays[0].ndim != 5:
        return arrays
    kernel = np.zeros_like(arrays[0])
    kernel[(len(kernel) - 1) // 2] = arrays[0].sum(axis=0)
    return [kernel, *arrays[1:]]
