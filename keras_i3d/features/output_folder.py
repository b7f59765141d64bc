"""A folder that features of many videos are written to: which are finished, which failed, and what made them.

Next to what the layout asks for there are:

  failed.jsonl      a line for each video that could not be used: its name, its path, the reason
  .features.json    what made the features of this folder; written before the first of them
  .features.lock    held while either is changed, because several processes may write to one folder
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib

import numpy as np

from keras_i3d import atomic, locks
from keras_i3d.errors import FeaturesError, VideoError, notice, system_line
from keras_i3d.features import feature_files, noted_runtimes

STATE = ".features.json"
LOCK = ".features.lock"
FAILED = "failed.jsonl"
GATHERED = "keras_i3d gathered features, version 1"
VERSION = "keras_i3d"  # of the notes
SHOWN = 6  # differences that one message names


def names_of(videos):
    """Returns ({path: the name of its features} of videos, why they have folders or "").

    Names are without folder and suffix, if these differ. Otherwise all have the folders below the one that all videos
    lie in, with forward slashes.

    Raises:
        ValueError: two videos of one name in one folder.
    """
    videos = list(dict.fromkeys(videos))
    names = {video: _stem(os.path.basename(video)) for video in videos}
    if len(set(names.values())) == len(names):
        return names, ""
    first, second = next(_twice(names))
    root = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in videos])
    names = {video: _stem(os.path.relpath(os.path.abspath(video), root).replace(os.sep, "/")) for video in videos}
    for pair in _twice(names):
        raise ValueError(
            "Features are named after their videos, so two in one folder need two names. Rename one, or give them "
            f"outputs of their own. Received: {' and '.join(pair)}"
        )
    return names, f"{first} and {second} have one name, so the output has the folders below {root}"


def _stem(path):
    return os.path.splitext(path)[0]


def _twice(names):
    """Yields pairs of videos of one name."""
    seen = {}
    for video, name in names.items():
        if name in seen:
            yield seen[name], video
        seen.setdefault(name, video)


def differences(here, there, scope=""):
    """Returns ["layout.step is 4 there, and 8 here", ...] of two dictionaries of notes.

    What is only `there` does not count; nor does the version of the package or of a runtime, nor, where the sha256 of
    weights is noted, what they are called and what is said of their licence. A runtime that is only `here` does not
    count either: the notes of a folder lack it where it was chosen, and those of each video have it.
    """
    found = []
    for key, value in here.items():
        other = there.get(key)
        named = key in ("weights", "licence") and "sha256" in here
        chosen = key == noted_runtimes.NAME and other is None
        if key in (VERSION, noted_runtimes.VERSION) or named or chosen or _plain(value) == _plain(other):
            continue
        if isinstance(value, dict) and isinstance(other, dict):
            found += differences(value, other, f"{scope}{key}.")
        else:
            found.append(f"{scope}{key} is {json.dumps(other)} there, and {json.dumps(value)} here")
    return found


def _plain(value):
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value))


class OutputFolder:
    """The features of some videos in a folder.

    Args:
        folder: a path; it is made if it is not there.
        videos: paths, in the order in which `gathered` has them. Of shards: all of them, not those of one shard alone.
        layout: a Layout.

    Attributes:
        names: {path: name of its features}.

    Raises:
        ValueError: two videos whose features would have the same file.
    """

    def __init__(self, folder, videos, layout):
        self.folder, self.layout = pathlib.Path(folder), layout
        self.names, self._why_folders = names_of(videos)
        taken = {FAILED: "the list of videos that failed"} | dict.fromkeys(self._gathered(), "all videos in one file")
        for video, name in self.names.items():
            for file in self._files(name):
                if file in taken:
                    raise ValueError(
                        "Each video has files of its own. Rename one, or give them outputs of their own. Received: "
                        f"{file}, of {taken[file]} and of {video}"
                    )
                taken[file] = video

    def begin(self, notes):
        """Makes the folder this run's own, or finds that it is.

        Args:
            notes: what makes the features, as `Extractor.notes`.

        Raises:
            FeaturesError: it holds features of other settings, or files that no run of this package made.
            OSError: it cannot be written to.
        """
        self.notes = self._began = _plain(notes)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            state = self.folder / STATE
            if state.exists():
                self._began = feature_files.load(state)
                self._check_notes(state, self._began)
            else:
                self._check_begun_by_nobody()
                atomic.write_text(state, feature_files.lines(self.notes))
        if self._why_folders:
            notice(self._why_folders)

    def pending(self, videos):
        """Returns those of some videos whose features are not there yet.

        Raises:
            FeaturesError: features that are there are of another video of the same name, or of other settings.
        """
        versions = set()
        left = [video for video in videos if not self.is_finished(video, versions)]
        for version in sorted(versions - {self.notes.get(VERSION)}, key=str):
            notice(f"{self.folder} has features by version {version} of this package; they are kept")
        return left

    def is_finished(self, video, versions=None):
        """Whether the features of a video are there, whole. The versions that made them are added to a set."""
        record = self._has_own(video)
        if record is None:
            return False
        path = self.folder / feature_files.sidecar(self.names[video])
        if not feature_files.are_there(self.folder, self.names[video], record):
            notice(f"{path} is there, and not all of its files; they are made again")
            return False
        if versions is not None:
            versions.add(record["notes"].get(VERSION))
        return True

    def earlier(self):
        """Returns the notes of the first video that is there, or those that the folder began with if none is.

        Raises:
            FeaturesError: as `pending`.
        """
        return next((record["notes"] for video in self.names if (record := self._has_own(video))), self._began)

    def write(self, video, features):
        """Writes the features of a video, and takes it from the list of those that failed.

        Raises:
            FeaturesError: another video of the same name is there meanwhile.
            OSError: they cannot be written.
        """
        self._record(video)
        feature_files.write(self.folder, self.names[video], self.layout, features, _source(video))
        if self.names[video] in self._failed():
            self._change_failed(video, None)

    def fail(self, video, error):
        """Notes that a video could not be used, and why."""
        reason = getattr(error, "reason", None) or f"{type(error).__name__}: {error}"
        self._change_failed(video, {"name": self.names[video], "path": video, "reason": " ".join(reason.split())})

    def write_all(self, extractor, videos, done=lambda: None):
        """Writes the features of videos, or why there are none; calls `done` after each.

        Raises:
            OSError, FeaturesError: as `write`.
        """
        with contextlib.closing(extractor.many(videos)) as found:
            for video, features in found:
                if isinstance(features, Exception):
                    self.fail(video, features)
                else:
                    self._write_or_fail(video, features)
                done()

    def _write_or_fail(self, video, features):
        try:
            self.write(video, features)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            reason = f"its features cannot be written: {system_line(error)} Rename the video"
            self.fail(video, VideoError(video, reason))

    def done(self, videos):
        """Returns how many of some videos have a JSON or a line in failed.jsonl, without looking into them."""
        failed = self._failed()
        names = [self.names[video] for video in videos]
        return sum(n in failed or (self.folder / feature_files.sidecar(n)).exists() for n in names)

    def failed(self, videos):
        """Returns [(video, reason)] of those of some videos that failed when they were last tried."""
        failed = self._failed()
        return [(video, failed[self.names[video]]["reason"]) for video in videos if self.names[video] in failed]

    def gather(self):
        """Writes one array of all videos if the layout has one and all are finished; returns whether it is there.

        It is an array of objects, as NumPy makes it with pickle: whoever reads it has to trust it.
        """
        if not self.layout.gathered:
            return False
        records = {name: self._record(video) for video, name in self.names.items()}
        lacking = [name for name, record in records.items() if record is None]
        if lacking:
            notice(f"{len(lacking)} of {len(records)} videos are not there, so {self._gathered()[0]} is not written")
            return False
        array, sidecar = (self.folder / name for name in self._gathered())
        digest = hashlib.sha256(json.dumps([record["files"] for record in records.values()]).encode()).hexdigest()
        content = feature_files.lines({"format": GATHERED, "videos": list(records), "sha256_of_files": digest})
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if array.exists() and sidecar.read_text(encoding="utf-8") == content:
                return True
        objects = np.empty(len(records), object)
        for place, (name, record) in enumerate(records.items()):
            path = self.folder / feature_files.sidecar(name)
            arrays = feature_files.restore(path, record).arrays
            arranged = {s: feature_files.arranged(arrays[s], self.layout.axes) for s in self.layout.streams}
            objects[place] = feature_files.joined(self.layout, arranged)
        with atomic.replacing(array) as temporary, open(temporary, "wb") as file:
            np.save(file, objects, allow_pickle=True)
        atomic.write_text(sidecar, content)
        return True

    def _gathered(self):
        name = self.layout.gathered.removesuffix(".npy")
        return (f"{name}.npy", f"{name}.json") if name else ()

    def _files(self, name):
        """The files of a video, its JSON last."""
        found = [*feature_files.names(self.layout, name), *feature_files.beside(self.layout, name).values()]
        return [*found, feature_files.sidecar(name)]

    def _record(self, video):
        """What the JSON of a video says; None if there is none. It must be of this very video."""
        path = self.folder / feature_files.sidecar(self.names[video])
        if not path.exists():
            return None
        record, source = feature_files.read_json(path), _source(video)
        if record is None:
            raise FeaturesError(f"{path} is of something else. Choose another output, or remove it.")
        if record["video"] != source and source["bytes"] is not None:
            known = "{name} of {bytes} bytes".format(**{"name": "?", "bytes": "?", **record["video"]})
            raise FeaturesError(
                f"{path} is of {known}, and not of {video}, which has {source['bytes']}. Choose another output, or "
                "remove it to make it again."
            )
        return record

    def _check_begun_by_nobody(self):
        """Raises FeaturesError if there are files that are to be written, and no JSON of these settings has them."""
        for video, name in self.names.items():
            if self._has_own(video) is None:
                there = next((file for file in self._files(name) if (self.folder / file).exists()), None)
                if there is not None:
                    raise FeaturesError(
                        f"{self.folder / there} is there, and no {feature_files.sidecar(name)} says what it is. Choose "
                        "another output, or remove it."
                    )

    def _has_own(self, video):
        """What the JSON of a video says; None if there is none. It must be of these settings, too."""
        record = self._record(video)
        if record is not None:
            self._check_notes(self.folder / feature_files.sidecar(self.names[video]), record["notes"])
        return record

    def _check_notes(self, path, notes):
        found = differences(self.notes, notes)
        if found:
            more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise FeaturesError(
                f"{path} is of other settings: {'; '.join(found[:SHOWN])}{more}. Choose another output, give the "
                "same settings, or remove what is there."
            )

    def _failed(self):
        """{name: line} of failed.jsonl."""
        try:
            text = (self.folder / FAILED).read_text(encoding="utf-8")
            lines = [json.loads(line) for line in text.splitlines()]
            return {line["name"]: {**line, "reason": line["reason"]} for line in lines}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise FeaturesError(f"{self.folder / FAILED} is damaged. Remove it: the videos are tried again.") from error

    def _change_failed(self, video, line):
        """Puts a line in the place of a video's, or None to remove it."""
        with self._lock():
            failed = self._failed()
            before = dict(failed)
            failed.pop(self.names[video], None)
            failed |= {self.names[video]: line} if line else {}
            if failed and failed != before:
                lines = (json.dumps(failed[name]) + "\n" for name in sorted(failed))
                atomic.write_text(self.folder / FAILED, "".join(lines))
            elif before and not failed:
                (self.folder / FAILED).unlink(missing_ok=True)

    def _lock(self):
        return locks.hold(self.folder / LOCK, waiting=f"waiting for another process that writes to {self.folder}")


def _source(video):
    """What a video is known again by: {"name", "bytes"}; bytes None if it is not there."""
    try:
        size = os.path.getsize(video)
    except OSError:
        size = None
    return {"name": os.path.basename(video), "bytes": size}
