"""A split of records through the networks, and the numbers that come of it."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re

import keras
import numpy as np

from keras_i3d import inference, registry, runs
from keras_i3d import weights as weights_lib
from keras_i3d.applications import I3D
from keras_i3d.data import manifest, pipeline
from keras_i3d.data import source as source_lib
from keras_i3d.data.manifest import check_same
from keras_i3d.data.records import RecordSpec
from keras_i3d.evaluation import fusion as fusion_lib
from keras_i3d.evaluation import metrics, protocols
from keras_i3d.evaluation import scores as scores_lib
from keras_i3d.evaluation.scores import Scores
from keras_i3d.messages import KerasI3DError, notice
from keras_i3d.models.inception import HEAD
from keras_i3d.specs import CHANNELS, CROP

CLIP_FRAMES = 64
VIEWS_AT_ONCE = 4
LARGE = 1e9  # bytes of one video's views, above which videos are loaded one after the other, and a line says so
COPIES = 8  # of a video's views at the peak then, as measured for 10x3 at 256 pixels


class EvaluationError(KerasI3DError):
    """Records that cannot be evaluated."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came of a split.

    Attributes:
        scores: the Scores of its videos.
        metrics: {stream: Metrics}, and "fused" where there are several streams.
        fused: float64 (N, classes), the scores of the fusion, or of the only stream.
        fusion: what was done for it, for people; "" with one stream.
    """

    scores: Scores
    metrics: dict
    fused: np.ndarray
    fusion: str

    def __str__(self):
        scores = self.scores
        details = dict.fromkeys(filter(None, scores.settings.values()))
        width = max(map(len, [*self.metrics, "chance"]))
        lines = [
            f"split {scores.split or '(unnamed)'}: {scores.counts()}",
            *([f"protocol {scores.protocol}: {detail}" for detail in details] or [f"protocol {scores.protocol}"]),
            f"  {'':{width}}   top-1   top-5   mean class",
        ]
        for name, found in {**self.metrics, "chance": metrics.chance(len(scores.labels))}.items():
            origins = {**scores.models, "fused": self.fusion, "chance": f"of {len(scores.labels)} classes"}
            origin = origins.get(name, "")
            numbers = (100 * value for value in (found.top1, found.top5, found.mean_class))
            lines.append("  {:{}}  {:6.2f}  {:6.2f}       {:6.2f}   {}".format(name, width, *numbers, origin).rstrip())
        return "\n".join(lines)

    def record(self):
        """Returns what `results.json` holds: plain numbers, strings and lists; accuracies in [0, 1]."""
        scores = self.scores
        return {
            "split": scores.split,
            "protocol": scores.protocol,
            "settings": scores.settings,
            "videos": len(scores.ids),
            "dropped": len(scores.dropped),
            "failed": len(scores.failed),
            "missing": len(scores.missing),
            "classes": len(scores.labels),
            "chance": 1 / len(scores.labels),
            "fusion": self.fusion,
            "models": scores.models,
            "records": scores.records,
            "metrics": {name: dataclasses.asdict(found) for name, found in self.metrics.items()},
        }


def evaluate(
    records,
    models,
    protocol="whole",
    fusion="sum",
    fit_on=None,
    output=None,
    *,
    report=True,
    size=None,
    clip_frames=None,
    labels=None,
    errors="raise",
    chunk_frames=inference.CHUNK_FRAMES,
    views_at_once=VIEWS_AT_ONCE,
    progress=False,
):
    """Evaluates one or more streams, and their fusion, on a split of records.

    Args:
        records: a folder, a glob or a list of files, as for `data.load`.
        models: {"rgb": ..., "flow": ...}, one or both; each a training run's folder, what `I3D(weights=)` takes, or a
            model that I3D made. Further streams may have any name if they are runs or models: {"rgb": ..., "rgb 2":
            ...}; all are fused.
        protocol: "whole", "views:10x3", "views:25x10" or any "views:NxM", M being 1, 3 or 10; see
            `evaluation.protocols`, with sources.
        fusion: "sum", "mean", "weights" or "svm"; see `evaluation.fusion.fuse`.
        fit_on: scores.npz of another split, for the last two.
        output: a folder for scores.npz, results.json, per_class.csv, confusion.png, worst_confusions.png and
            report.html; made if need be. None writes nothing.
        report: whether the output has the pictures and the report, which need matplotlib.
        size: side of the crop in pixels. By default what the model was trained on (224 for published weights), and
            with 3 crops the short side of the records.
        clip_frames: frames of a view; by default what the model was trained on, 64 for published weights.
        labels: class names, or where they are, for records by others, which have no manifest.
        errors: "raise", or "count" to drop damaged records, which are counted.
        chunk_frames: frames of a whole video that go through a network at once; the result does not depend on it.
        views_at_once: views that go through a network at once.
        progress: whether to show a progress bar for each stream.

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
    protocol = protocols.parse(protocol)
    fit_on = None if fit_on is None else scores_lib.read(fit_on)
    if not models:
        raise ValueError("Evaluation takes at least one stream. Received: no model")
    if len(models) > 1:
        fusion_lib.check(models, fusion, fit_on)
    elif fit_on is not None or fusion != "sum":
        raise ValueError(f"Fusion takes at least two streams. Received: {', '.join(models)}, fusion={fusion!r}")
    writing = _Writing(output, report)  # what it needs is found out now, not after hours
    source = source_lib.find(records)
    names = _labels(source, labels)
    settings = {"size": size, "clip_frames": clip_frames, "chunk_frames": chunk_frames, "errors": errors}
    streams = [_Stream(name, model, names, source, protocol, **settings) for name, model in models.items()]
    found, classes, damage = {}, {}, {}
    for stream in streams:
        found[stream.name] = {}
        for id, y, logits in stream.score(source, views_at_once, progress):
            if not 0 <= y < len(names):
                raise ValueError(
                    f"Evaluation needs the class of each video, in 0..{len(names) - 1}. Received: "
                    + (f"{id} without one" if y < 0 else f"class {y} for {id}")
                )
            if id in found[stream.name]:
                raise ValueError(f"The ids of records are unique. Received: {id} twice")
            found[stream.name][id], classes[id] = logits, y
        damage |= {kind: max(count, damage.get(kind, 0)) for kind, count in stream.damage.items()}
    known = [id for ids in source.ids for id in (ids or ())] or list(classes)
    ids = tuple(id for id in known if all(id in scored for scored in found.values()))
    if not ids:
        raise ValueError(f"No video of {_where(records)} could be scored: {damage}")
    scores = Scores(
        ids=ids,
        y=np.array([classes[id] for id in ids], np.int64),
        labels=tuple(names),
        logits={name: np.stack([scored[id] for id in ids]) for name, scored in found.items()},
        protocol=str(protocol),
        records=_where(records),
        models={stream.name: stream.origin for stream in streams},
        settings={stream.name: stream.settings for stream in streams},
        dropped=tuple(id for id in known if id not in set(ids)),
        damage={kind: count for kind, count in damage.items() if count},
        **_manifests(source),
    )
    return writing.write(scores, fusion, fit_on)


