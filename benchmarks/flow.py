"""Speed and answers of the TV-L1 engine and layer next to OpenCV's DualTVL1 and DIS, all measured in one run.

  python benchmarks/flow.py [--video=clip.mp4] [--pairs=12] [--baseline] [--device=auto]

Every pair goes to DualTVL1, the engine, DIS and the layer in turn, so that the ratios share the load of the machine.
`--baseline` adds DualTVL1 held to the instructions of any x86-64: how far OpenCV's own answers lie apart.

The layer runs on JAX: pair by pair on the CPU, and where JAX sees a CUDA GPU in batches there, next to all cores
running the engine and all cores running DualTVL1. `--device=cpu` takes the way of the GPU without one.
"""

import functools
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tracemalloc

os.environ["KERAS_BACKEND"] = "jax"

import cv2  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

from keras_i3d import flow, video  # noqa: E402
from keras_i3d.flow import engine  # noqa: E402
from keras_i3d.flow.pairs import cores, prepare  # noqa: E402

_VIDEO = flags.DEFINE_string("video", None, "A real video; without one, only the synthetic pairs are measured.")
_PAIRS = flags.DEFINE_integer("pairs", 8, "Pairs of each kind.", lower_bound=1)
_HEIGHT = flags.DEFINE_integer("height", 256, "Lines of the synthetic frames.", lower_bound=32)
_BASELINE = flags.DEFINE_bool("baseline", False, "Also compare OpenCV with itself on fewer instructions.")
_DEVICE = flags.DEFINE_enum("device", "auto", ["auto", "cpu", "none"], "Where the layer takes batches; auto: a GPU.")
_LAYER = flags.DEFINE_bool("layer", True, "Also run the layer on the CPU.")
_BATCH = flags.DEFINE_integer("batch", 64, "Pairs in a batch there.", lower_bound=1)


def synthetic_pair(rng, h=256):
    """A random texture, 4:3, under a smooth random motion of a few pixels."""
    w = h * 4 // 3
    scene = cv2.GaussianBlur(rng.normal(size=(h, w)), (0, 0), 2)
    motion = cv2.GaussianBlur(rng.normal(size=(h, w, 2)), (0, 0), 40)
    motion *= 3 / abs(motion).max()
    ys, xs = np.mgrid[:h, :w]
    moved = cv2.remap(
        scene, (xs + motion[..., 0]).astype(np.float32), (ys + motion[..., 1]).astype(np.float32), cv2.INTER_CUBIC
    )
    low, high = scene.min(), scene.max()
    return tuple(np.clip((f - low) * 255 / (high - low), 0, 255).astype(np.uint8) for f in (moved, scene))


def spread(frames, count):
    """`count` pairs of neighbours, spread evenly."""
    return [(frames[n], frames[n + 1]) for n in np.linspace(0, len(frames) - 2, count).astype(int)]


def timed(function, *args, clock=time.thread_time):
    """Seconds of this thread's processor time, which other work on the machine does not lengthen, and the result."""
    start = clock()
    result = function(*args)
    return clock() - start, result


def agreement(flows, expected):
    """Mean endpoint difference in pixels, and the shares of 8-bit values that are equal and within one level.

    Then the same shares of pixels, which count where both of their values do.
    """
    difference = np.hypot(*np.moveaxis(flows - expected, -1, 0)).mean()
    a, b = (np.rint((np.clip(f, -20, 20) + 20) * 255 / 40) for f in (flows, expected))
    near = [abs(a - b) <= levels for levels in (0, 1)]
    return difference, *(np.mean(n) for n in near), *(np.mean(n.all(axis=-1)) for n in near)


def baseline_flows(pairs):
    """DualTVL1 in a process that may not use AVX2 and AVX-512."""
    code = (
        "import sys, cv2, numpy as np; cv2.setNumThreads(1); t = cv2.optflow.DualTVL1OpticalFlow_create();"
        "np.save(sys.argv[2], [t.calc(a, b, None) for a, b in np.load(sys.argv[1])])"
    )
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder) / "pairs.npy", pathlib.Path(folder) / "flows.npy"
        np.save(source, pairs)
        environment = dict(os.environ, OPENCV_CPU_DISABLE="AVX512-SKX,AVX2")
        subprocess.run([sys.executable, "-c", code, source, target], check=True, env=environment)
        return np.load(target)


def worker_memory(previous, following):
    """Peak bytes that one worker allocates, buffers and result."""
    tracemalloc.start()
    engine._Solver(previous.shape, engine.TVL1Params(), engine._kernels())(previous, following)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def scaling(frames, repeats=3):
    """Seconds a pair, on the wall and of processors, by workers: one, and one a core. Best of interleaved runs."""
    wall, processor = {}, {}
    for _, workers in itertools.product(range(repeats), (1, cores())):
        flows = flow.stream(frames, workers=workers)
        start = time.process_time()
        seconds, count = timed(lambda flows: sum(1 for _ in flows), flows, clock=time.perf_counter)
        wall[workers] = min(wall.get(workers, np.inf), seconds / count)
        processor[workers] = min(processor.get(workers, np.inf), (time.process_time() - start) / count)
    return wall, processor


@functools.cache
def compiled_layer(quality, device, shape):
    """A function of grey frames (B, 2, H, W) to flow (B, H, W, 2), compiled for that shape."""
    layer = jax.jit(flow.TVL1(quality, name=f"{quality}_{device.platform}"))

    def run(frames):
        return np.asarray(layer(jax.device_put(frames[..., None], device)))[:, 0]

    run(np.zeros(shape, np.uint8))
    return run


