"""The signatures of an export: plain TensorFlow functions over one network, each with names, dtypes, shapes, ranges.

B clips of T frames, S the side of the crop, C classes, k = min(5, C). Outputs are float32, but `classes` and `above`.

    serving_default         rgb float32 (B, T, S, S, 3) and/or flow float32 (B, T, S, S, 2), as the export has streams;
                            (RGB / 255 - mean) / std of the network's clip, which for most is RGB / 127.5 - 1 in
                            [-1, 1]; clip(flow, +-20) / 20 in pixels per frame
    uint8                   frames uint8 (B, N, H, W, 3), RGB in [0, 255], H and W from 32 pixels
    jpeg                    frames string (B, N), JPEG or PNG files from 32 pixels; those of a clip have one size
    jpeg_two_stream         rgb as jpeg's frames; flow string (B, N'), as records hold it
    frames_two_stream       frames as uint8's: TV-L1 between neighbours in the graph, both streams, fused
    frames_two_stream_jpeg  the same of frames as jpeg's
    facts                   about string (B,), anything: facts string (B,), JSON, the same in each row: how a video is
                            made into requests. `description` says what is in it

Frames come at the rate of the weights. A network that was trained on frames k apart takes every k-th of them in the
graph, and every k-th field of those between neighbours: N is (T - 1) * k + 1, the larger of two streams'. The networks
see N / k frames, rounded up, which is T if the streams agree.

`serving_default` and `uint8` give logits (B, C) and probabilities (B, C); the others logits and, for the k best
classes, best first, scores (B, k), their probabilities, and classes string (B, k). Probabilities are by the activation
that the networks were trained with. Frames are scaled to the short side, cropped and put in range as `classify` does.
Frames have limits, `export.frames.bounded`, which are checked before anything is decoded.
If both streams were exported, `uint8` and `jpeg` use the RGB stream alone; if flow alone was, they compute it. A
network that takes both in one tensor is exported alone: its input of `serving_default` is `both`, float32 (B, T, S, S,
5), RGB of each frame and the field from it to the next, and `uint8` and `jpeg` compute the fields.
Logits of two streams are summed (arXiv 1705.07750, section 2.5).
"""

import dataclasses
import json

import tensorflow as tf

from keras_i3d.data import augment
from keras_i3d.export import preprocessing, request_checks
from keras_i3d.specs import BOTH, CHANNELS, FLOW_BOUND, INPUT_CHANNELS, RecordSpec

TOP = 5
PAIRS_AT_ONCE = 1  # frame pairs in a group of the TV-L1 layer
RAW = "(batch, time, height, width, 3), RGB"
ENCODED = "(batch, time), encoded frames"


@dataclasses.dataclass(frozen=True)
class Contract:
    """What the signatures of an export hold to.

    Attributes:
        clips: {stream: the ClipSpec that its network takes}, one or both streams, of one fps, short side and crop.
        labels: class names.
        spec: the RecordSpec of the videos that the weights were trained on.
        frames: that a network sees of a clip; None for any number from `min_frames`.
        quality: quality of the flow computed in the graph, as `flow.TVL1` takes it.
        activation: name of what makes probabilities of the summed logits.
        families: {stream: the Family of its network}.
        licences: {stream: the licence of its weights, as of `Facts`}.
        thresholds: of a sigmoid, from which probability on each class counts as there; None of a softmax.
    """

    clips: dict
    labels: tuple
    spec: RecordSpec
    frames: int | None
    quality: str = "opencv"
    activation: str = "softmax"
    families: dict = dataclasses.field(default_factory=dict)
    licences: dict = dataclasses.field(default_factory=dict)
    thresholds: tuple | None = None

    @property
    def min_frames(self):
        """The fewest frames that each network takes."""
        return max(family.min_frames for family in self.families.values())

    @property
    def streams(self):
        return tuple(self.clips)

    @property
    def crop(self):
        """Side of the crop in pixels."""
        return next(iter(self.clips.values())).crop

    @property
    def sent(self):
        """Frames of a request, at the rate of the weights; None for any number."""
        return self.frames and max(clip.span(self.frames) for clip in self.clips.values())

    def least(self, streams):
        """The fewest frames of a request of which every one of `streams` sees enough; flow is between frames."""
        return max(self.clips[s].span(self.families[s].min_frames) + (s != "rgb") for s in streams)

    @property
    def takes_videos(self):
        """The signature that takes a video's frames as JPEGs, and uses every stream."""
        return "frames_two_stream_jpeg" if len(self.streams) == 2 else "jpeg"

    def description(self):
        """Returns what the signature `facts` answers: plain numbers, strings, lists and dictionaries.

        signature: the one to send a video's frames to; fps, short_side: how to decode it; frames: how many a request
        takes, None for any number from `least`; labels; activation; thresholds, of a sigmoid, else None; networks,
        {stream: its name}; licences, {stream: that of its weights, None if nobody said}; clips, {stream: its ClipSpec}.
        """
        first = next(iter(self.clips.values()))
        return {
            "signature": self.takes_videos,
            "fps": float(first.fps),
            "short_side": first.short_side,
            "frames": self.sent,
            "least": self.least(self.streams),
            "labels": list(self.labels),
            "activation": self.activation,
            "thresholds": self.thresholds and list(self.thresholds),
            "networks": {stream: family.name for stream, family in self.families.items()},
            "licences": self.licences,
            "clips": {stream: dataclasses.asdict(clip) for stream, clip in self.clips.items()},
        }


