"""From a record to its clip: the stages `select` and `decode` of `pipeline.load`."""

import numpy as np
import tensorflow as tf

from keras_i3d.data import augment, mixing
from keras_i3d.data.clip_labels import Labels
from keras_i3d.records import sequence_example
from keras_i3d.specs import CHANNELS, normalised

# Why an example is dropped with errors="count". Statuses of an element; 0 is sound.
LOST, DAMAGED, UNDECODABLE, CUT, UNPARSEABLE, INVALID = 1, 2, 3, 4, 5, 6
KINDS = {
    LOST: "lost",  # named by the manifest, and its file does not give it
    DAMAGED: "damaged",  # a frame that is not what was written
    UNDECODABLE: "undecodable",  # no JPEG that can be decoded
    CUT: "cut",  # the unreadable end of a file without a manifest; how many records it held is unknown
    UNPARSEABLE: "unparseable",  # bytes that are no SequenceExample, checksum or not
    INVALID: "invalid",  # facts that no record has
}
REASONS = {
    LOST: "lost: the manifest names this record, and its file does not give it",
    DAMAGED: "damaged: a frame is not the one that was written",
    UNDECODABLE: "undecodable: its frames cannot be decoded, or are smaller than the manifest says",
    CUT: "cut: the file cannot be read from here to its end; how many records that loses is unknown",
    UNPARSEABLE: "unparseable: its bytes are no SequenceExample",
    INVALID: "invalid: its class is none of the labels, or its flow bound no number above 0",
}


