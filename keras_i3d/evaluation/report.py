"""`report.html`, one file that opens anywhere: numbers, curves, confusions and clips of an evaluation."""

import base64
import csv
import dataclasses
import functools
import io

import numpy as np

from keras_i3d import atomic, charts, markup, runs, visualize
from keras_i3d.errors import notice
from keras_i3d.evaluation import label_report, metrics, record_clips
from keras_i3d.markup import Html
from keras_i3d.probabilities import probabilities
from keras_i3d.records import sequence_example
from keras_i3d.specs import FPS
from keras_i3d.version import __version__

EXAMPLES = 4  # of videos named rightly, and as many of wrongly
FRAMES = 16  # of an example at most
WIDTH = 168  # pixels of an example
WORST = 20
LABELS = 8  # of a video that has several, at most


def write(evaluation, folder):
    """Writes confusion.png, worst_confusions.png and report.html into a folder. Each is written whole or not at all.

    Of several labels a video average_precision.png takes the place of the confusions.

    Args:
        evaluation: an Evaluation. Curves come from the `log.csv` of its runs, and clips from its records, if these
            are still there; a line says so if they are not.
        folder: a pathlib.Path.

    Raises:
        ImportError: matplotlib is not installed; the message has the install line.
    """
    if evaluation.scores.labelling == "single":
        matrix = metrics.confusion(evaluation.fused, evaluation.scores.y)
        worst = metrics.worst_confusions(matrix, WORST)
        drawn = {
            "confusion.png": charts.confusion(matrix, evaluation.scores.labels),
            "worst_confusions.png": charts.worst_confusions(worst, evaluation.scores.labels),
        }
    else:
        rows, final = label_report.rows(evaluation), list(evaluation.metrics)[-1]
        found = [(row.label, row.videos, (row.frames or row.precisions)[final]) for row in rows]
        drawn = {"average_precision.png": charts.average_precisions(found, evaluation.scores.timed)}
    for name, content in {**drawn, "report.html": page(evaluation, *drawn.values()).encode()}.items():
        with atomic.replacing(folder / name) as temporary:
            temporary.write_bytes(content)


def per_class_csv(evaluation):
    """Returns the table by class as CSV: label, videos, top-1 of each stream and fused, the most frequent error.

    Next to the last top-1, which is that of all streams, is its 95 % interval.

    Of several labels a video it is that of `label_report.per_class_csv`.
    """
    if evaluation.scores.labelling != "single":
        return label_report.per_class_csv(evaluation)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = list(evaluation.metrics)
    writer.writerow(
        ["class", "label", "videos", *(f"{name}_top1" for name in names), "low", "high", "mostly_named", "times"]
    )
    for row in class_rows(evaluation):
        accuracies = ["" if np.isnan(value) else f"{value:.4f}" for value in row.accuracies.values()]
        interval = [f"{bound:.4f}" for bound in row.interval] if row.videos else ["", ""]
        writer.writerow([row.index, row.label, row.videos, *accuracies, *interval, row.instead or "", row.times or ""])
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

    @property
    def interval(self):
        """(low, high), the 95 % interval of its last top-1; there is none without videos."""
        return metrics.interval(list(self.accuracies.values())[-1], self.videos)


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


def page(evaluation, *pictures):
    """Returns the report as HTML; the pictures are those of `write`, as PNG."""
    scores = evaluation.scores
    title = f"Evaluation of {' and '.join(scores.logits)} on {scores.split or 'a split'}"
    sections = [
        _summary(evaluation),
        _curves(scores),
        *(
            _section(title, note, _chart(png, title.lower()))
            for (title, note), png in zip(_charts(evaluation), pictures)
        ),
        _clips(evaluation),
        _table(evaluation),
        _facts(evaluation),
    ]
    return _fragments().fill(
        "page",
        title=title,
        style=Html(f"\n{markup.read(__package__, 'report.css')}"),
        protocol=_protocol(scores),
        counts=scores.counts(),
        body=markup.join(sections),
    )


def _charts(evaluation):
    """The (title, note) of each picture."""
    final, scores = list(evaluation.metrics)[-1], evaluation.scores
    if scores.labelling == "single":
        shades, most = "shades are shares of the row", "most videos first"
        return [("Confusion matrix", f"of {final}; {shades}"), ("Worst confusions", f"of {final}, {most}")]
    return [("Average precision", f"of {final}, per {'frame' if scores.timed else 'video'}; the best and the worst")]


