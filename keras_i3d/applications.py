"""The models by name, with weights, as keras.applications offers its own."""

import numbers

import numpy as np

from keras_i3d import facts, runs
from keras_i3d.errors import notice
from keras_i3d.models import families
from keras_i3d.models.two_stream import fuse
from keras_i3d.specs import CHANNELS, check_stream
from keras_i3d.weights import download, registry, sources
from keras_i3d.weights.labels import read_labels

OWN = "own"  # an activation: what the weights were trained with


def I3D(
    include_top=True,
    weights="kinetics",
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=None,
    classifier_activation=OWN,
    dropout=0.0,
    depth_multiplier=None,
    bn_momentum=0.999,
    name=None,
):
    """Inception-V1 I3D (Carreira & Zisserman 2017, arXiv 1705.07750), for RGB or optical flow.

    The graph is DeepMind's: SAME padding, batch norm without scale, a 2 x 7 x 7 average pool, logits
    averaged over time, softmax after the average. Each published endpoint, `Conv3d_1a_7x7` to `Logits`
    and `Predictions`, is a layer of that name: `model.get_layer("Mixed_4f").output`. Under a mixed
    precision policy the head, from the average pool on, stays in float32.

    Args:
        include_top: whether to end in the classification head.
        weights: "kinetics" (ImageNet, then Kinetics-400), "kinetics-scratch", "kinetics600" (RGB only),
            "imagenet" (Inception V1 inflated to 3D, the head new), None (fresh), or a path: `.weights.h5`,
            `.keras`, the prefix of a TensorFlow checkpoint in the original layout, or the folder of a training
            run. Published weights are downloaded, verified and converted at first use, and cached in
            `$KERAS_HOME/keras_i3d`.
        input_shape: (T, H, W, C); by default (None, 224, 224, 3), or 2 channels for flow. Any height and
            width from 32, any length from 9 frames (from 1 without the top); None for what is not fixed.
        stream: "rgb" or "flow".
        pooling: with include_top=False: None returns (B, T', H', W', 1024), "avg" and "max" pool it to
            (B, 1024) in float32.
        classes: size of the head. None takes the weights' own (400 without weights). Any other number with
            pretrained weights loads the body and draws a new head, and a line says so.
        classifier_activation: applied to the averaged logits; None returns the logits. "own" takes what the weights
            were trained with, and "softmax" if they do not say.
        dropout: the share dropped before the last convolution in training (the paper keeps 0.5).
        depth_multiplier: scales every layer's width, at least 8; below 1 for experiments without weights. None takes
            the weights' own, and 1 without weights.
        bn_momentum: momentum of the moving statistics. The original's 0.999 suits 100,000 steps; in a run of a few
            hundred they would never arrive: use 0.9.
        name: the model's name.

    Returns:
        A functional `keras.Model`: float32 (B, T, H, W, C) in [-1, 1] to float32 (B, classes).

    Raises:
        ValueError: an argument out of its range.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
    """
    return build(
        "I3D",
        include_top,
        weights,
        input_shape,
        stream,
        pooling,
        classes,
        classifier_activation,
        dropout,
        depth_multiplier,
        bn_momentum,
        name,
    )


def build(
    family,
    include_top=True,
    weights=None,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=None,
    classifier_activation=OWN,
    dropout=0.0,
    depth_multiplier=None,
    bn_momentum=0.999,
    name=None,
):
    """Builds a network by its name, with weights; the other arguments are those of `I3D`.

    Args:
        family: a key of `models.families.FAMILIES`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: no network of that name, or an argument out of its range.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched, or of another network.
    """
    check_stream(stream)
    row = families.find(family)
    source = _find(weights, stream, depth_multiplier)
    model = row.build(
        include_top=include_top,
        input_shape=input_shape,
        stream=stream,
        pooling=pooling,
        classes=_classes(classes, source),
        classifier_activation=_activation(classifier_activation, source),
        dropout=dropout,
        depth_multiplier=_width(depth_multiplier, source),
        bn_momentum=bn_momentum,
        name=name,
    )
    if source is not None:
        sources.load(model, source)
    return model


def S3D(
    include_top=True,
    weights=None,
    input_shape=None,
    stream="rgb",
    pooling=None,
    classes=None,
    classifier_activation=OWN,
    dropout=0.0,
    depth_multiplier=None,
    bn_momentum=0.999,
    name=None,
):
    """S3D (Xie et al. 2018, arXiv 1712.04851) in the form of torchvision.

    It is I3D with convolutions parted into space and time. It has 8,320,048 trainable parameters at 400 classes,
    two thirds of I3D's, and takes 13 frames or more (5 without the top). Its endpoints have the names of I3D's.

    Args:
        weights: None (fresh), or a path as for `I3D`: weights are not published by name yet, and torchvision's own
            files are not read yet.
        include_top, input_shape, stream, pooling, classes, classifier_activation, dropout, depth_multiplier,
        bn_momentum, name: as for `I3D`. torchvision drops a share of 0.2.

    Returns:
        A functional `keras.Model`: float32 (B, T, H, W, C) in [-1, 1] to float32 (B, classes).

    Raises:
        ValueError: an argument out of its range.
        keras_i3d.WeightsError: weights that cannot be read or matched, or of another network.
    """
    return build(
        "S3D",
        include_top,
        weights,
        input_shape,
        stream,
        pooling,
        classes,
        classifier_activation,
        dropout,
        depth_multiplier,
        bn_momentum,
        name,
    )


def TwoStreamI3D(
    weights="kinetics",
    classes=None,
    input_shape=None,
    classifier_activation=OWN,
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
        classes = _classes(classes, whole)
        depth_multiplier = _width(depth_multiplier, whole)
    settings = {"dropout": dropout, "depth_multiplier": depth_multiplier, "bn_momentum": bn_momentum}
    for stream, name_or_path in by_stream.items():  # every name is checked before the first download
        if registry.is_name(name_or_path):
            _find(name_or_path, stream, depth_multiplier)
    rgb, flow = (
        I3D(weights=by_stream[s], input_shape=shapes[s], stream=s, classes=classes, **settings) for s in CHANNELS
    )
    if classifier_activation == OWN:
        own = {facts.activation(stream) for stream in (rgb, flow)}
        own = {_activation(OWN, whole)} if whole else own
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


def _find(weights, stream, depth_multiplier):
    if weights is None:
        return None
    check_stream(stream)
    if depth_multiplier not in (None, 1.0) and registry.is_name(weights):
        raise ValueError(
            f"Published weights have depth_multiplier=1. Received: weights={weights!r}, "
            f"depth_multiplier={depth_multiplier}. Pass weights=None."
        )
    if runs.is_run(weights):
        weights = runs.weights_file(weights)
    return sources.find(weights, stream, download.ATTEMPTS)


def _classes(classes, source):
    if classes is not None:
        return classes
    return (source.facts.classes if source else None) or 400


def _width(depth_multiplier, source):
    if depth_multiplier is not None:
        return depth_multiplier
    return (source.facts.depth_multiplier if source else None) or 1.0


def _activation(wanted, source):
    """What a new model ends in; a line if it is not what its weights were trained with."""
    own = source.facts.activation if source else None
    if wanted == OWN:
        if source and source.facts.classes and not own:
            notice(f"{source.name} does not say what it ends in; softmax is taken")
        return own or facts.SOFTMAX
    if own and wanted not in (own, None):
        notice(f"{source.name} was trained with {own}; the model ends in {wanted}, as asked")
    return wanted
