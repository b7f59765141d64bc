"""`.keras` files, which may be anybody's: loaded by Keras in its safe mode, and no larger than what they store."""

import contextlib
import functools
import io
import json
import math
import os
import threading
import zipfile

import h5py
import keras

from keras_i3d import facts, stored
from keras_i3d.errors import WeightsError
from keras_i3d.models import families
from keras_i3d.models.family import clip_check

WEIGHTS = "model.weights.h5"  # the member that holds them
NOTES = "keras_i3d.json"  # a member of the files of the package's first runs, with what they say of themselves
SPARE_NUMBERS = 1 << 20  # of small things that Keras makes and does not store


def load(path):
    """Loads a `.keras` file, with the Facts that it notes.

    Args:
        path: the file.

    Returns:
        The keras.Model, not compiled.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        with _no_larger_than(_numbers(path)):
            model = keras.models.load_model(path, compile=False)
        check = clip_check(model)
        if check is not None and families.of(model) is None:  # of a later version, or of a stranger
            raise ValueError(f"its network is none of those that `keras-i3d models` lists. Received: {check.family!r}")
        if facts.of(model) is None and (noted := _first_notes(path)):
            facts.note(model, facts.parse(noted))
    except Exception as error:  # of a damaged archive, model or weights file: any of a dozen of types
        raise WeightsError(f"{path}: not a readable .keras model ({stored.reason(path, error)})") from error
    return model


def notes(path):
    """Returns the record that a `.keras` file notes, as `facts.parse` takes it, without building its model."""
    if first := _first_notes(path):
        return first
    layers = _layers(path)
    return next((layer["config"]["facts"] for layer in layers if "facts" in layer["config"]), {})


def classes(path, head):
    """Returns the size of a `.keras` file's head, by its layer's name, without building its model; None without one."""
    config = next((layer["config"] for layer in _layers(path) if layer["config"].get("name") == head), {})
    size = config.get("filters", config.get("units"))
    return size if isinstance(size, int) else None


def _layers(path):
    """The configurations of a `.keras` file's layers."""
    with zipfile.ZipFile(path) as archive:
        stored.check_zip(archive, os.path.getsize(path))
        return json.loads(archive.read("config.json"))["config"].get("layers", [])


def _first_notes(path):
    """The record in a member of its own, in which the package's first runs have it; {} without."""
    with zipfile.ZipFile(path) as archive:
        stored.check_zip(archive, os.path.getsize(path))
        return json.loads(archive.read(NOTES)) if NOTES in archive.namelist() else {}


def _numbers(path):
    """How many numbers the weights in a file are; raises ValueError for an archive that cannot be believed."""
    with zipfile.ZipFile(path) as archive:
        stored.check_zip(archive, os.path.getsize(path))
        if WEIGHTS not in archive.namelist():
            return sum(member.file_size for member in archive.infolist())
        content = archive.read(WEIGHTS)
    with h5py.File(io.BytesIO(content), "r") as file:
        return stored.check_h5(file, len(content))


_loading = threading.Lock()
_allowed = threading.local()  # how many numbers the model that this thread loads may still take


@contextlib.contextmanager
def _no_larger_than(numbers):
    """Within it, layers of more numbers than these refuse to be built: a small file may describe any of them.

    Keras has no such limit of its own, so `Layer.add_weight` is another one for so long. Other threads may build
    what they like meanwhile.
    """
    kind = keras.layers.Layer
    with _loading:
        add_weight = kind.add_weight
        kind.add_weight = _counted(add_weight)
        _allowed.numbers = numbers + SPARE_NUMBERS
        try:
            yield
        finally:
            kind.add_weight, _allowed.numbers = add_weight, None


def _counted(add_weight):
    """`Layer.add_weight`, which looks at what is allowed before memory is taken."""

    @functools.wraps(add_weight)
    def counted(layer, shape=None, *args, **kwargs):
        left = getattr(_allowed, "numbers", None)
        if left is not None:
            _allowed.numbers = left - math.prod(shape or ())
            if _allowed.numbers < 0:
                raise ValueError(f"its layers have more weights than are stored in it, first {layer.name}")
        return add_weight(layer, shape, *args, **kwargs)

    return counted
