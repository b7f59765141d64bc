"""One video, one label: the evidence of each stream for it, as a record whose parts add up."""

import dataclasses
import difflib
import os

import numpy as np

from keras_i3d import paths
from keras_i3d.errors import VideoError, notice
from keras_i3d.explaining import activation_maps, faithfulness, grad_cam, seen_clips
from keras_i3d.inference import Classifier
from keras_i3d.probabilities import check_logits, probabilities
from keras_i3d.progress import Bar
from keras_i3d.specs import BOTH

METHODS = ("cam", "gradcam")
MAX_SECONDS = 120  # of a video, which is kept in memory


@dataclasses.dataclass(frozen=True, eq=False)
class StreamExplanation:
    """What one network sees for a label.

    Attributes:
        stream: "rgb", "flow" or "both".
        method: "cam", exact class activation, or "gradcam".
        endpoint: the layer whose positions the map has.
        map: float64 (T', H', W'). Of "cam" in logits: its sum plus `bias` is the logit. Of "gradcam" without a unit,
            none below 0.
        bias: the head's bias of the label; None of "gradcam".
        logit: what the network says of the label, by the steps that `classify` takes.
        centres: (times, rows, columns), float64: where the positions look, in frames of the clip and in pixels.
        clip: the seen_clips.SeenClip that the network saw.
        curve: a faithfulness.Curve, or None if it was not asked for.
    """

    stream: str
    method: str
    endpoint: str
    map: np.ndarray
    bias: float | None
    logit: float
    centres: tuple
    clip: seen_clips.SeenClip
    curve: faithfulness.Curve | None = None

    @property
    def total(self):
        """The sum of the map plus the bias, which is the logit; None of "gradcam"."""
        return None if self.bias is None else float(self.map.sum() + self.bias)

    @property
    def per_step(self):
        """float64 (T',): what each step in time adds: the sum of the map over space."""
        return self.map.sum(axis=(1, 2))

    def __str__(self):
        if self.bias is None:
            nothing = "" if self.map.any() else "; it is 0 everywhere: no channel there speaks for the label"
            return (
                f"{self.stream}: logit {self.logit:.4f}; Grad-CAM at {self.endpoint}, whose sum means nothing{nothing}"
            )
        return (
            f"{self.stream}: sum of the map {self.map.sum():.4f} + bias {self.bias:.4f} = {self.total:.4f}; "
            f"logit {self.logit:.4f}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """Why networks give a video a label.

    Attributes:
        video: its name.
        label, index: the class that is explained.
        asked: whether it was asked for; else it is the most probable one.
        streams: {stream: StreamExplanation}. The sum of their logits is the logit.
        logits: float32 (classes,): summed over the streams.
        labels: class names.
        activation: name of what makes probabilities of the logits.
        frames: uint8 (N, h, w, 3), RGB: the video as the networks see it, for pictures.
        fields: float32 (N - 1, h, w, 2), its flow in pixels per frame; None if no network sees that.
        fps: frames per second.
        curve: a faithfulness.Curve of the sum of the streams; None if it was not asked for.
    """

    video: str
    label: str
    index: int
    asked: bool
    streams: dict
    logits: np.ndarray
    labels: list
    activation: str
    frames: np.ndarray
    fields: np.ndarray | None
    fps: float
    curve: faithfulness.Curve | None = None

    @property
    def logit(self):
        """Of the label, summed over the streams."""
        return float(self.logits[self.index])

    @property
    def probabilities(self):
        """float64 (classes,), in [0, 1]."""
        return probabilities(self.logits, self.activation)

    @property
    def probability(self):
        """Of the label, in [0, 1]."""
        return float(self.probabilities[self.index])

    def best(self, count=5):
        """Returns the indices of the most probable classes, the best first."""
        return np.argsort(-self.logits, kind="stable")[:count].tolist()

    def __str__(self):
        chosen = "asked for" if self.asked else "the most probable"
        lines = [
            f"{self.video}: {self.label} ({chosen}), probability {self.probability:.4f}, logit {self.logit:.4f}",
            *(f"  {each}" for each in self.streams.values()),
        ]
        others = [i for i in self.best() if i != self.index]
        named = ", ".join(f"{self.labels[i]} {self.probabilities[i]:.4f} ({self.logits[i]:.3f})" for i in others)
        lines += [f"  other labels, with probability (logit): {named}"] if others else []
        if self.curve is not None:
            lines += [f"  {self.curve}", f"  {self.curve.runs} runs with parts hidden: {faithfulness.HIDDEN}"]
        return "\n".join(lines)


def explain(
    video,
    label=None,
    streams=None,
    method=None,
    endpoint=None,
    steps=faithfulness.STEPS,
    seeds=faithfulness.SEEDS,
    start=None,
    end=None,
    precision="float32",
    max_seconds=MAX_SECONDS,
    progress=False,
    **settings,
):
    """Explains why networks give a video a label.

    Class activation of a linear head is exact: the sum of a stream's map, plus the bias, is the logit that `classify`
    gives with `precision="float32"`, to 1e-4; the sum over the streams is the logit of both. So it is for all networks
    but those whose logits are no mean over positions (an LSTM), or have one position in space left when they are
    averaged (C3D). These get Grad-CAM, and a line says so. The video is kept in memory.

    Args:
        video: a path, the bytes of a file, or a file object, as for `classify`.
        label: name or index of the class; by default the most probable one.
        streams: as for `Classifier`.
        method: "cam" or "gradcam"; by default "cam" wherever it says something of space.
        endpoint: the layer of a Grad-CAM, one of `keras-i3d models NAME`; by default the last one that has several
            positions in space. A finer map comes from an earlier one.
        steps: points of the faithfulness curve, at least 2; 0 for none. Each stream goes through its network
            `faithfulness.runs(steps, seeds)` times for it: 21 by default.
        seeds: random orders that the curve is compared with.
        start, end: seconds between which the video is read; the logits are those of this part then.
        precision: what the networks compute in, as for `Classifier`.
        max_seconds: seconds that the video, or its part, may last.
        progress: whether to show how many runs are done.
        settings: `rgb`, `flow`, `both`, `labels`, `flow_method`, `chunk_frames` and whatever else `Classifier` takes.

    Returns:
        An Explanation.

    Raises:
        ValueError: an unknown label, method or endpoint; a method that the network has not.
        keras_i3d.VideoError: as `classify`.
    """
    if isinstance(video, str | os.PathLike) and not os.path.exists(paths.expand(video)):
        raise VideoError(video, "no such file")  # before weights are fetched
    _check(method, endpoint, steps, seeds)
    settings = {"runtime": "tensorflow", "precision": precision, "max_seconds": max_seconds, **settings}
    return explain_by(
        Classifier(streams, **settings), video, label, method, endpoint, steps, seeds, start, end, progress
    )


def explain_by(
    classifier,
    video,
    label=None,
    method=None,
    endpoint=None,
    steps=faithfulness.STEPS,
    seeds=faithfulness.SEEDS,
    start=None,
    end=None,
    progress=False,
):
    """Explains why the networks of a classifier that is there give a video a label.

    Args:
        classifier: a Classifier, whose settings count. Sums are as exact as what it computes in.

    Other args, returns, errors: as for `explain`.
    """
    _check(method, endpoint, steps, seeds)
    chosen = None if label is None else find_label(label, classifier.labels)
    seen = seen_clips.read(video, classifier, start, end)
    ways = {s: _way(network, seen.clips[s], method, endpoint) for s, network in classifier.networks.items()}
    extra = faithfulness.runs(steps, seeds)
    with Bar(os.path.basename(seen.name), (2 + extra) * len(ways), "runs of a network", shown=progress) as bar:
        logits = {}
        for stream, clip in seen.clips.items():
            logits[stream] = seen_clips.logits(classifier, stream, clip)
            bar.update()
        fused = sum(logits.values())
        check_logits(fused, seen.name)
        index = int(np.argmax(fused)) if chosen is None else chosen
        explained = {}
        for stream, way in ways.items():
            found = _explained(classifier, stream, seen.clips[stream], index, float(logits[stream][index]), *way)
            bar.update()
            if steps:
                found = dataclasses.replace(found, curve=_curve(classifier, found, index, steps, seeds, bar))
            explained[stream] = found
    curves = [each.curve for each in explained.values()]
    return Explanation(
        video=seen.name,
        label=classifier.labels[index],
        index=index,
        asked=chosen is not None,
        streams=explained,
        logits=fused,
        labels=classifier.labels,
        activation=classifier.activation,
        frames=seen.frames,
        fields=seen.fields,
        fps=seen.fps,
        curve=sum(curves[1:], curves[0]) if steps else None,
    )


def find_label(label, labels):
    """Returns the index of a class by its name or its number, or raises ValueError with the names that are near."""
    if label in labels:
        found = [i for i, each in enumerate(labels) if each == label]
        if len(found) > 1:
            all_of_them = ", ".join(map(str, found))
            notice(f"{label!r} names the classes {all_of_them}; {found[0]} is explained. An index names one")
        return found[0]
    if str(label).isdecimal() and int(label) < len(labels):
        return int(label)
    near = difflib.get_close_matches(str(label), labels, 3, 0.5)
    hint = f"; near are {', '.join(near)}" if near else ""
    raise ValueError(f"A label is one of the {len(labels)} names, or its index from 0{hint}. Received: label={label!r}")


def _check(method, endpoint, steps, seeds):
    if method not in (None, *METHODS):
        raise ValueError(f"method must be one of {', '.join(METHODS)}. Received: method={method!r}")
    if method == "cam" and endpoint is not None:
        raise ValueError(
            f"endpoint= is of Grad-CAM; class activation is that of the last one. Received: endpoint={endpoint!r}. "
            "Take method=gradcam, or leave endpoint= out."
        )
    for name, value, least in (("steps", steps, 0), ("seeds", seeds, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}. Received: {name}={value}")
    if steps == 1:
        raise ValueError(
            "A faithfulness curve has at least 2 points: with one, all orders are alike. Received: steps=1. Take "
            "steps=2, or steps=0 for none."
        )
    if method == "gradcam" or endpoint is not None:
        grad_cam.check_backend()


def _way(network, clip, method, endpoint):
    """(method, endpoint) for a network and a clip; a line says where it is not class activation, and why."""
    name, shape = network.family.name, clip.shape
    if method == "cam" or (method is None and endpoint is None):
        linear = activation_maps.is_linear(network)
        if linear and (method == "cam" or max(grad_cam.endpoints(network, shape)[network.body][1:]) > 1):
            return "cam", network.body
        why = "has one position in space left where its head averages" if linear else "has a head that is not linear"
        if method == "cam":
            raise ValueError(
                f"Class activation needs a head that is linear after an average pool. Received: {network.origin} "
                f"({name}), which {why}. Take method=gradcam."
            )
        grad_cam.check_backend()
        notice(f"{name} {why}, so Grad-CAM is taken, whose sum is not the logit")
    found = grad_cam.endpoints(network, shape)
    endpoint = endpoint or grad_cam.default_endpoint(network, shape)
    if endpoint not in found:
        near = difflib.get_close_matches(endpoint, found, 3, 0.5)
        hint = f"; near are {', '.join(near)}" if near else ""
        raise ValueError(
            f"An endpoint of {name} with a map is one of {', '.join(found)}{hint}. Received: endpoint={endpoint!r}"
        )
    return "gradcam", endpoint


def _explained(classifier, stream, clip, index, logit, method, endpoint):
    network, frames = classifier.networks[stream], classifier.chunk_frames
    if method == "cam":
        found, bias = activation_maps.of_clip(network, clip, index, frames)
    else:
        found, bias = grad_cam.of_clip(network, clip, index, endpoint, frames), None
    centres = activation_maps.centres(network, endpoint, clip.shape, found.shape)
    return StreamExplanation(stream, method, endpoint, found, bias, logit, centres, clip)


def _curve(classifier, found, index, steps, seeds, bar):
    blocks = faithfulness.Blocks.of(found.centres, found.clip.shape)

    def score(hidden):
        logit = seen_clips.logits(classifier, found.stream, found.clip, blocks, hidden)[index]
        bar.update()
        return float(logit)

    return faithfulness.curve(score, found.map, found.logit, steps, seeds)


def is_of_frames(stream):
    """Whether a stream's map is drawn over frames, and not over flow in colours."""
    return stream in ("rgb", BOTH)
