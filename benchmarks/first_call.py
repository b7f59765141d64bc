"""What the first clip of a process costs, stage by stage, in seconds of processor time and in memory.

  python benchmarks/first_call.py [--precision=bfloat16] [--runs=3]

RGB I3D at full width from a weights file, 64 frames of 224 x 224. `keras` is the folded model by `predict_on_batch`,
`frozen` what `compile_for(model, "tensorflow")` gives. Each runs in a process of its own, in turn; the least of the
runs counts. 48 frames come after 64: another length in the same process.
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

import made_weights  # noqa: E402
from absl import app, flags  # noqa: E402

_PRECISION = flags.DEFINE_string("precision", "bfloat16", "To compute in.")
_RUNS = flags.DEFINE_integer("runs", 3, "Processes of each kind.")
_WORKER = flags.DEFINE_string("worker", None, "Internal: be this kind.")
_WEIGHTS = flags.DEFINE_string("weights", None, "Internal: the weights file.")


def be(kind, precision, weights):
    """Prints {stage: seconds of processor time}, and the peak of memory in GB."""
    seconds, began = {}, time.process_time()

    def end(stage):
        nonlocal began
        seconds[stage] = time.process_time() - began
        began = time.process_time()

    import numpy as np

    import keras_i3d
    from keras_i3d import networks

    keras_i3d.I3D  # noqa: B018 - loads Keras and TensorFlow
    end("imports")
    model = networks.load(weights, "rgb", precision).to_rows()
    end("load")
    if kind == "keras":
        model = keras_i3d.optimize_for_inference(model)
        end("fold")
    else:
        model = keras_i3d.compile_for(model, "tensorflow")
        end("fold")
    clip = np.random.default_rng(0).uniform(-1, 1, (1, 64, 224, 224, 3)).astype("float32")
    began = time.process_time()
    for frames, stage in ((64, "first call"), (64, "second call"), (48, "first of 48"), (48, "second of 48")):
        model.predict_on_batch(clip[:, :frames])
        end(stage)
    seconds["peak GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps(seconds))


def main(argv):
    del argv
    if _WORKER.value:
        be(_WORKER.value, _PRECISION.value, _WEIGHTS.value)
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = made_weights.write(pathlib.Path(folder))
        found = {"keras": [], "frozen": []}
        for _ in range(_RUNS.value):
            for kind, rows in found.items():
                command = [sys.executable, __file__, f"--worker={kind}", f"--weights={weights}"]
                command.append(f"--precision={_PRECISION.value}")
                answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rows.append(json.loads(answer.splitlines()[-1]))
    stages = list(found["keras"][0])
    print(f"| {_PRECISION.value} | {' | '.join(stages)} |")
    print("|---" * (len(stages) + 1) + "|")
    for kind, rows in found.items():
        print(f"| {kind} | {' | '.join(f'{min(row[stage] for row in rows):.2f}' for stage in stages)} |")


if __name__ == "__main__":
    app.run(main)
