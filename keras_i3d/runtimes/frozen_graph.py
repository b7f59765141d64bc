"""A network as one TensorFlow graph whose weights are constants.

oneDNN puts a weight into the order that its kernels read, once if it is a constant and at every call if it is a
variable. A graph that was folded before has nothing left to fold, so that of Grappler's optimizers one alone is run:
that which makes one operation of a convolution, its bias and its ReLU. All of them together take longer than several
clips, and copies of the weights, for the same graph.
"""

import functools
import math

import keras
import numpy as np

from keras_i3d.models.blocks import ClipCheck, check_clip_shape
from keras_i3d.optimize import Changes, check_finite

LIMIT = 256 << 20  # bytes of weights up to which they become constants, of which TensorFlow holds several copies


def is_small(model):
    """Whether a model's weights are few enough to be constants, in the precision that it computes in."""
    weights = ((math.prod(weight.shape), layer.compute_dtype) for layer in model.layers for weight in layer.weights)
    return sum(number * (4 if dtype == "float32" else 2) for number, dtype in weights) <= LIMIT


def graph(model):
    """Returns a tf.Graph of a model for inference, with its weights as constants.

    What `optimize_for_inference` makes layers of is written into the graph at once: no second model is built.

    Args:
        model: a functional keras.Model of one input and one output, on Keras with TensorFlow.

    Returns:
        (the tf.Graph, its input, its output): the latter two as names of tensors. Any size that the model takes.

    Raises:
        TypeError, ValueError: as `optimize_for_inference`; several inputs or outputs.
    """
    import tensorflow as tf

    changes = Changes(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise TypeError(
            f"A network is run as a model of one input and one output. Received: {model.name}, with "
            f"{len(model.inputs)} and {len(model.outputs)}"
        )
    values = dict(_values(model, changes))  # which can be read only here, outside of the graph
    made = tf.Graph()
    with made.as_default():
        x = tf.compat.v1.placeholder(model.inputs[0].dtype, model.inputs[0].shape, "clips")
        (y,) = _through(model, changes, values, x)
    made.finalize()
    return made, x.name, y.name


def _values(model, changes):
    """Yields (id of a variable, its array) for layers that are called as they are."""
    for layer in model.layers:
        if layer.name in changes.inside:
            yield from _values(layer, changes.inside[layer.name])
        elif layer.name not in changes.gone and layer.name not in changes.folded:
            arrays = [keras.ops.convert_to_numpy(variable) for variable in layer.weights]
            check_finite(layer.name, arrays, layer.compute_dtype)
            yield from zip(map(id, layer.weights), arrays)


def _through(model, changes, values, *inputs):
    """Returns the outputs that a functional model gives of its inputs, in order, its layers changed as told."""
    tensors = dict(zip(map(id, model.inputs), inputs))
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input and all(id(tensor) in tensors for tensor in node.input_tensors):
                arguments, named = node.arguments.fill_in(tensors)
                outputs = _called(node.operation, changes, values, arguments, named)
                tensors |= zip(map(id, node.outputs), keras.tree.flatten(outputs))
    return [tensors[id(output)] for output in model.outputs]


def _called(layer, changes, values, arguments, named):
    import tensorflow as tf

    if layer.name in changes.gone:
        return arguments[0]
    if layer.name in changes.folded:
        return _convolved(changes.folded[layer.name], *arguments)
    if layer.name in changes.pools:
        return functools.reduce(lambda x, pool: pool(x), changes.pools[layer.name], *arguments)
    if layer.name in changes.inside:
        return _through(layer, changes.inside[layer.name], values, *keras.tree.flatten(arguments))
    weights = getattr(layer, "weights", ())
    constants = [(variable, tf.constant(values[id(variable)])) for variable in weights]
    with keras.StatelessScope(state_mapping=constants):
        return layer(*arguments, **named)


def _convolved(unit, x):
    """What an `optimize.Folded` gives of a tensor."""
    import tensorflow as tf

    config, dtype = unit.config, tf.as_dtype(unit.config["dtype"])
    kernel, bias = (array.astype(dtype.as_numpy_dtype) for array in (unit.kernel, unit.bias))
    check_finite(unit.name, [kernel, bias], config["dtype"])
    x = tf.cast(functools.reduce(lambda x, layer: layer(x), unit.earlier, x), dtype)
    order = "NDHWC" if config["data_format"] == "channels_last" else "NCDHW"
    y = tf.nn.convolution(
        x, tf.constant(kernel), config["strides"], config["padding"].upper(), order, config["dilation_rate"]
    )
    y = tf.nn.bias_add(y, tf.constant(bias), order)
    return tf.nn.relu(y, name=unit.name) if config["activation"] == "relu" else y


def settings():
    """Returns the tf.compat.v1.ConfigProto by which TensorFlow optimises such a graph."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    off, one = type(rewrites).OFF, type(rewrites).ONE
    for name in UNUSED:
        setattr(rewrites, name, off)
    rewrites.disable_model_pruning = True
    rewrites.disable_tfg_optimizer = True
    rewrites.memory_optimization = type(rewrites).NO_MEM_OPT
    rewrites.meta_optimizer_iterations = one
    return config


UNUSED = (
    "arithmetic_optimization",
    "common_subgraph_elimination",
    "constant_folding",
    "dependency_optimization",
    "function_optimization",
    "layout_optimizer",
    "loop_optimization",
    "scoped_allocator_optimization",
    "shape_optimization",
)


class FrozenGraph:
    """What runs a model on TensorFlow, from any number of threads.

    Args:
        model: as for `graph`. Nothing of it is kept.
    """

    used = ("tensorflow",)

    def __init__(self, model):
        import tensorflow as tf

        self._input_shape = model.input_shape
        self._checks = [(x.min_frames, x.min_size) for x in model.layers if isinstance(x, ClipCheck)]
        made, clips, answer = graph(model)
        self._call = tf.compat.v1.Session(graph=made, config=settings()).make_callable(answer, [clips])

    def predict_on_batch(self, x):
        """Returns what the model gives of a batch, as an array.

        Args:
            x: float32 (B, T, H, W, C), of any sizes that the model takes.

        Raises:
            ValueError: a batch that the model does not take.
        """
        x = np.asarray(x, np.float32)
        fits = [size in (None, given) for size, given in zip(self._input_shape, x.shape)]
        if x.ndim != len(self._input_shape) or not all(fits):
            raise ValueError(f"The network takes {self._input_shape}. Received: a batch of {x.shape}")
        for least in self._checks:
            check_clip_shape(x.shape, *least)
        return self._call(x)
