"""Late fusion: the sum of two streams' logits, then softmax (arXiv 1705.07750, section 2.5; released code)."""

import keras
from keras import layers

from keras_i3d.models import families

logits, predictions = "Logits", "Predictions"  # the layers of the sum, and of what the activation makes of it


def fuse(rgb, flow, classifier_activation="softmax", name=None):
    """Joins an RGB and a flow model into one that takes `{"rgb": clip, "flow": clip}`.

    Args:
        rgb, flow: models of one stream that this package made, of the same classes.
        classifier_activation: applied to the sum of logits; None returns the sum.
        name: the model's name.

    Returns:
        A functional model with the layers `rgb_stream` and `flow_stream`, each ending in its logits,
        `Logits`, their sum, float32 (B, classes), and `Predictions`.
    """
    given = {"rgb": rgb, "flow": flow}
    ends = {stream: model.get_layer(families.of(model).logits).output for stream, model in given.items()}
    widths = [each.shape[-1] for each in ends.values()]
    if widths[0] != widths[1]:
        raise ValueError(f"The two streams must have the same classes. Received: rgb {widths[0]}, flow {widths[1]}")
    streams = {
        stream: keras.Model(model.input, ends[stream], name=f"{stream}_stream") for stream, model in given.items()
    }
    inputs = {
        stream: keras.Input(model.input_shape[1:], name=stream, dtype="float32") for stream, model in streams.items()
    }
    summed = layers.Add(dtype="float32", name=logits)([streams[s](inputs[s]) for s in ("rgb", "flow")])
    outputs = layers.Activation(classifier_activation, dtype="float32", name=predictions)(summed)
    return keras.Model(inputs, outputs, name=name or "two_stream_i3d")
