"""Charts as PNG, by matplotlib (extra `report`)."""

import io
import re
import warnings

import numpy as np

from keras_i3d import lacking_characters
from keras_i3d.errors import missing_package

INK, FAINT, WRONG = "#1f2937", "#9ca3af", "#c2410c"
COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#db2777")
DPI = 160
NAMED = 40  # classes up to which a confusion matrix names them
COUNTED = 15  # classes up to which it has numbers
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds from one to the next
MOST_TICKS = 12
MISSING = r"Glyph (\d+) .*missing from"  # how matplotlib warns of a character that its font lacks


def matplotlib(what="The report of an evaluation"):
    """Returns the module, or raises the ImportError that says how to install it; `what` begins its message."""
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise missing_package("matplotlib", "'keras-i3d[report]'", what) from error
    return matplotlib


def confusion(matrix, labels):
    """Draws a confusion matrix, int (classes, classes), rows being the videos' classes; shades are shares of a row."""
    count = len(labels)
    side = float(np.clip(2 + 0.3 * count, 4, 10))
    figure, (axes,) = _figure(side + 0.8, side)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("named as")
    axes.set_ylabel("class of the video")
    if count <= NAMED:
        axes.set_xticks(range(count), [_short(label) for label in labels], rotation=90)
        axes.set_yticks(range(count), [_short(label) for label in labels])
        axes.tick_params(length=0)
    for row, column in np.argwhere(matrix) if count <= COUNTED else ():
        shade = "white" if shares[row, column] > 0.55 else INK
        axes.text(column, row, matrix[row, column], ha="center", va="center", color=shade, fontsize=8)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=_percent())
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=INK)
    return _png(figure)