def rescore(scores, fusion="sum", fit_on=None, output=None, *, report=True):
    """Fuses and measures scores again, without the networks.

    Args:
        scores: a scores.npz, or several of one split and protocol, whose streams are all fused.
        fusion, fit_on, output, report: as for `evaluate`. The report has curves and clips where the runs and the
            records are still where they were.

    Returns:
        An Evaluation.
    """
    several = isinstance(scores, list | tuple)
    merged = scores_lib.merge([scores_lib.read(part) for part in scores] if several else [scores_lib.read(scores)])
    fit_on = None if fit_on is None else scores_lib.read(fit_on)
    if len(merged.logits) == 1 and (fit_on is not None or fusion != "sum"):
        raise ValueError(f"Fusion takes at least two streams. Received: {', '.join(merged.logits)}, fusion={fusion!r}")
    return _Writing(output, report).write(merged, fusion, fit_on)


def measured(scores, fusion="sum", fit_on=None):
    """Returns the Evaluation of Scores."""
    found = {stream: metrics.measure(logits, scores.y) for stream, logits in scores.logits.items()}
    if len(found) == 1:
        return Evaluation(scores, found, np.float64(*scores.logits.values()), "")
    fused, said = fusion_lib.fuse(scores, fusion, fit_on)
    return Evaluation(scores, {**found, "fused": metrics.measure(fused, scores.y)}, fused, said)


class _Writing:
    """What an evaluation leaves in its folder."""

    def __init__(self, output, report):
        self.folder, self.report = None if output is None else pathlib.Path(output), report
        if self.folder is None:
            return
        if report:
            from keras_i3d.evaluation import pictures

            pictures.matplotlib()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".{os.getpid()}.part"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(f"Cannot write in {self.folder} ({error.strerror}). Choose another output.") from error

    def write(self, scores, fusion, fit_on):
        if self.folder is not None:
            scores = scores.save(self.folder / "scores.npz")  # first: whatever fails later can be done again from it
        result = measured(scores, fusion, fit_on)
        if self.folder is None:
            return result
        from keras_i3d.evaluation import report

        write_text(self.folder / "results.json", json.dumps(result.record(), indent=1, ensure_ascii=False) + "\n")
        write_text(self.folder / "per_class.csv", report.per_class_csv(result))
        if self.report:
            report.write(result, self.folder)
        return result


