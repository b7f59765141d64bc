"""What there is to know of each network, from its row, its graph and its published weights: cards, and tables of docs.

A graph is built without memory for its weights, and nothing is fetched.
"""

import dataclasses
import re

from keras_i3d.models import counting, families, receptive_fields
from keras_i3d.models.family import without_memory
from keras_i3d.specs import INPUT_CHANNELS
from keras_i3d.weights import registry
from keras_i3d.weights.originals.catalogue import ORIGINALS

NONE = "-"  # in a table, where nothing is known or nobody measured
BEGIN, END = "<!-- networks: {} -->", "<!-- end of networks -->"  # in a page, around a table that is made from the rows
SECTIONS = "architectures.md"  # in docs/, a section for each builder, of which the site makes the page of the network


def by_builder():
    """Returns [[Family]]: the rows of each public builder, the one that it makes by default first."""
    builders = {}
    for row in families.FAMILIES.values():
        builders.setdefault(row.of, []).append(row)
    return list(builders.values())


def call(row, stream=None):
    """Returns how a network is built, as in `S3D(variant="kylemin")`: the fewest arguments that give it.

    Args:
        row: its Family.
        stream: by default, its first.
    """
    stream = stream or next(iter(row.clips))
    default = families.of_builder(row.of, {})[0]
    nearest = families.of_builder(row.of, {}, stream)[0]
    options = {name: value for name, value in row.options.items() if nearest.options.get(name) != value}
    if families.of_builder(row.of, options, stream)[0] is not row:
        options = row.options
    arguments = {} if stream == next(iter(default.clips)) else {"stream": stream}
    return f"{row.of}({', '.join(f'{name}={_literal(value)}' for name, value in (options | arguments).items())})"


def summary(row):
    """Returns what a table says of a network: numbers and strings, from its row alone.

    Returns:
        A dictionary: name, builder, options, streams; of the first stream: input, parameters, and gmacs, multiply-adds
        in 1e9, None where the row does not say; accuracy, {stream: [top-1, top-5]}; weights, the names of published
        ones; files, the codes whose own files are read.
    """
    stream, clip = next(iter(row.clips.items()))
    return {
        "name": row.name,
        "builder": row.of,
        "options": dict(row.options),
        "streams": list(row.clips),
        "input": clip_words(clip),
        "parameters": row.parameters.get(stream),
        "gmacs": row.macs,
        "accuracy": {stream: list(values) for stream, values in row.accuracy.items()},
        "weights": list(dict.fromkeys(entry["name"] for entry in weights(row))),
        "files": originals(row),
    }


def clip_words(clip):
    """Returns a ClipSpec in short: "64 x 1 @ 25 fps, 224", frames, their distance, frames per second, pixels."""
    return f"{clip.frames or 'any'} x {clip.frame_stride} @ {clip.fps:g} fps, {clip.crop}"


def card(row):
    """Returns all that is known of a network, as `keras-i3d models NAME --json` prints it.

    Returns:
        A dictionary of JSON's types. Of each stream: its clip, its parameters, with and without moving statistics, its
        multiply-adds for such a clip, and its endpoints: output shape, receptive field, stride and start, each (time,
        height, width), and None where the whole clip is seen.
    """
    return {
        **summary(row),
        "title": row.title,
        "call": call(row),
        "classes": row.classes,
        "min_frames": row.min_frames,
        "min_size": row.min_size,
        "step": row.step,
        "halo": row.halo,
        "answer": row.answer,
        "inflated_from": row.inflated_from and row.inflated_from.title,
        "protocol": row.protocol,
        "unchecked": row.unchecked,
        "by_stream": {stream: {"clip": _known(clip), **_graph(row, stream)} for stream, clip in row.clips.items()},
        "weights": weights(row),
    }


def weights(row):
    """Returns the published weights of a network, each a dictionary: name, stream, classes, trained_on, files, ...

    Those of the network whose weights it shares come after its own, without an accuracy, which was measured with that
    network. Those that are made of another network's, by inflation, have no stream and no classes.
    """
    found = [_entry(entry) for entry in registry.of_network(row.name)]
    if row.shares:
        shared = [_entry(entry) for entry in registry.of_network(row.shares)]
        found += [{**entry, "accuracy": None, "protocol": ""} for entry in shared]
    return [*found, _imagenet(row.inflated_from)] if registry.has_imagenet(row.name) else found


def originals(row):
    """Returns the names of the codes whose own weight files are read as this network's."""
    return list(dict.fromkeys(original.name for original in ORIGINALS if original.family == row.name))


def markdown(pick="all", linked=False):
    """Returns the table of networks as Markdown.

    Args:
        pick: "all" for every network; "defaults" for what each builder makes by default, with a line a stream,
            where an accuracy was published.
        linked: whether the name of each network is a link from a page of docs/ to its builder's section of SECTIONS.
            Only "all" has such links.
    """
    if pick == "defaults":
        heads = ("network", "builder", "input", "trainable parameters", "top-1 / top-5")
        lines = [line for rows in by_builder() for line in _streams(rows[0]) if line[-1] != NONE]
    else:
        heads = ("network", "builder", "input", "trainable parameters", "multiply-adds", "top-1 / top-5", "weights")
        lines = [_line(row, linked) for rows in by_builder() for row in rows]
    return (
        "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines))
        .replace("| --- ", "|---")
        .replace("--- |", "---|")
    )


