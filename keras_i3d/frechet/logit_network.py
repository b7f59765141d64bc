"""The network whose answers to clips a Frechet video distance compares, and the hash of its weights."""

import numpy as np

from keras_i3d import networks, runtimes
from keras_i3d.errors import notice
from keras_i3d.frechet import fvd_protocols
from keras_i3d.specs import HALF
from keras_i3d.weights import by_name, download

WEIGHTS = "kinetics-scratch"  # what the module i3d-kinetics-400 of TensorFlow Hub holds: the same file of data
FRAMES_AT_ONCE = 128  # of all clips that go through the network together, by default


class LogitNetwork:
    """The network up to its logits: float32 (B, T, 224, 224, 3) in [0, 255] to float32 (B, size).

    It is what `fvd(weights=)` makes of weights, and takes in their place, so that several calls load it once.

    Args:
        weights: what `classify` takes for its rgb stream.
        precision: as for `Classifier`.
        attempts: connections to try if weights have to be fetched.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it.

    Attributes:
        size: logits of a row.
        card: {"weights", "licence", "logits", "sha256", "precision", "runtime"}: what they are called, their licence
            (None if nobody said), how many logits, the hash of all arrays by the order of their layers' names, what is
            computed in, such as "float32", and by which runtime, such as "tensorflow 2.21.0".
        other: what it is, if published numbers are not by it; else "".
    """

    def __init__(self, weights=WEIGHTS, precision=None, attempts=download.ATTEMPTS, accept_licence=None):
        network = networks.load(weights, "rgb", precision, attempts, accept_licence)
        network.require_trained()
        self._least, self._origin = network.family.min_frames, network.origin
        self._model = runtimes.compiled(network.to_logits())
        self._batch = 0
        self.size = network.facts.classes
        computed_in = next(layer for layer in network.model.layers if layer.weights).compute_dtype
        self.card = {
            "weights": network.origin,
            "licence": network.facts.licence,
            "logits": self.size,
            "sha256": by_name.digest(network.model),
            "precision": computed_in,
            "runtime": " and ".join(map(runtimes.with_version, self._model.used)),
        }
        usual = network.facts.source == f'published weights "{WEIGHTS}"' and network.run is None
        self.other = "" if usual else f"{network.origin} ({network.family.name})"
        if computed_in != "float32":
            self.other = f"{network.origin} ({network.family.name}) in {computed_in}"
        if (network.clip.mean, network.clip.std) != (HALF, HALF):
            notice(f"{network.origin} was trained on frames of another range than [-1, 1], which all protocols take")

    def check_frames(self, frames):
        """Raises ValueError if clips of so many frames are too short for it."""
        if frames < self._least:
            raise ValueError(f"{self._origin} takes clips of at least {self._least} frames. Received: frames={frames}")

    def rows(self, videos, protocol="original"):
        """Returns the logits of videos that are clips as they are, float32 (N, size).

        So a metric or a callback sees what `fvd` sees: `FrechetCallback(..., network=LogitNetwork(), protocol=...)`.

        Args:
            videos: uint8 (N, T, H, W, 3), RGB.
            protocol: how frames are resized; nothing else of it is done, whatever its code would do to files.
        """
        protocol, videos = fvd_protocols.find(protocol), np.asarray(videos)
        if videos.dtype != np.uint8 or videos.ndim != 5 or videos.shape[-1] != 3:
            raise ValueError(f"Videos are uint8 (N, T, H, W, 3). Received: {videos.dtype} {videos.shape}")
        self.check_frames(videos.shape[1])
        recipe, found = protocol.recipe(*videos.shape[2:4]), [np.zeros((0, self.size), np.float32)]
        at_once = max(FRAMES_AT_ONCE // videos.shape[1], 1)
        for begin in range(0, len(videos), at_once):
            batch = videos[begin : begin + at_once]
            found.append(self(np.stack([fvd_protocols.prepared(frames, recipe) for frames in batch])))
        return np.concatenate(found)

    def __call__(self, clips):
        count = len(clips)
        if count < self._batch:  # the last ones: another size of batch would be compiled anew
            clips = np.concatenate([clips, np.broadcast_to(clips[-1:], (self._batch - count, *clips.shape[1:]))])
        self._batch = len(clips)
        return np.float32(self._model.predict_on_batch(fvd_protocols.scaled(clips)))[:count]
