"""What the scores of a split are worth: an Evaluation, and how it prints."""

import dataclasses

import numpy as np

from keras_i3d import threshold_files
from keras_i3d.evaluation import label_metrics, metrics
from keras_i3d.evaluation.fusion import Fused, fuse_all
from keras_i3d.evaluation.scores import Scores
from keras_i3d.probabilities import probabilities


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came of a split.

    Attributes:
        scores: the Scores of its videos.
        metrics: {stream: Metrics}, and "fused" if there are several streams.
        fused: float64 (N, classes), the scores of the fusion, or of the only stream.
        fusion: what was done for it, for people; "" with one stream.
        thresholds: of several labels, {name in `metrics`: float64 (classes,)} that F1 is at; {} of one label a video.
        chosen_on: where these were chosen, for people; "" where they were given, noted, or are 0.5.
        parts: {name in `metrics`: its Fused}.
    """

    scores: Scores
    metrics: dict
    fused: np.ndarray
    fusion: str
    thresholds: dict = dataclasses.field(default_factory=dict)
    chosen_on: str = ""
    parts: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        scores = self.scores
        details = dict.fromkeys(filter(None, scores.settings.values()))
        width = max(map(len, [*self.metrics, "chance"]))
        widths = {name: max(len(title) + 1, 6) for name, title in self.columns.items()}
        titles = "".join(f"  {self.columns[name]:>{each}}" for name, each in widths.items())
        lines = [
            f"split {scores.split or '(unnamed)'}: {scores.counts()}",
            *([f"protocol {scores.protocol}: {detail}" for detail in details] or [f"protocol {scores.protocol}"]),
            f"  {'':{width}}{titles}",
        ]
        for row in self.rows():
            figures = "".join(f"  {row[name]:>{each}}" for name, each in widths.items())
            lines.append(f"  {row['name']:{width}}{figures}   {row['origin']}".rstrip())
        return "\n".join([*lines, *filter(None, [self.uncertainty(), self.threshold_line()])])

    def _repr_html_(self):
        from keras_i3d.evaluation.report import table

        return table(self)

    def caption(self):
        """Returns a line with the split, how many videos there are, and the protocol."""
        scores = self.scores
        return f"split {scores.split or '(unnamed)'}: {scores.counts()}; protocol {scores.protocol}"

    @property
    def columns(self):
        """{attribute of a Metrics: what it is called} of the figures that are shown."""
        return next(iter(self.metrics.values())).columns

    @property
    def chance(self):
        """The Metrics, or LabelMetrics, to expect of guessing."""
        if self.scores.labelling == "single":
            return metrics.chance(len(self.scores.labels))
        return label_metrics.chance(self.scores.y, self.scores.y_frames)

    def rows(self):
        """Returns a dictionary for each stream, their fusion and chance: its name, percentages as text, its origin."""
        return [
            {
                "name": name,
                **{key: _percent(getattr(found, key)) for key in self.columns},
                "origin": self.origin(name),
            }
            for name, found in {**self.metrics, "chance": self.chance}.items()
        ]

    @property
    def intervals(self):
        """{stream, or "fused": (low, high)}, the 95 % interval of its top-1; {} of several labels."""
        if self.scores.labelling != "single":
            return {}
        return {name: metrics.interval(found.top1, found.videos) for name, found in self.metrics.items()}

    def uncertainty(self):
        """Returns a line with intervals of top-1 if some class has under 5 videos; "" else, and of several labels."""
        if self.scores.labelling != "single":
            return ""
        videos = np.bincount(self.scores.y, minlength=len(self.scores.labels))
        few = [(count, label) for count, label in zip(videos.tolist(), self.scores.labels) if 0 < count < metrics.FEW]
        if not few:
            return ""
        said = "; ".join(f"{name} {100 * low:.1f} to {100 * high:.1f}" for name, (low, high) in self.intervals.items())
        least, label = min(few)
        classes = f"{len(few)} classes have" if len(few) > 1 else "1 class has"
        rough = f"{classes} under {metrics.FEW} videos ({label}: {least}), so accuracies are uncertain"
        return f"{rough}; 95 % intervals of top-1: {said}"

    def threshold_line(self):
        """Returns a line on the thresholds that F1 is at; "" of one label a video."""
        if not self.thresholds:
            return ""
        if self.chosen_on:
            return f"F1 at thresholds chosen on {self.chosen_on}"
        values = np.concatenate(list(self.thresholds.values()))
        of = f"{values.min():g}" if np.ptp(values) == 0 else f"{values.min():.3g} to {values.max():.3g}"
        return f"F1 at thresholds of {of}"

    def origin(self, name):
        """Returns what the figures of a name in `metrics`, or of "chance", are of, for people."""
        others = {"fused": self.fusion, "chance": f"of {len(self.scores.labels)} classes"}
        return others[name] if name in others else self.scores.models.get(name, "")

    def record(self):
        """Returns what `results.json` holds: plain numbers, strings and lists; accuracies in [0, 1]."""
        scores = self.scores
        chance = self.chance
        return {
            "split": scores.split,
            "protocol": scores.protocol,
            "settings": scores.settings,
            "computed_by": scores.computed_by,
            "videos": len(scores.ids),
            "dropped": scores.damaged,
            "failed": len(scores.failed),
            "missing": len(scores.missing),
            "classes": len(scores.labels),
            "labelling": scores.labelling,
            "chance": getattr(chance, next(iter(chance.columns))),
            "fusion": self.fusion,
            "models": scores.models,
            "records": scores.records,
            "metrics": {name: dataclasses.asdict(found) for name, found in self.metrics.items()},
            "top1_intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "thresholds": {name: list(map(float, each)) for name, each in self.thresholds.items()},
            "chosen_on": self.chosen_on,
        }


def measured(scores, fusion="sum", fit_on=None, thresholds=None, choose_thresholds=False):
    """Returns the Evaluation of Scores; the arguments are those of `rescore`."""
    times = (scores.frames, scores.peaks) if scores.timed else ()
    parts = {s: Fused(logits, *(each[s] for each in times)) for s, logits in scores.logits.items()}
    said = ""
    if len(parts) > 1:
        parts["fused"], said = fuse_all(scores, fusion, fit_on)
    fused = np.float64(list(parts.values())[-1].logits)
    if scores.labelling == "single":
        found = {name: metrics.measure(part.logits, scores.y) for name, part in parts.items()}
        return Evaluation(scores, found, fused, said, parts=parts)
    shares = {name: probabilities(part.logits, scores.activation) for name, part in parts.items()}
    if thresholds is not None:
        limits = dict.fromkeys(parts, threshold_files.given(thresholds, scores.labels))
    elif choose_thresholds:
        limits = {name: label_metrics.choose_thresholds(each, scores.y) for name, each in shares.items()}
    else:
        usual = (threshold_files.DEFAULT,) * len(scores.labels)
        limits = {name: scores.thresholds.get(name, usual) for name in parts}
    limits = {name: np.float64(each) for name, each in limits.items()}
    found = {}
    for name, part in parts.items():
        of_time = (part.frames, scores.y_frames, part.peaks)
        found[name] = label_metrics.measure(part.logits, scores.y, shares[name], limits[name], *of_time)
    where = f"{scores.split or 'a split'} ({scores.records}), protocol {scores.protocol}"
    chosen_on = f"{where}, for the highest F1 of each class" if choose_thresholds else ""
    return Evaluation(scores, found, fused, said, limits, chosen_on, parts)


def _percent(share):
    return "-" if share is None else f"{100 * share:.2f}"


def chosen(result, name, head=None):
    """Returns the thresholds of a name in an Evaluation's metrics, as a file holds them."""
    values = tuple(map(float, result.thresholds[name]))
    return threshold_files.Chosen(result.scores.labels, values, result.chosen_on, head)
