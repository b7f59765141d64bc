"""Records to batches of clips: `load`.

The stages, all of them TensorFlow operations, so that they can run on the workers of a tf.data service:

    files -> records -> the JPEGs of a clip, checked -> shuffle, skip -> decode, augment, scale -> batch

Everything random comes from (seed, epoch, the place of the record's file, its place in it): not from the order in which
threads happen to finish, nor from what was read before.
"""

import dataclasses
import random

import numpy as np

from keras_i3d.data import augment, records
from keras_i3d.data.source import Source, find
from keras_i3d.flow.quantize import SCHEMES
from keras_i3d.messages import notice
from keras_i3d.specs import CHANNELS, CROP, MIN_FRAMES

STREAMS = {"rgb": ("rgb",), "flow": ("flow",), "both": ("rgb", "flow")}
FILES_AT_ONCE = 16
READ_BYTES = 1 << 20
SHUFFLE_BUFFER = 256

# Why an example is dropped with errors="count". Statuses of an element; 0 is sound.
LOST, DAMAGED, UNDECODABLE, CUT = 1, 2, 3, 4
KINDS = {
    LOST: "lost",  # named by the manifest, and its file does not give it
    DAMAGED: "damaged",  # a frame that is not what was written
    UNDECODABLE: "undecodable",  # no JPEG that can be decoded
    CUT: "cut",  # the unreadable end of a file without a manifest; how many records it held is unknown
}
_REASONS = {
    LOST: "lost: the manifest names this record, and its file does not give it",
    DAMAGED: "damaged: a frame is not the one that was written",
    UNDECODABLE: "undecodable: its frames cannot be decoded",
    CUT: "cut: the file cannot be read from here to its end; how many records that loses is unknown",
}