def table(evaluation):
    """Returns the figures of an evaluation as an HTML table, for a notebook."""
    fill, columns = _fragments().fill, evaluation.columns
    rows = [
        fill(
            "evaluation-row",
            name=row["name"],
            figures=markup.join(fill("figure", value=row[column]) for column in columns),
            origin=row["origin"],
        )
        for row in evaluation.rows()
    ]
    titles = markup.join(fill("figure-title", title=title) for title in columns.values())
    return fill("evaluation", caption=evaluation.caption(), titles=titles, rows=markup.join(rows))


@functools.cache
def _fragments():
    return markup.Fragments(__package__, "report.html")


def _protocol(scores):
    details = " / ".join(dict.fromkeys(filter(None, scores.settings.values())))
    if not details:
        return _fragments().fill("protocol", protocol=scores.protocol)
    return _fragments().fill("protocol-with-details", protocol=scores.protocol, details=details)


def _summary(evaluation):
    kinds, columns = {"fused": " best", "chance": " chance"}, evaluation.columns
    tiles = []
    for name, found in {**evaluation.metrics, "chance": evaluation.chance}.items():
        figures = {
            title: f"{value:.1%}" for figure, title in columns.items() if (value := getattr(found, figure)) is not None
        }
        what, number = next(iter(figures.items()))
        also = [_fragments().fill("also", value=value, title=title) for title, value in list(figures.items())[1:]]
        settings = {"what": what, "number": number, "also": markup.join(also), "note": evaluation.origin(name)}
        tiles.append(_fragments().fill("tile", name=name, kind=kinds.get(name, ""), **settings))
    said = filter(None, [evaluation.uncertainty(), evaluation.threshold_line()])
    notes = markup.join(_fragments().fill("said", text=text) for text in said)
    return _fragments().fill("tiles", tiles=markup.join(tiles), notes=notes)


def _curves(scores):
    logs = {stream: runs.read(path).log() for stream, path in scores.models.items() if runs.is_run(path)}
    logs = {stream: rows for stream, rows in logs.items() if rows}
    if not logs:
        return Html()
    return _section("Training", "of each stream", _chart(charts.curves(logs), "training curves"))


def _table(evaluation):
    if evaluation.scores.labelling != "single":
        return _label_table(evaluation)
    fill, names = _fragments().fill, list(evaluation.metrics)
    rows = sorted(class_rows(evaluation), key=lambda row: (np.nan_to_num(row.accuracies[names[-1]], nan=2), row.index))
    body = [
        fill(
            "class",
            label=row.label,
            videos=row.videos,
            accuracies=markup.join(map(_accuracy, row.accuracies.values())),
            instead=fill("instead", label=row.instead, times=row.times) if row.instead else "",
        )
        for row in rows
    ]
    return _section(
        "Classes",
        f"top-1, worst of {names[-1]} first; also in per_class.csv",
        fill(
            "classes",
            streams=markup.join(fill("stream", name=name) for name in names),
            last="mostly taken for",
            rows=markup.join(body),
        ),
    )


def _label_table(evaluation):
    fill, names = _fragments().fill, list(evaluation.metrics)
    rows = label_report.rows(evaluation)
    rows = sorted(rows, key=lambda row: (np.nan_to_num((row.frames or row.precisions)[names[-1]], nan=2), row.index))
    body = [
        fill(
            "class",
            label=row.label,
            videos=row.videos,
            accuracies=markup.join(map(_accuracy, (row.frames or row.precisions).values())),
            instead=fill("decision", f1=f"{row.f1:.2f}", threshold=f"{row.threshold:.3g}"),
        )
        for row in rows
    ]
    per = " per frame" if evaluation.scores.timed else ""
    return _section(
        "Classes",
        f"average precision{per}, worst of {names[-1]} first; also in per_class.csv",
        fill(
            "classes",
            streams=markup.join(fill("stream", name=name) for name in names),
            last=f"F1 of {names[-1]}",
            rows=markup.join(body),
        ),
    )


def _accuracy(value):
    if np.isnan(value):
        return _fragments().fill("no-accuracy")
    return _fragments().fill("accuracy", width=f"{value * 60:.1f}", accuracy=f"{value:.0%}")


