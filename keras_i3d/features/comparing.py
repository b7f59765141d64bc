"""Two files of features of one video, theirs and ours: which conventions differ, in numbers and in words."""

import dataclasses
import itertools
import os

import numpy as np

from keras_i3d import paths
from keras_i3d.plurals import counted
from keras_i3d.specs import ordinal

FURTHEST = 32  # rows that one file may be later than the other
FEWEST = 3  # rows that it takes to see a change in time
CLEARLY = 0.01  # by how much more alike files have to be if they are read in a way that is less likely
SAME, ALIKE = 0.98, 0.5  # correlations: of the same features, and of features that have to do with one another
ROUNDING, NEAR = 1e-3, 0.05  # relative differences; those of two videos are larger, by the same network too
HELD_OUT = 8  # rows that it takes to fit a line to each channel on every second one, and to test it on the others
UNLIKE = "no convention makes them alike"
CROPS = (1, 5, 10)  # how many there usually are


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What makes two files of features alike.

    Attributes:
        shapes: {"theirs", "ours": shape}.
        cosine: float64 (rows,): of the rows as they are, the first with the first; of several crops their mean. None if
            the axes, or the numbers of channels or crops, differ.
        aligned: float64 (rows,): the same once all that follows is taken into account.
        correlation: in [-1, 1]: the mean cosine of rows whose channels were each centred over time. Rows of one network
            are alike whatever the video; what this compares is how they change.
        axes: {"theirs", "ours": order of the file's axes, as of `Layout`}.
        lag, step: row step * i + lag of ours is row i of theirs. A step below 1 is that of theirs: row i / step + lag
            of theirs is row i of ours.
        ratio: of the lengths, if rows are spread over them alike, as at two frame rates; else None.
        streams: "same", "swapped", or "ours 1", "ours 2", "theirs 1", "theirs 2": the half of that file's channels that
            the other file has alone.
        halves: the correlation of each half of the channels; None if there are none.
        crops: which crop of the file with more, or of ours, each of the other's is; empty if it is the mean of all.
        scale: ours over theirs.
        differences: which conventions differ, in words; empty if none does.
        alike: whether they are the same features once the conventions are taken into account.
    """

    shapes: dict
    cosine: np.ndarray | None
    aligned: np.ndarray
    correlation: float
    axes: dict
    lag: int
    step: float
    ratio: float | None
    streams: str
    halves: tuple | None
    crops: tuple
    scale: float
    differences: tuple
    alike: bool

    def __str__(self):
        rows = "their axes, channels or crops differ" if self.cosine is None else _spread(self.cosine)
        halves = "" if self.halves is None else " (halves {:.4f}, {:.4f})".format(*self.halves)
        lines = [
            f"theirs {self.shapes['theirs']}, ours {self.shapes['ours']}",
            f"cosine of rows as they are: {rows}",
            f"cosine of rows once aligned: {_spread(self.aligned)}",
            f"correlation of their change in time: {self.correlation:.4f}{halves}",
            f"best axes: theirs {self.axes['theirs']}, ours {self.axes['ours']}; best lag: {self.lag}; "
            f"best step: {self.step:g}; best streams: {self.streams}; best scale: {self.scale:.4g}",
        ]
        if len(self.crops) > 1:
            lines.append(f"best order of crops: {', '.join(map(str, self.crops))}")
        return "\n".join([*lines, *(f"- {words}" for words in self.differences or ("no convention differs",))])

    def record(self):
        """Returns plain values, as JSON holds them; of the cosines their mean."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        means = {name: values[name] for name in ("cosine", "aligned")}
        return values | {name: None if rows is None else float(np.mean(rows)) for name, rows in means.items()}


def compare(theirs, ours):
    """Finds the conventions by which two files of features of the same video differ.

    It tries axes transposed, rows later or farther apart, another frame rate, the two halves of the channels swapped or
    one of them alone, crops in another order or their mean, and another scale; and it tells a network's inputs in
    another range from other differences by channels that are scaled and shifted each in its own way.

    Args:
        theirs, ours: a .npy file, or an array: (T, C) or (C, T), and of several crops (N, T, C) in any order of its
            axes. Of maps, (T, H, W, C), the mean over height and width is taken.

    Returns:
        A Comparison.

    Raises:
        ValueError: an array of other axes, values that are not finite, or files whose channels cannot be the same.
    """
    given = {"theirs": _read(theirs, "theirs"), "ours": _read(ours, "ours")}
    fit = _best_fit(given["theirs"], given["ours"])
    if fit is None:
        shapes = " and ".join(f"{whose} {array.shape}" for whose, array in given.items())
        raise ValueError(
            "Features are compared if they have as many channels, or one file the half of the other's: one stream. "
            f"Received: {shapes}. Were they made by the same network and endpoint?"
        )
    return _described(fit, given)


@dataclasses.dataclass(frozen=True)
class _Fit:
    """A way to read both files, and how much alike they are then."""

    axes: tuple
    theirs: np.ndarray  # (N, T, C), as is the next one
    ours: np.ndarray
    streams: str
    lag: int = 0
    step: float = 1
    ratio: float | None = None
    score: float = -1.0

    def rows(self):
        """Returns (places of theirs, places of ours) of the rows that are one another."""
        return _rows(self.theirs.shape[1], self.ours.shape[1], self.lag, self.step, self.ratio)


def _read(given, whose):
    if isinstance(given, str | os.PathLike):
        path = paths.expand(given)
        try:
            array = np.load(path)
        except ValueError as error:
            raise ValueError(f"Features are a .npy file of numbers. Received: {path}: {error}") from error
    else:
        path, array = whose, np.asarray(given)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or not 2 <= array.ndim <= 5 or not array.size:
        received = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "a file of several arrays"
        raise ValueError(
            f"Features are a .npy file or an array of numbers, (T, C) or (N, T, C). Received: {path}: {received}"
        )
    array = array.astype("float64")
    if not np.isfinite(array).all():
        raise ValueError(f"Features are finite. Received: {path}, of which {np.sum(~np.isfinite(array))} are not")
    return array.mean(axis=(-3, -2)) if array.ndim > 3 else array


def _views(array):
    """Returns [(order of its axes, the array as (N, T, C))]: the ways in which it may be read, the usual one first.

    The channels of a network differ from one another more than what it sees does from one moment to the next. So they
    are along the axis whose means spread the most.
    """
    axes = range(array.ndim)
    spread = [np.var(array.mean(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    usual, found = array.ndim - 1, int(np.argmax(spread))
    views = []
    for channels in dict.fromkeys((usual, found)):
        others = [axis for axis in axes if axis != channels]
        crops = sorted(others, key=lambda axis: (array.shape[axis] not in CROPS, array.shape[axis]))[0]
        letters = dict.fromkeys(others, "T") | {channels: "C"}
        if array.ndim == 2:
            views.append(("".join(letters[axis] for axis in axes), np.moveaxis(array, channels, -1)[None]))
            continue
        letters[crops] = "N"
        order = "".join(letters[axis] for axis in axes)
        views.append((order, np.transpose(array, [order.index(axis) for axis in "NTC"])))
    return views


def _best_fit(theirs, ours):
    """Returns the _Fit of the highest score, a likelier one where others are hardly better; None if nothing fits."""
    plain = best = None
    for (their_axes, a), (our_axes, b) in itertools.product(_views(theirs), _views(ours)):
        for streams, first, second in _halves(a, b):
            fit = _Fit((their_axes, our_axes), first, second, streams)
            plain, fit = plain or fit, _timed(fit)
            if best is None or fit.score > best.score + CLEARLY:
                best = fit
    return best if best is None or best.score >= ALIKE / 2 else plain  # else what is best is best by chance


def _halves(a, b):
    """Yields (streams, theirs, ours) of as many channels."""
    mine, other = a.shape[-1], b.shape[-1]
    if mine == other:
        yield "same", a, b
        if mine % 2 == 0:
            yield "swapped", np.roll(a, mine // 2, axis=-1), b
    elif 2 * mine == other:
        yield "ours 1", a, b[..., :mine]
        yield "ours 2", a, b[..., mine:]
    elif mine == 2 * other:
        yield "theirs 1", a[..., :other], b
        yield "theirs 2", a[..., other:], b


def _timed(fit):
    """Returns the same with the lag, the step and the ratio that make the means over crops most alike."""
    a, b = (_normed(_centred(array.mean(axis=0))) for array in (fit.theirs, fit.ours))
    many, others = len(a), len(b)
    tried = [({"lag": lag}, 1e-6 if lag else 0) for lag in sorted(range(-FURTHEST, FURTHEST + 1), key=abs)]
    times = round(max(many, others) / min(many, others))
    if times > 1:
        step = times if others > many else 1 / times
        tried += [({"lag": lag, "step": step}, CLEARLY) for lag in range(-times, 2 * times)]
    if 2 < abs(many - others) < 2 * min(many, others):
        tried.append(({"ratio": others / many}, CLEARLY))
    least = max(min(FEWEST, many, others), min(many, others) // 2)
    best = fit
    for found, by in tried:
        i, j = _rows(many, others, **found)
        if len(i) >= least:
            score = float(np.mean(np.sum(_taken(a, i) * _taken(b, j), axis=1)))
            if score > best.score + by:
                best = dataclasses.replace(fit, score=score, **found)
    return best


def _rows(many, others, lag=0, step=1, ratio=None):
    """Returns (places of theirs, places of ours) of the rows that are one another, of so many rows."""
    i, j = np.arange(many), np.arange(others)
    if ratio:
        j = np.floor((i + 0.5) * ratio).astype(int)
    elif step >= 1:
        j = i * int(step) + lag
    else:
        i = j * round(1 / step) + lag
    there = (i >= 0) & (i < many) & (j >= 0) & (j < others)
    return i[there], j[there]


def _taken(rows, places):
    """The rows at these places; a view of those that stand side by side, as for every lag."""
    together = len(places) and places[-1] - places[0] + 1 == len(places)
    return rows[places[0] : places[-1] + 1] if together else rows[places]


def _centred(rows):
    """Returns rows (..., T, C) without the mean of each channel over time; as they are if they are too few for one."""
    return rows - rows.mean(axis=-2, keepdims=True) if rows.shape[-2] >= FEWEST else rows


def _normed(rows):
    """Returns rows (..., C) of length 1, or of zeros, as float32."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.float32(rows / np.where(length > 0, length, 1))


def _cosines(a, b):
    """The cosines of the rows of (..., C) and (..., C); 0 where either is all zeros."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.sum(a * b, axis=-1) / np.where(lengths > 0, lengths, 1)


def _correlation(a, b):
    """The mean cosine of rows (N, T, C) that were centred over time; 1 of files that never change alike."""
    a, b = _centred(a), _centred(b)
    if not a.any() and not b.any():
        return 1.0
    return float(np.mean(_cosines(a, b)))


def _scale(a, b):
    """The number by which a is nearest to b."""
    energy = np.sum(a * a)
    return float(np.sum(a * b) / energy) if energy else 1.0


def _matched_crops(a, b):
    """Returns (crops of theirs, crops of ours) that are one another, of (N, T, C) and (M, T, C)."""
    if len(a) > len(b):
        return _matched_crops(b, a)[::-1]
    own = np.arange(len(a))
    first, second = _normed(_centred(a)), _normed(_centred(b))
    alike = np.array([[np.mean(np.sum(one * other, axis=-1)) for other in second] for one in first])
    found = np.argmax(alike, axis=1)
    likelier = alike[own, found].mean() > alike[own, own].mean() + ROUNDING
    return own, found if likelier and len(set(found)) == len(found) else own


def _described(fit, given):
    """Returns the Comparison of a _Fit."""
    i, j = fit.rows()
    a, b = fit.theirs[:, i], fit.ours[:, j]
    counts = len(a), len(b)
    n, m = _matched_crops(a, b)
    crops = tuple(map(int, m if counts[0] <= counts[1] else n))
    means = [array.mean(axis=0, keepdims=True) for array in (a, b)]
    a, b = a[n], b[m]
    if min(counts) == 1 < max(counts) and _correlation(*means) > _correlation(a, b) + ROUNDING:
        (a, b), crops = means, ()
    correlation, halves, half = _correlation(a, b), None, a.shape[-1] // 2
    if a.shape[-1] == 2 * half and fit.streams in ("same", "swapped"):
        halves = _correlation(a[..., :half], b[..., :half]), _correlation(a[..., half:], b[..., half:])
    values, alike = _values(a, b, halves)
    conventions = [*_axes_words(*fit.axes), *_stream_words(fit.streams), *_row_words(fit), *_crop_words(crops, counts)]
    if values and values[0].startswith(UNLIKE):
        conventions = []
    return Comparison(
        shapes={whose: array.shape for whose, array in given.items()},
        cosine=_as_they_are(fit) if fit.streams in ("same", "swapped") and len(set(fit.axes)) == 1 else None,
        aligned=_cosines(a, b).mean(axis=0),
        correlation=correlation,
        axes=dict(zip(given, fit.axes)),
        lag=fit.lag,
        step=fit.step,
        ratio=fit.ratio,
        streams=fit.streams,
        halves=halves,
        crops=crops,
        scale=_scale(a, b),
        differences=(*conventions, *values),
        alike=alike,
    )


def _as_they_are(fit):
    """The cosines of the first row with the first, and so on; None if the files differ in crops."""
    a, b = fit.theirs, fit.ours
    if len(a) != len(b):
        return None
    if fit.streams == "swapped":
        a = np.roll(a, a.shape[-1] // 2, axis=-1)  # as it was
    rows = min(a.shape[1], b.shape[1])
    return _cosines(a[:, :rows], b[:, :rows]).mean(axis=0)


def _axes_words(theirs, ours):
    same = theirs == ours if len(theirs) == len(ours) else theirs.replace("N", "") == ours.replace("N", "")
    if not same:
        yield f"the axes differ: theirs are {theirs}, ours {ours}"


def _stream_words(streams):
    if streams == "swapped":
        yield "the halves of the channels, which are rgb and flow where there are two streams, are swapped"
    elif streams != "same":
        whose, half = streams.split()
        other = {"ours": "theirs", "theirs": "ours"}[whose]
        yield f"{other} has one stream: half {half} of the channels of {whose}"


def _row_words(fit):
    many, others, lag = fit.theirs.shape[1], fit.ours.shape[1], fit.lag
    if fit.ratio:
        yield (
            f"ours has {fit.ratio:.3f} times as many rows, and they spread over the video alike: the frame rate or the "
            "step differs"
        )
        return
    if fit.step != 1:
        one, other = ("theirs", "ours") if fit.step > 1 else ("ours", "theirs")
        times = round(max(fit.step, 1 / fit.step))
        yield f"a row of {one} is every {ordinal(times)} row of {other}, from row {lag} on: the step differs"
        return
    if lag:
        first, second, rows = ("theirs", "ours", lag) if lag > 0 else ("ours", "theirs", -lag)
        yield (
            f"{first} begins {counted(rows, 'row')} later (its row 0 is row {rows} of {second}): the "
            "window or its offset differs"
        )
    behind = others - lag - many
    if behind and many != others:
        which, rows = ("ours", behind) if behind > 0 else ("theirs", -behind)
        yield (
            f"{which} has {counted(rows, 'row')} more at the end: the tail, the last window or flow's "
            "missing field differs"
        )


def _crop_words(crops, counts):
    if counts[0] != counts[1]:
        fewer, more = ("theirs", "ours") if counts[0] < counts[1] else ("ours", "theirs")
        listed = ", ".join(map(str, crops))
        one = f"{fewer} has {min(counts)} of the {max(counts)} crops of {more}: {listed}, counted from 0"
        yield one if crops else f"{fewer} is the mean over the {max(counts)} crops of {more}"
    elif crops != tuple(range(len(crops))):
        yield f"the order of crops differs: theirs are, in their order, ours {', '.join(map(str, crops))}, from 0"


def _values(a, b, halves=None):
    """Returns (words on what differs in the values of files that are aligned, whether they are the same features).

    Args:
        a, b: (N, T, C).
        halves: the correlations of the halves of their channels, if these are two streams.
    """
    size = np.linalg.norm(b) or 1.0
    scale, correlation = _scale(a, b), _correlation(a, b)
    plain, scaled = (np.linalg.norm(b - x) / size for x in (a, scale * a))
    if plain <= ROUNDING:
        return [], True
    few, one_half = a.shape[1] < FEWEST, halves is not None and max(halves) >= SAME
    if not few and correlation < ALIKE and not one_half and plain > NEAR:
        return [f"{UNLIKE}: the best correlation is {correlation:.2f}"], False
    if scaled <= 10 * ROUNDING and abs(scale - 1) > 10 * ROUNDING:
        return [
            f"values of ours are {scale:.4g} times theirs: a mean against a sum, or another range of the inputs of a "
            "network without offsets"
        ], True
    if few and plain > NEAR:
        return [f"too few rows to tell: it takes {FEWEST}, and they have {a.shape[1]} in common"], False
    if halves is not None:
        parts = list(zip(np.split(a, 2, axis=-1), np.split(b, 2, axis=-1)))
        same = [np.linalg.norm(y - x) <= ROUNDING * size for x, y in parts]
        same = [correlation >= SAME for correlation in halves] if sum(same) != 1 else same
        if sum(same) == 1:
            differs = same.index(False)
            (words,), _ = _values(*parts[differs])
            one, other = ("second", "first") if differs == 0 else ("first", "second")
            return [
                f"the {one} half of the channels is the same, and the {other} is not, so one stream alone is made "
                f"otherwise (of flow, such as by another method, or resized later). There {words}"
            ], False
    explained, slope, offset = _lines(a, b)
    if explained > ALIKE:
        return [
            f"channels are scaled and shifted, each in its own way (slopes {slope[0]:.2f} to {slope[1]:.2f}, offsets "
            f"up to {offset:.2f} of a channel's deviation). That explains {explained:.0%} of the difference, so the "
            "range of the inputs differs: the mean and the deviation, or the order of the colours"
        ], False
    return [
        f"the same video and network, it seems, and not the same numbers (relative difference {plain:.2g}): the "
        "resize, the crop, the frame rate, the decoder, the weights or the method of flow differs"
    ], correlation >= SAME or plain <= NEAR


def _lines(a, b):
    """How well a line for each channel makes ours of theirs, which a wrong range of inputs nearly does.

    Returns:
        The share of the squared difference that lines explain, on rows that they were not fitted to; the slopes' 10th
        and 90th percentile; the 90th percentile of offsets over the channels' deviation. A share of 0 for few rows.
    """
    a, b = (x.reshape(-1, x.shape[-1]) for x in (a, b))
    if len(a) < HELD_OUT:
        return 0.0, (1.0, 1.0), 0.0
    fitted, held = slice(0, None, 2), slice(1, None, 2)
    mean_a, mean_b = a[fitted].mean(axis=0), b[fitted].mean(axis=0)
    spread = np.sum((a[fitted] - mean_a) ** 2, axis=0)
    alive = spread > 1e-12 * np.max(spread)  # a channel may be zero throughout
    slopes = np.where(
        alive, np.sum((a[fitted] - mean_a) * (b[fitted] - mean_b), axis=0) / np.where(alive, spread, 1), 1
    )
    offsets = mean_b - slopes * mean_a
    left = np.sum((b[held] - slopes * a[held] - offsets) ** 2)
    deviation = np.where(alive, b.std(axis=0), np.inf)
    relative = np.abs(offsets) / np.where(deviation > 0, deviation, np.inf)
    explained = 1 - left / np.sum((b[held] - a[held]) ** 2)
    low, high = np.percentile(slopes[alive], [10, 90])
    return float(explained), (float(low), float(high)), float(np.percentile(relative[alive], 90))


def _spread(cosines):
    """Words on the cosines of rows."""
    least = int(np.argmin(cosines))
    return f"mean {np.mean(cosines):.4f}, least {cosines[least]:.4f} (row {least} of {len(cosines)})"
