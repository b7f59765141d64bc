"""Optimizers and their schedules."""

import dataclasses

import keras
import numpy as np
import pytest
from made import tiny

from keras_i3d import training
from keras_i3d.training.compiling import compile_model
from keras_i3d.training.optimizing import AdamW, Schedule, keep_state, optimizer, schedule, set_trainable, starts


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
