"""The videos of a side to rows of logits: which clips are taken, decoding ahead, batches filled across videos."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools

import numpy as np

from keras_i3d.errors import EvaluationError, VideoError, notice
from keras_i3d.flow import pairs
from keras_i3d.frechet import fvd_protocols
from keras_i3d.frechet.fvd_protocols import Protocol
from keras_i3d.frechet.gaussians import Gaussian

WORKERS = min(4, pairs.cores())  # threads that decode and resize
BLOCK = 64  # rows that wait for each other, a multiple of any protocol's
NAMED = 5  # videos that lines name of those that are left out


@dataclasses.dataclass(frozen=True)
class View:
    """What is made of each clip: a protocol, of the clip as it is or of a variant of it."""

    protocol: Protocol
    variant: str = ""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Which clips are taken.

    Attributes:
        frames: of a clip.
        stride: distance from a frame of a clip to the next one, in frames.
        videos: clips of a side at most; None for as many as there are videos.
        seed: of all that is drawn.
        resolution: pixels that cd-fvd's loader of folders scales to; None for its default of folders, none of arrays.
    """

    frames: int
    stride: int
    videos: int | None
    seed: int
    resolution: int | None

    @property
    def span(self):
        """Frames that a video needs."""
        return self.frames * self.stride


class Seen:
    """What was seen of a side while its videos were read.

    Attributes:
        used: videos that a clip was taken of.
        fps, sizes, encodings: Counter of what they have: frames per second, "WIDTHxHEIGHT", and codecs.
        lossy: the encodings that lose something of the frames.
        files: what the videos lie in, as `Protocol.first_step` takes it.
        shortest, longest: frames of the videos, as far as known; None if no one says.
        short: names of videos of fewer frames than a clip needs, which are left out.
        failed: {name: why} of videos that cannot be read, which are left out.
        damaged: {name: what is wrong} of videos that were read in part or with errors, and used.
        refilled: clips that were taken of videos that had given one.
    """

    def __init__(self):
        self.used = self.refilled = 0
        self.fps, self.sizes, self.encodings = (collections.Counter() for _ in range(3))
        self.lossy, self.files = set(), None
        self.shortest = self.longest = None
        self.short, self.failed, self.damaged = [], {}, {}

    def add(self, found):
        """Counts a video that a clip was taken of."""
        self.used += 1
        self.files = found.files
        self.sizes["{1}x{0}".format(*found.size)] += 1
        self.encodings[found.origin.encoding] += 1
        if found.origin.lossy:
            self.lossy.add(found.origin.encoding)
        if found.origin.fps is not None:
            self.fps[round(found.origin.fps, 3)] += 1
        if found.total is not None:
            self.shortest = found.total if self.shortest is None else min(self.shortest, found.total)
            self.longest = found.total if self.longest is None else max(self.longest, found.total)
        if found.damage:
            self.damaged[found.name] = found.damage

    def say(self, whose, span):
        """Prints a line for each kind of what was left out, or read with errors."""
        for what, names in (
            (f"videos have fewer than the {span} frames of a clip, and are left out", self.short),
            ("videos cannot be read, and are left out", [f"{name}: {why}" for name, why in self.failed.items()]),
            ("videos are damaged; what can be read of them is used", [*map(": ".join, self.damaged.items())]),
        ):
            if names:
                more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
                notice(f"{whose}: {len(names)} {what} ({'; '.join(names[:NAMED])}{more})")