def module(models, contract):
    """Builds the signatures.

    Args:
        models: {stream: keras.Model}: float32 (B, T, S, S, C) to logits, float32 (B, classes), any T.
        contract: a Contract.

    Returns:
        (a tf.Module that holds what they need, {name: tf.function}).
    """
    from keras_i3d.flow import TVL1

    streams, crop, short_side = contract.streams, contract.crop, contract.spec.short_side
    held = tf.Module()
    held.weights = [v.value for model in models.values() for v in model.variables]
    layer = TVL1(quality=contract.quality, pairs_at_once=PAIRS_AT_ONCE)
    # One function of the library for all signatures.
    tvl1 = tf.function(layer, autograph=False, input_signature=[tf.TensorSpec((1, None, None, None, 3), tf.uint8)])

    @tf.function(autograph=False)
    def network(clips):
        """{stream: clip as the network takes it} to the sum of their logits."""
        return tf.add_n([tf.cast(models[stream](clip, training=False), tf.float32) for stream, clip in clips.items()])

    def seen(clip, stream):
        """Of frames or fields (B, N, ...) at the rate of the weights, those that the network was trained to see."""
        return clip[:, :: contract.clips[stream].frame_stride]

    def scaled(clip, stream):
        """Frames or fields (B, T, S, S, C) as `classify` prepares them."""
        if stream == BOTH:
            return tf.concat([scaled(part, s) for s, part in parts(clip).items()], axis=-1)
        spec = contract.clips.get(stream) or contract.clips[BOTH]
        bound = spec.flow_bound
        if stream == "flow" and bound and bound < FLOW_BOUND:
            clip = tf.clip_by_value(clip, -bound, bound)
        alone = stream == "rgb" and stream in contract.clips
        time = contract.sent and spec.seen(contract.sent) if alone else None
        return tf.ensure_shape(
            augment.scale(clip, stream, spec.mean, spec.std), (None, time, crop, crop, CHANNELS[stream])
        )

    def parts(clip):
        """Of a clip of both {"rgb": (..., 3), "flow": (..., 2)}."""
        return dict(zip(CHANNELS, tf.split(clip, list(CHANNELS.values()), axis=-1)))

    def probabilities(logits):
        return getattr(tf.nn, contract.activation)(logits)  # by its name, which `probabilities.check` has seen

    def all_classes(logits):
        found = {"logits": logits, "probabilities": probabilities(logits)}
        return found if contract.thresholds is None else {**found, "above": above(found["probabilities"])}

    def above(shares):
        return shares >= tf.constant(contract.thresholds, tf.float32)

    def best_classes(logits):
        shares, several = probabilities(logits), contract.thresholds is not None
        scores, indices = tf.math.top_k(shares, len(contract.labels) if several else min(TOP, len(contract.labels)))
        found = {"scores": scores, "classes": tf.gather(tf.constant(contract.labels), indices), "logits": logits}
        return {**found, "above": tf.gather(above(shares), indices, batch_dims=1)} if several else found

    def raw(x, streams):
        rule, remedy = request_checks.time_rule(contract.sent, contract.least(streams))
        sizes = {
            1: rule,
            2: (request_checks.LEAST_SIDE, None, "pixels of height"),
            3: (request_checks.LEAST_SIDE, None, "pixels of width"),
        }
        sizes[4] = (3, 3, "channels")
        frames = request_checks.checked(x, "frames", RAW, sizes, {1: [remedy], 4: ["Convert the frames to RGB."]})
        with tf.control_dependencies([request_checks.bounded_frames(frames, short_side)]):
            return tf.identity(frames)

    def images(x, streams, name="frames", least=None, frames=contract.sent, noun="frames"):
        rule, remedy = request_checks.time_rule(frames, least or contract.least(streams), noun)
        return request_checks.checked(x, name, ENCODED, {1: rule}, {1: [remedy]})

    def both(whole_clip, clips):
        """Logits of clips one after the other, whose full frames `whole_clip(clip, row)` gives: flow takes memory."""

        def one(row):
            full = whole_clip(clips[row], row)[None]  # uint8 (1, N, H, W, 3)
            made = {s: preprocessing.cropped(full if s == "rgb" else tvl1(full), crop) for s in streams if s != BOTH}
            if BOTH in streams:
                rgb = tf.cast(preprocessing.cropped(full[:, :-1], crop), tf.float32)
                made[BOTH] = tf.concat([rgb, preprocessing.cropped(tvl1(full), crop)], axis=-1)
            return {stream: scaled(seen(clip, stream), stream)[0] for stream, clip in made.items()}

        kinds = {s: tf.TensorSpec((None, crop, crop, INPUT_CHANNELS[s]), tf.float32) for s in streams}
        rows = tf.range(tf.shape(clips)[0])
        return network(tf.map_fn(one, rows, fn_output_signature=kinds, parallel_iterations=1))

    def whole_frames(clip, row):
        return preprocessing.whole_of_frames(clip, short_side)

    def both_of_images(frames):
        frames, sizes = request_checks.encoded(images(frames, streams), short_side)
        with tf.control_dependencies([request_checks.same_sizes(sizes)]):
            frames = tf.identity(frames)
        return both(lambda clip, row: preprocessing.whole_of_encoded(clip, sizes[row], row, short_side), frames)

    def clip(x, stream):
        rule, remedy = request_checks.time_rule(contract.frames, contract.min_frames)
        sizes = {1: rule, 2: (crop, crop, "pixels of height"), 3: (crop, crop, "pixels of width")}
        channels, spec = INPUT_CHANNELS[stream], contract.clips[stream]
        sizes[4] = (channels, channels, "channels")
        what = f"(batch, time, {crop}, {crop}, {channels})"
        x = request_checks.checked(x, stream, what, sizes, {1: [remedy]})
        if stream == BOTH:
            specs = {s: dataclasses.replace(spec, stream=s) for s in CHANNELS}
            return tf.concat([request_checks.in_range(part, specs[s]) for s, part in parts(x).items()], axis=-1)
        return request_checks.in_range(x, spec)

    def serving_default(**clips):
        clips = {stream: clip(x, stream) for stream, x in clips.items()}
        with tf.control_dependencies(request_checks.same_batch(clips)):
            return all_classes(network({stream: tf.identity(x) for stream, x in clips.items()}))

    def uint8(frames):
        if "rgb" not in streams:
            return all_classes(both(whole_frames, raw(frames, streams)))
        clips = preprocessing.crops_of_frames(seen(raw(frames, ["rgb"]), "rgb"), short_side, crop)
        return all_classes(network({"rgb": scaled(clips, "rgb")}))

    def jpeg(frames):
        if "rgb" not in streams:
            return best_classes(both_of_images(frames))
        clips = preprocessing.crops_of_encoded(
            images(frames, ["rgb"]), short_side, crop, contract.clips["rgb"].frame_stride
        )
        return best_classes(network({"rgb": scaled(clips, "rgb")}))

    def jpeg_two_stream(rgb, flow):
        rgb = images(rgb, ["rgb"], "rgb")
        flow = images(flow, ["flow"], "flow", contract.least(["flow"]) - 1, None, "fields")
        with tf.control_dependencies(request_checks.same_batch({"rgb": rgb, "flow": flow})):
            rgb, flow = tf.identity(rgb), tf.identity(flow)
        strides = {stream: clip.frame_stride for stream, clip in contract.clips.items()}
        clips = {"rgb": scaled(preprocessing.crops_of_encoded(rgb, short_side, crop, strides["rgb"]), "rgb")}
        clips["flow"] = scaled(preprocessing.fields_of_encoded(flow, contract.spec, crop, strides["flow"]), "flow")
        return best_classes(network(clips))

    def frames_two_stream(frames):
        return best_classes(both(whole_frames, raw(frames, streams)))

    def frames_two_stream_jpeg(frames):
        return best_classes(both_of_images(frames))

    def facts(about):
        with tf.control_dependencies([request_checks.few_rows(about)]):
            about = tf.identity(about)
        text = json.dumps(contract.description(), ensure_ascii=False)
        return {"facts": tf.fill(tf.shape(about)[:1], tf.constant(text))}

    time, side = contract.sent, (crop, crop)
    clip_kinds = {s: tf.TensorSpec((None, contract.frames, *side, INPUT_CHANNELS[s]), tf.float32, s) for s in streams}
    raw_kind = tf.TensorSpec((None, time, None, None, 3), tf.uint8, "frames")
    encoded_kind = tf.TensorSpec((None, time), tf.string, "frames")
    listed = [(serving_default, clip_kinds), (uint8, {"frames": raw_kind}), (jpeg, {"frames": encoded_kind})]
    if len(streams) == 2:
        pair = {"rgb": tf.TensorSpec((None, time), tf.string, "rgb")}
        pair["flow"] = tf.TensorSpec((None, None), tf.string, "flow")
        listed += [
            (jpeg_two_stream, pair),
            (frames_two_stream, {"frames": raw_kind}),
            (frames_two_stream_jpeg, {"frames": encoded_kind}),
        ]
    listed.append((facts, {"about": tf.TensorSpec((None,), tf.string, "about")}))
    signatures = {}
    for function, kinds in listed:
        signatures[function.__name__] = tf.function(function, autograph=False).get_concrete_function(**kinds)
    return held, signatures


def inputs(function):
    """Returns the TensorSpecs that a signature takes."""
    return tf.nest.flatten(function.structured_input_signature)
