"""Damaged video files by the thousand: each is read, or refused with a VideoError, in bounded time and memory.

  python tools/fuzz_videos.py --seconds=60 --seed=0
  python tools/fuzz_videos.py --seed=0 --case=1234 --output=x.bin    writes the file of one case

A case is one of a few small films, damaged, and read with settings drawn by chance. It is answered when the frames are
all of one size, as many as `count` says, and the same on one thread and on several. Cases are read in a process of
their own, so that one that ends it, or never comes back, is found as well.
"""

import functools
import io
import random
import struct
import sys

import fuzz_process

EXTREME = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def run(seconds, seed):
    """Reads damaged videos for so many seconds; returns what `fuzz_process.counted` does, of one kind."""
    return fuzz_process.counted("videos", __file__, seconds, seed, ("videos",), lambda *_: "videos")


@functools.cache
def films():
    """Returns small films of several containers and codecs, as bytes."""
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
            return "else", f"{images} frames, {counted} counted, shapes {shapes}"
        return "answered", (images, digest, reader.damaged, reader.cut_short)

    data, settings = damaged(seed, case)
    try:
        found, alone = read(3), read(1)
    except Exception as error:
        return "else", f"{type(error).__name__}: {error}"
    if found != alone and not (_but_for_pictures(found) == _but_for_pictures(alone) and _shows_leftovers(data)):
        return "else", f"{found} on three threads, {alone} on one"
    if large := fuzz_process.too_much():
        return "else", large
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


def prepare():
    """Makes what all cases need."""
    films()
    fuzz_process.baseline()


def one(seed, case, output):
    """Returns what is said of one case; writes its video."""
    data, settings = damaged(seed, case)
    if output:
        output.write_bytes(data)
    return len(data), "bytes", settings, *attempt(seed, case)


if __name__ == "__main__":
    sys.exit(fuzz_process.command(__doc__, attempt, prepare, one, run))
