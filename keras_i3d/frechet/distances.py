"""How far two sets of features are apart: the Frechet distance of their Gaussians, and the polynomial kernel distance.

NumPy alone. The features may be anybody's: 400 logits of I3D, or what another network says of a video.
"""

import dataclasses
import os
import types

import numpy as np

from keras_i3d import paths, stored
from keras_i3d.errors import check_rules, notice
from keras_i3d.frechet.gaussians import Gaussian, check_ddof, check_finite, check_rows, read_pickle
from keras_i3d.progress import Bar

FORMS = ("symmetric", "scipy")
ESTIMATORS = ("unbiased", "biased")
NOISE = 4 * np.finfo(np.float64).eps  # an eigenvalue below this share of the largest is a zero that was rounded
SINGULAR = 1e-4  # a pivot below this share of the largest: the covariance is nearly singular, and takes eigenvectors
NEGATIVE = 1e-6  # an eigenvalue below minus this share of the largest is none of a covariance
ROWS = 1024  # of features that are held in float64 at once, and on each side of a tile of the kernel
SIZES = 8  # points of an extrapolation, from half of the rows to all


@dataclasses.dataclass(frozen=True)
class Distance:
    """A Frechet distance and what it is made of; `float(distance)` is its value.

    Attributes:
        value: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). Of equal sets it is zero but for rounding, which may leave
            it a little below.
        mean_term: |m1 - m2|^2, the part of the means.
        covariance_term: the rest, the part of the covariances.
        counts: rows of both sides.
        size: features of a row.
        ddof: 1 if the covariances are by N - 1, 0 if by N.
        form: how the square root was taken, one of `FORMS`.
        notes: what makes the value hard to compare, a sentence each.
    """

    value: float
    mean_term: float
    covariance_term: float
    counts: tuple
    size: int
    ddof: int
    form: str
    notes: tuple = ()

    def __float__(self):
        return self.value


@dataclasses.dataclass(frozen=True)
class KernelDistance:
    """A kernel distance (squared MMD); `float(distance)` is its value.

    Attributes:
        value: of the whole sets, or the mean over blocks. The unbiased estimator may be below zero.
        standard_error: the deviation over blocks by the square root of their number; None of the whole sets. If blocks
            share rows (see `disjoint`) it is too small.
        deviation: the deviation over blocks, which papers on KID print after the mean; None of the whole sets.
        block, blocks: rows of each side in a block; how many blocks.
        disjoint: whether no row is in two blocks.
        estimator: one of `ESTIMATORS`.
    """

    value: float
    standard_error: float | None
    deviation: float | None
    block: int | tuple
    blocks: int
    disjoint: bool
    estimator: str

    def __float__(self):
        return self.value


@dataclasses.dataclass(frozen=True)
class Interval:
    """Where the distance of so many rows lies, were others drawn from the same two sources.

    Attributes:
        value: the distance of the rows themselves.
        low, high: ends of the interval.
        level: its probability, such as 0.95.
        standard_error: deviation of the draws.
        draws: float64 (draws,), the distances of the resampled rows. They lie above the value: a resampled set has
            fewer different rows. So the interval is their spread about their mean, laid about the value.
    """

    value: float
    low: float
    high: float
    level: float
    standard_error: float
    draws: np.ndarray

    def __float__(self):
        return self.value


@dataclasses.dataclass(frozen=True)
class Extrapolation:
    """The distance that infinitely many rows would have; `float(extrapolation)` is its value.

    Attributes:
        value: where the line through the points meets 1/N = 0.
        slope: of the line, by 1/N: the bias of N rows is about slope / N.
        points: (N, mean distance of the draws of N rows, their deviation) of each size.
        misfit: the most by which a point is off the line. If it is not small against the value, N is too small for a
            line, or there are too few draws.
    """

    value: float
    slope: float
    points: tuple
    misfit: float

    def __float__(self):
        return self.value