def _clips(evaluation):
    single = evaluation.scores.labelling == "single"
    right, wrong = choose_examples(evaluation) if single else label_report.choose_examples(evaluation, EXAMPLES)
    notes = ("one of each of some classes", "with the greatest conviction")
    notes = notes if single else ("all of their labels and no other", "whose labels were the least expected")
    try:
        places = _places(evaluation.scores, [*right, *wrong])
        cards = {row: _card(evaluation, row, *place) for row, place in places.items()}
    except Exception as error:  # whatever has become of the records, the numbers are there
        notice(f"the report has no example clips: {type(error).__name__}: {error}")
        return Html()
    parts = []
    for rows, title, note in zip((right, wrong), ("Named rightly", "Named wrongly"), notes):
        if rows:
            parts.append(
                _section(title, note, _fragments().fill("cards", cards=markup.join(cards[row] for row in rows)))
            )
    return markup.join(parts)


def _places(scores, rows):
    """Returns {row: (file, number of the record in it)}."""
    source = record_clips.source_of(scores.records)
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
    content = visualize.gif(clip["rgb"][::step], flow, fps=fps, bound=bound, width=WIDTH, legend=False)
    return _fragments().fill(
        "card",
        data=base64.b64encode(content).decode(),
        id=scores.ids[row],
        label=scores.labels[scores.y[row]] if scores.labelling == "single" else label_report.labels_of(scores, row),
        answers=markup.join(answer(evaluation, name, row) for name in evaluation.metrics),
    )


def answer(evaluation, name, row):
    """Returns the three best classes of a video by one stream, or by all together, as Html.

    Of several labels they are as many as it has.
    """
    scores, values = evaluation.scores, _scores_of(evaluation, name)[row]
    ranks = []
    distances = name == "fused" and "SVM" in evaluation.fusion  # which are no logits
    shares = None if distances else probabilities(values, scores.activation)
    single = scores.labelling == "single"
    for i in np.argsort(-values, kind="stable")[: 3 if single else max(3, min(int(scores.y[row].sum()), LABELS))]:
        hit = i == scores.y[row] if single else scores.y[row, i]
        rank = {"hit": "hit" if hit else "", "label": scores.labels[i]}
        if shares is None:
            ranks.append(_fragments().fill("rank-without-share", **rank))
        else:
            share = {"width": f"{shares[i] * 100:.1f}", "share": f"{shares[i]:.0%}"}
            ranks.append(_fragments().fill("rank", **rank, **share))
    return _fragments().fill("answer", name=name, ranks=markup.join(ranks))


def _facts(evaluation):
    scores = evaluation.scores
    rows = {
        "records": scores.records,
        "split": scores.split,
        **{f"{stream} model": origin for stream, origin in scores.models.items()},
        **{f"{stream} scored on": detail for stream, detail in scores.settings.items()},
        **{f"{stream} computed by": what for stream, what in scores.computed_by.items() if what},
        **({"fusion": evaluation.fusion} if evaluation.fusion else {}),
        "keras_i3d": __version__,
    }
    for stream, path in scores.models.items():
        if runs.is_run(path):
            recipe = runs.read(path).recipe
            rows[f"{stream} recipe"] = ", ".join(f"{key}={value}" for key, value in dataclasses.asdict(recipe).items())
    body = markup.join(_fragments().fill("fact", name=name, value=value) for name, value in rows.items())
    lost = [
        *(("damaged record, dropped", id, "") for id in scores.dropped),
        *(("failed in the build", video.get("id", ""), video.get("reason", "")) for video in scores.failed),
        *(("missing in the build", video.get("id", ""), video.get("path", "")) for video in scores.missing),
    ]
    return _section("What was done", "", _fragments().fill("facts", rows=body, lost=_lost(lost)))


def _lost(lost):
    if not lost:
        return Html()
    rows = [_fragments().fill("lost-video", why=why, id=id, reason=reason) for why, id, reason in lost]
    return _fragments().fill("lost", count=len(lost), rows=markup.join(rows))


def _scores_of(evaluation, name):
    return evaluation.fused if name == "fused" else evaluation.scores.logits[name]


def _section(title, note, content):
    if not note:
        return _fragments().fill("section", title=title, content=content)
    return _fragments().fill("section-with-note", title=title, note=note, content=content)


def _chart(content, alt):
    width = round(int.from_bytes(content[16:20], "big") * 104 / charts.DPI)  # the PNG's own; text is 104 % then
    return _fragments().fill("chart", width=width, data=base64.b64encode(content).decode(), alt=alt)
