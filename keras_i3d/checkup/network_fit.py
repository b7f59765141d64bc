"""Clips through the first layers of a network: whether its batch norms meet the numbers that they met in training."""

import dataclasses

import numpy as np

from keras_i3d.checkup.network_state import norms
from keras_i3d.checkup.record_sample import consecutive
from keras_i3d.inference.chunks import centre_crop

CLIPS = 6
FRAMES = 16
FACTOR = 5.0  # by which deviations may differ, the median over channels
SHIFT = 3.0  # deviations by which means may


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a network's first batch norm met, against what it notes of its training.

    Attributes:
        clips: how many.
        factor: deviation that it met over the one that it notes, the median over channels.
        shift: distance of the means in noted deviations, the median over channels.
    """

    clips: int
    factor: float
    shift: float

    @property
    def fits(self):
        return 1 / FACTOR <= self.factor <= FACTOR and self.shift <= SHIFT


def measure(network, split, most=CLIPS):
    """Sends a few clips of records to a network's first batch norm; returns a Fit, or None if it has none.

    Args:
        network: a `networks.Network`.
        split: a `record_sample.Split`.
        most: clips.
    """
    import keras

    layers = norms(network)
    if not layers:
        return None
    frames = max(network.family.min_frames, FRAMES)
    clip = network.clip
    found = []
    for decoded in consecutive(split, network.stream, frames, clip.frame_stride, most):
        cropped = np.stack([centre_crop(frame, clip.crop) for frame in decoded])
        found.append(clip.prepared(cropped))
    if not found or len({each.shape for each in found}) > 1:
        found = [each for each in found if each.shape == found[0].shape]
    if not found:
        return None
    first = layers[0]
    before = keras.Model(network.model.input, first.input)
    met = [np.asarray(keras.ops.convert_to_numpy(before(each[None], training=False)), np.float32) for each in found]
    met = np.concatenate([each.reshape(-1, each.shape[-1]) for each in met])
    mean, variance = (np.asarray(value, np.float32) for value in (first.moving_mean, first.moving_variance))
    noted = np.sqrt(variance + first.epsilon)
    factor = np.median(met.std(0) / noted)
    return Fit(len(found), float(factor), float(np.median(np.abs(met.mean(0) - mean) / noted)))
