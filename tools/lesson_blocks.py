"""Figures about blocks: an inflated kernel, a cube parted into a square and a line, costs, and gradients of depth."""

import numpy as np
from svg_drawing import BLUE, GREEN, ORANGE, PURPLE, Drawing

EDGE = ((1, 0, -1), (2, 0, -2), (1, 0, -1))  # a kernel that answers to an upright edge


def inflated(kernel=EDGE, frames=3):
    """The kernel of a 2D convolution, (3, 3), after `keras_i3d.inflate_graph`: float32 (frames, 3, 3)."""
    import keras

    import keras_i3d

    image = keras.Input((8, 8, 1))
    flat = keras.Model(image, keras.layers.Conv2D(1, 3, use_bias=False, name="edge")(image))
    flat.get_layer("edge").set_weights([np.float32(kernel)[..., None, None]])
    return keras_i3d.inflate_graph(flat, frames).get_layer("edge").get_weights()[0][..., 0, 0]


def kernel():
    """A 2D kernel, and what `inflate_graph` makes of it."""
    page = Drawing(760, 250, "A 3 x 3 kernel is repeated three times over time, and divided by three")
    page.text(20, 28, "Inflation: a kernel is repeated over time, and divided by how often", bold=True)
    page.grid(30, 76, EDGE, 44, BLUE, 2, lambda value: f"{value:g}")
    page.text(30, 66, "2D, for one picture", 12, soft=True)
    page.arrow(180, 140, 232, 140)
    page.text(206, 128, "÷ 3", 13, "middle")
    for frame, values in enumerate(inflated()):
        page.grid(
            255 + frame * 165, 76, values.tolist(), 44, BLUE, 2, lambda value: f"{value:.2f}".replace("-0.00", "0")
        )
        page.text(255 + frame * 165, 66, ("frame t - 1", "frame t", "frame t + 1")[frame], 12, soft=True)
    page.text(30, 236, "On a still video the three answers add up to the one of the 2D kernel.", 12)
    return page


def parted():
    """The taps of a 3 x 3 x 3 kernel, and those of 1 x 3 x 3 followed by 3 x 1 x 1."""
    page = Drawing(760, 270, "A cube of 27 taps becomes a square of 9 and a line of 3")
    page.text(20, 28, "A cube of 27 taps, or a square of 9 and a line of 3", bold=True)
    full, none = [[1] * 3] * 3, [[0] * 3] * 3
    middle = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    groups = ((20, "3 x 3 x 3", (full, full, full), GREEN), (310, "1 x 3 x 3 in space", (none, full, none), BLUE),
              (540, "3 x 1 x 1 in time", (middle, middle, middle), ORANGE))  # fmt: skip
    for x, words, frames, color in groups:
        page.text(x, 66, words, 13, bold=True)
        for frame, values in enumerate(frames):
            page.grid(x + frame * 68, 82 + frame * 22, values, 20, color, 1)
            page.text(x + 30 + frame * 68, 160 + frame * 22, ("t - 1", "t", "t + 1")[frame], 11, "middle", soft=True)
    page.arrow(512, 120, 534, 120)
    page.text(20, 256, "With c channels in and out: 27 c² weights, or 9 c² + 3 c² = 12 c².", 12)
    return page


NETWORKS = ("I3D", "BottomHeavyI3D", "TopHeavyI3D", "S3D-slim", "S3DG", "I2D")
RESIDUAL = ("R3D18", "MC318", "R2Plus1D18-paper")


def costs():
    """Parameters and multiply-adds of rows, as bars."""
    from keras_i3d.models import families

    page = Drawing(760, 356, "What separable convolutions save, next to networks that are flat in part")
    page.text(20, 28, "What it costs: parameters, and multiply-adds of a clip", bold=True)
    y = 66
    for names, words in ((NETWORKS, "64 frames of 224 x 224"), (RESIDUAL, "16 frames of 112 x 112")):
        page.text(20, y, words, 12, soft=True)
        for name in names:
            row = families.find(name)
            count = row.parameters["rgb"] / 1e6
            page.text(20, y + 22, name, 12)
            page.box(170, y + 11, count * 6, 14, BLUE, 0.85)
            page.text(175 + count * 6, y + 22, f"{count:.1f} M", 11)
            page.box(430, y + 11, row.macs * 2.2, 14, PURPLE, 0.85)
            page.text(435 + row.macs * 2.2, y + 22, f"{row.macs:.1f} G", 11)
            y += 24
        y += 40
    page.text(170, 48, "parameters", 12, bold=True)
    page.text(430, 48, "multiply-adds", 12, bold=True)
    return page


def gradient_norms(depth=24, shortcuts=False, width=8, seed=0):
    """How large the gradient is that reaches each layer of a stack of 3 x 3 x 3 convolutions.

    Returns:
        float (depth,): the norm at the output of each layer, the last one's being 1. With shortcuts what went into each
        pair of layers is added to what comes out.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Conv3D(width, 3, padding="same", activation="relu") for _ in range(depth)]
    x = tf.constant(np.random.default_rng(seed).normal(0, 1, (1, 4, 8, 8, width)).astype("float32"))
    outputs = []
    with tf.GradientTape() as tape:
        tape.watch(x)
        for first, second in zip(layers[::2], layers[1::2]):
            middle = first(x)
            x = second(middle) + (x if shortcuts else 0)
            outputs += [middle, x]
        loss = tf.reduce_sum(x * np.random.default_rng(seed + 1).normal(0, 1, x.shape).astype("float32"))
    norms = np.float64([np.linalg.norm(each.numpy()) for each in tape.gradient(loss, outputs)])
    return norms / norms[-1]


def gradients():
    """`gradient_norms` of a plain and of a residual stack."""
    page = Drawing(760, 300, "Without shortcuts the gradient fades from layer to layer; with them it does not")
    page.text(
        20, 28, "How much of the gradient is left at each of 24 convolutions, from the last to the first", bold=True
    )
    left, base, step, decade = 80, 250, 26, 34
    for power in range(-5, 2):
        y = base - (power + 5) * decade
        page.line(left, y, left + 24 * step, y)
        page.text(left - 8, y + 4, f"{10.0**power:g}", 11, "end", soft=True)
    for shortcuts, color, words in ((False, ORANGE, "plain"), (True, GREEN, "with shortcuts")):
        found = gradient_norms(shortcuts=shortcuts)[::-1]
        points = [
            (left + (place + 0.5) * step, base - (np.log10(max(value, 1e-5)) + 5) * decade)
            for place, value in enumerate(found)
        ]
        page.curve(points, color)
        page.text(points[14][0] + 4, points[14][1] - 14, words, 12, bold=True)
    page.text(left, 276, "the last layer", 11, soft=True)
    page.text(left + 24 * step, 276, "the first layer", 11, "end", soft=True)
    return page


FIGURES = {"kernel": kernel, "parted": parted, "costs": costs, "gradients": gradients}
