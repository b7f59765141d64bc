"""`report.html`, one file that opens anywhere: numbers, curves, confusions and clips of an evaluation."""

import base64
import csv
import dataclasses
import html
import io

import numpy as np

from keras_i3d import atomic, runs, visualize
from keras_i3d.data import record_files
from keras_i3d.errors import notice
from keras_i3d.evaluation import charts, metrics
from keras_i3d.probabilities import probabilities
from keras_i3d.records import sequence_example
from keras_i3d.specs import FPS
from keras_i3d.version import __version__

EXAMPLES = 4  # of videos named rightly, and as many of wrongly
FRAMES = 16  # of an example at most
WIDTH = 168  # pixels of an example
WORST = 20


def write(evaluation, folder):
    """Writes confusion.png, worst_confusions.png and report.html into a folder. Each is written whole or not at all.

    Args:
        evaluation: an Evaluation. Curves come from the `log.csv` of its runs, and clips from its records, if these
            are still there; a line says so if they are not.
        folder: a pathlib.Path.

    Raises:
        ImportError: matplotlib is not installed; the message has the install line.
    """
    matrix = metrics.confusion(evaluation.fused, evaluation.scores.y)
    worst = metrics.worst_confusions(matrix, WORST)
    drawn = {
        "confusion.png": charts.confusion(matrix, evaluation.scores.labels),
        "worst_confusions.png": charts.worst_confusions(worst, evaluation.scores.labels),
    }
    for name, content in {**drawn, "report.html": page(evaluation, *drawn.values()).encode()}.items():
        with atomic.replacing(folder / name) as temporary:
            temporary.write_bytes(content)


