"""A video to scored labels, as DeepMind tests: all frames at 25 fps, centre crop, logits averaged over time."""

import collections
import contextlib
import functools
import os
import time

import keras
import numpy as np

from keras_i3d import beforehand, networks, paths, runtimes, time_steps
from keras_i3d.errors import VideoError, notice
from keras_i3d.flow import METHODS, TVL1Params, pairs
from keras_i3d.inference import chunks
from keras_i3d.inference.classification import Classification, Prediction
from keras_i3d.inference.labels_in_time import LabelsInTime, StreamInTime
from keras_i3d.inference.stage_times import Work, timed
from keras_i3d.models.families import FAMILIES
from keras_i3d.plurals import counted
from keras_i3d.precision import PRECISIONS
from keras_i3d.predictions import check_top
from keras_i3d.probabilities import check, check_logits, probabilities, sigmoid
from keras_i3d.progress import Bar
from keras_i3d.reading_ahead import ahead
from keras_i3d.specs import BOTH, CLIP_FRAMES, INPUT_CHANNELS
from keras_i3d.video import MAX_SECONDS, Reader
from keras_i3d.weights import download, registry

TOP = 5  # classes that are named of a softmax
CHOICES = {"both": ("rgb", "flow"), "rgb": ("rgb",), "flow": ("flow",)}

