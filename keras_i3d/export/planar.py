"""A network of fixed clips whose convolutions and pools are two-dimensional, for runtimes that have no others.

A max pool over (t, h, w) is one over (h, w) of (B T, H, W, C) and one over t of (B, T, H W, C), to the bit. A
convolution over t alone is one over (t, 1) of (B, T, H W, C), and one over (h, w) alone is one of (B T, H, W, C). One
over all three is one over (h, w) of the frames that a kernel sees, side by side in the channels: the same sums in
another order.
"""

import functools

import keras
from keras import layers, ops

from keras_i3d.models.blocks import HeadPool


def planar(model, shape):
    """Returns a copy of a model for clips of one shape, without 3D convolutions and max pools.

    Args:
        model: a functional keras.Model of float32 layers, as `optimize_for_inference(model, "float32")` gives it.
        shape: (B, T, H, W, C), all of them known.

    Returns:
        A functional keras.Model of the same outputs, within 1e-5 (relative L2). It is not for saving.
    """

    def replaced(layer):
        if isinstance(layer, layers.Conv3D) and layer.groups == 1 and set(layer.dilation_rate) == {1}:
            return _Conv(layer, dtype=layer.dtype_policy)
        if isinstance(layer, layers.MaxPooling3D):
            return _MaxPool(layer, dtype=layer.dtype_policy)
        return None

    return _copied(model, shape, replaced)


def sized(model, shape):
    """Returns a copy of a model for clips of a known size, whose head averages by means alone.

    The product that averages a map of any size ends, in tf2onnx, in a Reshape that onnxruntime refuses.

    Args:
        model: as for `planar`.
        shape: (B, T, H, W, C), None for what is any of the first two.
    """
    return _copied(
        model, shape, lambda layer: _Head(layer, dtype=layer.dtype_policy) if isinstance(layer, HeadPool) else None
    )


def _copied(model, shape, replaced):
    """A copy of a model, with another input and what `replaced` gives in the place of a layer, where it is not None."""

    def copy(layer):
        new = replaced(layer)
        if new is not None or not isinstance(layer, layers.Layer):
            return new or layer
        new = type(layer).from_config(layer.get_config())
        weights.append((new, layer.get_weights()))
        return new

    weights = []
    (name,) = (tensor.name for tensor in model.inputs)
    made = keras.models.clone_model(model, input_tensors=keras.Input(batch_shape=shape, name=name), clone_function=copy)
    for layer, values in weights:
        layer.set_weights(values)
    return made


class _Conv(layers.Layer):
    """What a Conv3D does, by one convolution in two dimensions."""

    def __init__(self, conv, **settings):
        super().__init__(name=conv.name, **settings)
        self.kernel = ops.convert_to_numpy(conv.kernel)
        self.offset = ops.convert_to_numpy(conv.bias) if conv.use_bias else None
        self.strides, self.padding, self.activation = conv.strides, conv.padding, conv.activation

    def call(self, x):
        batch, _, height, width, channels = x.shape
        size, rows, columns, _, filters = self.kernel.shape
        stride, *over = self.strides
        if (size, rows, columns, *over) == (size, 1, 1, 1, 1) and size > 1:
            x = ops.reshape(x, (batch, -1, height * width, channels))
            x = ops.conv(x, self.kernel[:, :, 0], (stride, 1), self.padding)
            x = ops.reshape(x, (batch, -1, height, width, filters))
        else:
            x = self._side_by_side(x, size, stride)
            time = x.shape[1]
            x = ops.reshape(x, (batch * time, height, width, size * channels))
            kernel = self.kernel.transpose(1, 2, 0, 3, 4).reshape(rows, columns, size * channels, filters)
            x = ops.conv(x, kernel, tuple(over), self.padding)
            x = ops.reshape(x, (batch, time, *x.shape[1:]))
        return self.activation(x if self.offset is None else x + self.offset)

    def _side_by_side(self, x, size, stride):
        """(B, T, H, W, C) to (B, T', H, W, size C): the frames that each position of the kernel sees."""
        time = x.shape[1]
        if self.padding == "same":
            steps = -(-time // stride)
            missing = max((steps - 1) * stride + size - time, 0)
            if missing:
                x = ops.pad(x, [[0, 0], [missing // 2, missing - missing // 2], *[[0, 0]] * 3])
        else:
            steps = (time - size) // stride + 1
        parts = [x[:, i : i + (steps - 1) * stride + 1 : stride] for i in range(size)]
        return parts[0] if size == 1 else ops.concatenate(parts, axis=-1)


class _MaxPool(layers.Layer):
    """What a MaxPooling3D does, by one pool over space and one over time."""

    def __init__(self, pool, **settings):
        super().__init__(name=pool.name, **settings)
        self.window, self.strides, self.padding = pool.pool_size, pool.strides, pool.padding

    def call(self, x):
        batch, time, height, width, channels = x.shape
        (size, *window), (stride, *over) = self.window, self.strides
        if (*window, *over) != (1, 1, 1, 1):
            x = ops.reshape(x, (batch * time, height, width, channels))
            x = ops.max_pool(x, tuple(window), tuple(over), self.padding)
            height, width = x.shape[1:3]
        if (size, stride) != (1, 1):
            x = ops.reshape(x, (batch, time, height * width, channels))
            x = ops.max_pool(x, (size, 1), (stride, 1), self.padding)
        return ops.reshape(x, (batch, -1, height, width, channels))


class _Head(layers.Layer):
    """What a HeadPool does, for a height and a width that are known."""

    def __init__(self, pool, **settings):
        super().__init__(name=pool.name, **settings)
        self.window, self.steps = pool.window, pool.steps

    def call(self, x):
        last = self.steps - 1
        x = functools.reduce(ops.add, (x[:, i : (i - last) or None] for i in range(self.steps))) / self.steps
        for axis in (2, 3):
            size = x.shape[axis]
            window = min(size, self.window or size)
            places = size - window + 1
            if places == 1:
                x = ops.mean(x, axis=axis, keepdims=True)
            else:
                parts = ((slice(None),) * axis + (slice(i, i + places),) for i in range(window))
                x = functools.reduce(ops.add, (x[part] for part in parts)) / window
        return x