class Rows:
    """The rows of one view: their Gaussian, and they themselves if asked for.

    Args:
        size: logits of a row.
        multiple: rows are taken in groups of so many; what is left at the end is not counted.
        keep: whether `kept` holds them, 4 bytes a number.
    """

    def __init__(self, size, multiple=1, keep=False):
        self.gaussian = Gaussian(size)
        self.multiple, self.left_out = multiple, 0
        self._waiting, self._kept = [], [] if keep else None

    @property
    def kept(self):
        """float32 (N, size), or None."""
        return (
            None if self._kept is None else np.concatenate([np.zeros((0, self.gaussian.size), "float32"), *self._kept])
        )

    def add(self, row):
        self._waiting.append(row)
        if len(self._waiting) == BLOCK:
            self._take(BLOCK)

    def close(self):
        """Counts the rows that still wait, up to the multiple."""
        self.left_out = len(self._waiting) % self.multiple
        self._take(len(self._waiting) - self.left_out)
        self._waiting = []

    def _take(self, count):
        if count:
            block = np.stack(self._waiting[:count])
            self.gaussian.update(block)
            if self._kept is not None:
                self._kept.append(block)
            self._waiting = self._waiting[count:]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The clips of one video, ready for the network; no clips if it is too short, or `failed`.

    Attributes:
        clips: list of (float32 (frames, 224, 224, 3) in [0, 255], the views that it is of).
    """

    name: str
    origin: object = None
    size: tuple = ()
    total: int | None = None
    damage: str = ""
    failed: str = ""
    clips: tuple = ()
    files: str | None = None


def prepare(video, index, views, of_real, sampling, turn=0):
    """Takes the clips of one video, each different one once.

    Args:
        video: of a `video_sets.VideoSet`.
        index: of the video, which the draw of the clip depends on: two sides of the same videos give the same clips.
        views: the Views.
        of_real: whether the side is the real one.
        sampling: Sampling.
        turn: how many clips were drawn of this video before.

    Returns:
        Prepared.
    """
    try:
        return _prepared(video, index, views, of_real, sampling, turn)
    except VideoError as error:
        reason = error.reason if error.path == video.name else str(error)
        return Prepared(video.name, failed=reason)


def _prepared(video, index, views, of_real, sampling, turn):
    origin = video.origin()
    protocols = list(dict.fromkeys(view.protocol for view in views))
    drawn = any(protocol.starts[0 if of_real else 1] == "random" for protocol in protocols)
    total = video.count() if drawn or video.files != "video" else None
    if total is not None and total < sampling.span:
        return Prepared(video.name, origin)
    starts = {}
    for protocol in protocols:
        places = protocol.spread(of_real, total, sampling.span, sampling.stride)
        starts[protocol] = int(np.random.default_rng((sampling.seed, turn, index)).integers(places))
    reach = (sampling.frames - 1) * sampling.stride + 1
    # A video whose frames are not counted shows only there that it is long enough.
    stop = max(max(starts.values()) + reach, sampling.span)
    taken, whose, come = {}, {}, 0
    for come, frame in enumerate(video.frames(stop), 1):
        if come == 1:
            size = frame.shape[:2]
            whose = _shared(views, starts, size, video.files, sampling)
            taken = {(start, recipe): [] for start, recipe, _ in whose}
        at, made = come - 1, {}
        for (start, recipe), frames in taken.items():
            if start <= at < start + reach and not (at - start) % sampling.stride:
                if recipe not in made:
                    made[recipe] = fvd_protocols.prepared(frame[None], recipe)[0]
                frames.append(made[recipe])
    if come < stop:
        if total is None:
            return Prepared(video.name, origin)
        raise VideoError(video.name, f"it gave {come} frames of the {total} that were counted")
    draw = np.random.default_rng((sampling.seed, turn, index, 1))
    order = {"": slice(None), "frozen": [0] * sampling.frames, "shuffled": draw.permutation(sampling.frames)}
    stacked = {key: np.stack(frames) for key, frames in taken.items()}
    clips = tuple((stacked[start, recipe][order[variant]], of) for (start, recipe, variant), of in whose.items())
    count = origin.frames if total is None else total
    return Prepared(video.name, origin, size, count, video.damage(), "", clips, video.files)


def _shared(views, starts, size, files, sampling):
    """Returns {(start, recipe, variant): the views whose clips of a video are the same}."""
    whose = {}
    for view in views:
        recipe = view.protocol.recipe(*size, view.protocol.first_step(files, sampling.resolution))
        whose.setdefault((starts[view.protocol], recipe, view.variant), []).append(view)
    return whose


def collect(videos, views, of_real, sampling, network, batch_size, keep=False, bar=None):
    """Gives the rows of a side for each view.

    Args:
        videos: VideoSet.
        views: the Views, whose variants have each their own rows.
        of_real: whether it is the real side.
        sampling: Sampling.
        network: float32 (B, frames, 224, 224, 3) in [0, 255] to float32 (B, size); with `size`.
        batch_size: clips that go through the network at once.
        keep: whether the rows of clips as they are are kept, of no variant.
        bar: progress.Bar to count clips in, or None.

    Returns:
        {View: (Rows, Seen)}.

    Raises:
        EvaluationError: no video gives a clip.
    """
    whose = f"{'real' if of_real else 'generated'} videos, {videos.name}"
    found = {}
    wanted = sampling.videos if videos.count is None else min(videos.count, sampling.videos or videos.count)
    groups = _groups(videos, views, sampling)
    if bar and wanted:
        bar.expect(wanted * len(groups))
    for group in groups:
        run = _Run(group, of_real, sampling, network, batch_size, keep)
        run.take(_ordered(videos, group[0].protocol, sampling), sampling.videos, run.seen, bar)
        run.seen.say(whose, sampling.span)
        if not run.seen.used:
            raise EvaluationError(
                f"{whose}: a clip needs {sampling.span} frames of a video that can be read. Received: "
                f"{len(run.seen.short)} videos that are shorter, {len(run.seen.failed)} that cannot be read."
            )
        if not of_real:
            _refill(videos, run, whose, bar)
        for rows in run.rows.values():
            rows.close()
        found |= {view: (run.rows[view], run.seen) for view in group}
    return found


def _groups(videos, views, sampling):
    """Views that take the same videos, and so read them together."""
    if videos.count is None or sampling.videos is None or videos.count <= sampling.videos:
        return [views]
    orders = dict.fromkeys(view.protocol.order for view in views)
    return [[view for view in views if view.protocol.order == order] for order in orders]


def _ordered(videos, protocol, sampling):
    """Pairs of (index, video), in the order in which a protocol takes them."""
    if videos.count is None:
        return enumerate(videos.stream())
    indices = range(videos.count)
    if protocol.order == "drawn" and sampling.videos is not None and videos.count > sampling.videos:
        indices = np.random.default_rng(sampling.seed).permutation(videos.count).tolist()
    return ((index, videos.at(index)) for index in indices)


def _refill(videos, run, whose, bar):
    """Draws further clips of the same videos where a protocol's code does."""
    sampling = run.sampling
    views = [view for view in run.rows if view.protocol.refills]
    missing = (sampling.videos or 0) - run.seen.used
    if not views or missing <= 0 or not videos.from_path:
        return
    notice(
        f"{whose}: {run.seen.used} give {sampling.videos} clips, because {views[0].protocol.name} takes further clips "
        f"of the same videos; videos={run.seen.used} takes one of each"
    )
    refill = _Run(views, False, sampling, run.network, run.batch_size, False)
    refill.rows = {view: run.rows[view] for view in views}
    if bar:
        bar.expect(sampling.videos)
    for turn in itertools.count(1):
        if run.seen.refilled == missing:
            return
        taken = refill.take(
            _ordered(videos, views[0].protocol, sampling), missing - run.seen.refilled, Seen(), bar, turn
        )
        run.seen.refilled += taken
        if not taken:
            return


