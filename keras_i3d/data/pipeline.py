"""Records to batches of clips: `load`.

The stages, all of them TensorFlow operations, so that they can run on the workers of a tf.data service:

    files -> records -> parsed -> the JPEGs of a clip, checked -> shuffle, skip -> decode, augment -> batch -> scale

Everything random comes from (seed, epoch, the place of the record's file, its place in it): not from the order in which
threads happen to finish, nor from what was read before.
"""

import dataclasses
import inspect

import numpy as np
import tensorflow as tf

from keras_i3d.data import balancing
from keras_i3d.data.clips import KINDS, REASONS, Clips
from keras_i3d.data.order import Mixed, Reading, draw_seed
from keras_i3d.data.record_files import check_one_class, find, find_each
from keras_i3d.data.settings import Settings
from keras_i3d.specs import CROP, HALF, MIN_FRAMES

SHUFFLE_BUFFER = 256


def load(
    pattern,
    stream="rgb",
    clip_frames=64,
    training=False,
    batch_size=1,
    size=CROP,
    seed=None,
    *,
    joined=False,
    repeat=False,
    start_batch=0,
    drop_remainder=False,
    views=None,
    frame_stride=1,
    min_frames=MIN_FRAMES,
    mean=HALF,
    std=HALF,
    short_sides=None,
    color_jitter=0.0,
    randaugment=None,
    flip=True,
    area=None,
    aspect=None,
    strides=None,
    reverse=0.0,
    erase=0.0,
    mixup=0.0,
    cutmix=0.0,
    repeats=1,
    balance="none",
    classes=None,
    flow_scheme=None,
    cache=False,
    shuffle_buffer=SHUFFLE_BUFFER,
    shard=None,
    worker=None,
    service=None,
    errors="raise",
    with_ids=False,
):
    """Loads records as batches of clips, for `model.fit`, `evaluate` and `predict`.

    Without training, records come in the order of the files, and each video gives its central clip and centre crop.
    In training, records are shuffled, a clip has a random start and a random crop, and half of the videos are mirrored
    (arXiv 1705.07750, section 2.5). Start, crop and flip are drawn once for a video, for all its frames and both
    streams. Every iteration over the data set is another epoch with another order and other draws, in `fit` too.

    Flow i belongs to the frames i and i + 1. "both" gives as many frames as fields, and starts at a frame that has
    both. A video that is too short for its clip starts over from its first frame, and from its first field at the same
    time.

    Before TensorFlow reads a local file, the length of each record in it is compared with the length of the file. This
    takes about a microsecond a record, and a read of 8 bytes if the file is not in memory. Remote files are trusted.

    A frame whose short side is below `size` is scaled up until it is `size`, flow in its values too. All others keep
    their size.

    Args:
        pattern: a folder with the records of one split, a glob, or a list of files; or what `find` returned. A
            dictionary {name: any of these} is several data sets, which have manifests, equal in all but their labels.
            The classes of each follow those of the one before. In training they are mixed in proportion to their
            sizes, so that an epoch has every record once.
        stream: "rgb", "flow" or "both".
        clip_frames: T; or None for the whole video, which needs batch_size=1 and is repeated up to `min_frames` if it
            has fewer.
        training: whether to shuffle and to augment.
        batch_size: B. With `repeat` a batch may hold the end of one epoch and the start of the next.
        size: side of the crop in pixels.
        seed: integer that fixes the order and all draws, whatever the number of threads; None draws one from Python's
            `random`, which `keras.utils.set_random_seed` seeds.
        joined: whether "both" comes as one tensor, (B, T, H, W, 5), RGB and flow side by side, for networks that take
            it so.
        repeat: whether to continue for ever; `fit` needs steps_per_epoch then.
        start_batch: number of batches to skip, counted over epochs, so that a run can resume. What comes is what the
            same call without it yields from there on, and nothing before it is decoded. This is exact unless
            errors="count" drops examples, because a dropped example has a place in the order too. With `classes`, or
            with files that have no manifest, the records are counted first, which reads them once.
        drop_remainder: whether to leave out a last batch that is not full.
        views: (clips, crops) for evaluation: so many clips evenly spaced over the video, of each 1 crop (the centre),
            3 (along the long side) or 10 (corners and centre, and these mirrored; Simonyan and Zisserman 2014). The
            clips of a video are examples that follow each other, so that memory does not grow with their number.
        frame_stride: takes the frames i, i + s, i + 2s, ...; a field is the one stored for its frame then, so still
            the motion to the next frame of the video, not to the next of the clip.
        min_frames: with clip_frames=None, the fewest frames that the network takes: 9 for I3D, and for any network
            `models.families.find(name).min_frames`.
        mean, std: of red, green and blue in units of [0, 1], by which rgb is scaled; those of a network are in its
            `ClipSpec`.
        short_sides: (low, high) for training: crops as if the frame were scaled to a short side drawn from this
            range; flow is scaled in its values too.
        color_jitter: for training, rgb alone: s in [0, 1) changes brightness, contrast and saturation by factors
            in [1 - s, 1 + s], drawn once for a clip.
        randaugment: (layers, magnitude) for training, rgb alone: RandAugment (arXiv 1909.13719) by tf-models-official,
            one draw for all frames; without Cutout, which would differ from frame to frame. Its draws cannot come from
            `seed`, which has to be None.
        flip: for training, whether to mirror half of the videos; False if left and right mean different things.
        area, aspect: for training, (low, high) each: a crop of a share of the frame's area drawn from `area`, its width
            over its height from `aspect` (in logarithms; 1 if None), scaled to `size`; in the place of `short_sides`.
            Flow is scaled in its values too, dx and dy each by its own factor.
        strides: for training, (low, high): the distance between frames is drawn from this range for each clip, in the
            place of `frame_stride`. What is too much for the length of a video is not drawn for it. Flow stays the
            motion between neighbouring frames of the video.
        reverse: for training, the share of clips that are played backwards; 0 if classes differ by the direction of
            time, such as opening and closing. Their flow is negated and its order turned, which is the motion of the
            reversed frames as far as flow is its own inverse; see `augment.played_backwards`.
        erase: for training, the share of clips of which a random box (arXiv 1708.04896) is set to the mean, the same in
            all frames and both streams; flow is 0 there.
        mixup, cutmix: for training, alpha of the two (arXiv 1710.09412, 1905.04899), 0 for none: each clip of a batch
            is mixed with the one half a batch further on, both streams by one draw. With both, half of the clips take
            one and half the other. y is float32 (B, classes) then, the shares of the classes. Processes that share
            batches by `worker` mix the same pairs as a single one, if the batch_size of each is even.
        repeats: for training, how many draws of one video follow each other in a batch (arXiv 1901.09335), each with
            a start, a window and all else of its own. An epoch has as many times more clips. It divides batch_size,
            of all processes together.
        balance: for training, how often the clips of a class are drawn: "none" as they are; "equal", so that every
            class has as many; "sqrt", in proportion to the square root of their number. An epoch has as many clips as
            without it: some records are drawn several times, each time with draws of their own, others not at all. Of
            several labels see `balancing.Balance`. It needs manifests. The draws of one record are mixed by
            `shuffle_buffer` alone.
        classes: names or indices of the classes to use, which become 0..n-1 in this order; None for all. Records of
            other classes are left out; of records with several labels none is, because what shows no class is an
            example too.
        flow_scheme: how third-party flow reads back, a key of `flow.quantize.SCHEMES`; by default MediaPipe's.
        cache: keeps the records (encoded) in memory, or in files that begin with this path. All of them are read in
            one order then, so that only `shuffle_buffer` mixes them.
        shuffle_buffer: clips (encoded) to draw the next one from; 64 frames of both streams take about 3 MB. All
            `repeats` of a video count as one.
        shard: (index, count), for one of `count` processes: it reads every count-th file from index on. A strategy
            does not shard a data set by itself.
        worker: (index, count), for one of `count` processes that share each batch: it decodes every count-th example
            from index on, in the order of a single process. The k-th batches of all processes, of `batch_size` each,
            make up the k-th batch of a single process with count * batch_size, draws included. In training this needs
            a seed. Each process reads all files; with `shard` it reads less.
        service: address of a tf.data service ("grpc://host:port") that does the work. The order is not fixed then.
            Without training, each of its workers takes some of the files. In training, which needs repeat=True, each
            takes whole epochs.
        errors: "raise", or "count" to drop what is damaged, with a line for each that names file and record, and to
            count it: see `dropped`. With `views`, a video may lose only those of its clips that cannot be decoded.
        with_ids: whether to give the ids too.

    Returns:
        A `tf.data.Dataset` of (x, y), or (x, y, ids): x float32 (B, T, H, W, C), C being 3 for rgb, in [-1, 1] by the
        default `mean` and `std`, and 2 for flow, (dx, dy), in [-1, 1]; {"rgb": x, "flow": x} for "both" that is not
        joined; (B, crops, T, H, W, C) with `views`. y int64 (B,), -1 for a record without a label; float32 (B, classes)
        where clips are mixed. Of records with several labels y is float32 (B, classes), 1 for each class that the video
        shows, all 0 if it shows none; of records with labels over time float32 (B, T, classes): frame i of the record,
        which is at i / fps, shows a class if that is in [start, end) of one of its times, and a field of flow is at its
        first frame. ids string (B,).

    Raises:
        FileNotFoundError, ImportError, ValueError: see `find`; an argument out of its range; flow asked of records
            without.
        InvalidArgumentError: while iterating, a damaged record, named with its file; in a third-party file a record
            without flow or, in training, without a label.
    """
    settings = Settings(
        stream=stream,
        joined=joined,
        clip_frames=clip_frames,
        training=training,
        batch_size=batch_size,
        size=size,
        seed=seed,
        repeat=repeat,
        start_batch=start_batch,
        drop_remainder=drop_remainder,
        views=views,
        frame_stride=frame_stride,
        min_frames=min_frames,
        mean=tuple(mean),
        std=tuple(std),
        short_sides=short_sides,
        color_jitter=color_jitter,
        randaugment=randaugment,
        flip=flip,
        area=area,
        aspect=aspect,
        strides=strides,
        reverse=reverse,
        erase=erase,
        mixup=mixup,
        cutmix=cutmix,
        repeats=repeats,
        balance=balance,
        classes=classes,
        flow_scheme=flow_scheme,
        cache=cache,
        shuffle_buffer=shuffle_buffer,
        shard=shard,
        worker=worker,
        service=service,
        errors=errors,
        with_ids=with_ids,
    )
    reading = _mixed(settings, pattern) if isinstance(pattern, dict) else _reading(settings, find(pattern))
    clips = reading.clips
    resources = {}
    index, count = worker or (0, 1)
    whole = count * batch_size
    kept = reading.count() // whole * whole if count > 1 and drop_remainder and not repeat else -1
    if training:
        dataset = _epochs(reading, *_begin(reading, settings, whole), kept, repeat, resources)
    else:
        dataset = reading.epoch().take(kept)
        dataset = (dataset.repeat() if repeat else dataset).skip(start_batch * whole)
    if count > 1:
        dataset = dataset.shard(count, index)
    dataset = clips.decoded(dataset)

    def batched(dataset):
        dataset = dataset.map(lambda e: {name: value for name, value in e.items() if name not in ("file", "status")})
        return dataset.batch(batch_size, drop_remainder, num_parallel_calls=tf.data.AUTOTUNE)

    if errors == "count":
        resources["dropped"] = _table(tf.string)
        dataset = _counted(_distributed(dataset, service), resources["dropped"])
        dataset = batched(dataset)
    else:
        dataset = _distributed(batched(dataset), service)

    def finished(batch):
        x = clips.scaled(batch)
        y = clips.labels(batch)
        return (x, y, batch["id"]) if with_ids else (x, y)

    dataset = dataset.map(finished, num_parallel_calls=tf.data.AUTOTUNE)
    if repeat:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    elif reading.records is not None and errors == "raise" and not (service or start_batch):
        examples = len(range(index, reading.records if kept < 0 else kept, count))
        batches = examples // batch_size if drop_remainder else -(-examples // batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
    dataset._keras_i3d = resources  # tables live as long as a Python object holds them
    return dataset