def frechet_distance(a, b, ddof=1, form="symmetric"):
    """The Frechet distance of two Gaussians (Dowson & Landau 1982; of videos: Unterthiner et al., arXiv 1812.01717).

    Both forms give the same number if the covariances have full rank. If not, as of fewer rows than features, "scipy"
    takes the square root of rounding errors, and is off by 1e-8 to 1e-5 of the value.

    Args:
        a, b: Gaussian of each side, of one size.
        ddof: 1 for covariances by N - 1, 0 for N; "N-1" and "N" say the same.
        form: "symmetric", the trace of (A^(1/2) B A^(1/2))^(1/2) (as TFGAN defines it), taken as the sum of the
            singular values of A^(1/2) B^(1/2); or "scipy", the real part of the trace of scipy.linalg.sqrtm(A B), taken
            by the eigenvalues of the product.

    Returns:
        Distance. If a side has one row and ddof is 1, it has no covariance, and the distance is that of the means
        alone, as common_metrics_on_video_quality takes it; `notes` says so.

    Raises:
        ValueError: Gaussians of different sizes or without rows, or a covariance that is none.
    """
    ddof = check_ddof(ddof)
    check_rules(types.SimpleNamespace(form=form), [("form", form in FORMS, f"one of {', '.join(FORMS)}")])
    for side in (a, b):
        if not isinstance(side, Gaussian) or not side.count or side.size != a.size:
            raise ValueError(
                "The Frechet distance is that of two Gaussians of one size, each with a row at least. "
                f"Received: {a!r} and {b!r}"
            )
    mean_term, covariance_term = float(np.sum((a.mean - b.mean) ** 2)), 0.0
    notes = few_rows((a.count, b.count), a.size)
    if min(a.count, b.count) <= ddof:
        notes += ("A side has a single row, and so no covariance by N - 1: the distance is that of the means alone.",)
    else:
        first, second = a.covariance(ddof), b.covariance(ddof)
        sides = (first, a.count), (second, b.count)
        factors = [_triangle(*side) for side in sides]
        # With full rank both forms are one number, and SciPy's road takes three times as long.
        if form == "symmetric" or all(factor is not None for factor in factors):
            root = _trace_of_root(*(_factor(*side) if made is None else made for made, side in zip(factors, sides)))
        else:
            root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
        covariance_term = float(np.trace(first) + np.trace(second) - 2 * root)
    counts = a.count, b.count
    return Distance(mean_term + covariance_term, mean_term, covariance_term, counts, a.size, ddof, form, notes)


def few_rows(counts, size):
    """Returns sentences on sides with fewer rows than a covariance of full rank needs, and on sides of unequal N."""
    notes = tuple(
        f"{count} rows are fewer than the {size + 1} that a covariance of {size} features needs for full rank: "
        "the distance is far too large, and compares with none of another N."
        for count in dict.fromkeys(counts)
        if count < size + 1
    )
    if counts[0] != counts[1]:
        notes += (f"The sides have {counts[0]} and {counts[1]} rows, and the distance falls with both numbers.",)
    return notes


def _triangle(covariance, count):
    """Returns F, float64 (size, size), whose F.T @ F is a covariance that is far from singular; None of another one.

    By Cholesky, in a tenth of the time of eigenvectors.
    """
    if count <= len(covariance):
        return None
    try:
        lower = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    pivots = lower.diagonal()
    return lower.T if pivots.min() > SINGULAR * pivots.max() else None


def _factor(covariance, count):
    """Returns F, float64 (rank, size), whose F.T @ F is the covariance of `count` rows.

    Such a covariance has at most count - 1 directions. What eigh gives for the others is rounding, 1e-16 of the largest
    eigenvalue, whose square root would be 1e-8 of it each: those are left out.
    """
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -NEGATIVE * values[-1]:
        raise ValueError(
            f"A covariance has no negative eigenvalues. Received: {values[0]:.3g} (largest {values[-1]:.3g})"
        )
    kept = values > NOISE * values[-1]
    kept[: max(len(values) - (count - 1), 0)] = False
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def _trace_of_root(first, second):
    """The trace of (A^(1/2) B A^(1/2))^(1/2), by factors: singular values need no square root of small numbers."""
    if not len(first) or not len(second):
        return 0.0
    return np.linalg.svd(first @ second.T, compute_uv=False).sum()


def from_features(a, b, ddof=1, form="symmetric"):
    """The Frechet distance of any features, by whatever network they are.

    Args:
        a, b: each side: numbers (N, d), the path of a `.npy` of that shape (read block by block), a Gaussian, or the
            path of statistics, `.npz` of `Gaussian.save` or `.pkl` of raw moments.
        ddof, form: as for `frechet_distance`.

    Returns:
        Distance. Its notes are printed, too, such as that N is below d + 1.

    Raises:
        ValueError: other shapes, d different between the sides, NaN or infinity.
    """
    distance = frechet_distance(gaussian_of(a), gaussian_of(b), ddof, form)
    for note in distance.notes:
        notice(note)
    return distance


def gaussian_of(side):
    """Returns the Gaussian of a side as `from_features` takes it."""
    if isinstance(side, Gaussian):
        return side
    suffix = os.path.splitext(os.fspath(side))[1].lower() if isinstance(side, str | os.PathLike) else ""
    if suffix == ".npz":
        return Gaussian.load(side)
    if suffix in (".pkl", ".pickle"):
        return read_pickle(side)
    rows = rows_of(side)
    return Gaussian(rows.shape[1]).update(rows)


