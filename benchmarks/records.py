"""Building records: videos/s and flow pairs/s by 1 and 2 workers, against a bare loop of the same work.

  python benchmarks/records.py [--videos=24] [--frames=40]

The bare loop decodes, computes TV-L1 flow with the engine on one thread and makes the JPEGs, in this process, without
records, files, plan or Beam; its ratio is the share of a core that the build makes use of. The time until the first
worker is ready is measured on its own, by a build of one tiny video, for it is paid once.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402

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
    """The work itself; returns (seconds, pairs)."""
    import itertools

    from keras_i3d import video
    from keras_i3d.data import records
    from keras_i3d.flow import engine

    solve = engine.pair_solver()
    pairs = 0
    began = time.perf_counter()
    for path in paths:
        frames = []
        for frame in video.Reader(path, spec.fps, spec.short_side):
            records.encode_rgb(frame, spec.quality)
            frames.append(engine.to_grey(frame))
        for previous, following in itertools.pairwise(frames):
            records.encode_flow(solve(previous, following), spec)
            pairs += 1
    return time.perf_counter() - began, pairs


def main(argv):
    del argv
    from keras_i3d.data import build, datasets
    from keras_i3d.data.records import RecordSpec

    spec = RecordSpec()
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        (folder / "videos/class").mkdir(parents=True)
        (folder / "one/class").mkdir(parents=True)
        for i in range(_VIDEOS.value):
            film(folder / f"videos/class/{i:03}.mp4", _FRAMES.value, i)
        film(folder / "one/class/0.mp4", 2, 0, (64, 64))
        listing, one = (datasets.find(folder / name, split="train") for name in ("videos", "one"))
        bare([one.examples[0].path], spec)  # compiles
        seconds, pairs = bare([example.path for example in listing.examples], spec)
        print("               seconds  start  videos/s  pairs/s  of the bare loop, a worker")
        print(f"bare loop      {seconds:7.1f}      -  {_VIDEOS.value / seconds:8.2f} {pairs / seconds:8.1f}")
        for workers in (1, 2):
            start = build.build(one, folder / f"start-{workers}", spec, workers=workers, progress=False).seconds
            report = build.build(listing, folder / f"out-{workers}", spec, workers=workers, progress=False)
            assert report.written == _VIDEOS.value, report
            net = report.seconds - start
            share = seconds / net / workers
            print(
                f"{workers} worker{'s' * (workers > 1)}{' ' * (2 - workers)}     {report.seconds:7.1f} {start:6.1f}  "
                f"{_VIDEOS.value / net:8.2f} {pairs / net:8.1f}  {share:.2f}",
                flush=True,
            )
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(app.run(main))
