"""ConvNet+LSTM: its layer against Sonnet's, and what its training and its answer see of a clip."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import goldens, synthetic, tiny

from keras_i3d.models import families
from keras_i3d.models.recurrent import BatchNormLSTM

# Of Sonnet's flags those that a golden sets; what it does not set is off, but for the hidden norm.
NORMS = {"sonnet_bn_lstm": "h", "sonnet_bn_lstm_hxc_4_stats": "hxc"}
NAMES = {"w_gates_H": "recurrent_kernel", "w_gates_X": "kernel", "b_gates": "bias"}


def loaded(name):
    """The layer with a golden's weights; of each row of statistics the original has a batch norm of its own."""
    golden = goldens.case(name)
    layer = BatchNormLSTM(
        golden["options"]["hidden_size"], NORMS[name], True, golden["options"].get("max_unique_stats", 1)
    )
    layer.build(tuple(golden["input"]["shape"]))
    values = {weight.name: weight.numpy() for weight in layer.weights}
    for variable, shape in golden["variables"].items():
        scope, *_, leaf = variable.split("/")
        value = seeded(variable, shape, golden)
        if scope == "batch_norm_lstm":
            values[NAMES.get(leaf, leaf)] = value
        else:
            number = int(variable.split("/")[1].removeprefix("batch_norm").strip("_") or 0)
            values[f"{leaf}_{scope[-1]}"][number] = value[0]
    layer.set_weights([values[weight.name] for weight in layer.weights])
    return layer, golden


def seeded(variable, shape, golden):
    """By the rule of the golden: its kernels end in no name of a kernel, so all but variances are small offsets."""
    draw = goldens.draw(golden, variable)
    return np.float32(0.5 + draw.rand(*shape) if "variance" in variable else 0.1 * draw.standard_normal(shape))


@pytest.mark.parametrize("name", NORMS)
def test_equals_sonnets(name):
    layer, golden = loaded(name)
    x = synthetic.clip(golden["input"]["shape"], golden["input"]["seed"])
    wanted = np.reshape(golden["outputs"], golden["outputs_shape"])
    assert goldens.relative(layer(x), wanted) < 1e-6
    assert sum(np.prod(weight.shape) for weight in layer.trainable_weights) == golden["trainable_parameters"]
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, x.shape[-1]))])
    np.testing.assert_allclose(traced(x), layer(x), atol=1e-6)
    again = BatchNormLSTM.from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


def test_training_normalises_by_the_batch_and_moves_the_averages_step_by_step():
    layer, x = BatchNormLSTM(3, "hxc", max_unique_stats=2, momentum=0.9), synthetic.clip((4, 5, 6), 1)
    layer.build(x.shape)
    weights = {weight.name: weight.numpy() for weight in layer.weights}
    means = {letter: [np.zeros_like(weights[f"moving_mean_{letter}"][0])] * 2 for letter in "hxc"}

    def norm(letter, value, step):
        mean, place = value.mean(axis=0), min(step, 1)
        means[letter] = list(means[letter])
        means[letter][place] = 0.9 * means[letter][place] + 0.1 * mean
        return (value - mean) / np.sqrt(value.var(axis=0) + 1e-3) * weights[f"gamma_{letter}"]

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    hidden, cell, wanted = np.zeros((4, 3)), np.zeros((4, 3)), []
    for step in range(5):
        gates = norm("h", hidden @ weights["recurrent_kernel"], step)
        gates = gates + norm("x", x[:, step] @ weights["kernel"], step) + weights["bias"]
        i, j, f, o = np.split(gates, 4, axis=-1)
        cell = sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(j)
        hidden = np.tanh(norm("c", cell, step) + weights["beta_c"]) * sigmoid(o)
        wanted.append(hidden)
    np.testing.assert_allclose(layer(x, training=True), np.stack(wanted, axis=1), atol=1e-5)
    for letter, mean in means.items():
        np.testing.assert_allclose(layer.means[letter], mean, atol=1e-6)
    moved = layer.get_weights()
    layer.freeze_statistics = True
    np.testing.assert_array_equal(layer(x, training=True), layer(x))
    layer.freeze_statistics, layer.trainable = False, False
    layer(x, training=True)
    for value, before in zip(layer.get_weights(), moved):
        assert any(np.array_equal(value, each) for each in moved), before


def test_its_step_can_be_compiled():
    """As `fit` does on a GPU: the gradient of a loop of unknown length could not."""
    layer, x = BatchNormLSTM(3), synthetic.clip((4, 5, 6), 1)
    layer.build(x.shape)

    def gradient(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    for plain, compiled in zip(gradient(x), tf.function(gradient, jit_compile=True)(x)):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"norms": "hq"}, {"norms": "hh"}, {"norms": None}, {"max_unique_stats": 0}])
def test_bad_arguments(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        BatchNormLSTM(3, **settings)


def test_the_answer_is_of_the_last_frame_and_has_seen_all_before():
    row = tiny.short_rows()["ConvNetLSTM"]
    model = row.build(input_shape=(None, None, None, 3), classes=5, depth_multiplier=0.1)
    x = synthetic.clip((1, 4, 32, 32, 3), 1)
    rows = keras.Model(model.input, model.get_layer(row.head).output)
    logits = keras.Model(model.input, model.get_layer(row.logits).output)
    every = np.asarray(rows(x))[0, :, 0, 0]
    for frames in range(1, 5):  # no frame sees a later one
        np.testing.assert_allclose(logits(x[:, :frames])[0], every[frames - 1], atol=1e-5)
    other = x.copy()
    other[:, 0] *= -1
    assert np.abs(np.asarray(logits(other)) - np.asarray(logits(x))).max() > 0


def test_options_choose_the_row():
    assert families.of_builder("ConvNetLSTM", {})[0].name == "ConvNetLSTM"
    assert families.of_builder("ConvNetLSTM", {"learned_scale": True})[0].name == "ConvNetLSTM-sonnet"
