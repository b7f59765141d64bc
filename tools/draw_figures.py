"""Draws the figures of docs/how/ again: each by code of this package, from generated videos, drawn weights and rows.

  python tools/draw_figures.py [--only=boring_video,costs] [--output=docs/how]

All of them take half a minute. A figure is one SVG file, read on a light and on a dark page.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import lesson_blocks  # noqa: E402
import lesson_motion  # noqa: E402
import lesson_time  # noqa: E402
from absl import app, flags  # noqa: E402

from keras_i3d import atomic  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIGURES = {**lesson_time.FIGURES, **lesson_motion.FIGURES, **lesson_blocks.FIGURES}

_ONLY = flags.DEFINE_list("only", [], "Names of figures; none for all.")
_OUTPUT = flags.DEFINE_string("output", str(ROOT / "docs/how"), "The folder to write them into.")


def main(_):
    unknown = {*_ONLY.value} - {*FIGURES}
    if unknown:
        sys.exit(f"--only has names of {', '.join(FIGURES)}. Received: {', '.join(sorted(unknown))}")
    folder = pathlib.Path(_OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _ONLY.value or FIGURES:
        text = str(FIGURES[name]())
        atomic.write_text(folder / f"{name}.svg", text)
        print(f"{name}.svg: {len(text) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    app.run(main)
