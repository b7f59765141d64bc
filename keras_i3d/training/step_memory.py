"""How much memory a training step takes at most, how much there is, and what of a recipe makes it fit."""

import contextlib
import dataclasses
import math
import pathlib

import keras
import tensorflow as tf

from keras_i3d.data.pipeline import SHUFFLE_BUFFER
from keras_i3d.errors import TrainingError, notice
from keras_i3d.models import families

# What a step takes of the outputs of all layers, by bytes of a value. Measured as the growth of resident memory over
# steps of I3D, R3D-18 and S3D on a CPU: 1.06 and 0.85 of I3D's (clips of 32 x 112 x 112, up to 12 of them, and of 64 x
# 224 x 224), less of the others. It is above 1 in bfloat16 because some operations compute in float32.
KEPT = {2: 1.1, 4: 0.9}
RECOMPUTED = 1.6  # times what is kept with remat: the gradients of the piece at work. Measured on I3D
WORKING = 3.0  # times the outputs of a layer from which nothing is kept: what goes in, what comes out, its gradient
BASE = 250e6  # bytes: the traced step, kernels in other layouts. Measured: 180e6 to 300e6
BATCHES_AHEAD = 7  # decoded, scaled and fetched before a step asks for them. Measured: 6.7 of 2 clips
ENCODED = 50e3  # bytes of a frame in the shuffle buffer: JPEG, and flow as PNG
USABLE = 0.85  # of the memory that there is: others take some too
SLOTS = {"sgd": 1, "adamw": 2}


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """What a training step takes of the memory of its device, in bytes; an estimate.

    Attributes:
        kept: for each clip, what the gradient needs of the network's layers.
        rematerialised: the same with `remat`; None of a network that cannot.
        clip: the clip itself.
        weights: gradients and the optimizer's variables.
        accumulated: the sum of gradients that `accumulate` adds.
        base: what does not depend on the clips: the traced step, and clips that wait in the shuffle buffer.
    """

    kept: float
    rematerialised: float | None
    clip: float
    weights: float
    accumulated: float
    base: float

    def total(self, clips, remat=False, accumulate=1):
        """Returns the bytes of a step of so many clips on one device."""
        each = (self.rematerialised if remat else self.kept) + self.clip * BATCHES_AHEAD
        return each * clips + self.weights + (self.accumulated if accumulate > 1 else 0) + self.base


def estimate(model, recipe, clips=SHUFFLE_BUFFER):
    """Estimates the memory of a training step from a model's graph.

    Args:
        model: what is trained, its layers frozen as in training; of inputs of one size.
        recipe: the Recipe.
        clips: how many there are to train on.

    Returns:
        A StepMemory.
    """
    layers = list(_layers(model))
    first = 0 if recipe.unfreeze else next((i for i, layer in enumerate(layers) if layer.trainable_weights), 0)
    sizes = [_bytes(layer) for layer in layers]
    family = families.of(model)
    trained = sum(4 * math.prod(weight.shape) for weight in model.trainable_weights)
    if recipe.unfreeze:
        trained = sum(4 * math.prod(weight.shape) for weight in model.weights)
    frames, *rest = model.input_shape[1:]
    passing = WORKING * max(sizes, default=0)  # through what is frozen, of which nothing is kept
    kept = _factor(layers) * sum(sizes[first:])
    cut = None
    if family is not None and family.cuts:
        cut = RECOMPUTED * _factor(layers) * _rematerialised(layers[first:], sizes[first:], family.cuts)
    return StepMemory(
        kept=max(kept, passing),
        rematerialised=None if cut is None else max(cut, passing),
        clip=4.0 * frames * math.prod(rest),
        weights=trained * (1 + SLOTS[recipe.optimizer] + (recipe.ema is not None)),
        accumulated=trained,
        base=BASE + ENCODED * frames * min(SHUFFLE_BUFFER, clips),
    )