def worst_confusions(worst, labels):
    """Draws the list of `metrics.worst_confusions`."""
    figure, (axes,) = _figure(8, 0.9 + 0.3 * max(len(worst), 2))
    if not worst:
        axes.text(0.5, 0.5, "no video was named wrongly", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return _png(figure)
    names = [f"{_short(labels[i])} \N{RIGHTWARDS ARROW} {_short(labels[j])}" for i, j, *_ in worst]
    videos = [count for *_, count, _ in worst]
    axes.barh(range(len(worst)), videos, color=WRONG, height=0.65)
    for place, (*_, count, share) in enumerate(worst):
        text = f" {count}  ({share:.0%} of the class)"
        axes.text(count, place, text, va="center", color=INK, fontsize=8)
    axes.set_yticks(range(len(worst)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max(videos) * 1.3)
    axes.set_xlabel("videos (class of the video \N{RIGHTWARDS ARROW} named as)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis="y", length=0)
    return _png(figure)


def average_precisions(found, per_frame=False):
    """Draws the average precision of each class that occurs, the best first; of many those at both ends.

    Args:
        found: [(label, videos, average precision)], NaN for a class without videos.
        per_frame: whether they are those per frame, which is said.
    """
    known = sorted((each for each in found if not np.isnan(each[2])), key=lambda each: -each[2])
    shown = known if len(known) <= NAMED else [*known[: NAMED // 2], *known[-(NAMED // 2) :]]
    figure, (axes,) = _figure(8, 0.9 + 0.25 * max(len(shown), 2))
    if not shown:
        axes.text(0.5, 0.5, "no video has a label", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return _png(figure)
    axes.barh(range(len(shown)), [value for *_, value in shown], color=COLOURS[0], height=0.65)
    for place, (_, videos, value) in enumerate(shown):
        axes.text(value, place, f" {value:.0%}  ({videos})", va="center", color=INK, fontsize=8)
    axes.set_yticks(range(len(shown)), [_short(label) for label, *_ in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15)
    axes.xaxis.set_major_formatter(_percent())
    if len(shown) < len(known):
        axes.axhline(NAMED // 2 - 0.5, color=FAINT, linewidth=0.8)
    axes.set_xlabel(f"average precision{' per frame' if per_frame else ''} (videos with the label)")
    axes.tick_params(axis="y", length=0)
    return _png(figure)


def curves(logs):
    """Draws the rows of `runs.Run.log` of each stream: loss, and top-1, over the steps; validation is drawn solid.

    Of several labels a video mean average precision takes the place of top-1; it is measured on the validation alone.
    """
    figure, panels = _figure(9, 3.2, 2)
    for axes, (column, title) in zip(panels, (("loss", "loss"), measure(logs))):
        for colour, (stream, rows) in zip(COLOURS * len(logs), logs.items()):
            for name, style, said in ((column, "--", "training"), (f"val_{column}", "-", "validation")):
                points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
                if points:
                    marker = "o" if len(points) < 3 else None
                    axes.plot(
                        *zip(*points), style, color=colour, label=f"{stream}, {said}", linewidth=1.6, marker=marker
                    )
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("step")
        axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(0, 1)
    panels[1].yaxis.set_major_formatter(_percent())
    handles = panels[0].get_legend_handles_labels()
    panels[1].legend(*handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def rates(measured, used, title=""):
    """Draws a learning-rate range test: the losses, what is left of them smoothed, and where they fall.

    Args:
        measured: an object with `rates` and `losses`, `smoothed`, sequences of float of one length; `low` and `high`,
            the rates between which the loss falls, and `suggested`; these three None if it falls nowhere.
        used: the learning rate of the recipe.
        title: a line above.
    """
    figure, (axes,) = _figure(6, 3.6)
    axes.plot(measured.rates, measured.losses, "o", color=FAINT, markersize=3, label="loss of a batch")
    axes.plot(measured.rates, measured.smoothed, color=COLOURS[0], linewidth=1.8, label="smoothed")
    if measured.suggested is not None:
        axes.axvspan(measured.low, measured.high, color=COLOURS[0], alpha=0.1, linewidth=0, label="where it falls")
        said = f"suggested: {measured.suggested:.2g}"
        axes.axvline(measured.suggested, color=COLOURS[2], linewidth=1.4, label=said)
    axes.axvline(used, color=WRONG, linewidth=1.4, linestyle="--", label=f"the recipe's: {used:.2g}")
    axes.set_xscale("log")
    axes.set_ylim(*_limits(measured))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _limits(measured):
    """The lowest and highest loss to show: what diverged is cut off at three times the first loss."""
    finite = [loss for loss in measured.losses if np.isfinite(loss)] or [0.0]
    low, high = min(finite), min(max(finite), 3 * max(measured.smoothed[0], min(finite), 1e-6))
    return low - 0.05 * (high - low), high + 0.05 * max(high - low, 1e-6)


def timeline(times, curves, segments, seconds, title=""):
    """Draws labels along the time of a video: a lane for each, its probability a curve, its segments bars.

    Args:
        times: float (N,), seconds, from the first moment of the video to its last.
        curves: {label: float (N,), its probability at those times}, the lanes from the top.
        segments: [(label, start, end in seconds, score)], of which those of other labels are left out.
        seconds: how long the video is.
        title: a line above.
    """
    figure, (axes,) = _figure(9, 1.1 + 0.62 * max(len(curves), 1))
    step = next((each for each in TICKS if seconds / each <= MOST_TICKS), TICKS[-1])
    for place, (label, curve) in enumerate(curves.items()):
        colour, floor = COLOURS[place % len(COLOURS)], -place
        axes.axhline(floor, color=FAINT, linewidth=0.5)
        values = floor + 0.72 * np.asarray(curve)
        axes.fill_between(times, floor, values, color=colour, alpha=0.18, linewidth=0)
        axes.plot(times, values, color=colour, linewidth=1.2)
        for start, end, score in [each[1:] for each in segments if each[0] == label]:
            axes.broken_barh([(start, end - start)], (floor - 0.15, 0.12), color=colour)
            if end - start > 0.05 * seconds:
                middle = (start + end) / 2
                axes.text(middle, floor + 0.03, f"{score:.0%}", ha="center", color=INK, fontsize=7)
    axes.set_yticks([0.3 - place for place in range(len(curves))], [_short(label) for label in curves])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-max(len(curves), 1) + 0.75, 0.85)
    axes.set_xlim(0, seconds)
    axes.set_xticks(np.arange(0, seconds + step / 1e3, step))
    axes.xaxis.set_major_formatter(lambda value, place: clock(value, int(step < 1)))
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("time; curves are probabilities, bars are segments with their mean")
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=10, color=INK)
    return _png(figure)


def clock(seconds, digits=0):
    """Returns a time in a video as "1:02", or "1:00:02" from an hour on; `digits` of them behind the second."""
    whole, rest = divmod(round(seconds * 10**digits), 10**digits)
    minutes, second = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    front = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{front}:{second:02}" + (f".{rest:0{digits}}" if digits else "")


def measure(logs):
    """Returns (column, title) of what runs measure besides the loss."""
    of_labels = any(row.get("val_map") is not None for rows in logs.values() for row in rows)
    return ("map", "mean average precision") if of_labels else ("top1", "top-1 accuracy")


def _figure(width, height, panels=1):
    matplotlib()
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for panel in axes:
        panel.tick_params(labelsize=8, colors=INK)
        for side, spine in panel.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(FAINT)
        panel.xaxis.label.set_fontsize(9)
        panel.yaxis.label.set_fontsize(9)
    return figure, axes


def _percent():
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, decimals=0)


def _short(label, length=28):
    # A dollar sign would begin a formula.
    label = label.replace("$", r"\$")
    return label if len(label) <= length else label[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _png(figure):
    file = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", MISSING)
        figure.savefig(file, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    lacking = set()
    for warning in caught:
        if found := re.match(MISSING, str(warning.message)):
            lacking.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    lacking_characters.tell(lacking, "the font of the charts lacks {}, where it has boxes; the tables have them")
    return file.getvalue()
