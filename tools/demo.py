"""The main job, end to end: makes a short video, then classifies it with both streams of I3D.

  make demo

Where the published weights cannot be reached, the same path runs on untrained weights, and says so.
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

_OUTPUT = flags.DEFINE_string("output", "demo", "Folder for the video.")
_FRAMES = flags.DEFINE_integer("frames", 40, "Length of the video, at 25 frames per second.", lower_bound=9)


def make_video(path, frames, height=240, width=320):
    """Writes an mp4 of a textured ball that bounces over a textured ground."""
    import av

    draw = np.random.default_rng(5)
    ground = np.kron(draw.integers(40, 160, (height // 8, width // 8, 3), "uint8"), np.ones((8, 8, 1), "uint8"))
    skin = np.kron(draw.integers(120, 255, (12, 12, 3), "uint8"), np.ones((5, 5, 1), "uint8"))
    radius = len(skin) // 2
    ys, xs = np.mgrid[-radius:radius, -radius:radius]
    disc = (ys**2 + xs**2 < radius**2)[..., None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
        for i in range(frames):
            image = ground.copy()
            x = round(radius + (width - 2 * radius) * i / max(frames - 1, 1))
            y = round(height - radius - abs(np.sin(i / 6)) * (height - 2 * radius))
            patch = image[y - radius : y + radius, x - radius : x + radius]
            np.copyto(patch, skin, where=disc)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def main(argv):
    del argv
    from keras_i3d import Classifier, WeightsError

    folder = pathlib.Path(_OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ball.mp4"
    make_video(path, _FRAMES.value)
    print(f"Made {path}: {_FRAMES.value} frames.")
    print(f"Classifying it as `keras-i3d classify {path}` does:\n")
    try:
        classifier = Classifier(attempts=1, progress=True)
    except WeightsError as error:
        print(f"The published weights could not be had: {error}")
        print("So the same path runs with UNTRAINED weights: what it prints is meaningless, how it runs is not.\n")
        labels = [f"class {i} (untrained: meaningless)" for i in range(400)]
        classifier = Classifier(rgb_weights=None, flow_weights=None, labels=labels, progress=True, allow_untrained=True)
    print(classifier(str(path)))
    print("\nTry your own: .venv/bin/keras-i3d classify VIDEO")


if __name__ == "__main__":
    app.run(main)
