"""A video to scored labels, as DeepMind tests: all frames at 25 fps, centre crop, logits averaged over time."""

import collections
import dataclasses
import math
import os
import time

import keras
import numpy as np

from keras_i3d import download, flow, video
from keras_i3d import streams as streams_lib
from keras_i3d.applications import check_top
from keras_i3d.flow import METHODS, TVL1Params
from keras_i3d.messages import VideoError, notice
from keras_i3d.models.inception import HEAD
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.specs import CROP, FPS, MIN_FRAMES, preprocess_input
from keras_i3d.streams import PRECISIONS

STREAMS = {"both": ("rgb", "flow"), "rgb": ("rgb",), "flow": ("flow",)}
CHUNK_FRAMES = 512

# What makes a chunk equal to the same frames of the single pass (SAME padding at three stride-2 stages):
STEP = 8  # frames a step of Mixed_5c; chunks start on a multiple of it
HALO = 7  # steps on each side whose receptive field, 99 frames, reaches beyond the chunk


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One class of a video: its label, index, probability in [0, 1] and logit."""

    label: str
    index: int
    probability: float
    logit: float


@dataclasses.dataclass(frozen=True)
class Classification:
    """What was found in one video.

    Attributes:
        video: its name.
        predictions: the most probable classes, best first.
        logits: float32 (classes,): summed over the streams, each averaged over time.
        stream_logits: {stream: float32 (classes,)}.
        frames: frames at `fps`.
        damaged: packets of the file that could not be decoded, or only with errors.
        looped: frames that a short video was repeated to; None if it was long enough.
        flow_method: how flow was computed; None if it was not.
        seconds: {stage: seconds} for decode, flow, and the model of each stream.
        fps: frames per second that the video was read at.
        cut_short: whether the file lacks a part that its container announces.
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
    cut_short: bool = False

    def __str__(self):
        streams = " + ".join(f"flow ({self.flow_method})" if s == "flow" else s for s in self.stream_logits)
        looped = f", looped to {self.looped}" if self.looped else ""
        damaged = video.damage(self)
        return "\n".join(
            [
                f"{self.video}: {self.frames} frames at {self.fps:g} fps{looped}{damaged and ', '}{damaged}; {streams}",
                "  probability    logit  label",
                *(f"  {p.probability:11.5f} {p.logit:8.3f}  {p.label}" for p in self.predictions),
                "  " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.seconds.items()),
            ]
        )

    def record(self):
        """Returns what `--json` prints: plain numbers, strings and lists."""
        return {
            "video": self.video,
            "predictions": [dataclasses.asdict(prediction) for prediction in self.predictions],
            "frames": self.frames,
            "fps": self.fps,
            "damaged": self.damaged,
            "cut_short": self.cut_short,
            "looped": self.looped,
            "streams": list(self.stream_logits),
            "flow": self.flow_method,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
        }


def classify(video, streams="both", top=5, **settings):
    """Classifies one video; `Classifier` documents the settings and keeps the models for the next video.

    Args:
        video: a path, the bytes of a file, or a file object.
        streams: "both", "rgb" or "flow".
        top: how many classes to name.

    Returns:
        A Classification.
    """
    return Classifier(streams, **settings)(video, top)


