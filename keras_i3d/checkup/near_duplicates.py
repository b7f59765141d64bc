"""Clips of two splits that show the same: by a hash of their frames, then by small pictures of them.

The hash is a difference hash: a frame in 9 x 8 grey cells, and for each whether its right neighbour is brighter, which
makes 64 bits at each of three moments. Compression and scaling change few of them; cutting another part of a video
changes many, so what is found is a lower bound.

Two clips of one room by a camera that stands are alike too, and are no duplicates: there, what changes within a clip
tells them apart.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_i3d.checkup.record_sample import raw_records
from keras_i3d.records import sequence_example

MOST = 400  # clips of a split that are compared
MOMENTS = (0.25, 0.5, 0.75)  # of the length
BITS = 64 * len(MOMENTS)
NEAR = 0.08  # of the bits that may differ
THUMB = 16  # cells of a side of the small pictures
ALIKE = 8.0  # mean levels by which these may differ
MOVES = 0.5  # levels by which the cells of a clip change, as a root mean square, if they say what happens in it
SAME_MOTION = 0.5  # least correlation of what changes in two clips that show the same
FLAT = 6.0  # levels of deviation between the cells, below which the hash is of noise


@dataclasses.dataclass(frozen=True)
class Prints:
    """What is compared of the clips of a split.

    Attributes:
        ids: of the clips.
        bits: float32 (clips, BITS), +1 and -1.
        thumbs: float32 (clips, moments, THUMB, THUMB, 3).
        of: how many clips the split has.
    """

    ids: tuple
    bits: np.ndarray
    thumbs: np.ndarray
    of: int


def prints(split, most=MOST):
    """Returns the Prints of a Split: of at most so many clips, without those whose frames are of one brightness."""
    ids, bits, thumbs = [], [], []
    every = split.places(1 << 62)
    chosen = every if len(every) <= most else [every[i] for i in np.linspace(0, len(every) - 1, most).astype(int)]
    for raw in raw_records(chosen):
        try:
            parsed = sequence_example.parse(raw, ("rgb",))
            images = parsed["rgb"]
            if not len(images):
                continue
            frames = [
                sequence_example.decode_rgb(images[int(share * (len(images) - 1))]).numpy().astype("float32")
                for share in MOMENTS
            ]
        except (tf.errors.OpError, ValueError):
            continue
        cells = np.stack([averaged(frame.mean(-1), 8, 9) for frame in frames])
        if cells.std(axis=(1, 2)).min() < FLAT:
            continue
        ids.append(parsed["id"].numpy().decode(errors="backslashreplace"))
        bits.append(np.where(np.diff(cells, axis=2) > 0, 1, -1).astype("float32").ravel())
        thumbs.append(np.stack([averaged(frame, THUMB, THUMB) for frame in frames]))
    return Prints(
        tuple(ids),
        np.array(bits).reshape(-1, BITS),
        np.array(thumbs).reshape(-1, len(MOMENTS), THUMB, THUMB, 3),
        len(every),
    )


def averaged(image, rows, columns):
    """Returns the means of an image, (H, W) or (H, W, C), over so many cells; one that is smaller is repeated."""
    for axis, count in ((0, rows), (1, columns)):
        size = image.shape[axis]
        if size < count:
            image = np.repeat(image, -(-count // size), axis)
            size = image.shape[axis]
        edges = np.linspace(0, size, count + 1).astype(int)
        sizes = np.diff(edges).reshape([-1 if i == axis else 1 for i in range(image.ndim)])
        image = np.add.reduceat(image, edges[:-1], axis) / sizes
    return image


def pairs(a, b):
    """Returns [(id in a, id in b, bits that differ)] of clips of two Prints that show the same, the nearest first."""
    if not len(a.ids) or not len(b.ids):
        return []
    differing = (BITS - a.bits @ b.bits.T) / 2
    found = []
    for i, j in zip(*np.nonzero(differing <= NEAR * BITS)):
        if np.abs(a.thumbs[i] - b.thumbs[j]).mean() <= ALIKE and _change_alike(a.thumbs[i], b.thumbs[j]):
            found.append((a.ids[i], b.ids[j], int(differing[i, j])))
    return sorted(found, key=lambda each: each[2])


def _change_alike(a, b):
    """Whether the same changes within two clips, given their small pictures; so it is where nothing does in either."""
    a, b = (thumbs - thumbs.mean(axis=0) for thumbs in (a, b))
    sizes = [np.sqrt(np.square(each).mean()) for each in (a, b)]
    return max(sizes) < MOVES or (a * b).mean() >= SAME_MOTION * sizes[0] * sizes[1]
