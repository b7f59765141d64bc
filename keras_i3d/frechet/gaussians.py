"""Rows of features as a Gaussian: how many, their mean and their scatter, in one pass and in bounded memory.

Sums of squares lose all digits if the mean is large against the deviation. So what is kept is the scatter about the
mean, and two parts are merged by the formula of Chan, Golub and LeVeque (1979, "Updating formulae and a pairwise
algorithm for computing sample variances").
"""

import json
import os
import pathlib

import numpy as np

from keras_i3d import atomic, paths, stored
from keras_i3d.errors import one_line
from keras_i3d.version import __version__
from keras_i3d.weights import pickles

FORMAT = 1
BLOCK = 1 << 20  # numbers that are held in float64 at once: 8 MB
SYMMETRIC = 1e-9  # the most by which a file's scatter may differ from its transpose, as a share of its largest number
RAW = ("raw_mean", "raw_cov", "num_items")  # what a pickle of cd-fvd and StyleGAN-V holds: sums, and how many


class Gaussian:
    """Statistics of rows of features, which come in any number of parts.

    Memory is that of the scatter, size**2 numbers of 8 bytes, and of a block of rows, whatever the number of rows.

    Args:
        size: numbers of a row, such as 400 logits.
        notes: {name: what JSON can hold}, which is saved with the statistics: how the rows were made.

    Attributes:
        size: as given.
        count: how many rows there were.
        mean: float64 (size,), their mean; zeros as long as there are none.
        scatter: float64 (size, size), the sum of the outer products of rows minus their mean.
        notes: as given.
    """

    def __init__(self, size, notes=None):
        if not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(
                f"size must be a whole number of at least 1: the features of a row. Received: size={size!r}"
            )
        self.size = int(size)
        self.count = 0
        self.mean = np.zeros(self.size)
        self.scatter = np.zeros((self.size, self.size))
        self.notes = dict(notes or {})

    def __repr__(self):
        return f"Gaussian(size={self.size}, count={self.count})"

    def update(self, rows):
        """Adds rows.

        Args:
            rows: numbers (N, size) of any dtype; N may be 0 and as large as a file that is mapped into memory.

        Returns:
            The Gaussian itself.

        Raises:
            ValueError: another shape, or rows with NaN or infinity. Then none of the block in question is added.
        """
        rows = check_rows(rows, self.size)
        step = max(BLOCK // self.size, 1)
        for begin in range(0, len(rows), step):
            block = np.array(rows[begin : begin + step], np.float64)
            check_finite(block, begin)
            # About what is near their mean before their mean is taken: a sum of large numbers loses digits.
            shift = self.mean if self.count else block[0].copy()
            block -= shift
            offset = block.mean(axis=0)
            block -= offset
            self._merge(len(block), shift + offset, offset if self.count else None, block.T @ block)
        return self

    def merge(self, other):
        """Adds the rows of another Gaussian, such as another process's; the notes stay this one's.

        The result is that of one pass over all rows but for the rounding of float64.

        Returns:
            The Gaussian itself.
        """
        if not isinstance(other, Gaussian) or other.size != self.size:
            raise ValueError(f"Only a Gaussian of the same size can be merged, {self.size} here. Received: {other!r}")
        if other.count:
            self._merge(other.count, other.mean, other.mean - self.mean if self.count else None, other.scatter)
        return self

    def _merge(self, count, mean, offset, scatter):
        """Adds a part; `offset` is its mean minus this one's, None if this one is empty."""
        total = self.count + count
        if offset is None:
            self.mean, self.scatter = mean.copy(), scatter.copy()
        else:
            self.mean = self.mean + offset * (count / total)
            self.scatter = self.scatter + scatter + np.outer(offset, offset) * (self.count * (count / total))
        self.count = total

    def covariance(self, ddof=1):
        """Returns float64 (size, size), the scatter by N - ddof.

        Args:
            ddof: 1 for N - 1 ("N-1"), which is unbiased; 0 for N ("N"), the covariance of these rows themselves.

        Raises:
            ValueError: too few rows for that.
        """
        ddof = check_ddof(ddof)
        if self.count <= ddof:
            raise ValueError(
                f"A covariance by {'N - 1' if ddof else 'N'} needs at least {ddof + 1} rows. Received: {self.count}"
            )
        return self.scatter / (self.count - ddof)

    def save(self, path):
        """Writes a `.npz` of plain arrays: count, mean, scatter, and the notes as JSON. Atomic."""
        about = {"format": FORMAT, "version": __version__, "notes": self.notes}
        text = json.dumps(about, ensure_ascii=False, allow_nan=False)
        with atomic.replacing(pathlib.Path(paths.expand(path))) as temporary, open(temporary, "wb") as file:
            np.savez(file, count=np.int64(self.count), mean=self.mean, scatter=self.scatter, about=np.array(text))

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote. Nothing in the file is run, and nothing is believed before it is checked.

        Raises:
            ValueError: no such file, or one that does not hold the statistics of rows: wrong shapes, numbers that are
                not finite, a scatter that is none.
        """
        path = paths.expand(path)
        if not os.path.isfile(path):
            raise ValueError(f"Statistics are a .npz that Gaussian.save wrote. Received: {path}, no file")
        try:
            arrays = stored.read_npz(path)
            missing = sorted({"about", "count", "mean", "scatter"} - set(arrays))
            if missing:
                raise ValueError(f"it has no {', '.join(missing)}")
            about = json.loads(str(arrays["about"]))
            if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("notes"), dict):
                raise ValueError("its notes are of another format")
            return _checked(cls, arrays["count"], arrays["mean"], arrays["scatter"], about["notes"])
        except Exception as error:  # of a damaged archive, array or text: any of a dozen of types
            raise ValueError(
                f"{path}: not statistics that this version reads ({stored.reason(path, error)}). Make them again."
            ) from error


def read_pickle(path):
    """Reads a pickle of raw moments, as content-debiased-fvd publishes them and StyleGAN-V caches them.

    It holds the sum of the rows (raw_mean), the sum of their outer products (raw_cov) and their number (num_items). It
    is read by `weights.pickles`, which imports and calls nothing that a pickle names, and admits arrays alone.
    Where the mean is large against the deviation, such sums have lost digits, which nothing brings back.

    Returns:
        Gaussian, whose notes say {"moments": "raw", "file": name of the file}.

    Raises:
        ValueError: no such file, one that names code, or one without these three.
    """
    path = pathlib.Path(paths.expand(path))
    if not path.is_file():
        raise ValueError(f"A pickle of statistics holds {', '.join(RAW)}. Received: {path}, no file")
    try:
        held, _ = pickles.load(path.read_bytes())
        if not isinstance(held, dict) or not set(RAW) <= set(held):
            found = ", ".join(map(str, held))[:100] if isinstance(held, dict) else "no dictionary"
            raise ValueError(f"it holds {found or 'nothing'}, where {', '.join(RAW)} are needed")
        sums, products, count = (each.value if isinstance(each, pickles.Array) else each for each in map(held.get, RAW))
        sums, products, count = np.float64(sums), np.float64(products), np.asarray(count)
        if (
            count.shape != ()
            or count.dtype.kind not in "iuf"
            or not 1 <= count < 1 << 53
            or count % 1
            or sums.ndim != 1
        ):
            raise ValueError(f"num_items is {str(count)[:40]}, and raw_mean of shape {sums.shape}")
        count = int(count)
        mean = sums / count
        if products.shape != (len(mean), len(mean)):
            raise ValueError(f"raw_cov is of shape {products.shape}, and raw_mean of {sums.shape}")
        scatter = products - np.outer(mean, sums)
        # What the subtraction leaves of a feature that never moves may be a little less than nothing.
        lost = 1e-9 * np.abs(products.diagonal()).max()
        diagonal = scatter.diagonal()
        np.fill_diagonal(scatter, np.where((diagonal < 0) & (diagonal >= -lost), 0.0, diagonal))
        notes = {"moments": "raw", "file": path.name}
        return _checked(Gaussian, np.int64(count), mean, scatter, notes, np.abs(products).max())
    except pickles.NamesCodeError as error:
        raise ValueError(
            f"{path}: a pickle of statistics holds arrays, and nothing that would have to be run. "
            f"Received: {one_line(error)}. Do not open it by other means if you do not trust its source."
        ) from error
    except Exception as error:  # of a damaged pickle: any of a dozen of types
        raise ValueError(
            f"{path}: not a pickle of statistics ({stored.reason(path, error)}). Download it again."
        ) from error


def check_rows(rows, size=None):
    """Returns rows of features as an array (N, size), not copied, or raises what is wrong with their shape or dtype."""
    rows = np.asanyarray(rows)
    if rows.ndim != 2 or rows.dtype.kind not in stored.NUMBERS or not (size is None or rows.shape[1] == size):
        raise ValueError(
            f"Rows of features are numbers (N, {'features' if size is None else size}). "
            f"Received: {rows.dtype} {rows.shape}. Average or flatten what is more than one row a video."
        )
    if not rows.shape[1]:
        raise ValueError(f"A row has at least one feature. Received: rows of shape {rows.shape}")
    return rows


def check_finite(block, begin=0):
    """Raises ValueError that counts the rows with NaN or infinity; the first of the block is row `begin`."""
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"Features must be finite. Received: NaN or infinity in {len(bad)} of the {len(block)} rows from row "
            f"{begin} on, first in row {begin + bad[0]}. Check the videos and the weights, or use float32."
        )


def check_ddof(ddof):
    """Returns 0 or 1, of the names "N" and "N-1" too, or raises the rule."""
    found = {"N": 0, "N-1": 1}.get(ddof, ddof) if isinstance(ddof, str) else ddof
    if isinstance(found, bool) or found not in (0, 1):
        raise ValueError(f'ddof must be 1 (a covariance by N - 1, "N-1") or 0 (by N, "N"). Received: ddof={ddof!r}')
    return int(found)


def _checked(kind, count, mean, scatter, notes, largest=None):
    """The Gaussian of what a file says; raises ValueError unless rows can have such statistics."""
    if count.shape != () or count.dtype.kind not in "iu" or count < 0:
        raise ValueError("its count is no number of rows")
    if mean.ndim != 1 or not mean.size or scatter.shape != (mean.size, mean.size):
        raise ValueError(f"its mean is of shape {mean.shape}, its scatter of {scatter.shape}")
    if {mean.dtype.kind, scatter.dtype.kind} != {"f"}:
        raise ValueError(f"its mean is {mean.dtype}, its scatter {scatter.dtype}")
    bad = np.count_nonzero(~np.isfinite(mean)) + np.count_nonzero(~np.isfinite(scatter))
    if bad:
        raise ValueError(f"{bad} of its numbers are NaN or infinity")
    largest = np.abs(scatter).max() if largest is None else largest
    if np.abs(scatter - scatter.T).max() > SYMMETRIC * largest:
        raise ValueError("its scatter is not symmetric")
    deviations = np.sqrt(np.maximum(scatter.diagonal(), 0))
    beyond = np.abs(scatter) - np.outer(deviations, deviations)
    if scatter.diagonal().min() < 0 or beyond.max() > SYMMETRIC * largest:
        raise ValueError("its scatter is none: features vary together by more than each of them varies")
    if count < 2 and scatter.any():
        raise ValueError(f"its scatter is not zero, and it counts {count} rows")
    made = kind(mean.size, notes)
    made.count, made.mean = int(count), np.array(mean, np.float64)
    made.scatter = (np.float64(scatter) + np.float64(scatter).T) / 2
    return made
