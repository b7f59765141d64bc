"""Features read again, whatever their files and axes: of one video, or of a folder as a mapping by name."""

import collections.abc
import os
import pathlib

from keras_i3d import paths
from keras_i3d.errors import FeaturesError
from keras_i3d.features import feature_files

DEEPEST = 3  # folders from a file to that of its JSON


def read(path, verify=True):
    """Reads what `extract` wrote: of one video, or of a folder.

    Args:
        path: a folder; or of one video its JSON, one of its files, or the name that they share ("features/clip").
        verify: whether each file must have the sha256 that its JSON notes, which takes reading it once. Its size and
            shape must fit in any case.

    Returns:
        Of one video its VideoFeatures: arrays (crops, rows, channels) by stream, and the times of the rows, to 1e-9 s.
        Arrays of `.npy` are memory-mapped, and read-only. Of a folder a `FeatureFolder`, which reads each video when
        it is asked for.

    Raises:
        FeaturesError: nothing of `extract` is there, a file is not the one that its JSON describes, or is damaged.
    """
    path = os.fspath(paths.expand(path))
    if os.path.isdir(path):
        return FeatureFolder(path, verify)
    sidecar, record = _described(path)
    return feature_files.restore(sidecar, record, verify)


class FeatureFolder(collections.abc.Mapping):
    """The features in a folder and below it: {name of a video: its VideoFeatures}, in the order of the names.

    A name is that of the video's file without its suffix, behind the folders below this one: "clip", "run/clip". The
    files of a video are read when it is asked for, and nothing is kept.

    Args:
        folder: a path.
        verify: as for `read`.

    Raises:
        FeaturesError: there is no such folder, or a JSON in it cannot be read.
    """

    def __init__(self, folder, verify=True):
        self.folder, self.verify = pathlib.Path(folder), verify
        self._verified = set()
        if not self.folder.is_dir():
            raise FeaturesError(f"{folder}: no such folder. Features are made by keras_i3d.features.extract.")
        found = (file.relative_to(self.folder).as_posix() for file in self.folder.rglob("*.json"))
        visible = (name for name in found if not any(part.startswith(".") for part in name.split("/")))
        names = sorted(name.removesuffix(".json") for name in visible)
        records = {name: feature_files.read_json(self.folder / feature_files.sidecar(name)) for name in names}
        self._names = {name: None for name, record in records.items() if record is not None}

    def __getitem__(self, name):
        if name not in self._names:
            raise KeyError(name)
        record = self.record(name)
        path = self.folder / feature_files.sidecar(name)
        found = feature_files.restore(path, record, self.verify and name not in self._verified)
        self._verified.add(name)  # once is enough: a model asks for a video in each epoch
        return found

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def __contains__(self, name):
        return name in self._names

    def __repr__(self):
        return f"<FeatureFolder of {len(self)} videos: {self.folder}>"

    def record(self, name):
        """Returns what the JSON of a video says: what made its features, how many rows there are, when each is.

        Raises:
            FeaturesError: it cannot be read.
        """
        path = self.folder / feature_files.sidecar(name)
        record = feature_files.read_json(path)
        if record is None:
            raise FeaturesError(f"{path} is of something else than features. Make them again.")
        return record


def _described(path):
    """(JSON, what it holds) of a path that names one video."""
    name = os.path.basename(path)
    for direct in (path, f"{path}.json"):
        if direct.endswith(".json") and os.path.isfile(direct):
            record = feature_files.read_json(direct)
            if record is None:
                raise FeaturesError(f"{direct} is no JSON that stands next to features.")
            return direct, record
    if not os.path.exists(path):
        raise FeaturesError(f"{path}: no such file. Features are made by keras_i3d.features.extract.")
    # The JSON has the name of the video, which is a part of the name of each of its files. It lies next to them, or
    # above, where a layout has folders for its streams.
    near, inside = pathlib.Path(path).absolute().parent, name
    for _ in range(DEEPEST):
        there = [other for other in near.glob("*.json") if other.stem in name]
        for other in sorted(there, key=lambda other: (-len(other.name), other.name)):
            record = feature_files.read_json(other)
            if record is not None and inside in record["files"]:
                return str(other), record
        near, inside = near.parent, f"{near.name}/{inside}"
    raise FeaturesError(
        f"{path} has no JSON near it that describes it, so nothing says what its rows are. numpy.load "
        "reads it as it is."
    )
