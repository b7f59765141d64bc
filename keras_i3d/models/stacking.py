"""What the two-stream networks read of a clip: stacks of flow fields, a frame for each, and the mean of two heads.

Stacks are those of Simonyan and Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos" (NIPS
2014), section 3. `flow.stacks` makes the same of NumPy arrays, one at a time.
"""

import keras
from keras import layers, ops

from keras_i3d.specs import FLOW_BOUND

FIELDS = 10  # of a stack, L in the paper
ORDERS = ("planes", "pairs")


@keras.saving.register_keras_serializable(package="keras_i3d")
class FlowStacks(layers.Layer):
    """Stacks of neighbouring fields: float (B, T, H, W, C) to (B, N, H, W, 2 L), N = (T - L) // stride + 1.

    The last two channels of a clip are its flow, in [-1, 1]. Stack n holds the fields from `n * stride` on.

    The paper's bi-directional stack is a matter of its fields, and not of this layer. It needs fields back in time,
    which a clip of forward fields does not hold and which cannot be had from them. `flow.bidirectional` computes them
    from frames: its result, scaled, is a clip of exactly one stack.

    Args:
        fields: L, fields of a stack.
        stride: fields from a stack to the next one.
        order: of the channels: "planes" is [x1 ... xL, y1 ... yL], "pairs" is [x1, y1 ... xL, yL], the paper's
            equation 1.
        trajectories: whether each field is read where the fields before it have carried the point, bilinearly, as in
            the paper's equation 2; else all at the same point.
        subtract_mean: whether each field loses its mean vector, the paper's compensation of camera motion.
    """

    def __init__(self, fields=FIELDS, stride=1, order="planes", trajectories=False, subtract_mean=False, **kwargs):
        super().__init__(**kwargs)
        check_stack(fields, order)
        self.fields = fields
        self.stride = stride
        self.order = order
        self.trajectories = trajectories
        self.subtract_mean = subtract_mean

    def compute_output_shape(self, input_shape):
        batch, frames, height, width, _ = input_shape
        return (batch, stacks(frames, self.fields, self.stride), height, width, 2 * self.fields)

    def call(self, x):
        flow = x[..., -2:]
        count = stacks(ops.shape(x)[1], self.fields, self.stride)
        read = flow - ops.mean(flow, axis=(2, 3), keepdims=True) if self.subtract_mean else flow
        each = [_every(read, place, count, self.stride) for place in range(self.fields)]
        if self.trajectories:
            paths = [_every(flow, place, count, self.stride) for place in range(self.fields)]
            each = _along(each, paths)
        if self.order == "planes":
            each = [field[..., :1] for field in each] + [field[..., 1:] for field in each]
        return ops.concatenate(each, axis=-1)

    def get_config(self):
        names = ("fields", "stride", "order", "trajectories", "subtract_mean")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="keras_i3d")
class StackFrames(layers.Layer):
    """The RGB frame in the middle of each stack of `FlowStacks`: float (B, T, H, W, 5) to (B, N, H, W, 3).

    Args:
        fields: L, fields of a stack; frame `n * stride + L // 2` belongs to stack n.
        stride: fields from a stack to the next one.
    """

    def __init__(self, fields=FIELDS, stride=1, **kwargs):
        super().__init__(**kwargs)
        self.fields = fields
        self.stride = stride

    def compute_output_shape(self, input_shape):
        batch, frames, height, width, channels = input_shape
        return (batch, stacks(frames, self.fields, self.stride), height, width, channels - 2)

    def call(self, x):
        count = stacks(ops.shape(x)[1], self.fields, self.stride)
        return _every(x[..., :-2], self.fields // 2, count, self.stride)

    def get_config(self):
        return {**super().get_config(), "fields": self.fields, "stride": self.stride}


def stacks(frames, fields=FIELDS, stride=1):
    """How many stacks a clip of `frames` fields holds; None of None."""
    return None if frames is None else (frames - fields) // stride + 1


def check_stack(fields, order):
    """Raises ValueError for a stack of no fields, or another order than there is."""
    if isinstance(fields, bool) or not isinstance(fields, int) or fields < 1:
        raise ValueError(f"fields is how many fields a stack has, at least 1. Received: fields={fields!r}")
    if order == "bidirectional":
        raise ValueError(
            "A clip holds no fields back in time, so that no bi-directional stack can be made of it. Received: "
            'order="bidirectional". Compute one by flow.bidirectional, and pass its fields as a clip of their number.'
        )
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(map(repr, ORDERS))}. Received: order={order!r}")


