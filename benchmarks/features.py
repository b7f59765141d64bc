"""Features of videos: videos/s against the network alone, and against one stack at a time, in the same run.

  python benchmarks/features.py [--quick] [--seconds=5]

Full-size I3D of fresh weights on generated videos of 340 x 256 at 25 fps, by `features.Extractor`. Three are measured
on the same windows, in turn:

  ours   from the video's file to its rows: decoding, TV-L1, cropping, the network.
  bare   the network alone, by predict_on_batch on clips that are ready: as many windows in batches as large; next to
         "all", the whole video at once. "of bare" is its seconds over those of ours: 1 where decoding and flow are
         hidden.
  loop   v-iashin/video_features' way (a2f61b7, models/i3d/extract_i3d.py) with this package's parts: frames are decoded
         in order and wait in a list; when a stack is full, its flow is computed, and the plain model runs on it alone.
         "times loop" is its seconds over those of ours. Next to "all", one pass with a row every 8 frames, it is the
         loop of 16/4, the windows that are as dense as one usually takes them.

Videos are as long as they need to be for a measurement of some --seconds, by what a frame costs on this machine, and
long enough to fill a batch. Both are given by the clock and by processor time, which other work on the machine disturbs
less.
"""

import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "RGB alone, one turn.")
_SECONDS = flags.DEFINE_float("seconds", 5, "About how long one measurement takes.", 0.1)

ROWS = [
    (streams, window, step, batch)
    for streams in (("rgb",), ("rgb", "flow"))
    for window, step, batch in ((64, 64, 2), (16, 4, 8), ("all", None, 1))
]
HEADS = ("streams ", "windows", "batch", "frames", "videos/s", "frames/s", "bare videos/s", "loop videos/s")
HEADS += ("of bare", "times loop", "of bare, cpu", "times loop, cpu")
VIDEOS = 2
LOOPED = (16, 4)  # the windows that stand next to "all"
WIDTH, HEIGHT, CROP = 340, 256, 224