def accelerated(frames, device, batch):
    """Pairs a second, on the wall, of the layer in batches, and of the engine and DualTVL1 on all cores."""
    frames = np.stack(frames)
    batch = min(batch, len(frames) - 1)
    pairs = np.stack([frames[:batch], frames[1 : batch + 1]], axis=1)
    at_once = cores()
    methods = {
        f"layer {quality}, {device.device_kind}, batches of {batch}": compiled_layer(quality, device, pairs.shape)
        for quality in flow.QUALITIES
    }
    methods[f"engine, {at_once} cores"] = lambda pairs: list(flow.stream(frames[: batch + 1]))
    methods[f"DualTVL1, {at_once} cores"] = lambda pairs: list(flow.stream(frames[: batch + 1], "opencv"))
    methods["DualTVL1, one core"] = lambda pairs: list(flow.stream(frames[: batch + 1], "opencv", workers=1))
    best = dict.fromkeys(methods, np.inf)
    for _, method in itertools.product(range(2), methods):
        best[method] = min(best[method], timed(methods[method], pairs, clock=time.perf_counter)[0] / batch)
    print(f"\n{'wall clock':56}{'pairs/s':>9}{'DualTVL1 cores':>16}")
    for method, seconds in best.items():
        print(f"{method:56}{1 / seconds:9.2f}{best['DualTVL1, one core'] / seconds:16.1f}")


def report(name, pairs, stream, baseline):
    dual, dis = cv2.optflow.DualTVL1OpticalFlow_create(), cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver = engine._Solver(pairs[0][0].shape, engine.TVL1Params(), engine._kernels())
    methods = {
        "DualTVL1, one thread": lambda a, b: dual.calc(a, b, None),
        "engine, one core": lambda a, b: solver(prepare(a), prepare(b)),
        "DIS medium, one thread": lambda a, b: dis.calc(a, b, None),
    }
    cpu = jax.devices("cpu")[0]
    for quality in flow.QUALITIES if _LAYER.value else ():
        run = compiled_layer(quality, cpu, (1, 2, *pairs[0][0].shape))
        methods[f"layer {quality}, CPU"] = lambda a, b, run=run: run(np.stack([a, b])[None])[0]
    seconds, flows = dict.fromkeys(methods, 0.0), {method: [] for method in methods}
    ratios = []
    for pair in pairs:
        taken = {}
        for method, function in methods.items():
            # The layer works on threads of its own: the processor time of the process.
            clock = time.process_time if method.startswith("layer") else time.thread_time
            taken[method], field = timed(function, *pair, clock=clock)
            seconds[method] += taken[method] / len(pairs)
            flows[method].append(field)
        ratios.append(taken["DualTVL1, one thread"] / taken["engine, one core"])
    flows = {method: np.stack(stack) for method, stack in flows.items()}
    if baseline:
        flows["DualTVL1, baseline build"] = baseline_flows(pairs)
    h, w = pairs[0][0].shape
    print(f"\n{name}: {len(pairs)} pairs of {h} x {w}, OpenCV {cv2.__version__}")
    print(f"{'':44}  values:             pixels:")
    print(
        f"{'':24}{'s a pair':>10}{'speed':>8}{'px apart':>10}{'equal':>9}{'within 1':>10}{'equal':>9}{'within 1':>10}"
    )
    expected, slowest = flows["DualTVL1, one thread"], seconds["DualTVL1, one thread"]
    for method, stack in flows.items():
        took = f"{seconds[method]:10.4f}{slowest / seconds[method]:8.1f}" if method in seconds else " " * 18
        apart, *shares = agreement(stack, expected)
        print(f"{method:24}{took}{apart:10.5f}{shares[0]:9.2%}{shares[1]:10.3%}{shares[2]:9.2%}{shares[3]:10.3%}")
    rates = [1 / seconds[method] for method in ("engine, one core", "DualTVL1, one thread")]
    claim(f"TV-L1 engine, {name}, a core", *rates, "DualTVL1", "pairs/s", least=20 if name == "synthetic" else 22)
    print(f"engine against DualTVL1, pair by pair: {min(ratios):.1f} to {max(ratios):.1f} times as fast")
    wall, processor = scaling(stream[:25])
    for workers in wall:
        print(
            f"stream on {workers} workers: {wall[workers]:.4f} s a pair, {wall[1] / wall[workers]:.2f} times one; "
            f"processor time a pair {processor[workers]:.4f} s, {processor[workers] / processor[1]:.2f} times one; "
            f"cores busy {processor[workers] / wall[workers] / workers:.0%}"
        )
    peak = worker_memory(*(prepare(frame) for frame in pairs[0]))
    print(f"memory of a worker: {peak / 2**20:.1f} MiB, {peak / (h * w):.0f} bytes a pixel")
    gpus = [device for device in jax.devices() if device.platform == "gpu"]
    if _DEVICE.value == "cpu" or (_DEVICE.value == "auto" and gpus):
        accelerated(stream, cpu if _DEVICE.value == "cpu" else gpus[0], _BATCH.value)
    elif _DEVICE.value == "auto":
        print(f"no GPU: JAX sees {', '.join(str(device) for device in jax.devices())} alone")


def main(argv):
    del argv
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    synthetic = [synthetic_pair(rng, _HEIGHT.value) for _ in range(_PAIRS.value)]
    stream = list(itertools.islice(itertools.cycle(synthetic[0]), _BATCH.value + 1))
    report("synthetic", synthetic, stream, _BASELINE.value)
    if _VIDEO.value:
        frames = [engine.to_grey(frame) for frame in video.Reader(_VIDEO.value, fps=None)]
        pairs = spread(frames, _PAIRS.value)
        report(pathlib.Path(_VIDEO.value).name, pairs, frames[: _BATCH.value + 1], _BASELINE.value)


if __name__ == "__main__":
    app.run(main)
