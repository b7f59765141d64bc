"""Decoded frames or flow, scaled as a network takes them."""

from keras_i3d import specs


def preprocess_input(x, stream="rgb", network=None):
    """Scales decoded frames or flow to what a network takes, as keras.applications' functions of that name do.

    Args:
        x: for "rgb", RGB values in [0, 255], any number type, shape (..., 3); for "flow", dx and dy in pixels per
            frame, floating point, shape (..., 2); for "both", both side by side, shape (..., 5). A NumPy array or a
            tensor.
        stream: "rgb", "flow" or "both".
        network: the model, or the name of a network as `keras-i3d models` lists them. By default what I3D takes.

    Returns:
        float32 of the same shape: (x / 255 - mean) / std for RGB, with what the network's weights were trained with,
        which for I3D is x / 127.5 - 1; clip(x, +-20) / 20 for flow. NumPy in, NumPy out; tensor in, tensor out.

    Raises:
        ValueError: wrong channel count, values that were scaled already, or an unknown network. The values of arrays
            are looked at; those of tensors are not, because inside a graph there are none.
    """
    specs.check_stream(stream, specs.INPUT_CHANNELS)
    if network is None:
        return specs.scaled(x, stream)
    from keras_i3d import facts  # here: whoever names no network needs no Keras
    from keras_i3d.models import families

    row = families.find(network) if isinstance(network, str) else hasattr(network, "layers") and families.of(network)
    if not row:
        raise ValueError(f"network is a model of one stream that this package made, or a name. Received: {network!r}")
    known = None if isinstance(network, str) else facts.of(network)
    clip = (known and known.clip) or row.clips.get(stream)
    if clip is None or clip.stream != stream:
        raise ValueError(f"{row.name} takes the stream {' or '.join(row.clips)}. Received: stream={stream!r}")
    return specs.scaled(x, stream, clip.mean, clip.std)
