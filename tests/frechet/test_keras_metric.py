"""The metric and the callback for those who train generators: against the distance of all rows at once."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from made import ROOT, tiny

from keras_i3d.frechet.distances import from_features
from keras_i3d.frechet.gaussians import Gaussian
from keras_i3d.frechet.keras_metric import FrechetCallback, FrechetVideoDistance


def sides(size=5, mean=1e4):
    draw = np.random.default_rng(0)
    return mean + draw.normal(size=(60, size)), mean + 0.3 + 1.2 * draw.normal(size=(47, size))


@pytest.fixture
def network(monkeypatch):
    """A tiny I3D that gives 6 logits of 12 frames of 32 x 32."""
    tiny.shorten(monkeypatch)
    keras.utils.set_random_seed(1)
    return tiny.i3d(classes=6, depth_multiplier=0.1, input_shape=(12, 32, 32, 3))


def videos(count, seed):
    return np.float32(np.random.default_rng(seed).uniform(-1, 1, (count, 12, 32, 32, 3)))


@pytest.mark.parametrize("ddof", [0, 1])
def test_streamed(ddof):
    """In batches of any length, some empty; after a reset, from the start."""
    x, y = sides()
    metric = FrechetVideoDistance(5, ddof=ddof)
    metric.update_state(y, x)
    metric.reset_state()
    assert np.isnan(float(metric.result()))
    for begin, end in ((0, 1), (1, 1), (1, 20), (20, 60)):
        metric.update_state(x[begin:end], y[begin:end])
    assert float(metric.result()) == pytest.approx(from_features(x, y, ddof).value, rel=1e-9)
    assert metric.result().dtype == "float64"
    assert metric.variables[0].dtype == "float64"


def test_not_the_mean_of_batches():
    x, y = sides()
    metric = FrechetVideoDistance(5)
    values = [float(metric(x[i : i + 10], y[i : i + 10])) for i in range(0, 40, 10)]
    assert values[-1] == pytest.approx(from_features(x[:40], y[:40]).value, rel=1e-9)
    assert values[-1] < np.mean([from_features(x[i : i + 10], y[i : i + 10]).value for i in range(0, 40, 10)]) / 2


def test_each_side_by_itself():
    x, y = sides()
    metric = FrechetVideoDistance(5)
    metric.update_real(x)
    assert np.isnan(float(metric.result()))
    metric.update_generated(y[:40])
    metric.update_generated(y[40:])
    assert float(metric.result()) == pytest.approx(from_features(x, y).value, rel=1e-9)
    metric.update_generated(np.full((1, 5), np.nan))
    assert np.isnan(float(metric.result()))


@pytest.mark.parametrize("compiled", [False, True])
def test_in_a_step_of_ones_own(compiled):
    """`update_state` in a tf.function, by XLA too; float32 rows of several lengths."""
    import tensorflow as tf

    x, y = (np.float32(side) for side in sides(mean=100))
    metric = FrechetVideoDistance(5)
    step = tf.function(metric.update_state, jit_compile=compiled)
    for begin in (0, 20, 40):
        step(x[begin : begin + 20], y[begin : begin + 20])
    assert float(metric.result()) == pytest.approx(from_features(x, y).value, rel=1e-9)
    with pytest.raises(ValueError, match=r"a call of result within one. .* run_eagerly=True"):
        tf.function(metric.result)()


def test_statistics_are_saved_merged_and_resumed(tmp_path):
    x, y = sides()
    first, second = FrechetVideoDistance(5), FrechetVideoDistance(5)
    first.update_state(x[:30], y[:20])
    second.update_state(x[30:], y[20:])
    for metric, other in zip(first.statistics(), second.statistics()):
        metric.merge(other).save(tmp_path / f"{metric.count}.npz")
    metric = FrechetVideoDistance(5)
    metric.set_statistics(Gaussian.load(tmp_path / "60.npz"), Gaussian.load(tmp_path / "47.npz"))
    assert float(metric.result()) == pytest.approx(from_features(x, y).value, rel=1e-9)
    metric.update_state(x, y)
    twice = from_features(np.tile(x, (2, 1)), np.tile(y, (2, 1))).value
    assert float(metric.result()) == pytest.approx(twice, rel=1e-9)


def test_videos_through_a_network(network):
    x, y = videos(5, 0), 0.5 * videos(5, 1)
    metric = FrechetVideoDistance(network=network)
    before = [weight.copy() for weight in network.get_weights()]
    metric.update_state(x[:3], y[:3])
    metric.update_state(x[3:], y[3:])
    expected = from_features(network.predict(x, verbose=0), network.predict(y, verbose=0)).value
    assert float(metric.result()) == pytest.approx(expected, rel=1e-4)
    assert all((old == new).all() for old, new in zip(before, network.get_weights()))


def test_wrong_arguments():
    for size in (None, 0, 2.5):
        with pytest.raises(ValueError, match="size must be the features of a row"):
            FrechetVideoDistance(size)
    with pytest.raises(ValueError, match="ddof must be"):
        FrechetVideoDistance(3, ddof=2)
    metric = FrechetVideoDistance(3)
    with pytest.raises(
        ValueError, match=r"Without a network the metric takes rows \(B, 3\). Received: \(2, 9, 8, 8, 3\)"
    ):
        metric.update_state(np.zeros((2, 9, 8, 8, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"\(B, 3\). Received: \(2, 4\)"):
        metric.update_state(np.zeros((2, 4)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="counts once"):
        metric.update_state(np.zeros((2, 3)), np.zeros((2, 3)), np.ones(2))


def generator():
    """Rows of noise to rows of features, by one number that is trained."""
    noise = keras.Input((5,))
    return keras.Model(noise, keras.layers.EinsumDense("bi,i->bi", (5,), bias_axes="i")(noise))


def trained(metrics=(), callbacks=(), epochs=3, **settings):
    x, y = sides(mean=0.5)
    model = generator()
    model.compile(keras.optimizers.SGD(0.3), "mse", metrics=list(metrics), **settings)
    history = model.fit(y, x[:47], batch_size=16, epochs=epochs, verbose=0, callbacks=list(callbacks)).history
    return model, history, x[:47], y


def test_in_fit(tmp_path):
    model, history, x, y = trained([FrechetVideoDistance(5)], run_eagerly=True)
    assert len(history["fvd"]) == 3
    found = model.evaluate(y, x, verbose=0, return_dict=True)["fvd"]
    assert found == pytest.approx(from_features(x, model.predict(y, verbose=0)).value, rel=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.compile(
        loss="mse", metrics=[FrechetVideoDistance.from_config(FrechetVideoDistance(5).get_config())], run_eagerly=True
    )
    assert loaded.evaluate(y, x, verbose=0, return_dict=True)["fvd"] == pytest.approx(found, rel=1e-4)


def test_in_a_compiled_fit_it_says_what_to_do():
    with pytest.raises(ValueError, match=r"use FrechetCallback, or compile with run_eagerly=True"):
        trained([FrechetVideoDistance(5)])


def test_the_callback(tmp_path):
    """Its figure is in the history and is what ModelCheckpoint looks at; the real side is read once."""
    x, y = sides(mean=0.5)
    read = []

    def real():
        read.append(1)
        return (x[i : i + 9] for i in range(0, 47, 9) if i + 9 <= 45)

    def generate(model):
        return (model.predict_on_batch(y[i : i + 20]) for i in range(0, 47, 20))

    figure = FrechetCallback(real, generate, every=2, protocol="stylegan-v")
    kept = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.keras", "val_fvd_stylegan-v", save_best_only=True, mode="min"
    )
    model, history, *_ = trained(callbacks=[figure, kept], epochs=4)
    assert figure.name == "val_fvd_stylegan-v"
    expected = from_features(x[:45], model.predict(y, verbose=0), ddof=0).value  # the protocol's covariance is by N
    found = history["val_fvd_stylegan-v"]
    assert found[0] != found[1] == found[2]  # after epochs 1, 2 and 4
    assert found[3] == pytest.approx(expected, rel=1e-5)
    assert found[3] < found[1] < found[0]
    assert (figure.distance.value, figure.distance.counts) == (found[3], (45, 47))
    assert sorted(os.listdir(tmp_path)) == ["1.keras", "2.keras", "4.keras"]
    assert len(read) == 1
    assert trained(callbacks=[figure], epochs=2)[1].keys() == {"loss", "val_fvd_stylegan-v"}
    assert len(read) == 1


def test_the_callback_with_videos_and_saved_statistics(network, tmp_path, capsys):
    x, y = videos(4, 0), 0.5 * videos(4, 1)
    rows = network.predict(x, verbose=0)
    Gaussian(6).update(rows).save(tmp_path / "real.npz")
    figure = FrechetCallback(tmp_path / "real.npz", lambda model: [y[:3], y[3:]], network, ddof=0)
    _, history, *_ = trained(callbacks=[figure], epochs=2)
    expected = from_features(rows, network.predict(y, verbose=0), 0).value
    capsys.readouterr()
    assert history["val_fvd"] == pytest.approx([expected] * 2, rel=1e-4)
    figure = FrechetCallback(rows, lambda model: [y], lambda batch: network(batch, training=False))
    trained(callbacks=[figure], epochs=2)
    assert capsys.readouterr().err.count("keras_i3d: val_fvd: 4 rows are fewer than the 7") == 1


def test_the_callback_refuses():
    for wrong, message in (
        ({"every": 0}, "every must be a whole number of epochs"),
        ({"generate": 3}, "generate must be a function. Received: generate=3"),
        ({"network": "I3D"}, "network must be a function"),
    ):
        with pytest.raises(ValueError, match=message):
            FrechetCallback(**{"real": np.zeros((3, 5)), "generate": lambda model: [], **wrong})
    with pytest.raises(ValueError, match="generate must give a batch at least"):
        trained(callbacks=[FrechetCallback(np.zeros((3, 5)), lambda model: [])])
    with pytest.raises(ValueError, match="real must give a batch at least"):
        trained(callbacks=[FrechetCallback(list, lambda model: [])])


@pytest.mark.slow
def test_on_jax():
    """Whose numbers are float32 unless told otherwise: refused, because the statistics would be."""
    program = """
import jax, numpy as np, sys
from keras_i3d.frechet.distances import from_features
from keras_i3d.frechet.keras_metric import FrechetVideoDistance
try:
    FrechetVideoDistance(5)
except ValueError as error:
    print(error)
jax.config.update("jax_enable_x64", True)
draw = np.random.default_rng(0)
x, y = 1e6 + draw.normal(size=(60, 5)), 1e6 + 0.3 + draw.normal(size=(60, 5))
metric = FrechetVideoDistance(5)
step = jax.jit(metric.stateless_update_state)
state = metric.variables
for i in (0, 30):
    state = step([variable if i else variable.value for variable in state], x[i : i + 30], y[i : i + 30])
for variable, value in zip(metric.variables, state):
    variable.assign(value)
print(abs(float(metric.result()) / from_features(x, y).value - 1) < 1e-9, "tensorflow" in sys.modules)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refusal, found = done.stdout.splitlines()
    assert "Statistics need float64, which jax does not have as it is set" in refusal
    assert found == "True False"
