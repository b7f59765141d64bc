"""From checkpoints of other frameworks to I3D weights: Sonnet's I3D, and 2D Inception V1 inflated to 3D.

No model is built to read one: what comes of it must not depend on the caller's dtype policy, backend or strategy.
Weights travel as `{layer name: [arrays in Keras's order]}`: convolutions hold [kernel] or [kernel, bias],
batch norms [beta, moving mean, moving variance]. A name or shape without its counterpart is an error.
"""

import hashlib
import os
import re

import numpy as np

from keras_i3d import checkpoint_files, stored
from keras_i3d.messages import WeightsError, missing_package, notice
from keras_i3d.models.blocks import ClipCheck
from keras_i3d.models.inception import HEAD, LAYERS, layout

# What optimizers and averages leave in a checkpoint beside the model.
SLOTS = re.compile(r"/(Momentum|Adam(_1)?|RMSProp(_1)?|ExponentialMovingAverage)$|(^|/)(global_step|beta[12]_power)$")
SONNET_KINDS = {"conv_3d": ("w", "b"), "batch_norm": ("beta", "moving_mean", "moving_variance")}
SLIM_SUFFIXES = {
    "weights": "conv_3d/w",
    "biases": "conv_3d/b",
    "BatchNorm/beta": "batch_norm/beta",
    "BatchNorm/moving_mean": "batch_norm/moving_mean",
    "BatchNorm/moving_variance": "batch_norm/moving_variance",
}
FIRST_UNIT = LAYERS[0][0]


def checkpoint_prefix(path):
    """Returns the prefix of a TensorFlow checkpoint, also for the path of its `.index` or `.data-...` file."""
    return re.sub(r"\.(index|data-\d+-of-\d+)$", "", str(path))


def read_sonnet(prefix):
    """Reads an Inception I3D checkpoint, published or fine-tuned, as {layer name: arrays}.

    Both published layouts: variables under a scope such as `RGB/inception_i3d/` with (C,) batch norm,
    and the Kinetics-600 one with no scope, (1, 1, 1, 1, C) batch norm and optimizer slots, which are left out.

    Args:
        prefix: path of the checkpoint, without `.index` or `.data-...`.

    Raises:
        WeightsError: unreadable, not an I3D, or with variables that belong to no layer.
    """
    prefix = checkpoint_prefix(prefix)
    variables = _read_checkpoint(prefix)
    scopes = [name[: -len(f"{FIRST_UNIT}/conv_3d/w")] for name in variables if name.endswith(f"{FIRST_UNIT}/conv_3d/w")]
    if len(scopes) != 1:
        raise WeightsError(
            f"{prefix}: an Inception I3D checkpoint has one variable .../{FIRST_UNIT}/conv_3d/w; found {len(scopes)}. "
            + (f"Its first variables: {_listed(variables)}" if not scopes else f"Split it by scope: {_listed(scopes)}")
        )
    scope = scopes[0]
    weights, unmatched = {}, []
    for name, value in variables.items():
        unit, kind, variable = (name.removeprefix(scope).rsplit("/", 2) + ["", ""])[:3]
        if not name.startswith(scope) or variable not in SONNET_KINDS.get(kind, ()):
            unmatched.append(name)
            continue
        if kind == "batch_norm":
            value = value.reshape(-1) if value.size == max(value.shape) else value
        weights.setdefault(f"{unit}_{kind}".replace("/", "_"), {})[variable] = value
    if unmatched:
        raise WeightsError(f"{prefix}: {len(unmatched)} variables belong to no layer of I3D: {_listed(unmatched)}")
    return _in_keras_order(weights)


