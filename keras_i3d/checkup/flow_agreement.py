"""Stored flow against flow that is computed again from the stored frames: which component, which sign, which scale.

Frames were compressed since, so the two are not equal; where there is motion they are close. Of the eight ways to take
(dx, dy) the one that correlates best with ours is the one that was stored.
"""

import dataclasses

import numpy as np

from keras_i3d.flow import compute

PAIRS = 18  # of frames at most
MOTION = 0.3  # pixels per frame that a pair moves by at least, the 90th percentile, to say anything
WAYS = {
    "(dx, dy)": (0, 1, 1, 1),
    "(-dx, dy)": (0, -1, 1, 1),
    "(dx, -dy)": (0, 1, 1, -1),
    "(-dx, -dy)": (0, -1, 1, -1),
    "(dy, dx)": (1, 1, 0, 1),
    "(-dy, dx)": (1, -1, 0, 1),
    "(dy, -dx)": (1, 1, 0, -1),
    "(-dy, -dx)": (1, -1, 0, -1),
}  # by name: for each stored channel, which component of ours it is compared with, and its sign
RIGHT = next(iter(WAYS))


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How stored flow agrees with ours.

    Attributes:
        pairs: how many pairs of frames it is of.
        correlations: {way: correlation over all of them}, of `WAYS`.
        scale: stored flow as a share of ours, by the way that correlates best.
        motion: mean length of ours, pixels per frame.
    """

    pairs: int
    correlations: dict
    scale: float
    motion: float

    @property
    def best(self):
        """The way that correlates best."""
        return max(self.correlations, key=self.correlations.get)


def compare(clips):
    """Compares the flow of ClipSamples with ours; returns an Agreement, or None where nothing moves.

    Args:
        clips: `record_sample.ClipSample`s; those without flow are left out.
    """
    stored, ours, moving = [], [], 0
    pairs = [
        (frames, field, clip.bound)
        for clip in clips
        if clip.flow is not None
        for frames, field in zip(clip.frames, clip.flow)
    ]
    for frames, field, bound in [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(PAIRS, len(pairs))).astype(int)]:
        if frames[0].shape[:2] != field.shape[:2] or (frames[0] == frames[1]).all():
            continue
        mine = np.clip(compute(frames)[0], -bound, bound)
        if np.percentile(np.linalg.norm(mine, axis=-1), 90) < MOTION:
            continue
        stored.append(field.reshape(-1, 2))
        ours.append(mine.reshape(-1, 2))
        moving += 1
    if not moving:
        return None
    stored, ours = np.concatenate(stored), np.concatenate(ours)
    taken = {name: np.stack([a * ours[:, i], b * ours[:, j]], -1) for name, (i, a, j, b) in WAYS.items()}
    found = {name: _correlation(stored, field) for name, field in taken.items()}
    best = taken[max(found, key=found.get)]
    scale = float((stored * best).sum() / max((best * best).sum(), 1e-9))
    return Agreement(moving, found, scale, float(np.linalg.norm(ours, axis=-1).mean()))


def _correlation(a, b):
    """Correlation of two fields about zero, because zero is no motion; 0 where one of them is zero."""
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0
