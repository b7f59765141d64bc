"""Narrow networks with random weights, and clips as an explanation sees them."""

import numpy as np

from keras_i3d import networks
from keras_i3d.explaining.seen_clips import SeenClip
from keras_i3d.models import families
from keras_i3d.specs import INPUT_CHANNELS
from made import drawn

CLASSES = 4


def network(name, seed=1, **settings):
    """The narrow Network of a row for clips of any size, its weights random, with a dropout that has to be inert."""
    row = families.find(name)
    stream = next(iter(row.clips))
    settings = {"classes": CLASSES, "depth_multiplier": 0.1, "dropout": 0.5, **settings}
    model = row.build(input_shape=(None, None, None, INPUT_CHANNELS[stream]), stream=stream, **settings)
    return networks.load(drawn.seeded(model, seed))


def clip(of, frames, height, width, seed=2):
    """A SeenClip for a Network: textures that change from frame to frame."""
    draw = np.random.default_rng(seed)
    rgb = draw.integers(0, 256, (frames, height, width, 3)).astype("uint8")
    flow = draw.normal(0, 4, (frames, height, width, 2)).astype("float32")
    given = {"rgb": rgb, "flow": flow, "both": np.concatenate([rgb, flow], axis=-1, dtype="float32")}[of.stream]
    return SeenClip(of.clip, given, np.arange(frames))


def logits(of, seen):
    """float32 (classes,) of a whole clip in one pass through the network as it is."""
    prepared = seen.spec.prepared(seen.frames[seen.places])
    return np.asarray(of.to_logits()(prepared[None], training=False))[0]