def check(pattern, **arguments):
    """Raises what `load` would raise of these arguments; nothing is read but manifests."""
    usual = {name: each.default for name, each in inspect.signature(load).parameters.items() if name != "pattern"}
    settings = Settings(**usual | arguments)
    for source in _several(settings, pattern).values() if isinstance(pattern, dict) else [find(pattern)]:
        _check_source(settings, source)


def dropped(dataset):
    """Returns how many records a data set of `load(errors="count")` has dropped so far, or clips of them.

    Each is counted once, however often the data set is iterated over.

    Args:
        dataset: what `load` returned, itself.

    Returns:
        {"lost": records that the manifest names and the file does not give, "damaged": records with a frame that is
        not the one written, "undecodable": records whose frames cannot be decoded, "cut": files without a manifest
        that cannot be read to their end, whose lost records nobody can count, "unparseable": records that are none,
        "invalid": records of a class that is none of the labels, or of an impossible flow bound}.
    """
    if "dropped" not in getattr(dataset, "_keras_i3d", {}):
        raise ValueError(f'dropped takes the data set that load(errors="count") returned. Received: {dataset!r}')
    kinds = list(dropped_records(dataset).values())
    return {name: kinds.count(name) for name in KINDS.values()}


def dropped_records(dataset):
    """Returns {"FILE: ID": kind of damage, as `dropped` names it} of what a data set of `load` has dropped so far."""
    table = getattr(dataset, "_keras_i3d", {}).get("dropped")
    if table is None:
        return {}
    records, kinds = table.export()
    return {
        record.decode(errors="backslashreplace"): KINDS[kind] for record, kind in zip(records.numpy(), kinds.numpy())
    }


