"""What every verb takes as the weights of a stream, and what comes with them: the labels, and what a clip is."""

import keras

from keras_i3d import runs
from keras_i3d import weights as weights_lib
from keras_i3d.applications import I3D
from keras_i3d.messages import notice
from keras_i3d.models.inception import HEAD
from keras_i3d.specs import CHANNELS, CLIPS, CROP

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def load(weights, stream, precision, attempts):
    """Loads one stream.

    Args:
        weights: what `I3D(weights=)` takes, the folder of a training run, or a model of that stream.
        stream: "rgb" or "flow".
        precision: a key of PRECISIONS; None for what a run was trained in, and float32 for all else.
        attempts: connections to try where weights have to be fetched.

    Returns:
        The model, the name or list of the labels that its weights bring (or None), and the ClipSpec of what it takes.

    Raises:
        ValueError: another stream's run or model, or weights that are not there.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
    """
    if isinstance(weights, keras.Model):
        return _check_model(weights, stream, precision), None, CLIPS[stream]
    if runs.is_run(weights):
        run = runs.read(weights)
        if run.stream != stream:
            raise ValueError(
                f"{weights} is a run of the {run.stream} stream. Received: {stream}_weights={str(weights)!r}"
            )
        model = runs.load_model(weights, precision=precision and PRECISIONS[precision])
        return model, list(run.labels), run.clip
    source = weights_lib.find(weights, stream, attempts) if weights is not None else None
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[precision or "float32"])
    try:
        model = I3D(weights=None, stream=stream, classes=source.classes if source else None)
    finally:
        keras.config.set_dtype_policy(policy)
    if source is not None:
        weights_lib.load(model, source)
    return model, source and source.labels, (source and source.clip) or CLIPS[stream]


def flow_method(wanted, clip):
    """The method to compute flow by; a line where it is not what the weights were trained on."""
    if wanted not in (None, clip.flow_method) and {wanted, clip.flow_method} != {"tvl1", "opencv"}:
        notice(f"flow by {wanted}; the weights were trained on {clip.flow_method}")
    return wanted or clip.flow_method


def _check_model(model, stream, precision):
    """Returns a model that was given in place of weights, or raises what is wrong with it."""
    names = {layer.name for layer in model.layers}
    if not {HEAD, "Logits"} <= names:
        raise ValueError(
            f"A model given as {stream}_weights is one that I3D made, with its top. Received: {model.name}"
        )
    _, frames, *size, channels = model.input_shape
    if channels != CHANNELS[stream]:
        raise ValueError(f"The {stream} stream has {CHANNELS[stream]} channels. Received: a model for {channels}")
    if frames is not None or any(side not in (None, CROP) for side in size):
        raise ValueError(
            f"Videos have any length and a crop of {CROP} x {CROP}. Received: a model for {model.input_shape[1:]}. "
            "Save its weights and pass their path."
        )
    if precision is not None:
        raise ValueError(f"precision is for weights by name or path. Received: precision={precision!r} and a model")
    return model


def label_list(labels, own, classes, attempts):
    """Returns the names of the classes.

    Args:
        labels: "kinetics400", "kinetics600", a file with a name a line, a list of names, "none" for class indices, or
            None for those that belong to the weights.
        own: {stream: what `load` gave as its labels}.
        classes: how many there must be.
        attempts: connections to try where the list has to be fetched.
    """
    if labels is None and any(own.values()):
        labels = one_value({s: names if isinstance(names, str) else tuple(names) for s, names in own.items() if names})
    if labels is None or labels == "none":
        if labels is None:
            notice("the weights bring no label list, so class indices are shown; pass labels= to name them")
        return [str(i) for i in range(classes)]
    names = weights_lib.read_labels(labels, attempts)
    if len(names) != classes:
        raise ValueError(f"{len(names)} labels for {classes} classes. Pass the list that belongs to the weights.")
    return names


def one_value(by_stream):
    """Returns the value that all streams have of a fact about their classes, or raises ValueError."""
    values = set(by_stream.values())
    if len(values) > 1:
        raise ValueError(f"The streams must be trained on the same classes. Received: {by_stream}")
    return values.pop()