def load(
    pattern,
    stream="rgb",
    clip_frames=64,
    training=False,
    batch_size=1,
    size=CROP,
    seed=None,
    *,
    repeat=False,
    start_batch=0,
    drop_remainder=False,
    views=None,
    frame_stride=1,
    short_sides=None,
    color_jitter=0.0,
    randaugment=None,
    classes=None,
    flow_scheme=None,
    cache=False,
    shuffle_buffer=SHUFFLE_BUFFER,
    shard=None,
    service=None,
    errors="raise",
    with_ids=False,
):
    """Loads records as batches of clips, for `model.fit`, `evaluate` and `predict`.

    Not training: the order of the files and of the records in them, and of each video its centred clip, centre crop.
    Training: shuffled; a clip at a random start, a random crop, half of the videos mirrored (arXiv 1705.07750,
    section 2.5). A crop, a flip and a start are drawn once for a video, for all its frames and both streams. Every
    iteration over the data set is another epoch, with another order and other draws, in `fit` too.

    Flow i belongs to the frames i and i + 1: "both" gives as many frames as fields, and starts where both exist. A
    video that is too short for its clip starts over from its first frame, and from its first field at the same time.

    A frame whose short side is below `size` is scaled up until it is `size` (flow is scaled in its values too); all
    others keep their size.

    Args:
        pattern: a folder with the records of one split, a glob, or a list of files; or what `find` returned.
        stream: "rgb", "flow" or "both".
        clip_frames: T, or None for the whole video, batch_size=1; that loops to 9 frames if it has fewer.
        training: whether to shuffle and to augment.
        batch_size: B. Batches run on over the end of an epoch with `repeat`.
        size: side of the crop in pixels.
        seed: integer that fixes the order and all draws, whatever the number of threads; None draws one from Python's
            `random`, which `keras.utils.set_random_seed` seeds.
        repeat: whether to go on for ever; `fit` needs steps_per_epoch then.
        start_batch: yields what the same call without it yields from this batch on, and decodes nothing before it;
            counted over epochs. Exact unless errors="count" drops examples, as these have a place too. With `classes`
            or files without manifest the records are counted first, which reads them once.
        drop_remainder: whether to leave out a last batch that is not full.
        views: (clips, crops) for evaluation: so many clips evenly spaced over the video, of each 1 crop (the centre),
            3 (along the long side) or 10 (corners and centre, and these mirrored; Simonyan and Zisserman 2014).
        frame_stride: takes the frames i, i + s, i + 2s, ...; a field is the one stored for its frame then, so still
            the motion to the next frame of the video, not to the next of the clip.
        short_sides: (low, high) for training: crops as if the frame were scaled to a short side drawn from this
            range; flow is scaled in its values too.
        color_jitter: for training, rgb alone: s in [0, 1) changes brightness, contrast and saturation by factors
            in [1 - s, 1 + s], drawn once for a clip.
        randaugment: (layers, magnitude) for training, rgb alone: RandAugment (arXiv 1909.13719) by tf-models-official,
            one draw for all frames. Its draws do not come from `seed`.
        classes: names or indices of the classes to use, which become 0..n-1 in this order; None for all.
        flow_scheme: how flow by others reads back, a key of `flow.quantize.SCHEMES`; by default MediaPipe's.
        cache: keeps the records (encoded) in memory, or in files that begin with this path. All of them are read in
            one order then, so that only `shuffle_buffer` mixes them.
        shuffle_buffer: clips (encoded) to draw the next one from; 64 frames of both streams take about 3 MB.
        shard: (index, count): every count-th file from index on, for one of `count` processes. Under a strategy of
            several workers pass its own index; data sets are not sharded by themselves.
        service: address of a tf.data service ("grpc://host:port") to do the work on. Order is not fixed then. Its
            workers take files each, in training (which needs repeat=True) epochs each.
        errors: "raise", or "count" to drop what is damaged, with a line for each that names file and record, and to
            count it: see `dropped`.
        with_ids: whether to give the ids too.

    Returns:
        A `tf.data.Dataset` of (x, y), or (x, y, ids): x float32 (B, T, H, W, C) in [-1, 1], C being 3 for rgb and 2
        for flow, (dx, dy); {"rgb": x, "flow": x} for "both"; (B, clips * crops, T, H, W, C) with `views`, the crops of
        a clip side by side. y int64 (B,), -1 for a record without a label; ids string (B,).

    Raises:
        FileNotFoundError, ImportError, ValueError: see `find`; an argument out of its range; flow asked of records
            without.
        InvalidArgumentError: while iterating, a damaged record, named with its file; in a foreign file a record
            without flow, or in training without a label.
    """
    import tensorflow as tf

    settings = _Settings(
        stream, clip_frames, training, size, views, frame_stride, short_sides, color_jitter, randaugment, flow_scheme
    )
    source = find(pattern)
    _check(settings, source, batch_size, start_batch, shuffle_buffer, repeat, cache, service, errors)
    numbers = tuple(range(len(source.files)))
    if shard is not None:
        numbers, source = source.shard(*shard)
    if seed is None:
        seed = random.randrange(2**31)
    clips = _Clips(settings, _wanted(classes, source), errors)
    reading = _Reading(source, numbers, seed, cache, shuffle_buffer, clips)
    resources = {}
    if training:
        plan = _plan(reading, batch_size, start_batch, repeat, drop_remainder)
        dataset = _epochs(reading, *plan, repeat, resources)
    else:
        dataset = reading.epoch()
        dataset = (dataset.repeat() if repeat else dataset).skip(start_batch * batch_size)
    dataset = clips.decoded(dataset)

    def batched(dataset):
        dataset = dataset.map(lambda e: (e["x"], e["y"], e["id"]) if with_ids else (e["x"], e["y"]))
        return dataset.batch(batch_size, drop_remainder, num_parallel_calls=tf.data.AUTOTUNE)

    if errors == "count":
        resources["dropped"] = _table()
        dataset = _counted(_distributed(dataset, service), resources["dropped"])
        dataset = batched(dataset)
    else:
        dataset = _distributed(batched(dataset), service)
    if repeat:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    elif reading.records is not None and errors == "raise" and not (service or start_batch):
        batches = reading.records // batch_size if drop_remainder else -(-reading.records // batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
    dataset._keras_i3d = resources  # tables live as long as a Python object holds them
    return dataset