def _reading(settings, source, first=0):
    """The Reading of one data set, the numbers of whose files begin with `first`."""
    _check_source(settings, source)
    numbers = tuple(range(first, first + len(source.files)))
    if settings.shard is not None:
        numbers, source = source.shard(*settings.shard)
    wanted = _wanted(settings.classes, source)
    balance = None
    if settings.balance != "none":
        balance = balancing.of_source(source, settings.balance, _indices(wanted, source))
    return Reading(settings, source, numbers, Clips(settings, source, wanted), balance)


def _several(settings, patterns):
    """Returns {name: Source} of several data sets."""
    for name in ("classes", "shard", "cache", "service", "mixup", "cutmix"):
        if getattr(settings, name):
            raise ValueError(f"{name} is for one data set. Received: {name}={getattr(settings, name)!r} and {patterns}")
    sources = find_each(patterns)
    check_one_class(sources)
    return sources


def _mixed(settings, patterns):
    """The Mixed of several data sets, each with its share of the shuffle buffer."""
    sources = _several(settings, patterns)
    # Drawn once, because the data sets have one order between them.
    settings = dataclasses.replace(settings, seed=draw_seed() if settings.seed is None else settings.seed)
    total = sum(source.records for source in sources.values())
    readings, first = [], 0
    for source in sources.values():
        buffer = max(round(settings.shuffle_buffer * source.records / max(total, 1)), 1)
        readings.append(_reading(dataclasses.replace(settings, shuffle_buffer=buffer), source, first))
        first += len(source.files)
    return Mixed(readings)


