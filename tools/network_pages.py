"""The page of each network: its section of docs/architectures.md, figures, and what its rows, graph and weights say.

A page is of a public builder. The network that it makes by default has its endpoints; the others are rows of a table.
"""

import re

import graph_figures
import site_pages

from keras_i3d import network_cards
from keras_i3d.models import families
from keras_i3d.models.family import without_memory
from keras_i3d.plurals import counted
from keras_i3d.specs import INPUT_CHANNELS

NOT_KNOWN = "-"
# The blocks that are drawn: {builder: ((network, the endpoints that it begins with, the one that it ends with), ...)}.
BLOCKS = {
    **dict.fromkeys(("I3D", "I2D", "S3D", "S3DG", "InceptionV1"), ((None, ("MaxPool3d_3a_3x3",), "Mixed_3b"),)),
    "TopHeavyI3D": ((None, ("Mixed_3b",), "Mixed_3c"), (None, ("MaxPool3d_4a_3x3",), "Mixed_4b")),
    "BottomHeavyI3D": ((None, ("Mixed_3b",), "Mixed_3c"), (None, ("MaxPool3d_4a_3x3",), "Mixed_4b")),
    **dict.fromkeys(("R3D18", "R3D34", "R2Plus1D18", "R2Plus1D34"), ((None, ("conv2_1",), "conv2_2"),)),
    "MC318": ((None, ("conv2_1",), "conv2_2"), (None, ("conv3_1",), "conv3_2")),
    **{
        name: ((None, ("res3_1",), "res3_2"), (f"{name}-nl5", ("res3_1",), "res3_1_nonlocal"))
        for name in ("I3DResNet50", "I3DResNet101")
    },
    "C3D": ((None, ("pool4",), "Predictions"),),
    "ConvNetLSTM": ((None, ("Mixed_5c",), "Predictions"),),
    **dict.fromkeys(
        ("TwoStreamConvNet", "FusedTwoStream"), ((None, ("rgb_Mixed_5c", "flow_Mixed_5c"), "Predictions"),)
    ),
}


# The pages of docs/how that explain what a network is made of: {builder: ...}.
LESSONS = {
    **dict.fromkeys(("I3D", "I2D"), ("inflation", "two_streams")),
    **dict.fromkeys(("TopHeavyI3D", "BottomHeavyI3D"), ("inflation", "separable")),
    **dict.fromkeys(("S3D", "S3DG", "MC318", "R2Plus1D18", "R2Plus1D34"), ("separable",)),
    **dict.fromkeys(("R3D18", "R3D34"), ("residual_and_nonlocal", "separable")),
    **dict.fromkeys(("I3DResNet50", "I3DResNet101"), ("inflation", "residual_and_nonlocal")),
    "InceptionV1": ("inflation", "two_streams"),
    **dict.fromkeys(("TwoStreamConvNet", "FusedTwoStream"), ("two_streams",)),
}
TITLE = re.compile(r"# (.+)")


def names():
    """Returns the names of the pages: those of the public builders."""
    return [rows[0].of for rows in network_cards.by_builder()]


def pages():
    """Returns {path in the site: Markdown} of the page of each network.

    Raises:
        ValueError: a network without a section in docs/architectures.md, or a section of none.
    """
    text = (site_pages.ROOT / site_pages.ARCHITECTURES).read_text(encoding="utf-8")
    words = site_pages.sections(text)
    if {*words} != {*names()}:
        raise ValueError(
            f"{site_pages.ARCHITECTURES} has a section for each builder and no other. Received: "
            f"{', '.join(sorted({*words} ^ {*names()}))}"
        )
    return {f"networks/{rows[0].of}.md": page(rows, words[rows[0].of]) for rows in network_cards.by_builder()}


def page(rows, words):
    """Returns the page of a builder, as Markdown, from its rows and its section of docs/architectures.md."""
    default = rows[0]
    known = network_cards.card(default)
    name = default.of
    words = site_pages.relinked(words, site_pages.ARCHITECTURES, f"networks/{name}.md", networks=names())
    parts = [f"# {name}", f"*{known['title']}.*", words, *figures(default)]
    parts += ["## In code", *_code(rows), "## What it takes", _takes(known)]
    parts += ["## Accuracy", _accuracy(rows)]
    parts += ["## Endpoints", _endpoints(known)]
    if len(rows) > 1:
        parts += ["## Its forms", _forms(rows)]
    parts += ["## Weights", *_weights(rows), "## Read on", _read_on(name)]
    return "\n\n".join(parts) + "\n"


