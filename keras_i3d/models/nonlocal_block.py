"""Non-local blocks: each position of a clip takes up what others like it hold (Wang et al. 2018, arXiv 1711.07971).

z = W y + x, with y_i the mean of g(x_j) over all positions j of the clip, weighed by how much x_i and x_j are alike:

| mode | weight of x_j for x_i |
|---|---|
| embedded_gaussian | softmax over j of theta(x_i) . phi(x_j) |
| gaussian | softmax over j of x_i . x_j |
| dot_product | theta(x_i) . phi(x_j), divided by the number of positions j |

theta, phi and g halve the channels by 1 x 1 x 1 convolutions, W restores them; a batch norm whose scale starts at 0
follows W, so that a new block changes nothing. The paper's concatenation has no published weights, and is left out.
"""

import dataclasses
import math

import keras
from keras import layers, ops

from keras_i3d.models.blocks import max_pool

MODES = ("embedded_gaussian", "gaussian", "dot_product")


@dataclasses.dataclass(frozen=True)
class NonLocal:
    """How an implementation settles what the paper leaves open.

    Attributes:
        sub_sample: where the positions j are thinned by a 1 x 2 x 2 max pool: "before" phi and g; "after" them, as in
            the paper; None for nowhere.
        scale: whether what goes into a softmax is divided by the square root of its channels, which the paper does not.
        bias: whether W has a bias, which the batch norm after it makes redundant.
    """

    sub_sample: str | None = "before"
    scale: bool = True
    bias: bool = True


def nonlocal_block(x, filters, kind, mode, *, name, bn_momentum, epsilon):
    """A non-local block, whose output is the layer `name`.

    Weights live in `{name}_theta_conv_3d`, `..._phi_...`, `..._g_...`, `..._out_...` and `{name}_out_batch_norm`.

    Args:
        x: (B, T, H, W, C).
        filters: of theta, phi and g.
        kind: the NonLocal.
        mode: one of MODES.
        name: the endpoint.
        bn_momentum, epsilon: of the batch norm.
    """

    def convolution(x, part, filters, bias=True):
        return layers.Conv3D(
            filters,
            1,
            data_format="channels_last",
            use_bias=bias,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name=f"{name}_{part}_conv_3d",
        )(x)

    def thinned(x, part=""):
        return max_pool(x, (1, 2, 2), (1, 2, 2), name=f"{name}{part}_pool", padding="valid")

    theta = x if mode == "gaussian" else convolution(x, "theta", filters)
    others = thinned(x) if kind.sub_sample == "before" else x
    phi = others if mode == "gaussian" else convolution(others, "phi", filters)
    g = convolution(others, "g", filters)
    if kind.sub_sample == "after":
        phi, g = thinned(phi, "_phi"), thinned(g, "_g")
    # In float32: a softmax turns an absolute error of a score into a relative one of its weight.
    y = WeighedMean(mode, kind.scale, dtype="float32", name=f"{name}_mean")([theta, phi, g])
    y = convolution(y, "out", x.shape[-1], kind.bias)
    y = layers.BatchNormalization(
        axis=-1, momentum=bn_momentum, epsilon=epsilon, gamma_initializer="zeros", name=f"{name}_out_batch_norm"
    )(y)
    return layers.Add(name=name)([x, y])


@keras.saving.register_keras_serializable(package="keras_i3d")
class WeighedMean(layers.Layer):
    """The mean of g over all its positions, for each position of theta weighed by the products of theta and phi.

    [(B, T, H, W, C), (B, T, h, w, C), (B, T, h, w, D)] -> (B, T, H, W, D). Sizes may be unknown until the call.

    Args:
        mode: one of MODES.
        scale: as `NonLocal` has it.
    """

    def __init__(self, mode, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.mode = check_mode(mode)
        self.scale = scale

    def compute_output_shape(self, input_shape):
        theta, _, g = input_shape
        return (*theta[:-1], g[-1])

    def call(self, inputs):
        theta, phi, g = inputs
        batch, *sizes, _ = ops.shape(theta)

        def flat(x):
            return ops.reshape(x, (batch, -1, x.shape[-1]))

        if self.mode == "dot_product":
            count = ops.cast(math.prod(ops.shape(phi)[1:-1]), phi.dtype)
            weights = ops.matmul(flat(theta), ops.swapaxes(flat(phi), 1, 2)) / count
        else:
            theta = theta * theta.shape[-1] ** -0.5 if self.scale else theta
            scores = ops.matmul(flat(theta), ops.swapaxes(flat(phi), 1, 2))
            # Keras warns of a softmax over one.
            weights = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
        return ops.reshape(ops.matmul(weights, flat(g)), (batch, *sizes, g.shape[-1]))

    def get_config(self):
        return {**super().get_config(), "mode": self.mode, "scale": self.scale}


def check_mode(mode):
    """Returns `mode` if it is one of MODES, else raises ValueError."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}. Received: mode={mode!r}")
    return mode