def _check_source(settings, source):
    """Raises ValueError for records that do not have what is asked of them."""
    if "flow" in settings.streams and source.spec is not None and source.spec.flow_method is None:
        raise ValueError(
            f"The records hold no flow (flow_method=None in the manifest of {source.files[0]}). Received: "
            f'stream={settings.stream!r}. Use stream="rgb", or build them with --flow_method=tvl1.'
        )
    if settings.mixing and source.labelling == "timed":
        raise ValueError(
            "mixup and cutmix mix the labels of whole clips; these records have labels over time. Received: "
            f"mixup={settings.mixup:g}, cutmix={settings.cutmix:g}. Leave both at 0."
        )
    if settings.mixing and not source.labels and settings.classes is None:
        raise ValueError(
            "mixup and cutmix give shares of classes, and without a manifest nobody knows how many there are. Pass "
            f"classes=range(N). Received: {source.files[0]}"
        )


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


def _indices(wanted, source):
    """Returns the indices of a class subset that `_wanted` gave; None for all."""
    if wanted is None or wanted.dtype != object:
        return None if wanted is None else wanted.tolist()
    return [source.labels.index(name) for name in wanted]


def _begin(reading, settings, batch_size):
    """Returns (first epoch, examples to skip in it), for batches of `batch_size` over all workers."""
    if not settings.start_batch:
        return 0, 0
    count = reading.count()
    if settings.repeat:
        return divmod(settings.start_batch * batch_size, max(count, 1))
    batches = count // batch_size if settings.drop_remainder else -(-count // batch_size)
    epoch, batch = divmod(settings.start_batch, max(batches, 1))
    return epoch, batch * batch_size


