"""The models by name, with weights, as keras.applications offers its own."""

import numbers

import numpy as np

from keras_i3d import builders, facts
from keras_i3d.builders import builder
from keras_i3d.models.two_stream import fuse
from keras_i3d.specs import CHANNELS
from keras_i3d.weights import registry, sources
from keras_i3d.weights.labels import read_labels


@builder("I3D", weights="kinetics")
def I3D():
    """Inception-V1 I3D (Carreira & Zisserman 2017, arXiv 1705.07750), for RGB or optical flow.

    The graph is DeepMind's: SAME padding, batch norm without scale, a 2 x 7 x 7 average pool, logits
    averaged over time, softmax after the average. Each published endpoint, `Conv3d_1a_7x7` to `Logits`
    and `Predictions`, is a layer of that name: `model.get_layer("Mixed_4f").output`. Under a mixed
    precision policy the head, from the average pool on, stays in float32.

    Of the published weights "kinetics" is ImageNet, then Kinetics-400; "kinetics600" is RGB only; "imagenet" is
    Inception V1 inflated to 3D, the head new. The paper drops a share of 0.5 in training.
    """


@builder("S3D")
def S3D():
    """S3D (Xie et al. 2018, arXiv 1712.04851) in the form of torchvision.

    It is I3D with convolutions parted into space and time. It has 8,320,048 trainable parameters at 400 classes,
    two thirds of I3D's, and takes 13 frames or more (5 without the top). Its endpoints have the names of I3D's.
    torchvision drops a share of 0.2 in training.
    """


def TwoStreamI3D(
    weights="kinetics",
    classes=None,
    input_shape=None,
    classifier_activation=builders.OWN,
    dropout=0.0,
    depth_multiplier=None,
    bn_momentum=0.999,
    name=None,
):
    """Both I3D streams in one model; their logits are summed before the softmax, as in the released code.

    Args:
        weights: a name as for `I3D`, published for both streams; None; the path of a saved two-stream model; or
            `{"rgb": ..., "flow": ...}` with a name, a path or None each.
        input_shape: (T, H, W), the same for both streams; by default (None, 224, 224).
        classes, classifier_activation, dropout, depth_multiplier, bn_momentum, name: as for `I3D`.

    Returns:
        A functional model from `{"rgb": (B, T, H, W, 3), "flow": (B, T, H, W, 2)}`, float32 in [-1, 1], to
        float32 (B, classes). The two streams may have different T. `get_layer("rgb_stream")` and
        `get_layer("flow_stream")` are the streams, each ending in its logits.
    """
    if input_shape is not None and len(input_shape) != 3:
        raise ValueError(
            f"TwoStreamI3D takes input_shape=(time, height, width), without channels. Received: {tuple(input_shape)}"
        )
    shapes = {s: None if input_shape is None else (*input_shape, c) for s, c in CHANNELS.items()}
    by_stream = dict.fromkeys(CHANNELS, weights)
    whole = None
    if isinstance(weights, dict):
        if set(weights) != set(CHANNELS):
            raise ValueError(
                f'weights={{"rgb": ..., "flow": ...}} names both streams. Received keys: {sorted(weights)}'
            )
        by_stream = weights
    elif weights is not None and not registry.is_name(weights):
        whole = sources.find(weights, "rgb")
        by_stream = dict.fromkeys(CHANNELS)
        classes = builders.size(classes, whole)
        depth_multiplier = builders.width(depth_multiplier, whole)
    settings = {"dropout": dropout, "depth_multiplier": depth_multiplier, "bn_momentum": bn_momentum}
    for stream, name_or_path in by_stream.items():  # every name is checked before the first download
        if registry.is_name(name_or_path):
            builders.found(name_or_path, stream, depth_multiplier)
    rgb, flow = (
        I3D(weights=by_stream[s], input_shape=shapes[s], stream=s, classes=classes, **settings) for s in CHANNELS
    )
    if classifier_activation == builders.OWN:
        own = {facts.activation(stream) for stream in (rgb, flow)}
        own = {builders.activation(builders.OWN, whole)} if whole else own
        if len(own) > 1:
            raise ValueError(f"Both streams must end in one activation. Received: {' and '.join(sorted(own))}")
        (classifier_activation,) = own
    model = fuse(rgb, flow, classifier_activation, name)
    if whole is not None:
        sources.load(model, whole)
    return model


def decode_predictions(preds, top=5, labels="kinetics400"):
    """Names the most probable classes of each clip, as keras.applications does.

    Args:
        preds: float (B, classes), the output of a model.
        top: how many to name.
        labels: "kinetics400", "kinetics600" (fetched with the weights, then cached), the path of a text file
            with a name a line, or a sequence of names.

    Returns:
        For each clip a list of (class index, label, score), best first.

    Raises:
        ValueError: `preds` is not (B, classes) with as many classes as labels, or not finite; `top` below 1.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2:
        raise ValueError(f"preds must be (batch, classes). Received: shape {preds.shape}")
    if not np.isfinite(preds).all():
        raise ValueError("preds must be finite. Received: NaN or infinity. Check the weights and the precision.")
    check_top(top)
    published = registry.LABELS.get(labels) if isinstance(labels, str) else None  # how many, before it is fetched
    names = None if published else read_labels(labels)
    count = published.classes if published else len(names)
    if preds.shape[1] != count:
        raise ValueError(f"{count} labels for {preds.shape[1]} classes. Pass labels= for this model's own classes.")
    names = names or read_labels(labels)
    return [[(int(i), names[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top]] for row in preds]


def check_top(top):
    """Raises ValueError unless `top` is a whole number of at least 1."""
    if isinstance(top, bool) or not isinstance(top, numbers.Integral) or top < 1:
        raise ValueError(f"top is how many classes to name, at least 1. Received: top={top!r}")
