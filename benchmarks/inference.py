"""Inference of RGB I3D as it is built: seconds, clips/s, and the share of what a matrix product reaches here.

  python benchmarks/inference.py [--quick]
  python benchmarks/inference.py --layers [--precision=bfloat16] [--frames=64] [--runs=12]

Each row runs in a process of its own, so that its peak memory is its own. The limit is measured in the same
process, in turn with the model: square matrix products in the same precision, for about as long. Seconds, rates and
the share are medians over the turns, so that other load on the machine meets both sides. 64 frames of 224 x 224 are
111.15 G multiply-adds (222.3 GFLOP); the rate counts those and nothing else.

With --layers it is the frozen network, operation by operation, next to the rate of the best convolution found.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import layer_table  # noqa: E402
from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "One precision and the shortest clip only.")
_LAYERS = flags.DEFINE_bool("layers", False, "A table of the frozen network's operations instead.")
_PRECISION = flags.DEFINE_string("precision", "bfloat16", "Of the table of operations.")
_FRAMES = flags.DEFINE_integer("frames", 64, "Of its clip.")
_RUNS = flags.DEFINE_integer("runs", 12, "Of the network; the least time of each operation counts.")
_ROW = flags.DEFINE_string("row", None, "Internal: measure this one row and print it as JSON.")

GFLOP_PER_FRAME = 2 * 111.15 / 64
ROWS = [
    (precision, batch, frames)
    for precision in ("float32", "mixed_bfloat16")
    for batch, frames in ((1, 64), (4, 64), (1, 250))
]


def timed(function):
    """Returns the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(precision, batch, frames, turns=5):
    """Returns one row: seconds a batch, and GFLOP/s of the model and of the matrix product."""
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_i3d

    dtype = precision.removeprefix("mixed_")
    size = 2048
    matrix = tf.cast(tf.random.normal((size, size)), dtype)
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    product().numpy()
    keras.config.set_dtype_policy(precision)
    model = keras_i3d.I3D(weights=None)
    clip = np.random.default_rng(0).uniform(-1, 1, (batch, frames, 224, 224, 3)).astype("float32")
    model.predict_on_batch(clip)
    seconds, limits = [], []
    for _ in range(turns):
        products = [timed(lambda: product().numpy()) for _ in range(8)]
        seconds.append(timed(lambda: model.predict_on_batch(clip)))
        while sum(products) < seconds[-1]:
            products.append(timed(lambda: product().numpy()))
        limits.append(2 * size**3 / statistics.median(products) / 1e9)
    rates = [batch * frames * GFLOP_PER_FRAME / s for s in seconds]
    return {
        "seconds": statistics.median(seconds),
        "rate": statistics.median(rates),
        "limit": statistics.median(limits),
        "share": statistics.median(rate / limit for rate, limit in zip(rates, limits)),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def main(argv):
    del argv
    if _LAYERS.value:
        layer_table.show(_PRECISION.value, _FRAMES.value, _RUNS.value)
        return
    if _ROW.value:
        precision, batch, frames = _ROW.value.split(",")
        print(json.dumps(measure(precision, int(batch), int(frames))))
        return
    rows = ROWS[:1] if _QUICK.value else ROWS
    print("precision        batch  frames  seconds  clips/s  GFLOP/s  matmul GFLOP/s  share  peak GB")
    for precision, batch, frames in rows:
        command = [sys.executable, __file__, f"--row={precision},{batch},{frames}"]
        row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        print(
            f"{precision:15} {batch:6} {frames:7} {row['seconds']:8.2f} {batch / row['seconds']:8.2f} "
            f"{row['rate']:8.0f} {row['limit']:15.0f} {row['share']:6.2f} {row['peak']:8.2f}",
            flush=True,
        )
        least = 0.7 if precision == "float32" else None
        claim(
            f"I3D as built, {precision}, {batch} x {frames}, rate",
            row["rate"],
            row["limit"],
            "matrix product",
            "GFLOP/s",
            least,
        )


if __name__ == "__main__":
    app.run(main)
