"""Damaged video files by the thousand: each is read, or refused with a VideoError, in bounded time and memory.

  python tools/fuzz_videos.py --seconds=60 --seed=0
  python tools/fuzz_videos.py --seed=0 --case=1234 --output=x.bin    writes the file of one case

A case is one of a few small films, damaged, and read with settings drawn by chance. It is answered when the frames are
all of one size, as many as `count` says, and the same on one thread and on several. Cases are read in a process of
their own, so that one that ends it, or never comes back, is found as well.
"""

import functools
import io
import json
import os
import pathlib
import queue
import random
import resource
import struct
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SLOW = 60  # seconds after which a case is given up
LARGE = 1 << 30  # bytes of memory that all cases together may take
OUTCOMES = ("answered", "refused", "anything else")
EXTREME = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def run(seconds, seed):
    """Reads damaged videos for so many seconds; each case is fixed by the seed and its number.

    Returns:
        {"tried", "answered", "refused", "anything else"}: numbers of cases. What else there was is printed, with the
        seed and the number.
    """
    counts = dict.fromkeys(("tried", *OUTCOMES), 0)
    for case, outcome, detail in tried(__file__, seconds, seed):
        outcome = outcome if outcome in OUTCOMES else "anything else"
        counts["tried"] += 1
        counts[outcome] += 1
        if outcome == "anything else":
            print(f"videos, --seed={seed} --case={case}: {detail}", file=sys.stderr, flush=True)
    return counts


def tried(script, seconds, seed):
    """Yields (case, outcome, detail) of one case after the other, in processes of their own, for so many seconds.

    Args:
        script: a file like this one, whose process with `--seed --work` prints "ready" and then a line of JSON a case.
        seconds, seed: as `run` takes them.
    """
    until, case = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        worker = _Worker(script, seed, case)
        try:
            while worker.alive and time.monotonic() < until:
                yield case, *worker.next()
                case += 1
        finally:
            worker.end()


class _Worker:
    """A process that tries one case after the other and prints what came of each."""

    def __init__(self, script, seed, case):
        self.process = subprocess.Popen(
            [sys.executable, script, f"--seed={seed}", f"--work={case}"],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
        )
        self.alive = True
        self.lines = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.process_started = self.lines.get()

    def _listen(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def next(self):
        """Returns (outcome, detail) of the next case."""
        try:
            line = self.lines.get(timeout=SLOW)
        except queue.Empty:
            self.end()
            return "anything else", f"no answer in {SLOW} s"
        if not line:
            self.end()
            return "anything else", f"the process ended with status {self.process.wait()}"
        return json.loads(line)

    def end(self):
        self.alive = False
        self.process.kill()
        self.process.wait()


@functools.cache
def films():
    """Returns small films of several containers and codecs, as bytes."""
    sys.path.insert(0, str(ROOT / "tests"))
    from made.films import film, picture, streams, trimmed, turned

    pictures = [picture(i) for i in range(20)]
    h264 = film(pictures, "mp4", "libx264", b_frames=2, gap=8)
    return (
        h264,
        turned(h264, (0, -1, -1, 0)),
        trimmed(h264, 10),
        streams(pictures[:8], pictures[8:], dispositions=(0, 1)),
        film(pictures, "mp4", "mpeg4", gap=6, b_frames=1),
        film(pictures, "avi", "mpeg4", places=[i + i // 5 for i in range(20)]),
        film(pictures, "avi", "mjpeg", pixels="yuvj420p"),
        film(pictures, "mov", "mjpeg", pixels="yuvj420p"),
        film(pictures, "webm", "libvpx", gap=6),
        film(pictures, "webm", "libvpx-vp9", gap=6),
        film(pictures, "matroska", "libx264", times=[30 * i + i * i for i in range(20)]),
        film(pictures, "gif", "gif", pixels="rgb8"),
        film(pictures, "mpegts", "libx264", b_frames=2, gap=8) * 2,
        film(pictures, "mpeg", "mpeg2video", options={"flags": "+ildct+ilme"}, bit_rate=400_000),
        film(pictures, "h264", "libx264", rate=30),
        film(pictures, "flv", "flv"),
        film(pictures, "asf", "mpeg4"),
    )


def damaged(seed, case):
    """Returns (bytes of a file, settings of `video.Reader`) of one case."""
    rng = random.Random(f"{seed}/{case}")
    data = bytearray(rng.choice(films()))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data))
        # Half of the damage is where headers and indexes are.
        if rng.random() < 0.5:
            at = min(at, rng.choice((40, 400, 1200)))
        size = min(rng.choice((1, 1, 2, 4, 16, 200)), len(data) - at)
        kind = rng.randrange(7)
        if kind == 0:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at : at + size] = rng.choice((b"\0", b"\xff")) * size
        elif kind == 3:
            data[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(EXTREME))
        elif kind == 4:
            del data[at : at + size]
        elif kind == 5:
            data[at:at] = data[at : at + size]
        elif rng.random() < 0.3:
            data = data[:at] + rng.choice(films())[at:]
        if len(data) < 8:
            break
    if rng.random() < 0.2:
        del data[rng.randrange(len(data) + 1) :]
    settings = {"short_side": rng.choice((16, 32, None)), "fps": rng.choice((25, 25, 10, None)), "max_seconds": 600}
    if rng.random() < 0.3:
        settings["start"] = rng.choice((0.1, 0.4, 0.6))
        settings["end"] = settings["start"] + rng.choice((0.1, 0.3, 5))
    return bytes(data), settings