class Classifier:
    """Classifies videos with I3D; the weights are loaded once.

    The whole video is one clip: frames at 25 fps, short side 256, centre crop 224, logits averaged over
    time and summed over the streams (arXiv 1705.07750, section 3; kinetics-i3d README). Long videos go
    through in overlapping chunks that give the same logits in bounded memory; a video shorter than 9
    frames is looped, and a line says so.

    Args:
        streams: "both", "rgb" or "flow".
        rgb_weights, flow_weights: what `I3D(weights=)` takes, the folder of a training run, or a model of that stream.
            A run's own frame rate, sizes and flow method take the place of those above.
        labels: "kinetics400", "kinetics600", a file with a name a line, a list of names, or "none" for class
            indices. By default the list that belongs to the weights.
        flow: "tvl1"; "opencv", its reference; or "dis", which is faster. By default what the weights were trained on,
            "tvl1" for the published ones; another one is said in a line.
        precision: "float32", "bfloat16" or "float16"; below float32 the head still is. By default what a run was
            trained in, and float32 for all else.
        chunk_frames: frames that go through a model at once; memory grows with it.
        progress: whether to show a progress bar over the frames.
        attempts: connections to try where weights or labels have to be fetched.
        allow_untrained: whether a head that was never trained may predict; its labels mean nothing.
        max_seconds: seconds that a video may last, as for `video.Reader`.

    Raises:
        ValueError: a setting out of its range, labels that do not fit the classes, or an untrained head.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        ImportError: the flow method's package is not installed; the message has the install line.
    """

    def __init__(
        self,
        streams="both",
        rgb_weights="kinetics",
        flow_weights="kinetics",
        labels=None,
        flow=None,
        precision=None,
        chunk_frames=CHUNK_FRAMES,
        progress=False,
        attempts=download.ATTEMPTS,
        allow_untrained=False,
        max_seconds=video.MAX_SECONDS,
    ):
        _check_choice("streams", streams, STREAMS)
        _check_choice("flow", flow, (None, *METHODS))
        _check_choice("precision", precision, (None, *PRECISIONS))
        shortest = STEP * (2 * HALO + 2)
        if chunk_frames < shortest + STEP:
            raise ValueError(f"chunk_frames must be at least {shortest + STEP}. Received: {chunk_frames}")
        self.streams = STREAMS[streams]
        if flow not in (None, "tvl1") and "flow" in self.streams:
            METHODS[flow](TVL1Params())  # a missing package is found before weights are fetched
        self.chunk_frames = chunk_frames
        self.progress = progress
        self.max_seconds = max_seconds
        weights = {"rgb": rgb_weights, "flow": flow_weights}
        models, own_labels, clips = {}, {}, {}
        for stream in self.streams:
            models[stream], own_labels[stream], clips[stream] = streams_lib.load(
                weights[stream], stream, precision, attempts
            )
            if not allow_untrained:
                require_trained(models[stream])
        self.classes = streams_lib.one_value(
            {s: model.get_layer("Logits").output.shape[-1] for s, model in models.items()}
        )
        self.labels = streams_lib.label_list(labels, own_labels, self.classes, attempts)
        self.clip = clips[self.streams[0]]
        for clip in clips.values():
            self.clip.check_same_video(clip)
        self.flow = streams_lib.flow_method(flow, clips["flow"]) if "flow" in self.streams else None
        if self.flow:
            METHODS[self.flow](TVL1Params())  # compiled now, once nothing else can fail, not in the first video's time
        # One row of logits a step; the mean over steps is taken once, over the whole video.
        self.models = {
            s: optimize_for_inference(keras.Model(model.input, model.get_layer(HEAD).output))
            for s, model in models.items()
        }

    def __call__(self, source, top=5):
        """Classifies one video.

        Args:
            source: a path, the bytes of a file, or a binary file object that can seek.
            top: how many classes to name.

        Returns:
            A Classification.

        Raises:
            VideoError: no frame can be decoded, or a single one where flow is asked for.
            ValueError: `top` below 1, or logits that are not finite.
        """
        check_top(top)
        began = time.perf_counter()
        reader = video.Reader(source, self.clip.fps, self.clip.short_side, max_seconds=self.max_seconds)
        total = reader.count()  # how chunks are cut depends on it; only decodes, which costs little beside the model
        clock = collections.Counter(decode=time.perf_counter() - began)
        scorers = self._scorers(total, reader.name, clock)
        frames = self._with_progress(_timed(iter(reader), clock, "decode"), total, reader.name)
        self._feed(scorers, frames)
        clock["flow"] = time.perf_counter() - began - clock.total()
        logits = {stream: scorer.logits() for stream, scorer in scorers.items()}
        fused = sum(logits.values())
        if not np.isfinite(fused).all():
            raise ValueError(
                f"{reader.name}: logits must be finite. Received: {np.sum(~np.isfinite(fused))} of {fused.size} "
                'that are not. Check the weights, or use precision="float32".'
            )
        stages = ["decode", *(["flow"] if "flow" in self.streams else []), *(f"{s} model" for s in self.streams)]
        return Classification(
            video=reader.name,
            predictions=self._predictions(fused, top),
            logits=fused,
            stream_logits=logits,
            frames=total,
            damaged=reader.damaged,
            looped=min((scorer.looped for scorer in scorers.values() if scorer.looped), default=None),
            flow_method=self.flow,
            seconds={stage: clock[stage] for stage in stages},
            fps=float(self.clip.fps),
            cut_short=reader.cut_short,
        )

    def _scorers(self, total, name, clock):
        if "flow" in self.streams and total < 2:
            raise VideoError(name, "flow needs at least 2 frames, and it has 1; use the rgb stream alone")
        lengths = {"rgb": total, "flow": total - 1}
        scorers = {
            stream: _Scorer(
                self.models[stream], stream, name, lengths[stream], self.chunk_frames, clock, self.clip.crop
            )
            for stream in self.streams
        }
        for stream, scorer in scorers.items():
            if scorer.looped:
                notice(f"{name}: {lengths[stream]} {stream} frames at {self.clip.fps:g} fps, looped to {scorer.looped}")
        return scorers

    def _feed(self, scorers, frames):
        """Sends every frame to the rgb scorer, and every field between two frames to the flow scorer."""

        def seen(frames):
            for frame in frames:
                if "rgb" in scorers:
                    scorers["rgb"].add(frame)
                yield frame

        if "flow" not in scorers:
            collections.deque(seen(frames), maxlen=0)
            return
        for field in flow.stream(seen(frames), self.flow):
            scorers["flow"].add(field)

    def _with_progress(self, frames, total, name):
        if not self.progress:
            return frames
        from tqdm import tqdm

        return tqdm(frames, total=total, unit="frame", desc=os.path.basename(name), leave=False, disable=None)

    def _predictions(self, logits, top):
        exponentials = np.exp(np.float64(logits) - logits.max())
        probabilities = exponentials / exponentials.sum()
        return [
            Prediction(self.labels[i], int(i), float(probabilities[i]), float(logits[i]))
            for i in np.argsort(-logits, kind="stable")[:top]
        ]


