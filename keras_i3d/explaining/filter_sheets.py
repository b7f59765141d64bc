"""A picture of filters: a row each, time as columns, and their numbers."""

import math
import pathlib

import numpy as np

from keras_i3d import atomic, paths, visualize
from keras_i3d.explaining.filter_bank import FilterBank
from keras_i3d.specs import CHANNELS

QUANTILE = 0.995  # of the weights, that are painted without being cut off
PIXELS = 6  # of a weight
GAP, NUMBER = 2, 26  # pixels between cells, and of a filter's number
WORDS = 150  # pixels of the numbers behind a row
ASPECT = 1.2  # of the picture, about


def check_name(path):
    """Returns a path that `save_filters` can write to, or raises ValueError."""
    path = pathlib.Path(paths.expand(path))
    if path.suffix != ".png":
        raise ValueError(f"A picture of filters is named .png. Received: {path.name}")
    return path


def save_filters(path, bank: FilterBank):
    """Writes `sheet` of a FilterBank as a .png."""
    path = check_name(path)
    content = visualize.png(sheet(bank))
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(content)


def sheet(bank: FilterBank):
    """Draws a FilterBank, uint8 (h, w, 3): one row a filter, its steps in time side by side.

    RGB weights are colours, mid-grey is 0. Those of flow are painted by the colour wheel of flow: the hue is the motion
    that a pixel of the filter answers to. All filters have one scale, which is written above. Next to each stands the
    inflated 2D filter, if there is one. Behind a row: norm, share of its energy that varies over time, cosine with the
    inflated one.
    """
    scale = bound(bank)
    banks = [bank.kernel] if bank.start is None else [bank.kernel, bank.start]
    rows = [_row(bank, [painted(each[..., i], scale) for each in banks], i) for i in range(bank.kernel.shape[-1])]
    height, width = rows[0].shape[:2]
    columns = max(min(round(math.sqrt(ASPECT * len(rows) * height / width)), len(rows)), 1)
    length = math.ceil(len(rows) / columns)
    rows += [np.full_like(rows[0], 255)] * (length * columns - len(rows))
    parts = [np.concatenate(rows[at * length : (at + 1) * length]) for at in range(columns)]
    body = np.concatenate(parts, axis=1)
    return np.concatenate([*(visualize.text_line(text, body.shape[1]) for text in _words(bank, scale)), body])


def bound(bank):
    """Returns the weight of full colour, common to all filters: that above 99.5 % of them; for flow its length."""
    kernel = np.float64(bank.kernel)
    sizes = np.abs(kernel) if kernel.shape[3] == CHANNELS["rgb"] else np.hypot(kernel[..., 0, :], kernel[..., 1, :])
    return float(np.quantile(sizes, QUANTILE)) or 1.0


def painted(kernel, scale):
    """Returns uint8 (t, h, w, 3), a filter (t, h, w, C) in colours; `scale` is the weight of full colour."""
    if kernel.shape[-1] == CHANNELS["flow"]:
        return visualize.flow_to_color(kernel, scale)
    return np.rint(127.5 + 127.5 * np.clip(kernel / scale, -1, 1)).astype(np.uint8)


def _row(bank, filters, number):
    """A filter's number, its steps, those of the inflated one, and its numbers."""
    cells = []
    for steps in filters:
        enlarged = steps.repeat(PIXELS, axis=1).repeat(PIXELS, axis=2)
        cells += [np.pad(step, ((GAP, 0), (0, GAP), (0, 0)), constant_values=255) for step in enlarged]
        cells.append(np.full((cells[-1].shape[0], 4 * GAP, 3), 255, np.uint8))
    height = cells[0].shape[0]
    said = [f"norm {bank.norm[number]:.2f}"]
    said += [f"in time {bank.temporal_share[number]:.0%}"] if len(bank.kernel) > 1 else []
    said += [f"cosine {bank.cosine[number]:.2f}"] if bank.start is not None else []
    words = visualize.text_line(", ".join(said), WORDS)
    return np.concatenate([_in(visualize.text_line(str(number), NUMBER), height), *cells, _in(words, height)], axis=1)


def _in(text, height):
    """A text in the middle of a strip of a height."""
    strip = np.full((height, text.shape[1], 3), 255, np.uint8)
    top = max((height - text.shape[0]) // 2, 0)
    strip[top : top + text.shape[0]] = text[:height]
    return strip


def _words(bank, scale):
    """The lines above: what it is, the scale, what the columns are."""
    lines = [line.strip() for line in str(bank).splitlines()]
    if bank.kernel.shape[3] == CHANNELS["rgb"]:
        lines.append(f"one scale for all: grey is 0, black and white (of a channel) are -{scale:.3g} and {scale:.3g}")
    else:
        lines.append(f"the wheel of flow: hue is direction, white is 0, full colour is a length of {scale:.3g}")
    order = "time runs to the right" if len(bank.kernel) > 1 else "one step in time"
    if bank.start is not None:
        order += f"; left: trained, right: {bank.against}, repeated over time and divided by {len(bank.kernel)}"
    return [*lines, f"a row a filter; {order}"]
