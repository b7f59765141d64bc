"""Grad-CAM: where a network's evidence for a class lies, at any of its endpoints (Selvaraju et al., arXiv 1610.02391).

The paper's equations 1 and 2 in three dimensions. The weight of a channel is the mean, over all positions of the clip,
of the gradient of the logit to it; the map is the weighted sum of the channels, of which what is below 0 is cut off. It
tells positions apart, and is not parted from the logit: its sum means nothing. At the last endpoint of a linear head
the weights are those of the class, so that the map is that of `activation_maps`, but for scale, for what is negative,
and for the weights of positions near the ends.
"""

import keras
import numpy as np

from keras_i3d.inference import chunks
from keras_i3d.models import receptive_fields


def endpoints(network, clip_shape):
    """Returns {name: (T', H', W')} of the endpoints that may have a map of a clip of (T, h, w), in order."""
    names = tuple(dict.fromkeys((*network.family.endpoints[:-2], network.body)))
    ends = {name: network.model.get_layer(name).output for name in names}
    ends = {name: tensor for name, tensor in ends.items() if len(tensor.shape) == 5}
    model = keras.Model(network.model.input, list(ends.values()))
    shapes = model.compute_output_shape((1, *clip_shape, model.input_shape[-1]))
    shapes = [shapes] if isinstance(shapes, tuple) and not isinstance(shapes[0], tuple | list) else shapes
    return {name: tuple(shape[1:4]) for name, shape in zip(ends, shapes)}


def default_endpoint(network, clip_shape):
    """Returns the last endpoint that tells positions in space apart; the last of all where none does."""
    found = endpoints(network, clip_shape)
    apart = [name for name, shape in found.items() if max(shape[1:]) > 1]
    return [*found, *apart][-1]


def check_backend():
    """Raises ValueError unless gradients can be taken here."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Grad-CAM takes gradients by TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. Take "
            "method=cam, which needs none, or set KERAS_BACKEND=tensorflow."
        )


def of_clip(network, clip, index, endpoint, chunk_frames=chunks.CHUNK_FRAMES):
    """Returns the Grad-CAM of a class over a whole clip: float64 (T', H', W'), none below 0.

    Args:
        network: a Network.
        clip: the SeenClip.
        index: of the class.
        endpoint: one of `endpoints`.
        chunk_frames: frames that go through the network at once; the map is the same whatever it is. A network whose
            answer is no mean of its rows takes the clip in one.

    Raises:
        ValueError: no TensorFlow, or a clip too long for a network that has to see it whole.
    """
    check_backend()
    family, frames = network.family, clip.shape[0]
    if family.features is not None and frames > chunk_frames:
        raise ValueError(
            f"Grad-CAM of {family.name} needs the whole clip at once, at most chunk_frames={chunk_frames} frames. "
            f"Received: {frames}. Raise chunk_frames= if memory allows, or give a part of the video by start= and end=."
        )
    planned = chunks.plan_chunks(frames, chunk_frames, family)
    gradients = _Gradients(network, endpoint, index, family.steps(frames) - family.window + 1)
    # Each chunk takes the gradient of its own rows alone, to all positions that they see: the sum is that of the video.
    weights = sum(gradients(clip.prepared(chunk)[None], chunk) for chunk in planned)
    per_step = _per_step(network, endpoint, clip.shape) if len(planned) > 1 else 1
    maps = []
    for chunk in planned:
        found = np.maximum(gradients.features(clip.prepared(chunk)[None]) @ weights, 0)
        end = None if chunk.end_row is None else chunk.end_row * per_step
        maps.append(found[chunk.first_row * per_step : end])
    found = np.concatenate(maps)
    return found / found.size  # the weights are means over the positions


def _per_step(network, endpoint, clip_shape):
    """How many positions in time an endpoint has for a step of the network."""
    stride = receptive_fields.of_layers(network.model, clip_shape)[endpoint].stride[0]
    return network.family.step // stride


class _Gradients:
    """The gradient of a class's logit to an endpoint.

    Args:
        network, endpoint: as for `of_clip`.
        index: of the class.
        rows: of the whole clip, whose mean is the logit.
    """

    def __init__(self, network, endpoint, index, rows):
        family = network.family
        self._index, self._rows = index, rows
        self._mean = family.features is None
        self._front = network.up_to(endpoint)
        end = network.model.get_layer(family.head if self._mean else family.logits).output
        self._joint = keras.Model(network.model.input, [self._front.output, end])
        try:  # from the endpoint on, which takes far less memory than a gradient through the whole network
            self._rest = keras.Model(self._front.output, end)
        except ValueError:  # another way leads past the endpoint, as in a network of two bodies
            self._rest = None

    def __call__(self, x, chunk):
        """Returns float64 (C,): the sum over positions of the gradient of what a chunk's rows add to the logit."""
        import tensorflow as tf

        x = tf.constant(x)
        given = x if self._rest is None else self._front(x, training=False)
        with tf.GradientTape() as tape:
            tape.watch(given)
            if self._rest is None:
                features, answer = self._joint(given, training=False)
            else:
                features, answer = given, self._rest(given, training=False)
            answer = answer[..., self._index]
            if self._mean:
                rows = tf.reduce_mean(answer, axis=(2, 3))[0, chunk.first_row : chunk.end_row]
                answer = tf.reduce_sum(rows) / self._rows
        found = tape.gradient(answer, features)
        return np.float64(tf.reduce_sum(tf.cast(found, "float32"), axis=(0, 1, 2, 3)))

    def features(self, x):
        """Returns float64 (T', H', W', C): the endpoint."""
        return np.float64(keras.ops.convert_to_numpy(self._front(x, training=False)[0]))
