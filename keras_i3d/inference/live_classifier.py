"""Live video to labels: answers while it comes, with a delay that is bounded and said."""

import contextlib
import threading

from keras_i3d.errors import VideoError, notice
from keras_i3d.inference import chunks
from keras_i3d.inference.backlog import Backlog, Block
from keras_i3d.inference.classifier import Classifier
from keras_i3d.inference.live_answers import LiveAnswer
from keras_i3d.inference.live_segments import Settings
from keras_i3d.plurals import counted
from keras_i3d.predictions import check_top
from keras_i3d.probabilities import check_logits
from keras_i3d.video import damage, live_sources
from keras_i3d.video.live_reader import TIMEOUT, LiveReader

TOP = 3  # classes that are named of a softmax
THREAD = "keras_i3d-live"
JOIN = 2.0  # seconds to wait for the end of the reading thread, which may hang in a network until its timeout


class LiveClassifier:
    """Labels of a video while it comes, from a file, a pipe, a camera or a URL.

    `for answer in LiveClassifier(Classifier("rgb")).answers("rtsp://camera/"): print(answer)`

    An answer is by default of the latest frames, as many as the network was trained on, once a second: what
    `Classifier` gives of those frames alone. With `exact` an answer is of one row of logits, and all rows in their
    order are those that one pass over the video gives, which take a receptive field of waiting: the rows of the video
    up to its last whole step. With `delay` a row waits for less, and `missing` says how much it lacks.

    A thread reads ahead. A file or a pipe waits for the networks, so that every frame counts. A camera or a URL does
    not wait: if the networks are slower than the video, answers of windows are left out, so that the next one is of the
    newest frames; and where even that does not do, the oldest steps that wait are dropped. Both are counted in each
    answer, and drops are said in a line. After a gap the answers begin anew: no window and no row reaches over it.

    A source without a gap that ends before its first answer has one, of all its frames, as `Classifier` gives it: fewer
    than a network takes are looped, and a line says so.

    Args:
        classifier: a Classifier, which has the networks, the labels and how flow is computed.
        window: seconds of video of an answer, rounded to whole steps of each network; by default as many frames as it
            was trained on.
        exact: whether answers are of rows, each final.
        delay: seconds that rows wait for what comes behind them, less than with `exact`.
        every: seconds from one answer to the next, rounded to whole steps: by default about 1, and with `exact` or
            `delay` one step. An answer of several rows is of their mean.
        top: how many classes to name; by default 3, and of a sigmoid all above their thresholds.
        realtime: whether a file or pipe comes no faster than its timestamps say, and does not wait, as if it were live.
        timeout: seconds to wait for a URL.
        reconnect: whether a camera or a URL that ends or breaks off is opened again and again. A line says so.
        clock: what tells the time, as `video.live_reader.WallClock`.

    Raises:
        ValueError: a setting out of its range, `exact` with `delay`, or with a network that sees a video as a whole.
    """

    def __init__(
        self,
        classifier: Classifier,
        window=None,
        exact=False,
        delay=None,
        every=None,
        top=None,
        realtime=False,
        timeout=TIMEOUT,
        reconnect=False,
        clock=None,
    ):
        if exact and delay is not None:
            raise ValueError(f"exact= waits as long as it takes. Received: exact= and delay={delay!r}. Leave one out")
        if top is not None:
            check_top(top)
        self.classifier = classifier
        self.top = TOP if top is None and classifier.thresholds is None else top
        self.settings = Settings(classifier, window, exact or delay is not None, delay, every)
        self._reading = {"realtime": realtime, "timeout": timeout, "reconnect": reconnect, "clock": clock}
        self._backlog = None

    def answers(self, source):
        """Yields a LiveAnswer each time one is due, until the source ends or `stop` is called.

        The reading thread ends with this generator, also where that is closed before its end.

        Args:
            source: as for `video.live_sources.find`: a path, "-", a camera, a URL, or a binary file object.

        Raises:
            VideoError: the source cannot be opened, breaks off, has one frame alone where flow is asked for, or gaps
                between parts that are all too short for an answer.
            ValueError: a source that is none, or logits that are not finite.
        """
        found = live_sources.find(source)
        backlog = self._backlog = Backlog(self.settings.capacity)
        clip = self.classifier.clip
        reader = LiveReader(found, clip.fps, clip.short_side, stopped=lambda: backlog.stopped, **self._reading)
        if reader.live:
            self.settings.warm_up()
        thread = threading.Thread(target=self._read, args=(reader, backlog), name=THREAD, daemon=True)
        thread.start()
        try:
            yield from _Watch(self, reader, backlog).answers()
        finally:
            backlog.stop()
            thread.join(JOIN)

    def stop(self):
        """Ends the reading, so that `answers` gives those of what was read, and ends; a signal handler may call it."""
        if self._backlog is not None:
            self._backlog.stop()

    def _read(self, reader, backlog):
        """The reading thread: frames to Blocks."""
        images, stretch, place, begin, error = [], 0, 0, 0.0, None

        def put():
            nonlocal images, place
            if images:
                backlog.put(Block(images, stretch, place, begin), lambda: reader.is_late(backlog.newest))
            images, place = [], place + len(images)

        try:
            with contextlib.closing(iter(reader)) as frames:
                for shown in frames:
                    if backlog.stopped:
                        break
                    if shown.begins:
                        put()
                        stretch, place = stretch + 1, 0
                    if not images:
                        begin = shown.time
                    images.append(shown.image)
                    backlog.newest = shown.time + 1 / self.settings.fps
                    if len(images) == self.settings.frames:
                        put()
        except BaseException as raised:  # whoever takes raises it
            error = raised
        put()
        backlog.end(error)


