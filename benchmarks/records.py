"""Building records: videos/s and flow pairs/s by 1 and 2 workers, against a bare loop of the same work.

  python benchmarks/records.py [--videos=24] [--frames=40]

The bare loop decodes, computes TV-L1 flow with the engine on one thread and makes the JPEGs, in this process, without
records, files, plan or Beam. "of bare" is its time over the build's times the workers: 1 where a
worker does as much as the loop. It is given by the clock, and by processor seconds, which other load on the machine
disturbs less. What it takes to start is measured by a build of one tiny video and left out, for it is paid once.
"""

import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_VIDEOS = flags.DEFINE_integer("videos", 24, "How many videos.", 2)
_FRAMES = flags.DEFINE_integer("frames", 40, "Frames of each.", 2)


def film(path, frames, seed, size=(240, 320)):
    """Writes a video of a texture that drifts."""
    import av
    import numpy as np

    rng = np.random.default_rng(seed)
    h, w = size
    small = rng.uniform(0, 255, (h // 8 + 32, w // 8 + 32, 3))
    scene = np.kron(small, np.ones((8, 8, 1))).astype("uint8")
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = h, w, "yuv420p"
        for i in range(frames):
            image = np.ascontiguousarray(scene[i : i + h, 2 * i : 2 * i + w])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())


def bare(paths, spec):
    """The work itself; returns (seconds, processor seconds, pairs)."""
    import itertools

    from keras_i3d import video
    from keras_i3d.flow import engine
    from keras_i3d.records import sequence_example

    solve = engine.pair_solver()
    pairs = 0
    began, processor = time.perf_counter(), time.process_time()
    for path in paths:
        frames = []
        for frame in video.Reader(path, spec.fps, spec.short_side):
            sequence_example.encode_rgb(frame, spec.quality)
            frames.append(engine.to_grey(frame))
        for previous, following in itertools.pairwise(frames):
            sequence_example.encode_flow(solve(previous, following), spec)
            pairs += 1
    return time.perf_counter() - began, time.process_time() - processor, pairs


def timed(listing, output, spec, workers):
    """Builds; returns (seconds, processor seconds of the workers)."""
    from keras_i3d import records

    def processor():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = processor()
    report = records.build(listing, output, spec, workers=workers, progress=False)
    assert report.written == len(listing.examples), report
    return report.seconds, processor() - before


def main(argv):
    del argv
    from keras_i3d.records import annotations
    from keras_i3d.specs import RecordSpec

    spec = RecordSpec()
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        (folder / "videos/class").mkdir(parents=True)
        (folder / "one/class").mkdir(parents=True)
        for i in range(_VIDEOS.value):
            film(folder / f"videos/class/{i:03}.mp4", _FRAMES.value, i)
        film(folder / "one/class/0.mp4", 2, 0, (64, 64))
        listing, one = (annotations.find(folder / name, split="train") for name in ("videos", "one"))
        bare([one.examples[0].path], spec)  # compiles
        seconds, processor, pairs = bare([example.path for example in listing.examples], spec)
        print("             start s  seconds  processor s  videos/s  pairs/s  of bare: clock  processor")
        print(
            f"bare loop          - {seconds:8.1f} {processor:12.1f} {_VIDEOS.value / seconds:9.2f} "
            f"{pairs / seconds:8.1f}",
            flush=True,
        )
        for workers in (1, 2):
            start, start_processor = timed(one, folder / f"start-{workers}", spec, workers)
            clock, used = timed(listing, folder / f"out-{workers}", spec, workers)
            clock, used = clock - start, used - start_processor
            print(
                f"workers: {workers}   {start:7.1f} {clock:8.1f} {used:12.1f} {_VIDEOS.value / clock:9.2f} "
                f"{pairs / clock:8.1f} {seconds / clock / workers:16.2f} {processor / used:10.2f}",
                flush=True,
            )
            rates = [pairs / spent for spent in (clock * workers, seconds)]
            claim(f"records by {workers} worker(s), each", *rates, "bare loop", "pairs/s", least=0.85)
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(app.run(main))