class Clips:
    """From a record to its clip."""

    def __init__(self, settings, source, wanted):
        """Takes a `Settings`, a `Source`, and an array of the classes to use, by name or index, or None for all."""
        self.settings, self.wanted, self.classes = settings, wanted, len(source.labels)
        self.shown = Labels(source, wanted)
        self.randaugment = settings.randaugment and augment.rand_augment(*settings.randaugment)
        # The streams that stay 8-bit up to `scaled`: those whose values neither a change of size nor of colour mixes.
        # Only manifests tell that no frame has to be scaled up.
        described = source.spec is not None and None not in source.ids
        same_size = described and source.spec.short_side >= settings.size
        same_size = same_size and not (settings.short_sides or settings.area)
        self.as_8_bit = tuple(s for s in settings.streams if same_size and not (s == "rgb" and settings.color_jitter))

    @property
    def leaves_out(self):
        """Whether the subset of the classes leaves out records."""
        return self.wanted is not None and self.shown.labelling == "single"

    def parsed(self, dataset):
        """Parses records; what cannot be parsed comes as an empty record whose status says so."""

        def one(record):
            element_only = tf.data.Dataset.from_tensors(record["record"])
            sound = element_only.map(lambda raw: (sequence_example.parse(raw, self.settings.streams), 0))
            unsound = element_only.map(lambda _: (sequence_example.parse("", self.settings.streams), UNPARSEABLE))
            facts = {name: value for name, value in record.items() if name != "record"}

            def together(parsed, status):
                status = tf.where(record["status"] > 0, record["status"], status)
                return {**facts, "parsed": parsed, "status": status}

            return sound.ignore_errors(log_warning=True).concatenate(unsound).take(1).map(together)

        calls = tf.data.AUTOTUNE
        return dataset.interleave(one, cycle_length=calls, num_parallel_calls=calls, deterministic=True)

    def select(self, record, seed):
        """Takes the JPEGs of the clips of a record that `parsed` gives, each once; checks their fingerprints.

        A record gives `settings.clips` clips, or in training as many draws as `settings.repeats`. "order" of what it
        returns, {stream: int32 (clips, T)}, has the place of each frame among the JPEGs; "seed", int64 (clips, 2), the
        seed of each clip.
        """
        settings = self.settings
        parsed = record["parsed"]
        status = tf.where((record["status"] == 0) & self._invalid(parsed), INVALID, record["status"])
        gone = status > 0
        id = tf.where(gone | (parsed["id"] == ""), record["id"], parsed["id"])
        id = tf.where(id == "", tf.strings.join(["record ", tf.strings.as_string(record["place"])]), id)
        facts = record["file"], id
        lengths = {stream: tf.size(parsed[stream]) for stream in settings.streams}
        checks = [
            self._rule(gone | (record["id"] == "") | (record["id"] == id), facts, "the manifest has", record["id"]),
            *(
                self._rule(gone | (length > 0), facts, f"a record without {stream}, for stream={settings.stream!r}")
                for stream, length in lengths.items()
            ),
        ]
        if settings.training and self.shown.labelling == "single":
            labelled = gone | (parsed["index"] >= 0)
            checks.append(self._rule(labelled, facts, "a record without a label cannot be trained on"))
        with tf.control_dependencies(checks):
            lengths = {stream: tf.identity(length) for stream, length in lengths.items()}
        seeds = self._seeds(seed)
        images, used, order = {}, {}, {}
        numbers = self._numbers(lengths, seeds)
        for stream in settings.streams:
            each, places = tf.unique(tf.reshape(numbers[stream], [-1]))
            used[stream] = each[: tf.where(gone, 0, tf.size(each))]
            order[stream] = tf.reshape(places, tf.shape(numbers[stream]))
            images[stream] = tf.gather(parsed[stream], used[stream])
        same = [
            self._same(images[stream], parsed[f"{stream}_fingerprint"], used[stream], lengths[stream])
            for stream in settings.streams
        ]
        status = tf.where(gone, status, tf.where(tf.reduce_all(same), 0, DAMAGED))
        scheme = parsed["flow_scheme"]
        if settings.flow_scheme:
            scheme = tf.where(parsed["flow_method"] == "", settings.flow_scheme, scheme)
        return {
            "file": record["file"],
            "id": id,
            "y": self.shown(parsed, numbers["seen"]),
            "status": self._sound(status, facts),
            "seed": seeds,
            "order": order,
            "images": images,
            "bound": parsed["flow_bound"],
            "scheme": scheme,
        }

    def _seeds(self, seed):
        """Returns int64 (clips, 2), the seed of each clip of a record: only of `repeats` they differ."""
        if self.settings.repeats > 1:
            return tf.stack([augment.repeated(seed, number) for number in range(self.settings.repeats)])
        return tf.tile(seed[None], (self.settings.clips, 1))

    def _numbers(self, lengths, seeds):
        """Returns {stream: int32 (clips, T)}, the frames and fields of each clip; as "seen" what its labels are of."""
        settings = self.settings
        available = tf.reduce_min(list(lengths.values()))
        if not settings.training:
            stride = settings.frame_stride
            frames = settings.clip_frames or tf.maximum((available + stride - 1) // stride, settings.min_frames)
            start = augment.starts(available, frames, stride, clips=settings.clips)
            numbers = augment.frame_numbers(start, available, frames, stride)
            return dict.fromkeys((*settings.streams, "seen"), numbers)
        each = [self._numbers_of_draw(lengths, available, seed) for seed in tf.unstack(seeds, settings.repeats)]
        return {name: tf.concat([numbers[name] for numbers in each], axis=0) for name in each[0]}

    def _numbers_of_draw(self, lengths, available, seed):
        settings, frames = self.settings, self.settings.clip_frames
        backwards = augment.chance(seed, "reverse", settings.reverse)
        with_flow = len(settings.streams) > 1
        if with_flow and settings.reverse:  # the last frame may have a field in third-party records, and has none here
            available = tf.where(backwards, tf.minimum(available, lengths["rgb"] - 1), available)
        stride = settings.frame_stride
        if settings.strides:
            stride = augment.random_stride(available, frames, *settings.strides, seed)
        start = augment.starts(available, frames, stride, seed)
        numbers = augment.frame_numbers(start, available, frames, stride)
        if not settings.reverse:
            return dict.fromkeys((*settings.streams, "seen"), numbers)
        turned = augment.played_backwards(numbers, with_flow)
        last = {stream: length - 1 for stream, length in lengths.items()}  # of a record of a single frame
        drawn = {s: tf.where(backwards, tf.minimum(turned[s], last[s]), numbers) for s in settings.streams}
        if "rgb" in drawn:
            return {**drawn, "seen": drawn["rgb"]}
        with_frames = augment.played_backwards(numbers, with_flow=True)
        return {**drawn, "seen": tf.where(backwards, with_frames["rgb"], numbers)}

    def one_by_one(self, element):
        """Returns the clips of what `select` gives, each with its own JPEGs, so that memory holds one clip's views."""

        def one(clip):
            images, order = {}, {}
            for stream, jpegs in element["images"].items():
                used, places = tf.unique(clip["order"][stream])
                images[stream] = tf.gather(jpegs, used[: tf.size(jpegs)])  # none, if the record is gone
                order[stream] = places[None]
            y = clip["y"][None] if timed else element["y"]
            return {**element, "seed": clip["seed"][None], "order": order, "images": images, "y": y}

        timed = self.shown.labelling == "timed"
        of_each = {"order": element["order"], "seed": element["seed"]} | ({"y": element["y"]} if timed else {})
        return tf.data.Dataset.from_tensor_slices(of_each).map(one)

    def decoded(self, dataset):
        """Decodes the elements that are sound; what cannot be decoded comes as an element that says so."""

        def one(element):
            facts = {name: element[name] for name in ("file", "id", "y", "seed")}
            if self.shown.labelling == "timed":
                facts["y"] = tf.ensure_shape(facts["y"][0], (self.settings.clip_frames, len(self.shown.classes)))
            element_only = tf.data.Dataset.from_tensors(element)
            sound = element_only.filter(lambda e: e["status"] == 0)
            sound = sound.map(lambda e: {**facts, "status": 0, **self.decode(e)}).ignore_errors(log_warning=True)
            status = tf.where(element["status"] == 0, UNDECODABLE, element["status"])
            unsound = element_only.map(lambda _: {**facts, "status": status, **self._nothing()})
            return sound.concatenate(unsound).take(1)

        calls = tf.data.AUTOTUNE
        dataset = dataset.interleave(one, cycle_length=calls, num_parallel_calls=calls, deterministic=True)

        def checked(element):
            drawn = self._finishing(element.pop("seed")[0])
            return {**element, **drawn, "status": self._sound(element["status"], (element["file"], element["id"]))}

        dataset = dataset.map(checked)
        if not self.randaugment:
            return dataset

        # Not within `one`: its random state would start anew with each clip.
        def augmented(element):
            return {**element, "rgb": tf.ensure_shape(self.randaugment(element["rgb"]), self._shape("rgb"))}

        return dataset.map(augmented, num_parallel_calls=calls)

    def decode(self, element):
        """Decodes a clip.

        Returns:
            {stream: (T, size, size, C), or with views (crops, T, size, size, C), as `scaled` takes it: the 8-bit values
            of the JPEGs, C being 3 for flow too, where nothing else has to be done to them; or float32, finished.
            "shift": float32 (), "factor": float32 (2,), or (crops, 2), for 8-bit flow}.
        """
        settings, seed, x = self.settings, element["seed"][0], {}
        flipped = settings.training and settings.flip and augment.draw(seed, "flip", 0, 1) == 1
        short_side = settings.short_sides and augment.draw(seed, "short side", *settings.short_sides)
        for stream in settings.streams:
            views, mirrored = self._views(element, stream, flipped, short_side)
            if stream == "rgb":
                views = self._rgb(views, seed)
            else:
                shift, factor = sequence_example.flow_scaling(element["bound"], element["scheme"])
                if settings.reverse:
                    factor *= tf.where(augment.chance(seed, "reverse", settings.reverse), -1.0, 1.0)
                factors = [factor * augment.signs(turned) for turned in mirrored]
                if "flow" in self.as_8_bit:
                    x |= {"shift": shift, "factor": tf.stack(factors) if settings.views else factors[0]}
                else:
                    views = [self._flow(view, shift, factor) for view, factor in zip(views, factors)]
            x[stream] = tf.ensure_shape(tf.stack(views) if settings.views else views[0], self._shape(stream))
        return x

    def _views(self, element, stream, flipped, short_side):
        """Returns ([uint8 (T, side, side, 3), a crop of a clip], [whether it is mirrored]), one of each a crop."""
        settings, seed = self.settings, element["seed"][0]
        images, order = element["images"][stream], element["order"][stream][0]
        height, width = tf.unstack(tf.io.extract_jpeg_shape(images[0])[:2])
        side = augment.side(height, width, settings.size, short_side)
        if settings.area:
            windows = augment.area_window(height, width, settings.area, settings.aspect or (1, 1), seed)[None]
        elif settings.training:
            windows = augment.random_window(height, width, side, seed)[None]
        else:
            windows = augment.windows(height, width, side, settings.crops)
        # The window of a single crop is all that has to be decoded; several overlap, and are cut out of the frames.
        clip = self._frames(images, windows[0] if settings.crops == 1 else None, flipped)
        clip = tf.cond(  # a frame that the clip has several times was decoded once
            tf.size(images) == tf.size(order), lambda: clip, lambda: tf.gather(clip, order)
        )
        if settings.crops == 1:
            return [clip], [flipped]
        places = augment.CROPS[settings.crops]
        views = [tf.image.crop_to_bounding_box(clip, *tf.unstack(w)) for w in tf.unstack(windows, settings.crops)]
        views = [augment.mirror(view) if place.flipped else view for view, place in zip(views, places)]
        return views, [place.flipped for place in places]

    def _rgb(self, views, seed):
        """Finishes rgb: what stays 8-bit for RandAugment or for `scaled` as uint8, all else as float32, scaled."""
        if "rgb" in self.as_8_bit:
            return views
        views = [augment.resize(view, self.settings.size, "rgb") for view in views]
        if self.settings.color_jitter:
            views = [augment.jitter_colour(view, seed, self.settings.color_jitter) for view in views]
        if self.randaugment:
            return [tf.cast(view, tf.uint8) for view in views]
        return [augment.scale(view, "rgb", self.settings.mean, self.settings.std) for view in views]

    def _flow(self, levels, shift, factor):
        """Finishes 8-bit flow, (..., 3): float32 (..., 2) in [-1, 1]."""
        fields = (tf.cast(levels[..., :2], tf.float32) + shift) * factor
        return augment.scale(augment.resize(fields, self.settings.size, "flow"), "flow")

    def _finishing(self, seed):
        """Draws what `scaled` and `labels` do to a clip after the batch: what is erased, how it is mixed."""
        settings, drawn = self.settings, {}
        if settings.erase:
            drawn["erased"] = augment.erased_window(settings.size, settings.erase, seed)
        if settings.mixing:
            drawn |= mixing.drawn(seed, settings.mixup, settings.cutmix, settings.size)
        return drawn

    def scaled(self, batch):
        """Returns x of a batch of what `decode` gives: a float32 tensor, or {stream: tensor} for both streams.

        8-bit values become floats here, once for a batch, so that nothing before has to copy four times as much. On
        the same pass clips are erased and mixed.
        """
        drawn = {name: batch[name] for name in ("erased", "weight", "cut") if name in batch}

        def finished(clips, erased=None, weight=None, cut=None):
            if erased is not None:
                clips = tf.where(augment.inside(erased, self.settings.size)[:, None, :, :, None], 0.0, clips)
            return clips if weight is None else mixing.mixed(clips, weight, cut)

        def rgb(clips, drawn):
            if clips.dtype == tf.uint8:
                mean, std = self.settings.mean, self.settings.std
                highest = normalised(np.full(3, 255, "float32"), mean, std)
                clips = augment.scale(clips, "rgb", mean, std)
                clips = tf.minimum(clips, highest)  # compiled, it may come out above that
            return finished(clips, **drawn)

        def flow(clips, drawn, shift=None, factor=None):
            if clips.dtype == tf.uint8:
                shift = tf.reshape(shift, (-1, *[1] * (len(clips.shape) - 1)))
                values = (tf.cast(clips[..., :2], tf.float32) + shift) * factor[..., None, None, None, :]
                clips = augment.scale(values, "flow")
            return finished(clips, **drawn)

        # Compiled, the whole of it is one pass over memory; but each shape is compiled for itself.
        compiled = None if self.settings.clip_frames is None else True
        rgb, flow = tf.function(rgb, jit_compile=compiled), tf.function(flow, jit_compile=compiled)
        x = {stream: batch[stream] for stream in self.settings.streams}
        if "rgb" in x and (drawn or x["rgb"].dtype == tf.uint8):
            x["rgb"] = rgb(x["rgb"], drawn)
        if "flow" in x and (drawn or x["flow"].dtype == tf.uint8):
            x["flow"] = flow(x["flow"], drawn, *(batch[name] for name in ("shift", "factor") if name in batch))
        x = {
            stream: tf.ensure_shape(clips, (None, *self._shape(stream, CHANNELS[stream])))
            for stream, clips in x.items()
        }
        if self.settings.joined:
            return tf.concat([x["rgb"], x["flow"]], axis=-1)
        return x if len(x) > 1 else x[self.settings.stream]

    def labels(self, batch):
        """Returns y of a batch, mixed as its clips are."""
        y = batch["y"]
        if not self.settings.mixing:
            return y
        if y.dtype.is_integer:
            y = tf.one_hot(y, self.classes if self.wanted is None else len(self.wanted))
        return mixing.mixed_labels(y, batch["weight"], batch["cut"], self.settings.size)

    def _frames(self, images, window, flipped):
        """Decodes the window of each image; mirrored one by one, which costs less than a clip at once."""
        frame = tf.TensorSpec((None, None, 3), tf.uint8)
        return tf.map_fn(
            lambda image: augment.mirror(sequence_example.decode_rgb(image, window), flipped),
            images,
            fn_output_signature=frame,
        )

    def _shape(self, stream, channels=None):
        settings = self.settings
        channels = channels or (3 if stream in self.as_8_bit else CHANNELS[stream])
        shape = settings.clip_frames, settings.size, settings.size, channels
        return (settings.crops, *shape) if settings.views else shape

    def _nothing(self):
        x = {}
        for stream in self.settings.streams:
            values = tf.uint8 if stream in self.as_8_bit or stream == "rgb" and self.randaugment else tf.float32
            x[stream] = tf.zeros([side or 0 for side in self._shape(stream)], values)
        if "flow" in self.as_8_bit:
            views = (self.settings.crops,) if self.settings.views else ()
            x |= {"shift": tf.zeros(()), "factor": tf.zeros((*views, 2))}
        return x

    def _same(self, images, fingerprints, used, length):
        def compared():
            there = tf.minimum(used, tf.size(fingerprints) - 1)
            equal = sequence_example.fingerprints(images) == tf.gather(fingerprints, there)
            return tf.reduce_all(equal) & tf.equal(tf.size(fingerprints), length)  # one for each, or some are lost

        return tf.cond(tf.size(fingerprints) > 0, compared, lambda: True)  # records of others have none

    def _invalid(self, parsed):
        """Whether a record says what none can say of itself; a class of -1 is none."""
        index, bound = parsed["index"], parsed["flow_bound"]
        wrong = index < -1
        if self.classes:
            every = tf.concat([[index], parsed["indices"], parsed["segments"][:, 0]], axis=0)
            wrong |= tf.reduce_any(every >= self.classes) | tf.reduce_any(every[1:] < -1)
        if "flow" in self.settings.streams:
            wrong |= ~(tf.math.is_finite(bound) & (bound > 0))
        return wrong

    def _rule(self, holds, facts, *words):
        """Raises InvalidArgumentError "FILE: ID: words" in the graph."""
        return tf.debugging.Assert(holds, [tf.strings.join([*facts, tf.strings.join(words, " ")], ": ")])

    def _sound(self, status, facts):
        """Returns the status; raises where it is not 0 and errors are not counted."""
        if self.settings.errors == "count":
            return status
        reason = tf.gather(["", *REASONS.values()], status)
        with tf.control_dependencies([self._rule(status == 0, facts, reason)]):
            return tf.identity(status)
