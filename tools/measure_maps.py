"""Measures the maps of `explain` on the demo's videos: whether they lie on what moves, and whether they hold.

  make demo
  python tools/measure_maps.py --demo=demo

For each stream it prints the share of the evidence that lies on moving pixels, as a multiple of their share of the
picture (1 is evidence that is spread evenly), the mean over the videos; and in how many videos the deletion area is
smaller than that of every random order.
"""

import pathlib

import numpy as np
from absl import app, flags

_DEMO = flags.DEFINE_string("demo", "demo", "Folder that `make demo` wrote, with its videos and the runs.")
_VIDEOS = flags.DEFINE_string("videos", None, "Folder of class folders of videos; by default the demo's held-out ones.")
_COUNT = flags.DEFINE_integer("count", 2, "Videos of each label.", lower_bound=1)
_ENDPOINT = flags.DEFINE_string("endpoint", "Mixed_3c", "The layer of the Grad-CAM that is measured too.")
_STEPS = flags.DEFINE_integer("steps", 3, "Points of the faithfulness curve.", lower_bound=1)

MOVES = 1.0  # pixels per frame, less the median of the field, from which on a pixel moves


def main(argv):
    del argv
    demo = pathlib.Path(_DEMO.value)
    folder = pathlib.Path(_VIDEOS.value or demo / "videos/test")
    found = [path for label in sorted(folder.iterdir()) for path in sorted(label.glob("*.mp4"))[: _COUNT.value]]
    runs = {stream: str(demo / "learned/runs" / stream) for stream in ("rgb", "flow")}
    for words, settings in (
        ("class activation", {}),
        (f"Grad-CAM at {_ENDPOINT.value}", {"endpoint": _ENDPOINT.value}),
    ):
        print(f"{words}: {measured(found, **runs, **settings)}", flush=True)


def measured(paths, **settings):
    """Returns words on the maps of some videos; `settings` are those of `keras_i3d.explain`."""
    import keras_i3d

    multiples, holds, apart = {}, {}, []
    for path in paths:
        explanation = keras_i3d.explain(str(path), steps=_STEPS.value, **settings)
        moving = moves(explanation.fields)
        for stream, each in explanation.streams.items():
            multiples.setdefault(stream, []).append(on_moving(explanation, each, moving))
            holds.setdefault(stream, []).append(each.curve.holds)
            apart += [abs(each.total - each.logit)] if each.total is not None else []
    said = [
        f"{stream} {np.mean(values):.2f} on what moves, holds in {sum(holds[stream])} of {len(values)}"
        for stream, values in multiples.items()
    ]
    return "; ".join([*said, *([f"sum and logit at most {max(apart):.1e} apart"] if apart else [])])


def moves(fields):
    """Returns bool (N, h, w): the pixels that move against the rest of their frame."""
    apart = fields - np.median(fields, axis=(1, 2), keepdims=True)
    return np.hypot(apart[..., 0], apart[..., 1]) > MOVES


def on_moving(explanation, stream, moving):
    """The share of a StreamExplanation's evidence on moving pixels, as a multiple of their share of the picture."""
    from keras_i3d.explaining.overlays import Painter

    painter = Painter(stream.map, stream.centres, explanation.frames.shape[1:3])
    inside = expected = 0.0
    for time, place in enumerate(stream.clip.places):
        mask = moving[min(place, len(moving) - 1)]
        evidence = np.maximum(painter.at(time), 0)
        inside += evidence[mask].sum()
        expected += mask.mean() * evidence.sum()
    return inside / expected


if __name__ == "__main__":
    app.run(main)
