"""Late fusion: the sum of two streams' logits, then softmax (arXiv 1705.07750, section 2.5; released code)."""

import keras
from keras import layers


def fuse(rgb, flow, classifier_activation="softmax", name=None):
    """Joins an RGB and a flow model into one that takes `{"rgb": clip, "flow": clip}`.

    Args:
        rgb, flow: models with a `Logits` layer of the same width.
        classifier_activation: applied to the sum of logits; None returns the sum.
        name: the model's name.

    Returns:
        A functional model with the layers `rgb_stream` and `flow_stream`, each ending in its logits,
        `Logits`, their sum, float32 (B, classes), and `Predictions`.
    """
    widths = [model.get_layer("Logits").output.shape[-1] for model in (rgb, flow)]
    if widths[0] != widths[1]:
        raise ValueError(f"The two streams must have the same classes. Received: rgb {widths[0]}, flow {widths[1]}")
    streams = {
        stream: keras.Model(model.input, model.get_layer("Logits").output, name=f"{stream}_stream")
        for stream, model in {"rgb": rgb, "flow": flow}.items()
    }
    inputs = {
        stream: keras.Input(model.input_shape[1:], name=stream, dtype="float32") for stream, model in streams.items()
    }
    logits = layers.Add(dtype="float32", name="Logits")([streams[s](inputs[s]) for s in ("rgb", "flow")])
    outputs = layers.Activation(classifier_activation, dtype="float32", name="Predictions")(logits)
    return keras.Model(inputs, outputs, name=name or "two_stream_i3d")
