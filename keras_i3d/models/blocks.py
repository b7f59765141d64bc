"""The pieces that the Inception video models are made of.

Layout is always (batch, time, height, width, channel); kernels and strides are (t, h, w).
"""

import functools
import math

import keras
from keras import layers, ops


def conv_unit(
    x,
    filters,
    kernel,
    strides=(1, 1, 1),
    *,
    name,
    endpoint=None,
    padding="same",
    norm=True,
    relu=True,
    bn_momentum=0.999,
    epsilon=1e-3,
    scale=False,
    gamma="ones",
    initializer=None,
):
    """Convolution, batch norm, ReLU; the endpoint is the ReLU's output.

    By default SAME padding, no bias, no batch-norm scale, epsilon 1e-3, as `snt.Conv3D` and `snt.BatchNorm`
    in DeepMind's i3d.py. Weights live in the layers `{name}_conv_3d` and `{name}_batch_norm`.

    Args:
        x: (B, T, H, W, C).
        filters, kernel, strides: of the convolution.
        name: what the layers with weights are named after.
        endpoint: name of the ReLU; `name` by default.
        padding: "same" as in TensorFlow, or "symmetric" as in PyTorch: half the kernel on both sides. They differ
            where a stride of 2 meets an even size. "valid" for none.
        norm: False for a convolution with bias and no batch norm.
        relu: False to leave the ReLU to what comes after; there is no endpoint then.
        bn_momentum, epsilon, scale: of the batch norm.
        gamma: what the batch norm's scale starts from, as Keras names initializers.
        initializer: of the kernel; `sonnet_initializer` by default.
    """
    fan_in = math.prod(kernel) * x.shape[-1]
    strides = tuple(strides)
    # A kernel of 1 needs no zeros, and its positions are those of SAME.
    explicit = padding == "symmetric" and strides != (1, 1, 1) and max(kernel) > 1
    if explicit:
        x = pad(x, [(size // 2, size // 2) for size in kernel], name=f"{name}_pad")
    x = layers.Conv3D(
        filters,
        kernel,
        strides,
        padding="valid" if explicit or padding == "valid" else "same",
        data_format="channels_last",
        use_bias=not norm,
        kernel_initializer=initializer or sonnet_initializer(fan_in),
        name=f"{name}_conv_3d",
    )(x)
    if norm:
        x = layers.BatchNormalization(
            axis=-1,
            momentum=bn_momentum,
            epsilon=epsilon,
            scale=scale,
            gamma_initializer=gamma,
            name=f"{name}_batch_norm",
        )(x)
    return layers.ReLU(name=endpoint or name)(x) if relu else x


def separable_unit(
    x,
    filters,
    kernel,
    strides=(1, 1, 1),
    *,
    name,
    endpoint=None,
    middle=None,
    temporal_first=False,
    temporal_norm=True,
    relu=True,
    **settings,
):
    """A convolution parted in two: 1 x k x k in space, then k x 1 x 1 in time, each a `conv_unit`.

    Weights live in `{name}_spatial_conv_3d`, `{name}_temporal_conv_3d` and their batch norms.

    Args:
        x: (B, T, H, W, C).
        filters, kernel, strides: of the convolution that is parted.
        name: what the layers with weights are named after.
        endpoint: name of the last ReLU; `name` by default.
        middle: width between the two; by default `filters`, or the width of `x` where time comes first.
        temporal_first: whether time comes before space.
        temporal_norm: False for a temporal convolution with bias and no batch norm.
        relu: False to leave the last ReLU to what comes after.
        **settings: of both, as `conv_unit` takes them.
    """
    (kt, kh, kw), (st, sh, sw) = kernel, strides
    spatial = (f"{name}_spatial", (1, kh, kw), (1, sh, sw), True)
    temporal = (f"{name}_temporal", (kt, 1, 1), (st, 1, 1), temporal_norm)
    first, second = (temporal, spatial) if temporal_first else (spatial, temporal)
    middle = middle or (x.shape[-1] if temporal_first else filters)
    half, size, steps, norm = first
    x = conv_unit(x, middle, size, steps, name=half, norm=norm, **settings)
    half, size, steps, norm = second
    return conv_unit(x, filters, size, steps, name=half, endpoint=endpoint or name, norm=norm, relu=relu, **settings)


def self_gating(x, *, name, use_bias):
    """Weighs each channel by sigmoid(W m + b), where m is its mean over time and space: the gate of S3D-G.

    Args:
        x: (B, T, H, W, C).
        name: endpoint of the product, of the shape of `x`. The layer `{name}_self_gating` has the weights, whose
            kernel is (1, 1, 1, C, C).
        use_bias: whether there is a b.
    """
    # In float32, because the sum over a clip is more than float16 holds.
    gate = layers.GlobalAveragePooling3D(
        data_format="channels_last", keepdims=True, dtype="float32", name=f"{name}_self_gating_mean"
    )(x)
    gate = layers.Conv3D(
        x.shape[-1],
        1,
        data_format="channels_last",
        use_bias=use_bias,
        activation="sigmoid",
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.01),
        name=f"{name}_self_gating",
    )(gate)
    return layers.Multiply(name=name)([x, gate])


def pad(x, sides, *, name):
    """Zeros around (B, T, H, W, C); `sides` are (before, after) in time, height and width."""
    return layers.ZeroPadding3D(tuple(sides), data_format="channels_last", name=name)(x)


def max_pool(x, window, strides, *, name, padding="same"):
    """Max pooling; the padding never wins, because what comes in is the output of a ReLU.

    Args:
        x: (B, T, H, W, C), none below 0.
        window, strides: of the pooling.
        name: the endpoint.
        padding: where a stride of 2 puts its first window. "same": as TensorFlow does, which depends on the size.
            "symmetric": half the window in front, and a window of 2 drops the last of an odd size, as in PyTorch.
            "after": on the first element, and as many windows as "same" has. "valid": there too, and windows that would
            reach over the end are left out.
    """
    explicit = padding != "same" and tuple(strides) != (1, 1, 1)
    if explicit and padding != "valid":
        sides = [((size - 1) // 2,) * 2 if padding == "symmetric" else (0, size - 1) for size in window]
        if any(map(any, sides)):
            x = pad(x, sides, name=f"{name}_pad")
    return MaxPool3D(window, strides, padding="valid" if explicit else "same", data_format="channels_last", name=name)(
        x
    )


def scaled_width(filters, depth_multiplier):
    """The width of a layer that has `filters` at a depth_multiplier of 1."""
    return max(8, round(filters * depth_multiplier))


@keras.saving.register_keras_serializable(package="keras_i3d")
class MaxPool3D(layers.MaxPooling3D):
    """Keras's max pooling, which works in float16 on a CPU too, where TensorFlow has no kernel for it."""

    def call(self, x):
        half = keras.backend.standardize_dtype(x.dtype) == "float16"
        if half and keras.backend.backend() == "tensorflow" and not has_gpu():
            return ops.cast(super().call(ops.cast(x, "float32")), "float16")  # no value changes on the way
        return super().call(x)


def sonnet_initializer(fan_in):
    """Sonnet 1's default for convolutions: a normal of stddev 1/sqrt(fan_in), truncated, not rescaled."""
    return keras.initializers.TruncatedNormal(stddev=1 / math.sqrt(fan_in))


def space_to_depth(x):
    """Moves each 2 x 2 x 2 neighbourhood to the channels: (B, T, H, W, C) to (B, T', H', W', 8 C), T' = ceil(T / 2).

    An odd size gets a zero in front, which puts the phase where SAME padding has it: a convolution of stride 2 is one
    of stride 1 on this, by `space_to_depth_kernel`. Sizes may be unknown while a graph is made.
    """
    batch, *sizes, channels = ops.shape(x)
    odd = [size % 2 for size in sizes]
    if not all(isinstance(side, int) and side == 0 for side in odd):
        x = ops.pad(x, [[0, 0], *([side, 0] for side in odd), [0, 0]])
    t, h, w = ((size + 1) // 2 for size in sizes)
    x = ops.reshape(x, (batch, t, 2, h, 2, w, 2 * channels))
    x = ops.transpose(x, (0, 1, 3, 5, 2, 4, 6))
    return ops.reshape(x, (batch, t, h, w, 8 * channels))


@keras.saving.register_keras_serializable(package="keras_i3d")
class SpaceToDepth3D(layers.Layer):
    """`space_to_depth` as a layer."""

    def compute_output_shape(self, input_shape):
        batch, *sizes, channels = input_shape
        return (batch, *(None if size is None else -(-size // 2) for size in sizes), 8 * channels)

    def call(self, x):
        return space_to_depth(x)


def space_to_depth_kernel(kernel):
    """The kernel of stride 1 on `space_to_depth(x)` that does what `kernel` does on x at stride 2, both SAME.

    Args:
        kernel: float (7, 7, 7, C, F), or other sizes that are 3 modulo 4: those whose padding starts on an even place.

    Returns:
        float (4, 4, 4, 8 C, F): one zero longer than `kernel` on each axis, and rearranged.
    """
    *sizes, channels, filters = kernel.shape
    if any(size % 4 != 3 for size in sizes):
        raise ValueError(f"Kernel sizes must be 3 modulo 4. Received: {tuple(sizes)}")
    t, h, w = ((size + 1) // 2 for size in sizes)
    kernel = ops.pad(kernel, [[0, 1]] * 3 + [[0, 0]] * 2)
    kernel = ops.reshape(kernel, (t, 2, h, 2, w, 2, channels, filters))
    kernel = ops.transpose(kernel, (0, 2, 4, 1, 3, 5, 6, 7))
    return ops.reshape(kernel, (t, h, w, 8 * channels, filters))


def is_sparse_stem(conv):
    """Whether a Keras Conv3D is of the kind that `space_to_depth` suits: few channels, and every second position."""
    return (
        conv.strides == (2, 2, 2)
        and conv.padding == "same"
        and conv.data_format == "channels_last"
        and conv.dilation_rate == (1, 1, 1)
        and conv.groups == 1
        and conv.kernel.shape[-2] <= 4
        and all(size % 4 == 3 for size in conv.kernel_size)
    )


def is_bfloat16_on_cpu(layer):
    """Whether a layer's sums fall to a processor's matrix units, which three channels would leave mostly empty."""
    return layer.compute_dtype == "bfloat16" and not has_gpu()


def has_gpu():
    """Whether the backend has a GPU. JAX raises an error if there is none; TensorFlow lists none."""
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:
        return False


@keras.saving.register_keras_serializable(package="keras_i3d")
class ClipCheck(layers.Layer):
    """Passes a clip through unchanged, and refuses one too short or too small for the network.

    Where a graph was traced with unknown sizes, the refusal is TensorFlow's InvalidArgumentError in a
    node of this layer's name: "Expected size[1] in [0, 8], but got 9" for 8 frames where 9 are needed.

    Args:
        min_frames: frames needed.
        min_size: pixels needed in height and in width.
        facts: what the weights behind it were trained on, as `facts.Facts.record` gives it; None where nobody said.
        family: name of the network that it belongs to, a row of `families`; None in files from before there were rows.

    The last two stand here because a layer's configuration goes wherever the model goes.
    """

    def __init__(self, min_frames, min_size, facts=None, family=None, **kwargs):
        kwargs.setdefault("name", f"Needs_{min_frames}_frames_of_{min_size}x{min_size}")
        super().__init__(**kwargs)
        self.min_frames = min_frames
        self.min_size = min_size
        self.facts = facts
        self.family = family

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        check_clip_shape(x.shape, self.min_frames, self.min_size)
        sizes = ops.shape(x)
        if all(isinstance(size, int) for size in sizes[1:4]):
            return x
        # A slice as large as the clip, or as the least clip there may be: only the former exists.
        least = (0, self.min_frames, self.min_size, self.min_size, 0)
        return ops.slice(x, [0] * 5, [ops.maximum(size, low) for size, low in zip(sizes, least)])

    def get_config(self):
        config = {**super().get_config(), "min_frames": self.min_frames, "min_size": self.min_size}
        more = {"facts": self.facts, "family": self.family}
        return config | {name: value for name, value in more.items() if value}


def check_clip_shape(shape, min_frames, min_size):
    """Raises ValueError if the known part of `shape`, (B, T, H, W, C), is too short or too small."""
    _, frames, height, width, _ = shape
    if frames is not None and frames < min_frames:
        raise ValueError(
            f"A clip needs at least {min_frames} frames; received {frames}. Repeat its frames: "
            f"np.resize(clip, ({min_frames}, *clip.shape[1:]))."
        )
    for side, size in (("height", height), ("width", width)):
        if size is not None and size < min_size:
            raise ValueError(
                f"A clip needs a height and a width of at least {min_size} pixels; received {side} {size}. "
                "Resize it; the weights expect a 224 x 224 crop of a 256-pixel short side."
            )


@keras.saving.register_keras_serializable(package="keras_i3d")
class HeadPool(layers.Layer):
    """The head's 2 x 7 x 7 average pool at stride 1 (VALID), its spatial window clipped to a smaller map.

    (B, T, H, W, C) -> (B, T - 1, max(H - 6, 1), max(W - 6, 1), C). Sizes may be unknown until the call.
    Every position is averaged with equal weight, in float32 or what the layer's dtype says.

    Args:
        window: the side of the spatial window; None for the whole map, whose mean is one position.
        steps: of the window in time, 1 or more; 1 leaves the steps as they are.
    """

    def __init__(self, window=7, steps=2, **kwargs):
        super().__init__(**kwargs)
        if not steps >= 1:
            raise ValueError(f"steps must be 1 or more. Received: steps={steps!r}")
        self.window = window
        self.steps = steps

    def compute_output_shape(self, input_shape):
        batch, frames, *sides, channels = input_shape
        if self.window is None:
            sides = [1, 1]
        else:
            sides = [None if side is None else max(side - self.window + 1, 1) for side in sides]
        return (batch, None if frames is None else frames - self.steps + 1, *sides, channels)

    def call(self, x):
        if self.steps > 1:
            last = self.steps - 1
            x = functools.reduce(ops.add, (x[:, i : (i - last) or None] for i in range(self.steps))) / self.steps
        if self.window is None:
            return ops.mean(x, axis=(2, 3), keepdims=True)
        for axis in (2, 3):
            x = _sliding_mean(x, axis, self.window)
        return x

    def get_config(self):
        config = {**super().get_config(), "window": self.window}
        return config if self.steps == 2 else {**config, "steps": self.steps}


def _sliding_mean(x, axis, window):
    """The mean over each run of `window` neighbours along `axis`, or over the whole axis if it is shorter.

    A product with a banded 0/1 matrix: `average_pool` needs a window that is known before the map is.
    """
    size = ops.shape(x)[axis]
    window = min(size, window) if isinstance(size, int) else ops.minimum(size, window)
    start = ops.arange(size - window + 1, dtype="int32")[:, None]
    at = ops.arange(size, dtype="int32")[None]
    inside = ops.cast(ops.logical_and(at >= start, at < start + window), x.dtype)
    sums = ops.moveaxis(ops.tensordot(x, inside, axes=[[axis], [1]]), -1, axis)
    return sums / ops.cast(window, x.dtype)
