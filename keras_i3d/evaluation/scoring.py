"""One network, whether it and the records belong together, and its scores of each video."""

import dataclasses
import itertools

import numpy as np

from keras_i3d import networks, runtimes, time_steps
from keras_i3d.data import pipeline
from keras_i3d.errors import notice
from keras_i3d.evaluation import truths
from keras_i3d.evaluation.reading_errors import readable_errors
from keras_i3d.facts import SIGMOID
from keras_i3d.inference import chunks
from keras_i3d.probabilities import averaged, check
from keras_i3d.progress import Bar
from keras_i3d.records.manifest import check_same
from keras_i3d.specs import BOTH, FLOW_BOUND, INPUT_CHANNELS, RecordSpec
from keras_i3d.weights import registry
from keras_i3d.weights.labels import read_labels


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a network says of one video.

    Attributes:
        id: of the video.
        y: its label as `data.load` gives it.
        logits: float32 (classes,).
        frames: of labels over time, float32 (25, classes), logits of `truths.moments`.
        peaks: of labels over time, float32 (classes,), the maximum of the logits of all frames.
    """

    id: str
    y: np.ndarray
    logits: np.ndarray
    frames: np.ndarray | None = None
    peaks: np.ndarray | None = None


class Stream:
    """One network, and how it sees the records. Once `score` ended, `computed_by` says what ran it."""

    def __init__(
        self,
        name,
        weights,
        labels,
        source,
        protocol,
        size,
        clip_frames,
        chunk_frames,
        errors,
        accept_licence,
        runtime,
    ):
        self.name, self.protocol, self.chunk_frames, self.errors = name, protocol, chunk_frames, errors
        self.runtime, self.computed_by = runtime, ""
        self.damage, self._reader = {}, None
        network = networks.load(weights, name if name in INPUT_CHANNELS else None, accept_licence=accept_licence)
        self.network, self.stream, self.origin = network, network.stream, network.origin
        _check_labels(network, labels)
        network.require_trained()
        network.say_what_is_assumed(source.spec)
        self.activation = check(networks.activation({name: network}))
        self.timed = source.labelling == "timed"
        self._check_labelling(source.labelling)
        if source.spec:
            _check_clips(network, weights, source.spec)
        else:
            notice(f"the records have no manifest: that {self.origin} was trained on such frames is taken on trust")
        clip, family = network.clip, network.family
        self.stride = clip.frame_stride
        usual = family.clips[self.stream].frames
        self.frames = None if protocol.clips is None else clip_frames or clip.frames or usual
        if protocol.still:
            self._check_still(clip_frames)
            self.frames = family.min_frames
        self.size = size or (source.spec.short_side if protocol.crops == 3 and source.spec else clip.crop)
        family.check_clip(clip_frames, size)
        if protocol.clips is None:
            chunks.check_length(chunk_frames, [family], f" for {self.origin}")
        self.settings = protocol.explain(self.size, self.frames, self.stride, self.activation, family.answer)
        if self.timed:
            self.settings += f"; per frame: {truths.MOMENTS} moments equally spaced over each video"

    def _check_labelling(self, labelling):
        """Whether the network answers as the videos are labelled: a softmax shares 1 out, a sigmoid does not."""
        if labelling == "single":
            if self.activation == SIGMOID:
                notice(
                    f"{self.origin} ends in a sigmoid, for several labels a video; the records have one each: the "
                    "class of the highest logit is taken"
                )
            return
        if self.activation != SIGMOID:
            raise ValueError(
                f"Records of several labels a video are evaluated by a network that ends in a sigmoid. Received: "
                f"{self.origin}, which ends in {self.activation}. Train one on such records."
            )
        if self.timed and self.protocol.clips is not None:
            raise ValueError(f'Labels over time are evaluated by protocol="whole". Received: {self.protocol}')
        if self.timed and self.network.to_answer() is not None:
            raise ValueError(
                "Labels over time are evaluated by a network that has logits for each step in time. Received: "
                f"{self.origin} ({self.network.family.name}), which answers at the end of a video"
            )

    def _check_still(self, clip_frames):
        if self.stream != "rgb":
            raise ValueError(f"The protocol middle is of the rgb stream. Received: {self.name}, of {self.stream}")
        if clip_frames is not None:
            raise ValueError(f"The protocol middle takes one frame. Received: clip_frames={clip_frames}")

    def _repeated(self, views):
        """Views (N, T, H, W, C), of the middle frame repeated."""
        return np.repeat(views, self.frames, axis=1) if self.protocol.still else views

    def score(self, source, views_at_once, progress, known=None):
        """Yields the Scored of each video.

        Args:
            source: a Source.
            views_at_once: views that go through the network at once.
            progress: whether to show how far it is.
            known: of labels over time, the {id: Truth} of the videos, which has their lengths; a video that it lacks
                has no moments.
        """
        protocol, views = self.protocol, self.protocol.views
        frames, crops = (1 if protocol.still else self.frames), views and (protocol.clips, protocol.crops)
        dataset = self._dataset(source, clip_frames=frames, views=crops)
        network = self.network.to_logits() if views else self.network.to_rows()
        model = runtimes.compiled(network, self.runtime, once=True)
        whole = self.network.family, self.chunk_frames, self.network.to_answer()
        bar = Bar(f"evaluate {self.name}", source.records, "videos", shown=progress, stays=True)
        with bar, readable_errors():
            # A video's clips come one after the other, so that no more than a few are in memory.
            for (id, _), elements in itertools.groupby(dataset.as_numpy_iterator(), _video):
                first = next(elements)
                id, y = id.decode(errors="replace"), first[1][0]
                clips = (self._repeated(x[0]) for x, _, _ in itertools.chain([first], elements))
                if views:
                    rows = _batches(model, itertools.chain.from_iterable(clips), min(views_at_once, views))
                    scored = [
                        Scored(id, y, np.float32(averaged(rows[i : i + views], self.activation)))
                        for i in range(0, len(rows) - views + 1, views)
                    ]
                elif self.timed:
                    family, frames, _ = whole
                    every = (chunks.rows(model, family, clip, frames) for clip in clips)
                    scored = [self._over_time(id, y, rows, known[id]) for rows in every if id in known]
                else:
                    family, frames, answer = whole
                    scored = [Scored(id, y, chunks.score(model, family, clip, frames, answer)) for clip in clips]
                yield from scored  # one; none of a video without all its clips; two of records of the same id
                bar.update()
        self.computed_by = self._computed_by(model.used)
        if self.errors == "count":
            self.damage = pipeline.dropped(dataset)

    def pooled(self, source, progress=False):
        """Yields (id, label as `data.load` gives it, features) of each video, whatever the protocol.

        The features are float32 (C,): what the head reads, averaged over all frames. Of a network whose answer is its
        last row they are what its recurrence reads.

        Args:
            source: a Source.
            progress: whether to show how far it is.
        """
        family = self.network.family
        if self._reader is None:
            reads = self.network.to_rows() if family.features else self.network.to_head()
            self._reader = runtimes.compiled(reads, self.runtime, once=True)
        dataset = self._dataset(source, clip_frames=None)
        bar = Bar(f"features {self.name}", source.records, "videos", shown=progress)
        with bar, readable_errors():
            for x, y, id in dataset.as_numpy_iterator():
                rows = chunks.rows(self._reader, family, x[0], self.chunk_frames)
                yield id[0].decode(errors="replace"), y[0], rows.mean(axis=0)
                bar.update()

    def _dataset(self, source, **settings):
        """The videos of a Source as the network sees them."""
        return pipeline.load(
            source,
            stream=self.stream,
            joined=self.stream == BOTH,
            batch_size=1,
            size=self.size,
            frame_stride=self.stride,
            min_frames=self.network.family.min_frames,
            mean=self.network.clip.mean,
            std=self.network.clip.std,
            errors=self.errors,
            with_ids=True,
            **settings,
        )

    def _computed_by(self, used):
        """What ran the network, and in which precision, in words."""
        computed_in = next(layer for layer in self.network.model.layers if layer.weights).compute_dtype
        return f"{' and '.join(map(runtimes.with_version, used))}, {computed_in}"

    def _over_time(self, id, y, rows, truth):
        """The Scored of a video's rows of logits, (rows, classes).

        A short video was looped: what comes after its own frames does not count but in the mean, as in `classify`.
        """
        clip, row = self.network.clip, self.network.family
        frames = clip.seen(max(round(truth.seconds * clip.fps), 1))
        places = truths.moments(truth.seconds) * clip.fps / clip.frame_stride
        return Scored(
            id,
            y,
            np.float32(rows.mean(axis=0, dtype=np.float64)),
            frames=np.float32(time_steps.at(rows, places, row.step, row.window)),
            peaks=np.float32(time_steps.at(rows, np.arange(frames), row.step, row.window).max(axis=0)),
        )


def _video(element):
    """What the clips of one video have in common, of what `data.load` gives: its id, and its label."""
    _, y, id = element
    return id[0], y[0].tobytes()


def _batches(model, views, at_once):
    """Returns the logits of an iterator's views; the last batch is filled up, as other sizes would be compiled anew."""
    parts = []
    while part := list(itertools.islice(views, at_once)):
        batch = np.stack(list(itertools.islice(itertools.cycle(part), at_once)))
        parts.append(model.predict_on_batch(batch)[: len(part)])
    return np.concatenate(parts)


