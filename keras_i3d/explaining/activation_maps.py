"""Class activation over time and space: what each position of a network's last endpoint adds to a logit.

Zhou et al., "Learning Deep Features for Discriminative Localization" (arXiv 1512.04150), in three dimensions. It is
exact for a head that is linear after an average pool: there, a logit is the bias plus a sum over positions,

    logit = bias + sum over t, y, x of  weight(t) weight(y) weight(x) <features(t, y, x), class weights>

The weights are how often the head's windows see a position: `models.blocks.HeadPool` averages windows that slide over
time and space, and the logits are the mean of all windows, so that positions near the ends of the clip count less.
"""

import dataclasses

import keras
import numpy as np

from keras_i3d import runtimes
from keras_i3d.inference import chunks
from keras_i3d.models import receptive_fields
from keras_i3d.models.blocks import HeadPool


@dataclasses.dataclass(frozen=True, eq=False)
class LinearHead:
    """A head as a matrix: logits are features, averaged, times `kernel`, plus `bias`.

    Attributes:
        kernel: float64 (C, classes).
        bias: float64 (classes,).
    """

    kernel: np.ndarray
    bias: np.ndarray


def is_linear(network):
    """Whether a network's logits are linear in its last endpoint: an average pool, one layer, the mean of its rows.

    It is asked of the graph: nothing but dropout, which is inert, stands between the pool and the layer of the classes,
    and the logits are the mean of that layer's rows.
    """
    model, family = network.model, network.family
    makers = {id(layer.output): layer for layer in model.layers if hasattr(layer.output, "shape")}
    logits = model.get_layer(family.logits)
    if not isinstance(logits, keras.layers.GlobalAveragePooling3D) or logits.input is not _head(network).output:
        return False
    layer = makers.get(id(_head(network).input))
    while isinstance(layer, keras.layers.Dropout):
        layer = makers.get(id(layer.input))
    return isinstance(layer, HeadPool)


def linear_head(network):
    """Returns the LinearHead of a network for which `is_linear`: what its head makes of nothing, and of each channel.

    Whatever layer it is, a convolution or the mean of two heads: it is asked, and not looked into.
    """
    head = keras.Model(_head(network).input, network.model.get_layer(network.family.logits).output)
    channels = head.input.shape[-1]
    asked = np.concatenate([np.zeros((1, channels)), np.eye(channels)])
    answers = np.float64(head.predict_on_batch(np.float32(asked[:, None, None, None])))
    return LinearHead(answers[1:] - answers[0], answers[0])


def position_weights(shape, pool):
    """Returns three float64 arrays, of time, height and width: how much a position counts in the mean of the windows.

    Args:
        shape: (T, H, W), positions of the map that the pool reads.
        pool: the HeadPool. Its window in space is cut to a smaller map.

    Returns:
        Arrays (T,), (H,) and (W,); the sum of each is 1.
    """
    windows = (pool.steps, pool.window, pool.window)
    return tuple(_along(size, min(window or size, size)) for size, window in zip(shape, windows))


def _along(size, window):
    """How many of the windows over an axis see each position, as a share of all that they see."""
    starts = size - window + 1
    at = np.arange(size)
    seen = np.minimum(at, starts - 1) - np.maximum(at - window + 1, 0) + 1
    return seen / (window * starts)


def of_clip(network, clip, index, chunk_frames=chunks.CHUNK_FRAMES):
    """Returns (map, bias) of a class over a whole clip: float64 (T', H', W'), whose sum plus the bias is the logit.

    Args:
        network: a Network for which `is_linear`.
        clip: the SeenClip.
        index: of the class.
        chunk_frames: frames that go through the network at once; the map is the same whatever it is.
    """
    head = linear_head(network)
    body = runtimes.compiled(network.up_to(network.body))
    evidence = []
    for chunk in chunks.plan_chunks(clip.shape[0], chunk_frames, network.family):
        features = np.float64(body.predict_on_batch(clip.prepared(chunk)[None])[0])
        # Rows begin at the steps of their number, so these are the chunk's own steps; the last one has all that follow.
        evidence.append((features @ head.kernel[:, index])[chunk.first_row : chunk.end_row])
    evidence = np.concatenate(evidence)
    t, y, x = position_weights(evidence.shape, network.model.get_layer(network.pool))
    return evidence * t[:, None, None] * y[:, None] * x, float(head.bias[index])


def centres(network, endpoint, clip_shape, map_shape):
    """Returns three float64 arrays: where in the clip the positions of a map look, the middle of what each one sees.

    Args:
        network: a Network.
        endpoint: the layer of the map.
        clip_shape: (T, h, w) of the clip.
        map_shape: (T', H', W') of the map.

    Returns:
        In frames of the clip, and in pixels from the top and from the left; 0 is the first. Where a position sees the
        whole clip, positions are spread evenly.
    """
    field = receptive_fields.of_layers(network.model, clip_shape)[endpoint]
    found = []
    for size, stride, start, count, length in zip(field.size, field.stride, field.start, map_shape, clip_shape):
        if size is None or stride is None:
            found.append((np.arange(count) + 0.5) * length / count - 0.5)
        else:
            found.append(start + (size - 1) / 2 + stride * np.arange(count, dtype=np.float64))
    return tuple(found)


def _head(network):
    return network.model.get_layer(network.family.head)
