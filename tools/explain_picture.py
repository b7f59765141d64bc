"""Makes the picture of docs/explain.md: a video that the demo holds out, and where its network's evidence lies.

  make demo
  python tools/explain_picture.py --demo=demo --output=docs/explain.webp

The network is the demo's own: a quarter as wide as I3D, trained for some minutes on generated videos of 64 pixels. Its
last endpoint has 2 x 2 positions of such a video, so that the picture is of a Grad-CAM at an earlier one.
"""

import pathlib
import tempfile

import demo_videos
import numpy as np
from absl import app, flags

_DEMO = flags.DEFINE_string("demo", "demo", "Folder that `make demo` wrote, with the runs of both streams.")
_OUTPUT = flags.DEFINE_string("output", "docs/explain.webp", "The picture to write.")
_SHAPE = flags.DEFINE_enum("shape", "triangle", demo_videos.SHAPES, "What moves in the video.")
_MOTION = flags.DEFINE_enum("motion", "circles", demo_videos.MOTIONS, "How it moves.")
_NUMBER = flags.DEFINE_integer("number", 0, "Which of the held-out videos of this label.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the demo.")
_ENDPOINT = flags.DEFINE_string("endpoint", "Mixed_3c", "The layer of the Grad-CAM.")


def main(argv):
    del argv
    import keras_i3d
    from keras_i3d.explaining.explanation_pictures import Pictures

    runs = pathlib.Path(_DEMO.value) / "learned/runs"
    names = [(shape, motion) for shape in demo_videos.SHAPES for motion in demo_videos.MOTIONS]
    seed = (_SEED.value + 1000, names.index((_SHAPE.value, _MOTION.value)), _NUMBER.value)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{_SHAPE.value} {_MOTION.value}.mp4"
        demo_videos.write(path, demo_videos.frames(np.random.default_rng(seed), _SHAPE.value, _MOTION.value))
        settings = {"rgb": str(runs / "rgb"), "flow": str(runs / "flow"), "steps": 0, "method": "gradcam"}
        found = keras_i3d.explain(str(path), endpoint=_ENDPOINT.value, **settings)
    print(found)
    write(Pictures(found).sheet(), _OUTPUT.value)


def write(picture, path):
    """Writes a picture as .webp."""
    from PIL import Image

    from keras_i3d import atomic

    with atomic.replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, "WEBP", quality=76, method=6)
    print(f"-> {path}, {pathlib.Path(path).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    app.run(main)
