"""The card of an export: what it was made of, how its clips are made, how far it is from the plain model."""

import dataclasses
import hashlib
import os
import pathlib

import keras
import numpy as np

from keras_i3d import facts, paths, runs
from keras_i3d.probabilities import probabilities
from keras_i3d.specs import HALF, INPUT_CHANNELS, normalised
from keras_i3d.weights import by_name, download, registry, tensorflow_files

CLIPS = 2  # that the deviation is measured on
ALLOWED = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.1}  # relative L2 of logits; beyond it something is wrong


def provenance(weights, stream, model):
    """Returns where a stream's weights are from: plain numbers and strings, without paths of this machine.

    Args:
        weights: what was asked for.
        stream: "rgb", "flow" or "both".
        model: the float32 model that holds them.
    """
    arrays = {"sha256_of_arrays": _digest(model)}
    if isinstance(weights, keras.Model):
        return {"source": f"the model {weights.name}", **arrays}
    if registry.is_name(weights):
        return {"source": f'published weights "{weights}"', **_published(registry.find(weights, stream)), **arrays}
    path = pathlib.Path(weights)
    if runs.is_run(path):
        run = runs.read(path)
        file = runs.weights_file(path, quiet=True)
        made = {
            "records": ", ".join(map(_without_place, run.records.split(", "))),
            "weights": run.weights and _without_place(run.weights),
            "recipe": dataclasses.asdict(run.recipe),
            "version": run.version,
        }
        return {"source": f"training run {run.name}", **_file(file), "training": made, **arrays}
    if path.is_file():
        return {"source": "a weights file", **_file(path), **arrays}
    entry = registry.identify(f"{tensorflow_files.checkpoint_prefix(path)}.index")
    if entry:
        return {"source": "a TensorFlow checkpoint that is published", **_published(entry), **arrays}
    return {"source": f"the TensorFlow checkpoint {path.name}", **arrays}


def digest_of_labels(names):
    """Returns the sha256 of class names in their order: that of a file with a name a line, as `sha256sum` says it."""
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()


def deviation(reference, exported, shapes, activation):
    """Compares an export with the plain float32 models on a few seeded clips.

    Args:
        reference: {stream: Network}.
        exported: takes {stream: float32 (1, T, S, S, C)} and returns {"logits", "probabilities"}, (1, classes) each.
        shapes: {stream: (T, S, S, C)}.
        activation: name of what makes probabilities of the sum of logits. One reference alone, unless it ends in its
            logits, is asked for its own.

    Returns:
        {"clips", how many; "relative_l2" of the logits, the largest; "probabilities", the largest difference of one;
        "top1_agrees", on how many clips}.
    """
    errors, apart, agree = [], [], 0
    plain = {
        s: keras.Model(network.model.input, [network.to_logits().output, network.model.output])
        for s, network in reference.items()
    }
    own = len(plain) == 1 and facts.activation(next(iter(reference.values())).model) != "linear"
    for seed in range(CLIPS):
        clips = {stream: spread(clip(shape, seed), reference[stream].clip)[None] for stream, shape in shapes.items()}
        told = [plain[s](clips[s], training=False) for s in clips]
        expected = sum(np.asarray(logits, np.float32) for logits, _ in told)
        answer = {name: np.asarray(value) for name, value in exported(clips).items()}
        logits = answer["logits"]
        shares = np.asarray(told[0][1]) if own else probabilities(expected, activation)
        apart.append(float(np.abs(answer["probabilities"] - shares).max()))
        errors.append(float(np.linalg.norm(logits - expected) / np.linalg.norm(expected)))
        agree += int(logits.argmax() == expected.argmax())
    return {
        "from": "the plain float32 model",
        "clips": CLIPS,
        "relative_l2": max(errors),
        "probabilities": max(apart),
        "top1_agrees": agree,
    }


def clip(shape, seed):
    """Returns a seeded clip (T, H, W, C), float32 in [-1, 1]: a coarse random texture that drifts."""
    time, height, width, channels = shape
    draw = np.random.default_rng(seed)
    grid = draw.uniform(-1, 1, (height // 16 + 2, (width + 2 * time) // 16 + 2, channels))
    texture = np.kron(grid, np.ones((16, 16, 1))).astype("float32")
    noise = draw.uniform(-0.1, 0.1, (time, height, width, channels)).astype("float32")
    moved = np.stack([texture[:height, 2 * t : 2 * t + width] for t in range(time)])
    return np.clip(moved + noise, -1, 1)


def spread(values, spec):
    """Returns a clip (T, H, W, C) in [-1, 1] with its colours spread over what a ClipSpec says that a network takes."""
    if spec.stream == "flow" or (spec.mean, spec.std) == (HALF, HALF):
        return values
    colours = normalised((values[..., :3] + 1) * np.float32(127.5), spec.mean, spec.std)
    return np.concatenate([colours, values[..., 3:]], axis=-1)


def clip_shapes(streams, frames, crop):
    """Returns {stream: (T, S, S, C)} of the clips that an export is tried on."""
    return {stream: (frames, crop, crop, INPUT_CHANNELS[stream]) for stream in streams}


def _without_place(path):
    """Returns the last part of a path, of a glob the last two: what was meant, without where it lies on a machine."""
    parts = pathlib.PurePath(path).parts
    return "/".join(parts[-2:] if paths.MAGIC.search(path) else parts[-1:])


def _published(entry):
    return {
        "checkpoint": entry.name,
        "url": entry.files[-1].urls[0],
        "git_blob": entry.files[-1].git_blob,
        "sha256": entry.files[-1].sha256,
        "trained_on": entry.trained_on,
    }


def _file(path):
    return {"file": path.name, "bytes": os.path.getsize(path), "sha256": download.sha256(path)}


def _digest(model):
    """The sha256 over names, shapes and float32 values of all weights, by layer name."""
    digest = hashlib.sha256()
    for name, arrays in sorted(by_name.layer_weights(model).items()):
        for array in arrays:
            digest.update(f"{name} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()
