"""The parts of frames and fields that a network sees: where they lie, mirrored, and fields resized."""

import functools

import numpy as np

from keras_i3d.features.layouts import MIRRORED
from keras_i3d.specs import BOTH


def corner(height, width, size, place):
    """Returns (top, left) of a crop.

    Args:
        height, width: of the frame, in pixels.
        size: pixels of a side of the square; where a side of the frame is shorter, all there is of it.
        place: "tl", "tr", "c", "bl" or "br", or the same with "_mirrored" at the end.
    """
    spare = [max(side - size, 0) for side in (height, width)]
    place = place.removesuffix("_mirrored")
    if place == "c":
        return tuple(each // 2 for each in spare)
    return spare[0] * (place[0] == "b"), spare[1] * (place[1] == "r")


def crop(frames, size, place):
    """Returns the part of frames (..., H, W, C) at a place, as it is: a view, not mirrored."""
    top, left = corner(*frames.shape[-3:-1], size, place)
    return frames[..., top : top + size, left : left + size, :]


def kept(frame, size, places):
    """Returns what has to be kept of a frame (H, W, C) for its crops: the part itself if it is one, or all of it."""
    return crop(frame, size, places[0]).copy() if len(places) == 1 else frame


def clip(frames, size, places, place, stream):
    """Returns the crop of a clip at one of its places, mirrored if the place is.

    Args:
        frames: a list of what `kept` gave.
        size, places: as for `kept`.
        place: one of `places`.
        stream: "rgb", "flow" or "both"; mirrored, dx of flow changes its sign.

    Returns:
        (T, h, w, C).
    """
    if len(places) > 1:
        frames = [crop(frame, size, place) for frame in frames]
    found = np.stack(frames)
    if place not in MIRRORED:
        return found
    found = found[:, :, ::-1]
    if stream != "rgb":
        found = found.copy()
        found[..., 3 if stream == BOTH else 0] *= -1
    return found


def resized(field, width, height):
    """Returns a field (H, W, 2) at another size, its values as they are: pixels of the size that it had.

    Bilinear, with pixels that are squares around their centres (half-pixel), and without averaging where it shrinks:
    each place is read from the four nearest ones alone, as OpenCV's INTER_LINEAR does.
    """
    for axis, size in ((0, height), (1, width)):
        low, high, share = _places(field.shape[axis], size)
        share = share[:, None, None] if axis == 0 else share[None, :, None]
        field = np.take(field, low, axis) * (1 - share) + np.take(field, high, axis) * share
    return field


@functools.lru_cache(maxsize=64)
def _places(old, new):
    """For each place of the new size the two of the old one that it lies between, and its share of the second."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = np.floor(place).astype(np.intp)
    return low, np.minimum(low + 1, old - 1), np.float32(place - low)
