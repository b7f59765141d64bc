"""Whether a map holds: the logit as the parts that it names first are hidden, against parts drawn at random.

The deletion curve of Petsiuk et al., "RISE" (arXiv 1806.07421), over time and space. A video is parted into blocks, one
for each position of the map. The blocks with the most evidence are hidden first: mid-grey frames, and no motion. If the
map tells what the network looks at, the logit falls sooner than with blocks at random, and the area below is smaller.
"""

import dataclasses

import numpy as np

STEPS, SEEDS = 6, 3
HIDDEN = "mid-grey frames, no motion"  # what stands where a block is hidden


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks:
    """A clip in blocks: each frame, row and column belongs to the nearest position of a map.

    Attributes:
        shape: (T', H', W') of the map.
        times, rows, columns: int arrays of the clip's (T,), (h,) and (w,): the position that each belongs to.
    """

    shape: tuple
    times: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, centres, clip_shape):
        """The Blocks of a map whose positions look at these places, as `activation_maps.centres` gives them."""
        nearest = [np.abs(np.arange(size)[:, None] - at).argmin(axis=1) for at, size in zip(centres, clip_shape)]
        return cls(tuple(map(len, centres)), *nearest)

    def mask(self, hidden, start, stop):
        """Returns bool (stop - start, h, w): what is hidden of some frames of the clip.

        Args:
            hidden: bool (T', H', W'), the blocks that are.
            start, stop: of the frames.
        """
        return hidden[np.ix_(self.times[start:stop], self.rows, self.columns)]


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Logits of a label as more and more of a video is hidden.

    Attributes:
        shares: float64 (N + 1,), of the blocks that are hidden, from 0 to 1.
        important: float64 (N + 1,): the logits where blocks go by their evidence, the most first.
        random: float64 (seeds, N + 1): where they go in a random order.
        runs: how many times the video went through a network for it.
    """

    shares: np.ndarray
    important: np.ndarray
    random: np.ndarray
    runs: int

    @property
    def area(self):
        """The area below `important`: its mean logit over the shares."""
        return float(_area(self.important, self.shares))

    @property
    def random_areas(self):
        """float64 (seeds,): the areas below each of `random`."""
        return np.array([_area(each, self.shares) for each in self.random])

    @property
    def holds(self):
        """Whether the map does better than every random order: its area is the smallest."""
        return bool(self.area < self.random_areas.min())

    def __add__(self, other):
        """The Curve of two networks whose logits are summed: the same share of each one's blocks is hidden."""
        important, random = self.important + other.important, self.random + other.random
        return Curve(self.shares, important, random, self.runs + other.runs)

    def __str__(self):
        areas = self.random_areas
        chance = f"smaller than all, which a map of nothing is in 1 of {len(areas) + 1} cases"
        said = chance if self.holds else "NOT smaller than all: the map does not hold"
        return (
            f"deletion area {self.area:.3f}, at random {areas.mean():.3f} ({areas.min():.3f} to {areas.max():.3f}, "
            f"{len(areas)} orders); {said}"
        )


def shares(steps):
    """Returns float64 (steps + 1,): which shares of the blocks are hidden; fine at the begin, where most happens."""
    return (np.arange(steps + 1) / steps) ** 2


def runs(steps, seeds=SEEDS):
    """Returns how often a clip goes through its network for a Curve, at most: with all hidden once for all orders."""
    return (steps - 1) * (1 + seeds) + 1 if steps else 0


def curve(score, evidence, logit, steps=STEPS, seeds=SEEDS):
    """Measures a Curve.

    Args:
        score: from bool (T', H', W'), the blocks that are hidden, to the logit.
        evidence: float (T', H', W'): the map.
        logit: of the clip with nothing hidden.
        steps: how many shares are hidden, at least 2: the last one is all, which no order changes.
        seeds: how many random orders there are; the seeds are 0, 1, ...
    """
    wanted = shares(steps)
    counts = np.maximum(np.rint(wanted * evidence.size).astype(int), wanted > 0)
    orders = [np.argsort(-evidence, axis=None, kind="stable")]
    orders += [np.random.default_rng(seed).permutation(evidence.size) for seed in range(seeds)]
    everything = score(np.ones(evidence.shape, bool))
    found, made = [], 1
    for order in orders:
        logits = {0: logit, evidence.size: everything}
        for count in counts.tolist():
            if count not in logits:
                hidden = np.zeros(evidence.size, bool)
                hidden[order[:count]] = True
                logits[count] = score(hidden.reshape(evidence.shape))
                made += 1
        found.append([logits[count] for count in counts.tolist()])
    important, *random = np.float64(found)
    return Curve(wanted, important, np.array(random).reshape(seeds, -1), made)


def _area(values, at):
    """The area below a line through points, by trapezoids."""
    return np.sum((values[1:] + values[:-1]) / 2 * np.diff(at))