class _Scorer:
    """Averages one stream's logits over a video that comes frame by frame, in chunks of bounded size."""

    def __init__(self, model, stream, name, total, chunk_frames, clock, crop=CROP):
        self.model, self.crop, self.stream, self.name, self.clock = model, crop, stream, name, clock
        self.total = total
        self.looped = MIN_FRAMES if total < MIN_FRAMES else None
        self.chunks = collections.deque(plan_chunks(total, chunk_frames))
        self.frames, self.begin = [], 0  # the frames kept, and the index of the first
        self.sum, self.steps = 0.0, 0

    def add(self, frame):
        self.frames.append(centre_crop(frame, self.crop).copy())  # a view would hold the whole frame
        if self.chunks and self.begin + len(self.frames) == self.chunks[0].stop:
            self._run(self.chunks.popleft())

    def logits(self):
        if self.chunks:
            raise VideoError(self.name, f"it gave fewer {self.stream} frames than the {self.total} counted before")
        return np.float32(self.sum / self.steps)

    def _run(self, chunk):
        began = time.perf_counter()
        clip = np.stack(self.frames[chunk.start - self.begin : chunk.stop - self.begin])
        if self.looped:
            clip = np.resize(clip, (self.looped, *clip.shape[1:]))
        rows = _rows(self.model, preprocess_input(clip, self.stream), chunk)
        self.sum, self.steps = self.sum + rows.sum(axis=0), self.steps + len(rows)
        keep_from = self.chunks[0].start if self.chunks else chunk.stop
        del self.frames[: keep_from - self.begin]
        self.begin = keep_from
        self.clock[f"{self.stream} model"] += time.perf_counter() - began


def score(model, clip, chunk_frames=CHUNK_FRAMES):
    """Averages a model's logits over a whole clip that is in memory, in chunks of bounded size.

    Args:
        model: ends in the layer HEAD: (1, T, H, W, C) to one row of logits a step.
        clip: float32 (T, H, W, C), preprocessed. One of fewer than 9 frames is looped.
        chunk_frames: frames that go through the model at once.

    Returns:
        float32 (classes,).
    """
    clip = np.resize(clip, (max(len(clip), MIN_FRAMES), *clip.shape[1:]))
    chunks = plan_chunks(len(clip), chunk_frames)
    rows = [_rows(model, clip[chunk.start : chunk.stop], chunk) for chunk in chunks]
    return np.float32(np.concatenate(rows).mean(axis=0))


def _rows(model, clip, chunk):
    """Returns float64 (steps, classes): the rows of logits that count of a preprocessed chunk."""
    rows = np.float64(model.predict_on_batch(clip[None])[0]).mean(axis=(1, 2))
    return rows[chunk.first_row : chunk.end_row]


Chunk = collections.namedtuple("Chunk", "start stop first_row end_row")


def plan_chunks(total, chunk_frames):
    """Splits a video into chunks whose rows of logits, put together, are those of the single pass.

    TensorFlow's SAME padding puts its phase at each stride-2 stage by the parity of the length. So all
    chunks are as long as the video modulo 8, and start on a multiple of 8; rows nearer than HALO steps to a
    cut are left to the neighbour.

    Args:
        total: frames of the video.
        chunk_frames: the most frames a chunk may have.

    Returns:
        A list of Chunk: frames start to stop, of whose rows of logits first_row to end_row count.
    """
    if total <= chunk_frames:
        return [Chunk(0, total, 0, None)]
    length = chunk_frames - (chunk_frames - total) % STEP
    steps = math.ceil(length / STEP)
    chunks, row = [], 0  # `row` of the whole video is the next one wanted; it averages steps row and row + 1
    while True:
        start = min(max(row - HALO, 0) * STEP, total - length)
        first = row - start // STEP
        if start + length == total:
            return [*chunks, Chunk(start, total, first, None)]
        end = steps - 1 - HALO
        chunks.append(Chunk(start, start + length, first, end))
        row += end - first


def centre_crop(frame, size=CROP):
    """Returns the central `size` x `size` of (H, W, C), or all there is of a shorter side."""
    top, left = (max(side - size, 0) // 2 for side in frame.shape[:2])
    return frame[top : top + size, left : left + size]


def require_trained(model):
    """Raises ValueError if a model's head was never trained: its bias is exactly zero only as it was drawn."""
    if not np.any(np.asarray(model.get_layer(HEAD).get_weights()[1])):
        raise ValueError(
            f"The head of {model.name} was never trained, so its predictions mean nothing. Train it, or load weights "
            "whose number of classes it keeps (classes=None)."
        )


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
