"""Whether red and blue were swapped: by a source video, which decides it, or by colours alone, which only suggests it.

Without a source nothing is certain, because sea, sky, snow and stage light are blue. The rule looks for what swapped
pictures have and others rarely do: below the middle of the picture, where the sky is not, most coloured pixels are
b > g > r, the mirror image of skin, wood, earth and brick, and few are r > g > b. A picture of a single hue says
nothing.
"""

import numpy as np

COLOURED = 24  # levels between the largest and the smallest channel of a pixel that has a colour
LEAST = 0.01  # of the pixels that have a colour, so that they say something
COLD, TIMES = 0.5, 4  # of the coloured pixels, at least; and as many times as many as there are warm ones
HUES, ONE = 36, 0.6  # bins of the circle of hues; of the coloured pixels, in the fullest bin, so that it is one hue
CLOSER = 0.8  # how much closer than as it is a picture comes to its source when swapped, so that it was swapped
APART = 1.0  # levels that the two differ by at least


def looks_swapped(frames):
    """Returns whether frames of one video look as if red and blue were swapped, by the rule above, and two shares.

    Args:
        frames: uint8 (T, H, W, 3), RGB, at least one.

    Returns:
        (whether, share of the coloured pixels that are b > g > r, share of those that are r > g > b).
    """
    lower = frames[:, frames.shape[1] // 2 :].reshape(-1, 3).astype("int16")
    pixels = lower[lower.max(1) - lower.min(1) > COLOURED]
    if len(pixels) < LEAST * len(lower):
        return False, 0.0, 0.0
    red, green, blue = pixels.T
    cold, warm = np.mean((blue > green) & (green > red)), np.mean((red > green) & (green > blue))
    one_hue = np.bincount(_hues(pixels), minlength=HUES).max() > ONE * len(pixels)
    return bool(cold >= COLD and cold >= TIMES * warm and not one_hue), float(cold), float(warm)


def _hues(pixels):
    """The bin of the hue of each coloured pixel, as an angle around the axis of greys."""
    red, green, blue = pixels.T.astype("float32")
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    return ((angle / (2 * np.pi) % 1) * HUES).astype(int) % HUES


def swapped_against(stored, source):
    """Compares a stored frame with its source, as it is and with red and blue swapped.

    Args:
        stored, source: uint8 (H, W, 3) of one size, RGB as far as anyone knows.

    Returns:
        (whether it was swapped, levels apart as it is, levels apart when swapped). Grey pictures are never swapped.
    """
    stored, source = stored.astype("float32"), source.astype("float32")
    same, other = float(np.abs(stored - source).mean()), float(np.abs(stored[..., ::-1] - source).mean())
    return same - other > APART and other < CLOSER * same, same, other
