"""The training videos that a network sees as nearest to a video: by the cosine of what its head reads of both."""

import dataclasses

import numpy as np

COUNT = 3


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A training video next to another video.

    Attributes:
        id: its id.
        label: its class.
        likeness: the cosine of the features of both, of several streams the mean of the cosines; 1 for equal ones.
    """

    id: str
    label: str
    likeness: float


def nearest(streams, source, training, count=COUNT, progress=False, own=()):
    """Finds the nearest training videos of some videos.

    Memory holds a number for each pair, and the features of the few videos: those of the training videos pass by.

    Args:
        streams: `scoring.Stream`s, all of which see all videos.
        source: the Source of the videos alone.
        training: the Source of the training records, one class a video.
        count: neighbours of each.
        progress: whether bars show how far it is.
        own: ids of training records that are these videos themselves, as if a network is evaluated on what it was
            trained on. An equal id alone does not say so: two splits may each have a video of that name.

    Returns:
        {id: list of Neighbour, the nearest first}. Videos that a stream cannot read have none.
    """
    classes, total = {}, []
    for stream in streams:
        ours = {id: _unit(row) for id, _, row in stream.pooled(source)}
        if not ours:
            return {}
        matrix, likeness = np.stack(list(ours.values())), {}
        for id, y, row in stream.pooled(training, progress):
            likeness[id], classes[id] = matrix @ _unit(row), int(y)
        total.append((list(ours), likeness))
    ids = [id for id in total[0][0] if all(id in ours for ours, _ in total)]
    there = [id for id in total[0][1] if all(id in likeness for _, likeness in total)]
    if not ids or not there:
        return {}
    mean = sum(
        np.stack([likeness[id] for id in there], axis=1)[[ours.index(id) for id in ids]] for ours, likeness in total
    ) / len(total)
    found = {}
    for row, id in zip(mean, ids):
        best = np.argsort(-row, kind="stable")[: count + 1]
        best = [i for i in best if there[i] != id or id not in own][:count]
        found[id] = [Neighbour(there[i], _label(training.labels, classes[there[i]]), float(row[i])) for i in best]
    return found


def _label(labels, index):
    return labels[index] if 0 <= index < len(labels) else "no label"


def _unit(row):
    return np.float32(row / max(float(np.linalg.norm(row)), 1e-12))