def refreshed(text):
    """Returns the text of a page with each table of networks in it made again, between the comments that mark it.

    The table of all networks is that of a page of docs/, and linked.
    """
    begin = re.escape(BEGIN).replace(r"\{\}", "([a-z]+)")
    return re.sub(
        rf"{begin}\n.*?{re.escape(END)}",
        lambda found: f"{BEGIN.format(found[1])}\n{markdown(found[1], linked=True)}\n{END}",
        text,
        flags=re.DOTALL,
    )


def accuracy_words(pair):
    """Returns (top-1, top-5) in percent as "71.1 / 89.3", None of either as a dash."""
    return NONE if not pair else " / ".join(NONE if value is None else f"{value:.1f}" for value in pair)


def number(value):
    """Returns 8320048 as "8,320,048", and None as a dash."""
    return NONE if value is None else f"{value:,}"


def _line(row, linked):
    known = summary(row)
    first = next(iter(known["accuracy"].values()), None)
    names = [f"`{name}`" for name in known["weights"]] + [f"{name}'s files" for name in known["files"]]
    macs = NONE if row.macs is None else f"{row.macs:g} G"
    return (
        f"[{row.name}]({SECTIONS}#{row.of.lower()})" if linked else row.name,
        f"`{call(row)}`",
        known["input"],
        number(known["parameters"]),
        macs,
        accuracy_words(first),
        ", ".join(names) or NONE,
    )


def _streams(row):
    """The lines of a builder's default network: of its first stream, and of all if each of them was measured."""
    first, *others = row.clips
    measured = {*row.clips} <= {*row.accuracy}
    lines = []
    for stream in (first, *(others if measured else ())):
        clip = row.clips[stream]
        shape = f"{clip.frames or 'any'} x {clip.crop} x {clip.crop} x {INPUT_CHANNELS[stream]}"
        accuracy = accuracy_words(row.accuracy.get(stream))
        builder = f"`{call(row, stream)}`"
        lines.append((f"{row.name}, {stream}", builder, shape, number(row.parameters.get(stream)), accuracy))
    joined = {*row.accuracy} - {*row.clips}
    if measured and joined and len(row.clips) > 1:  # the logits of both, added
        builder = "`TwoStreamI3D()`" if row.name == families.DEFAULT else " + ".join(line[1] for line in lines)
        accuracy = accuracy_words(row.accuracy[joined.pop()])
        lines.append((f"{row.name}, two-stream", builder, "both", number(sum(row.parameters.values())), accuracy))
    return lines


def _graph(row, stream):
    """What the graph of a network says: counts, and its endpoints. It is built for the clip of its row."""
    clip = row.clips[stream]
    shape = (clip.frames or row.min_frames, clip.crop, clip.crop)

    def read():
        model = row.build(input_shape=(*shape, INPUT_CHANNELS[stream]), stream=stream, classes=row.classes)
        fields = receptive_fields.of_layers(model)
        return {
            "parameters": counting.parameters(model),
            "parameters_with_statistics": counting.parameters(model, trainable=False),
            "multiply_adds": counting.multiply_adds(model),
            "endpoints": [
                {"name": name, "shape": list(model.get_layer(name).output.shape[1:]), **_listed(fields[name])}
                for name in row.endpoints
            ],
        }

    return without_memory(read)


def _listed(field):
    return {"receptive_field": list(field.size), "stride": list(field.stride), "start": list(field.start)}


def _entry(entry):
    return {
        "name": entry.weights.rpartition(":")[2],
        "stream": entry.stream,
        "classes": entry.classes,
        "trained_on": entry.trained_on,
        "accuracy": None if entry.top1 is None else [entry.top1, entry.top5],
        "protocol": entry.protocol,
        "licence": entry.licence,
        "files": [_file(file) for file in entry.files],
    }


def _imagenet(flat):
    """The weights of a 2D network, as an entry; Keras fetches those of its own."""
    unsaid = dict.fromkeys(("stream", "classes", "accuracy", "protocol", "licence"))
    words = f"ImageNet in two dimensions, as {flat.title}; the class layer is new"
    files = [] if flat.depth else [_file(registry.INCEPTION_V1)]
    return {"name": registry.IMAGENET, **unsaid, "trained_on": words, "files": files}


def _file(remote):
    return {"url": remote.urls[0], "bytes": remote.bytes, "git_blob": remote.git_blob, "sha256": remote.sha256}


def _known(spec):
    """The fields of a ClipSpec that say something."""
    return {name: value for name, value in dataclasses.asdict(spec).items() if value is not None}


def _literal(value):
    return f'"{value}"' if isinstance(value, str) else repr(value)
