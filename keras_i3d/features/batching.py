"""Features as batches for a temporal model: of NumPy, or as a tf.data.Dataset."""

import numpy as np

from keras_i3d.errors import FeaturesError
from keras_i3d.features.feature_folder import FeatureFolder

NOWHERE = -1.0  # seconds, of a row that only fills a batch; no row begins before 0


def dataset(folder, labels=None, batch_size=8, ragged=False, stream=None, names=None, seed=None, verify=True):
    """Features of the videos of a folder as a tf.data.Dataset of batches.

    Args:
        folder: what `extract` wrote to, or a FeatureFolder.
        labels: {name of a video: a number, or an array of one shape for all}, or a function from the name to that;
            None for none. Names are those of `FeatureFolder`.
        batch_size: videos; the last batch may have fewer. None gives videos one by one, without an axis for them.
        ragged: whether batches are tf.RaggedTensor; by default shorter videos are filled up with rows of zeros, whose
            times are all -1.
        stream: "rgb" or "flow" for one alone; None for all that there are, side by side in each row.
        names: which videos, in this order; None for all.
        seed: of a new order in each pass over the dataset; None keeps the order.
        verify: as for `read`.

    Returns:
        A tf.data.Dataset of (features, times), or of (features, times, label). features: float32 (batch, rows,
        channels), or (batch, rows, crops, channels) of several crops. times: float32 (batch, rows, 3), seconds: start,
        end and centre of each row.

    Raises:
        FeaturesError: files that cannot be read, or streams that have rows of their own and were not asked for alone.
        ValueError: a video without a label, or that is not there.
    """
    import tensorflow as tf

    videos = _Videos(folder, labels, stream, names, verify)
    first = videos.element(videos.names[0])
    kinds = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in first[:2]]
    kinds += [tf.TensorSpec(part.shape, part.dtype) for part in first[2:]]
    orders = _Orders(videos.names, seed)
    made = tf.data.Dataset.from_generator(
        lambda: (videos.element(name) for name in orders.next()), output_signature=tuple(kinds)
    )
    made = made.apply(tf.data.experimental.assert_cardinality(len(videos.names)))
    if batch_size is None:
        return made
    if ragged:
        return made.ragged_batch(batch_size)
    filling = (0.0, np.float32(NOWHERE), *(np.zeros((), part.dtype) for part in first[2:]))
    return made.padded_batch(batch_size, padding_values=filling)


def batches(folder, labels=None, batch_size=8, stream=None, names=None, seed=None, verify=True):
    """Features of the videos of a folder as batches of NumPy, filled up with rows of zeros; one pass.

    Args, errors: as for `dataset`. Each call with one seed gives the same order.

    Yields:
        (features, times) or (features, times, label), as `dataset` gives them.
    """
    videos = _Videos(folder, labels, stream, names, verify)
    ordered = _Orders(videos.names, seed).next()
    if batch_size is None:
        yield from map(videos.element, ordered)
        return
    for at in range(0, len(ordered), batch_size):
        elements = [videos.element(name) for name in ordered[at : at + batch_size]]
        features, times, *label = zip(*elements)
        yield (_filled(features, 0), _filled(times, NOWHERE), *map(np.stack, label))


class _Orders:
    """The names in a new order for each pass, or always in their own."""

    def __init__(self, names, seed):
        self.names = names
        self.draw = None if seed is None else np.random.default_rng(seed)

    def next(self):
        return self.names if self.draw is None else [self.names[i] for i in self.draw.permutation(len(self.names))]


class _Videos:
    """Elements by name, checked before the first is read."""

    def __init__(self, folder, labels, stream, names, verify):
        self.folder = folder if isinstance(folder, FeatureFolder) else FeatureFolder(folder, verify)
        self.stream = stream
        self.names = list(self.folder if names is None else names)
        absent = next((name for name in self.names if name not in self.folder), None)
        if absent is not None or not self.names:
            what = "none" if absent is None else repr(absent)
            raise ValueError(
                f"names must be of videos in {self.folder.folder}, which has {len(self.folder)}. Received: {what}"
            )
        self.labels = None
        if labels is not None:
            given = labels if callable(labels) else labels.get
            self.labels = {name: given(name) for name in self.names}
            lacking = [name for name, label in self.labels.items() if label is None]
            if lacking:
                raise ValueError(
                    "labels must have one for each video; `names=` leaves videos out. Received: none for "
                    f"{len(lacking)} of {len(self.names)} (first: {lacking[0]!r})"
                )

    def element(self, name):
        """(features, times) of a video, or (features, times, label)."""
        found = self.folder[name]
        streams = list(found.arrays) if self.stream is None else [self.stream]
        if not set(streams) <= set(found.arrays):
            raise FeaturesError(f"{name} has no {self.stream}, but {', '.join(found.arrays)}.")
        if len({found.arrays[stream].shape[1] for stream in streams}) > 1:
            rows = ", ".join(f"{found.arrays[stream].shape[1]} of {stream}" for stream in streams)
            raise FeaturesError(f"{name} has rows of its own for each stream ({rows}), so take one alone: stream=.")
        joined = np.concatenate([found.arrays[stream] for stream in streams], axis=-1, dtype="float32")
        features = joined[0] if len(joined) == 1 else np.moveaxis(joined, 0, 1)
        times = np.stack([each[streams[0]] for each in (found.start, found.end, found.centre)], -1).astype("float32")
        label = () if self.labels is None else (np.asarray(self.labels[name]),)
        return (np.ascontiguousarray(features), times, *label)


def _filled(parts, value):
    """Stacks arrays (rows, ...), the shorter ones filled up with rows of a value."""
    rows = max(len(part) for part in parts)
    filled = np.full((len(parts), rows, *parts[0].shape[1:]), value, parts[0].dtype)
    for place, part in zip(filled, parts):
        place[: len(part)] = part
    return filled
