"""`data.load`: frames a second next to bare JPEG decoding, the wait for the first batch, and memory over many clips.

  python benchmarks/pipeline.py [--quick]

The limit is `tf.io.decode_jpeg` alone, on the very frames that `load` decodes, in `tf.data` with the same parallelism
and the same accurate transform, in the same process, in turn with it. On top of it `load` reads, checks fingerprints,
crops, flips, batches and scales to float32; it saves some by decoding only the crop. Both are given as medians of
several rounds, by the clock and by processor time; with other work on the machine the second says more.
"""

import os
import resource
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import made_records  # noqa: E402
from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "Fewer rounds, and memory over 200 clips.")

CLIP = 64  # frames
SHORT, LONG = 4, 24  # batches


STREAMS = ("rgb", "flow")


def spent(function):
    """Returns (seconds, processor seconds) of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def rates(folder, images, stream, rounds, training):
    """Returns {name: (frames a second, frames a processor second)} of load and of bare decoding, the medians."""
    import tensorflow as tf

    from keras_i3d.data import load

    streams = STREAMS if stream == "both" else (stream,)
    jpegs = tf.concat([images[s] for s in streams], 0)
    bare = tf.data.Dataset.from_tensor_slices(jpegs).repeat()
    bare = bare.map(lambda j: tf.io.decode_jpeg(j, 3, dct_method="INTEGER_ACCURATE"), tf.data.AUTOTUNE).prefetch(
        tf.data.AUTOTUNE
    )
    # A small buffer, and no end of an epoch within a run: records are read at the rate at which clips are taken.
    loaded = load(folder, stream, CLIP, training, batch_size=2, seed=0, repeat=True, shuffle_buffer=8)
    batch = 2 * len(jpegs)

    def consumed(dataset, count):
        def consume():
            for _ in dataset.take(count):
                pass

        return consume

    found = {"bare": [], "load": []}
    for _ in range(rounds):
        for name, dataset, elements in (("bare", bare, batch), ("load", loaded, 1)):
            # The longer run less the shorter: what the start costs, and what is read ahead, are in both.
            shorter = spent(consumed(dataset, SHORT * elements))
            longer = spent(consumed(dataset, LONG * elements))
            found[name].append([b - a for a, b in zip(shorter, longer)])
    return {
        name: tuple((LONG - SHORT) * batch / statistics.median(seconds) for seconds in zip(*rounds))
        for name, rounds in found.items()
    }


def memory(folder, clips):
    """Resident megabytes after each tenth of so many clips of 16 frames of both streams."""
    from keras_i3d.data import load

    found = []
    for i, _ in enumerate(load(folder, "both", 16, True, batch_size=4, seed=0, repeat=True).take(clips // 4), 1):
        if i % (clips // 40) == 0:
            with open("/proc/self/statm") as file:
                found.append(round(int(file.read().split()[1]) * resource.getpagesize() / 1e6))
    return found


def main(argv):
    del argv
    from keras_i3d.data import load

    with tempfile.TemporaryDirectory() as folder:
        parsed = made_records.write(folder)
        images = {stream: parsed[stream][:CLIP] for stream in STREAMS}
        sizes = (f"{stream} {sum(map(len, jpegs.numpy())) / CLIP:.0f}" for stream, jpegs in images.items())
        print(f"bytes a frame: {', '.join(sizes)}")
        for stream in (*STREAMS, "both"):

            def first(stream=stream):
                next(iter(load(folder, stream, CLIP, True, batch_size=2, seed=0)))

            print(f"{stream:5} first batch of 2 clips: {spent(first)[0]:.2f} s")
        print("stream  training  load frames/s  bare  ratio   by processor time: load  bare  ratio")
        for stream in (*STREAMS, "both"):
            for training in (True, False):
                found = rates(folder, images, stream, 2 if _QUICK.value else 5, training)
                (wall, cpu), (bare_wall, bare_cpu) = found["load"], found["bare"]
                print(
                    f"{stream:7} {training!s:8} {wall:14.0f} {bare_wall:5.0f} {wall / bare_wall:6.2f} "
                    f"{cpu:26.0f} {bare_cpu:5.0f} {cpu / bare_cpu:6.2f}",
                    flush=True,
                )
                kind = "training" if training else "evaluation"
                claim(f"data.load, {stream}, {kind}", cpu, bare_cpu, "bare decoding", "frames/processor s", least=0.9)
        clips = 200 if _QUICK.value else 2000
        print(f"resident MB at each tenth of {clips} clips of 16 frames, both streams: {memory(folder, clips)}")


if __name__ == "__main__":
    app.run(main)
