"""Optimizers and their schedules."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from made import ROOT, tiny

from keras_i3d import training
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.optimizing import (
    SGD,
    AdamW,
    InOnePass,
    OfLayers,
    Penalty,
    Schedule,
    keep_state,
    mean_norm,
    optimizer,
    schedule,
    set_trainable,
    starts,
)


def test_schedule():
    schedule = Schedule(0.1, (10, 20), (0.01, 0.1), warmup_steps=4)
    rates = [float(schedule(step)) for step in (0, 1, 4, 9, 10, 19, 20)]
    np.testing.assert_allclose(rates, [0.02, 0.04, 0.1, 0.1, 0.01, 0.01, 0.1], rtol=1e-6)
    assert Schedule.from_config(schedule.get_config()).get_config() == schedule.get_config()


def test_accumulated_gradients_are_those_of_the_whole_batch():
    """The schedule too, which counts updates: a warm-up of one, and another rate after three."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(5, 6, 3)).astype("float32"), draw.integers(0, 6, (5, 6))
    found = []
    for accumulate in (1, 3):
        recipe = {"steps": 5, "batch_size": 6, "learning_rate": 0.3, "warmup_steps": 1, "clip_norm": 0.5}
        recipe = training.Recipe(**recipe, boundaries=(3,), rates=(0.01,), accumulate=accumulate)
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(6)])
        compile_model(model, recipe)
        for clips, labels in zip(x, y):
            for part in range(accumulate):
                model.train_on_batch(clips[part::accumulate], labels[part::accumulate])
        assert int(model.optimizer.iterations) == 5
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-7)


def test_cosine_after_a_warm_up():
    """Of 9 updates: 2 of rise, then half a cosine whose last update has the final rate; twice as many batches."""
    recipe = training.Recipe(9, 4, 0.1, schedule="cosine", final_rate=0.02, warmup_steps=2, accumulate=2)
    found = [float(schedule(recipe)(batch)) for batch in range(0, 18, 2)]
    cosine = [0.02 + 0.08 * 0.5 * (1 + np.cos(np.pi * share / 6)) for share in range(7)]
    np.testing.assert_allclose(found, [0.1 / 3, 0.2 / 3, *cosine], rtol=1e-6)
    assert (found[2], found[5]) == (pytest.approx(0.1), pytest.approx(0.06))
    assert float(schedule(recipe)(5)) == found[2]  # both batches of the update
    one = training.Recipe(1, 4, 0.1, schedule="cosine")
    assert float(schedule(one)(0)) == pytest.approx(0.1)


def small(recipe, factors=(), begun=()):
    """A dense layer of three to two, its gradients, and an optimizer with factors by "kernel" or "bias"."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.layers[0].set_weights([np.arange(6.0).reshape(3, 2) / 10, np.array([0.5, -0.5])])
    found = [np.arange(6.0).reshape(3, 2) - 2, np.array([0.3, -4.0])]
    paths = {weight.name: weight.path for weight in model.weights}
    names = [{paths[name]: value for name, value in dict(each).items()} for each in (factors, begun)]
    made = optimizer(recipe)
    made.factors, made.begun = names
    made.build(model.trainable_variables)
    return model, found, made


def adam(weight, gradient, state, update, rate, decay):
    """One step by the paper, arXiv 1711.05101, with the rate inside the decay as in torch and Keras."""
    m, v = state
    m, v = 0.8 * m + 0.2 * gradient, 0.99 * v + 0.01 * gradient**2
    weight = weight - rate * decay * weight
    step = (m / (1 - 0.8**update)) / (np.sqrt(v / (1 - 0.99**update)) + 1e-7 / np.sqrt(1 - 0.99**update))
    return weight - rate * step, (m, v)


def test_adamw_is_numpys():
    """Two steps: decay of the kernel alone, by the rate of its layer."""
    recipe = training.Recipe(9, 4, 0.1, optimizer="adamw", momentum=0.8, beta_2=0.99, weight_decay=0.3)
    model, gradients, made = small(recipe, {"kernel": 0.25})
    expected, states = model.get_weights(), [(0, 0), (0, 0)]
    for update in (1, 2):
        gradients = [gradient * update for gradient in gradients]
        made.apply(gradients, model.trainable_variables)
        for place, (rate, decay) in enumerate(((0.025, 0.3), (0.1, 0))):
            expected[place], states[place] = adam(expected[place], gradients[place], states[place], update, rate, decay)
    for found, value in zip(model.get_weights(), expected):
        np.testing.assert_allclose(found, value, rtol=2e-6)


def test_a_weight_that_is_trained_later_has_an_adam_as_young():
    """Its first step is as long as any first step: the rate, whatever the gradient."""
    recipe = training.Recipe(90, 4, 0.1, optimizer="adamw", weight_decay=0.0)
    model, gradients, made = small(recipe, begun={"bias": 50})
    made.iterations.assign(50)
    before = model.get_weights()
    made.apply(gradients, model.trainable_variables)
    np.testing.assert_allclose(before[1] - model.get_weights()[1], [0.1, -0.1], rtol=1e-4)


def test_sgd_by_layers_and_a_bound_on_the_whole_gradient():
    """The bound is on the gradient, before the factors."""
    recipe = training.Recipe(9, 4, 0.1, momentum=0.0, clip_norm=2.0)
    model, gradients, made = small(recipe, {"kernel": 0.25})
    before = model.get_weights()
    made.apply(gradients, model.trainable_variables)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    for weight, value, gradient, rate in zip(model.get_weights(), before, gradients, (0.025, 0.1)):
        np.testing.assert_allclose(weight, value - rate * gradient * 2 / norm, rtol=1e-6)


class Plain(OfLayers, keras.optimizers.SGD):
    """The same with Keras's own step."""