def _every(x, start, count, stride):
    """`count` elements of (B, T, ...) from `start` on, `stride` apart."""
    return x[:, start : start + (count - 1) * stride + 1 : stride]


def _along(each, paths):
    """Reads the k-th of `each` where the first k - 1 of `paths` have carried the points of the frame.

    Args:
        each, paths: lists of L tensors (B, N, H, W, 2); what is read, and what moves the points, in units of
            FLOW_BOUND pixels.

    Returns:
        A list as `each`. Points move in float32, and stop at the border.
    """
    _, _, height, width, _ = ops.shape(each[0])
    right, bottom = ops.cast(width - 1, "float32"), ops.cast(height - 1, "float32")
    x = ops.cast(ops.arange(width), "float32") + ops.zeros_like(each[0][..., 0], dtype="float32")
    y = ops.cast(ops.arange(height), "float32")[:, None] + ops.zeros_like(x)
    found = []
    for field, path in zip(each, paths):
        here, moved = _bilinear(field, x, y), _bilinear(path, x, y) * FLOW_BOUND
        found.append(ops.cast(here, field.dtype))
        x, y = ops.clip(x + moved[..., 0], 0, right), ops.clip(y + moved[..., 1], 0, bottom)
    return found


def _bilinear(field, x, y):
    """field (B, N, H, W, 2) read at the points x, y, float32 (B, N, H, W), inside it; float32."""
    batch, count, height, width, _ = ops.shape(field)
    flat = ops.reshape(ops.cast(field, "float32"), (batch, count, height * width, 2))

    def at(rows, columns):
        place = ops.reshape(rows * width + columns, (batch, count, height * width, 1))
        # Both components of a point lie side by side.
        return ops.reshape(ops.take_along_axis(flat, place, axis=2), (batch, count, height, width, 2))

    x0, y0 = ops.floor(x), ops.floor(y)
    part_x, part_y = (x - x0)[..., None], (y - y0)[..., None]
    x0, y0 = ops.cast(x0, "int32"), ops.cast(y0, "int32")
    x1, y1 = ops.minimum(x0 + 1, width - 1), ops.minimum(y0 + 1, height - 1)
    top = at(y0, x0) * (1 - part_x) + at(y0, x1) * part_x
    below = at(y1, x0) * (1 - part_x) + at(y1, x1) * part_x
    return top * (1 - part_y) + below * part_y


@keras.saving.register_keras_serializable(package="keras_i3d")
class MeanOfHeads(layers.Layer):
    """The mean of two linear heads, each on its own half of the channels: float (..., 2 C) to (..., classes).

    Each head has a kernel and a bias of its own. They lie in one layer because the class layer of a network is one.

    Args:
        classes: of both heads.
        initializers: of the kernels of the first and of the second half.
    """

    def __init__(self, classes, initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        shape = (1, 1, 1, input_shape[-1], self.classes)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.initializer)
        self.bias_rgb = self.add_weight(name="bias_rgb", shape=(self.classes,), initializer="zeros")
        self.bias_flow = self.add_weight(name="bias_flow", shape=(self.classes,), initializer="zeros")

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.classes)

    def call(self, x):
        x = ops.matmul(x, ops.reshape(self.kernel, (-1, self.classes)))
        return (x + self.bias_rgb + self.bias_flow) / 2

    def get_config(self):
        config = {**super().get_config(), "classes": self.classes}
        return {**config, "initializer": keras.initializers.serialize(self.initializer)}
