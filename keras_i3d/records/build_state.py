"""What a build of records has to do and what is done, in files, so that it can be stopped at any point.

While a split is built its state lies in OUTPUT/.SPLIT-build:

  plan.jsonl   the settings and their digest, then a line of videos for each shard
  NNNNN.json   a complete shard: ids, classes, bytes, failed and damaged videos
  NNNNN.videos a byte for each video that is done of a shard that is being written, for the bar
  .*           temporary files, of atomic.py
  lock         held by the build that runs

A split that is complete has OUTPUT/SPLIT.json, written last, and that folder is gone.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import threading

import tensorflow as tf

from keras_i3d import atomic, locks
from keras_i3d.errors import BuildError, notice, one_line
from keras_i3d.progress import Bar
from keras_i3d.records import manifest
from keras_i3d.specs import RecordSpec
from keras_i3d.version import __version__

VIDEOS_A_SHARD = 64
SPREAD = 8  # shards of a small data set, for its workers to share


def default_shards(videos):
    """Returns how many shards hold about 64 videos each; at least 8, or one a video if there are fewer."""
    return max(-(-videos // VIDEOS_A_SHARD), min(videos, SPREAD))


def plan(listing, shards=None):
    """Returns a tuple of tuples of Examples: each shard's, in order.

    The order is that of a hash of the ids: mixed, and the same on every machine.
    """
    shards = default_shards(len(listing.examples)) if shards is None else shards
    if not 1 <= shards <= 99_999:
        raise ValueError(f"shards must be in 1..99999. Received: shards={shards!r}")
    if not listing.examples:
        raise ValueError(f"There is no video to build from. Received: {listing.name}, split {listing.split!r}")
    if len({example.id for example in listing.examples}) < len(listing.examples):
        raise ValueError("The ids of a data set's videos must be unique. Received: one that is there twice")
    mixed = sorted(listing.examples, key=lambda example: hashlib.sha256(_bytes(example.id)).digest())
    return tuple(tuple(mixed[number::shards]) for number in range(shards))


def manifests(output):
    """Returns the Manifests of a folder of records, by split."""
    if not tf.io.gfile.isdir(output):
        return []
    return [
        manifest.read(os.path.join(output, name)) for name in sorted(tf.io.gfile.listdir(output)) if is_manifest(name)
    ]


def is_manifest(name):
    """Whether a file of an output folder is named as a manifest is."""
    return name.endswith(".json") and not name.startswith(".")


class Work:
    """The state of a split's build, all of it in files."""

    def __init__(self, listing, output, spec, shards, max_seconds):
        self.listing, self.output, self.spec, self.shards = listing, output, spec, shards
        self.folder = os.path.join(output, f".{listing.split}-build")
        lines = [
            _line({"shard": number, "videos": [dataclasses.asdict(video) for video in videos]})
            for number, videos in enumerate(shards)
        ]
        self.head = {
            "version": __version__,
            "source": listing.name,
            "split": listing.split,
            "labels": listing.labels,
            "labelling": listing.labelling,
            "copied": listing.spec is not None,
            "spec": dataclasses.asdict(spec),
            "max_seconds": max_seconds,
            "shards": len(shards),
            "videos": len(listing.examples),
            "missing": [dataclasses.asdict(video) for video in listing.missing],
        }
        # Of what the records depend on: a data set may be moved between two calls.
        names = [[os.path.basename(video.path) for video in videos] for videos in shards]
        facts = [[dataclasses.replace(video, path=name) for video, name in zip(*pair)] for pair in zip(shards, names)]
        content = [self.head, *([dataclasses.asdict(video) for video in videos] for videos in facts)]
        self.head["digest"] = hashlib.sha256(b"".join(map(_line, content))).hexdigest()
        head = _line(self.head)
        self.plan = head + b"".join(lines)
        self.offsets, at = [], len(head)
        for line in lines:
            self.offsets.append(at)
            at += len(line)

    def complete(self):
        """Returns the split's Manifest if it is there already; refuses an output that holds something else."""
        own = None
        for other in manifests(self.output):
            path = os.path.join(self.output, f"{other.split}.json")
            manifest.check_same("The specs", self.spec, other.spec, "this build", path)
            if other.labels and self.listing.labels and other.labels != self.listing.labels:
                a, b = self.listing.labels, other.labels
                at = next((i for i, pair in enumerate(zip(a, b)) if pair[0] != pair[1]), min(len(a), len(b)))
                raise ValueError(
                    f"The labels of this build and {path} must agree. Received: {len(a)} and {len(b)} labels; "
                    f"label {at}: {a[at : at + 1]} and {b[at : at + 1]}. Choose another output"
                )
            if other.labelling != self.listing.labelling:
                raise ValueError(
                    f"The records of one folder are labelled alike. Received: {self.listing.labelling}, and "
                    f"{other.labelling} in {path}. Choose another output, or pass labelling={other.labelling}"
                )
            own = other if other.split == self.listing.split else own
        if own is not None and own.plan != self.head["digest"]:
            raise ValueError(
                f"{self.output} holds {own.split} complete, of another plan: {own.records + len(own.failed)} videos "
                f"of {own.source} in {len(own.shards)} shards, by version {own.version}. Received: "
                f"{self._facts(self.head)}. Choose another output, or remove {own.split}.json and its shards"
            )
        return own

    @contextlib.contextmanager
    def begun(self):
        """Holds the split for this build, and gives the numbers of the shards that are not there yet."""
        with self._lock():
            pending = []
            try:
                if self.complete() is None:  # another build may just have ended
                    self._plan()
                    for name in tf.io.gfile.listdir(self.folder):
                        if atomic.is_temporary(name):
                            tf.io.gfile.remove(os.path.join(self.folder, name))
                    pending = [number for number in range(len(self.shards)) if not self._is_there(number)]
                yield pending
            except BaseException:
                planned = tf.io.gfile.exists(os.path.join(self.folder, "plan.jsonl"))
                if not planned or not (self._resumed or self._done() or self._shards()):
                    self.remove()  # nothing is there: leave nothing
                raise

    @contextlib.contextmanager
    def _lock(self):
        self._resumed = False
        tf.io.gfile.makedirs(self.folder)
        if "://" in self.output:
            yield
            return
        busy = BuildError(
            f"Another build of {self.listing.split} into {self.output} is running. Wait for it, or stop it"
        )
        with locks.hold(os.path.join(self.folder, "lock"), busy):
            yield

    def _plan(self):
        """Writes the plan; one that is there must be the same, but for the folder of the videos."""
        path = os.path.join(self.folder, "plan.jsonl")
        if tf.io.gfile.exists(path):
            self._resumed = True
            head = self._begun(path)
            if head["digest"] != self.head["digest"]:
                remedy = f"Give the same settings to resume, or remove {self.folder} and the shards to start anew"
                begun = RecordSpec(**head["spec"])
                manifest.check_same(
                    "The specs", begun, self.spec, f"the build in {self.folder}", f"this one ({remedy})"
                )
                raise ValueError(
                    f"{self.folder} is of another plan: {self._facts(head)}. "
                    f"Received: {self._facts(self.head)}. {remedy}"
                )
        elif shards := self._shards():
            raise ValueError(f"{self.output} holds {shards[0]}, of no known build. Remove it, or choose another output")
        manifest.write_bytes(path, self.plan)

    def _begun(self, path):
        """Returns the first line of a plan that is there: what the build before was of."""
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                head = json.loads(file.readline())
            self._facts(head), RecordSpec(**head["spec"])
            return head
        except (OSError, tf.errors.OpError):
            raise
        except Exception as error:  # of damaged text, or of values of other kinds: any of a dozen of types
            raise ValueError(
                f"{path} cannot be read ({one_line(error)}), so what is there already may be of another plan. "
                f"Remove {self.folder} and the shards of {self.listing.split} to start anew"
            ) from error

    @staticmethod
    def _facts(head):
        return (
            f"{head['videos']} videos of {head['source']} in {head['shards']} shards, {len(head['labels'])} labels, "
            f"{len(head['missing'])} missing, max_seconds {head.get('max_seconds')}, version {head['version']}, "
            f"digest {head['digest'][:12]}"
        )

    def _done(self):
        """The numbers of the shards whose NNNNN.json is there."""
        names = tf.io.gfile.listdir(self.folder) if tf.io.gfile.isdir(self.folder) else []
        return sorted(int(name[:5]) for name in names if re.fullmatch(r"\d{5}\.json", name))

    def _shards(self):
        """The names of the split's shards in the output."""
        return [n for n in sorted(tf.io.gfile.listdir(self.output)) if manifest.split_of(n) == self.listing.split]

    def _is_there(self, number):
        if not tf.io.gfile.exists(sidecar(self.folder, number)):
            return False
        try:
            done = self._read(number)
        except ValueError as error:
            notice(f"{error}; the shard is built again")
            return False
        path = os.path.join(self.output, done["name"])
        return tf.io.gfile.exists(path) and tf.io.gfile.stat(path).length == done["bytes"]

    def _read(self, number):
        path = sidecar(self.folder, number)
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                done = json.loads(file.read())
            manifest.shard(done["name"], done["ids"], done["bytes"], done["classes"])
            if done["name"] != manifest.shard_name(self.listing.split, number, len(self.shards)):
                raise ValueError(f"it is of {done['name']}")
            for name in ("failed", "damaged"):
                manifest.videos(done[name], name)
            return done
        except (OSError, tf.errors.OpError):
            raise
        except Exception as error:  # of damaged text, or of values of other kinds: any of a dozen of types
            raise ValueError(f"{path} cannot be read ({one_line(error)})") from error

    @contextlib.contextmanager
    def progress(self, shown, every=1.0):
        """Shows how many videos are done, by what the workers leave in the folder, whatever runs them."""
        stop = threading.Event()
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.folder):
                if name.endswith(VIDEOS):  # of a build that was stopped: its shard begins anew
                    os.remove(os.path.join(self.folder, name))
        begun = self._videos_done(self._done())
        bar = Bar(f"records {self.listing.split}", len(self.listing.examples), "videos", begun, shown, stays=True)

        def poll():
            last = False
            while not last:
                last = stop.wait(every)
                done = self._done()
                bar.note(f"{len(done)} of {len(self.shards)} shards")
                bar.update(max(self._videos_done(done) - bar.done, 0))

        thread = threading.Thread(target=poll, daemon=True)
        with bar:
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()

    def _videos_done(self, complete):
        """How many videos are in complete shards, or in those being written where the folder is local."""
        count = sum(len(self.shards[number]) for number in complete)
        for number in set(range(len(self.shards))) - set(complete):
            with contextlib.suppress(OSError):
                count += min(os.path.getsize(videos_file(self.folder, number)), len(self.shards[number]))
        return count

    def merge(self):
        """Puts labels.txt, failed.jsonl and, last, SPLIT.json in place; returns the Manifest."""
        done = self.complete()
        if done:
            return done
        parts = [self._read(number) for number in range(len(self.shards))]
        built = manifest.Manifest(
            split=self.listing.split,
            labels=self.listing.labels,
            spec=self.spec,
            shards=tuple(manifest.shard(*map(part.get, ("name", "ids", "bytes", "classes"))) for part in parts),
            failed=tuple(video for part in parts for video in part["failed"]),
            missing=tuple(self.head["missing"]),
            source=self.listing.name,
            damaged=tuple(video for part in parts for video in part["damaged"]),
            plan=self.head["digest"],
            labelling=self.listing.labelling,
        )
        others = [other for other in manifests(self.output) if other.split != built.split]
        failed = [{"split": one.split, **video} for one in (*others, built) for video in one.failed]
        self._place("failed.jsonl", b"".join(map(_line, failed)))
        if built.labels:
            self._place("labels.txt", "".join(f"{label}\n" for label in built.labels).encode())
        built.write(self.output, self.folder)
        self.remove()
        return built

    def _place(self, name, content):
        manifest.write_bytes(os.path.join(self.output, name), content, self.folder)

    def remove(self):
        """Removes the work folder, if it is there."""
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.rmtree(self.folder)


def _line(content):
    return _bytes(json.dumps(content, ensure_ascii=False)) + b"\n"


def _bytes(text):
    """UTF-8, and what Python's json reads back if a file's name is not: a worker reports it."""
    return text.encode("utf-8", "surrogatepass")


VIDEOS = ".videos"


def videos_file(folder, number):
    """Returns the path of a file with a byte for each video that is done of a shard that is being written."""
    return os.path.join(folder, f"{number:05}{VIDEOS}")


def counted(folder, number, videos):
    """Passes on the videos of a shard. In a local folder `videos_file` says how many are done, for the bar."""
    if "://" in folder:  # object stores have no files that grow
        yield from videos
        return
    with open(videos_file(folder, number), "wb", buffering=0) as file:
        for video in videos:
            yield video
            file.write(b".")


def sidecar(folder, number):
    """Returns the path of what is known of a complete shard."""
    return os.path.join(folder, f"{number:05}.json")