class _Run:
    """Views that take the same videos, on their way through the network."""

    def __init__(self, views, of_real, sampling, network, batch_size, keep):
        self.views, self.of_real, self.sampling = views, of_real, sampling
        self.network, self.batch_size = network, batch_size
        self.seen = Seen()
        self.rows = {view: Rows(network.size, view.protocol.multiple, keep and not view.variant) for view in views}
        self._clips, self._whose = [], []

    def take(self, ordered, wanted, seen, bar, turn=0):
        """Takes a clip of each video until there are as many as wanted; returns how many there are."""
        taken = 0
        depth = max(2 * WORKERS, self.batch_size)  # so that a batch is ready when the one before is done
        with contextlib.closing(_ahead(ordered, self._prepare, turn, depth)) as prepared:
            for found in prepared:
                if found.clips:
                    seen.add(found)
                    self._feed(found.clips)
                    taken += 1
                    if bar:
                        bar.update()
                elif found.failed:
                    seen.failed[found.name] = found.failed
                else:
                    seen.short.append(found.name)
                if taken == wanted:
                    break
        self._flush()
        return taken

    def _prepare(self, video, index, turn):
        return prepare(video, index, self.views, self.of_real, self.sampling, turn)

    def _feed(self, clips):
        for clip, views in clips:
            self._clips.append(clip)
            self._whose.append(views)
            if len(self._clips) == self.batch_size:
                self._flush()

    def _flush(self):
        if not self._clips:
            return
        for row, views in zip(self.network(np.stack(self._clips)), self._whose, strict=True):
            for view in views:
                self.rows[view].add(row)
        self._clips, self._whose = [], []


def _ahead(ordered, work, turn, depth):
    """Yields `work` of each (index, video) in order, while as many as `depth` next ones are worked on in threads."""
    ordered = iter(ordered)
    pool = concurrent.futures.ThreadPoolExecutor(WORKERS, "keras_i3d-videos")
    pending = collections.deque()
    try:
        while True:
            for index, video in itertools.islice(ordered, depth - len(pending)):
                pending.append(pool.submit(work, video, index, turn))
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