def updated(kind, scaled=False, dtype="float32", **settings):
    """All variables of two weights and their optimizer after four updates, the third too large for a loss scale.

    And the operations of an update.
    """
    draw = np.random.default_rng(0)
    weights = [
        keras.Variable(draw.normal(size=size), dtype=dtype, name=name) for name, size in (("k", (9, 37)), ("b", 5))
    ]
    made = kind(Schedule(0.1, (2,), (0.03,), warmup_steps=1), name="sgd", factors={"k": 0.3}, **settings)
    made = keras.optimizers.LossScaleOptimizer(made, initial_scale=4.0, name="scaled") if scaled else made
    made.build(weights)

    @tf.function
    def apply(*gradients):
        made.apply(list(gradients), weights)

    for size in (0.1, 3.0, np.inf if scaled else 0.01, 1.0):
        apply(*(tf.constant(draw.normal(size=weight.shape) * size, dtype) for weight in weights))
    traced = apply.get_concrete_function(*(tf.TensorSpec(weight.shape, dtype) for weight in weights))
    operations = [operation.type for operation in traced.graph.get_operations()]
    everything = [*weights, *made.variables]
    return {variable.path: np.asarray(variable).astype("float64") for variable in everything}, operations


@pytest.fixture
def as_written():
    """TensorFlow computes in the order that is written; else Keras's (g * clip) * rate becomes g * (clip * rate)."""
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    yield
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"nesterov": True},
        {"global_clipnorm": 0.7, "weight_decay": 0.02},
        {"clipvalue": 0.2, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
        {"scaled": True},
        {"scaled": True, "gradient_accumulation_steps": 2},
        {"momentum": 0.0},
        {"dtype": "bfloat16"},
    ],
)
def test_sgd_in_one_pass_is_keras_to_the_bit(settings, as_written):
    settings = {"momentum": 0.9, **settings}
    (found, operations), (expected, _) = updated(SGD, **settings), updated(Plain, **settings)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value, path)
    if "gradient_accumulation_steps" not in settings and "scaled" not in settings:  # theirs is in a branch
        is_one = settings["momentum"] != 0 and "dtype" not in settings
        assert operations.count("ResourceApplyKerasMomentum") == 2 * is_one


def test_a_gradient_of_some_rows_is_keras_own():
    found = []
    for kind in (InOnePass, keras.optimizers.SGD):
        made, weight = kind(0.1, momentum=0.9), keras.Variable(np.ones((4, 3)), dtype="float32")
        made.build([weight])
        rows = tf.IndexedSlices(tf.ones((2, 3)), tf.constant([0, 2]), tf.constant([4, 3]))
        made.update_step(rows, weight, 0.1)
        found.append(np.asarray(weight))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("l2", [5e-8, 0.3])
def test_a_penalty_has_the_gradient_of_keras(l2):
    weight = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 3, 24, 37)).astype("float32"))
    found = []
    for penalty in (Penalty(l2), keras.regularizers.L2(l2)):
        with tf.GradientTape() as tape:
            value = penalty(weight)
        found.append((value, tape.gradient(value, weight)))
    (value, gradient), (expected, expected_gradient) = found
    np.testing.assert_array_equal(gradient, expected_gradient)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_the_mean_norm_is_numpys():
    model, gradients, made = small(training.Recipe(9, 4, 0.1, clip_norm=0.1))
    assert mean_norm(made) is None
    for size in (1, 3):
        made.apply([size * gradient for gradient in gradients], model.trainable_variables)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    assert mean_norm(made) == pytest.approx(2 * norm, rel=1e-6)


