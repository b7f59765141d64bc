"""The tables and the figure of `compare_architectures.py`, from its results alone."""

import json

STREAMS = ("rgb", "flow", "both")
NONE = "-"
MARKERS = {"rgb": "o", "flow": "s", "both": "D"}
COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#db2777", "#0891b2", "#65a30d", "#6b7280")


def write(folder, results):
    """Writes results.json, tables.md and comparison.webp into a folder."""
    from keras_i3d import atomic

    atomic.write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    atomic.write_text(folder / "tables.md", tables(results) + "\n")
    with atomic.replacing(folder / "comparison.webp") as temporary:
        draw(results).savefig(temporary, format="webp", dpi=150, facecolor="white", pil_kwargs={"quality": 85})


def tables(results):
    """Returns two tables as Markdown: accuracies next to the published ones, and what each run took."""
    return f"{accuracies(results)}\n\n{costs(results)}"


def accuracies(results):
    """Returns the paper's Table 2: a line a network; top-1 in percent of each stream, here and as published."""
    heads = ["network", *STREAMS, *(f"published {stream}" for stream in STREAMS)]
    lines = [
        [
            row["title"],
            *(_percent(row["accuracy"].get(stream)) for stream in STREAMS),
            *(_tenths(row["published"].get(stream)) for stream in STREAMS),
        ]
        for row in results["rows"]
    ]
    chance = [f"chance, of {results['labels']} labels", *[_percent(1 / results["labels"])] * 3, *[NONE] * 3]
    return _markdown(heads, [*lines, chance])


def costs(results):
    """Returns a line a run: its clip, what the network has and takes, here and in its published size."""
    heads = ["network", "stream", "clip", "parameters", "GMACs", "clips/s", "peak memory", "full size: clip"]
    heads += ["parameters", "GMACs"]
    lines = []
    for row in results["rows"]:
        for run in row["runs"]:
            full = run["full_size"]
            lines.append(
                [
                    f"`{run['network']}`",
                    run["stream"],
                    clip_words(run["clip"]),
                    f"{run['parameters']:,}",
                    f"{run['macs'] / 1e9:.3f}",
                    NONE if run["clips_per_second"] is None else f"{run['clips_per_second']:.0f}",
                    NONE if run["memory"] is None else f"{run['memory'] / 1e9:.2f} GB",
                    clip_words(full["clip"]),
                    f"{full['parameters']:,}",
                    f"{full['macs'] / 1e9:.1f}",
                ]
            )
    return _markdown(heads, lines)


def points(results):
    """Returns what the figure shows, [{label, stream, macs, accuracy, full_macs, published}].

    Multiply-adds are of a clip of the stream, and of both streams the sum of theirs, unless one network takes both.
    Accuracies are shares, None where there is none.
    """
    found = []
    for row in results["rows"]:
        runs = {run["stream"]: run for run in row["runs"]}
        for stream in STREAMS:
            taken = [runs[stream]] if stream in runs else [runs[one] for one in ("rgb", "flow") if one in runs]
            if stream not in runs and (stream != "both" or len(taken) < 2):
                continue
            percent = row["published"].get(stream)
            found.append(
                {
                    "label": row["label"],
                    "stream": stream,
                    "macs": sum(run["macs"] for run in taken),
                    "accuracy": row["accuracy"].get(stream),
                    "full_macs": sum(run["full_size"]["macs"] for run in taken),
                    "published": None if percent is None else percent / 100,
                }
            )
    return found


def draw(results):
    """Draws accuracy against multiply-adds, here and as published; returns a matplotlib Figure."""
    from keras_i3d import charts

    charts.matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    figure = Figure((9.4, 4), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    colours = dict(zip((row["label"] for row in results["rows"]), COLOURS))
    titles = ("here: a quarter as wide, generated videos", "published: full size, Kinetics-400")
    sides = zip(figure.subplots(1, 2), titles, (("macs", "accuracy"), ("full_macs", "published")))
    for axes, title, (across, up) in sides:
        for point in points(results):
            if point[up] is not None:
                at, colour = (point[across] / 1e9, point[up]), colours[point["label"]]
                axes.plot(*at, MARKERS[point["stream"]], color=colour, markersize=7, markeredgecolor="white")
                away = (0, -13) if point["stream"] == "flow" else (0, 6)
                axes.annotate(
                    point["label"], at, away, textcoords="offset points", ha="center", color=colour, fontsize=8
                )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.margins(0.12)
        axes.set_title(title, loc="left", fontsize=10, color=charts.INK)
        axes.set_xlabel("multiply-adds of a clip, in 1e9", fontsize=9)
        axes.set_ylabel("top-1 accuracy", fontsize=9)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, colors=charts.INK)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(charts.FAINT)
        if up == "accuracy":
            chance = 1 / results["labels"]
            axes.axhline(chance, color=charts.FAINT, linewidth=1, linestyle="--", zorder=0)
            axes.annotate("chance", (1, chance), (0, 3), ("axes fraction", "data"), "offset points", ha="right")
            axes.texts[-1].set(fontsize=8, color=charts.FAINT)
            axes.set_ylim(0, 1)
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=charts.INK, label=stream)
        for stream, marker in MARKERS.items()
    ]
    handles += [
        Line2D([], [], linestyle="", marker="o", color=colours[row["label"]], label=row["title"])
        for row in results["rows"]
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _markdown(heads, lines):
    rule = f"|{'---|' * len(heads)}"
    return "\n".join([f"| {' | '.join(heads)} |", rule, *(f"| {' | '.join(cells)} |" for cells in lines)])


def clip_words(clip):
    """Returns (frames, frame_stride, size) in short: "16 x 2, 56"."""
    frames, stride, size = clip
    return f"{frames} x {stride}, {size}"


def _percent(share):
    return NONE if share is None else f"{100 * share:.1f}"


def _tenths(percent):
    return NONE if percent is None else f"{percent:.1f}"
