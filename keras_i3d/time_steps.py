"""Where the frames of a clip lie among a network's rows of logits, so that each frame, or any moment, has logits.

A step of a network is `step` frames, and a row of its logits is made of `window` steps that follow each other: row r is
of the frames from r * step up to (r + window) * step, and its logits stand at the middle of them. Between two such
middles logits are interpolated linearly; before the first and after the last they are those of that row. Both numbers
are those of the network's `Family`. So a frame has the same logits in a clip of any length, but near its ends.
"""

import numpy as np


def middles(rows, step, window):
    """Returns float64 (rows,): the place of each row's middle, in frames of the clip, the first one being 0."""
    return (np.arange(rows) + window / 2) * step - 0.5


def matrix(frames, rows, step, window):
    """Returns float32 (frames, rows), which times rows of logits (rows, classes) are logits of the frames.

    Each of its rows sums up to 1, and at most two of its numbers are not 0.
    """
    lower, share = _between(middles(rows, step, window), np.arange(frames))
    found = np.zeros((frames, rows), np.float32)
    found[np.arange(frames), lower] = 1 - share
    found[np.arange(frames), np.minimum(lower + 1, rows - 1)] += share
    return found


def at(logits, places, step, window):
    """Interpolates rows of logits.

    Args:
        logits: float (rows, classes), the rows of a whole clip in their order.
        places: float (N,), in frames of the clip; whole numbers are its frames.
        step, window: as of `Family`.

    Returns:
        float64 (N, classes).
    """
    return interpolated(logits, middles(len(logits), step, window), places)


def interpolated(logits, middles, places):
    """Interpolates logits that stand at any places, linearly; before the first and after the last they are held.

    Args:
        logits: float (rows, classes).
        middles: float (rows,), increasing: where each of them stands.
        places: float (N,), in the same unit.

    Returns:
        float64 (N, classes).
    """
    lower, share = _between(middles, places)
    upper, share = np.minimum(lower + 1, len(middles) - 1), share[:, None]
    return np.float64(logits[lower]) * (1 - share) + np.float64(logits[upper]) * share


def _between(middles, places):
    """Returns (the row before each place, how far the place is from it to the next one, in [0, 1])."""
    numbers = np.interp(places, middles, np.arange(len(middles)))
    lower = np.floor(numbers).astype(int)
    return lower, numbers - lower


def stretches(there, fps):
    """Returns ((start, end), ...), in seconds from the first frame: the frames that follow each other and are there.

    Args:
        there: bool (frames,).
        fps: frames per second. A frame lasts until the next one, the last one as long.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    return tuple((start / fps, end / fps) for start, end in edges.reshape(-1, 2).tolist())