def _epochs(reading, first, skip, kept, repeat, resources):
    """Returns the elements of all epochs from `first` on, or with repeat=False of the next one at each iteration.

    Args:
        skip: elements to leave out of the epoch `first`.
        kept: how many elements each epoch has at most, these included; -1 for all.
    """
    if repeat:
        numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    else:
        epochs = resources["epochs"] = _table(tf.int64)
        epochs.insert(np.int64(0), np.int64(first))

        def next_epoch(_):
            number = epochs.lookup(np.int64(0))
            with tf.control_dependencies([number]), tf.control_dependencies([epochs.insert(np.int64(0), number + 1)]):
                return tf.identity(number)

        numbers = tf.data.Dataset.range(1).map(next_epoch)
    skip = tf.constant(skip, tf.int64)
    return numbers.flat_map(lambda number: reading.epoch(number).take(kept).skip(tf.where(number == first, skip, 0)))


def _table(keys):
    """Returns a table of numbers. Unlike a variable, no strategy makes copies of it for its replicas."""
    return tf.lookup.experimental.MutableHashTable(keys, tf.int64, default_value=0)


def _distributed(dataset, service):
    if service is None:
        return dataset
    policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    return dataset.apply(tf.data.experimental.service.distribute(processing_mode=policy, service=service))


def _counted(dataset, table):
    """Drops the elements that are not sound; a line for each of their records, whose kind of damage the table keeps."""

    def count(element):
        status = tf.cast(element["status"], tf.int64)
        record = tf.strings.join([element["file"], ": ", element["id"]])

        def seen():
            reason = tf.gather(["", *REASONS.values()], status)
            line = tf.strings.join(["keras_i3d: dropped ", record, ": ", reason, "\n"])
            printed = tf.raw_ops.PrintV2(input=line, output_stream="stderr", end="")  # tf.print would quote it
            with tf.control_dependencies([printed, table.insert(record, status)]):
                return tf.identity(status)

        with tf.control_dependencies([tf.cond((status > 0) & (table.lookup(record) == 0), seen, lambda: status)]):
            return {**element, "status": tf.identity(element["status"])}

    return dataset.map(count).filter(lambda element: element["status"] == 0)
