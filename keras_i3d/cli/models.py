"""keras-i3d models [NAME]: a table of all networks, or the card of one: what it is, takes, costs and reached.

  --json                      the same as JSON; default: text
  --markdown                  the table of networks as docs/networks.md has it; default: text

The table has a row a network: trainable parameters, multiply-adds of a clip in 1e9, the clip that it takes (frames x
their distance @ frames per second, pixels), published accuracy in percent (top-1 / top-5), weights that are fetched by
name, and codes whose own weight files are read. NAME is what `train --model=` takes, and what runs and exports say.

Examples:
  keras-i3d models
  keras-i3d models S3D
"""

import difflib
import json

from absl import flags

from keras_i3d import backend
from keras_i3d.cli import UsageError, columns

FLAGS = flags.FlagValues()
flags.DEFINE_bool("json", False, "", FLAGS)
flags.DEFINE_bool("markdown", False, "", FLAGS)

# Of the table: {head: characters of the column}.
COLUMNS = {"network": 35, "parameters": 11, "GMACs": 7, "clip": 23, "top-1 / top-5": 13, "weights, or files of": 21}
WIDTH = 120
LABEL = 16  # characters of the labels of a card


def main(arguments):
    """Prints the table, or a card; returns 0."""
    if len(arguments) > 1 or (arguments and FLAGS.markdown):
        raise UsageError("models takes one name of a network at most, and --markdown none.")
    backend.check()
    from keras_i3d import network_cards

    if FLAGS.markdown:
        print(network_cards.markdown())
    elif not arguments:
        builders = network_cards.by_builder()
        if FLAGS.json:
            print(json.dumps([network_cards.summary(row) for rows in builders for row in rows], indent=2))
        else:
            print("\n".join(_table(builders)))
    else:
        card = network_cards.card(_found(arguments[0]))
        print(json.dumps(card, indent=2) if FLAGS.json else "\n".join(_card(card)))
    return 0


def _found(name):
    from keras_i3d.models import families

    if name in families.FAMILIES:
        return families.find(name)
    by_case = {each.casefold(): each for each in families.FAMILIES}
    close = [by_case[each] for each in difflib.get_close_matches(name.casefold(), by_case, 3, 0.5)]
    close = close or [each for each in families.FAMILIES if name.casefold() in each.casefold()][:3]
    hint = f"Did you mean: {', '.join(close)}" if close else "`keras-i3d models` lists them"
    raise UsageError(f"A network is one of the {len(by_case)} of `keras-i3d models`. Received: {name!r}. {hint}")


def _table(builders):
    """The lines of the table: the networks of each builder under its name, the one that it makes by default first."""
    from keras_i3d import network_cards

    widths = COLUMNS.values()
    lines = [columns.row(COLUMNS, widths), columns.row(["-" * width for width in widths], widths)]
    for rows in builders:
        lines += ["", *columns.wrapped(f"{rows[0].of}: {rows[0].title}", WIDTH, "  ")]
        for argument, values in _options(rows).items():
            options = f"  {argument}={' | '.join(values)}"
            lines += columns.wrapped(options, WIDTH, "    ")
        for row in rows:
            known = network_cards.summary(row)
            names = [*known["weights"], *known["files"]]
            accuracy = network_cards.accuracy_words(next(iter(known["accuracy"].values()), None))
            macs = network_cards.NONE if row.macs is None else f"{row.macs:g}"
            cells = [row.name, network_cards.number(known["parameters"]), macs, known["input"], accuracy]
            lines.append(columns.row([*cells, ", ".join(names) or network_cards.NONE], widths))
    return [*lines, "", f"{sum(map(len, builders))} networks. `keras-i3d models NAME` has all of one."]


def _options(rows):
    """{argument of a builder: the values that its networks have, that of the default first}."""
    found = {}
    for row in rows:
        for argument, value in row.options.items():
            found.setdefault(argument, {})[repr(value).replace("'", '"')] = None
    return {argument: list(values) for argument, values in found.items() if len(values) > 1}


