"""Parameters and multiply-adds, counted in a graph."""

import keras
import pytest
from keras import layers, ops

from keras_i3d.models import families
from keras_i3d.models.counting import multiply_adds, parameters

INPUT = (4, 6, 6, 8)


def counted(make, shape=INPUT):
    """The multiply-adds of what `make` does with an input of this shape."""
    inputs = keras.Input(shape)
    return multiply_adds(keras.Model(inputs, make(inputs)))


@pytest.mark.parametrize(
    ("make", "shape", "expected"),
    [
        (lambda x: layers.Conv3D(5, (3, 1, 2), (2, 1, 3), padding="same")(x), INPUT, 2 * 6 * 2 * 3 * 2 * 8 * 5),
        (lambda x: layers.Conv3D(4, 3, groups=4)(x), INPUT, 2 * 4 * 4 * 27 * 2 * 4),
        (lambda x: layers.Conv2D(4, 3)(x), (6, 6, 8), 4 * 4 * 9 * 8 * 4),
        (lambda x: layers.DepthwiseConv2D(3)(x), (6, 6, 8), 4 * 4 * 9 * 8),
        (lambda x: layers.SeparableConv2D(5, 3)(x), (6, 6, 8), 4 * 4 * (9 * 8 + 8 * 5)),
        (lambda x: layers.Conv3DTranspose(5, 2, 2)(x), INPUT, 4 * 6 * 6 * 8 * 8 * 5),
        (lambda x: layers.Dense(5)(x), INPUT, 4 * 6 * 6 * 8 * 5),
        (lambda x: layers.Dense(5)(layers.Flatten()(x)), INPUT, 4 * 6 * 6 * 8 * 5),
        (lambda x: layers.LSTM(5)(x), (7, 8), 7 * (8 + 5) * 4 * 5),
        (lambda x: layers.GRU(5, return_sequences=True)(x), (7, 8), 7 * (8 + 5) * 3 * 5),
        (lambda x: layers.Bidirectional(layers.LSTM(5))(x), (7, 8), 2 * 7 * (8 + 5) * 4 * 5),
        (lambda x: layers.TimeDistributed(layers.Conv2D(3, 3))(x), INPUT, 4 * 4 * 4 * 9 * 8 * 3),
        (lambda x: layers.Attention()([x, x[:, :3]]), (7, 8), 7 * 3 * (8 + 8)),
        (lambda x: layers.Dot(2)([x, x[:, :3]]), (7, 8), 7 * 3 * 8),
        (lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))), (7, 8), 7 * 7 * 8),
        (lambda x: ops.einsum("bnc,bmc->bnm", x, x[:, :3]), (7, 8), 7 * 3 * 8),
        # Biases, norms, activations, sums, products by a gate, and pools are not counted.
        (lambda x: layers.ReLU()(layers.BatchNormalization()(layers.MaxPool3D()(x))), INPUT, 0),
        (lambda x: x * layers.GlobalAveragePooling3D(keepdims=True)(x) + x, INPUT, 0),
    ],
)
def test_by_hand(make, shape, expected):
    assert counted(make, shape) == expected


def test_a_layer_that_is_called_twice_counts_twice():
    conv = layers.Conv3D(8, 1)
    assert counted(lambda x: conv(conv(x))) == 2 * 4 * 6 * 6 * 8 * 8


def test_a_model_inside_a_model():
    inputs = keras.Input(INPUT)
    inner = keras.Model(inputs, layers.Conv3D(8, 1)(inputs))
    assert counted(lambda x: inner(layers.Conv3D(8, 1)(x))) == 2 * 4 * 6 * 6 * 8 * 8


class Mixes(layers.Layer):
    """A layer with a matrix."""

    def build(self, input_shape):
        self.matrix = self.add_weight((8, 8))

    def call(self, x):
        return x @ self.matrix


class SaysIt(Mixes):
    """One that says what it takes."""

    def multiply_adds(self, shape):
        return shape[1] * 64


def test_other_layers_say_it_themselves():
    assert counted(lambda x: SaysIt()(x), (7, 8)) == 7 * 64
    with pytest.raises(ValueError, match=r"Received: mixes, a Mixes. Give its class the method"):
        counted(lambda x: Mixes(name="mixes")(x), (7, 8))


def test_an_open_size_is_refused():
    with pytest.raises(ValueError, match="depend on the size of the clip. Received: conv with"):
        counted(lambda x: layers.Conv3D(2, 1, name="conv")(x), (None, 6, 6, 8))


def test_parameters():
    model = families.find("I3D").build(input_shape=(16, 32, 32, 3), depth_multiplier=0.1, classes=5)
    assert parameters(model) == sum(weight.numpy().size for weight in model.trainable_weights)
    assert parameters(model, trainable=False) == model.count_params()