def figures(default):
    """Returns the figures of a builder's network, each a block of HTML: its endpoints, then its blocks."""
    found = []
    for prefix in ("rgb_", "flow_") if default.endpoints[0].startswith("rgb_") else ("",):
        shown = [name for name in default.endpoints if name.startswith(prefix)]
        svg = without_memory(lambda shown=shown: graph_figures.strip(_built(default), shown))
        stream = f" of its {prefix.strip('_')} network" if prefix else ""
        words = f"The endpoints{stream}: a bar is as high as the output is, and above it are its steps in time."
        found.append(graph_figures.figure(svg, words))
    for name, begin, end in BLOCKS[default.of]:
        row = families.find(name) if name else default
        svg = without_memory(lambda row=row, begin=begin, end=end: graph_figures.block(_built(row), begin, end))
        found.append(graph_figures.figure(svg, f"From {' and '.join(begin)} to {end} of {row.name}."))
    return found


def _built(row):
    stream, clip = next(iter(row.clips.items()))
    shape = (clip.frames or row.min_frames, clip.crop, clip.crop, INPUT_CHANNELS[stream])
    return row.build(input_shape=shape, stream=stream, classes=row.classes)


def _code(rows):
    default = rows[0]
    lines = ["import keras_i3d", "", f"model = keras_i3d.{network_cards.call(default)}"]
    for stream in [*default.clips][1:]:
        lines.append(f"{stream} = keras_i3d.{network_cards.call(default, stream)}")
    lines.append(f'endpoint = model.get_layer("{default.endpoints[0]}").output  # each endpoint is a layer')
    lines.append(f"mine = keras_i3d.{default.of}(classes=12)  # a new head to train")
    block = "\n".join(lines)
    return [
        f"```python\n{block}\n```",
        f"[Reference](../reference/networks.md#{_home(default.of)}) has all arguments, and `keras-i3d models "
        f"{default.name}` prints what stands below.",
    ]


def _home(name):
    return f"keras_i3d.applications.{name}"


def _takes(known):
    lines = []
    for stream, of_stream in known["by_stream"].items():
        clip = of_stream["clip"]
        apart = "" if clip["frame_stride"] == 1 else f", {clip['frame_stride']} apart"
        frames = f"{clip.get('frames') or 'any number of'} frames{apart} at {clip['fps']:g} a second"
        scale = []
        if stream != "flow":
            scale.append(f"RGB / 255, less {_list(clip['mean'])}, divided by {_list(clip['std'])}")
        if clip.get("flow_method"):
            scale.append(f"flow by {clip['flow_method']}, clamped to {clip['flow_bound']:g} pixels, divided by 20")
        lines.append(
            f"| {stream} | {frames}, {clip['crop']} x {clip['crop']} of a short side of {clip['short_side']} | "
            f"{'; '.join(scale)} | {of_stream['parameters']:,} | {of_stream['multiply_adds'] / 1e9:,.2f} G |"
        )
    head = "| stream | clip | values | trainable parameters | multiply-adds of a clip |\n|---|---|---|---|---|"
    least = f"At least {counted(known['min_frames'], 'frame')} of {known['min_size']} pixels."
    return "\n".join([head, *lines]) + f"\n\n{least} {_long(known)}"


def _long(known):
    if known["halo"] is None:
        return "A step sees the whole clip, so that a long video goes through in one pass, or in views."
    if known["answer"] == "last":
        return f"A long video goes through in chunks. A step is {counted(known['step'], 'frame')} and all before it."
    around = f"{counted(known['halo'], 'step')} more on each side" if known["halo"] else "no other"
    return f"A long video goes through in chunks. A step is {counted(known['step'], 'frame')}, and depends on {around}."


def _accuracy(rows):
    lines = []
    for row in rows:
        for stream, pair in row.accuracy.items():
            both = "both, logits added" if stream not in row.clips else stream
            lines.append(f"| {row.name} | {both} | {network_cards.accuracy_words(pair)} | {row.protocol} |")
    if not lines:
        return "No accuracy was published for it."
    head = "| network | stream | top-1 / top-5, % | protocol |\n|---|---|---|---|"
    unchecked = [f"of {row.name}, {row.unchecked}" for row in rows if row.unchecked]
    note = f"\n\nNot checked: {'; '.join(dict.fromkeys(unchecked))}." if unchecked else ""
    return "\n".join([head, *lines]) + note


