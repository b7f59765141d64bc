"""A split of records to scores, and what is written of them."""

import json
import os
import pathlib
import tempfile

import keras
import numpy as np

from keras_i3d import atomic, beforehand, facts, networks, paths, runs, runtimes, threshold_files
from keras_i3d.data import record_files
from keras_i3d.errors import notice
from keras_i3d.evaluation import measuring, prediction_browser, protocols, truths
from keras_i3d.evaluation.fusion import check_fusion
from keras_i3d.evaluation.scores import Scores, merge
from keras_i3d.evaluation.scores import read as read_scores
from keras_i3d.evaluation.scoring import Stream
from keras_i3d.inference import chunks
from keras_i3d.models.families import FAMILIES
from keras_i3d.records import manifest
from keras_i3d.specs import INPUT_CHANNELS
from keras_i3d.weights.labels import read_labels

VIEWS_AT_ONCE = 4


def evaluate(
    records,
    rgb=None,
    flow=None,
    protocol="whole",
    fusion="sum",
    fit_on=None,
    output=None,
    *,
    both=None,
    more=None,
    thresholds=None,
    choose_thresholds=False,
    report=True,
    browse=prediction_browser.VIDEOS,
    parents=None,
    neighbours=None,
    size=None,
    clip_frames=None,
    labels=None,
    errors="raise",
    chunk_frames=chunks.CHUNK_FRAMES,
    views_at_once=VIEWS_AT_ONCE,
    progress=False,
    accept_licence=None,
    runtime=None,
):
    """Evaluates one or more streams, and their fusion, on a split of records.

    Args:
        records: a folder, a glob or a list of files, as for `data.load`.
        rgb, flow: weights of one or both streams: a training run's folder, what `I3D(weights=)` takes, or a model that
            I3D made.
        both: weights of a network that takes both in one tensor, of which there may be one next to the others.
        more: {name: weights} of further streams, such as {"rgb 2": "runs/rgb2"}: runs or models, of any stream and
            under any other name; all are fused.
        protocol: "whole", "views:10x3", "views:25x10" or any "views:NxM", M being 1, 3 or 10; see
            `evaluation.protocols`, with sources.
        fusion: "sum", "mean", "weights" or "svm"; see `evaluation.fusion.fuse`.
        fit_on: scores.npz of another split, for the last two.
        thresholds: of several labels, what F1 is at: a number for all classes, one for each, or a thresholds.json. By
            default what was chosen for the network; for a fusion, and where nothing was, 0.5.
        choose_thresholds: of several labels, whether to choose for each class the threshold of the highest F1 on these
            videos, which should be of a validation split. They are written as thresholds.json into the folder of each
            stream that is a run, where `classify`, `evaluate` and `export` find them; and those of the fusion, or of
            the only stream, into `output`.
        output: a folder for scores.npz, results.json, per_class.csv, confusion.png, worst_confusions.png and
            report.html; made if need be. None writes nothing. Of several labels average_precision.png takes the place
            of the confusions.
        report: whether the output has the pictures, the report, which need matplotlib, and the page of `browse`.
        browse: how many of the videos that were named wrongly are in the output's wrong.html, playable, the most
            convinced errors first; 0 for no such page. Of one label a video alone.
        parents: path of a CSV with the columns label and parent, by which that page groups confusions.
        neighbours: training records; that page then has the nearest of their videos next to each, by the cosine of
            what the networks' heads read, averaged over all frames. Each network sees all of them once.
        size: side of the crop in pixels. By default what the model was trained on (224 for published weights), and
            with 3 crops the short side of the records.
        clip_frames: frames of a view; by default what the model was trained on, 64 for published weights.
        labels: class names, or where they are, for third-party records, which have no manifest.
        errors: "raise", or "count" to drop damaged records, which are counted.
        chunk_frames: frames of a whole video that go through a network at once; the result does not depend on it.
        views_at_once: views that go through a network at once.
        progress: whether to show how far each stream is, in videos.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it.
        runtime: what runs the networks, as for `compile_for`. "auto" chooses at the first clip of a stream, for all.

    Returns:
        An Evaluation; `print` it.

    Raises:
        ValueError: settings that contradict each other; records, models or labels that do not belong together; a video
            without a label; scores that are not finite.
        FileNotFoundError: no records there.
        EvaluationError: a damaged record, named with its file, unless errors="count".
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        ImportError: a package that the fusion or the report needs is not installed; the message has the install line.
    """
    runtime = runtimes.chosen(runtime)
    protocol = protocols.parse(protocol)
    if protocol.clips is None:
        chunks.check_length(chunk_frames, FAMILIES.values())  # before weights are fetched
    fit_on = None if fit_on is None else read_scores(fit_on)
    models = _named({"rgb": rgb, "flow": flow, "both": both}, more or {})
    if len(models) > 1:
        check_fusion(models, fusion, fit_on)
    elif fit_on is not None or fusion != "sum":
        raise ValueError(f"Fusion takes at least two streams. Received: {', '.join(models)}, fusion={fusion!r}")
    source = record_files.find(records)
    asked = thresholds, choose_thresholds
    _check_thresholds(*asked, source.labelling, output is not None or all(map(runs.is_run, models.values())))
    browsing = prediction_browser.Browsing(browse, parents, neighbours)
    writing = _Writing(output, report, browsing, progress)  # what it needs is found out now, not after hours
    names = _labels(source, labels)
    browsing.check(names)
    if thresholds is not None:
        thresholds = threshold_files.given(thresholds, names)
    _check_classes(models, names, accept_licence)
    settings = {"size": size, "clip_frames": clip_frames, "chunk_frames": chunk_frames, "errors": errors}
    settings |= {"accept_licence": accept_licence, "runtime": runtime}
    streams = [Stream(name, model, names, source, protocol, **settings) for name, model in models.items()]
    activation = networks.one_value({stream.name: stream.activation for stream in streams}, "activation")
    known = {} if source.labelling == "single" else truths.read(source, len(names))
    found, damage = {}, {}
    for stream in streams:
        found[stream.name] = of_stream = {}
        for each in stream.score(source, views_at_once, progress, known):
            if each.id in of_stream:
                raise ValueError(f"The ids of records are unique. Received: {each.id} twice")
            of_stream[each.id] = each
        damage |= {kind: max(count, damage.get(kind, 0)) for kind, count in stream.damage.items()}
    listed = [id for ids in source.ids for id in (ids or ())] or list(found[streams[0].name])
    ids = tuple(id for id in listed if all(id in scored for scored in found.values()))
    if not ids:
        lost = ", ".join(f"{count} {kind}" for kind, count in damage.items() if count)
        raise ValueError(f"No video of {_where(records)} could be scored: {lost or 'there is none'}")
    scores = Scores(
        ids=ids,
        **_truths(source.labelling, ids, next(iter(found.values())), known, len(names)),
        labels=tuple(names),
        **{kind: _stacked(found, ids, kind) for kind in (KINDS if source.labelling == "timed" else KINDS[:1])},
        protocol=str(protocol),
        records=_where(records),
        models={stream.name: stream.origin for stream in streams},
        settings={stream.name: stream.settings for stream in streams},
        computed_by={stream.name: stream.computed_by for stream in streams},
        activation=activation,
        labelling=source.labelling,
        thresholds={s.name: s.network.facts.thresholds for s in streams if s.network.facts.thresholds},
        dropped=tuple(id for id in listed if id not in set(ids)),
        damage={kind: count for kind, count in damage.items() if count},
        **_manifests(source),
    )
    result = writing.write(scores, fusion, fit_on, *asked, streams=streams)
    if choose_thresholds:
        for stream in streams:
            if stream.network.run is not None:
                head = facts.head_digest(stream.network.model)
                path = measuring.chosen(result, stream.name, head).write(stream.network.run.folder)
                notice(f"the thresholds of {stream.name} are in {path}; classify, evaluate and export take them")
    return result