def dropped(dataset):
    """Returns how many examples a data set of `load(errors="count")` has dropped so far, all iterations together.

    Args:
        dataset: what `load` returned, itself.

    Returns:
        {"lost": records that the manifest names and the file does not give, "damaged": records with a frame that is
        not the one written, "undecodable": records whose frames cannot be decoded, "cut": files without a manifest
        that cannot be read to their end, whose lost records nobody can count}.
    """
    table = getattr(dataset, "_keras_i3d", {}).get("dropped")
    if table is None:
        raise ValueError(f'dropped takes the data set that load(errors="count") returned. Received: {dataset!r}')
    return {name: int(table.lookup(np.int64(kind))) for kind, name in KINDS.items()}


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What a clip is to be: arguments of `load`."""

    stream: str
    clip_frames: int | None
    training: bool
    size: int
    views: tuple | None
    frame_stride: int
    short_sides: tuple | None
    color_jitter: float
    randaugment: tuple | None
    flow_scheme: str | None

    def __post_init__(self):
        views_fit = self.views is None or (
            len(self.views) == 2 and self.views[0] >= 1 and self.views[1] in augment.CROPS
        )
        low, high = self.short_sides or (self.size, self.size)
        for name, holds, rule in (
            ("stream", self.stream in STREAMS, f"one of {', '.join(map(repr, STREAMS))}"),
            ("clip_frames", self.clip_frames is None or self.clip_frames >= 1, "at least 1, or None"),
            ("size", self.size >= 1, "at least 1 pixel"),
            ("frame_stride", self.frame_stride >= 1, "at least 1"),
            ("views", views_fit, f"(clips, crops) with crops one of {', '.join(map(str, augment.CROPS))}"),
            ("short_sides", self.size <= low <= high, f"(low, high) with size <= low <= high, size={self.size}"),
            ("color_jitter", 0 <= self.color_jitter < 1, "in [0, 1)"),
            ("flow_scheme", self.flow_scheme in (None, *SCHEMES), f"None or one of {', '.join(map(repr, SCHEMES))}"),
        ):
            if not holds:
                raise ValueError(f"{name} must be {rule}. Received: {name}={getattr(self, name)!r}")
        for name in ("short_sides", "color_jitter", "randaugment"):
            if getattr(self, name) and not self.training:
                raise ValueError(f"{name} is for training=True. Received: {name}={getattr(self, name)!r}")
        for name in ("color_jitter", "randaugment"):
            if getattr(self, name) and self.stream == "flow":
                raise ValueError(f'{name} is for rgb. Received: {name}={getattr(self, name)!r} and stream="flow"')
        if self.views and (self.training or self.clip_frames is None):
            raise ValueError(f"views is for evaluation by clips. Received: {self}")
        if self.training and self.clip_frames is None:
            raise ValueError("Training takes clips of one length. Received: clip_frames=None")

    @property
    def streams(self):
        return STREAMS[self.stream]

    @property
    def clips(self):
        return self.views[0] if self.views else 1

    @property
    def crops(self):
        return self.views[1] if self.views else 1


def _check(settings, source, batch_size, start_batch, shuffle_buffer, repeat, cache, service, errors):
    for name, value, least in (
        ("batch_size", batch_size, 1), ("start_batch", start_batch, 0), ("shuffle_buffer", shuffle_buffer, 1)
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} must be at least {least}. Received: {name}={value}")
    if errors not in ("raise", "count"):
        raise ValueError(f'errors must be "raise" or "count". Received: errors={errors!r}')
    if settings.clip_frames is None and batch_size != 1:
        raise ValueError(
            f"Whole videos differ in length: clip_frames=None needs batch_size=1. Received: batch_size={batch_size}"
        )
    if "flow" in settings.streams and source.spec is not None and source.spec.flow_method is None:
        raise ValueError(
            f"The records hold no flow (flow_method=None in the manifest of {source.files[0]}). Received: "
            f'stream={settings.stream!r}. Use stream="rgb", or build them with --flow=tvl1.'
        )
    if service and cache:
        raise ValueError("cache keeps records where they are read, and a service reads them elsewhere: use one of them")
    if service and settings.training and not repeat:
        raise ValueError("A service takes whole epochs in training: service= needs repeat=True. Received: repeat=False")


def _wanted(classes, source):
    """Returns the class subset as an array of names or of indices, or None; checked against the labels."""
    if classes is None:
        return None
    wanted = list(classes)
    by_name = all(isinstance(c, str) for c in wanted)
    if not wanted or len(set(wanted)) != len(wanted) or not (by_name or all(isinstance(c, int) for c in wanted)):
        raise ValueError(f"classes must be names, or indices, each once. Received: classes={classes!r}")
    known = source.labels if by_name else range(len(source.labels))
    unknown = [c for c in wanted if c not in known]
    if source.labels and unknown:
        raise ValueError(f"classes must be among the {len(source.labels)} of the records. Received: {unknown}")
    return np.array(wanted, dtype=object if by_name else np.int64)


class _Reading:
    """The order in which records are read."""

    def __init__(self, source: Source, numbers, seed, cache, shuffle_buffer, clips):
        import tensorflow as tf

        self.seed, self.buffer, self.clips, self.source = seed, shuffle_buffer, clips, source
        self.ids = tf.constant([id for ids in source.ids for id in ids or ()], tf.string)
        counts = [-1 if ids is None else len(ids) for ids in source.ids]
        self.rows = {
            "file": tf.constant(source.files),
            "number": tf.constant(numbers, tf.int64),
            "first": tf.constant(np.cumsum([0, *np.maximum(counts, 0)])[:-1], tf.int64),
            "count": tf.constant(counts, tf.int64),
            "size": tf.constant([size or 0 for size in source.sizes], tf.int64),
        }
        self.cached = None
        if cache:
            in_order = tf.data.Dataset.from_tensor_slices(self.rows).flat_map(self._file)
            self.cached = in_order.cache("" if cache is True else cache)

    @property
    def records(self):
        """How many examples an epoch has; None where that is not known."""
        return self.source.records if self.clips.wanted is None else None

    def count(self):
        """Counts the examples of an epoch, reading them where no manifest tells."""
        if self.records is None:
            notice(f"counting the records of {len(self.source.files)} files, for start_batch")
            return int(self.epoch(0, shuffled=False).reduce(np.int64(0), lambda count, _: count + 1))
        return self.records

    def epoch(self, number=None, shuffled=True):
        """Returns the elements of one epoch, not decoded; `number` is None where nothing is random."""
        import tensorflow as tf

        shuffled = shuffled and number is not None
        rows, read = self.rows, self.cached
        if read is None and shuffled:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(len(self.source.files)), augment.seed_of(self.seed, number)
            )
            rows = {name: tf.gather(values, order) for name, values in rows.items()}
            at_once = min(FILES_AT_ONCE, len(self.source.files))
            read = tf.data.Dataset.from_tensor_slices(rows).interleave(
                self._file, at_once, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
            )
        elif read is None:
            read = tf.data.Dataset.from_tensor_slices(rows).flat_map(self._file)
        number = 0 if number is None else number
        read = read.map(
            lambda r: self.clips.select(r, augment.seed_of(self.seed, number, r["number"], r["place"])),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        if self.clips.wanted is not None:
            read = read.filter(lambda e: (e["y"] >= 0) | (e["status"] > 0))
        return _shuffled(read, self.buffer, augment.seed_of(self.seed, number, -1)) if shuffled else read

    def _file(self, row):
        """Returns the records of one file; what damage hides is there as an element of its own.

        `ignore_errors` ends a file at its first damaged record. A manifest tells how many should have followed. In a
        foreign file the bytes read tell that something is missing, though not how many records.
        """
        import tensorflow as tf

        # Where a file cannot be opened, ignore_errors would try for ever: this raises.
        opened = tf.data.FixedLengthRecordDataset(row["file"], 1).take(1).filter(lambda _: False)
        read = tf.data.TFRecordDataset(row["file"], buffer_size=READ_BYTES).ignore_errors(log_warning=True)
        named = row["count"] >= 0
        none = tf.data.Dataset.from_tensors(("", True)).repeat(tf.where(named, tf.constant(-1, tf.int64), 1))
        read = opened.concatenate(read).map(lambda record: (record, False)).concatenate(none)
        read = read.take(tf.where(named, row["count"], -1))

        def placed(state, element):
            place, unread = state
            record, ended = element
            framed = tf.where(ended, 0, tf.strings.length(record) + 16)  # TFRecord adds a length and two checksums
            known = self.ids[row["first"] + place] if len(self.ids) else tf.constant("")
            result = {
                "file": row["file"],
                "number": row["number"],
                "place": place,
                "id": tf.where(named, known, ""),
                "record": record,
                "status": tf.where(ended, tf.where(named, LOST, CUT), 0),
                "unread": unread,
            }
            return (place + 1, unread - tf.cast(framed, tf.int64)), result

        read = read.scan((tf.constant(0, tf.int64), row["size"]), placed)
        return read.filter(lambda e: (e["status"] != CUT) | (e["unread"] != 0))


def _shuffled(dataset, buffer, seed):
    """`Dataset.shuffle`, with a seed that is a tensor and that TensorFlow's global seed has no part in."""
    import tensorflow as tf

    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=seed[0],
        seed2=seed[1],
        output_types=tf.nest.flatten(_component(dataset, "dtype")),
        output_shapes=tf.nest.flatten(_component(dataset, "shape")),
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def _component(dataset, name):
    import tensorflow as tf

    return tf.nest.map_structure(lambda spec: getattr(spec, name), dataset.element_spec)


