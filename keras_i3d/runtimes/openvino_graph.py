"""A network in OpenVINO: its graph, and what runs it for clips of any shape."""

import collections
import functools

import keras
import numpy as np

from keras_i3d.errors import is_installed, missing_package, notice, one_line
from keras_i3d.models.blocks import ClipCheck, check_clip_shape, has_gpu
from keras_i3d.optimize import optimize_for_inference

HINTS = {"float32": "f32", "bfloat16": "bf16"}  # what OpenVINO calls the precisions that it computes in
SHAPES = 4  # that stay compiled; each takes memory of its own for what lies between layers
INSTALL = "'keras-i3d[openvino]'"


class OpenVINO:
    """A network that OpenVINO runs on the processor, within 1e-4 of Keras's answers in float32 (relative L2).

    In bfloat16 the graph is the one that Keras runs, the first convolution and the pools rearranged, with its weights
    in float32: OpenVINO rounds them itself.

    Args:
        model: as for `compile_for`.
    """

    used = ("openvino",)

    def __init__(self, model):
        self._core = imported('runtime="openvino"').Core()
        precision = _precision(model)
        if precision not in HINTS:
            raise ValueError(
                f"OpenVINO computes in {' or '.join(HINTS)} here. Received: {model.name} in {precision}. Take another "
                'precision, or runtime="tensorflow".'
            )
        body, head = _head_apart(model, optimize_for_inference(model, "float32"))
        self._head = head and self._core.compile_model(graph(head), "CPU", settings("float32"))
        self._name, self._takes = model.name, body.input_shape
        self._checks = [layer for layer in body.layers if isinstance(layer, ClipCheck)]
        steps = [layer for layer in body.layers if hasattr(layer, "unrolled")]
        for layer in steps:
            layer.unrolled = True
        # OpenVINO takes no loop of TensorFlow's: an LSTM has a graph for each number of steps.
        self._model = body if steps else None
        self._graph = None if steps else graph(body)
        self._settings = settings(precision)
        self._compiled = collections.OrderedDict()

    def predict_on_batch(self, x):
        x = np.ascontiguousarray(x, np.float32)
        if x.shape not in self._compiled:
            self._check_shape(x.shape)
            fixed = self._graph.clone() if self._graph else graph(self._model, x.shape)
            fixed.reshape(x.shape)
            self._compiled[x.shape] = self._core.compile_model(fixed, "CPU", self._settings)
            if len(self._compiled) > SHAPES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(x.shape)
        answer = self._compiled[x.shape](x)[0]
        return answer if self._head is None else self._head(answer)[0]

    def _check_shape(self, shape):
        """Raises ValueError for clips that Keras refuses: the graph has no checks, and may answer something."""
        sizes = zip(self._takes, shape)
        if len(shape) != len(self._takes) or any(size not in (None, given) for size, given in sizes):
            raise ValueError(f"{self._name} takes clips of the shape {self._takes}. Received: {tuple(shape)}")
        for layer in self._checks:
            check_clip_shape(shape, layer.min_frames, layer.min_size)

    @staticmethod
    def suits(model):
        """Whether OpenVINO may be faster here: it is installed, can take the model, and no GPU is left idle by it."""
        return (
            keras.backend.backend() == "tensorflow"
            and not has_gpu()
            and _precision(model) in HINTS
            and _can_be_imported()
        )


def imported(why):
    """Returns the package openvino; raises ImportError with the line that installs it."""
    if not is_installed("openvino"):
        raise missing_package("openvino", INSTALL, why)
    import openvino

    return openvino


def _head_apart(model, optimized):
    """(body, head) of an optimized model whose head Keras computes in float32, next to a body in less.

    OpenVINO has one precision for all of a graph, and would round the logits to the three digits of bfloat16: classes
    whose logits differ by less would have the same one. (optimized, None) where nothing is to be kept apart.
    """
    names = [layer.name for layer in model.layers if layer.weights and layer.compute_dtype == "float32"]
    if len(names) != 1 or _precision(model) == "float32":
        return optimized, None
    before = optimized.get_layer(names[0]).input
    try:
        return keras.Model(optimized.input, before, name=model.name), keras.Model(before, optimized.output)
    except ValueError:  # something goes past it
        return optimized, None


@functools.lru_cache(maxsize=1)
def _can_be_imported():
    """Whether OpenVINO is there and whole; a line where it is there and broken, because nobody asked for it."""
    if not is_installed("openvino"):
        return False
    try:
        import openvino  # noqa: F401
    except Exception as error:  # a library that is not there, or of another version
        notice(f"OpenVINO is installed and cannot be imported ({one_line(error)}). tensorflow is taken")
        return False
    return True


def graph(model, shape=None):
    """Returns a functional keras.Model of float32 layers as an `openvino.Model`.

    Args:
        model: of one input and one output, as `optimize_for_inference(model, "float32")` gives it.
        shape: (B, T, H, W, C) of the input, None for what is any; by default what the model says.

    Raises:
        TypeError: several inputs or outputs.
        ValueError: Keras is not on TensorFlow; an operation of the model that OpenVINO does not have.
    """
    openvino = imported("A graph of OpenVINO")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise TypeError(
            f"OpenVINO is given a model of one input and one output. Received: {model.name}, with {len(model.inputs)} "
            f"and {len(model.outputs)}"
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"OpenVINO reads graphs of TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. Unset it."
        )
    import tensorflow as tf

    kind = tf.TensorSpec(model.input_shape if shape is None else shape, tf.float32, model.inputs[0].name)
    call = tf.function(lambda x: model(x, training=False), autograph=False)
    try:
        return openvino.convert_model(call.get_concrete_function(kind))
    except (openvino.frontend.OpConversionFailure, RuntimeError) as error:  # the latter by its passes
        raise ValueError(
            f'OpenVINO cannot read {model.name} ({one_line(error)}). Take runtime="tensorflow".'
        ) from error


def settings(precision):
    """Returns the properties of `compile_model` for a precision: one request at a time, as soon as it can be."""
    return {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}


def _precision(model):
    """What the body of a model computes in."""
    return next((layer for layer in model.layers if layer.weights), model).compute_dtype