def read_inception_v1(prefix, channels=3):
    """Reads a TF-Slim Inception V1 checkpoint as I3D weights, each 2D kernel repeated over time.

    A kernel (h, w, in, out) becomes (t, h, w, in, out): t copies, each divided by t, so that a video of one
    repeated image gives what the image gave (arXiv 1705.07750, section 2.4.1). The class layer is skipped.

    For flow that is common practice and not described in the paper; a line says so.

    Args:
        prefix: path of the checkpoint; both of TensorFlow's formats.
        channels: 3 for RGB; for flow, 2: the first kernel is averaged over its input channels and repeated.

    Raises:
        WeightsError: unreadable, or any name or shape that is not Inception V1's.
    """
    shapes = layout(include_top=False)
    weights, unmatched = {}, []
    for name, value in _read_checkpoint(prefix).items():
        match = re.fullmatch(rf"InceptionV1/(.+?)/({'|'.join(SLIM_SUFFIXES)})", name)
        if match is None:
            unmatched.append(name)
            continue
        if match[1].startswith("Logits/"):
            continue
        unit = match[1].replace("Conv2d", "Conv3d").replace("/", "_")
        kind, variable = SLIM_SUFFIXES[match[2]].split("/")
        layer = f"{unit}_{kind}"
        if variable == "w":
            if layer not in shapes:
                unmatched.append(name)
                continue
            value = _inflate_kernel(value, shapes[layer][0][0])
        weights.setdefault(layer, {})[variable] = value
    if unmatched:
        raise WeightsError(f"{prefix}: {len(unmatched)} variables are not Inception V1's: {_listed(unmatched)}")
    weights = in_layout(_in_keras_order(weights), shapes, prefix)
    if channels != 3:
        notice(f"the first convolution is averaged over RGB and repeated for {channels} flow channels")
        first = weights[f"{FIRST_UNIT}_conv_3d"]
        first[0] = np.repeat(first[0].mean(axis=3, keepdims=True), channels, axis=3)
    return weights


def inflate(source, model):
    """Fills the body of an I3D with 2D ImageNet weights, inflated over time; the class layer stays as it is.

    For a flow model the first convolution is the RGB one averaged over its input channels and repeated, see
    `read_inception_v1`.

    Args:
        source: path prefix of a TF-Slim Inception V1 checkpoint (`inception_v1.ckpt`).
        model: a model made by `keras_i3d.I3D`, either stream, full width.

    Returns:
        `model`.

    Raises:
        WeightsError: the checkpoint is not Inception V1, or the model not a full-width I3D; the model is untouched.
        ValueError: a model of two streams.
    """
    if not hasattr(model.input, "shape"):
        raise ValueError("inflate takes one stream's model at a time. Received: a model of two streams")
    channels = model.input_shape[-1]
    weights = read_inception_v1(source, channels)
    assign(model, weights, source, skip={HEAD})
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
        ValueError: not a single-stream I3D, an image of other channels, or an unknown endpoint in `reference`.
    """
    import keras

    endpoints = [row[0] for row in LAYERS]
    if not {layer.name for layer in model.layers} >= set(endpoints):
        raise ValueError(f"A boring video needs a single-stream I3D. Received: {model.name}")
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


def layer_weights(model):
    """Returns {layer name: arrays} of a model; the layers of a nested model as `model/layer`."""
    return {name: [np.asarray(w) for w in layer.get_weights()] for name, layer in weighted_layers(model)}


def layer_shapes(model):
    """Returns {layer name: [shapes]} of a model, in the order of its layers."""
    return {name: [tuple(w.shape) for w in layer.weights] for name, layer in weighted_layers(model)}


def weighted_layers(model, path=""):
    """Yields (name, layer) for each layer with weights, those of nested models under `model/`."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from weighted_layers(layer, f"{path}{layer.name}/")
        elif layer.weights:
            yield path + layer.name, layer


def fingerprint(shapes):
    """Returns the sha256 of a model's layer names and weight shapes, in order.

    Keras loads `.weights.h5` by class and position: equal fingerprints are what makes that safe.
    """
    return hashlib.sha256(
        repr([(name, [tuple(s) for s in each]) for name, each in shapes.items()]).encode()
    ).hexdigest()


def check_match(weights, shapes, source, skip=()):
    """Raises WeightsError listing every layer of `weights` and of the model's `shapes` without its equal."""
    missing = [name for name in shapes if name not in weights and name not in skip]
    unknown = [name for name in weights if name not in shapes and name not in skip]
    differing = [
        f"{name} {[np.shape(w) for w in weights[name]]} where the model has {shape}"
        for name, shape in shapes.items()
        if name in weights and name not in skip and [tuple(np.shape(w)) for w in weights[name]] != shape
    ]
    complaints = [
        f"{len(names)} {what}: {_listed(names)}"
        for names, what in (
            (missing, "layers of the model are not in it"),
            (unknown, "of its layers are not in the model"),
            (differing, "layers differ in shape"),
        )
        if names
    ]
    if complaints:
        raise WeightsError(f"{source} does not belong to this model: {'; '.join(complaints)}.{_hint(weights, shapes)}")


