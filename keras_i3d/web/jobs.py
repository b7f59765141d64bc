"""Videos that were sent to the page: one piece of work runs at a time, the others wait; nothing is kept for long."""

import contextlib
import dataclasses
import pathlib
import secrets
import shutil
import sys
import threading
import time

from keras_i3d import errors, progress
from keras_i3d.errors import check_rules
from keras_i3d.plurals import counted

FRESH = 90.0  # seconds after its page last asked, after which a video makes room for another one
SILENT = 10.0  # seconds without a byte of a video that is being sent, after which it makes room too
FAILED = 64  # videos that failed and of which the line is kept, at most: no page asks so late
EVERY = 2.0  # seconds between two looks at what nobody asks for any more

# What lies in the folder of a video, next to it. FILES: what can be downloaded, {name: media type}.
FILES = {
    "labels.json": "application/json",
    "segments.json": "application/json",
    "segments.csv": "text/csv",
    "segments.srt": "application/x-subrip",
    "segments.vtt": "text/vtt",
}
FILM = "film.mp4"
EVIDENCE = "evidence.mp4"


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a page takes.

    Attributes:
        megabytes: of a video's file, in 10^6 bytes.
        seconds: that a video may last.
        videos: that are here at the same time, with what was made of them.
        minutes: after which a video is deleted that no open page asks for.
    """

    megabytes: float = 200.0
    seconds: float = 600.0
    videos: int = 8
    minutes: float = 10.0

    def __post_init__(self):
        rules = (
            ("megabytes", self.megabytes > 0, "above 0"),
            ("seconds", self.seconds > 0, "above 0"),
            ("videos", self.videos >= 1, "at least 1"),
            ("minutes", self.minutes > 0, "above 0"),
        )
        check_rules(self, rules)

    @property
    def bytes(self):
        return int(1e6 * self.megabytes)


class FullError(Exception):
    """There is no room for one more video."""


class StoppedError(Exception):
    """Nobody waits for this work any more."""


class Task:
    """A piece of work for one video.

    Attributes:
        key: what its job calls it.
        state: "waiting", "working", "done" or "failed".
        share: how much of it is done, in [0, 1]; None if that is not known.
        error: one line on why it failed; None if it did not.
        data: what it returned, once it is done.
    """

    def __init__(self, job, key, do):
        self.job, self.key, self.do = job, key, do
        self.state, self.share, self.error, self.data = "waiting", None, None, None


class Job:
    """One video that was sent.

    Attributes:
        id: what its page asks by, which nobody guesses.
        name: of the file, as its user called it.
        folder: a pathlib.Path of its own, deleted with the job.
        path: of the video, in that folder.
        tasks: {key: Task}, in the order in which they were asked for.
        lines: notices about this video, with its path.
        timeline: the Timeline of it, once it is found.
        gone: whether it was deleted.
        failed: whether there is nothing to show of it, because its first task failed: its line alone is left.
    """

    def __init__(self, folder, name, ending):
        self.id, self.name = secrets.token_urlsafe(16), name
        self.folder = pathlib.Path(folder) / self.id
        self.path = self.folder / f"video{ending}"
        self.tasks, self.lines, self.timeline = {}, [], None
        self.gone = self.failed = False
        self.asked = time.monotonic()

    @property
    def overdue(self):
        """Seconds for which nobody has waited for it any more; below 0 while somebody may."""
        return time.monotonic() - self.asked - (FRESH if self.tasks else SILENT)


class Jobs:
    """All videos that are here, and the one thread that works on them, in the order in which work was asked for.

    A video whose first task fails takes no place: its files are deleted at once, and its line stays until it is deleted
    or nobody asks for it any more.

    Args:
        folder: a folder, in which each video has one of its own.
        limits: Limits.
        explained: takes (job, exception) and returns one line for the user of the page.
    """

    def __init__(self, folder, limits, explained):
        self.folder, self.limits, self.explained = pathlib.Path(folder), limits, explained
        self._jobs, self._queue, self._working = {}, [], None
        self._change = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._work, self._watch)]
        for thread in self._threads:
            thread.start()

    def __len__(self):
        return len(self._jobs)

    def new(self, name, ending=""):
        """Returns a Job, whose file is still to be written. One that no open page asks for makes room.

        Raises:
            FullError: there are as many as there may be, and each has its page.
        """
        with self._change:
            here = [job for job in self._jobs.values() if not job.failed]
            if len(here) >= self.limits.videos:
                idle = max(here, key=lambda job: job.overdue)
                if idle.overdue < 0:
                    raise FullError(
                        f"{counted(len(here), 'video is', 'videos are')} here already, which is all that this server "
                        "takes at a time. Try again in a few minutes."
                    )
                self._remove(idle)
            job = Job(self.folder, name, ending)
            job.folder.mkdir()
            self._jobs[job.id] = job
            return job

    def find(self, identifier):
        """Returns a Job, which is asked for with that; None if there is none."""
        with self._change:
            job = self._jobs.get(identifier)
            if job is not None:
                job.asked = time.monotonic()
            return job

    def touch(self, job):
        """Says that somebody still waits for a job, as while its file comes."""
        job.asked = time.monotonic()

    def add(self, job, key, do):
        """Adds work for a video after all that waits, in the place of what the job has under that key.

        Args:
            job: a Job.
            key: what the work is called.
            do: a function without arguments, whose result is the task's data.

        Returns:
            A Task.
        """
        with self._change:
            task = Task(job, key, do)
            if not job.gone:
                job.tasks[key] = task
                self._queue.append(task)
                self._change.notify_all()
            return task

    def place(self, task):
        """Returns how many others come before a task that waits, the one that is worked on included."""
        with self._change:
            return self._queue.index(task) + (self._working is not None) if task in self._queue else 0

    def remove(self, identifier):
        """Deletes a video and all that was made of it; work on it stops. Returns whether it was here."""
        with self._change:
            job = self._jobs.get(identifier)
            if job is None:
                return False
            self._remove(job)
            return True

    def close(self):
        """Deletes everything and ends the threads, the one at work at its next sign of progress."""
        with self._change:
            self._closed = True
            for job in list(self._jobs.values()):
                self._remove(job)
            self._change.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _remove(self, job):
        job.gone = True
        del self._jobs[job.id]
        self._queue = [task for task in self._queue if task.job is not job]
        if self._working is None or self._working.job is not job:  # else the thread at work does it
            shutil.rmtree(job.folder, ignore_errors=True)

    def _fail(self, job):
        """Leaves the line of a video alone, of which there is nothing to show; the oldest of many are deleted."""
        job.failed = True
        self._queue = [task for task in self._queue if task.job is not job]
        failed = [each for each in self._jobs.values() if each.failed]
        for each in failed[:-FAILED]:
            self._remove(each)

    def _watch(self):
        while True:
            with self._change:
                if self._change.wait_for(lambda: self._closed, EVERY):
                    return
                now = time.monotonic()
                for job in list(self._jobs.values()):
                    if now - job.asked > 60 * self.limits.minutes:
                        self._remove(job)

    def _work(self):
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._queue)
                if self._closed:
                    return
                task = self._working = self._queue.pop(0)
                task.state = "working"
            self._do(task)
            with self._change:
                self._working = None
                job = task.job
                if task.state == "failed" and not job.gone and task is next(iter(job.tasks.values())):
                    self._fail(job)
                if job.gone or job.failed:
                    shutil.rmtree(job.folder, ignore_errors=True)

    def _do(self, task):
        """Does one piece of work, whose end nothing that it raises can be."""
        job = task.job

        def listen(bar):
            if job.gone or self._closed:
                raise StoppedError
            task.share = min(bar.done / bar.total, 1.0) if bar.total else None

        def write(line):
            if str(job.path) in line:
                job.lines.append(line.removeprefix("keras_i3d: "))
            else:  # as of the choice of a runtime, which is for whoever runs the server
                print(line, file=sys.stderr, flush=True)

        try:
            with progress.told_to(listen), errors.written_by(write):
                task.data = task.do()
            task.state = "done"
        except StoppedError:
            task.state, task.error = "failed", "stopped"
        except Exception as error:
            with contextlib.suppress(Exception):
                task.error = self.explained(job, error)
            task.error, task.state = task.error or f"{job.name}: {type(error).__name__}", "failed"
