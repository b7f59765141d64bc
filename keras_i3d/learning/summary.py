"""What came of it, for people: the accuracy, where everything is, and what to do with it."""

import json
import os
import pathlib
import shlex

from keras_i3d.learning import commands
from keras_i3d.progress import duration


def text(state, folder):
    """Returns the lines that end `learn`.

    Args:
        state: the State, all of whose commands are done.
        folder: where it lies.
    """
    chosen = state.chosen
    report, runs, export = (os.path.join(folder, name) for name in (commands.REPORT, commands.RUNS, commands.EXPORT))
    models = [f"--{stream}={os.path.join(folder, name)}" for stream, name in commands.models_of(chosen).items()]
    last = "" if "validation" in chosen.splits else " (last weights: no videos were set apart to choose the best by)"
    lines = ["", *accuracies(pathlib.Path(report) / "results.json")]
    lines += [f"the time was short: {line}" for line in chosen.left_out]
    expected = f", estimated as {duration(sum(chosen.seconds.values()))}" if chosen.seconds else ""
    lines += [
        f"All in {duration(state.seconds)}{expected}.",
        f"report: {os.path.join(report, 'report.html')}",
        f"runs:   {', '.join(os.path.join(runs, stream) for stream in chosen.streams)}{last}",
        *([f"export: {os.path.join(export, '1')}"] if state.asked.export else []),
        "Next:",
        f"  keras-i3d classify VIDEO {shlex.join(models)}",
    ]
    if state.asked.export:
        server = shlex.quote(os.path.join(os.path.dirname(export), "serve.sh"))
        lines += [f"  sh {server}  # then: keras-i3d ask localhost:8500 VIDEO"]
    return "\n".join(lines)


def accuracies(path):
    """Returns a line for each stream and their fusion, from the `results.json` of an evaluation."""
    found = json.loads(path.read_text(encoding="utf-8"))
    videos, metrics = found["videos"], found["metrics"]
    of = f"{videos} videos of the split {found['split']}"
    first = next(iter(metrics.values()))
    if "top1" not in first:
        figure, said = ("mean_ap", "") if first.get("frame_ap") is None else ("frame_ap", " per frame")
        lines = [f"Mean average precision{said} on {of} (chance {found['chance']:.1%}):"]
        return lines + [f"  {name:6} {each[figure]:.1%}" for name, each in metrics.items()]
    lines = [f"Accuracy on {of} (chance {found['chance']:.1%}), and where it lies with 95% certainty:"]
    for name, each in metrics.items():
        low, high = found["top1_intervals"][name]
        lines.append(f"  {name:6} {each['top1']:.1%}  {low:.0%} to {high:.0%}")
    return lines