def timed(function):
    """Returns (seconds, processor seconds) of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def film(path, frames, seed):
    """Writes a video of a texture that drifts over another one."""
    import av
    import numpy as np
    import tensorflow as tf

    draw = np.random.default_rng(seed)
    near, far = (
        tf.image.resize(draw.uniform(0, 255, (*size, 3)), (HEIGHT + 64, WIDTH + 64)).numpy().astype("uint8")
        for size in ((40, 50), (20, 25))
    )
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(frames):
            x, y = i % 64, (i // 2) % 64
            image = far[64 - y : 64 - y + HEIGHT, x : x + WIDTH].copy()
            image[60:200, 80:260] = near[y : y + 140, 64 - x : 244 - x]
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())


class Bench:
    """The networks, and what a frame and a field cost on this machine."""

    def __init__(self):
        import keras
        import numpy as np

        import keras_i3d
        from keras_i3d import facts, flow, video
        from keras_i3d.models.inception import HEAD
        from keras_i3d.specs import CLIPS

        self.models = {}
        for stream, channels in (("rgb", 3), ("flow", 2)):
            keras.utils.set_random_seed(channels)
            self.models[stream] = keras_i3d.I3D(weights=None, stream=stream, input_shape=(None, None, None, channels))
            facts.note(self.models[stream], facts.Facts(stream, clip=CLIPS[stream]))  # else each run would ask
        self.plain = {s: keras.Model(m.input, m.get_layer(HEAD).input) for s, m in self.models.items()}
        self.fast = {s: keras_i3d.optimize_for_inference(m) for s, m in self.plain.items()}
        draw = np.random.default_rng(0)
        self.noise = draw.uniform(-1, 1, (8, 64, CROP, CROP, 3)).astype("float32")
        clip = self.noise[:1, :16]
        self.fast["rgb"].predict_on_batch(clip)
        self.per_frame = min(timed(lambda: self.fast["rgb"].predict_on_batch(clip))[0] for _ in range(2)) / 16
        with tempfile.TemporaryDirectory() as folder:
            film(pathlib.Path(folder, "a.mp4"), 9, 0)
            frames = video.read(pathlib.Path(folder, "a.mp4"))
        flow.compute(frames[:2])
        self.per_field = timed(lambda: flow.compute(frames))[0] / (len(frames) - 1)

    def frames(self, streams, window, step, batch):
        """How many frames of each video make a measurement of the wanted length, of full batches."""
        fields = self.per_field * ("flow" in streams)
        if window == "all":
            frames = _SECONDS.value / VIDEOS / (len(streams) * self.per_frame + fields)
            return int(min(max(frames, 33), 256))
        cost = window * len(streams) * self.per_frame + step * fields
        rows = batch * max(round(_SECONDS.value / VIDEOS / cost / batch), 1)
        return window + step * (rows - 1) + 1

    def ready(self, stream, shape):
        """A clip of noise of a stream: (B, T, 224, 224, C)."""
        import numpy as np

        channels = self.models[stream].input_shape[-1]
        return np.resize(self.noise[..., :channels], (*shape, CROP, CROP, channels))

    def bare(self, streams, window, step, batch, frames):
        """A function that runs the networks alone, on clips that are there."""
        if window == "all":
            ready = {stream: [self.ready(stream, (1, frames - (stream == "flow")))] * VIDEOS for stream in streams}
        else:
            rows = VIDEOS * ((frames - window - 1) // step + 1)
            clips = {stream: self.ready(stream, (batch, window)) for stream in streams}
            ready = {stream: [clips[stream]] * -(-rows // batch) for stream in streams}

        def run():
            for stream, batches in ready.items():
                for clips in batches:
                    self.fast[stream].predict_on_batch(clips)

        return run

    def ours(self, streams, window, step, batch):
        """A function that extracts the features of videos."""
        from keras_i3d import features

        layout = features.Layout(streams=streams, window=window, step=step)
        given = {stream: self.models[stream] for stream in streams}
        extractor = features.Extractor(layout, batch_size=batch, **given)

        def run(paths):
            for _, found in extractor.many(paths):
                if isinstance(found, Exception):
                    raise found

        return run

    def loop(self, streams, window, step):
        """A function that does so stack by stack."""
        import numpy as np

        from keras_i3d import flow, preprocess_input, video

        top, left = (HEIGHT - CROP) // 2, (WIDTH - CROP) // 2

        def features(stream, stack):
            x = stack[:-1] if stream == "rgb" else flow.compute(stack)
            x = x[:, top : top + CROP, left : left + CROP]
            x = preprocess_input(x, stream)[None]
            return np.mean(self.plain[stream].predict_on_batch(x)[0], axis=(0, 1, 2))

        def run(paths):
            for path in paths:
                stack = []
                for frame in video.Reader(path):
                    stack.append(frame)
                    if len(stack) == window + 1:
                        for stream in streams:
                            features(stream, np.stack(stack))
                        del stack[:step]

        return run


def measure(bench, folder, streams, window, step, batch):
    """Returns {"frames", and "ours", "bare", "loop": (seconds, processor seconds) of a video}, medians of the turns."""
    dense, frames = window == "all", bench.frames(streams, window, step, batch)
    paths = [folder / f"{'_'.join(streams)}_{window}_{step}_{i}.mp4" for i in range(VIDEOS)]
    for i, path in enumerate(paths):
        film(path, frames, i)
    bare, ours = bench.bare(streams, window, step, batch, frames), bench.ours(streams, window, step, batch)
    (size, apart), rows = LOOPED if dense else (window, step), 2 if _QUICK.value else 4  # of which each costs the same
    few, one = folder / "few.mp4", folder / "one.mp4"
    film(few, size + 1 + apart * (rows - 1), 8)
    film(one, size + 1, 9)
    loop = bench.loop(streams, size, apart)
    for first in (bare, lambda: ours(paths[:1] if dense else [one]), lambda: loop([one])):
        first()  # traces
    runs = {"bare": (bare, VIDEOS), "ours": (lambda: ours(paths), VIDEOS), "loop": (lambda: loop([few]), None)}
    seconds = {name: [] for name in runs}
    for _ in range(1 if _QUICK.value else 3):
        for name, (run, videos) in runs.items():
            share = 1 / videos if videos else ((frames - size - 1) // apart + 1) / rows
            seconds[name].append([share * spent for spent in timed(run)])
    medians = {name: tuple(map(statistics.median, zip(*each))) for name, each in seconds.items()}
    return {"frames": frames} | medians


def main(argv):
    del argv
    began = time.perf_counter()
    bench = Bench()
    print(f"a frame costs the rgb network {1000 * bench.per_frame:.1f} ms, a field {1000 * bench.per_field:.1f} ms")
    print("  ".join(HEADS))
    with tempfile.TemporaryDirectory() as folder:
        for streams, window, step, batch in ROWS[: 3 if _QUICK.value else None]:
            found = measure(bench, pathlib.Path(folder), streams, window, step, batch)
            (ours, our_cpu), (bare, bare_cpu), (loop, loop_cpu) = (found[name] for name in ("ours", "bare", "loop"))
            cells = ["+".join(streams), "all" if window == "all" else f"{window}/{step}", batch, found["frames"]]
            cells += [f"{1 / ours:.3f}", f"{found['frames'] / ours:.1f}", f"{1 / bare:.3f}", f"{1 / loop:.3f}"]
            cells += [f"{ratio:.2f}" for ratio in (bare / ours, loop / ours, bare_cpu / our_cpu, loop_cpu / our_cpu)]
            print("  ".join(f"{cell:>{len(head)}}" for cell, head in zip(cells, HEADS)), flush=True)
            name = f"features, {cells[0]}, {cells[1]}"
            claim(name, 1 / ours, 1 / bare, "network alone", "videos/s", least=0.85 if streams == ("rgb",) else None)
            dense = window in ("all", LOOPED[0])
            claim(f"{name}, by stacks", 1 / ours, 1 / loop, "one stack at a time", "videos/s", 3 if dense else None)
    print(f"{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    app.run(main)