def _check_labels(network, labels):
    own, classes = network.facts.labels, network.facts.classes
    if classes != len(labels):
        raise ValueError(f"The records have {len(labels)} classes. Received: {network.origin}, for {classes}")
    if own is None:
        notice(f"{network.origin} has no label list; its classes are taken to be those of the records, in their order")
        return
    own = read_labels(own)
    different = [i for i, (a, b) in enumerate(zip(own, labels)) if a != b]
    if different:
        i = different[0]
        raise ValueError(
            f"The records and the model must have the same labels in the same order. Received: {len(different)} that "
            f"differ, first class {i}: {labels[i]!r} in the records, {own[i]!r} in {network.origin}"
        )


def _check_clips(network, weights, spec):
    """Raises ValueError unless the clips of records are made as those that the network was trained on."""
    what = f"The clips of the {network.stream} stream"
    expected = network.run.spec if network.run else None
    if expected is None and weights in registry.WEIGHTS:
        expected = RecordSpec(quality=spec.quality)
    if expected is not None:
        if network.stream == "rgb":  # what flow was made by does not matter to it
            flow = {"flow_method": None, "flow_bound": FLOW_BOUND, "flow_scheme": "exact"}
            expected, spec = (dataclasses.replace(s, **flow) for s in (expected, spec))
        check_same(what, expected, spec, network.origin, "the records")
    elif clip := network.facts.clip:
        of_records = spec.clip(network.stream, clip.crop, clip.frames, clip.frame_stride, clip.mean, clip.std)
        check_same(what, clip, of_records, network.origin, "the records")
