"""RGB I3D as if it had seen data: batch norm that does something, and biases that are not zero.

Fresh ones would be measured too fast: TensorFlow drops a bias of zero.
"""


def model(classes=400):
    """Returns it in the policy that is set."""
    import keras
    import numpy as np

    import keras_i3d

    keras.utils.set_random_seed(0)
    made = keras_i3d.I3D(weights=None, classes=classes)
    draw = np.random.default_rng(0)
    for layer in made.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.beta.shape
            layer.set_weights([draw.normal(0, 0.1, shape), draw.normal(0, 0.1, shape), draw.uniform(0.5, 1.5, shape)])
    head = made.get_layer("Logits_Conv3d_0c_1x1_conv_3d")
    head.bias.assign(draw.normal(0, 0.1, head.bias.shape))
    return made


def write(folder, classes=400):
    """Writes its weights into a folder as rgb.weights.h5, and as arrays as rgb.npz; returns the path of the former."""
    import keras
    import numpy as np

    made = model(classes)
    made.save_weights(folder / "rgb.weights.h5")
    np.savez(folder / "rgb.npz", **{v.path: keras.ops.convert_to_numpy(v) for v in made.weights})
    return folder / "rgb.weights.h5"
