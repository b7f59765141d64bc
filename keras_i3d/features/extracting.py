"""Features of many videos in one call: in memory, or in a folder that the same call completes."""

import contextlib
import dataclasses
import difflib
import inspect
import os
import time

from keras_i3d import paths
from keras_i3d.features import feature_files, feature_workers, layouts, video_extractor
from keras_i3d.features.layouts import Layout
from keras_i3d.features.output_folder import OutputFolder
from keras_i3d.features.presets import PRESETS
from keras_i3d.features.video_extractor import Extractor
from keras_i3d.progress import Bar
from keras_i3d.specs import BOTH

STREAM_ORDER = ("rgb", "flow")


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What became of the videos of one call.

    Attributes:
        output: the folder.
        videos: how many were asked for; of a shard, its own.
        written, skipped: how many were written, and how many were there before.
        failed: [(path, reason)] of those that could not be used; OUTPUT/failed.jsonl lists them too.
        gathered: whether the layout's one file of all videos is there.
        seconds: this call took.
    """

    output: str
    videos: int
    written: int
    skipped: int
    failed: list
    gathered: bool
    seconds: float

    def __str__(self):
        there = f", {self.skipped} were there" if self.skipped else ""
        failed = f", {len(self.failed)} failed ({os.path.join(self.output, 'failed.jsonl')})" if self.failed else ""
        return f"{self.output}: {self.written} of {self.videos} videos written{there}{failed}; {self.seconds:.1f} s"


def extract(
    videos,
    output=None,
    preset=None,
    shard=None,
    runner=None,
    workers=None,
    beam_args=(),
    progress=True,
    **settings,
):
    """Features of videos by one network, or by one of each stream.

    With `output` each video has files of its own there, written whole or not at all, and a JSON that says what made
    them, how many rows there are, and when each is. The same call again does what is missing, so it can be stopped at
    any point. A video that cannot be used is listed in OUTPUT/failed.jsonl, and tried again by the next call.

    Files have the name of their video: `a/clip.mp4` has `clip.npy` and `clip.json`. Where two videos in different
    folders have one name, those of all have the folders below the one that holds all videos: `a/clip.npy`.

    Args:
        videos: a path, or several; without `output` also the bytes of files, or binary file objects.
        output: a folder; None returns the features.
        preset: a name in PRESETS; what else is given replaces a part of it. None for `Layout()`.
        shard: "2/4" for the second of four calls that share the videos, on machines that see the same output: those at
            every fourth place in the sorted list of paths. None for all.
        runner: "DirectRunner" for processes of this machine, or another runner of Apache Beam, whose workers need this
            package, and see videos, weights and output under the same paths. None computes in this process, unless
            there are `workers`.
        workers: processes of "DirectRunner", each with the networks in its memory; None for 2.
        beam_args: flags of another runner, such as "--project=x".
        progress: whether to show how many videos are done, and the time left.
        settings: fields of `Layout`, and whatever else `Extractor` takes: `model`, `rgb`, `flow`, `both`, `precision`,
            `batch_size`, ...

    Returns:
        Without `output`, a list of VideoFeatures, one a video, in their order. With it, an Extraction.

    Raises:
        ValueError: a setting that is not known or out of its range, two videos of one name in one folder.
        FeaturesError: the output holds features of other settings or of other videos, or workers were lost.
        VideoError: without `output`, the first video that cannot be used.
        keras_i3d.WeightsError: weights that cannot be fetched, verified or matched.
        OSError: the output cannot be written.
        ImportError: a package is not installed; the message has the install line.
    """
    began = time.monotonic()
    layout, others = settings_of(preset, settings)
    videos = _listed(videos)
    chosen = of_shard(videos, shard)
    if output is None:
        if runner is not None or workers is not None:
            raise ValueError("runner and workers write files, so they need output. Received: output=None")
        return _in_memory(Extractor(layout, **others), chosen, progress)
    videos, chosen = ([os.fspath(paths.expand(video)) for video in each] for each in (videos, chosen))
    chosen = list(dict.fromkeys(chosen))
    folder = OutputFolder(os.fspath(paths.expand(output)), videos, layout)
    distributed = runner is not None or workers is not None
    if distributed:
        feature_workers.check(runner, workers, beam_args, others)
    extractor = Extractor(layout, **others)
    folder.begin(extractor.notes)
    pending = folder.pending(chosen)
    earlier = folder.earlier() if pending else {}
    with Bar("features", len(chosen), "videos", len(chosen) - len(pending), progress and bool(pending)) as bar:
        if not distributed:
            extractor.continue_with(earlier)
            folder.write_all(extractor, pending, bar.update)
        elif pending:
            del extractor
            work = feature_workers.Work(str(folder.folder), tuple(videos), layout, others, earlier)
            feature_workers.run(work, pending, folder, bar, runner, workers, beam_args)
    failed = folder.failed(pending)
    return Extraction(
        output=str(folder.folder),
        videos=len(chosen),
        written=len(pending) - len(failed),
        skipped=len(chosen) - len(pending),
        failed=failed,
        gathered=folder.gather(),
        seconds=time.monotonic() - began,
    )


def _in_memory(extractor, videos, progress):
    every = []
    bar = Bar("features", len(videos), "videos", shown=progress)
    with bar, contextlib.closing(extractor.many(videos)) as found:
        for _, features in bar.over(found):
            if isinstance(features, Exception):
                raise features
            every.append(features)
    return every


def _listed(videos):
    """A list of videos; one alone may come without."""
    single = isinstance(videos, str | os.PathLike | bytes | bytearray) or hasattr(videos, "seek")
    videos = [videos] if single else list(videos)
    if not videos:
        raise ValueError("extract takes at least one video. Received: none")
    return videos


def of_shard(videos, shard):
    """Returns the videos of a shard, "2/4": those at every fourth place of the sorted list, the second one first.

    Raises:
        ValueError: it is no such text, or of more shards than there are.
    """
    if shard is None:
        return videos
    number, slash, count = str(shard).partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(
            f'shard must be i/n with i from 1 to n, such as "1/4" to "4/4" of four. Received: shard={shard!r}'
        )
    return sorted(dict.fromkeys(map(os.fspath, videos)))[int(number) - 1 :: int(count)]


def settings_of(preset, settings):
    """Returns (Layout, what else `Extractor` takes) of a preset's name and settings that replace parts of it.

    Some follow others unless they are given: a `step` that was the window is the new window; a `name` that does not
    tell files apart is `feature_files.default_name`; the streams, without a preset, are those whose weights are given,
    or those that weights of `model` are published for; and the network of a preset is that of the weights, if these are
    files.

    Raises:
        ValueError: a preset or setting that is not known, or out of its range.
    """
    of_layout = {field.name for field in dataclasses.fields(Layout)}
    of_extractor = set(inspect.signature(Extractor).parameters) - {"layout"}
    for name in settings:
        _check_known("Settings", name, of_layout | of_extractor)
    given = {name: _of_layout(name, value, settings) for name, value in settings.items() if name in of_layout}
    others = {name: value for name, value in settings.items() if name in of_extractor}
    weights = tuple(stream for stream in (*STREAM_ORDER, BOTH) if others.get(stream) is not None)
    if preset is None and "streams" not in given:
        weights = weights or (others.get("model") and video_extractor.published_streams(others["model"]))
        given |= {"streams": weights} if weights else {}
    base = {}
    if preset is not None:
        _check_known("Presets", preset, PRESETS)
        base = {name: getattr(PRESETS[preset].layout, name) for name in of_layout}
        if not all(_is_there(others.get(stream)) for stream in {**base, **given}["streams"]):
            others = {"model": PRESETS[preset].model, **others}
        if "window" in given and base["step"] in (None, base["window"]) or given.get("window") == layouts.ALL:
            base["step"] = None
    changed = {**base, **given}
    if "name" not in given:
        files, streams = (changed.get(name, getattr(Layout(), name)) for name in ("files", "streams"))
        if not base or not layouts.tells_apart(base["name"], files, streams):
            changed["name"] = feature_files.default_name(files, streams) if files in layouts.FILES else "{stem}"
    return Layout(**changed), others


def _is_there(weights):
    """Whether weights are a file, a folder or a model, of whatever network, and not a name of one network's."""
    if weights is None or isinstance(weights, str | os.PathLike):
        path = os.fspath(paths.expand(weights or ""))
        return os.path.exists(path) or os.path.isfile(f"{path}.index")
    return True


def _of_layout(name, value, settings):
    """A value as `Layout` takes it: "both" for the two streams, a word for a tuple of it, and lists for tuples."""
    if name == "streams" and value == BOTH and settings.get(BOTH) is None:
        return STREAM_ORDER
    if name in ("streams", "crops", "beside") and isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _check_known(what, name, known):
    if name not in known:
        close = difflib.get_close_matches(str(name), known, 1)
        hint = f". Did you mean {close[0]}?" if close else ""
        raise ValueError(f"{what} are {', '.join(sorted(known))}. Received: {name!r}{hint}")