def write_text(path, text):
    """Writes a text file aside, then in place."""
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


class _Stream:
    """One network, and how it sees the records."""

    def __init__(self, name, model, labels, source, protocol, size, clip_frames, chunk_frames, errors):
        self.name, self.protocol, self.chunk_frames, self.errors = name, protocol, chunk_frames, errors
        self.damage = {}
        run = clip = None
        if isinstance(model, keras.Model):
            network, own_labels, self.origin = model, None, f"the model {model.name}"
        elif runs.is_run(model):
            run = runs.read(model)
            network, own_labels, self.origin = runs.load_model(model), run.labels, os.fspath(model)
        else:
            network, own_labels, clip = _published(name, model)
            self.origin = str(model)
        self.stream = _check_network(name, network, self.origin)
        _check_labels(own_labels, labels, network, self.origin)
        inference.require_trained(network)
        expected = run.spec if run else _published_spec(model, source.spec)
        if expected and source.spec:
            _check_spec(self.stream, expected, source.spec, self.origin)
        elif clip and source.spec:  # a file that its run's folder is not around
            check_same(
                f"The clips of the {self.stream} stream",
                clip,
                source.spec.clip(self.stream, clip.crop),
                self.origin,
                "the records",
            )
        _, frames, height, width, _ = network.input_shape
        self.stride = run.frame_stride if run else 1
        self.frames = None if protocol.clips is None else clip_frames or (run and run.clip_frames) or CLIP_FRAMES
        trained = run.size if run else height or (clip.crop if clip else CROP)
        self.size = size or (source.spec.short_side if protocol.crops == 3 and source.spec else trained)
        if frames not in (None, self.frames) or not {height, width} <= {None, self.size}:
            wanted = f"clips of {self.frames} frames" if self.frames else "clips of any length"
            raise ValueError(
                f"The protocol {protocol} takes {wanted}, {self.size} x {self.size}. Received: {self.origin}, for "
                f"{network.input_shape[1:4]}. Load its weights into a model with input_shape=(None, None, None, C)."
            )
        self.settings = protocol.explain(self.size, self.frames, self.stride)
        self.network = network

    def score(self, source, views_at_once, progress):
        """Yields (id, class, logits float32 (classes,)) of each video."""
        from tqdm import tqdm

        whole = self.protocol.clips is None
        dataset = pipeline.load(
            source,
            stream=self.stream,
            clip_frames=self.frames,
            batch_size=1,
            size=self.size,
            frame_stride=self.stride,
            views=None if whole else (self.protocol.clips, self.protocol.crops),
            errors=self.errors,
            with_ids=True,
        )
        loaded = self._bounded(dataset)
        end = self.network.get_layer(HEAD if whole else "Logits").output
        model = keras.Model(self.network.input, end)
        bar = tqdm(total=source.records, unit="video", desc=self.name, disable=None if progress else True)
        with contextlib.closing(bar), _readable_errors():
            for x, y, id in loaded.as_numpy_iterator():
                if whole:
                    logits = inference.score(model, x[0], self.chunk_frames)
                else:
                    logits = pool_views(_batches(model, x[0], views_at_once))
                yield id[0].decode(errors="replace"), int(y[0]), logits
                bar.update()
        if self.errors == "count":
            self.damage = pipeline.dropped(dataset)

    def _bounded(self, dataset):
        """Returns the data set, without decoding several videos at once where one takes much memory."""
        views = self.protocol.views if self.frames else 0
        size = views and views * self.frames * self.size**2 * CHANNELS[self.stream] * 4
        if size <= LARGE:
            return dataset
        import tensorflow as tf

        notice(
            f"the {views} views of one video take {size / 1e9:.1f} GB, and the process up to {COPIES * size / 1e9:.0f} "
            "GB; fewer views, a smaller size or clip_frames take less"
        )
        options = tf.data.Options()
        options.threading.private_threadpool_size = 1
        options.autotune.enabled = False
        return dataset.with_options(options)


@contextlib.contextmanager
def _readable_errors():
    """Says what a failed assertion of the pipeline is about, without the names of its operations."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"assertion failed: ((\[[^\n]*\] ?)+)", error.message)
        what = " ".join(re.findall(r"\[([^\]]*)\]", found[1])) if found else error.message.strip()
        raise EvaluationError(
            f'{what}. Make the records again, or drop and count such ones: errors="count".'
        ) from error


def pool_views(logits):
    """Returns float32 (classes,): the logarithm of the softmax of the views' logits (V, classes), averaged."""
    return np.float32(np.log(np.maximum(fusion_lib.softmax(logits).mean(axis=0), np.finfo(np.float64).tiny)))