def _hint(weights, shapes):
    """The remedy, where the way in which weights and model differ tells it."""
    nested = {name.partition("/")[0] for name in weights if "/" in name}
    if nested and not any("/" in name for name in shapes):
        return f" It holds models inside a model: save {' or '.join(sorted(nested))} alone, and pass that."
    if any("/" in name for name in shapes):
        return ' The model has two streams: pass weights={"rgb": ..., "flow": ...}, or a two-stream model\'s own file.'
    if set(weights) >= set(shapes) - {HEAD} and f"{FIRST_UNIT}_batch_norm" in weights:
        return " Layers of other widths: pass the depth_multiplier that it was built with."
    return " Pass a file that I3D's own layers were saved in, by their names."


def assign(model, weights, source, skip=()):
    """Sets a model's weights by layer name, all or none; layers in `skip` stay as they are."""
    check_match(weights, layer_shapes(model), source, skip)
    for name, layer in weighted_layers(model):
        if name not in skip:
            layer.set_weights(weights[name])


def in_layout(weights, shapes, source):
    """Returns the weights as float32, in the order of `shapes`, whose layers and shapes they must have."""
    check_match(weights, shapes, source)
    return {name: [np.asarray(array, "float32") for array in weights[name]] for name in shapes}


def _read_checkpoint(prefix):
    """Returns {name: array} of a TensorFlow checkpoint, without what optimizers left in it."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise missing_package("tensorflow", "tensorflow", "Reading a TensorFlow checkpoint") from error
    if os.path.isdir(prefix):  # TensorFlow would take the newest checkpoint in it, under a name that nobody gave
        found = sorted(name for name in os.listdir(prefix) if name.endswith(".index"))
        such = f": {os.path.join(prefix, checkpoint_prefix(found[0]))}" if found else "; there is none"
        raise WeightsError(f"{prefix} is a folder. Pass the prefix of a checkpoint in it{such}.")
    try:
        names = [name for name in checkpoint_files.check(str(prefix)) if not SLOTS.search(name)]
        reader = tf.train.load_checkpoint(str(prefix))
        return {name: reader.get_tensor(name) for name in names}
    except Exception as error:  # of a damaged file TensorFlow says so by a dozen of types, an IndexError among them
        raise WeightsError(f"{prefix}: not a readable TensorFlow checkpoint ({_reason(error, prefix)})") from error


def _reason(error, prefix):
    """One line on what is wrong with the files of a checkpoint."""
    folder, name = os.path.split(str(prefix))
    for other in sorted(os.listdir(folder or ".") if os.path.isdir(folder or ".") else ()):
        path = os.path.join(folder, other)
        if re.fullmatch(re.escape(name) + r"(\.index|\.data-\d+-of-\d+)?", other) and stored.is_pointer(path):
            return f"{other} is a pointer of Git LFS, not the file itself: run git lfs pull"
    said = str(error).strip().splitlines()
    if isinstance(error, IndexError):
        return "its data is shorter than its index says: copy it again"
    return said[0] if said else type(error).__name__


def _in_keras_order(weights):
    """{layer: {variable: array}} -> {layer: [arrays]}; a batch norm or convolution has all its parts or fails later."""
    order = [variable for kind in SONNET_KINDS.values() for variable in kind]
    return {layer: [parts[v] for v in order if v in parts] for layer, parts in weights.items()}


def _inflate_kernel(kernel, depth):
    return np.repeat(kernel[None] / np.asarray(depth, kernel.dtype), depth, axis=0)


def _flattened(arrays):
    """Kernels summed over time into their middle tap; all else as it is."""
    if arrays[0].ndim != 5:
        return arrays
    kernel = np.zeros_like(arrays[0])
    kernel[(len(kernel) - 1) // 2] = arrays[0].sum(axis=0)
    return [kernel, *arrays[1:]]


def _listed(names, most=6):
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