def _plan(reading, batch_size, start_batch, repeat, drop_remainder):
    """Returns (first epoch, examples to skip in it)."""
    if not start_batch:
        return 0, 0
    count = reading.count()
    if repeat:
        epoch, skip = divmod(start_batch * batch_size, max(count, 1))
        return epoch, skip
    batches = count // batch_size if drop_remainder else -(-count // batch_size)
    epoch, batch = divmod(start_batch, max(batches, 1))
    return epoch, batch * batch_size


def _epochs(reading, first, skip, repeat, resources):
    """Returns the elements of all epochs from `first` on, or with repeat=False of the next one at each iteration."""
    import tensorflow as tf

    if repeat:
        numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    else:
        epochs = resources["epochs"] = _table()
        epochs.insert(np.int64(0), np.int64(first))

        def next_epoch(_):
            number = epochs.lookup(np.int64(0))
            with tf.control_dependencies([number]), tf.control_dependencies([epochs.insert(np.int64(0), number + 1)]):
                return tf.identity(number)

        numbers = tf.data.Dataset.range(1).map(next_epoch)
    skip = tf.constant(skip, tf.int64)
    return numbers.flat_map(lambda number: reading.epoch(number).skip(tf.where(number == first, skip, 0)))


def _table():
    """Returns a table of counters. Unlike a variable, it is the same one inside and outside of a strategy's scope."""
    import tensorflow as tf

    return tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, default_value=0)


