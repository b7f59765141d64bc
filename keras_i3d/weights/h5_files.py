"""`.weights.h5` files: read by layer name, written as Keras lays them out, with what they say of themselves."""

import collections
import dataclasses
import json
import os
import pathlib
import zipfile

import h5py
import numpy as np

from keras_i3d import atomic, facts, stored
from keras_i3d.errors import WeightsError
from keras_i3d.models import families
from keras_i3d.models.family import group
from keras_i3d.version import __version__
from keras_i3d.weights import by_name, download, keras_files

HDF5_OVERHEAD = 2 << 20  # bytes of groups and names in a file of 115 layers, and some to spare


def save_h5(model, path, **noted):
    """Writes the weights of a model of one stream as `write_h5` does."""
    groups = {name: group(layer) for name, layer in by_name.weighted_layers(model)}
    write_h5(by_name.layer_weights(model), path, groups, **noted)


def write_h5(weights, path, groups, **noted):
    """Writes `path`, a `.weights.h5` of one stream, and `path`.sha256 next to it; each whole or not at all.

    The file is laid out as Keras itself lays out that model's, so that `model.load_weights` reads it too, by position.
    Its root has the model's fingerprint and `noted` as attributes. No model is built for it, and HDF5 locks no file: a
    file system without locks will do.

    Args:
        weights: {layer name: arrays}, in the order of the model's layers, as `by_name.in_layout` gives them.
        path: its name ends in .weights.h5.
        groups: {layer name: what Keras calls the group that it stores the weights in}, as of `Family.groups`.
        noted: JSON.

    Raises:
        ValueError: another name, no such folder, or a layer without a group.
        WeightsError: the disk is full, or it cannot be written.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"The name of a weights file ends in .weights.h5. Received: {path.name}")
    if not path.parent.is_dir():
        raise ValueError(f"No such folder to write in: {path.parent}. Make it first.")
    if without := [name for name in weights if name not in groups]:
        raise ValueError(f"Every layer is stored in a group. Received: none for {', '.join(without)}")
    weights = {name: [np.asarray(array) for array in arrays] for name, arrays in weights.items()}
    # Found out before HDF5 does, which after a failed write neither closes its file nor leaves the process whole.
    size = sum(array.nbytes for arrays in weights.values() for array in arrays)
    download.check_space(path.parent, size + HDF5_OVERHEAD, path.name)
    shapes = {name: [array.shape for array in arrays] for name, arrays in weights.items()}
    noted = {"version": __version__, "fingerprint": by_name.fingerprint(shapes), **noted}
    try:
        with atomic.replacing(path) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                _fill(file, weights, groups)
                file.attrs["keras_i3d"] = json.dumps(noted)
            by_name.check_match(read_h5(temporary), shapes, temporary)
            digest = download.sha256(temporary)
            checksum_file(path).unlink(missing_ok=True)  # of what was there: a kill leaves none, not a wrong one
        atomic.write_text(checksum_file(path), f"{digest}  {path.name}\n")
    except OSError as error:
        raise WeightsError(f"Cannot write {path} ({error.strerror or error}). Is the disk full?") from error


def _fill(file, weights, groups):
    """Writes the groups that Keras makes of layers: `layers/CLASS_NUMBER/vars`, numbered class by class."""
    numbers = collections.Counter()
    file.create_group("vars")
    for name, arrays in weights.items():
        kind = groups[name]
        number = f"_{numbers[kind]}" if numbers[kind] else ""
        numbers[kind] += 1
        stored_in = file.create_group(f"layers/{kind}{number}/vars")
        stored_in.attrs["name"] = name
        for i, array in enumerate(arrays):
            stored_in[str(i)] = array


def read_h5(path):
    """Reads a `.weights.h5` of Keras 3 as {layer name: arrays}, those of a nested model as `model/layer`.

    Raises:
        WeightsError: no such file, a damaged one, or one with more in it than plain arrays of its own.
    """
    weights = {}

    def visit(group, scope):
        for child in group.values():
            if "vars" not in child or not ("layers" in child or len(child["vars"])):
                continue
            name = child["vars"].attrs.get("name")
            if "layers" in child:
                visit(child["layers"], f"{scope}{name}/")
            else:
                if name is None:
                    raise WeightsError(
                        f"{path} does not name its layers: a Keras before 3.6 wrote it. Load it into a model of "
                        "the same shape with model.load_weights and save that model again."
                    )
                weights[scope + name] = [_array(child["vars"][str(i)]) for i in range(len(child["vars"]))]

    try:
        with h5py.File(path, "r", locking=False) as file:
            stored.check_h5(file, os.path.getsize(path))
            if "layers" not in file:
                raise WeightsError(f"{path} is not a .weights.h5 of Keras 3.")
            visit(file["layers"], "")
    except WeightsError:
        raise
    except Exception as error:  # HDF5 tells of damage by half a dozen of types, RuntimeError and AttributeError too
        raise WeightsError(f"{path}: not a readable HDF5 file ({stored.reason(path, error)})") from error
    return weights


def _array(dataset):
    """An array of an HDF5 file, bfloat16, which HDF5 does not know, as float32."""
    value = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":
        import ml_dtypes

        return value.view(ml_dtypes.bfloat16).astype(np.float32)
    return value


def facts_of(path, stream=None):
    """Returns the Facts that a `.weights.h5` or `.keras` notes about itself, or None for a third-party file.

    Args:
        path: the file.
        stream: the one to take if the file names none.

    Raises:
        WeightsError: notes that cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            found = facts.parse(keras_files.notes(path), stream)
            # The head may be a user's own, put on a body that was noted before.
            size = found and keras_files.classes(path, families.find(found.family).head)
            return found and dataclasses.replace(found, classes=size)
        with h5py.File(path, "r", locking=False) as file:
            return facts.parse(json.loads(file.attrs.get(facts.KEY, "{}")), stream)
    except Exception as error:  # of a damaged archive, HDF5 file or text: any of a dozen of types
        raise WeightsError(f"{path}: {stored.reason(path, error)}") from error


def intact(path):
    """Whether `path` exists and has the sha256 recorded next to it."""
    try:
        return download.sha256(path) == checksum_file(path).read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError):  # missing, a folder, no text, empty
        return False


def checksum_file(path):
    return path.with_name(path.name + ".sha256")