KINDS = ("logits", "frames", "peaks")


def _stacked(found, ids, kind):
    """{stream: the scores of a kind, of these videos}."""
    return {name: np.stack([getattr(scored[id], kind) for id in ids]) for name, scored in found.items()}


def _truths(labelling, ids, scored, known, count):
    """{"y": , "y_frames": } of videos, as `Scores` has them."""
    if labelling == "single":
        y = np.array([scored[id].y for id in ids], np.int64)
        for id, each in zip(ids, y):
            if not 0 <= each < count:
                raise ValueError(
                    f"Evaluation needs the class of each video, in 0..{count - 1}. Received: "
                    + (f"{id} without one" if each < 0 else f"class {each} for {id}")
                )
        return {"y": y}
    if unknown := [id for id in ids if id not in known]:
        raise ValueError(f"Evaluation needs the labels of each video. Received: {unknown[0]}, whose record has none")
    found = {"y": np.stack([known[id].y(count) for id in ids])}
    if labelling == "timed":
        found["y_frames"] = np.stack([known[id].y_of_moments(count) for id in ids])
    return found


def _check_thresholds(given, choose, labelling, has_place):
    """Raises ValueError for thresholds of one label a video, both given and chosen, or chosen for nobody."""
    if labelling == "single" and (given is not None or choose):
        raise ValueError("Thresholds are of several labels a video. Received: records of one")
    if given is not None and choose:
        raise ValueError("thresholds= gives what choose_thresholds chooses. Received: both")
    if choose and not has_place:
        raise ValueError(
            "Chosen thresholds are written into the folder of a run, or into output. Received: neither. Pass output=."
        )