def _distributed(dataset, service):
    import tensorflow as tf

    if service is None:
        return dataset
    policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    return dataset.apply(tf.data.experimental.service.distribute(processing_mode=policy, service=service))


def _counted(dataset, table):
    """Drops the elements that are not sound, with a line for each, and counts them by kind."""
    import tensorflow as tf

    def count(element):
        status = tf.cast(element["status"], tf.int64)

        def seen():
            reason = tf.gather(["", *_REASONS.values()], status)
            line = tf.print("keras_i3d: dropped:", element["file"], element["id"], reason)
            with tf.control_dependencies([line, table.insert(status, table.lookup(status) + 1)]):
                return tf.identity(status)

        with tf.control_dependencies([tf.cond(status > 0, seen, lambda: status)]):
            return {**element, "status": tf.identity(element["status"])}

    return dataset.map(count).filter(lambda element: element["status"] == 0)


class _Clips:
    """From a record to its clip."""

    def __init__(self, settings, wanted, errors):
        self.settings, self.wanted, self.errors = settings, wanted, errors
        self.randaugment = settings.randaugment and augment.rand_augment(*settings.randaugment)

    def select(self, record, seed):
        """Parses a record and takes the JPEGs of its clips, each once; checks them against their fingerprints."""
        import tensorflow as tf

        settings = self.settings
        parsed = records.parse(record["record"])
        gone = record["status"] > 0
        id = tf.where(gone | (parsed["id"] == ""), record["id"], parsed["id"])
        id = tf.where(id == "", tf.strings.join(["record ", tf.strings.as_string(record["place"])]), id)
        facts = record["file"], id
        lengths = {stream: tf.size(parsed[stream]) for stream in settings.streams}
        available = tf.reduce_min(list(lengths.values()))
        checks = [
            self._rule(gone | (record["id"] == "") | (record["id"] == id), facts, "the manifest has", record["id"]),
            *(
                self._rule(gone | (length > 0), facts, f"a record without {stream}, for stream={settings.stream!r}")
                for stream, length in lengths.items()
            ),
        ]
        if settings.training:
            labelled = gone | (parsed["index"] >= 0)
            checks.append(self._rule(labelled, facts, "a record without a label cannot be trained on"))
        with tf.control_dependencies(checks):
            available = tf.identity(available)
        stride = settings.frame_stride
        frames = settings.clip_frames or tf.maximum((available + stride - 1) // stride, MIN_FRAMES)
        start = augment.starts(available, frames, stride, seed if settings.training else None, settings.clips)
        numbers = tf.reshape(augment.frame_numbers(start, available, frames, stride), [-1])
        used, order = tf.unique(numbers)
        used = used[: tf.where(gone, 0, tf.size(used))]
        images = {stream: tf.gather(parsed[stream], used) for stream in settings.streams}
        same = [self._same(images[stream], parsed[f"{stream}_fingerprint"], used) for stream in settings.streams]
        status = tf.where(gone, record["status"], tf.where(tf.reduce_all(same), 0, DAMAGED))
        scheme = parsed["flow_scheme"]
        if settings.flow_scheme:
            scheme = tf.where(parsed["flow_method"] == "", settings.flow_scheme, scheme)
        return {
            "file": record["file"],
            "id": id,
            "y": self._class(parsed),
            "status": self._sound(status, facts),
            "seed": seed,
            "order": order,
            "images": images,
            "bound": parsed["flow_bound"],
            "scheme": scheme,
        }

    def decoded(self, dataset):
        """Decodes the elements that are sound; what cannot be decoded comes as an element that says so."""
        import tensorflow as tf

        def one(element):
            facts = {name: element[name] for name in ("file", "id", "y")}
            element_only = tf.data.Dataset.from_tensors(element)
            sound = element_only.filter(lambda e: e["status"] == 0)
            sound = sound.map(lambda e: {**facts, "status": 0, "x": self.decode(e)}).ignore_errors(log_warning=True)
            status = tf.where(element["status"] == 0, UNDECODABLE, element["status"])
            unsound = element_only.map(lambda _: {**facts, "status": status, "x": self._nothing()})
            return sound.concatenate(unsound).take(1)

        calls = tf.data.AUTOTUNE
        dataset = dataset.interleave(one, cycle_length=calls, num_parallel_calls=calls, deterministic=True)

        def shaped(element):
            status = self._sound(element["status"], (element["file"], element["id"]))
            x = {s: tf.ensure_shape(element["x"][s], self._shape(s)) for s in self.settings.streams}
            return {**element, "status": status, "x": x if len(x) > 1 else x[self.settings.stream]}

        return dataset.map(shaped)

    def decode(self, element):
        """Returns {stream: float32 (T, size, size, C)}, or with views (clips * crops, T, size, size, C)."""
        import tensorflow as tf

        settings, seed, x = self.settings, element["seed"], {}
        flipped = settings.training and augment.draw(seed, "flip", 0, 1) == 1
        short_side = settings.short_sides and augment.draw(seed, "short side", *settings.short_sides)
        for stream in settings.streams:
            images = element["images"][stream]
            height, width = tf.unstack(tf.io.extract_jpeg_shape(images[0])[:2])
            side = augment.side(height, width, settings.size, short_side)
            if settings.training:
                windows = augment.random_window(height, width, side, seed)[None]
            else:
                windows = augment.windows(height, width, side, settings.crops)
            clip = self._frames(images, stream, windows[0] if settings.crops == 1 else None)
            clip = tf.cond(
                tf.size(images) == tf.size(element["order"]),
                lambda c=clip: c,
                lambda c=clip: tf.gather(c, element["order"]),
            )
            views = []
            for place, window in zip(augment.CROPS[settings.crops], tf.unstack(windows, settings.crops)):
                view = clip if settings.crops == 1 else tf.image.crop_to_bounding_box(clip, *tf.unstack(window))
                view = self._values(view, stream, element)
                view = augment.resize(view, settings.size, stream)
                if stream == "rgb" and settings.color_jitter:
                    view = augment.jitter_colour(view, seed, settings.color_jitter)
                if stream == "rgb" and self.randaugment:
                    view = self.randaugment(view)
                if settings.training or place.flipped:
                    view = augment.flip(view, stream, flipped if settings.training else True)
                views.append(augment.scale(view, stream))
            x[stream] = self._arranged(views) if settings.views else views[0]
        return x

    def _frames(self, images, stream, window):
        import tensorflow as tf

        channels = CHANNELS[stream]
        return tf.map_fn(
            lambda image: records.decode_rgb(image, window)[..., :channels],
            images,
            fn_output_signature=tf.TensorSpec((None, None, channels), tf.uint8),
        )

    def _values(self, view, stream, element):
        """Flow levels as flow; rgb as it is."""
        import tensorflow as tf

        if stream == "rgb":
            return view
        shift, factor = records.flow_scaling(element["bound"], element["scheme"])
        return (tf.cast(view, tf.float32) + shift) * factor

    def _arranged(self, views):
        """Returns views, each (clips * T, ...), as (clips * crops, T, ...)."""
        import tensorflow as tf

        frames, size = self.settings.clip_frames, self.settings.size
        by_clip = [tf.reshape(view, (self.settings.clips, frames, size, size, view.shape[-1])) for view in views]
        stacked = tf.stack(by_clip, axis=1)
        return tf.reshape(stacked, (-1, *stacked.shape[2:]))

    def _shape(self, stream):
        settings = self.settings
        shape = settings.clip_frames, settings.size, settings.size, CHANNELS[stream]
        return (settings.clips * settings.crops, *shape) if settings.views else shape

    def _nothing(self):
        import tensorflow as tf

        return {s: tf.zeros([side or 0 for side in self._shape(s)]) for s in self.settings.streams}

    def _same(self, images, fingerprints, used):
        import tensorflow as tf

        def compared():
            return tf.reduce_all(records.fingerprints(images) == tf.gather(fingerprints, used))

        return tf.cond(tf.size(fingerprints) > 0, compared, lambda: True)  # records of others have none

    def _class(self, parsed):
        import tensorflow as tf

        if self.wanted is None:
            return parsed["index"]
        equal = tf.equal(parsed["label" if self.wanted.dtype == object else "index"], self.wanted.tolist())
        return tf.where(tf.reduce_any(equal), tf.argmax(equal), -1)

    def _rule(self, holds, facts, *words):
        import tensorflow as tf

        return tf.debugging.Assert(holds, [tf.strings.join(facts, ": "), *words], summarize=1)

    def _sound(self, status, facts):
        """Returns the status; raises where it is not 0 and errors are not counted."""
        import tensorflow as tf

        if self.errors == "count":
            return status
        reason = tf.gather(["", *_REASONS.values()], status)
        with tf.control_dependencies([self._rule(status == 0, facts, reason)]):
            return tf.identity(status)