def rows_of(side):
    """Returns rows (N, d) of an array or of the path of a `.npy`, which stays on the disk; never a pickle."""
    if not isinstance(side, str | os.PathLike):
        return check_rows(side)
    path = paths.expand(side)
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(rows, np.ndarray):
            raise ValueError("it holds several arrays")
    except Exception as error:  # of a damaged file, or of none: any of several types
        why = stored.reason(path, error) if os.path.isfile(path) else "no file"
        raise ValueError(
            f"Features are numbers (N, d), or the path of a .npy of them. Received: {path} ({why})"
        ) from error
    return check_rows(rows)


def kernel_distance(x, y, degree=3, gamma=None, coef0=1.0, estimator="unbiased", block=None, blocks=None, seed=0):
    """The squared maximum mean discrepancy of two sets by the kernel (gamma x.y + coef0)^degree.

    By default the unbiased cubic form of KID (Binkowski et al., arXiv 1801.01401). It needs no more rows than features,
    and does not fall with N. Memory is that of a tile of the kernel matrix, whatever N is.

    Args:
        x, y: each side: numbers (N, d), or the path of a `.npy`.
        degree: power of the kernel.
        gamma: factor of the product; None for 1 / d.
        coef0: what is added to it.
        estimator: "unbiased", without the pairs of a row with itself; or "biased", with them (V-statistic).
        block: rows of each side in a block; None for N / blocks, or for all rows if `blocks` is None too.
        blocks: how many blocks; None for as many as there are without a row in two of them.
        seed: of the draw of the blocks.

    Returns:
        KernelDistance, not multiplied by anything: some papers print it times 100 or 1000.

    Raises:
        ValueError: other shapes, too few rows, NaN or infinity.
    """
    x, y = rows_of(x), rows_of(y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"Both sides have the same features. Received: rows of shape {x.shape} and {y.shape}")
    least, fewest = min(len(x), len(y)), 2 if estimator == "unbiased" else 1
    whole = block is None and blocks is None
    if block is None:
        block = least if whole else least // max(int(blocks), 1)
    if blocks is None:
        blocks = 1 if whole else max(least // max(int(block), 1), 1)
    given = types.SimpleNamespace(degree=degree, gamma=gamma, estimator=estimator, block=block, blocks=blocks)
    check_rules(
        given,
        [
            ("degree", degree >= 1 and int(degree) == degree, "a whole number of at least 1"),
            ("gamma", gamma is None or gamma > 0, "above 0, or None for 1 / d"),
            ("estimator", estimator in ESTIMATORS, f"one of {', '.join(ESTIMATORS)}"),
            ("block", fewest <= block <= least, f"{fewest} to {least} rows, those of the smaller side"),
            ("blocks", blocks >= 1 and int(blocks) == blocks, "a whole number of at least 1"),
        ],
    )
    settings = int(degree), 1 / x.shape[1] if gamma is None else gamma, coef0, estimator
    if whole:
        value = _discrepancy(x, y, *settings)
        return KernelDistance(value, None, None, (len(x), len(y)), 1, True, estimator)
    draw = np.random.default_rng(seed)
    chosen = zip(_blocks(len(x), block, blocks, draw), _blocks(len(y), block, blocks, draw))
    values = np.array([_discrepancy(x[first], y[second], *settings) for first, second in chosen])
    deviation = float(values.std(ddof=1)) if blocks > 1 else None
    error = None if deviation is None else deviation / blocks**0.5
    return KernelDistance(float(values.mean()), error, deviation, block, blocks, blocks * block <= least, estimator)


def _blocks(count, block, blocks, draw):
    """Yields the sorted indices of each block: those of one shuffling until it is used up, then of the next."""
    order = np.array([], int)
    for _ in range(blocks):
        if len(order) < block:
            order = draw.permutation(count)
        yield np.sort(order[:block])
        order = order[block:]


def _discrepancy(x, y, degree, gamma, coef0, estimator):
    def total(first, second, own):
        """The sum over all pairs; with `own`, without those of a row with itself."""
        found = 0.0
        for i in range(0, len(first), ROWS):
            left = _block(first, i)
            for j in range(0, len(second), ROWS):
                found += float(((gamma * (left @ _block(second, j).T) + coef0) ** degree).sum())
            if own:
                found -= float(((gamma * np.einsum("nd,nd->n", left, left) + coef0) ** degree).sum())
        return found

    unbiased, (m, n) = estimator == "unbiased", (len(x), len(y))
    within = total(x, x, unbiased) / (m * (m - unbiased)) + total(y, y, unbiased) / (n * (n - unbiased))
    return within - 2 * total(x, y, False) / (m * n)


def _block(rows, begin):
    block = np.float64(rows[begin : begin + ROWS])
    check_finite(block, begin)
    return block


def bootstrap(x, y, draws=100, seed=0, level=0.95, ddof=1, form="symmetric", shown=False):
    """How much the Frechet distance moves if other rows of the same sources are drawn: a bootstrap interval.

    It says nothing of the bias of few rows: see `extrapolated`. Memory is that of two Gaussians and a block of rows.

    Args:
        x, y: each side: numbers (N, d), or the path of a `.npy`; or a Gaussian, which is taken as exact.
        draws: how many times rows are drawn, N of N with repetition.
        seed: of the draws.
        level: probability of the interval.
        ddof, form: as for `frechet_distance`.
        shown: whether a progress bar is.

    Returns:
        Interval.

    Raises:
        ValueError: as `frechet_distance` does, or both sides are Gaussians.
    """
    x, y = _resampled((x, y))
    given = types.SimpleNamespace(draws=draws, level=level)
    check_rules(given, [("draws", draws >= 2, "at least 2"), ("level", 0 < level < 1, "between 0 and 1")])
    value = frechet_distance(gaussian_of(x), gaussian_of(y), ddof, form).value
    draw, found = np.random.default_rng(seed), np.empty(draws)
    with Bar("bootstrap", draws, "draws", shown=shown) as bar:
        for i in bar.over(range(draws)):
            sides = (_subset(side, lambda count: draw.integers(count, size=count)) for side in (x, y))
            found[i] = frechet_distance(*sides, ddof, form).value
    low, high = np.quantile(found, ((1 - level) / 2, (1 + level) / 2)) - found.mean() + value
    return Interval(value, float(low), float(high), level, float(found.std(ddof=1)), found)


def extrapolated(x, y, sizes=None, draws=4, seed=0, ddof=1, form="symmetric", shown=False):
    """The Frechet distance of infinitely many rows, by a line through the distances of fewer and fewer against 1/N.

    The distance of N rows is too large by about a constant by N (Chong & Forsyth, "Effectively unbiased FID and
    Inception score", CVPR 2020, arXiv 1911.07023). There the real side is fixed: pass it as a Gaussian. If both sides
    are rows, both are cut to N, and the bias of both is removed.

    Args:
        x, y: as for `bootstrap`.
        sizes: the N of the points, at least two different ones; None for eight from half of the smaller side to all of
            it. Below d + 1 rows the points leave the line.
        draws: subsets of each size, without repetition; of all rows there is one.
        seed: of the draws.
        ddof, form: as for `frechet_distance`.
        shown: whether a progress bar is.

    Returns:
        Extrapolation.

    Raises:
        ValueError: as `bootstrap` does.
    """
    x, y = _resampled((x, y))
    most = min(len(side) for side in (x, y) if not isinstance(side, Gaussian))
    if sizes is None:
        sizes = np.linspace(max(most // 2, 2), most, SIZES).astype(int)
    sizes = sorted({int(size) for size in sizes})
    given = types.SimpleNamespace(sizes=sizes, draws=draws)
    held = len(sizes) > 1 and sizes[0] >= 2 and sizes[-1] <= most
    rule = f"at least two different numbers of 2 to {most} rows, those of the smaller side"
    check_rules(given, [("sizes", held, rule), ("draws", draws >= 1, "at least 1")])
    draw, points = np.random.default_rng(seed), []
    with Bar("extrapolate", len(sizes), "sizes", shown=shown) as bar:
        for size in bar.over(sizes):
            found = []
            for _ in range(draws if any(size < len(side) for side in (x, y) if not isinstance(side, Gaussian)) else 1):
                sides = (_subset(side, lambda count: draw.permutation(count)[:size]) for side in (x, y))  # noqa: B023
                found.append(frechet_distance(*sides, ddof, form).value)
            points.append((size, float(np.mean(found)), float(np.std(found))))
    inverse, means = 1 / np.array(sizes), np.array([mean for _, mean, _ in points])
    slope, value = np.polyfit(inverse, means, 1)
    misfit = np.abs(slope * inverse + value - means).max()
    return Extrapolation(float(value), float(slope), tuple(points), float(misfit))


def _resampled(sides):
    """Both sides as rows or Gaussian; raises ValueError if no side has rows to draw from."""
    sides = [side if isinstance(side, Gaussian) else rows_of(side) for side in sides]
    if all(isinstance(side, Gaussian) for side in sides):
        raise ValueError(
            f"Rows are drawn from one side at least: numbers (N, d). Received: {sides[0]!r} and {sides[1]!r}"
        )
    return sides


def _subset(side, choose):
    """The Gaussian of chosen rows, read a block at a time in the order of the file; a Gaussian is passed on."""
    if isinstance(side, Gaussian):
        return side
    chosen, found = np.sort(choose(len(side))), Gaussian(side.shape[1])
    for begin in range(0, len(chosen), ROWS):
        found.update(side[chosen[begin : begin + ROWS]])
    return found