def _endpoints(known):
    stream, of_stream = next(iter(known["by_stream"].items()))
    lines = []
    for each in of_stream["endpoints"]:
        lines.append(
            f"| `{each['name']}` | {_times(each['shape'])} | {_field(each['receptive_field'])} | "
            f"{_times(each['stride']) if any(each['stride']) else NOT_KNOWN} |"
        )
    head = "| endpoint | output | sees | moves on by |\n|---|---|---|---|"
    return (
        f"Of {known['name']}, {stream}, for the clip above. Sizes are time x height x width, and channels last. "
        '"Sees" is how many frames and pixels of the clip one position of an endpoint depends on '
        '([receptive fields](../how/receptive_fields.md)). "Moves on by" is how far the next position is from it.'
        "\n\n" + "\n".join([head, *lines])
    )


def _forms(rows):
    lines = []
    for row in rows:
        known = network_cards.summary(row)
        macs = NOT_KNOWN if row.macs is None else f"{row.macs:g} G"
        lines.append(
            f"| {row.name} | `{network_cards.call(row)}` | {known['input']} | "
            f"{network_cards.number(known['parameters'])} | {macs} |"
        )
    head = "| network | builder | clip | trainable parameters | multiply-adds |\n|---|---|---|---|---|"
    words = "Each is a network with a name of its own, which `train --model=` takes, and which runs and exports note."
    return f"{words}\n\n" + "\n".join([head, *lines])


def _weights(rows):
    lines, files, sharing = [], [], {}
    for row in rows:
        if row.shares and network_cards.weights(row):
            sharing.setdefault(row.shares, []).append(row.name)
        for each in [] if row.shares else network_cards.weights(row):
            accuracy = network_cards.accuracy_words(each["accuracy"])
            measured = f"{accuracy}: {each['protocol']}" if each["accuracy"] else NOT_KNOWN
            size = sum(file["bytes"] or 0 for file in each["files"])
            lines.append(
                f"| {row.name} | `{each['name']}` | {each['stream'] or 'any'} | {each['classes'] or 'yours'} | "
                f"{each['trained_on']} | {measured} | {each['licence'] or 'not said'} | "
                f"{f'{size / 1e6:.0f} MB' if size else NOT_KNOWN} |"
            )
        codes = network_cards.originals(row)
        if codes:
            files.append(f"- {row.name}: {', '.join(codes)}")
    parts = []
    if lines:
        head = (
            "| network | name | stream | classes | trained on | top-1 / top-5, % | licence | size |\n"
            "|---|---|---|---|---|---|---|---|"
        )
        parts += [
            f'`weights="NAME"` fetches them at first use and verifies them ([weights](../weights.md)).\n\n{head}\n'
            + "\n".join(dict.fromkeys(lines))
        ]
    else:
        parts += ["None are fetched by name."]
    for name, names_of_forms in sharing.items():
        take, theirs = ("takes", "its own") if len(names_of_forms) == 1 else ("take", "theirs")
        parts += [f"{_series(names_of_forms)} {take} those of {name}. Nobody published an accuracy of {theirs}."]
    if files:
        parts += ['Files of these codes are read as they are, `weights="PATH"`:\n\n' + "\n".join(files)]
    return parts


def _read_on(name):
    """The links at the end of a page: the lessons that explain it, then how to use and compare it."""
    links = []
    for lesson in LESSONS.get(name, ()):
        title = TITLE.match((site_pages.ROOT / f"docs/how/{lesson}.md").read_text(encoding="utf-8"))[1]
        links.append(f"- [{title}](../how/{lesson}.md)")
    links.append("- [Networks in your own code](../networks.md), and [all in one table](../networks.md#all-networks)")
    links.append("- [A comparison](../comparison.md) of networks that were trained side by side")
    links.append("- [Protocols](../how/protocols.md), and why published numbers differ")
    return "\n".join(links)


def _field(size):
    if size == [None] * 3:
        return "the whole clip"
    return _times(["all" if value is None else value for value in size])


def _times(sizes):
    return " x ".join(NOT_KNOWN if size is None else str(size) for size in sizes)


def _list(values):
    values = [f"{value:.3g}" for value in values]
    return values[0] if len({*values}) == 1 else f"({', '.join(values)})"


def _series(names_of_forms):
    *before, last = names_of_forms
    return f"{', '.join(before)} and {last}" if before else last
