"""The one place that decides what runs a network for inference."""

import importlib
import os

import keras

from keras_i3d.errors import notice
from keras_i3d.models.blocks import has_gpu
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.runtimes.faster_runtime import FasterRuntime
from keras_i3d.runtimes.frozen_graph import LIMIT, FrozenGraph, is_small
from keras_i3d.runtimes.openvino_graph import OpenVINO, imported

RUNTIMES = ("auto", "tensorflow", "openvino")
VARIABLE = "KERAS_I3D_RUNTIME"  # what is taken where nobody says a runtime


def compile_for(model, runtime=None):
    """Compiles a network for inference by a runtime on this machine.

    `compile_for(keras_i3d.I3D(), "openvino").predict_on_batch(clips)` gives what the model gives: within 1e-4 in
    float32 (relative L2), and to the rounding of bfloat16 in bfloat16. Batches and lengths may change from call to
    call: each shape is compiled when it first comes.

    Args:
        model: a functional keras.Model with one input and one output, made by this package or of layers of one.
        runtime: "tensorflow" is Keras's own backend: on TensorFlow without a GPU one graph for all shapes, its weights
            constants in it up to 256 MB; elsewhere Keras as it is. "openvino" is OpenVINO on the processor. "auto" is
            the one that measures faster on this machine for clips of that shape, where OpenVINO is installed, Keras is
            on TensorFlow, and there is no GPU; it is measured once, at the second clip, and kept in the cache folder.
            The first clip of a shape goes through Keras in any case, because it may be the only one. What OpenVINO
            fails at goes through Keras too, as does all that follows, and a line says so.
            By default what the environment variable KERAS_I3D_RUNTIME says, else "auto".

    Returns:
        An object with `predict_on_batch(x)`: float32 (B, T, H, W, C), of any sizes that the model takes, to the array
        that the model gives; and `used`, a tuple of the names of the runtimes that gave answers so far, as for "auto"
        there may be two: "tensorflow", or Keras's backend if it is another one, and "openvino".

    Raises:
        TypeError: no functional model of one input and one output.
        ValueError: no such runtime; OpenVINO for float16, which it does not compute in, or without TensorFlow; weights
            that are not finite.
        ImportError: OpenVINO is asked for and not installed; the message has the install line.
    """
    if len(getattr(model, "inputs", None) or ()) > 1 or len(getattr(model, "outputs", None) or ()) > 1:
        raise TypeError(
            f"compile_for takes a model of one input and one output. Received: {model.name}, with {len(model.inputs)} "
            f"and {len(model.outputs)}"
        )
    return compiled(model, chosen(runtime))


def compiled(model, runtime="tensorflow", once=False):
    """`compile_for` with a runtime that is known: what each caller in this package has a line for.

    Args:
        model, runtime: as for `compile_for`.
        once: whether "auto" chooses at the first clip, for clips of all shapes: what goes into one file, or one number,
            is then computed by one runtime, also if it is resumed. It takes seconds before the first answer.
    """
    check(runtime)
    if runtime == "openvino":
        return OpenVINO(model)
    return FasterRuntime(model, _own, OpenVINO, once) if runtime == "auto" and OpenVINO.suits(model) else _own(model)


def with_version(name):
    """Returns "openvino 2026.4.1" of a name in `used`."""
    return f"{name} {version(name)}"


def version(name):
    """Returns the version of a runtime by its name in `used`."""
    return importlib.import_module(name).__version__.partition("-")[0]


def chosen(runtime):
    """Returns the runtime that a user names, or what is taken where it is None.

    Raises:
        ValueError: it is none.
        ImportError: OpenVINO is named and not installed: said here, before weights are fetched or loaded.
    """
    found = runtime
    if runtime is None:
        found = os.environ.get(VARIABLE) or "auto"
        if found not in RUNTIMES:
            raise ValueError(f"{VARIABLE} must be one of {', '.join(RUNTIMES)}. Received: {VARIABLE}={found}")
    check(found)
    if found == "openvino":
        imported('runtime="openvino"')
    return found


def check(runtime):
    """Raises ValueError for what is no runtime."""
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(map(repr, RUNTIMES))}. Received: runtime={runtime!r}")


def _own(model):
    """What runs a model on Keras's own backend."""
    if keras.backend.backend() == "tensorflow" and not has_gpu():
        if is_small(model):
            return FrozenGraph(model)
        notice(f"{model.name}: weights beyond {LIMIT >> 20} MB stay variables, because constants take more memory")
    return _Keras(optimize_for_inference(model))


class _Keras:
    """A model as Keras runs it."""

    def __init__(self, model):
        self._model, self.used = model, (keras.backend.backend(),)

    def predict_on_batch(self, x):
        return self._model.predict_on_batch(x)
