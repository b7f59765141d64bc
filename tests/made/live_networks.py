"""Tiny networks and films for the tests of live video."""

import functools

import numpy as np

from keras_i3d.inference import Classifier
from made import films, small_runs

SPEC = {"flow_method": "tvl1"}


def runs(folder):
    """Runs of both streams, of clips of 16 frames, crops of 32 pixels and TV-L1; returns {stream: folder}."""
    return {
        stream: small_runs.run(folder / stream, stream, seed, spec=SPEC, clip_frames=16)
        for seed, stream in enumerate(("rgb", "flow"))
    }


def classifier(runs, **settings):
    return Classifier(**runs, runtime="tensorflow", **settings)


@functools.cache
def film(frames, container="mpegts"):
    """A square that moves over a texture that changes, 40 x 48 pixels."""
    draw = np.random.default_rng(1)
    scene = np.kron(draw.integers(0, 255, (10, 12, 3)), np.ones((4, 4, 1)))
    shown = []
    for i in range(frames):
        image = np.roll(scene, (i % 7, 2 * i), (0, 1)) * (0.6 + 0.4 * np.sin(i / 5))
        at = int(12 + 10 * np.sin(i / 6))
        image[at : at + 12, (3 * i) % 34 : (3 * i) % 34 + 14] = (250, 40, (9 * i) % 255)
        shown.append(image.astype("uint8"))
    return films.film(shown, container, "mpeg4")


class Slow:
    """A network that takes a while on a told clock; every row of its answers is zeros."""

    def __init__(self, clock, seconds, family, classes=3):
        self.clock, self.seconds, self.family, self.classes, self.frames = clock, seconds, family, classes, []

    def predict_on_batch(self, clip):
        self.frames.append(clip.shape[1])
        self.clock.advance(self.seconds)
        rows = self.family.steps(clip.shape[1]) - self.family.window + 1
        return np.zeros((1, rows, 1, 1, self.classes), np.float32)