def attempt(seed, case):
    """Returns (outcome, detail) of one case."""
    from keras_i3d import VideoError
    from keras_i3d.video import Reader, decoding

    def read(threads):
        decoding.THREADS = threads
        reader, digest, shapes, images = Reader(data, **settings), 0, set(), 0
        try:
            last = None
            for frame in reader:
                images += 1
                if frame is not last:  # a frame that is held is given again
                    shapes.add((frame.dtype.name, *frame.shape))
                    digest, last = hash((digest, frame.tobytes())), frame
            counted = reader.count()
        except VideoError as error:
            return "refused", error.reason
        if counted != images or len(shapes) != 1 or images == 0:
            return "anything else", f"{images} frames, {counted} counted, shapes {shapes}"
        return "answered", (images, digest, reader.damaged, reader.cut_short)

    data, settings = damaged(seed, case)
    try:
        found, alone = read(3), read(1)
    except Exception as error:
        return "anything else", f"{type(error).__name__}: {error}"
    if found != alone and not (_but_for_pictures(found) == _but_for_pictures(alone) and _shows_leftovers(data)):
        return "anything else", f"{found} on three threads, {alone} on one"
    if (memory := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) > _baseline() + LARGE:
        return "anything else", f"{memory >> 20} MiB of memory"
    return found[0], ""


def _but_for_pictures(found):
    """What came of a case, without the digest of the pictures."""
    outcome, detail = found
    return (outcome, detail[0], *detail[2:]) if outcome == "answered" else found


def _shows_leftovers(data):
    """Whether a video is decoded on one thread anyway, so that pictures that differ are not by the threads.

    FFmpeg leaves the rest of a damaged picture as its memory was, of MJPEG in silence. What is there depends on what
    was decoded before.
    """
    import av

    from keras_i3d.video.decoding import THREADED

    with av.open(io.BytesIO(data)) as container:
        return all(stream.codec_context.name not in THREADED for stream in container.streams.video)


@functools.cache
def _baseline():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(attempt, prepare, seed, case):
    """Tries cases for ever; what the package says goes nowhere.

    Args:
        attempt: (seed, case) to (outcome, detail).
        prepare: makes what all cases need.
        seed, case: the first of them.
    """
    import keras_i3d  # noqa: F401

    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    prepare()
    print("ready", flush=True)
    while True:
        print(json.dumps(attempt(seed, case)), flush=True)
        case += 1


def prepare():
    """Makes what all cases need."""
    films()
    _baseline()


def arguments(description):
    """Returns the command line's arguments."""
    import argparse

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--output")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """The command line."""
    given = arguments(__doc__)
    if given.work is not None:
        work(attempt, prepare, given.seed, given.work)
    elif given.case is not None:
        data, settings = damaged(given.seed, given.case)
        if given.output:
            pathlib.Path(given.output).write_bytes(data)
        print(len(data), "bytes", settings, *attempt(given.seed, given.case))
    else:
        counts = run(given.seconds, given.seed)
        print(counts)
        return 1 if counts["anything else"] else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
