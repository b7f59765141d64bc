"""How many parameters a network has, and how many multiply-adds it takes, from its graph alone.

One multiply-add is one product of a weight, or of a score of attention, and what it is added to. Counted are
convolutions, dense layers, the matrices of recurrent layers at each step, and the two products of attention (queries
with keys, scores with values). Biases, norms, activations, gates' products and pools are not: this is the convention of
the published figures. Padding counts like any other place, and a kernel at each position of its output.

What is counted is the graph as it is built: a convolution that is zero in part, or parted, counts as it stands.
"""

import math

import keras


def parameters(model, trainable=True):
    """Returns how many trainable parameters a model has; with trainable=False all, moving statistics included."""
    weights = model.trainable_weights if trainable else model.weights
    return sum(math.prod(weight.shape) for weight in weights)


def multiply_adds(model):
    """Returns the multiply-adds of a functional model for one clip of the size of its input.

    A layer that is called several times counts each time. A layer of another class with matrices inside says its own in
    a method `multiply_adds(*shapes)`, of the shapes of its inputs with the batch, and so is counted here.

    Raises:
        ValueError: sizes that the input leaves open, or a layer with matrices that is not known here.
    """
    total = 0
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            if not node.is_input:
                shapes = [tuple(x.shape) for x in node.input_tensors]
                total += _of_call(node.operation, shapes, tuple(node.outputs[0].shape))
    return total


def _of_call(layer, shapes, output):
    """Those of one call of a layer or an operation: from inputs of these shapes to an output of that shape."""
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(*shapes)
    for kind in type(layer).__mro__:
        if kind.__name__ in KINDS:
            return KINDS[kind.__name__](layer, shapes, output)
    ours = type(layer).__module__.startswith("keras_i3d")
    if (ours and type(layer).__name__ not in FREE) or any(len(w.shape) > 1 for w in getattr(layer, "weights", ())):
        raise ValueError(
            "Multiply-adds are known of layers in counting.KINDS, and of those with a method multiply_adds(*shapes). "
            f"Received: {layer.name}, a {type(layer).__name__}. Give its class the method; if it multiplies by no "
            "matrix, name it in counting.FREE."
        )
    return 0


def _positions(layer, shape):
    """How many positions a shape has, (batch, positions..., channels)."""
    if None in shape[1:-1]:
        raise ValueError(
            f"Multiply-adds depend on the size of the clip. Received: {layer.name} with {shape}. "
            "Build the model with an input_shape that leaves nothing open."
        )
    return math.prod(shape[1:-1])


# One function for each kind of layer: (layer, the shapes of its inputs, the shape of its output) to a number.


def _kernel(layer, shapes, output):
    """Each element of the kernel, once a position of the output."""
    return _positions(layer, output) * math.prod(layer.kernel.shape)


def _transposed(layer, shapes, output):
    return _positions(layer, shapes[0]) * math.prod(layer.kernel.shape)


def _separable(layer, shapes, output):
    kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return _positions(layer, output) * kernels


def _recurrent(layer, shapes, output):
    """Each element of the kernels, once a step; a GRU's bias is a matrix too."""
    matrices = sum(math.prod(weight.shape) for weight in layer.weights if weight.name.endswith("kernel"))
    return _positions(layer, shapes[0]) * matrices


def _each_step(layer, shapes, output):
    batch, steps, *rest = shapes[0]
    _positions(layer, (batch, steps, None))
    inside = [(batch, *rest)], (output[0], *output[2:])
    return steps * _of_call(layer.layer, *inside)


def _attention(layer, shapes, output):
    """Of keras.layers.Attention: (B, Q, C), (B, K, V) and, if they are not the same, (B, K, C)."""
    query, value, *key = shapes
    pairs = _positions(layer, query) * _positions(layer, value)
    return pairs * ((key or [value])[0][-1] + value[-1])


def _weighed_mean(layer, shapes, output):
    """Of a non-local block: (B, T, H, W, C), (B, t, h, w, C) and (B, t, h, w, D)."""
    theta, phi, g = shapes
    return _positions(layer, theta) * _positions(layer, phi) * (theta[-1] + g[-1])


def _dot(layer, shapes, output):
    """Of keras.layers.Dot."""
    axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes
    return _positions(layer, (*output, 1)) * shapes[0][axes[0]]


def _matrix_product(layer, shapes, output):
    """Of keras.ops.matmul."""
    return _positions(layer, (*output, 1)) * shapes[0][-1]


def _einsum(layer, shapes, output):
    """Of keras.ops.einsum of two tensors: the product of all sizes that occur, but for the batch."""
    inputs, _ = layer.subscripts.split("->")
    sizes = {}
    for letters, shape in zip(inputs.split(","), shapes):
        sizes |= dict(zip(letters, shape))
    batch = inputs[0]
    return _positions(layer, (None, *(size for letter, size in sizes.items() if letter != batch), 1))


KINDS = {
    "BaseConvTranspose": _transposed,
    "BaseConv": _kernel,
    "BaseDepthwiseConv": _kernel,
    "BaseSeparableConv": _separable,
    "Dense": _kernel,
    "MeanOfHeads": _kernel,
    "RNN": _recurrent,
    "BatchNormLSTM": _recurrent,
    "Bidirectional": _recurrent,
    "TimeDistributed": _each_step,
    "Attention": _attention,
    "WeighedMean": _weighed_mean,
    "Dot": _dot,
    "Matmul": _matrix_product,
    "Einsum": _einsum,
}

# The layers of this package that multiply by no matrix of weights.
FREE = {"ClipCheck", "MaxPool3D", "SpaceToDepth3D", "HeadPool", "FlowStacks", "StackFrames", "LastStep"}