def _card(card):
    """The lines of a card."""
    from keras_i3d import network_cards

    def entry(label, *texts):
        broken = [line for text in texts for line in columns.wrapped(text, WIDTH - LABEL - 2)]
        return [f"  {'' if place else label:{LABEL}}{line}" for place, line in enumerate(broken)]

    long = "in one pass, because each step sees the whole clip"
    if card["halo"] is not None:
        more = f"{card['halo']} steps more on each side" if card["halo"] else "no other"
        more = "all before it" if card["answer"] == "last" else more
        long = f"in chunks: a step is {_frames(card['step'])}, and depends on {more}"
    lines = columns.wrapped(f"{card['name']}: {card['title']}", WIDTH, "  ")
    lines += entry("built by", f"keras_i3d.{card['call']}, for {card['classes']} classes if nobody says")
    lines += entry("takes", f"{_frames(card['min_frames'])} or more, {card['min_size']} pixels a side or more")
    lines += entry("long videos", long)
    measured = [
        f"{stream}: {network_cards.accuracy_words(values)} % top-1 / top-5"
        for stream, values in card["accuracy"].items()
    ]
    lines += entry("published", *(measured or ["no accuracy"]), *([card["protocol"]] if measured else []))
    lines += entry("not checked", card["unchecked"]) if card["unchecked"] else []
    shown = None
    for stream, known in card["by_stream"].items():
        clip, macs = known["clip"], known["multiply_adds"] / 1e9
        lines += ["", stream]
        lines += entry("clip", *_clip(clip))
        lines += entry(
            "parameters", f"{known['parameters']:,}; with moving statistics {known['parameters_with_statistics']:,}"
        )
        lines += entry("multiply-adds", f"{macs:,.2f} G for such a clip")
        if known["endpoints"] == shown:
            lines += entry("endpoints", "the same")
        else:
            lines += ["", *columns.fitted(_endpoints(known["endpoints"]), "  ")]
        shown = known["endpoints"]
    lines += ["", "published weights" if card["weights"] else "published weights: none are fetched by name"]
    for each in card["weights"]:
        lines += _weights(each)
    lines += ["", f"weight files that are read: {', '.join(['of this package', *card['files']])}"]
    if card["inflated_from"]:
        lines += [f"2D weights that keras_i3d.inflate takes: those of {card['inflated_from']}"]
    return lines


def _frames(number):
    return f"{number} frames" if number > 1 else "1 frame"


def _clip(clip):
    """What a ClipSpec says, in lines."""
    from keras_i3d.specs import ordinal

    apart = f", every {ordinal(clip['frame_stride'])} one" if clip["frame_stride"] > 1 else ""
    rate = f"{_frames(clip['frames']) if 'frames' in clip else 'any number of frames'}{apart} at {clip['fps']:g} fps"
    lines = [f"{rate}; short side {clip['short_side']}, crop {clip['crop']}"]
    if clip["stream"] != "flow":
        mean, deviation = (", ".join(f"{value:g}" for value in clip[name]) for name in ("mean", "std"))
        lines.append(f"(RGB / 255 - mean) / std, with mean {mean} and std {deviation}")
    if clip.get("flow_method"):
        bound = f"{clip['flow_bound']:g}"
        lines.append(f"flow by {clip['flow_method']}, in pixels per frame, clamped to {bound} and divided by 20")
    return lines


def _endpoints(endpoints):
    """Rows of a table: sizes are time x height x width."""
    rows = [("endpoint", "output", "receptive field", "stride", "starts at")]
    for each in endpoints:
        whole = each["receptive_field"] == [None] * 3
        rows.append(
            (
                each["name"],
                _times(each["shape"]),
                "whole clip" if whole else _times(each["receptive_field"]),
                _times(each["stride"]) if any(each["stride"]) else "",
                "" if whole else ", ".join("all" if start is None else str(start) for start in each["start"]),
            )
        )
    return rows


def _times(sizes):
    return " x ".join("all" if size is None else str(size) for size in sizes)


def _weights(entry):
    """What is known of published weights, in lines."""
    from keras_i3d import network_cards

    of = [entry["stream"], entry["classes"] and f"{entry['classes']} classes", f"trained on {entry['trained_on']}"]
    licence = [f"licence {entry['licence']}"] if entry["licence"] else []
    lines = columns.wrapped(f"  {entry['name']}: {'; '.join([*filter(None, of), *licence])}", WIDTH, "    ")
    if entry["accuracy"]:
        measured = f"    {network_cards.accuracy_words(entry['accuracy'])} %: {entry['protocol']}"
        lines += columns.wrapped(measured, WIDTH, "      ")
    for file in entry["files"]:
        lines.append(f"    {file['url']}")
        lines += [f"      git blob {file['git_blob']}"] if file["git_blob"] else []
        lines += [f"      sha256 {file['sha256']}"] if file["sha256"] else []
    return lines
