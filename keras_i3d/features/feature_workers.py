"""Features of many videos by Apache Beam: each worker has the networks in its own memory, and writes whole files."""

import contextlib
import dataclasses
import functools
import json
import os
import threading

from keras_i3d import pipelines
from keras_i3d.errors import FeaturesError, system_line
from keras_i3d.features import layouts
from keras_i3d.features.layouts import Layout
from keras_i3d.features.output_folder import OutputFolder
from keras_i3d.features.video_extractor import Extractor

DIRECT = "DirectRunner"
WORKERS = 2
GROUP = 16  # videos that a worker takes at once, over which its batches fill
SHARE = 4  # groups a worker that there are at least, so that all end at about the same time
KEPT = "What is complete is kept; the same command resumes from there"
_busy = threading.Lock()  # a runner may have several threads in a process, and the networks are there once


@dataclasses.dataclass(frozen=True)
class Work:
    """What workers have to know: where to write features of which videos, and what makes them.

    Attributes:
        folder: the output.
        videos: all of them, not those of one worker, because files are named with regard to all.
        layout: a Layout.
        settings: what else `Extractor` takes.
        earlier: notes of features that are there already, whose runtimes are taken if they can be.
    """

    folder: str
    videos: tuple
    layout: Layout
    settings: dict
    earlier: dict = dataclasses.field(default_factory=dict)

    def text(self):
        """Returns it as JSON."""
        settings = {n: os.fspath(v) if isinstance(v, os.PathLike) else v for n, v in self.settings.items()}
        return json.dumps([self.folder, self.videos, self.layout.record(), settings, self.earlier])


def check(runner, workers, beam_args, settings):
    """Raises ValueError or ImportError if features cannot be made by such workers; makes room for them on a GPU.

    Args:
        runner, workers, beam_args: as for `extract`.
        settings: what `Extractor` takes besides a layout.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers!r}")
    if workers is not None and runner not in (None, DIRECT):
        raise ValueError(
            f"workers are of {DIRECT}; {runner} takes its own flags. Received: workers={workers!r}, runner={runner!r}"
        )
    if beam_args and runner in (None, DIRECT):
        raise ValueError(f"beam_args are of another runner than {DIRECT}. Received: beam_args={beam_args!r}")
    for name, value in settings.items():
        if not isinstance(value, str | int | float | os.PathLike | None):
            raise ValueError(
                "What other processes are given must be a name, a path or a number: save a model to a file, and give "
                f"its path. Received: {name}={value!r:.60}"
            )
    pipelines.check_installed("Features by a runner")
    # TensorFlow takes all of a GPU's memory at its start: this process would, for the notes, and then each worker.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def run(work, videos, folder, bar, runner=None, workers=None, beam_args=()):
    """Writes the features of videos by workers.

    Args:
        work: a Work.
        videos: those to do.
        folder: its OutputFolder, for the bar.
        bar: a Bar.
        runner, workers, beam_args: as for `extract`.

    Raises:
        FeaturesError: with what the workers said last.
    """
    local = runner in (None, DIRECT)
    workers = workers or WORKERS
    size = max(min(GROUP, len(videos) // (SHARE * workers)), 1) if local else GROUP
    groups = [videos[at : at + size] for at in range(0, len(videos), size)]
    with counting(folder, videos, bar):
        try:
            if local:
                pipelines.local(write, groups, work.text(), workers)
            else:
                pipelines.remote(write, groups, work.text(), runner, beam_args)
        except pipelines.WorkersError as error:
            raise FeaturesError(f"The workers stopped: {error}. {KEPT}") from None


def write(videos, text):
    """Writes the features of a group of videos; what a worker calls."""
    try:
        with _busy:
            extractor, folder = _loaded(text)
            folder.write_all(extractor, videos)
    except OSError as error:  # of the output: what is wrong with a video is noted, and no error
        said = system_line(error)
        if said is None:
            raise
        raise FeaturesError(said) from error


@functools.lru_cache(1)
def _loaded(text):
    folder, videos, record, settings, earlier = json.loads(text)
    layout = layouts.parse(record)
    extractor = Extractor(layout, **settings)
    extractor.continue_with(earlier)
    return extractor, OutputFolder(folder, videos, layout)


@contextlib.contextmanager
def counting(folder, videos, bar):
    """Counts on a bar how many of some videos are done, by what the workers leave in the folder, whatever runs them."""
    stop, before, end = threading.Event(), folder.done(videos), bar.done + len(videos)
    every = 1 + len(videos) / 2000  # seconds: each time it looks for a file of each

    def poll():
        seen = before
        while not stop.wait(every):
            now = folder.done(videos)
            bar.update(max(now - seen, 0))
            seen = max(now, seen)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    bar.update(end - bar.done)  # those too that had failed before, which nothing in the folder tells
