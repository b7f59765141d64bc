"""The order in which records are read: the first stages of `pipeline.load`."""

import functools
import random

import numpy as np
import tensorflow as tf

from keras_i3d.data import augment
from keras_i3d.data.clips import CUT, LOST
from keras_i3d.errors import notice
from keras_i3d.records import framing

FILES_AT_ONCE = 16
READ_BYTES = 1 << 20


class Reading:
    """The order in which records are read."""

    def __init__(self, settings, source, numbers, clips, balance=None):
        """Takes a `Settings`, a `Source`, for each of its files the place among all of the data set, and a `Clips`.

        A `Balance` says how often each record is drawn; None draws each once.
        """
        self.balance = balance
        self.settings, self.source, self.clips = settings, source, clips
        self.seed = draw_seed() if settings.seed is None else settings.seed
        self.ids = tf.constant([id for ids in source.ids for id in ids or ()], tf.string)
        counts = [-1 if ids is None else len(ids) for ids in source.ids]
        self.rows = {
            "file": tf.constant(source.files),
            "number": tf.constant(numbers, tf.int64),
            "first": tf.constant(np.cumsum([0, *np.maximum(counts, 0)])[:-1], tf.int64),
            "count": tf.constant(counts, tf.int64),
            "size": tf.constant([size or 0 for size in source.sizes], tf.int64),
            "whole": tf.constant(framing.whole_records_of(source.files), tf.int64),
        }
        self.cached = None
        if settings.cache:
            in_order = tf.data.Dataset.from_tensor_slices(self.rows).flat_map(self._file)
            self.cached = in_order.cache("" if settings.cache is True else settings.cache)

    @property
    def records(self):
        """How many examples an epoch has; None if that is not known."""
        if self.balance is not None:
            return self.balance.clips * self.settings.clips * self.settings.repeats
        if self.source.records is None or self.clips.leaves_out:
            return None
        return self.source.records * self.settings.clips * self.settings.repeats

    def count(self):
        """Counts the examples of an epoch, reading them if no manifest tells."""
        if self.records is None:
            notice(f"counting the records of {len(self.source.files)} files, for start_batch")
            return int(self.epoch(0, shuffled=False).reduce(np.int64(0), lambda count, _: count + 1))
        return self.records

    def epoch(self, number=None, shuffled=True):
        """Returns the elements of one epoch, not decoded; `number` is None if nothing is random."""
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
        read = self._drawn(read, number, self.balance if shuffled else None).map(
            lambda r: self.clips.select(r, self._seed(number, r, r["draw"])),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        if self.clips.leaves_out:
            read = read.filter(lambda e: (e["y"] >= 0) | (e["status"] > 0))
        if self.settings.clips > 1:
            read = read.flat_map(self.clips.one_by_one)
        if shuffled:
            read = _shuffled(read, self.settings.shuffle_buffer, augment.seed_of(self.seed, number, -1))
        # Not before: the draws of a video follow each other.
        return read.flat_map(self.clips.one_by_one) if self.settings.repeats > 1 else read

    def _drawn(self, read, number, balance):
        """Parses records, each as often as it is drawn in an epoch; those that are not drawn are left out unparsed.

        "draw" of what it gives counts the draws of a record, from 0.
        """
        if balance is None:
            return self.clips.parsed(read).map(lambda r: {**r, "draw": tf.constant(0, tf.int64)})
        times = balance.times(augment.seed_of(self.seed, number, -3))

        def each(record):
            return tf.data.Dataset.range(times[record["among_all"]]).map(lambda draw: {**record, "draw": draw})

        return self.clips.parsed(read.filter(lambda r: times[r["among_all"]] > 0)).flat_map(each)

    def _seed(self, number, record, draw):
        """The seed of a draw of a record in an epoch, int64 (2,): of draw 0, 1, ... each its own."""
        first = augment.seed_of(self.seed, number, record["number"], record["place"])
        return tf.where(draw == 0, first, tf.random.experimental.stateless_fold_in(first, -draw))

    def _file(self, row):
        """Returns the records of one file, and an element for each record that damage hides.

        `ignore_errors` ends a file at its first damaged record. row["whole"] ends it before a length that lies beyond
        the end of the file, because TensorFlow's reader could end the process there. A manifest tells how many records
        should have followed. Without one, the number of bytes read tells that something is missing, but not how many
        records.
        """
        # If a file cannot be opened, ignore_errors would try for ever: this raises.
        opened = tf.data.FixedLengthRecordDataset(row["file"], 1).take(1).filter(lambda _: False)
        read = tf.data.TFRecordDataset(row["file"], buffer_size=READ_BYTES)
        read = read.take(row["whole"]).ignore_errors(log_warning=True)
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
                "among_all": row["first"] + place,
                "id": tf.where(named, known, ""),
                "record": record,
                "status": tf.where(ended, tf.where(named, LOST, CUT), 0),
                "unread": unread,
            }
            return (place + 1, unread - tf.cast(framed, tf.int64)), result

        read = read.scan((tf.constant(0, tf.int64), row["size"]), placed)
        return read.filter(lambda e: (e["status"] != CUT) | (e["unread"] != 0))


class Mixed:
    """The order in which the records of several data sets are read, as a `Reading` gives that of one.

    An epoch has every record of each data set once; or of each as many clips as it has records, its own classes
    balanced. In training all of their orders are equally likely: the next record
    is of a data set with a chance in proportion to what is left of it. Without training they follow each other.
    The classes of a data set are counted on from those of the data sets before it.
    """

    def __init__(self, readings):
        """Takes the Readings, each with files of numbers of its own, all of one seed and with manifests."""
        self.readings, self.clips, self.seed = readings, readings[0].clips, readings[0].seed
        self.counts = [reading.count() for reading in readings]
        self.firsts = np.cumsum([0, *(len(reading.source.labels) for reading in readings)])[:-1]
        self.records = sum(self.counts)

    def count(self):
        """Counts the examples of an epoch."""
        return self.records

    def epoch(self, number=None, shuffled=True):
        """Returns the elements of one epoch, as `Reading.epoch` does."""
        each = [
            reading.epoch(number, shuffled).map(functools.partial(_counted_on, first))
            for reading, first in zip(self.readings, self.firsts)
        ]
        if number is None or not shuffled:
            return functools.reduce(tf.data.Dataset.concatenate, each)
        repeats = self.clips.settings.repeats
        turns = tf.repeat(tf.range(len(each), dtype=tf.int64), [count // repeats for count in self.counts])
        turns = tf.random.experimental.stateless_shuffle(turns, augment.seed_of(self.seed, number, -2))
        turns = tf.repeat(turns, repeats)
        return tf.data.Dataset.choose_from_datasets(each, tf.data.Dataset.from_tensor_slices(turns))


def draw_seed():
    """Draws a seed from Python's `random`."""
    return random.randrange(2**31)


def _counted_on(first, element):
    return {**element, "y": tf.where(element["y"] < 0, element["y"], element["y"] + first)}


def _shuffled(dataset, buffer, seed):
    """`Dataset.shuffle`, with a seed that is a tensor and that TensorFlow's global seed has no part in."""
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
    return tf.nest.map_structure(lambda spec: getattr(spec, name), dataset.element_spec)