def per_class_csv(evaluation):
    """Returns the table by class as CSV: label, videos, top-1 of each stream and fused, the most frequent error."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = list(evaluation.metrics)
    writer.writerow(["class", "label", "videos", *(f"{name}_top1" for name in names), "mostly_named", "times"])
    for row in class_rows(evaluation):
        accuracies = ["" if np.isnan(value) else f"{value:.4f}" for value in row.accuracies.values()]
        writer.writerow([row.index, row.label, row.videos, *accuracies, row.instead or "", row.times or ""])
    return file.getvalue()


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """One class: top-1 by stream (NaN without videos), and what its videos were called most often when wrong."""

    index: int
    label: str
    videos: int
    accuracies: dict
    instead: str | None
    times: int


def class_rows(evaluation):
    """Returns a ClassRow for each class, in the order of the labels."""
    scores = evaluation.scores
    matrix = metrics.confusion(evaluation.fused, scores.y)
    by_name = {name: metrics.class_accuracy(_scores_of(evaluation, name), scores.y) for name in evaluation.metrics}
    errors = matrix - np.diag(np.diag(matrix))
    rows = []
    for i, label in enumerate(scores.labels):
        times = int(errors[i].max(initial=0))
        instead = scores.labels[int(errors[i].argmax())] if times else None
        accuracies = {name: float(values[i]) for name, values in by_name.items()}
        rows.append(ClassRow(i, label, int(matrix[i].sum()), accuracies, instead, times))
    return rows


def choose_examples(evaluation, count=EXAMPLES):
    """Returns two lists of rows of the scores: videos named rightly, of classes spread over the list of labels; and
    those named wrongly with the greatest conviction, each of another class if there are enough."""
    y, named = evaluation.scores.y, evaluation.fused.argmax(axis=1)
    ordered = np.sort(evaluation.fused, axis=1)
    margin = ordered[:, -1] - (ordered[:, -2] if ordered.shape[1] > 1 else 0)
    first = {}
    for row in np.flatnonzero(named == y):
        first.setdefault(y[row], int(row))
    classes = sorted(first)
    spread = np.unique(np.linspace(0, len(classes) - 1, min(count, len(classes))).round().astype(int))
    right = [first[classes[place]] for place in spread]
    wrong = [int(row) for row in np.argsort(-margin, kind="stable") if named[row] != y[row]]
    firsts = list({y[row]: row for row in reversed(wrong)}.values())[::-1]
    wrong = sorted(firsts, key=wrong.index) + [row for row in wrong if row not in firsts]
    return right, wrong[:count]


def page(evaluation, confusion_png, worst_png):
    """Returns the report as HTML."""
    scores = evaluation.scores
    title = f"Evaluation of {' and '.join(scores.logits)} on {scores.split or 'a split'}"
    final = "fused" if "fused" in evaluation.metrics else next(iter(evaluation.metrics))
    sections = [
        _summary(evaluation),
        _curves(scores),
        _section("Confusions", f"of {final}; shades are shares of the row", _chart(confusion_png, "confusion matrix")),
        _section("Worst confusions", f"of {final}, most videos first", _chart(worst_png, "worst confusions")),
        _clips(evaluation),
        _table(evaluation),
        _facts(evaluation),
    ]
    return _PAGE.format(
        title=_text(title),
        policy=_POLICY,
        style=_STYLE,
        protocol=_protocol(scores),
        counts=_text(scores.counts()),
        body="".join(sections),
    )


def _protocol(scores):
    details = " / ".join(_text(detail) for detail in dict.fromkeys(filter(None, scores.settings.values())))
    return f"<b>{_text(scores.protocol)}</b>" + (f" &ndash; {details}" if details else "")


def _summary(evaluation):
    classes = len(evaluation.scores.labels)
    guess = metrics.chance(classes)
    tiles = []
    for name, found in evaluation.metrics.items():
        note = evaluation.fusion if name == "fused" else evaluation.scores.models.get(name, "")
        tiles.append(
            f'<div class="tile{" best" if name == "fused" else ""}"><h3>{_text(name)}</h3>'
            f'<p class="number">{found.top1:.1%}</p><p class="what">top-1</p>'
            f'<p class="also"><b>{found.top5:.1%}</b> top-5</p>'
            f'<p class="also"><b>{found.mean_class:.1%}</b> mean class</p>'
            f'<p class="note">{_text(note)}</p></div>'
        )
    tiles.append(
        f'<div class="tile chance"><h3>chance</h3><p class="number">{guess.top1:.1%}</p><p class="what">top-1</p>'
        f'<p class="also"><b>{guess.top5:.1%}</b> top-5</p>'
        f'<p class="also"><b>{guess.mean_class:.1%}</b> mean class</p><p class="note">of {classes} classes</p></div>'
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _curves(scores):
    logs = {stream: runs.read(path).log() for stream, path in scores.models.items() if runs.is_run(path)}
    logs = {stream: rows for stream, rows in logs.items() if rows}
    if not logs:
        return ""
    return _section("Training", "of each stream", _chart(charts.curves(logs), "training curves"))


def _table(evaluation):
    names = list(evaluation.metrics)
    head = "".join(f'<th class="bar">{_text(name)}</th>' for name in names)
    rows = sorted(class_rows(evaluation), key=lambda row: (np.nan_to_num(row.accuracies[names[-1]], nan=2), row.index))
    body = []
    for row in rows:
        cells = "".join(_bar_cell(value) for value in row.accuracies.values())
        instead = f"{_text(row.instead)} <small>&times; {row.times}</small>" if row.instead else ""
        body.append(f"<tr><td>{_text(row.label)}</td><td class=right>{row.videos}</td>{cells}<td>{instead}</td></tr>")
    return _section(
        "Classes",
        f"top-1, worst of {names[-1]} first; also in per_class.csv",
        f'<div class="scroll"><table><thead><tr><th>class</th><th class=right>videos</th>{head}'
        f"<th>mostly taken for</th></tr></thead><tbody>{''.join(body)}</tbody></table></div>",
    )


def _bar_cell(value):
    if np.isnan(value):
        return '<td class="none">no videos</td>'
    return f'<td class="bar"><i style="width:{value * 60:.1f}%"></i><span>{value:.0%}</span></td>'


def _clips(evaluation):
    right, wrong = choose_examples(evaluation)
    try:
        places = _places(evaluation.scores, [*right, *wrong])
        cards = {row: _card(evaluation, row, *place) for row, place in places.items()}
    except Exception as error:  # whatever has become of the records, the numbers are there
        notice(f"the report has no example clips: {type(error).__name__}: {error}")
        return ""
    parts = []
    for rows, title in ((right, "Named rightly"), (wrong, "Named wrongly")):
        if rows:
            parts.append(
                _section(
                    title,
                    "one of each of some classes" if rows is right else "with the greatest conviction",
                    f'<div class="cards">{"".join(cards[row] for row in rows)}</div>',
                )
            )
    return "".join(parts)


def _places(scores, rows):
    """Returns {row: (file, number of the record in it)}."""
    source = record_files.find(scores.records.split(", ") if ", " in scores.records else scores.records)
    wanted = {scores.ids[row]: row for row in rows}
    found = {}
    for file, ids in zip(source.files, source.ids):
        if ids is None:
            raise ValueError(f"{file} has no manifest that says where its videos are")
        found |= {wanted[id]: (file, number) for number, id in enumerate(ids) if id in wanted}
    missing = [id for id, row in wanted.items() if row not in found]
    if missing:
        raise ValueError(f"{scores.records} has no video {missing[0]} any more")
    return found


def _card(evaluation, row, file, number):
    scores = evaluation.scores
    clip = sequence_example.decode(sequence_example.read(file, number))
    step = -(-len(clip["rgb"]) // FRAMES)
    flow = None if clip["flow"] is None else clip["flow"][::step]
    fps = (float(clip["fps"]) or FPS) / step
    bound = float(np.clip(np.quantile(np.abs(flow), 0.99) * 1.5, 1, 20)) if flow is not None else 20.0
    content = visualize.gif(clip["rgb"][::step], flow, fps=fps, bound=bound, width=WIDTH)
    lists = []
    for name in evaluation.metrics:
        values = _scores_of(evaluation, name)[row]
        distances = name == "fused" and "SVM" in evaluation.fusion  # which are no logits
        shares = None if distances else probabilities(values, scores.activation)
        best = np.argsort(-values, kind="stable")[:3]
        items = "".join(
            f'<li class="{"hit" if i == scores.y[row] else ""}">'
            + (f'<i style="width:{shares[i] * 100:.1f}%"></i>' if shares is not None else "")
            + f"<span>{_text(scores.labels[i])}</span>"
            + (f"<em>{shares[i]:.0%}</em>" if shares is not None else "")
            + "</li>"
            for i in best
        )
        lists.append(f"<h4>{_text(name)}</h4><ol>{items}</ol>")
    mime = base64.b64encode(content).decode()
    return (
        f'<div class="card"><img src="data:image/gif;base64,{mime}" alt="{_text(scores.ids[row])}">'
        f'<div><h3>{_text(scores.labels[scores.y[row]])}</h3><p class="note">{_text(scores.ids[row])}</p>'
        f"{''.join(lists)}</div></div>"
    )


def _facts(evaluation):
    scores = evaluation.scores
    rows = {
        "records": scores.records,
        "split": scores.split,
        **{f"{stream} model": origin for stream, origin in scores.models.items()},
        **{f"{stream} scored on": detail for stream, detail in scores.settings.items()},
        **({"fusion": evaluation.fusion} if evaluation.fusion else {}),
        "keras_i3d": __version__,
    }
    for stream, path in scores.models.items():
        if runs.is_run(path):
            recipe = runs.read(path).recipe
            rows[f"{stream} recipe"] = ", ".join(f"{key}={value}" for key, value in dataclasses.asdict(recipe).items())
    body = "".join(f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in rows.items())
    lost = [
        *(("damaged record, dropped", id, "") for id in scores.dropped),
        *(("failed in the build", video.get("id", ""), video.get("reason", "")) for video in scores.failed),
        *(("missing in the build", video.get("id", ""), video.get("path", "")) for video in scores.missing),
    ]
    table = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in lost)
    details = (
        f'<details><summary>{len(lost)} videos not scored</summary><div class="scroll"><table>{table}</table></div>'
        "</details>"
        if lost
        else ""
    )
    return _section("What was done", "", f'<table class="facts">{body}</table>{details}')


def _scores_of(evaluation, name):
    return evaluation.fused if name == "fused" else evaluation.scores.logits[name]


def _section(title, note, content):
    note = f" <small>{_text(note)}</small>" if note else ""
    return f"<section><h2>{_text(title)}{note}</h2>{content}</section>"


def _chart(content, alt):
    width = round(int.from_bytes(content[16:20], "big") * 104 / charts.DPI)  # the PNG's own; text is 104 % then
    data = base64.b64encode(content).decode()
    return f'<img class="chart" width="{width}" src="data:image/png;base64,{data}" alt="{alt}">'


def _text(value):
    return html.escape(str(value))


# Names in it may come from strangers. They are escaped; should one not be, it can load, run and send nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><p>{protocol}</p><p class="note">{counts}</p></header>
<main>{body}</main>
</body>
</html>
"""