# What a frame costs in each stage, for the bar of the first video; for later ones it is measured.
COSTS = {"decode": 1, "flow": 10, "rgb model": 10, "flow model": 10, "both model": 10}


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
            several streams together, and where nothing was, 0.5, and a line says so. False where `in_time` is all that
            is asked for, and the thresholds are somebody else's.
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
        runtime: what runs the networks, as for `compile_for`.

    Attributes:
        flow_method: how flow is computed; None without the flow stream.
        networks: {stream: networks.Network}, with what each was trained on.
        labels: class names.
        activation: name of what makes probabilities of the summed logits: the networks' own.
        thresholds: of a sigmoid, one for each class; None of a softmax, and where they are somebody else's.

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
        runtime=None,
    ):
        runtime = runtimes.chosen(runtime)
        given = {s: w for s, w in (("rgb", rgb), ("flow", flow), (BOTH, both)) if w is not None}
        if both is not None and streams is not None:
            raise ValueError(
                f"both= is of a network that takes both streams itself, next to which rgb= and flow= vote if they are "
                f"given. Received: both= and streams={streams!r}. Leave one of the two out."
            )
        if streams is None and both is None:
            streams = next(iter(given)) if len(given) == 1 else "both"
            if streams != "both":
                # The published weights of the other stream have other classes than a network of one's own.
                own = "flow=" if streams == "rgb" else "rgb="
                adds = "streams=both" if registry.is_name(given[streams]) else own
                notice(f"only {streams}= is given, so that stream votes alone; {adds} adds the other one")
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
        self.thresholds = None
        if thresholds is not False:
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
        self.models = {
            stream: runtimes.compiled(network.to_rows(), runtime) for stream, network in self.networks.items()
        }
        self.answers = {stream: network.to_answer() for stream, network in self.networks.items()}
        self._runtime, self._windows, self._chosen = runtime, {}, {}
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
        return self._classification(*self._through(source, self._scorer), top)

    def at_once(self, source, top=None):
        """Returns (Classification, LabelsInTime): what a call gives and what `in_time` gives.

        The video goes through the networks once, unless the answer of one of them is no mean over time: of that
        `in_time` asks other things than a call.

        Args, errors: as for a call.
        """
        if any(answer is not None for answer in self.answers.values()):
            return self(source, top), self.in_time(source)
        if top is not None:
            check_top(top)
        through = self._through(source, functools.partial(self._scorer, keep=True))
        return self._classification(*through, top), self._in_time(*through)

    def _classification(self, reader, total, scorers, clock, top):
        logits = {stream: scorer.logits() for stream, scorer in scorers.items()}
        fused = sum(logits.values())
        check_logits(fused, reader.name)
        times = self._times(scorers, total)
        return Classification(
            video=reader.name,
            predictions=self.named(fused, top, times),
            logits=fused,
            stream_logits=logits,
            frames=total,
            damaged=reader.damaged,
            looped=_looped(scorers),
            flow_method=self.flow_method,
            seconds={stage: clock[stage] for stage in (*self.stages, "waiting")},
            fps=float(self.clip.fps),
            activation=self.activation,
            clips=self.clips,
            cut_short=reader.cut_short,
            thresholds=self.thresholds,
            times=times,
        )

    def in_time(self, source):
        """Returns the logits along one video's time, in bounded memory: rows alone are kept, an hour of I3D in 18 MB.

        A network has rows of logits for its steps in time, whose mean is what a call gives. There are none of a network
        whose answer is no mean over time, and of one whose every step depends on the whole clip if the video has more
        than `chunk_frames`, which a call refuses. These are asked about clips in the place of steps, which are as long
        as those that they were trained on and overlap by half; a line says so.

        Args, errors: as for a call.

        Returns:
            A LabelsInTime.
        """
        return self._in_time(*self._through(source, self._scorer_in_time))

    def _in_time(self, reader, total, scorers, clock):
        streams, rate = {}, float(self.clip.fps)
        for stream, scorer in scorers.items():
            logits, family = scorer.rows.every(), self.networks[stream].family
            if scorer.window:
                middles = np.array([(chunk.start + chunk.stop - 1) / 2 for chunk in scorer.planned])
            else:
                middles = time_steps.middles(len(logits), family.step, family.window)
            check_logits(logits, reader.name)
            streams[stream] = StreamInTime((middles * self.clips[stream].frame_stride + 0.5) / rate, logits)
        return LabelsInTime(
            video=reader.name,
            streams=streams,
            labels=self.labels,
            activation=self.activation,
            frames=total,
            fps=rate,
            clip=self.clip,
            flow_method=self.flow_method,
            thresholds=self.thresholds,
            windows={stream: scorer.window for stream, scorer in scorers.items() if scorer.window},
            damaged=reader.damaged,
            cut_short=reader.cut_short,
            looped=_looped(scorers),
        )

    def choose_runtimes(self):
        """Settles what runs each network, for videos of all lengths: the same video then has the same answer each time.

        Else `runtime="auto"` runs the first clip of a shape through Keras, and later ones by what is faster. Here that
        is measured at once, unless it was before, by a clip as long as those that the network was trained on, which
        takes some seconds. Where there is no choice, nothing is done.

        Returns:
            {stream: name of the runtime} of those that were chosen.
        """
        for stream, model in self.models.items():
            if not hasattr(model, "choose") or stream in self._chosen:
                continue
            clip, family = self.clips[stream], self.networks[stream].family
            frames = max(clip.frames or family.clips[stream].frames or CLIP_FRAMES, family.min_frames)
            frames = min(frames, self.chunk_frames)
            shape = (1, frames, clip.crop, clip.crop, INPUT_CHANNELS[stream])
            self._chosen[stream] = model.choose(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
        return dict(self._chosen)

    def _windowed(self, stream):
        """Returns (frames of a clip, what makes one row of logits of it) for a network that has no rows of its own."""
        if stream in self._windows:
            return self._windows[stream]
        network = self.networks[stream]
        frames = max(network.clip.frames or CLIP_FRAMES, network.family.min_frames)
        frames = min(frames, self.chunk_frames)
        long = f" of videos of more than {self.chunk_frames} frames" if self.answers[stream] is None else ""
        notice(
            f"{network.origin} sees a clip as a whole, so labels along time{long} are those of clips of "
            f"{counted(frames, 'frame')}, {max(frames // 2, 1)} apart"
        )
        whole = network.to_logits()
        row = keras.layers.Reshape((1, network.facts.classes))(whole.output)
        model = runtimes.compiled(keras.Model(whole.input, row, name=whole.name), self._runtime)
        if stream in self._chosen:
            model.keep(self._chosen[stream])
        self._windows[stream] = frames, model
        return self._windows[stream]

    def _through(self, source, scorer_of):
        """Sends a video through the networks: returns (its Reader, frames, {stream: Scorer}, {stage: seconds})."""
        began = time.perf_counter()
        reader = Reader(source, self.clip.fps, self.clip.short_side, max_seconds=self.max_seconds)
        with Bar(os.path.basename(reader.name), shown=self.progress) as bar:
            total = reader.count()  # how chunks are cut depends on it; it decodes, which costs little next to the model
            clock = collections.Counter(decode=time.perf_counter() - began)
            work = Work(bar, self._costs)
            scorers = self._scorers(total, reader.name, scorer_of)
            frames = work.over("decode", timed(iter(reader), clock, "decode"), total)
            parts = timed(self._parts(scorers, frames, total, work), clock, "flow", "decode")
            # Decoding and flow run ahead of the networks in a thread, by one chunk that waits and one in the making.
            for stream, part in timed(ahead(parts, 1), clock, "waiting"):
                began, stage = time.perf_counter(), f"{stream} model"
                scorers[stream].run(part)
                clock[stage] += time.perf_counter() - began
                work.reach(stage, part.share)
        self._costs = {stage: clock[stage] / total for stage in self.stages}
        return reader, total, scorers, clock

    def _scorers(self, total, name, scorer_of):
        if self.flow_method and total < 2:
            raise chunks.too_short_for_flow(name)
        lengths = {"rgb": total, "flow": total - 1, BOTH: total - 1}
        scorers = {stream: scorer_of(stream, name, lengths[stream]) for stream in self.streams}
        for stream, scorer in scorers.items():
            if scorer.looped:
                chunks.say_looped(name, stream, lengths[stream], self.clips[stream], scorer.looped)
        return scorers

    def _scorer(self, stream, name, frames, keep=False):
        given = self.models[stream], self.answers[stream], self.networks[stream].family, self.clips[stream]
        return chunks.Scorer(*given, name, frames, self.chunk_frames, keep or self.thresholds is not None)

    def _scorer_in_time(self, stream, name, frames):
        family, clip = self.networks[stream].family, self.clips[stream]
        too_long = family.halo is None and clip.seen(frames) > self.chunk_frames
        if self.answers[stream] is None and not too_long:
            return self._scorer(stream, name, frames, keep=True)
        window, model = self._windowed(stream)
        return chunks.Scorer(model, None, family, clip, name, frames, self.chunk_frames, True, window)

    def _parts(self, scorers, frames, total, work):
        """Sends every frame to the rgb scorer, every field between two frames to that of flow, and both to "both".

        Yields (stream, chunks.Part) of what is complete, and None after each frame or field, where it may be stopped.
        """
        ready, waiting = [], collections.deque()  # parts; frames whose field is still to come

        def add(stream, frame):
            part = scorers[stream].add(frame)
            if part is not None:
                ready.append((stream, part))

        def seen():
            for frame in frames:
                if "rgb" in scorers:
                    add("rgb", frame)
                if BOTH in scorers:
                    waiting.append(chunks.centre_crop(frame, self.clip.crop).copy())
                yield frame

        def taken():
            given = [*ready]
            ready.clear()
            return given or [None]

        if not self.flow_method:
            for _ in seen():
                yield from taken()
            return
        with contextlib.closing(pairs.stream(seen(), self.flow_method)) as fields:
            for field in work.over("flow", fields, total - 1):
                if "flow" in scorers:
                    add("flow", field)
                if BOTH in scorers:
                    field = chunks.centre_crop(field, self.clip.crop)
                    add(BOTH, np.concatenate([waiting.popleft(), field], axis=-1, dtype=np.float32))
                yield from taken()
        yield from taken()

    def _times(self, scorers, frames):
        """The times of each class, as of `Classification`; None without thresholds, or of an answer that is no mean."""
        if self.thresholds is None or any(answer is not None for answer in self.answers.values()):
            return None
        steps = {s: (network.family.step, network.family.window) for s, network in self.networks.items()}
        rows = {stream: scorer.rows.every() for stream, scorer in scorers.items()}
        places = {stream: np.arange(frames) / clip.frame_stride for stream, clip in self.clips.items()}

        def logits(index):
            return sum(time_steps.at(rows[s][:, [index]], places[s], *steps[s])[:, 0] for s in rows)

        there = (sigmoid(logits(i)) >= least for i, least in enumerate(self.thresholds))
        return tuple(time_steps.stretches(each, self.clip.fps) for each in there)

    def named(self, logits, top=None, times=None):
        """Returns the Predictions of logits (classes,), as `Classification` has them."""
        shares = probabilities(logits, self.activation)
        above = [None] * len(shares) if self.thresholds is None else [bool(each) for each in shares >= self.thresholds]
        order = np.argsort(-logits, kind="stable")
        if top is None and self.thresholds is not None:
            order = [i for i in order if above[i]]
        else:
            order = order[: TOP if top is None else top]
        return [
            Prediction(self.labels[i], int(i), float(shares[i]), float(logits[i]), above[i], times and times[i])
            for i in order
        ]


def _looped(scorers):
    """Frames that a short video was repeated to; None if it was long enough."""
    return min((scorer.looped for scorer in scorers.values() if scorer.looped), default=None)


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
