"""An export next to the plain model, OpenVINO on the same export, and the same layers in torch: seconds and memory.

  pip install torch==2.13.0 openvino     # the peers; benchmark-only dependencies
  python benchmarks/serving.py [--quick] [--repeats=7] [--precisions=float32,bfloat16]

RGB I3D at full width, 400 classes, clips of 224 x 224 in memory to probabilities, all from the same weights; answers
are compared. `plain` is the model that `I3D` builds, by `predict_on_batch`. `export` is what
`keras_i3d.export.saved_model` writes for any number of frames, its `serving_default` called in a process that does not
import Keras. `openvino` reads the float32 export, with its hints for the precision and for latency. `torch` has batch
norm folded into the convolutions, channels_last_3d and oneDNN; in bfloat16 its weights are.

Configurations of a row step in turn. Where memory does not hold all of them they go one after the other.
"""

import os
import pathlib
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import made_weights  # noqa: E402
import turns  # noqa: E402
from absl import app, flags  # noqa: E402
from claims import claim  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "One clip of 16 and of 64 frames only.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed steps of each configuration; fewer where a step is long.")
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "bfloat16"], "Which to measure.")
_KINDS = flags.DEFINE_list("kinds", ["plain", "export", "openvino", "torch"], "Which to measure.")
_WORKER = flags.DEFINE_string("worker", None, "Internal: be this configuration.")
_FOLDER = flags.DEFINE_string("folder", None, "Internal: where weights and exports lie.")

ROWS = [(batch, frames) for frames in (16, 64, 250) for batch in (1, 4, 8)]
QUICK_ROWS = [(1, 16), (1, 64)]
TOGETHER = 512  # frames in a batch up to which all configurations fit in memory side by side
SIZE, CLASSES = 224, 400
AGREE = {"float32": 1e-3, "bfloat16": 0.05}  # relative L2 of probabilities from those of plain float32
AIMS = {("bfloat16", "openvino"): 0.6, ("bfloat16", "plain"): 0.5, ("float32", "openvino"): 0.95}


def prepare(folder):
    """Writes one network's weights and its two exports."""
    import keras_i3d

    made_weights.write(folder, CLASSES)
    for precision in ("float32", "bfloat16"):
        keras_i3d.export.saved_model(
            folder / precision, rgb=folder / "rgb.weights.h5", precision=precision, frames=0, labels="none"
        )


def clips(batch, frames):
    import numpy as np

    return np.random.default_rng(1).uniform(-1, 1, (batch, frames, SIZE, SIZE, 3)).astype("float32")


def plain(precision, folder, x):
    import keras

    import keras_i3d

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    model = keras_i3d.I3D(weights=None, classes=CLASSES)
    model.load_weights(folder / "rgb.weights.h5")
    return lambda: model.predict_on_batch(x)


def export(precision, folder, x):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / precision / "1"))
    x = tf.constant(x)
    return lambda: loaded.signatures["serving_default"](rgb=x)["probabilities"].numpy()


def openvino(precision, folder, x):
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision]}
    network = openvino.convert_model(str(folder / "float32" / "1"))
    compiled = openvino.Core().compile_model(network, "CPU", {**hints, "PERFORMANCE_HINT": "LATENCY"})
    return lambda: compiled([x])["probabilities"]


def torch(precision, folder, x):
    import numpy as np
    import torch
    import torch_i3d
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    torch.set_num_threads(os.cpu_count())
    model = torch_i3d.I3D(CLASSES)
    model.load(dict(np.load(folder / "rgb.npz")))
    model.eval()
    for unit in model.modules():
        if isinstance(unit, torch_i3d.Unit):
            unit.conv, unit.norm = fuse_conv_bn_eval(unit.conv, unit.norm), torch.nn.Identity()
    model.endpoints.to(dtype=getattr(torch, precision), memory_format=torch.channels_last_3d)

    @torch.inference_mode()
    def step():
        clip = torch.from_numpy(x).permute(0, 4, 1, 2, 3).to(getattr(torch, precision))  # channels_last_3d as it lies
        return model(clip).softmax(-1).numpy()

    return step


def be(kind, precision, batch, frames, folder):
    """Is one configuration: answers each step with the first probabilities."""
    step = {"plain": plain, "export": export, "openvino": openvino, "torch": torch}[kind]
    step = step(precision, folder, clips(batch, frames))
    turns.work(lambda: [float(p) for p in step()[0]])


def check(rows, wanted, precision):
    """Raises SystemExit unless all configurations of a row answer alike."""
    import numpy as np

    for kind, row in rows.items():
        for result in row["results"]:
            apart = np.linalg.norm(np.subtract(result, wanted)) / np.linalg.norm(wanted)
            if not apart < AGREE[precision]:
                raise SystemExit(f"{kind} in {precision} answers something else: {apart:.2e} from plain float32")


def main(argv):
    del argv
    if _WORKER.value == "prepare":
        prepare(pathlib.Path(_FOLDER.value))
        return
    if _WORKER.value:
        kind, precision, batch, frames = _WORKER.value.split(",")
        be(kind, precision, int(batch), int(frames), pathlib.Path(_FOLDER.value))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(folder)


def compare(folder):
    import subprocess

    def command(worker):
        return [sys.executable, __file__, f"--worker={worker}", f"--folder={folder}"]

    subprocess.run(command("prepare"), check=True, stdout=subprocess.DEVNULL)
    print("| precision | frames | batch | | seconds | least | clips/s | of plain | of openvino | of torch | peak GB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    reached = []
    for batch, frames in QUICK_ROWS if _QUICK.value else ROWS:
        repeats = _REPEATS.value if batch * frames <= TOGETHER // 2 else max(1, _REPEATS.value // 4)
        answer = turns.measure({"plain": command(f"plain,float32,{batch},{frames}")}, 1)["plain"]["results"][0]
        for precision in _PRECISIONS.value:
            commands = {kind: command(f"{kind},{precision},{batch},{frames}") for kind in _KINDS.value}
            rows = turns.measure(commands, repeats, together=batch * frames <= TOGETHER)
            check(rows, answer, precision)
            for kind, row in rows.items():
                shares = [
                    f"{row['seconds'] / rows[peer]['seconds']:.2f}" if peer in rows else ""
                    for peer in ("plain", "openvino", "torch")
                ]
                print(
                    f"| {precision} | {frames} | {batch} | {kind} | {row['seconds']:.3f} | {row['least']:.3f} | "
                    f"{batch / row['seconds']:.2f} | {' | '.join(shares)} | {row['peak']:.2f} |",
                    flush=True,
                )
            for (of, peer), aim in AIMS.items():
                if of == precision and {peer, "export"} <= rows.keys():
                    ours, theirs = (rows[kind]["seconds"] for kind in ("export", peer))
                    reached.append(f"{precision}, {batch} x {frames}: {ours / theirs:.2f} of {peer} (aim {aim})")
                    claim(f"export, {precision}, {batch} x {frames}", ours, theirs, peer, most=aim)
    print(*reached, sep="\n")


if __name__ == "__main__":
    app.run(main)
