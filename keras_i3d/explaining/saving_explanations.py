"""An explanation in a file: a sheet, a moving picture, or a page."""

import pathlib

import numpy as np

from keras_i3d import atomic, paths, visualize
from keras_i3d.explaining import explanation_page
from keras_i3d.explaining.explanation_pictures import Pictures, headings
from keras_i3d.video import writing

ENDINGS = (".png", ".gif", ".mp4", ".html")


def check_name(path):
    """Returns a path that `save` can write to, or raises ValueError."""
    path = pathlib.Path(paths.expand(path))
    if path.suffix not in ENDINGS:
        raise ValueError(f"An explanation's name ends in {', '.join(ENDINGS)}. Received: {path.name}")
    return path


def save(path, explanation):
    """Writes an Explanation.

    Args:
        path: ends in .png: a sheet of frames with each stream's evidence, and bars over time. In .gif or .mp4: the same
            moving, with a line at the moment that is shown. In .html: one page that needs nothing else, with the sums
            written out, the other labels and the faithfulness curve.
        explanation: what `explain` returns.

    Raises:
        ValueError: another name.
    """
    path = check_name(path)
    pictures = Pictures(explanation)
    if path.suffix == ".mp4":
        writing.write(path, pictures.with_words(), pictures.fps)
    elif path.suffix == ".gif":
        shown = np.stack([pictures.moving(moment) for moment in range(pictures.length)])
        title = "; ".join(headings(explanation)[:1])
        visualize.save(path, shown, None, title, pictures.fps, width=shown.shape[2])
    else:
        whole = path.suffix == ".png"
        content = visualize.png(pictures.sheet()) if whole else explanation_page.page(pictures).encode()
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(content)
