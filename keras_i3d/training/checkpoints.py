"""Everything that a training step changes, in one file, so that a killed run resumes as if nothing had happened.

Weights, the optimizer's variables, the state of every random layer and the running metrics. A checkpoint is written
to a temporary file, read back, and renamed; the one before it stays until then.
"""

import dataclasses
import json
import os
import pathlib
import re

import keras
import numpy as np

from keras_i3d import stored
from keras_i3d.atomic import replacing
from keras_i3d.errors import notice, one_line

KEPT = 2  # checkpoints: the newest, and the one before it in case the newest is damaged later


class Checkpoints:
    """The checkpoints of a run, `step-000000123.npz` in a folder.

    Args:
        folder: made if need be.
        model: a compiled model whose optimizer is built.
        writes: whether this process writes; of several workers that train together, one does, and all read.
        more: other variables that are saved and restored with those of the model.
    """

    def __init__(self, folder, model, writes=True, more=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = model
        self.writes = writes
        self.more = tuple(more)

    @property
    def variables(self):
        """What is saved and restored, in order; the optimizer may have been replaced since."""
        return [*variables(self.model), *self.more]

    def save(self, step, **facts):
        """Writes the state after `step` steps, then removes all checkpoints but the newest two.

        Args:
            step: steps done.
            **facts: values for JSON, which the checkpoint holds too.

        Raises:
            OSError: it could not be written; what was there before is untouched.
            FloatingPointError: a weight is not finite; nothing is written.
        """
        final = self.folder / f"step-{step:09}.npz"
        arrays = {f"{i:05}": np.asarray(variable) for i, variable in enumerate(self.variables)}
        for variable, array in zip(self.variables, arrays.values()):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise FloatingPointError(f"{variable.path} is not finite after step {step}")
        arrays |= {f"metric{i:05}": np.asarray(variable) for i, variable in enumerate(self.model.metrics_variables)}
        if not self.writes:
            return
        _write(final, {"step": step, "layout": _layout(self.variables), **facts}, arrays)
        self._remove_old()

    def note(self, **facts):
        """Writes the newest checkpoint anew, with the state that it has, and these facts in the place of its own."""
        if not self.writes:
            return
        path = _all(self.folder)[-1]
        arrays = stored.read_npz(path)
        _write(path, json.loads(arrays.pop("about").tobytes()) | facts, arrays)

    def _remove_old(self):
        for old in _all(self.folder)[:-KEPT] if self.writes else ():
            old.unlink()

    def restore(self, saved):
        """Gives the model the state of a checkpoint, as `newest` returns it.

        Raises:
            ValueError: the checkpoint belongs to another model or optimizer.
        """
        layout = _layout(self.variables)
        if saved.layout != layout:
            differing = [f"{a} and {b}" for a, b in zip(saved.layout, layout) if a != b] or ["their number"]
            raise ValueError(f"{saved.path} belongs to another model or optimizer. They differ in: {differing[0]}")
        for variable, value in zip(self.variables, saved.arrays, strict=True):
            variable.assign(value)
        self._remove_old()  # what a run that was killed between two steps of `save` left


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint as it was read.

    Attributes:
        path: path of its file.
        step: how many steps were done.
        layout: shape and dtype of each array, as text.
        facts: what was saved with it.
        arrays, metrics: the state, and the running metrics.
    """

    path: pathlib.Path
    step: int
    layout: list
    facts: dict
    arrays: list
    metrics: list


def newest(folder):
    """Reads the newest checkpoint of a folder that is not damaged; a line names each that is.

    Returns:
        A Saved; None if there is no checkpoint.

    Raises:
        ValueError: there are some, and none can be read.
    """
    found = _all(folder)
    for path in reversed(found):
        try:
            return _read(path)
        except Exception as error:  # damage shows as any of a dozen of types, from EOFError to RecursionError
            notice(f"{path} cannot be read ({one_line(error)}); the checkpoint before it is taken")
    if found:
        raise ValueError(f"None of the {len(found)} checkpoints in {folder} can be read. Remove them to restart.")
    return None


def _all(folder):
    folder = pathlib.Path(folder)
    names = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in names if re.fullmatch(r"step-\d{9}\.npz", path.name))


def variables(model):
    """Every variable that a training step changes for good: weights, the seeds of random layers, the optimizer's."""
    seen = {}
    for variable in (*model.variables, *model.optimizer.variables):
        seen.setdefault(id(variable), variable)
    return list(seen.values())


class RestoreMetrics(keras.callbacks.Callback):
    """Gives the metrics their values again at the start of a part of an epoch, because `fit` has just reset them."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_begin(self, epoch, logs=None):
        if self.values is not None:
            for variable, value in zip(self.model.metrics_variables, self.values, strict=True):
                variable.assign(value)
        self.values = None


def _layout(found):
    return [f"{tuple(v.shape)} {keras.backend.standardize_dtype(v.dtype)}" for v in found]


def _write(path, about, arrays):
    """Writes a checkpoint file, which is read back before it is put in its place."""
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        _read(temporary)


def _read(path):
    """Returns the Saved of a checkpoint file; its own checksums are verified on the way."""
    arrays = stored.read_npz(path)
    about = json.loads(arrays.pop("about").tobytes())
    names = sorted(arrays)
    metrics = [arrays[name] for name in names if name.startswith("metric")]
    arrays = [arrays[name] for name in names if not name.startswith("metric")]
    layout = about.pop("layout")
    if [about_array.split(") ")[0] + ")" for about_array in layout] != [str(array.shape) for array in arrays]:
        raise ValueError("its arrays are not those that its layout names")
    return Saved(pathlib.Path(path), int(about.pop("step")), layout, about, arrays, metrics)
