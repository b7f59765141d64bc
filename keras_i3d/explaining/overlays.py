"""Evidence painted over frames: smooth maps, a hue for and a hue against, contours, bars over time, their legend."""

import numpy as np

from keras_i3d import visualize

FOR, AGAINST = (217, 95, 2), (84, 39, 143)  # orange and purple, which differ in light too, and to colour-blind eyes
INK, FAINT = (31, 41, 55), (209, 213, 219)
OPACITY = 0.62  # of full colour
SPREAD = 0.42  # of the distance between two positions: the deviation of the Gaussians that a map is smoothed by
CONTOUR = 0.5  # of full colour, where a line is drawn
BAR_HEIGHT = 56  # pixels of the bars over time


def smoothing(centres, places):
    """Returns float64 (places, centres): weights, the sum of each row 1, that spread a map over what lies between.

    Args:
        centres: float (N,), where the positions of a map look.
        places: float (M,), where it is wanted, in the same unit.
    """
    spacing = np.diff(centres).mean() if len(centres) > 1 else 1.0
    powers = -0.5 * ((np.asarray(places)[:, None] - centres) / (SPREAD * spacing)) ** 2
    weights = np.exp(powers - powers.max(axis=1, keepdims=True))  # far from all of them the nearest one counts
    return weights / weights.sum(axis=1, keepdims=True)


class Painter:
    """Paints one stream's map over pictures of its video.

    Args:
        values: float (T', H', W'), the map.
        centres: (times, rows, columns), where its positions look.
        size: (h, w) of the clip.
        factor: how many times larger the pictures are.

    Attributes:
        bound: the value of full colour: the largest of the map, whatever its sign.
    """

    def __init__(self, values, centres, size, factor=1):
        self.values, self.times, self.factor = values, centres[0], factor
        self.bound = float(np.abs(values).max()) or 1.0
        self._rows, self._columns = (
            smoothing(at, enlarged_places(side, factor)) for at, side in zip(centres[1:], size)
        )

    def at(self, time):
        """Returns float64 (h, w), the map at a moment, in frames of the clip."""
        (weights,) = smoothing(self.times, [time])
        return self._rows @ np.tensordot(weights, self.values, 1) @ self._columns.T

    def paint(self, picture, time, keep_colours=False):
        """Returns uint8 (h, w, 3): the map of a moment over a picture.

        Args:
            picture: uint8 (h, w, 3), of the size of the clip.
            time: in frames of the clip.
            keep_colours: whether the picture keeps its colours, made paler; else it becomes grey.
        """
        base = enlarged(picture, self.factor)
        if keep_colours:
            base = 255 - 0.55 * (255 - base)
        else:
            base = np.repeat(base @ np.array([[0.299], [0.587], [0.114]]), 3, axis=-1)
        return paint(base, self.at(time) / self.bound)


def paint(base, evidence):
    """Paints evidence over a picture.

    Args:
        base: float (h, w, 3) in [0, 255].
        evidence: float (h, w); 1 is full colour for, -1 against.

    Returns:
        uint8 (h, w, 3). A line surrounds what is above half of full colour.
    """
    strength = np.clip(np.abs(evidence), 0, 1)[..., None]
    hue = np.where(evidence[..., None] >= 0, np.float64(FOR), np.float64(AGAINST))
    painted = base + (hue - base) * OPACITY * strength
    for inside, colour in ((evidence > CONTOUR, FOR), (evidence < -CONTOUR, AGAINST)):
        painted[_border(inside)] = 0.6 * np.float64(colour)
    return np.rint(painted).astype(np.uint8)


def _border(inside):
    """The pixels of a region next to one outside of it; the edge of the picture is no border."""
    padded = np.pad(inside, 1, mode="edge")
    whole = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~whole


def enlarged_places(side, factor):
    """Where the pixels of an enlarged side lie, in pixels of the side."""
    return (np.arange(side * factor) + 0.5) / factor - 0.5


def enlarged(picture, factor):
    """Returns float64 (factor h, factor w, 3), a picture with straight lines between its pixels."""
    picture = np.float64(picture)
    for axis in (0, 1) if factor > 1 else ():
        size = picture.shape[axis]
        at = np.clip(enlarged_places(size, factor), 0, size - 1)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, size - 1), at - low
        part = part.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        picture = np.take(picture, low, axis) * (1 - part) + np.take(picture, high, axis) * part
    return picture


def bars(values, centres, length, width, cursor=None):
    """Draws what each step adds over time, uint8 (BAR_HEIGHT, width, 3): up is for, down is against.

    Args:
        values: float (T',).
        centres: float (T',), where the steps look, in frames of the clip.
        length: frames of the clip.
        width: pixels.
        cursor: the frame at which a line stands; None for none.
    """
    strip = np.full((BAR_HEIGHT, width, 3), 255, np.uint8)
    high, low = max(values.max(), 0.0), min(values.min(), 0.0)
    scale = (BAR_HEIGHT - 5) / max(high - low, 1e-30)
    zero = 2 + round(high * scale)
    nearest = np.abs((np.arange(width) + 0.5)[:, None] * length / width - 0.5 - centres).argmin(axis=1)
    for column, step in enumerate(nearest.tolist()):
        tip = zero - round(values[step] * scale)
        top, bottom = min(tip, zero), max(tip, zero)
        gap = column and nearest[column - 1] != step  # a white line between two steps
        colour = FOR if values[step] >= 0 else AGAINST
        strip[top : bottom + 1, column] = (255, 255, 255) if gap and width > 4 * len(values) else colour
    strip[zero] = INK
    if cursor is not None:
        at = min(int((cursor + 0.5) / length * width), width - 1)
        strip[:, max(at - 1, 0) : at + 1] = INK
    return strip


def legend(bound, unit, width, signed=True):
    """Draws the scale of the colours with its numbers, uint8 (h, width, 3).

    Args:
        bound: the value of full colour.
        unit: words on what it counts.
        width: pixels.
        signed: whether there is evidence against.
    """
    length = min(160, max(width // 3, 2))
    ramp = np.linspace(-1 if signed else 0, 1, length)
    bar = paint(np.full((14, length, 3), 190.0), ramp[None].repeat(14, 0))
    low = f"{-bound:.3g} (purple: against)" if signed else "0"
    said = f"{low} to {bound:.3g} (orange: for) {unit}; a line surrounds what is above {CONTOUR * bound:.3g}"
    text = visualize.text_line(said, max(width - length - 12, 40))
    strip = np.full((max(len(bar), len(text)) + 8, width, 3), 255, np.uint8)
    strip[4 : 4 + len(bar), 6 : 6 + length] = bar[:, : width - 6]
    right = strip[4 : 4 + len(text), length + 12 :]
    right[:] = text[:, : right.shape[1]]
    return strip
