"""Speed and answers of the TV-L1 engine beside OpenCV's DualTVL1 and DIS, all measured in one run.

  python benchmarks/flow.py [--video=clip.mp4] [--pairs=12] [--baseline]

Every pair goes to DualTVL1, the engine and DIS in turn, so that the ratios share the load of the machine. `--baseline`
adds DualTVL1 held to the instructions of any x86-64: how far OpenCV's own answers lie apart.
"""

import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tracemalloc

import cv2
import numpy as np
from absl import app, flags

from keras_i3d import flow, video
from keras_i3d.flow import engine
from keras_i3d.flow import pairs as flow_pairs

_VIDEO = flags.DEFINE_string("video", None, "A real video; without one, only the synthetic pairs are measured.")
_PAIRS = flags.DEFINE_integer("pairs", 8, "Pairs of each kind.", lower_bound=1)
_BASELINE = flags.DEFINE_bool("baseline", False, "Also compare OpenCV with itself on fewer instructions.")


def synthetic_pair(rng, h=256, w=341):
    """A random texture under a smooth random motion of a few pixels."""
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
    """Mean endpoint difference in pixels, and the shares of 8-bit values that are equal and within one level."""
    difference = np.hypot(*np.moveaxis(flows - expected, -1, 0)).mean()
    a, b = (np.rint((np.clip(f, -20, 20) + 20) * 255 / 40) for f in (flows, expected))
    return difference, np.mean(a == b), np.mean(abs(a - b) <= 1)


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
    for _, workers in itertools.product(range(repeats), (1, flow_pairs.cores())):
        flows = flow.stream(frames, workers=workers)
        start = time.process_time()
        seconds, count = timed(lambda flows: sum(1 for _ in flows), flows, clock=time.perf_counter)
        wall[workers] = min(wall.get(workers, np.inf), seconds / count)
        processor[workers] = min(processor.get(workers, np.inf), (time.process_time() - start) / count)
    return wall, processor


def report(name, pairs, stream, baseline):
    dual, dis = cv2.optflow.DualTVL1OpticalFlow_create(), cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver = engine._Solver(pairs[0][0].shape, engine.TVL1Params(), engine._kernels())
    methods = {
        "DualTVL1, one thread": lambda a, b: dual.calc(a, b, None),
        "engine, one core": lambda a, b: solver(flow_pairs.prepare(a), flow_pairs.prepare(b)),
        "DIS medium, one thread": lambda a, b: dis.calc(a, b, None),
    }
    seconds, flows = dict.fromkeys(methods, 0.0), {method: [] for method in methods}
    ratios = []
    for pair in pairs:
        taken = {}
        for method, function in methods.items():
            taken[method], flow = timed(function, *pair)
            seconds[method] += taken[method] / len(pairs)
            flows[method].append(flow)
        ratios.append(taken["DualTVL1, one thread"] / taken["engine, one core"])
    flows = {method: np.stack(stack) for method, stack in flows.items()}
    if baseline:
        flows["DualTVL1, baseline build"] = baseline_flows(pairs)
    h, w = pairs[0][0].shape
    print(f"\n{name}: {len(pairs)} pairs of {h} x {w}, OpenCV {cv2.__version__}")
    print(f"{'':26}{'s a pair':>10}{'speed':>8}{'px apart':>10}{'equal':>9}{'within 1':>10}")
    expected, slowest = flows["DualTVL1, one thread"], seconds["DualTVL1, one thread"]
    for method, stack in flows.items():
        took = f"{seconds[method]:10.4f}{slowest / seconds[method]:8.1f}" if method in seconds else " " * 18
        apart, equal, within = agreement(stack, expected)
        print(f"{method:26}{took}{apart:10.5f}{equal:9.2%}{within:10.3%}")
    print(f"engine against DualTVL1, pair by pair: {min(ratios):.1f} to {max(ratios):.1f} times as fast")
    wall, processor = scaling(stream)
    for workers in wall:
        print(
            f"stream on {workers} workers: {wall[workers]:.4f} s a pair, {wall[1] / wall[workers]:.2f} times one; "
            f"processor time a pair {processor[workers]:.4f} s, {processor[workers] / processor[1]:.2f} times one"
        )
    peak = worker_memory(*(flow_pairs.prepare(frame) for frame in pairs[0]))
    print(f"memory of a worker: {peak / 2**20:.1f} MiB, {peak / (h * w):.0f} bytes a pixel")


def main(argv):
    del argv
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    synthetic = [synthetic_pair(rng) for _ in range(_PAIRS.value)]
    report("synthetic", synthetic, list(itertools.islice(itertools.cycle(synthetic[0]), 25)), _BASELINE.value)
    if _VIDEO.value:
        frames = [engine.to_grey(frame) for frame in video.Reader(_VIDEO.value, fps=None)]
        report(pathlib.Path(_VIDEO.value).name, spread(frames, _PAIRS.value), frames[:25], _BASELINE.value)


if __name__ == "__main__":
    app.run(main)
