"""Features of videos at the network's own speed: decoding and flow run ahead, batches fill across videos."""

import collections
import dataclasses
import numbers

import keras
import numpy as np
from keras import ops

from keras_i3d import beforehand, builders, networks, runtimes, version
from keras_i3d.errors import VideoError, notice
from keras_i3d.features import feeding, noted_runtimes, windowing
from keras_i3d.features.feeding import Feed
from keras_i3d.features.layouts import Layout
from keras_i3d.features.stream_clips import Intake, Part
from keras_i3d.features.video_features import VideoFeatures
from keras_i3d.flow import METHODS, TVL1Params
from keras_i3d.inference import chunks
from keras_i3d.models import families, receptive_fields
from keras_i3d.precision import PRECISIONS
from keras_i3d.reading_ahead import ahead
from keras_i3d.specs import BOTH, FLOW_METHODS, INPUT_CHANNELS
from keras_i3d.video import MAX_SECONDS, damage
from keras_i3d.weights import by_name, download, registry

LOGITS = "logits"  # in the place of an endpoint
AHEAD = 2  # batches that are ready while a network works


class Extractor:
    """Extracts features of videos; the weights are loaded once.

    A row of a window is what the network makes of a clip that it sees alone. A row of window "all" is a step of one
    pass over the whole video; a long one goes through in overlapping parts that give the same rows in bounded memory.

    What a row is:
        endpoint None, a window: what the head reads, the mean over rows and positions. Through the head it gives the
            logits of the window. Of a network that answers with its last row, that row.
        endpoint None, "all": what the average pool reads, the mean over height and width.
        "logits", a window: its logits, averaged over time as always. "all": a row of logits for each window of the
            head's average pool, which is two steps of I3D.
        a layer: its mean over time, height and width; of "all", over height and width.

    Args:
        layout: the Layout, by default `Layout()`. What it leaves to the weights is taken from theirs.
        model: a network as `keras_i3d.I3D` or `keras-i3d models` names it. Its published weights are taken for each
            stream that has no weights of its own, and names in `rgb`, `flow` and `both` are those of its weights. By
            default I3D.
        rgb, flow, both: weights of each stream of the layout, as `Classifier` takes them.
        precision: "float32", "bfloat16" or "float16", as for `Classifier`.
        batch_size: windows that go through a network at once.
        chunk_frames: the most frames of one pass, with window "all"; memory grows with it.
        attempts: connections to try if weights have to be fetched.
        max_seconds: seconds that a video may last, as for `video.Reader`.
        accept_licence: True, or the name of the weights' licence, if that forbids commerce and you accept it.
        runtime: what runs the networks, as for `compile_for`. "auto" chooses at the first windows, for all videos.

    Attributes:
        layout: the Layout.
        networks: {stream: networks.Network}.
        clips: {stream: the ClipSpec of what its network is given}.
        flow_method: how flow is computed; None without flow.
        notes: what stands next to every file of features made so: plain values, as JSON holds them. There, each network
            also has its `runtime`, and the version of that. Here, it has them if they are asked for, and not chosen.

    Raises:
        ValueError: a setting out of its range, or what the layout asks for and the network has not.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        ImportError: the flow method's package is not installed; the message has the install line.
    """

    def __init__(
        self,
        layout=None,
        model=None,
        rgb=None,
        flow=None,
        both=None,
        precision=None,
        batch_size=8,
        chunk_frames=chunks.CHUNK_FRAMES,
        attempts=download.ATTEMPTS,
        max_seconds=MAX_SECONDS,
        accept_licence=None,
        runtime=None,
    ):
        runtime = runtimes.chosen(runtime)
        layout = Layout() if layout is None else layout
        self.layout, self.batch_size = layout, batch_size
        self.chunk_frames, self.max_seconds = chunk_frames, max_seconds
        _check_settings(layout, precision, batch_size)
        chosen = _chosen(layout.streams, model, {"rgb": rgb, "flow": flow, BOTH: both}, accept_licence)
        if layout.flow_method not in (None, "tvl1") and set(layout.streams) - {"rgb"}:
            METHODS[layout.flow_method](TVL1Params())  # a missing package is found before weights are fetched
        for stream, weights in chosen.items():
            beforehand.classes(weights, stream, accept_licence)  # raises what is not there
        self.networks = {
            s: networks.load(weights, s, precision, attempts, accept_licence) for s, weights in chosen.items()
        }
        _check_model(model, self.networks)
        for network in self.networks.values():
            _say_what_is_assumed(layout, network)
            if layout.endpoint == LOGITS:
                network.require_trained()
        self.clips = {stream: _clip(layout, network.clip) for stream, network in self.networks.items()}
        first = self.clips[layout.streams[0]]
        for clip in self.clips.values():
            first.check_same_video(clip)
        self.resize = layout.resize or f"short:{first.short_side}"
        fields = [stream for stream in layout.streams if stream != "rgb"]
        method = fields and networks.flow_method(layout.flow_method, self.networks[fields[0]].clip)
        self.flow_method = method or None
        if self.flow_method:
            METHODS[self.flow_method](TVL1Params())
        self._layers = {stream: _layer(layout, network) for stream, network in self.networks.items()}
        self._intakes = {stream: self._intake(stream) for stream in layout.streams}
        rows = {s: _rows_model(layout, network, self._layers[s]) for s, network in self.networks.items()}
        self._models = {s: runtimes.compiled(model, runtime, once=True) for s, model in rows.items()}
        self.notes = self._notes()
        if runtime != "auto":
            self.notes = noted_runtimes.noted(self.notes, self._models)

    def continue_with(self, notes):
        """Takes the runtimes of features that are there already, by their notes, as `noted_runtimes` says."""
        noted_runtimes.continue_with(self._models, notes)

    def __call__(self, video):
        """Extracts the features of one video.

        Args:
            video: a path, the bytes of a file, or a binary file object that can seek.

        Returns:
            A VideoFeatures. A line says if the video is damaged or cut short.

        Raises:
            VideoError: no frame can be decoded, the video is too short for the layout, or its features are not finite.
        """
        ((_, found),) = self.many([video])
        if isinstance(found, Exception):
            raise found
        return found

    def many(self, videos):
        """Yields (video, its VideoFeatures) in order; (video, the VideoError or OSError) of one that has none.

        Videos are decoded and their flow is computed in another thread, while the networks work; a batch holds windows
        of several videos if those are short. So a video is given when the batch of its last window has run.

        Args:
            videos: an iterable of what a call takes, asked for each when it is decoded.
        """
        feed = Feed(
            self.layout,
            self._intakes,
            self.flow_method,
            self.resize,
            self.batch_size,
            self.chunk_frames,
            self.max_seconds,
        )
        rows = collections.defaultdict(list)  # {(number of the video, stream, crop): rows}
        ended, failed = collections.deque(), set()
        for item in ahead(feed(videos), 1 if self.layout.dense else AHEAD):
            if isinstance(item, feeding.End):
                ended.append(item)
            else:
                self._run(item, rows, failed)
            while ended and self._is_complete(ended[0], rows):
                end = ended.popleft()
                found = {key[1:]: rows.pop(key) for key in list(rows) if key[0] == end.number}
                if end.error is not None:
                    failed.add(end.number)
                yield end.source, end.error or self._found(end, found)

    def _run(self, item, rows, failed):
        """Puts the rows of a Batch or a Part to those of their videos, but for those that have failed since."""
        found = self._models[item.stream].predict_on_batch(item.clips)
        if isinstance(item, Part):
            rows[item.number, item.stream, item.crop] += [*found[0][item.first : item.end]]
            return
        for row, (number, crop) in zip(found, item.places):
            if number not in failed:
                rows[number, item.stream, crop].append(row.copy())

    def _is_complete(self, end, rows):
        if end.error is not None or end.starts is None:
            return True
        crops = range(len(self.layout.crops))
        return all(len(rows[end.number, s, crop]) == len(starts) for s, starts in end.starts.items() for crop in crops)

    def _found(self, end, rows):
        """The VideoFeatures of a video; a VideoError if they are not finite."""
        layout = self.layout
        arrays = {stream: self._stacked(stream, rows) for stream in layout.streams}
        wrong = {stream: int(np.sum(~np.isfinite(array))) for stream, array in arrays.items()}
        if any(wrong.values()):
            return VideoError(
                end.name,
                f"features must be finite, and {sum(wrong.values())} values are not; check the weights, or use "
                'precision="float32"',
            )
        when = {stream: self._times(end, stream, arrays[stream].shape[1]) for stream in layout.streams}
        if layout.flow_end == "common":
            least = min(array.shape[1] for array in arrays.values())
            arrays = {stream: array[:, :least] for stream, array in arrays.items()}
            when = {stream: tuple(each[:least] for each in times) for stream, times in when.items()}
        if end.damaged or end.cut_short:
            notice(f"{end.name}: {damage(end)}")
        return VideoFeatures(
            video=end.name,
            arrays=arrays,
            start={stream: times[0] for stream, times in when.items()},
            end={stream: times[1] for stream, times in when.items()},
            centre={stream: times[2] for stream, times in when.items()},
            frames=end.frames,
            fps=float(self.clips[layout.streams[0]].fps or end.frames / end.seconds),
            damaged=end.damaged,
            cut_short=end.cut_short,
            notes=noted_runtimes.noted(self.notes, self._models),
        )

    def _stacked(self, stream, rows):
        """The rows of one stream, (crops, rows, ...), kept no longer: those of a long video are large."""
        crops = [rows.pop((stream, crop)) for crop in range(len(self.layout.crops))]
        array = np.empty((len(crops), len(crops[0]), *crops[0][0].shape), np.float32)
        for place, of_crop in zip(array, crops):
            np.stack(of_crop, out=place)
        return array

    def _times(self, end, stream, rows):
        """(start, end, centre) of each row in seconds."""
        if end.starts is not None:
            first = end.starts[stream]
            return windowing.times(end.onsets, end.seconds, first, first + self.layout.window)
        field = self._field(stream, end.seen[stream], end.size)
        if field.size[0] is None:  # each sees all, and stands for its share
            edges = np.linspace(0, end.frames, rows + 1)
            *_, centre = windowing.times(end.onsets, end.seconds, edges[:-1], edges[1:])
            return np.zeros(rows), np.full(rows, end.seconds), centre
        stride = self._intakes[stream].stride
        first = field.start[0] + field.stride[0] * np.arange(rows)
        return windowing.times(end.onsets, end.seconds, first * stride, (first + field.size[0] - 1) * stride + 1)

    def _field(self, stream, frames, size):
        """The ReceptiveField of what gives the rows of a dense pass, before height and width are averaged."""
        return receptive_fields.of_layers(self.networks[stream].model, (frames, *size))[self._layers[stream]]

    def _intake(self, stream):
        layout, network, clip = self.layout, self.networks[stream], self.clips[stream]
        family, layer = network.family, self._layers[stream]
        stride = layout.stride or clip.frame_stride
        endpoint = layout.endpoint or layer
        if not layout.dense:
            shown = -(-layout.window // stride)
            if shown < family.min_frames:
                raise ValueError(
                    f"A window must show {family.name} at least {family.min_frames} frames. Received: window="
                    f"{layout.window} with stride={stride}, which shows {shown}"
                )
            return Intake(clip, family, stride, 1, endpoint)
        field = self._field(stream, family.min_frames + 4 * family.step, (family.min_size,) * 2)
        if not field.stride[0]:
            raise ValueError(
                f"{endpoint} of {family.name} has one row for a whole video. Take a window of frames, or another "
                'endpoint. Received: window="all"'
            )
        steps = family.window if layer in (network.pool, family.head) else 1
        whole = field.size[0] is None or family.step % field.stride[0]
        planned = dataclasses.replace(family, window=steps, halo=None if whole else family.halo)
        if not whole:
            chunks.check_length(self.chunk_frames, [planned], f" for {network.origin}")
        return Intake(clip, planned, stride, 1 if whole else family.step // field.stride[0], endpoint)

    def _notes(self):
        layout, clips = self.layout, self.clips
        first = clips[layout.streams[0]]
        flow = None
        if self.flow_method:
            order = {
                "resized": "frames are resized, then flow is computed, then it is cropped",
                "stored": "flow is computed of frames as they are stored, then resized with its values kept, then "
                "cropped",
            }
            flow = {"method": self.flow_method, "order": order[layout.flow_from], "levels": layout.flow_levels}
        return {
            "layout": layout.record(),
            "networks": {
                stream: {
                    "network": network.family.name,
                    "layer": self._layers[stream],
                    "weights": network.origin,
                    "licence": network.facts.licence,
                    "sha256": by_name.digest(network.model),
                    "precision": network.model.get_layer(network.family.first).compute_dtype,
                    "stride": self._intakes[stream].stride,
                    "mean": list(clips[stream].mean),
                    "std": list(clips[stream].std),
                    "flow_bound": None if stream == "rgb" else clips[stream].flow_bound,
                }
                for stream, network in self.networks.items()
            },
            "fps": first.fps,
            "resize": self.resize,
            "crop": first.crop,
            "crops": list(layout.crops),
            "flow": flow,
            "keras_i3d": version.__version__,
        }


def _check_settings(layout, precision, batch_size):
    if not isinstance(layout, Layout):
        raise ValueError(f"layout is a keras_i3d.features.Layout. Received: {layout!r}")
    for name, value, choices in (
        ("precision", precision, (None, *PRECISIONS)),
        ("flow_method", layout.flow_method, (None, *FLOW_METHODS)),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise ValueError(f"batch_size must be a number of windows, at least 1. Received: batch_size={batch_size!r}")


def _chosen(streams, model, given, accept_licence=None):
    """{stream: its weights, as `networks.load` takes them}."""
    others = [stream for stream, weights in given.items() if weights is not None and stream not in streams]
    if others:
        raise ValueError(
            f"{others[0]}= names weights that the layout with streams={streams} does not use. Leave one of the two out."
        )
    missing = [stream for stream in streams if given[stream] is None]
    if missing and len(missing) < len(streams):
        notice(f"{missing[0]}= is not given, so its published weights are taken; streams={streams[0]!r} leaves it out")
    return {stream: _weights(model, stream, given[stream], accept_licence) for stream in streams}


def _weights(model, stream, given, accept_licence=None):
    """What `networks.load` takes of a network's name and of weights, each of which may be None."""
    if model is None:
        if given is None and stream == BOTH:
            _without(families.DEFAULT, stream)
        return registry.DEFAULT if given is None else given
    rows = _rows(model, stream)
    if given is None:
        here = _published(rows, stream)
        if not here:
            _without(model, stream)
        own = [name for name in here if name.rpartition(":")[2] == registry.DEFAULT]
        given = (own or here)[0]
        if not own:
            notice(f"{model} has no weights of the name {registry.DEFAULT}; {given} are taken for {stream}")
    if not isinstance(given, str):
        return given
    whole = registry.whole_name(given, [row.name for row in rows])
    if registry.is_name(whole) and rows[0].shares:  # which a name alone would load into the other network
        shape = (None, None, None, INPUT_CHANNELS[stream])
        settings = {"input_shape": shape, "stream": stream, "accept_licence": accept_licence}
        return builders.build(rows[0].name, weights=whole, **settings)
    return whole


def published_streams(model):
    """Returns the streams, of rgb and flow, that weights of a network are published for, by its name."""
    return tuple(stream for stream in ("rgb", "flow") if _published(_rows(model, stream), stream))


def _published(rows, stream):
    """The names of weights of networks that are published for a stream."""
    networks_of = dict.fromkeys(name for row in rows for name in (row.name, row.shares))
    names = dict.fromkeys(entry.weights for name in networks_of for entry in registry.of_network(name))
    return [name for name in names if (name, stream) in {*registry.CHECKPOINTS, *registry.PUBLISHED}]


def _without(model, stream):
    raise ValueError(f"No weights of {model} are published for {stream}. Pass {stream}= with weights of your own.")


def _rows(model, stream):
    """The rows of a network's name, or of a builder's."""
    if model in families.FAMILIES:
        return (families.find(model),)
    if any(row.of == model for row in families.FAMILIES.values()):
        return families.of_builder(model, {}, stream)
    return (families.find(model),)  # raises those that there are


def _check_model(model, loaded):
    for stream, network in loaded.items():
        if model is not None and network.family not in _rows(model, stream):
            raise ValueError(
                f"model={model!r} is another network than that of {stream}=, {network.family.name}. Leave one of the "
                "two out."
            )


def _say_what_is_assumed(layout, network):
    """Says in a line what is taken of the network's family, where neither the layout nor the weights say it."""
    left = {"fps": layout.fps == "weights", "short_side": layout.resize is None, "crop": layout.crop is None}
    left |= {"mean": layout.mean is None, "std": layout.std is None} if network.stream != "flow" else {}
    if network.facts.clip is None and any(left.values()):
        taken = ", ".join(f"{name} {getattr(network.clip, name)}" for name in left if left[name])
        notice(f"{network.origin} does not say what clips it was trained on, or was trained since; taken: {taken}")


def _clip(layout, clip):
    """The ClipSpec of a network's weights, with what the layout says otherwise."""
    said = {"crop": layout.crop, "mean": layout.mean, "std": layout.std}
    changes = {name: value for name, value in said.items() if value is not None}
    if layout.fps != "weights":
        changes["fps"] = layout.fps
    if layout.resize is not None:
        changes["short_side"] = None
    return dataclasses.replace(clip, **changes)


def _layer(layout, network):
    """The name of the layer that gives the rows of a layout."""
    if layout.endpoint == LOGITS:
        return network.family.head if layout.dense else network.family.logits
    if layout.endpoint is not None:
        network.to_endpoint(layout.endpoint)  # raises those that there are
        return layout.endpoint
    return network.body if layout.dense else network.pool


def _rows_model(layout, network, layer):
    """A model of clips (B, T, H, W, C) to float32 rows, (B, ...) or (B, rows, ...)."""
    model = network.to_head() if layout.endpoint is None and not layout.dense else network.up_to(layer)
    x = ops.cast(model.output, "float32")
    if layout.endpoint is None and not layout.dense and network.family.answer == "last":
        x = x[:, -1:]
    kept = 2 if layout.dense else 1
    axes = tuple(range(kept, len(x.shape) - 1))
    if axes and (layout.pool == "avg" or layout.endpoint == LOGITS):
        x = ops.mean(x, axis=axes)
    return keras.Model(model.input, x, name=model.name)
