"""An explanation as one HTML page that opens anywhere: the sums, the pictures, the other labels, the curve."""

import base64
import os
import pathlib
import tempfile

import numpy as np

from keras_i3d import markup, visualize
from keras_i3d.explaining import explanation_pictures, faithfulness
from keras_i3d.markup import Html
from keras_i3d.version import __version__
from keras_i3d.video import writing

LABELS = 6
PLOT = (560, 220)  # units of the curve's drawing
MARGIN = (56, 26, 34, 12)  # left, right, below, above


def page(pictures):
    """Returns the page of explanation_pictures.Pictures, as text."""
    fragments = markup.Fragments(__package__, "explanation.html")
    explanation = pictures.explanation
    sections = [_sums(fragments, explanation), _labels(fragments, explanation), _moving(fragments, pictures)]
    sections.append(_sheet(fragments, pictures))
    if explanation.curve is not None:
        sections.append(_curves(fragments, explanation))
    chosen = "asked for" if explanation.asked else "the most probable label"
    return fragments.fill(
        "page",
        style=Html(markup.read(__package__, "explanation.css")),
        title=f"{explanation.label}, {os.path.basename(explanation.video)}",
        video=os.path.basename(explanation.video),
        label=explanation.label,
        chosen=chosen,
        probability=f"{explanation.probability:.4f}",
        logit=f"{explanation.logit:.4f}",
        body=markup.join(sections),
        version=__version__,
    )


def _sums(fragments, explanation):
    """The table that shows how the parts add up."""
    rows = []
    for stream, each in explanation.streams.items():
        title = explanation_pictures.TITLES[stream]
        if each.bias is None:
            words = f"Grad-CAM at {each.endpoint}: tells positions apart, and its sum means nothing"
            rows.append(fragments.fill("no-sum", stream=title, words=words, logit=f"{each.logit:.4f}"))
            continue
        numbers = {"map": each.map.sum(), "bias": each.bias, "sum": each.total, "logit": each.logit}
        shown = {name: f"{value:.4f}" for name, value in numbers.items()}
        rows.append(fragments.fill("sum", stream=title, **shown, apart=f"{abs(each.total - each.logit):.1e}"))
    total = f"{explanation.logit:.4f}"
    rows.append(fragments.fill("total", logit=total, probability=f"{explanation.probability:.4f}"))
    return fragments.fill("sums", rows=markup.join(rows), activation=explanation.activation)


def _labels(fragments, explanation):
    """The table of the most probable labels; the one that is explained is marked."""
    indices = explanation.best(LABELS)
    indices += [explanation.index] if explanation.index not in indices else []
    rows = []
    for index in indices:
        share = float(explanation.probabilities[index])
        rows.append(
            fragments.fill(
                "label",
                kind="chosen" if index == explanation.index else "other",
                label=explanation.labels[index],
                width=f"{100 * share:.1f}",
                probability=f"{share:.4f}",
                logit=f"{explanation.logits[index]:.3f}",
            )
        )
    return fragments.fill("labels", rows=markup.join(rows))


def _moving(fragments, pictures):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "moving.mp4"
        writing.write(path, pictures.with_words(), pictures.fps)
        content = path.read_bytes()
    return fragments.fill("moving", data=_base64(content))


def _sheet(fragments, pictures):
    return fragments.fill("sheet", data=_base64(visualize.png(pictures.sheet())))


def _curves(fragments, explanation):
    """The faithfulness curve of the whole, and the words of each stream's."""
    lines = []
    if len(explanation.streams) > 1:
        lines = [
            fragments.fill("curve-words", stream=explanation_pictures.TITLES[stream], words=str(each.curve))
            for stream, each in explanation.streams.items()
        ]
    verdict = "holds" if explanation.curve.holds else "fails"
    return fragments.fill(
        "curve",
        drawing=_drawing(fragments, explanation.curve),
        verdict=verdict,
        words=str(explanation.curve),
        streams=markup.join(lines),
        runs=explanation.curve.runs,
        hidden=faithfulness.HIDDEN,
    )


def _drawing(fragments, curve):
    """The curve as SVG: the important parts first, the mean and the range of the random orders."""
    every = np.concatenate([curve.important, curve.random.ravel()])
    low, high = float(every.min()), float(every.max())
    pad = 0.06 * max(high - low, 1e-6)
    low, high = low - pad, high + pad
    left, right, below, above = MARGIN
    width, height = PLOT

    def point(share, value):
        x = left + share * (width - left - right)
        y = above + (high - value) / (high - low) * (height - above - below)
        return f"{x:.1f},{y:.1f}"

    def line(values, shares=curve.shares):
        return " ".join(point(share, value) for share, value in zip(shares, values))

    band = f"{line(curve.random.max(axis=0))} {line(curve.random.min(axis=0)[::-1], curve.shares[::-1])}"
    dots = [
        fragments.fill("dot", x=x, y=y)
        for x, y in (point(share, value).split(",") for share, value in zip(curve.shares, curve.important))
    ]
    ticks = []
    for value in np.linspace(low + pad, high - pad, 3):
        y = point(0, value).split(",")[1]
        ticks.append(fragments.fill("tick-y", y=y, x1=left, x2=width - right, text=f"{value:.2f}"))
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = point(share, low).split(",")[0]
        ticks.append(fragments.fill("tick-x", x=x, y=height - below + 16, text=f"{share:.0%}"))
    return fragments.fill(
        "drawing",
        width=width,
        height=height,
        ticks=markup.join(ticks),
        band=band,
        mean=line(curve.random.mean(axis=0)),
        important=line(curve.important),
        dots=markup.join(dots),
        middle=(left + width - right) // 2,
        bottom=height - 3,
    )


def _base64(content):
    return base64.b64encode(content).decode()
