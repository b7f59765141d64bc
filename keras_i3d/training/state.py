"""Everything that a training step changes, in one file, so that a killed run goes on as if nothing had happened.

Weights, the optimizer's variables, the state of every random layer and the running metrics. A checkpoint is written
aside, read back, and renamed; the one before it stays until then.
"""

import json
import os
import pathlib
import re
import zipfile

import keras
import numpy as np

from keras_i3d.messages import notice

KEPT = 2  # checkpoints: the newest, and the one before it in case the newest is damaged later


class Checkpoints:
    """The checkpoints of a run, `step-000000123.npz` in a folder.

    Args:
        folder: made if need be.
        model: a compiled model whose optimizer is built.
        writes: whether this process writes; of several workers that train together, one does, and all read.
    """

    def __init__(self, folder, model, writes=True):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = model
        self.writes = writes

    def save(self, step, **facts):
        """Writes the state after `step` steps, with `facts` (JSON) beside it; older checkpoints go afterwards.

        Raises:
            OSError: it could not be written; what was there before is untouched.
            FloatingPointError: a weight is not finite; nothing is written.
        """
        final = self.folder / f"step-{step:09}.npz"
        aside = final.with_suffix(f".{os.getpid()}.part")
        arrays = {f"{i:05}": np.asarray(variable) for i, variable in enumerate(variables(self.model))}
        for variable, array in zip(variables(self.model), arrays.values()):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise FloatingPointError(f"{variable.path} is not finite after step {step}")
        arrays |= {f"metric{i:05}": np.asarray(variable) for i, variable in enumerate(self.model.metrics_variables)}
        if not self.writes:
            return
        about = {"step": step, "layout": _layout(self.model), **facts}
        try:
            with open(aside, "wb") as file:
                np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
                file.flush()
                os.fsync(file.fileno())
            _read(aside)
            os.replace(aside, final)
        finally:
            aside.unlink(missing_ok=True)
        for old in self._all()[:-KEPT]:
            old.unlink()

    def restore(self):
        """Gives the model the state of the newest readable checkpoint.

        Returns:
            What was saved beside it, with "step" and "metrics", the running metrics; None if there is no checkpoint.

        Raises:
            ValueError: the checkpoint belongs to another model or optimizer, or none of several can be read.
        """
        for stale in self.folder.glob("*.part") if self.writes else ():
            stale.unlink()
        found = self._all()
        for path in reversed(found):
            try:
                about, arrays, metrics = _read(path)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                notice(f"{path} cannot be read ({error}); the checkpoint before it is taken")
                continue
            layout = _layout(self.model)
            if about["layout"] != layout:
                differing = [f"{a} and {b}" for a, b in zip(about["layout"], layout) if a != b] or ["their number"]
                raise ValueError(f"{path} belongs to another model or optimizer. They differ in: {differing[0]}")
            for variable, value in zip(variables(self.model), arrays):
                variable.assign(value)
            return {**about, "metrics": metrics}
        if found:
            raise ValueError(
                f"None of the {len(found)} checkpoints in {self.folder} can be read. Remove them to restart."
            )
        return None

    def _all(self):
        return sorted(p for p in self.folder.iterdir() if re.fullmatch(r"step-\d{9}\.npz", p.name))


def variables(model):
    """Every variable that a training step changes for good: weights, the seeds of random layers, the optimizer's."""
    seen = {}
    for variable in (*model.variables, *model.optimizer.variables):
        seen.setdefault(id(variable), variable)
    return list(seen.values())


class RestoreMetrics(keras.callbacks.Callback):
    """Gives the metrics their values again at the start of a part of an epoch, for `fit` has just reset them."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_begin(self, epoch, logs=None):
        if self.values is not None:
            for variable, value in zip(self.model.metrics_variables, self.values, strict=True):
                variable.assign(value)
        self.values = None


def _layout(model):
    return [f"{tuple(v.shape)} {keras.backend.standardize_dtype(v.dtype)}" for v in variables(model)]


def _read(path):
    """Returns (facts, arrays, metrics) of a checkpoint file; its own checksums are verified on the way."""
    with np.load(path) as file:
        about = json.loads(file["about"].tobytes())
        names = sorted(name for name in file.files if name != "about")
        arrays = [file[name] for name in names if not name.startswith("metric")]
        return about, arrays, [file[name] for name in names if name.startswith("metric")]