_STYLE = """
:root { --ink: #1f2937; --faint: #6b7280; --line: #e5e7eb; --blue: #2563eb; --pale: #dbeafe; --bad: #c2410c; }
* { box-sizing: border-box; }
body { margin: 0; background: #f3f4f6; color: var(--ink); font: 15px/1.45 system-ui, -apple-system, "Segoe UI",
  "Liberation Sans", "DejaVu Sans", sans-serif; }
header, main { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 36px; } header p { margin: 4px 0; }
h1 { font-size: 28px; margin: 0 0 8px; } h2 { font-size: 18px; margin: 0 0 14px; }
h2 small { color: var(--faint); font-weight: normal; font-size: 13px; margin-left: 6px; }
h3 { margin: 0; font-size: 15px; } h4 { margin: 8px 0 2px; font-size: 12px; color: var(--faint); font-weight: 600; }
.note { color: var(--faint); font-size: 12.5px; overflow-wrap: anywhere; }
section, .tile { background: white; border: 1px solid var(--line); border-radius: 10px; }
section { padding: 20px 24px; margin: 18px 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 22px 0 18px; }
.tile { flex: 1 1 200px; padding: 16px 20px; } .tile p { margin: 0; }
.tile .number { font-size: 40px; font-weight: 650; line-height: 1.15; letter-spacing: -0.02em; }
.tile .what { color: var(--faint); font-size: 13px; margin-bottom: 8px; } .tile .note { margin-top: 8px; }
.tile.best { border: 2px solid var(--blue); } .tile.best .number { color: var(--blue); }
.tile.chance { background: transparent; color: var(--faint); }
img.chart { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--faint); font-size: 13px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
.facts th { width: 150px; vertical-align: top; } .facts td { overflow-wrap: anywhere; }
.right { text-align: right; padding-right: 20px; } .none { color: var(--faint); }
.scroll { max-height: 520px; overflow: auto; } .scroll thead th { position: sticky; top: 0; background: white; }
td.bar { min-width: 130px; white-space: nowrap; }
td.bar i { display: inline-block; height: 9px; background: var(--blue); border-radius: 2px; margin-right: 7px;
  min-width: 1px; }
td.bar span { font-variant-numeric: tabular-nums; font-size: 13px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(430px, 1fr)); gap: 16px; }
.card { display: flex; gap: 16px; border: 1px solid var(--line); border-radius: 8px; padding: 12px; }
.card > div { flex: 1; min-width: 0; } .card img { align-self: flex-start; border-radius: 4px; }
.card .note { margin: 0; } ol { list-style: none; margin: 0; padding: 0; }
li { position: relative; display: flex; justify-content: space-between; gap: 8px; font-size: 13px; padding: 2px 6px;
  margin: 2px 0; overflow: hidden; border-radius: 3px; background: #f9fafb; }
li i { position: absolute; left: 0; top: 0; bottom: 0; background: #fed7aa; } li.hit i { background: #bbf7d0; }
li.hit span { font-weight: 650; } li span, li em { position: relative; font-style: normal; }
li span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
details { margin-top: 14px; } summary { cursor: pointer; color: var(--bad); }
@media print { body { background: white; } .scroll { max-height: none; } }
"""