def rescore(
    scores,
    fusion="sum",
    fit_on=None,
    output=None,
    *,
    thresholds=None,
    choose_thresholds=False,
    report=True,
    browse=prediction_browser.VIDEOS,
    parents=None,
    neighbours=None,
    progress=False,
):
    """Fuses and measures scores again, without the networks.

    Args:
        scores: a scores.npz, or several of one split and protocol, whose streams are all fused.
        fusion, fit_on, thresholds, output, report, browse, parents: as for `evaluate`. The report has curves and clips,
            and the page of `browse` its videos, if the runs and the records are still where they were.
        neighbours: as for `evaluate`; the networks are loaded from where they were for it.
        progress: whether to show how far the neighbours are.
        choose_thresholds: as for `evaluate`; they are written into `output` alone.

    Returns:
        A `measuring.Evaluation`.
    """
    several = isinstance(scores, list | tuple)
    merged = merge([read_scores(part) for part in scores] if several else [read_scores(scores)])
    fit_on = None if fit_on is None else read_scores(fit_on)
    if len(merged.logits) == 1 and (fit_on is not None or fusion != "sum"):
        raise ValueError(f"Fusion takes at least two streams. Received: {', '.join(merged.logits)}, fusion={fusion!r}")
    _check_thresholds(thresholds, choose_thresholds, merged.labelling, output is not None)
    browsing = prediction_browser.Browsing(browse, parents, neighbours)
    browsing.check(merged.labels)
    writing = _Writing(output, report, browsing, progress)
    return writing.write(merged, fusion, fit_on, thresholds, choose_thresholds)


