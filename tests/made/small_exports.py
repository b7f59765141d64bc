"""Exports of tiny networks, and a session that asks them as a server does."""

import contextlib
import re

import numpy as np

from made import small_runs, tiny

FRAMES = 10  # the fewest of which flow is long enough for the network
LIGHT = {"nscales": 1, "scale_step": 0.5, "warps": 1, "epsilon": 0.05}  # TV-L1 in a graph that is traced in a second


@contextlib.contextmanager
def small():
    """I3D cut short, and TV-L1 on one level, while exports are made."""
    import pytest

    from keras_i3d.flow import layer

    with pytest.MonkeyPatch.context() as patch:
        tiny.shorten(patch)
        patch.setattr(layer, "QUALITIES", {**layer.QUALITIES, "opencv": LIGHT})  # of the layer alone
        yield


def write_runs(folder, labels=small_runs.LABELS):
    """Writes a run of each stream; returns {stream: folder}. Short side 40, crop 32."""
    spec = {"flow_method": "tvl1"}
    return {s: small_runs.run(folder / s, s, seed=i, labels=labels, spec=spec) for i, s in enumerate(("rgb", "flow"))}


def film(clips=2, frames=FRAMES, height=40, width=56, seed=0):
    """uint8 (clips, frames, height, width, 3): smooth textures, each drifting its own way."""
    import tensorflow as tf

    draw = np.random.default_rng(seed)
    coarse = draw.uniform(0, 255, (clips, 8, 12, 3))
    wide = tf.image.resize(coarse, (height + 2 * frames, width + 2 * frames)).numpy()
    starts = [[(t * (i + 1) % (2 * frames), t) for t in range(frames)] for i in range(clips)]
    made = [[wide[i, y : y + height, x : x + width] for y, x in row] for i, row in enumerate(starts)]
    return np.array(made).round().astype("uint8")


def encode(frames, png=False):
    """Object array (clips, frames) of encoded frames."""
    import tensorflow as tf

    encoder = tf.io.encode_png if png else lambda image: tf.io.encode_jpeg(image, quality=95)
    return np.array([[encoder(image).numpy() for image in clip] for clip in frames], object)


def stated(image, height, width):
    """The image with another size in its header: as large as it likes, in few bytes."""
    image = bytearray(image)
    if image.startswith(b"\x89PNG"):
        image[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    else:
        at = re.search(rb"\xff[\xc0\xc2]\0\x11\x08", bytes(image)).end()
        image[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(image)


class Server:
    """A SavedModel in a session of C++ that, like a server, holds no request to the stated shapes."""

    def __init__(self, path):
        import tensorflow as tf

        self.session = tf.compat.v1.Session(graph=tf.Graph())
        self.signatures = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path)).signature_def
        self.calls = {}

    def __call__(self, signature, **inputs):
        """Returns {output: array}; raises tf.errors.InvalidArgumentError as a server would answer."""
        known = self.signatures[signature]
        names = sorted(known.outputs)
        if signature not in self.calls:
            from tensorflow.core.protobuf.config_pb2 import CallableOptions

            options = CallableOptions(fetch=[known.outputs[key].name for key in names])
            options.feed.extend(known.inputs[key].name for key in sorted(known.inputs))
            # What `make_callable` does but for looking at shapes in Python, which a server does not do.
            self.calls[signature] = self.session._make_callable_from_options(options)
        return dict(zip(names, self.calls[signature](*(inputs[key] for key in sorted(known.inputs)))))
