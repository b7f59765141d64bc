"""One network, whether it and the records belong together, and its scores of each video."""

import contextlib
import dataclasses
import itertools
import os

import keras
import numpy as np

from keras_i3d import inference, registry, runs
from keras_i3d import weights as weights_lib
from keras_i3d.applications import I3D
from keras_i3d.data import pipeline
from keras_i3d.data.manifest import check_same
from keras_i3d.data.records import RecordSpec
from keras_i3d.evaluation import fusion
from keras_i3d.evaluation.failures import readable_errors
from keras_i3d.messages import notice
from keras_i3d.models.inception import HEAD
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.specs import CHANNELS, CROP

CLIP_FRAMES = 64


class Stream:
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

        protocol, views = self.protocol, self.protocol.views
        dataset = pipeline.load(
            source,
            stream=self.stream,
            clip_frames=self.frames,
            batch_size=1,
            size=self.size,
            frame_stride=self.stride,
            views=views and (protocol.clips, protocol.crops),
            errors=self.errors,
            with_ids=True,
        )
        end = self.network.get_layer("Logits" if views else HEAD).output
        model = optimize_for_inference(keras.Model(self.network.input, end))
        bar = tqdm(total=source.records, unit="video", desc=self.name, disable=None if progress else True)
        with contextlib.closing(bar), readable_errors():
            # A video's clips come one after the other, so that no more than a few are in memory.
            for (id, y), elements in itertools.groupby(dataset.as_numpy_iterator(), lambda e: (e[2][0], e[1][0])):
                clips = (x[0] for x, _, _ in elements)
                if views:
                    rows = _batches(model, itertools.chain.from_iterable(clips), min(views_at_once, views))
                    scored = [pool_views(rows[i : i + views]) for i in range(0, len(rows) - views + 1, views)]
                else:
                    scored = [inference.score(model, clip, self.chunk_frames) for clip in clips]
                for logits in scored:  # one; none of a video without all its clips; two of records of the same id
                    yield id.decode(errors="replace"), int(y), logits
                bar.update()
        if self.errors == "count":
            self.damage = pipeline.dropped(dataset)


def pool_views(logits):
    """Returns float32 (classes,): the logarithm of the softmax of the views' logits (V, classes), averaged."""
    return np.float32(np.log(np.maximum(fusion.softmax(logits).mean(axis=0), np.finfo(np.float64).tiny)))


def _batches(model, views, at_once):
    """Returns the logits of an iterator's views; the last batch is filled up, as other sizes would be compiled anew."""
    parts = []
    while part := list(itertools.islice(views, at_once)):
        batch = np.stack(list(itertools.islice(itertools.cycle(part), at_once)))
        parts.append(model.predict_on_batch(batch)[: len(part)])
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