MIRRORED = """
import sys
sys.path.insert(0, {tests!r})
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.optimizer.set_experimental_options({{"arithmetic_optimization": False}})  # see as_written
import keras
import numpy as np
from training.test_optimizing import SGD, Plain
x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
found = []
for kind in (SGD, Plain):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(1)])
        model.compile(kind(0.1, momentum=0.9, global_clipnorm=0.5, name="sgd"), "mse")
    model.fit(x, x[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0)
    devices = [[np.asarray(each) for each in strategy.experimental_local_results(v.value)] for v in
               [*model.trainable_variables, *model.optimizer.momentums]]
    assert all(len(each) == 2 and (each[0] == each[1]).all() for each in devices)
    found.append([each[0] for each in devices])
for one, other in zip(*found):
    np.testing.assert_array_equal(one, other)
print("equal", len(found[0]))
"""


@pytest.mark.slow
def test_sgd_in_one_pass_on_two_devices():
    command = [sys.executable, "-c", MIRRORED.format(tests=str(ROOT / "tests"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "equal 8" in done.stdout


def test_an_optimizer_for_more_weights_keeps_its_state():
    recipe = training.Recipe(9, 4, 0.1, optimizer="adamw")
    model, gradients, _ = small(recipe)
    found = []
    for weights in (model.trainable_variables[:1], model.trainable_variables):
        found.append(optimizer(recipe))
        found[-1].build(weights)
    found[0].apply(gradients[:1], model.trainable_variables[:1])
    keep_state(*found)
    values = [{variable.path: np.asarray(variable) for variable in made.variables} for made in found]
    assert {path: values[1][path].tolist() for path in values[0]} == {p: v.tolist() for p, v in values[0].items()}
    assert int(found[1].iterations) == 1
    assert len(values[1]) == len(values[0]) + 2


@pytest.fixture
def i3d(monkeypatch):
    tiny.shorten(monkeypatch)
    return tiny.i3d(classes=3, depth_multiplier=0.125, input_shape=(9, 32, 32, 3))


def test_what_is_trained_when(i3d):
    """The layers of the named endpoint and after it, at each update; statistics with them."""
    recipe = training.Recipe(9, 4, 0.1, train_from="Logits", unfreeze=((3, "Mixed_3b"), (5, "all")))
    mixed = {layer.name for layer in i3d.layers if layer.name.startswith("Mixed_3b_") and layer.weights}
    head, rest = {"Logits_Conv3d_0c_1x1_conv_3d"}, {"Conv3d_1a_7x7_conv_3d", "Conv3d_1a_7x7_batch_norm"}
    for update, expected in ((0, head), (2, head), (3, head | mixed), (4, head | mixed), (5, head | mixed | rest)):
        set_trainable(i3d, recipe, update)
        assert {layer.name for layer in i3d.layers if layer.trainable_weights} == expected
    found = starts(i3d, recipe, 5)
    assert set(found.values()) == {3, 5}
    assert found["Conv3d_1a_7x7_conv_3d/kernel"] == 5
    assert "Logits_Conv3d_0c_1x1_conv_3d/kernel" not in found
    from_pool = dataclasses.replace(recipe, train_from="MaxPool3d_2a_3x3", unfreeze=())
    set_trainable(i3d, from_pool)
    assert {layer.name for layer in i3d.layers if layer.trainable_weights} == head | mixed
    for wrong, message in (
        ({"train_from": "Mixed_9z", "unfreeze": ()}, "I3D has the endpoints Conv3d_1a_7x7, .*Received: 'Mixed_9z'"),
        ({"unfreeze": ((3, "Logits"),)}, "Each endpoint of unfreeze lies below .* Received: Logits, Logits"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            set_trainable(i3d, dataclasses.replace(recipe, **wrong))
        assert "\n" not in str(error.value)


def test_factors_reach_the_optimizer(i3d):
    """And the weights' own paths: of the first convolution two stages below the head, 0.5 ** 2."""
    recipe = training.Recipe(9, 4, 0.1, layer_decay=0.5)
    compile_model(i3d, recipe)
    found = dict(zip((weight.path for weight in i3d.trainable_variables), i3d.optimizer.factor_of))
    assert found["Conv3d_1a_7x7_conv_3d/kernel"] == found["Conv3d_1a_7x7_batch_norm/beta"] == 0.25
    assert found["Mixed_3b_Branch_0_Conv3d_0a_1x1_conv_3d/kernel"] == 0.5
    assert found["Logits_Conv3d_0c_1x1_conv_3d/bias"] == 1


def test_an_optimizer_is_saved_with_its_model(tmp_path):
    """As a compiled model is: with its factors."""
    model, _, _ = small(training.Recipe(9, 4, 0.1))
    made = AdamW(0.1, factors={"a": 0.5}, begun={"b": 3}, kernel_decay=0.2, beta_2=0.9)
    model.compile(made, "mse")
    made.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    found = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert (type(found), found.get_config()) == (AdamW, made.get_config())
