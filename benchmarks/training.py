"""A training step of RGB I3D: clips/s and peak memory beside the same layers in torch, and rematerialisation's price.

  pip install torch==2.13.0     # the peer; a benchmark-only dependency
  python benchmarks/training.py [--quick] [--repeats=9] [--records=FOLDER]

Every configuration is a process of its own, so that its peak memory is its own. Those of one size and precision live
side by side and take one step each in turn, so that a busy moment of the machine meets all of them; speeds are ratios
of medians. Before that, both frameworks are held to the same number of parameters, the same logits from the same
weights and the same loss after an update.

Torch runs with its best settings: channels_last_3d, oneDNN, a fused SGD, bfloat16 by autocast; --compile adds
torch.compile. With --records, a row each shows the share of time that a step waits for `data.load`.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "16 frames only.")
_REPEATS = flags.DEFINE_integer("repeats", 9, "Steps of each configuration at 16 frames; a third of that at 64.")
_COMPILE = flags.DEFINE_bool("compile", False, "Whether the torch peer also runs under torch.compile.")
_RECORDS = flags.DEFINE_string("records", None, "A folder of records to measure the input pipeline with.")
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "mixed_bfloat16"], "Which to measure.")
_WORKER = flags.DEFINE_string("worker", None, "Internal: be this configuration.")
_FOLDER = flags.DEFINE_string("folder", None, "Internal: where the check keeps weights and answers.")

BATCH, SIZE, CLASSES = 2, 224, 400
AIMS = {"float32": 1.6, "mixed_bfloat16": 1.3}
CHECKED = (2, 16, 112, 112, 3)  # clips of the check
LEARNING_RATE = 0.01


def clips(shape):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, shape).astype("float32"), rng.integers(0, CLASSES, shape[0])


def keras_model(kind, policy, shape, dropout=0.5):
    """A compiled model of one of the kinds plain, fast, remat."""
    import keras

    import keras_i3d
    from keras_i3d.training import fast

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = keras_i3d.I3D(
        weights=None, input_shape=shape[1:], classes=CLASSES, classifier_activation=None, dropout=dropout
    )
    if kind != "plain":
        model = fast.for_training(model, remat=kind == "remat")
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def keras_step(kind, policy, shape):
    model = keras_model(kind, policy, shape)
    x, y = clips(shape)
    return lambda: float(model.train_on_batch(x, y))


def torch_step(kind, policy, shape, model=None):
    import torch
    import torch_i3d

    torch.set_num_threads(os.cpu_count())
    torch.manual_seed(0)
    model = (model or torch_i3d.I3D(CLASSES)).to(memory_format=torch.channels_last_3d).train()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, LEARNING_RATE, momentum=0.9, fused=True)
    forward = torch.compile(model) if kind == "compiled" else model
    x, y = clips(shape)

    def step():
        optimizer.zero_grad(set_to_none=True)
        clip = torch.from_numpy(x).permute(0, 4, 1, 2, 3)  # channels_last_3d as it lies
        with torch.autocast("cpu", torch.bfloat16, enabled=policy != "float32"):
            logits = forward(clip)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def work(kind, policy, frames):
    """Takes one step for each line read, and answers with its seconds, and loss and memory in GB so far."""
    shape = (BATCH, int(frames), SIZE, SIZE, 3)
    step = (torch_step if kind in ("torch", "compiled") else keras_step)(kind, policy, shape)
    before = resident()
    for _ in sys.stdin:
        began, busy = time.perf_counter(), time.process_time()
        loss = step()
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        answer = {"seconds": seconds, "busy": busy, "loss": loss, "peak": peak, "before": before}
        print(json.dumps(answer), flush=True)


def resident():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def check_keras(folder):
    """Writes weights, logits, and what one update without dropout makes of the loss and of the weights.

    And how far the update moves when the input changes in its last bit: nothing can agree better than that.
    """
    import keras
    import numpy as np

    def values():
        return {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}

    def norm(a, b):
        return np.sqrt(sum(((a[path] - b[path]) ** 2).sum() for path in a if "moving" not in path))

    model = keras_model("fast", "float32", CHECKED, dropout=0.0)
    weights = values()
    x, y = clips(CHECKED)
    logits = keras.ops.convert_to_numpy(model(x, training=True))  # fresh moving statistics would shrink them
    model.optimizer.build(model.trainable_variables)
    everything = (*model.weights, *model.optimizer.variables)
    start, kept = values(), [keras.ops.convert_to_numpy(v) for v in everything]
    loss = float(model.train_on_batch(x, y))
    updated = values()
    for variable, value in zip(everything, kept):
        variable.assign(value)
    last_bit = np.random.default_rng(1).choice(np.float32([-6e-8, 6e-8]), x.shape)
    model.train_on_batch(x * (1 + last_bit), y)
    sensitivity = norm(values(), updated) / norm(updated, start)
    count = sum(w.size for path, w in weights.items() if "moving" not in path)
    np.savez(folder / "weights.npz", **weights)
    np.savez(folder / "updated.npz", **updated)
    np.savez(folder / "keras.npz", logits=logits, loss=loss, count=count, sensitivity=sensitivity)


def check_torch(folder):
    """Compares with what check_keras wrote."""
    import numpy as np
    import torch
    import torch_i3d

    model = torch_i3d.I3D(CLASSES, dropout=0.0)
    model.load(dict(np.load(folder / "weights.npz")))
    wanted = np.load(folder / "keras.npz")
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    x, _ = clips(CHECKED)
    with torch.no_grad():
        logits = model.train()(torch.from_numpy(x).permute(0, 4, 1, 2, 3)).numpy()
    before = [p.detach().clone() for p in model.parameters()]
    loss = torch_step("torch", "float32", CHECKED, model)()
    after = [p.detach().clone() for p in model.parameters()]
    model.load(dict(np.load(folder / "updated.npz")))
    apart = sum(((a - p) ** 2).sum() for a, p in zip(after, model.parameters()))
    moved = sum(((a - b) ** 2).sum() for a, b in zip(after, before))
    answer = {
        "parameters": [count, int(wanted["count"])],
        "logits": float(np.abs(logits - wanted["logits"]).max() / np.abs(logits).max()),
        "losses": [loss, float(wanted["loss"])],
        "update": (apart / moved).sqrt().item(),
        "sensitivity": float(wanted["sensitivity"]),
    }
    print(json.dumps(answer))


def check():
    with tempfile.TemporaryDirectory() as folder:
        for side in ("check_keras", "check_torch"):
            done = subprocess.run(
                [sys.executable, __file__, f"--worker={side}", f"--folder={folder}"],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        answer = json.loads(done.stdout.splitlines()[-1])
    (ours, theirs), (loss, keras_loss) = answer["parameters"], answer["losses"]
    print(
        f"Same layers: {ours} trainable parameters; from the same weights the largest difference of logits is "
        f"{answer['logits']:.1e} of the largest, losses lie "
        f"{abs(loss - keras_loss):.1e} apart, an update of the weights differs by {answer['update']:.1e} of itself "
        f"(by {answer['sensitivity']:.1e} where the last bit of the input changes)\n"
    )
    if ours != theirs or not answer["logits"] < 1e-4 or not answer["update"] < 4 * answer["sensitivity"]:
        raise SystemExit(f"The peer computes something else: {answer}")


def measure(kinds, policy, frames, repeats):
    """{kind: row} of configurations that step in turn."""
    workers = {}
    try:
        for kind in kinds:
            command = [sys.executable, __file__, f"--worker={kind},{policy},{frames}"]
            workers[kind] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            step(workers[kind])  # builds, traces, compiles
        answers = {kind: [step(worker)] for kind, worker in workers.items()}
        for _ in range(repeats):
            for kind, worker in workers.items():
                answers[kind].append(step(worker))
    finally:
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
    return {
        kind: {
            "seconds": statistics.median(answer["seconds"] for answer in some[1:]),
            "least": min(answer["seconds"] for answer in some[1:]),
            "busy": statistics.median(answer["busy"] for answer in some[1:]),
            "losses": [answer["loss"] for answer in some],
            "peak": some[-1]["peak"],
            "before": some[-1]["before"],
        }
        for kind, some in answers.items()
    }


def step(worker):
    worker.stdin.write("\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("A worker ended early; its message is above.")
    return json.loads(line)


def waiting(policy, records, frames, steps=12):
    """Prints the share of time that training waits for the input pipeline."""
    from keras_i3d import data

    model = keras_model("fast", policy, (BATCH, frames, SIZE, SIZE, 3))
    batches = iter(
        data.load(
            records, stream="rgb", clip_frames=frames, size=SIZE, batch_size=BATCH, training=True, seed=0, repeat=True
        )
    )
    model.train_on_batch(*next(batches)[:2])
    waited = trained = 0.0
    for _ in range(steps):
        began = time.perf_counter()
        x, y, *_ = next(batches)
        got = time.perf_counter()
        model.train_on_batch(x, y)
        waited, trained = waited + got - began, trained + time.perf_counter() - got
    print(json.dumps({"waited": waited / steps, "trained": trained / steps, "share": waited / (waited + trained)}))


def main(argv):
    del argv
    if _WORKER.value:
        kind, *settings = _WORKER.value.split(",")
        if kind.startswith("check_"):
            (check_keras if kind == "check_keras" else check_torch)(pathlib.Path(_FOLDER.value))
        elif kind == "waiting":
            waiting(settings[0], _RECORDS.value, int(settings[1]))
        else:
            work(kind, *settings)
        return
    check()
    kinds = ["plain", "fast", "remat", "torch", *(["compiled"] if _COMPILE.value else [])]
    print("| precision | frames | | seconds | least | processor s | clips/s | speed of torch | peak GB | the step's |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    reached = []
    for frames in (16,) if _QUICK.value else (16, 64):
        for policy in _PRECISIONS.value:
            aim = AIMS[policy]
            rows = measure(kinds, policy, frames, _REPEATS.value if frames == 16 else max(3, _REPEATS.value // 3))
            peer = min(rows[kind]["seconds"] for kind in rows if kind in ("torch", "compiled"))
            for kind, row in rows.items():
                print(
                    f"| {policy} | {frames} | {kind} | {row['seconds']:.2f} | {row['least']:.2f} | {row['busy']:.2f} | "
                    f"{BATCH / row['seconds']:.2f} | {peer / row['seconds']:.2f} | {row['peak']:.2f} | "
                    f"{row['peak'] - row['before']:.2f} |",
                    flush=True,
                )
            # Two graphs, which may be optimised apart in their last bits; tests/test_fast.py compares bit by bit.
            first = {kind: rows[kind]["losses"][0] for kind in ("fast", "remat")}
            if abs(first["remat"] - first["fast"]) > (1e-5 if policy == "float32" else 1e-2) * first["fast"]:
                raise SystemExit(f"remat's first loss is not that of fast: {first}")
            reached.append((policy, frames, peer / rows["fast"]["seconds"], aim))
    for policy, frames, speed, aim in reached:
        print(f"{policy}, {frames} frames: {speed:.2f} times the speed of torch (aim {aim})")
    for policy in _PRECISIONS.value if _RECORDS.value else ():
        command = [sys.executable, __file__, f"--worker=waiting,{policy},16", f"--records={_RECORDS.value}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{policy}: a step trains {row['trained']:.2f} s and waits {row['waited']:.2f} s for its clips: "
            f"{row['share']:.1%} of the time"
        )


if __name__ == "__main__":
    app.run(main)
