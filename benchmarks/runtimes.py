"""RGB I3D by each runtime of `compile_for`, in turn in one process: seconds of a clip, and what the first call takes.

  pip install '.[openvino]'
  python benchmarks/runtimes.py [--rows=bfloat16/16,bfloat16/64,float32/16,float32/64] [--turns=9] [--int8]

`first` is from the model to the first answer: tracing, converting, compiling. `seconds` is the median over the turns
and `least` their least, wall and, in brackets, of all cores together: where other programs run, compare the latter.
`ratio` is the median over the turns of a runtime's seconds to Keras's. `apart` is the relative L2 of its logits from
those of Keras in float32. Weights are drawn so that signals keep their size through the layers.

--int8 adds OpenVINO's graph as NNCF quantises it (`pip install nncf`), calibrated on other clips of the same kind than
it is measured on.
"""

import math
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_ROWS = flags.DEFINE_list("rows", ["bfloat16/16", "bfloat16/64", "float32/16", "float32/64"], "precision/frames.")
_TURNS = flags.DEFINE_integer("turns", 9, "How often each is run after its first call.", 1)
_INT8 = flags.DEFINE_bool("int8", False, "Whether the graph is quantised too, by NNCF.")
_WIDTH = flags.DEFINE_float("depth_multiplier", 1.0, "How wide the network is.", 0.01)
RUNTIMES = ("tensorflow", "openvino")
AIMS = {"bfloat16": 1.0, "float32": 0.95}


def timed(function):
    """Returns (what a function returns, its seconds, the seconds of all cores)."""
    began, worked = time.perf_counter(), time.process_time()
    found = function()
    return found, time.perf_counter() - began, time.process_time() - worked


class Quantised:
    """What OpenVINO makes of a model in eight bits where NNCF does, calibrated on clips."""

    def __init__(self, model, clips):
        import nncf
        import openvino

        from keras_i3d.optimize import optimize_for_inference
        from keras_i3d.runtimes import openvino_graph

        graph = openvino_graph.graph(optimize_for_inference(model, "float32"))
        data = nncf.Dataset(clips, lambda clip: clip)
        graph = nncf.quantize(graph, data, subset_size=len(clips), preset=nncf.QuantizationPreset.PERFORMANCE)
        graph.reshape(clips[0].shape)
        self.compiled = openvino.Core().compile_model(graph, "CPU", openvino_graph.settings("bfloat16"))

    def predict_on_batch(self, x):
        return self.compiled(x)[0]


def drawn(model):
    """Draws a model's weights so that the signal keeps its size from layer to layer."""
    import numpy as np

    draw = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "kernel":
            weight.assign(draw.normal(0, math.sqrt(2 / math.prod(weight.shape[:-1])), weight.shape))
        elif weight.name == "beta":
            weight.assign(draw.normal(0, 0.1, weight.shape))


def measure(precision, frames):
    """Prints the rows of a precision and a length."""
    import keras
    import numpy as np

    import keras_i3d
    from keras_i3d.export.card import clip as drifting
    from keras_i3d.precision import PRECISIONS, policy

    with policy(PRECISIONS[precision]):
        shape = (None, None, None, 3)
        model = keras_i3d.I3D(weights=None, input_shape=shape, depth_multiplier=_WIDTH.value)
    drawn(model)
    model = keras.Model(model.input, model.get_layer("Logits").output, name=model.name)
    clip, *others = (drifting((frames, 224, 224, 3), seed)[None] for seed in range(5))
    runtimes = (*RUNTIMES, "int8") if _INT8.value else RUNTIMES
    compiled, answers, first, wall, cores = {}, {}, {}, {}, {}
    for name in runtimes:

        def begin(name=name):
            compiled[name] = Quantised(model, others) if name == "int8" else keras_i3d.compile_for(model, name)
            return compiled[name].predict_on_batch(clip)

        answers[name], first[name], _ = timed(begin)
        wall[name], cores[name] = [], []
    for _ in range(_TURNS.value):
        for name in runtimes:
            _, seconds, worked = timed(lambda name=name: compiled[name].predict_on_batch(clip))
            wall[name].append(seconds)
            cores[name].append(worked)
    plain = keras_i3d.I3D(weights=None, input_shape=shape, depth_multiplier=_WIDTH.value)
    drawn(plain)
    exact = keras.Model(plain.input, plain.get_layer("Logits").output).predict_on_batch(clip)
    for name in runtimes:
        apart = np.linalg.norm(answers[name] - exact) / np.linalg.norm(exact)
        ratio = statistics.median(a / b for a, b in zip(wall[name], wall["tensorflow"]))
        by_cores = statistics.median(a / b for a, b in zip(cores[name], cores["tensorflow"]))
        print(
            f"| {precision} | {frames} | {name} | {first[name]:.1f} | {statistics.median(wall[name]):.4f} "
            f"({statistics.median(cores[name]):.4f}) | {min(wall[name]):.4f} ({min(cores[name]):.4f}) | {ratio:.2f} "
            f"({by_cores:.2f}) | {apart:.0e} |",
            flush=True,
        )
    ours, theirs = (statistics.median(wall[name]) for name in RUNTIMES)
    aim = None if _WIDTH.value != 1 else AIMS.get(precision)
    claim(f"network, {precision}, 1 x {frames}", ours, theirs, "OpenVINO on the rearranged graph", most=aim)


def main(argv):
    del argv
    print(
        "| precision | frames | runtime | first | seconds | least | ratio | apart |\n|---|---|---|---|---|---|---|---|"
    )
    for row in _ROWS.value:
        precision, _, frames = row.partition("/")
        measure(precision, int(frames))


if __name__ == "__main__":
    app.run(main)
