"""The tables of docs/how/: what networks have and take, and what was published of them, from their rows alone."""

import re

from lesson_blocks import NETWORKS, RESIDUAL

from keras_i3d import network_cards
from keras_i3d.models import families

BEGIN, END = "<!-- lesson: {} -->", "<!-- end of lesson -->"
PARTED = {  # what each does with the cubes of 3 x 3 x 3
    "I3D": "cubes everywhere",
    "BottomHeavyI3D": "cubes up to Mixed_3c, flat above",
    "TopHeavyI3D": "flat below Mixed_4b, cubes from there on",
    "S3D-slim": "all parted, but for the first convolution, which is 3 x 7 x 7",
    "S3DG": "the same, with gates",
    "I2D": "flat everywhere",
    "R3D18": "cubes everywhere",
    "MC318": "cubes up to conv2_x, flat above",
    "R2Plus1D18-paper": "all parted, with the width between that keeps the number of weights",
}


def inflation():
    rows = [("Inception V1 on each frame", "I2D-per-frame"), ("I3D", "I3D")]
    return _table(
        ("network", "parameters", "multiply-adds of 64 frames"), [(words, *_costs(name)) for words, name in rows]
    )


def separable():
    lines = []
    for name in (*NETWORKS, *RESIDUAL):
        clip = "64 x 224 x 224" if name in NETWORKS else "16 x 112 x 112"
        lines.append((name, PARTED[name], clip, *_costs(name)))
    return _table(("network", "3 x 3 x 3 convolutions", "clip", "parameters", "multiply-adds"), lines)


def separable_accuracy():
    names = ("I3D", "S3D", "S3D-kylemin", "S3D-slim", "S3DG", "R3D18", "R2Plus1D18-paper")
    rows = [families.find(name) for name in names]
    lines = [(row.name, network_cards.accuracy_words(row.accuracy["rgb"]), row.protocol) for row in rows]
    return _table(("network", "top-1 / top-5", "protocol"), lines)


def nonlocal_costs():
    names = ("I3DResNet50", "I3DResNet50-nl5", "I3DResNet50-gluon", "I3DResNet50-gluon-nl5", "I3DResNet50-gluon-nl10")
    lines = []
    for name in names:
        row = families.find(name)
        clip = f"{row.clips['rgb'].frames} x 224 x 224"
        lines.append((name, row.options.get("non_local", 0), clip, *_costs(name)))
    return _table(("network", "non-local blocks", "clip", "parameters", "multiply-adds"), lines)


TABLES = {
    "inflation": inflation,
    "separable": separable,
    "separable accuracy": separable_accuracy,
    "nonlocal": nonlocal_costs,
}


def refreshed(text):
    """Returns the text of a page with each table that is marked by `<!-- lesson: NAME -->` made again."""
    return re.sub(
        rf"<!-- lesson: ([a-z ]+) -->\n.*?{re.escape(END)}",
        lambda found: f"{BEGIN.format(found[1])}\n{TABLES[found[1]]()}\n{END}",
        text,
        flags=re.DOTALL,
    )


def _costs(name):
    row = families.find(name)
    return network_cards.number(row.parameters["rgb"]), f"{row.macs:g} G"


def _table(heads, lines):
    rows = [heads, *lines]
    text = [f"| {' | '.join(map(str, cells))} |" for cells in rows]
    return "\n".join([text[0], "|" + "---|" * len(heads), *text[1:]])
