"""How far a Frechet distance of few videos is from that of infinitely many, and what does not depend on their number.

  python benchmarks/few_videos.py [--quick]

Rows of 400 made features, whose deviations fall as 1 / sqrt(i), stand for videos. The second source has 1.1 times the
deviations, and means that are 0.2 deviations away, so that its distance is known: 0.05 of the first source's variance.
The table is that of docs/fvd.md. --quick goes up to 512 rows.
"""

import pathlib
import sys

import numpy as np
from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from keras_i3d import frechet  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "Fewer rows, and no value at infinity.")

COUNTS = (64, 128, 256, 401, 512, 1024, 2048)
FEATURES = 400


def sources(rows):
    """Returns rows of the first source twice, and of the second one: three arrays (rows, 400)."""
    draw = np.random.default_rng(0)
    deviations = 1 / np.sqrt(np.arange(1, FEATURES + 1))
    first, again, other = (draw.normal(size=(rows, FEATURES)) for _ in range(3))
    return first * deviations, again * deviations, (1.1 * other + 0.2) * deviations


def measured(counts):
    """Returns a row of the table for each number of rows: distances and kernel distances, same source and other."""
    first, again, other = sources(max(counts))
    variance = (1 / np.arange(1, FEATURES + 1)).sum()
    table = []
    for count in counts:
        pairs = [(first[:count], side[:count]) for side in (again, other)]
        distances = [frechet.from_features(*pair).value / variance for pair in pairs]
        table.append((count, *distances, *(frechet.kernel_distance(*pair).value for pair in pairs)))
    return table


def main(_):
    counts = COUNTS[:5] if _QUICK.value else COUNTS
    sides = ("same source: should be 0", "other source: should be 0.0500")
    print(f"| N of each side | {' | '.join(sides)} | kernel distance, same source | kernel distance, other source |")
    print("|---|---|---|---|---|")
    for count, same, other, *kernels in measured(counts):
        print(f"| {count} | {same:.4f} | {other:.4f} | {' | '.join(f'{kernel:.5f}' for kernel in kernels)} |")
    if not _QUICK.value:
        first, *others = sources(max(counts))
        variance = (1 / np.arange(1, FEATURES + 1)).sum()
        values = [frechet.extrapolated(first, other).value / variance for other in others]
        print(f"| infinite, by `extrapolated` | {values[0]:.4f} | {values[1]:.4f} | | |")


if __name__ == "__main__":
    app.run(main)
