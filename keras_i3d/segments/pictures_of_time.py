"""A picture of one video's labels along time."""

import os

import numpy as np

from keras_i3d import atomic, charts, paths
from keras_i3d.segments.finding import LANES

MOMENTS = 4000  # at which curves are drawn, at most
NEEDED = "A picture of labels along time"  # begins the message if matplotlib is missing


def draw(timeline, top=LANES):
    """Returns the bytes of a PNG: a lane for each of the `top` labels of `Timeline.lanes`."""
    charts.matplotlib(NEEDED)
    found, lanes = timeline.found, timeline.lanes(top)
    moments = np.linspace(0, found.seconds, min(found.frames + 1, MOMENTS))  # between rows a curve is no line
    shares = found.probabilities(moments, lanes)
    names = dict(zip(lanes, _told_apart([found.labels[i] for i in lanes])))
    curves = {names[i]: shares[:, place] for place, i in enumerate(lanes)}
    bars = [(names[each.index], each.start, each.end, each.score) for each in timeline.segments if each.index in names]
    return charts.timeline(moments, curves, bars, found.seconds, os.path.basename(found.video))


def write(path, timeline, top=LANES):
    """Writes what `draw` returns, whole or not at all."""
    content = draw(timeline, top)
    with atomic.replacing(paths.expand(path)) as temporary:
        temporary.write_bytes(content)


def _told_apart(labels):
    """Names, each once: two classes may have one."""
    return [name if labels.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(labels, 1)]
