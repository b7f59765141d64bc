"""Every network of the family: multiply-adds, seconds for a clip, and the share of what a matrix product reaches here.

  python benchmarks/family.py [--quick] [--networks=I3D,S3D] [--precisions=bfloat16,float32] [--repeats=5]

Each network sees one clip of the frames and the size that it was published with, of its first stream, with fresh
weights, as classify and evaluate run it: `compile_for`, by TensorFlow. Each is a process of its own. The limit is
measured in the same process, in turn with the network: square matrix products in the same precision. Multiply-adds are
counted from the graph.
"""

import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "The first network only.")
_NETWORKS = flags.DEFINE_list("networks", [], "Which to measure; all by default.")
_PRECISIONS = flags.DEFINE_list("precisions", ["bfloat16"], "In which.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed clips of each.", lower_bound=1)
_ROW = flags.DEFINE_string("row", None, "Internal: measure this network in this precision.")


def timed(function):
    """Returns the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(name, precision, repeats):
    """Returns {"gmacs", "seconds", "rate", "limit", "shape"} of one network; rates are GFLOP/s, medians."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_i3d.models import counting
    from keras_i3d.models.families import FAMILIES
    from keras_i3d.runtimes import compile_for
    from keras_i3d.specs import INPUT_CHANNELS

    family = FAMILIES[name]
    stream, clip = next(iter(family.clips.items()))
    shape = (clip.frames or max(64, family.min_frames), clip.crop, clip.crop, INPUT_CHANNELS[stream])
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    model = family.build(input_shape=shape, stream=stream)
    gmacs = counting.multiply_adds(model) / 1e9
    fast = compile_for(model, "tensorflow")
    x = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype("float32")
    size = 2048
    matrix = tf.cast(tf.random.normal((size, size)), precision)
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    product().numpy()
    fast.predict_on_batch(x)
    seconds, limits = [], []
    for _ in range(repeats):
        limits.append(2 * size**3 / min(timed(lambda: product().numpy()) for _ in range(5)) / 1e9)
        seconds.append(timed(lambda: fast.predict_on_batch(x)))
    took = statistics.median(seconds)
    return {
        "gmacs": gmacs,
        "seconds": took,
        "rate": 2 * gmacs / took,
        "limit": statistics.median(limits),
        "shape": shape,
        "stream": stream,
    }


def main(argv):
    del argv
    if _ROW.value:
        name, precision = _ROW.value.rsplit(",", 1)
        print(json.dumps(measure(name, precision, _REPEATS.value)))
        return
    from keras_i3d.models.families import FAMILIES

    names = _NETWORKS.value or list(FAMILIES)
    print("| network | precision | clip | GMACs | seconds | GFLOP/s | matmul GFLOP/s | share |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names[: 1 if _QUICK.value else None]:
        for precision in _PRECISIONS.value:
            command = [sys.executable, __file__, f"--row={name},{precision}", f"--repeats={_REPEATS.value}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            frames, size, *_ = row["shape"]
            print(
                f"| {name} | {precision} | {frames} x {size} {row['stream']} | {row['gmacs']:.1f} | "
                f"{row['seconds']:.3f} | {row['rate']:.0f} | {row['limit']:.0f} | {row['rate'] / row['limit']:.2f} |",
                flush=True,
            )
            claim(f"{name}, {precision}, rate", row["rate"], row["limit"], "matrix product", "GFLOP/s")


if __name__ == "__main__":
    app.run(main)
