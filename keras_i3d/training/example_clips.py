"""A few clips of a split that show what it holds: of as many classes as there are, without reading all of it."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_i3d import data
from keras_i3d.specs import BOTH, FLOW_BOUND

KEPT = 1 << 27  # bytes of clips that stay in memory: small clips, whose decoding would take longer than a validation
NEAR = 8  # records that are decoded on the way to the next clip, rather than opening the file once more


@dataclasses.dataclass(frozen=True)
class Example:
    """One clip, the central one of its video.

    Attributes:
        id: of its record.
        y: as `data.load` gives it: a class index, or float (classes,) or (T, classes).
        x: {"rgb": float32 (T, H, W, 3), "flow": float32 (T, H, W, 2)}, scaled as the network takes them; no
            "flow" if the records hold none.
    """

    id: str
    y: np.ndarray
    x: dict

    @property
    def classes(self):
        """The indices of its classes, of labels over time those that it shows at any time."""
        if not self.y.shape:
            return (int(self.y),) if self.y >= 0 else ()
        return tuple(np.flatnonzero(self.y.reshape(-1, self.y.shape[-1]).max(axis=0) > 0.5).tolist())

    def taken(self, stream):
        """What a network of this stream takes, float32 (1, T, H, W, C)."""
        joined = [self.x["rgb"], self.x["flow"]] if stream == BOTH else [self.x[stream]]
        return np.concatenate(joined, axis=-1)[None]

    def frames(self, mean, std):
        """The frames as they look, uint8 (T, H, W, 3)."""
        shares = self.x["rgb"] * np.float32(std) + np.float32(mean)
        return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)

    def fields(self):
        """The flow in pixels per frame, float32 (T, H, W, 2); None without."""
        return self.x["flow"] * FLOW_BOUND if "flow" in self.x else None


class Examples:
    """A few clips of a split, in the order of the files. Those of more than KEPT bytes are decoded anew each time.

    A clip that cannot be read is left out, with what follows it in its file: who trains on it says so.

    Args:
        run: the Run, whose clip settings are taken.
        pattern: records as for `data.load`, with a manifest.
        count: how many clips at most.
    """

    def __init__(self, run, pattern, count):
        self.run, self.source = run, data.find(pattern)
        self.places = choose(self.source, count)
        self._loaded, self._kept = None, None

    def __iter__(self):
        if self._kept is not None:
            yield from self._kept
            return
        seen, size = [], 0
        for example in self._decoded():
            size += sum(clip.nbytes for clip in example.x.values())
            if size <= KEPT:
                seen.append(example)
            else:
                seen.clear()
            yield example
        if size <= KEPT:
            self._kept = seen

    def _decoded(self):
        if self._loaded is None:
            self._loaded = [self._load(file, first, last) for file, first, last in _stretches(self.places)]
        for dataset, wanted in self._loaded:
            try:
                for x, y, (id, *_) in dataset:
                    id = id.numpy().decode(errors="backslashreplace")
                    if id in wanted:
                        x = x if isinstance(x, dict) else {self.stream: x}
                        yield Example(id, y.numpy()[0], {name: clip.numpy()[0] for name, clip in x.items()})
            except tf.errors.OpError:
                continue

    @property
    def stream(self):
        """What is loaded: both streams wherever there are both, to be seen."""
        return BOTH if self.source.spec.flow_method else self.run.stream

    def _load(self, file, first, last):
        """The clips of a stretch of a file, and the ids of those that were chosen."""
        recipe, (_, source) = self.run.recipe, self.source.shard(file, len(self.source.files))
        dataset = data.load(
            source,
            stream=self.stream,
            clip_frames=recipe.clip_frames,
            frame_stride=recipe.frame_stride,
            size=recipe.size,
            mean=self.run.mean,
            std=self.run.std,
            start_batch=first,
            with_ids=True,
        )
        wanted = {source.ids[0][place] for number, place in self.places if number == file and first <= place <= last}
        return dataset.take(last - first + 1), wanted


def choose(source, count):
    """Chooses records: one of each class, then a second one, and so on; each as near to a file's beginning as can be.

    Args:
        source: a Source with a manifest. Where it does not say the classes, the first records are taken.
        count: how many at most.

    Returns:
        [(number of the file, place in it), ...], ascending.
    """
    longest = max(map(len, source.ids), default=0)
    all_places = ((file, place) for place in range(longest) for file, ids in enumerate(source.ids) if place < len(ids))
    of_class = {}
    for file, place in all_places:
        known = source.classes[file] if source.classes else None
        of_class.setdefault(known[place] if known else None, []).append((file, place))
    chosen, turn = [], 0
    while len(chosen) < min(count, source.records):
        chosen += [places[turn] for places in of_class.values() if turn < len(places)]
        turn += 1
    return sorted(chosen[:count])


def _stretches(places):
    """[(file, first place, last place), ...]: places of one file that are near each other are read at once."""
    found = []
    for file, place in places:
        if found and found[-1][0] == file and place - found[-1][2] <= NEAR:
            found[-1] = (file, found[-1][1], place)
        else:
            found.append((file, place, place))
    return found