def _batches(model, views, at_once):
    """Returns the logits of views; the last batch is filled up, for every other size would be compiled anew."""
    at_once = min(at_once, len(views))
    parts = []
    for begin in range(0, len(views), at_once):
        part = views[begin : begin + at_once]
        parts.append(model.predict_on_batch(np.resize(part, (at_once, *part.shape[1:])))[: len(part)])
    return np.concatenate(parts)


def _published(name, weights):
    """Returns a network that takes clips of any size, its labels or their name, and the ClipSpec its file notes."""
    if name not in CHANNELS:
        raise ValueError(f'Weights by name or path belong to "rgb" or "flow". Received: {name!r} with {weights!r}')
    if not registry.is_name(weights) and os.path.isdir(weights):
        raise ValueError(f"A training run is a folder with a {runs.FACTS}. Received: {weights}, which has none.")
    if str(weights).endswith(".keras") and os.path.isfile(weights):
        try:
            network = keras.models.load_model(weights, compile=False)
        except (ValueError, OSError, TypeError, KeyError) as error:
            raise weights_lib.WeightsError(f"{weights}: not a readable .keras model ({error})") from error
        facts = weights_lib.facts_of(weights)
        return network, facts.get("labels"), weights_lib.clip_of(facts)
    found = weights_lib.find(weights, name)
    return I3D(weights=weights, stream=name, input_shape=(None, None, None, CHANNELS[name])), found.labels, found.clip


def _published_spec(model, spec):
    """The RecordSpec that published weights expect; None for models and for files, which do not say."""
    if isinstance(model, keras.Model) or not registry.is_name(model) or spec is None:
        return None
    return RecordSpec(quality=spec.quality)


def _check_network(name, network, origin):
    """Returns the stream that a network takes, or raises what is wrong with it."""
    if not {HEAD, "Logits"} <= {layer.name for layer in network.layers}:
        raise ValueError(f"A model to evaluate is one that I3D made, with its top. Received: {origin}")
    streams = {channels: stream for stream, channels in CHANNELS.items()}
    stream = streams.get(network.input_shape[-1])
    if stream is None or (name in CHANNELS and stream != name):
        raise ValueError(
            f'"{name}" is for a model of that stream. Received: {origin}, which takes '
            f"{network.input_shape[-1]} channels ({stream or 'neither stream'})"
        )
    return stream


def _check_labels(own, labels, network, origin):
    classes = network.get_layer("Logits").output.shape[-1]
    if classes != len(labels):
        raise ValueError(f"The records have {len(labels)} classes. Received: {origin}, for {classes}")
    if own is None:
        notice(f"{origin} brings no label list: that its classes are those of the records is taken on trust")
        return
    own = weights_lib.read_labels(own if isinstance(own, str) else list(own))
    different = [i for i, (a, b) in enumerate(zip(own, labels)) if a != b]
    if different:
        i = different[0]
        raise ValueError(
            f"The records and the model must have the same labels in the same order. Received: {len(different)} that "
            f"differ, first class {i}: {labels[i]!r} in the records, {own[i]!r} in {origin}"
        )


def _check_spec(stream, expected, spec, origin):
    if stream == "rgb":  # what flow was made by does not matter to it
        expected, spec = (
            dataclasses.replace(s, flow_method=None, flow_bound=20.0, flow_scheme="exact") for s in (expected, spec)
        )
    check_same(f"The clips of the {stream} stream", expected, spec, origin, "the records")


def _labels(source, labels):
    if source.labels:
        if labels is not None and tuple(weights_lib.read_labels(labels)) != tuple(source.labels):
            raise ValueError("labels= is for records without a manifest; these have one, with other labels.")
        return list(source.labels)
    if labels is None:
        raise ValueError("These records have no manifest, and so no list of labels. Pass labels= (--labels=).")
    return weights_lib.read_labels(labels)


def _manifests(source):
    """The split of the records, and what was lost when they were built."""
    first = {}
    for file in source.files:
        match = source_lib.SHARD.fullmatch(os.path.basename(file))
        if match:
            first.setdefault((os.path.dirname(file), match["split"]), file)
    found = {key: content for key, file in first.items() if (content := manifest.of_shard(file))}
    return {
        "split": " + ".join(content.split for content in found.values()),
        "failed": tuple(video for content in found.values() for video in content.failed),
        "missing": tuple(video for content in found.values() for video in content.missing),
    }


def _where(records):
    if isinstance(records, source_lib.Source):
        records = list(records.files)
    return os.fspath(records) if isinstance(records, str | os.PathLike) else ", ".join(map(os.fspath, records))
