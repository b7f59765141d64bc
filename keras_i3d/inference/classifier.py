"""A video to scored labels, as DeepMind tests: all frames at 25 fps, centre crop, logits averaged over time."""

import collections
import dataclasses
import functools
import os
import time

import numpy as np

from keras_i3d import beforehand, markup, networks, paths
from keras_i3d.errors import VideoError, notice
from keras_i3d.flow import METHODS, TVL1Params, pairs
from keras_i3d.inference import chunks
from keras_i3d.models.families import FAMILIES
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.precision import PRECISIONS
from keras_i3d.predictions import check_top
from keras_i3d.probabilities import check, probabilities
from keras_i3d.progress import Bar
from keras_i3d.specs import BOTH, FPS, ordinal
from keras_i3d.video import MAX_SECONDS, Reader, damage
from keras_i3d.weights import download

TOP = 5  # classes that are named of a softmax
CHOICES = {"both": ("rgb", "flow"), "rgb": ("rgb",), "flow": ("flow",)}

# What a frame costs in each stage, for the bar of the first video; for later ones it is measured.
COSTS = {"decode": 1, "flow": 10, "rgb model": 10, "flow model": 10, "both model": 10}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One class of a video: its label, index, probability in [0, 1] and logit.

    `above` is whether the probability is at least the threshold of the class; None of a softmax, which has none.
    """

    label: str
    index: int
    probability: float
    logit: float
    above: bool | None = None


@dataclasses.dataclass(frozen=True)
class Classification:
    """What was found in one video.

    Attributes:
        video: its name.
        predictions: the most probable classes, best first; of a sigmoid, unless `top` says how many, those above their
            thresholds, of which there may be none.
        logits: float32 (classes,): summed over the streams, each averaged over time.
        stream_logits: {stream: float32 (classes,)}.
        frames: frames at `fps`.
        damaged: packets of the file that could not be decoded, or only with errors.
        looped: frames that a short video was repeated to; None if it was long enough.
        flow_method: how flow was computed; None if it was not.
        seconds: {stage: seconds} for decode, flow, and the model of each stream.
        fps: frames per second that the video was read at.
        activation: name of what made the probabilities of the logits, the network's own.
        clips: {stream: the ClipSpec that the network was trained on, and that the video was made into}.
        cut_short: whether the file lacks a part that its container announces.
        thresholds: of a sigmoid, from which probability on each class counts as there.
    """

    video: str
    predictions: list
    logits: np.ndarray
    stream_logits: dict
    frames: int
    damaged: int
    looped: int | None
    flow_method: str | None
    seconds: dict
    fps: float = FPS
    activation: str = "softmax"
    clips: dict = dataclasses.field(default_factory=dict)
    cut_short: bool = False
    thresholds: tuple | None = None

    @property
    def above(self):
        """Of a sigmoid, the indices of all classes above their thresholds, in the order of the classes; else None."""
        if self.thresholds is None:
            return None
        shares = probabilities(self.logits, self.activation)
        return [i for i, (share, least) in enumerate(zip(shares, self.thresholds)) if share >= least]

    def __str__(self):
        return "\n".join(
            [
                self._caption(),
                *self._decision(),
                "  probability    logit  label",
                *(f"  {p.probability:11.5f} {p.logit:8.3f}  {self._marked(p)}" for p in self.predictions),
                "  " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.seconds.items()),
            ]
        )

    def _repr_html_(self):
        fragments = markup.Fragments(__package__, "classification.html")
        rows = [
            fragments.fill(
                "prediction",
                label=self._marked(p),
                width=f"{100 * p.probability:.1f}",
                probability=f"{p.probability:.5f}",
                logit=f"{p.logit:.3f}",
            )
            for p in self.predictions
        ]
        return fragments.fill(
            "classification",
            caption="; ".join(map(str.strip, [self._caption(), *self._decision()])),
            rows=markup.join(rows),
        )

    def _decision(self):
        """A line on how many classes are above their thresholds; none of a softmax."""
        if self.thresholds is None:
            return []
        low, high = min(self.thresholds), max(self.thresholds)
        least = f"{low:g}" if low == high else f"{low:.3g} to {high:.3g}"
        hint = "" if self.predictions else "; top=5 names the most probable"
        return [f"  {len(self.above)} of {len(self.thresholds)} classes above their thresholds ({least}){hint}"]

    def _recorded(self, prediction):
        content = dataclasses.asdict(prediction)
        if prediction.above is None:
            del content["above"]
            return content
        return {**content, "threshold": float(self.thresholds[prediction.index])}

    def _marked(self, prediction):
        """A label; one below its threshold says so."""
        return prediction.label + (" (below its threshold)" if prediction.above is False else "")

    def _caption(self):
        apart = {s: f", every {ordinal(c.frame_stride)}" for s, c in self.clips.items() if c.frame_stride > 1}
        streams = " + ".join(
            (s if s == "rgb" else f"{s} ({self.flow_method})") + apart.get(s, "") for s in self.stream_logits
        )
        looped = f", looped to {self.looped}" if self.looped else ""
        damaged = damage(self)
        return f"{self.video}: {self.frames} frames at {self.fps:g} fps{looped}{damaged and ', '}{damaged}; {streams}"

    def record(self):
        """Returns what `--json` prints: plain numbers, strings and lists."""
        return {
            "video": self.video,
            "predictions": [self._recorded(prediction) for prediction in self.predictions],
            "frames": self.frames,
            "fps": self.fps,
            "damaged": self.damaged,
            "cut_short": self.cut_short,
            "looped": self.looped,
            "streams": list(self.stream_logits),
            "frame_stride": {stream: clip.frame_stride for stream, clip in self.clips.items()},
            "flow_method": self.flow_method,
            "activation": self.activation,
            **({} if self.thresholds is None else {"above": len(self.above)}),
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }


def classify(video, streams=None, top=None, **settings):
    """Classifies one video; `Classifier` documents the settings and keeps the models for the next video.

    `classify("clip.mp4", rgb="runs/rgb", flow="runs/flow")` takes the weights of two training runs.

    Args:
        video: a path, the bytes of a file, or a file object.
        streams: as for `Classifier`.
        top: how many classes to name; by default 5, and of a sigmoid all above their thresholds.
        settings: `rgb`, `flow`, `flow_method` and whatever else `Classifier` takes.

    Returns:
        A Classification.
    """
    if isinstance(video, str | os.PathLike) and not os.path.exists(paths.expand(video)):
        raise VideoError(video, "no such file")  # before weights are fetched
    return Classifier(streams, **settings)(video, top)


class Classifier:
    """Classifies videos; the weights are loaded once.

    The whole video is one clip: frames at 25 fps, short side 256, centre crop 224, logits averaged over
    time and summed over the streams (arXiv 1705.07750, section 3; kinetics-i3d README). Weights that were trained on
    other clips say so themselves, and the video is made into such clips: another frame rate or size, frames apart.
    Long videos go through in overlapping chunks that give the same logits in bounded memory; a video of fewer frames
    than a network takes (9 for I3D) is looped, and a line says so.

    Args:
        streams: "both", "rgb" or "flow". By default the streams whose weights are given, and both if neither is.
        rgb, flow: weights of each stream: what `I3D(weights=)` takes, the folder of a training run, or a model of that
            stream; "kinetics" for a stream that is asked for and not given.
        both: weights of a network that takes both in one tensor. It votes alone, or with the streams that are given.
        labels: "kinetics400", "kinetics600", a file with a name a line, a list of names, or "none" for class
            indices. By default the list that belongs to the weights.
        thresholds: of networks that end in a sigmoid, from which probability on a class counts as there: a number for
            all, one for each, or the thresholds.json of `evaluate`. By default what was chosen for the network; for
            several streams together, and where nothing was, 0.5, and a line says so.
        flow_method: how flow is computed: "tvl1"; "opencv", its reference; or "dis", which is faster. By default what
            the weights were trained on, "tvl1" for the published ones; another one is said in a line.
        precision: "float32", "bfloat16" or "float16"; below float32 the head still is. By default what the weights were
            trained in if they say, and float32 for all else.
        chunk_frames: frames that go through a model at once; memory grows with it.
        progress: whether to show how far a video is: one bar over decoding, flow and networks.
        attempts: connections to try if weights or labels have to be fetched.
        allow_untrained: whether a head that was never trained may predict; its labels mean nothing.
        max_seconds: seconds that a video may last, as for `video.Reader`.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it.

    Attributes:
        flow_method: how flow is computed; None without the flow stream.
        networks: {stream: networks.Network}, with what each was trained on.
        labels: class names.
        activation: name of what makes probabilities of the summed logits: the networks' own.
        thresholds: of a sigmoid, one for each class; None of a softmax.

    Raises:
        ValueError: a setting out of its range, labels that do not fit the classes, streams that do not belong together,
            or an untrained head.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        ImportError: the flow method's package is not installed; the message has the install line.
    """

    def __init__(
        self,
        streams=None,
        rgb=None,
        flow=None,
        both=None,
        labels=None,
        flow_method=None,
        precision=None,
        chunk_frames=chunks.CHUNK_FRAMES,
        progress=False,
        attempts=download.ATTEMPTS,
        allow_untrained=False,
        max_seconds=MAX_SECONDS,
        accept_licence=None,
        thresholds=None,
    ):
        given = {s: w for s, w in (("rgb", rgb), ("flow", flow), (BOTH, both)) if w is not None}
        if both is not None and streams is not None:
            raise ValueError(
                f"both= is of a network that takes both streams itself, next to which rgb= and flow= vote if they are "
                f"given. Received: both= and streams={streams!r}. Leave one of the two out."
            )
        if streams is None and both is None:
            streams = next(iter(given)) if len(given) == 1 else "both"
            if streams != "both":
                notice(f"only {streams}= is given, so that stream votes alone; streams=both adds the other one")
        if both is None:
            _check_choice("streams", streams, CHOICES)
        chosen_streams = tuple(given) if streams is None else CHOICES[streams]
        _check_choice("flow_method", flow_method, (None, *METHODS))
        _check_choice("precision", precision, (None, *PRECISIONS))
        for stream in set(given) - set(chosen_streams):
            raise ValueError(
                f"{stream}= names weights that streams={streams!r} does not use. Leave one of the two out."
            )
        fields = [stream for stream in chosen_streams if stream != "rgb"]  # those that see flow
        if flow_method is not None and not fields:
            raise ValueError(f"flow_method= is of the flow stream. Received: {flow_method!r} and streams={streams!r}")
        chunks.check_length(chunk_frames, FAMILIES.values())  # before weights are fetched
        self.streams = chosen_streams
        if flow_method not in (None, "tvl1") and fields:
            METHODS[flow_method](TVL1Params())  # a missing package is found before weights are fetched
        self.chunk_frames = chunk_frames
        self.progress = progress
        self.max_seconds = max_seconds
        chosen = {stream: given.get(stream, "kinetics") for stream in self.streams}
        beforehand.check(chosen, labels, accept_licence)
        self.networks = {
            s: networks.load(weights, s, precision, attempts, accept_licence) for s, weights in chosen.items()
        }
        if not allow_untrained:
            for network in self.networks.values():
                network.require_trained()
        for network in self.networks.values():
            network.say_what_is_assumed()
            chunks.check_length(chunk_frames, [network.family], f" for {network.origin}")
        self.labels = networks.label_list(labels, self.networks, attempts)
        self.activation = check(networks.activation(self.networks))
        self.thresholds = networks.thresholds(thresholds, self.networks, self.labels, self.activation)
        self.clips = {stream: network.clip for stream, network in self.networks.items()}
        self.clip = self.clips[self.streams[0]]
        for clip in self.clips.values():
            self.clip.check_same_video(clip)
        self.flow_method = networks.flow_method(flow_method, self.clips[fields[0]]) if fields else None
        if self.flow_method:
            # Compiled now, once nothing else can fail, and not in the time of the first video.
            METHODS[self.flow_method](TVL1Params())
        # Rows of logits: the mean over time is taken once, over the whole video.
        self.models = {stream: optimize_for_inference(network.to_rows()) for stream, network in self.networks.items()}
        self.answers = {stream: network.to_answer() for stream, network in self.networks.items()}
        self.stages = ["decode", *(["flow"] if fields else []), *(f"{s} model" for s in self.streams)]
        self._costs = {stage: COSTS[stage] for stage in self.stages}

    def __call__(self, source, top=None):
        """Classifies one video.

        Args:
            source: a path, the bytes of a file, or a binary file object that can seek.
            top: how many classes to name, as of `classify`.

        Returns:
            A Classification.

        Raises:
            VideoError: no frame can be decoded, or a single one if flow is asked for.
            ValueError: `top` below 1, or logits that are not finite.
        """
        if top is not None:
            check_top(top)
        began = time.perf_counter()
        reader = Reader(source, self.clip.fps, self.clip.short_side, max_seconds=self.max_seconds)
        with Bar(os.path.basename(reader.name), shown=self.progress) as bar:
            total = reader.count()  # how chunks are cut depends on it; it decodes, which costs little next to the model
            clock = collections.Counter(decode=time.perf_counter() - began)
            work = _Work(bar, self._costs)
            scorers = self._scorers(total, reader.name, clock, work)
            self._feed(scorers, work.over("decode", _timed(iter(reader), clock, "decode"), total), total, work)
        clock["flow"] = time.perf_counter() - began - clock.total()
        self._costs = {stage: clock[stage] / total for stage in self.stages}
        logits = {stream: scorer.logits() for stream, scorer in scorers.items()}
        fused = sum(logits.values())
        if not np.isfinite(fused).all():
            raise ValueError(
                f"{reader.name}: logits must be finite. Received: {np.sum(~np.isfinite(fused))} of {fused.size} "
                'that are not. Check the weights, or use precision="float32".'
            )
        return Classification(
            video=reader.name,
            predictions=self._predictions(fused, top),
            logits=fused,
            stream_logits=logits,
            frames=total,
            damaged=reader.damaged,
            looped=min((scorer.looped for scorer in scorers.values() if scorer.looped), default=None),
            flow_method=self.flow_method,
            seconds={stage: clock[stage] for stage in self.stages},
            fps=float(self.clip.fps),
            activation=self.activation,
            clips=self.clips,
            cut_short=reader.cut_short,
            thresholds=self.thresholds,
        )

    def _scorers(self, total, name, clock, work):
        if self.flow_method and total < 2:
            raise VideoError(name, "flow needs at least 2 frames, and it has 1; use the rgb stream alone")
        lengths = {"rgb": total, "flow": total - 1, BOTH: total - 1}
        scorers = {stream: self._scorer(stream, name, lengths[stream], clock, work) for stream in self.streams}
        for stream, scorer in scorers.items():
            if scorer.looped:
                apart = self.clips[stream].frame_stride
                seen = "" if apart == 1 else f", {self.clips[stream].seen(lengths[stream])} of them seen"
                notice(
                    f"{name}: {lengths[stream]} {stream} frames at {self.clip.fps:g} fps{seen}, looped to "
                    f"{scorer.looped}"
                )
        return scorers

    def _scorer(self, stream, name, frames, clock, work):
        given = self.models[stream], self.answers[stream], self.networks[stream].family, self.clips[stream]
        reach = functools.partial(work.reach, f"{stream} model")
        return chunks.Scorer(*given, name, frames, self.chunk_frames, clock, reach)

    def _feed(self, scorers, frames, total, work):
        """Sends every frame to the rgb scorer, every field between two frames to that of flow, and both to "both"."""
        waiting = collections.deque()  # frames whose field is still to come

        def seen(frames):
            for frame in frames:
                if "rgb" in scorers:
                    scorers["rgb"].add(frame)
                if BOTH in scorers:
                    waiting.append(chunks.centre_crop(frame, self.clip.crop).copy())
                yield frame

        if not self.flow_method:
            collections.deque(seen(frames), maxlen=0)
            return
        for field in work.over("flow", pairs.stream(seen(frames), self.flow_method), total - 1):
            if "flow" in scorers:
                scorers["flow"].add(field)
            if BOTH in scorers:
                field = chunks.centre_crop(field, self.clip.crop)
                scorers[BOTH].add(np.concatenate([waiting.popleft(), field], axis=-1, dtype=np.float32))

    def _predictions(self, logits, top):
        shares = probabilities(logits, self.activation)
        above = [None] * len(shares) if self.thresholds is None else [bool(each) for each in shares >= self.thresholds]
        order = np.argsort(-logits, kind="stable")
        if top is None and self.thresholds is not None:
            order = [i for i in order if above[i]]
        else:
            order = order[: TOP if top is None else top]
        return [Prediction(self.labels[i], int(i), float(shares[i]), float(logits[i]), above[i]) for i in order]


class _Work:
    """How far a video is, over all of its stages together.

    Args:
        bar: a Bar to count on.
        costs: {stage: what it takes of the whole, in any unit}.
    """

    def __init__(self, bar, costs):
        self.bar, self.costs, self.shares = bar, costs, dict.fromkeys(costs, 0.0)
        bar.expect(sum(costs.values()))

    def reach(self, stage, share):
        """Says that `share` of a stage is done, in [0, 1]."""
        self.bar.update((share - self.shares[stage]) * self.costs[stage])
        self.shares[stage] = share

    def over(self, stage, items, total):
        """Passes on the items of a stage, `total` in number."""
        for number, item in enumerate(items, 1):
            yield item
            self.reach(stage, min(number / total, 1))


def _timed(iterator, clock, stage):
    """Passes items on, adding the seconds spent waiting for them to `clock[stage]`."""
    while True:
        began = time.perf_counter()
        item = next(iterator, None)
        clock[stage] += time.perf_counter() - began
        if item is None:
            return
        yield item


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
