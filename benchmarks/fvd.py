"""Frechet video distance over more and more videos: peak memory, which must not grow, and speed.

  python benchmarks/fvd.py [--quick] [--folder]

Each row runs in a process of its own, so that its peak memory is its own. The videos are made one by one: 16 frames of
noise over a scene, 128 x 128. The network is I3D, narrow, so that memory shows rather than arithmetic. Its bare rate is
that of clips of 224 x 224 that are ready, in batches of the same size and in the same process.

--folder measures one folder of mp4 videos instead, by one protocol and by all four in one pass.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "A quarter of the videos.")
_FOLDER = flags.DEFINE_bool("folder", False, "A folder of mp4 videos, by one protocol and by all.")
_ROW = flags.DEFINE_string("row", None, "Internal: measure this and print it as JSON.")

COUNTS = (128, 512, 2048)
FRAMES, SIDE, WIDTH = 16, 128, 0.125
IN_FOLDER = 64


def video(index, frames=FRAMES):
    """uint8 (frames, 128, 128, 3): a scene that moves under noise."""
    import numpy as np

    draw = np.random.default_rng(index)
    scene = np.kron(draw.integers(0, 200, (8, 12, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    moving = np.stack([scene[:, 2 * t % 64 : 2 * t % 64 + SIDE] for t in range(frames)])
    return moving + draw.integers(0, 56, moving.shape, dtype=np.uint8)


def network():
    """A narrow I3D of 400 logits, whose head is not that of an untrained one."""
    import keras_i3d

    model = keras_i3d.I3D(weights=None, input_shape=(None, None, None, 3), depth_multiplier=WIDTH)
    arrays = model.get_weights()
    arrays[-1] += 1
    model.set_weights(arrays)
    return keras_i3d.fvd.LogitNetwork(model)


def bare_rate(logits):
    """Clips a second of the network alone."""
    import numpy as np

    clips = np.random.default_rng(0).uniform(0, 255, (8, FRAMES, 224, 224, 3)).astype(np.float32)
    logits(clips)
    began = time.perf_counter()
    for _ in range(4):
        logits(clips)
    return 4 * len(clips) / (time.perf_counter() - began)


def measure(row):
    """Returns {"seconds", "clips", "bare", "before", "peak"} of one row; memory in GB."""
    import keras_i3d

    logits = network()
    bare = bare_rate(logits)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    began = time.perf_counter()
    if row.isdecimal():
        count = int(row)
        sides = (map(video, range(count)), map(video, range(count, 2 * count)))
        keras_i3d.fvd(*sides, videos=count, weights=logits)
        clips = 2 * count
    else:
        folder, every = row.rsplit(":", 1)
        keras_i3d.fvd(folder, folder, videos=IN_FOLDER, weights=logits, all_protocols=every == "all")
        clips = 2 * IN_FOLDER
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "clips": clips, "bare": bare, "before": before, "peak": peak}


def write(folder):
    """Writes mp4 videos of 64 frames."""
    import av

    for index in range(IN_FOLDER):
        with av.open(str(folder / f"{index}.mp4"), "w") as output:
            stream = output.add_stream("mpeg4", rate=25)
            stream.width = stream.height = SIDE
            stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
            for frame in video(index, 64):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            output.mux(stream.encode())


def main(_):
    if _ROW.value:
        print(json.dumps(measure(_ROW.value)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if _FOLDER.value:
            write(pathlib.Path(folder))
            rows = [f"{folder}:one", f"{folder}:all"]
        else:
            rows = [str(count // 4 if _QUICK.value else count) for count in COUNTS]
        print("| videos of each side | seconds | videos/s | of the bare rate | GB before | peak GB |")
        print("|---|---|---|---|---|---|", flush=True)
        for row in rows:
            command = [sys.executable, __file__, f"--row={row}"]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
            found = json.loads(run.stdout.splitlines()[-1])
            rate = found["clips"] / found["seconds"]
            name = row if row.isdecimal() else f"{IN_FOLDER}, {row.rsplit(':', 1)[1]} protocol(s)"
            print(
                f"| {name} | {found['seconds']:.1f} | {rate:.1f} | {rate / found['bare']:.2f} | {found['before']:.2f} "
                f"| {found['peak']:.2f} |",
                flush=True,
            )
            claim(f"FVD, {name}", rate, found["bare"], "network alone", "videos/s")


if __name__ == "__main__":
    app.run(main)
