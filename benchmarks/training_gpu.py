"""Training on a CUDA GPU through the JAX backend: does mixed precision learn as float32 does, and how fast is it?

  pip install "jax[cuda12]"
  python benchmarks/training_gpu.py [--quick] [--steps=60]

`model.fit` of both streams on generated clips (a drifting pattern a class, which a still frame does not tell apart) in
float32, mixed_float16, where Keras scales the loss, and mixed_bfloat16: their loss curves side by side. Then clips/s of
a step at batch 8 to 64, 64 frames, and the share of the matrix rate measured in the same process. A step counts as
three forward passes, less the input gradient of the first convolution, and nothing else. --quick is for a look on a
processor: small clips and models, whose shares mean nothing.
"""

import os
import time

os.environ["KERAS_BACKEND"] = "jax"

from absl import app, flags  # noqa: E402

_QUICK = flags.DEFINE_bool("quick", False, "Tiny clips and models, to see that it runs.")
_STEPS = flags.DEFINE_integer("steps", 60, "Updates of each loss curve.")

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
GFLOP_PER_FRAME = {"rgb": 2 * 111.15 / 64}  # forward, at 224 x 224; flow's first convolution has two thirds of it
FIRST = 2 * 343 * 64 * 112 * 112 / 2 / 1e9  # per frame and channel: 7 x 7 x 7 to 64 channels at half the frames
CHANNELS = {"rgb": 3, "flow": 2}


def gflop(stream, frames):
    """Of one clip in one update."""
    forward = GFLOP_PER_FRAME["rgb"] - (3 - CHANNELS[stream]) * FIRST
    return frames * (3 * forward - CHANNELS[stream] * FIRST)


def clips(n, frames, size, stream, classes, seed=0):
    """Waves that drift in one direction a class."""
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    angle = 2 * np.pi * labels / classes
    t, y, x = np.meshgrid(np.arange(frames), np.arange(size), np.arange(size), indexing="ij")
    moved = np.cos(angle)[:, None, None, None] * (x - 2 * t) + np.sin(angle)[:, None, None, None] * (y - 2 * t)
    wave = np.sin(moved / 4 + rng.uniform(0, 2 * np.pi, (n, 1, 1, 1)))[..., None]
    clip = np.repeat(wave, CHANNELS[stream], -1) * 0.5 + rng.normal(0, 0.2, (*wave.shape[:-1], CHANNELS[stream]))
    return np.clip(clip, -1, 1).astype("float32"), labels


def build(stream, policy, frames, size, classes, width=1.0):
    import keras

    import keras_i3d

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = keras_i3d.I3D(
        weights=None,
        stream=stream,
        input_shape=(frames, size, size, CHANNELS[stream]),
        classes=classes,
        classifier_activation=None,
        depth_multiplier=width,
        bn_momentum=0.9,
    )
    model.compile(  # in mixed_float16 Keras wraps the optimizer in loss scaling
        keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def curve(stream, policy, frames, size, width, batch, steps, classes=8):
    """Losses of `steps` updates by `fit`."""
    import keras

    model = build(stream, policy, frames, size, classes, width)
    if policy == "mixed_float16" and not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        raise SystemExit("mixed_float16 without loss scaling")
    x, y = clips(batch * 4, frames, size, stream, classes)
    history = model.fit(x, y, batch_size=batch, epochs=max(steps // 4, 1), shuffle=False, verbose=0)
    return history.history["loss"]


def matrix_rate(policy, size):
    """GFLOP/s of the best of several square matrix products."""
    import jax
    import jax.numpy as jnp

    dtype = policy.removeprefix("mixed_")
    matrix = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        product(matrix).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds[1:]) / 1e9


def throughput(stream, policy, batch, frames, size, width, steps):
    """Median seconds of an update by `fit` on one batch that is repeated."""
    import statistics

    import keras
    import numpy as np

    model = build(stream, policy, frames, size, 400, width)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (batch, frames, size, size, CHANNELS[stream])).astype("float32")
    x, y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(rng.integers(0, 400, batch))
    seconds = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        model.train_on_batch(x, y)  # the loss that it returns is read back: the step has ended
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def main(argv):
    del argv
    import jax

    quick = _QUICK.value
    if not quick and jax.default_backend() != "gpu":
        raise SystemExit(f"This needs a CUDA GPU. JAX has: {jax.devices()}. --quick runs anywhere.")
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}\n")
    frames, size, width, batch = (16, 32, 0.125, 2) if quick else (16, 112, 1.0, 8)
    steps = min(_STEPS.value, 8) if quick else _STEPS.value
    for stream in CHANNELS:
        curves = {p: curve(stream, p, frames, size, width, batch, steps) for p in POLICIES}
        print(f"{stream}: mean loss of every four updates\n| update | {' | '.join(curves)} |\n|{'---|' * 4}")
        for i, row in enumerate(zip(*curves.values())):
            print(f"| {4 * i + 4} | {' | '.join(f'{loss:.4f}' for loss in row)} |")
        print(flush=True)
    print("| stream | precision | batch | seconds | clips/s | GFLOP/s | matmul GFLOP/s | share |\n" + f"|{'---|' * 8}")
    frames, size, width = (16, 32, 0.125) if quick else (64, 224, 1.0)
    for stream in CHANNELS:
        for policy in POLICIES:
            limit = matrix_rate(policy, 512 if quick else 8192)
            for batch in (2,) if quick else (8, 16, 32, 64):
                try:
                    seconds = throughput(stream, policy, batch, frames, size, width, 2 if quick else 10)
                except Exception as error:  # jaxlib's own class; a batch that does not fit is an answer too
                    if "RESOURCE_EXHAUSTED" not in str(error):
                        raise
                    print(f"| {stream} | {policy} | {batch} | does not fit | | | | |", flush=True)
                    continue
                rate = batch * gflop(stream, frames) / seconds
                share = "" if quick else f"{rate / limit:.2f}"
                print(
                    f"| {stream} | {policy} | {batch} | {seconds:.3f} | {batch / seconds:.2f} | "
                    f"{'' if quick else round(rate)} | {limit:.0f} | {share} |",
                    flush=True,
                )


if __name__ == "__main__":
    app.run(main)