class _Watch:
    """One source, from its begin to its end."""

    def __init__(self, live, reader, backlog):
        self.classifier, self.settings, self.top = live.classifier, live.settings, live.top
        self.reader, self.backlog = reader, backlog
        self.segment = None
        self.begin = 0.0  # seconds at which the segment begins
        self.segments = self.given = self.skipped = self.unanswered = 0
        self.said = False

    def answers(self):
        """Yields all LiveAnswers, and says in lines what was dropped and how it ended."""
        last = error = None
        while True:
            try:
                blocks = self.backlog.take()
            except Exception as raised:
                blocks, error = [], raised
            if not blocks:
                break
            for block in blocks:
                if last is None or not block.follows(last):
                    yield from self._finished(late=last is not None and block.stretch == last.stretch)
                    self._begin(block)
                last = block
                self.segment.add(block.images)
                if not (self.reader.live or self.settings.rows):
                    yield from self._told(self.segment.due())
            # The newest frames alone if the video does not wait; and rows all at once, which takes less.
            yield from self._told(self.segment.due())
            self._say_drops()
        is_whole = error is None and not (self.given or self.backlog.stopped or self.segments > 1)
        yield from self._finished(whole=is_whole)
        if error is not None:
            raise error
        self._say_end()

    def _begin(self, block):
        self.segment, self.begin = self.settings.segment(), block.time
        self.segments += 1

    def _finished(self, late=False, whole=False):
        if self.segment is not None:
            yield from self._told(self.segment.finish(late, whole))
            self.unanswered += self.segment.unanswered
            self.skipped += self.segment.skipped
            self.segment = None

    def _told(self, found):
        fps = self.settings.fps
        for due in found:
            fused = sum(due.logits.values())
            check_logits(fused, self.reader.name)
            self.given += 1
            for stream, length in due.looped.items():
                frames, clip = due.end - (stream != "rgb"), self.classifier.clips[stream]
                chunks.say_looped(self.reader.name, stream, frames, clip, length)
            end = self.begin + due.end / fps
            yield LiveAnswer(
                source=self.reader.name,
                start=self.begin + due.first / fps,
                end=end,
                predictions=self.classifier.named(fused, self.top),
                logits=fused,
                stream_logits=due.logits,
                delay=max(self.backlog.newest - end, 0.0),
                dropped=self.backlog.dropped,
                skipped=self.skipped + self.segment.skipped,
                segment=self.segments,
                missing=due.missing,
                looped=min(due.looped.values(), default=None),
            )

    def _say_drops(self):
        if self.backlog.dropped and not self.said:
            self.said = True
            notice(
                f"{self.reader.name}: the networks are slower than the video, so the oldest steps that wait, of "
                f"{self.settings.seconds:.2f} s each, are dropped; each answer counts them. One stream, or a longer "
                "every=, takes less"
            )

    def _say_end(self):
        name = self.reader.name
        if not self.given and not self.backlog.stopped:
            if self.segments > 1:
                raise VideoError(name, f"none of its {self.segments} parts without a gap is long enough for an answer")
            raise chunks.too_short_for_flow(name)
        told = [f"{counted(self.given, 'answer')} of {self.backlog.newest:.2f} s"]
        if self.backlog.dropped:
            told.append(f"{counted(self.backlog.dropped, 'step')} of {self.settings.seconds:.2f} s dropped")
        if self.skipped:
            told.append(f"{counted(self.skipped, 'answer')} skipped")
        if self.unanswered:
            are = "is" if self.unanswered == 1 else "are"
            told.append(f"{counted(self.unanswered, 'frame')} at the end of a stretch {are} in no answer")
        if said := damage(self.reader):
            told.append(said)
        notice(f"{name}: {', '.join(told)}")