def _layers(model):
    """The layers that compute something, those of models inside too, from the input on."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def _bytes(layer):
    """Bytes of what a layer gives for one clip."""
    found = keras.tree.flatten(layer.output)
    return sum(math.prod(size or 1 for size in tensor.shape[1:]) * _of(tensor.dtype) for tensor in found)


def _of(dtype):
    return 2 if "16" in keras.backend.standardize_dtype(dtype) else 4


def _factor(layers):
    return KEPT[min((_of(layer.compute_dtype) for layer in layers if layer.weights), default=4)]


def _rematerialised(layers, sizes, cuts):
    """Bytes that are kept where the graph is cut: the outputs there, and for a time those of the largest piece."""
    kept = piece = largest = 0
    for layer, size in zip(layers, sizes):
        piece += size
        if layer.name in cuts:
            kept += size
            largest, piece = max(largest, piece), 0
    return kept + max(largest, piece)


def available(device=None):
    """Returns the bytes that a process may still take, of a GPU by its name or of this machine; None if unknown."""
    if device is not None:
        return _of_gpu(device)
    found = [_of_machine(), *_of_groups()]
    return min((each for each in found if each is not None), default=None)


def devices_memory(devices=None):
    """Returns the least `available` of the devices that train, and whether they are GPUs.

    Args:
        devices: as for `training.train`.
    """
    names = devices or [device.name for device in tf.config.list_logical_devices("GPU")]
    gpus = [name for name in names if "gpu" in name.lower()]
    if not gpus:
        return available(), False
    found = [each for name in gpus if (each := available(name)) is not None]
    return min(found, default=None), True


def _of_gpu(name):
    from tensorflow.python.client import device_lib  # the one place where TensorFlow says how much it may take

    number = name.lower().rpartition("gpu:")[2]
    with contextlib.suppress(Exception):  # of a device that TensorFlow does not describe: then nobody knows
        limits = {device.name.lower(): device.memory_limit for device in device_lib.list_local_devices()}
        limit = next(limit for name, limit in limits.items() if name.endswith(f"gpu:{number}"))
        return limit - tf.config.experimental.get_memory_info(f"GPU:{number}")["current"]
    return None


def _of_machine(path="/proc/meminfo"):
    """What Linux calls available: free, or taken by files that can be read again."""
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    return None


def _of_groups(root="/sys/fs/cgroup", own="/proc/self/cgroup"):
    """Yields what each control group of this process leaves, as a container or a batch system limits it."""
    try:
        lines = pathlib.Path(own).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        second = controllers == ""
        names = ("memory.max", "memory.current") if second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        top = pathlib.Path(root) if second else pathlib.Path(root) / "memory"
        folder = top / place.lstrip("/")
        while True:
            with contextlib.suppress(OSError, ValueError):  # none here, or "max"
                limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in names)
                yield max(limit - used + _file_cache(folder), 0)
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent


def _file_cache(folder):
    """Bytes of a group that files take which can be read again."""
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines():
            name, value = line.split()
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def fitted(recipe, needed, free, devices=1):
    """Decides what a recipe leaves open so that a step fits into memory: its parts first, then rematerialisation.

    Args:
        recipe: the Recipe; `accumulate` and `remat` that are set stay as they are.
        needed: the StepMemory.
        free: bytes that may be taken; None if nobody knows.
        devices: that share a batch. Gradients are accumulated on one alone.

    Returns:
        The Recipe, with numbers for both. A line says what was decided, or that what the user set may not fit.

    Raises:
        TrainingError: the smallest part that the recipe allows takes more than there is.
    """
    usual = dataclasses.replace(recipe, accumulate=recipe.accumulate or 1, remat=bool(recipe.remat))
    each = usual.batch_size // usual.accumulate // devices
    if free is None or needed.total(each, usual.remat, usual.accumulate) <= USABLE * free:
        return usual
    parts = [recipe.accumulate] if recipe.accumulate else [1] if devices > 1 else _parts(recipe)
    again = [recipe.remat] if recipe.remat is not None else [False, True] if needed.rematerialised else [False]
    for remat in again:
        for accumulate in parts:
            if needed.total(recipe.batch_size // accumulate // devices, remat, accumulate) <= USABLE * free:
                decided = dataclasses.replace(recipe, accumulate=accumulate, remat=remat)
                _say(recipe, decided, usual, needed, free, devices)
                return decided
    smallest = dataclasses.replace(recipe, accumulate=parts[-1], remat=again[-1])
    clips = recipe.batch_size // parts[-1] // devices
    takes = f"{gigabytes(needed.total(clips, smallest.remat, parts[-1]))} with {_clips(clips)} at a time"
    given = [name for name in ("accumulate", "remat") if getattr(recipe, name) is not None]
    if given:
        said = ", ".join(f"{name}={getattr(recipe, name)}" for name in given)
        notice(
            f"a step takes about {takes}, and {gigabytes(free)} are free: the system may end this run. {said}, as set "
            "by you or at the start of this run, stays; in another output, without it, what fits is chosen"
        )
        return smallest
    remat = " and remat=True" if smallest.remat else ""
    raise TrainingError(
        f"A training step must fit into memory: about {takes}{remat} of {recipe.clip_frames} frames of {recipe.size} "
        f"pixels. Received: {gigabytes(free)} free, of which {USABLE:.0%} may be taken. Lower clip_frames= or "
        "size=, "
        + ("train on fewer devices at once, " if devices > 1 else "")
        + "take a smaller network (model=), or a machine with more memory."
    )


def _parts(recipe):
    """How many parts a batch may have: each has all draws of a video, and two videos if they are mixed."""
    batch, least = recipe.batch_size, recipe.repeats * (2 if recipe.mixup or recipe.cutmix else 1)
    sizes = [(number, batch // number) for number in range(1, batch + 1) if batch % number == 0]
    return [number for number, size in sizes if size % recipe.repeats == 0 and size >= least] or [1]


def _say(recipe, decided, usual, needed, free, devices):
    clips = recipe.batch_size // devices
    whole = needed.total(clips // usual.accumulate, usual.remat, usual.accumulate)
    now = needed.total(clips // decided.accumulate, decided.remat, decided.accumulate)
    changes = []
    if decided.accumulate != usual.accumulate:
        changes.append(
            f"accumulate={decided.accumulate}, so that {_clips(clips // decided.accumulate)} at a time take about "
            f"{gigabytes(now)}; an update is still of {recipe.batch_size} clips"
        )
    if decided.remat != usual.remat:
        changes.append("remat=True, which computes activations twice, for about a third more time")
    notice(
        f"a step of {_clips(clips // usual.accumulate)} takes about {gigabytes(whole)}, and {gigabytes(free)} are "
        f"free: {'; '.join(changes)}"
    )


def _clips(count):
    return f"{count} clip{'s' if count > 1 else ''}"


def gigabytes(number):
    """Returns bytes for people: "3.1 GB"."""
    return f"{number / 1e9:.1f} GB" if number < 9.95e9 else f"{number / 1e9:.0f} GB"