class _Writing:
    """What an evaluation leaves in its folder."""

    def __init__(self, output, report, browsing, progress):
        self.folder, self.report = None if output is None else pathlib.Path(paths.expand(output)), report
        self.browsing, self.progress = browsing, progress
        if self.folder is None:
            return
        if report:
            from keras_i3d import charts

            charts.matplotlib()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
            atomic.clean(self.folder)
        except OSError as error:
            raise ValueError(f"Cannot write in {self.folder} ({error.strerror}). Choose another output.") from error

    def write(self, scores, fusion, fit_on, thresholds=None, choose_thresholds=False, streams=()):
        if self.folder is not None:
            scores = scores.save(self.folder / "scores.npz")  # first: whatever fails later can be done again from it
        result = measuring.measured(scores, fusion, fit_on, thresholds, choose_thresholds)
        if self.folder is None:
            return result
        if choose_thresholds:
            measuring.chosen(result, list(result.metrics)[-1]).write(self.folder)
        from keras_i3d.evaluation.report import per_class_csv
        from keras_i3d.evaluation.report import write as write_report

        atomic.write_text(
            self.folder / "results.json", json.dumps(result.record(), indent=1, ensure_ascii=False) + "\n"
        )
        atomic.write_text(self.folder / "per_class.csv", per_class_csv(result))
        if self.report:
            write_report(result, self.folder)
            if self.browsing.neighbours is not None and not streams:
                streams = self._streams(scores)
            prediction_browser.write(result, self.folder, self.browsing, streams, self.progress)
        return result

    def _streams(self, scores):
        """The networks of scores, loaded again, as they see the training records; () and a line if they are gone."""
        source = record_files.find(self.browsing.neighbours)
        settings = dict.fromkeys(("size", "clip_frames", "accept_licence")) | {"runtime": runtimes.chosen(None)}
        settings |= {"chunk_frames": chunks.CHUNK_FRAMES, "errors": "raise"}
        try:
            whole = protocols.parse("whole")
            return [
                Stream(name, origin, list(scores.labels), source, whole, **settings)
                for name, origin in scores.models.items()
            ]
        except Exception as error:  # whatever has become of them, the numbers are there
            notice(f"there are no nearest training videos: {type(error).__name__}: {error}")
            return ()


def _named(given, more):
    """Returns {name: weights} of every stream that has weights."""
    models = {name: weights for name, weights in given.items() if weights is not None}
    if set(more) & set(given):
        raise ValueError(f"more= takes streams under names other than rgb, flow and both. Received: {', '.join(more)}")
    if not models and not more:
        raise ValueError(
            "Evaluation takes the weights of at least one stream. Received: none. Pass rgb=, flow= or both=."
        )
    return {**models, **more}


def _check_classes(models, names, accept_licence):
    """Refuses weights that are not there or for other classes before any of them is loaded or fetched."""
    for name, model in models.items():
        if name not in INPUT_CHANNELS and not (isinstance(model, keras.Model) or runs.is_run(model)):
            continue  # a name that says no stream, which only a Stream may refuse
        classes = beforehand.classes(model, name, accept_licence)
        if classes not in (None, len(names)):
            origin = f"the model {model.name}" if isinstance(model, keras.Model) else model
            raise ValueError(f"The records have {len(names)} classes. Received: {origin}, for {classes}")


def _labels(source, labels):
    if source.labels:
        if labels is not None and tuple(read_labels(labels)) != tuple(source.labels):
            raise ValueError("labels= is for records without a manifest; these have one, with other labels.")
        return list(source.labels)
    if labels is None:
        raise ValueError("These records have no manifest, and so no list of labels. Pass labels= (--labels=).")
    return read_labels(labels)


def _manifests(source):
    """The split of the records, and what was lost when they were built."""
    first = {}
    for file in source.files:
        match = manifest.SHARD.fullmatch(os.path.basename(file))
        if match:
            first.setdefault((os.path.dirname(file), match["split"]), file)
    found = {key: content for key, file in first.items() if (content := manifest.of_shard(file))}
    return {
        "split": " + ".join(content.split for content in found.values()),
        "failed": tuple(video for content in found.values() for video in content.failed),
        "missing": tuple(video for content in found.values() for video in content.missing),
    }


def _where(records):
    if isinstance(records, record_files.Source):
        records = list(records.files)
    return os.fspath(records) if isinstance(records, str | os.PathLike) else ", ".join(map(os.fspath, records))
