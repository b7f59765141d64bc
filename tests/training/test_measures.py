"""Mean average precision of a validation, exact whatever the batches and devices."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_i3d import average_precision, time_steps
from keras_i3d.training import measures, objective
from keras_i3d.training.losses import LabelCrossentropy
from keras_i3d.training.targets import Targets

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(23, 4)).astype("float32")
Y = (DRAW.random((23, 3)) < 0.4).astype("float32")
TARGETS = Targets("multi", held_out=23, batch_size=5)


def compiled(targets=TARGETS, rows=None):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3 * (rows or 1))])
    if rows:
        model.add(keras.layers.Reshape((rows, 3)))
    measures.measuring(model)
    metric = measures.MeanAveragePrecision(targets, model.output_shape[1:], 6)
    exact = keras.metrics.MeanMetricWrapper(objective.exact, "exact")
    model.compile("sgd", LabelCrossentropy(step=2, window=2), metrics=[exact, metric])
    return model


def test_it_is_that_of_all_scores_at_once():
    """Nothing is kept of training, nor from one validation to the next."""
    model = compiled()
    clips = tf.data.Dataset.from_tensor_slices((X, Y)).batch(5)
    for _ in range(2):
        log = model.fit(clips, validation_data=clips, verbose=0, shuffle=False).history
        scores = model.predict(X, verbose=0)
        expected = average_precision.mean(average_precision.average_precision(scores, Y))
        np.testing.assert_allclose(log["val_map"][0], expected, rtol=1e-6)
        np.testing.assert_allclose(log["val_exact"][0], ((scores > 0) == (Y > 0)).all(axis=1).mean(), rtol=1e-6)
        assert np.isnan(log["map"][0])
    assert not any("map" in variable.path for variable in model.metrics_variables)  # not in a checkpoint
    few = model.evaluate(clips.take(2), verbose=0, return_dict=True)
    expected = average_precision.mean(average_precision.average_precision(scores[:10], Y[:10]))
    np.testing.assert_allclose(few["map"], expected, rtol=1e-6)


def test_frames_count_for_themselves():
    model = compiled(dataclasses.replace(TARGETS, labelling="timed", step=2, window=2), rows=2)
    y = (DRAW.random((23, 6, 3)) < 0.4).astype("float32")
    found = model.evaluate(tf.data.Dataset.from_tensor_slices((X, y)).batch(5), verbose=0, return_dict=True)
    frames = time_steps.matrix(6, 2, 2, 2) @ model.predict(X, verbose=0)
    expected = average_precision.average_precision(frames.reshape(-1, 3), y.reshape(-1, 3))
    np.testing.assert_allclose(found["map"], average_precision.mean(expected), rtol=1e-6)


def test_of_rows_the_last_answers():
    model = compiled(rows=2)
    found = model.evaluate(tf.data.Dataset.from_tensor_slices((X, Y)).batch(5), verbose=0, return_dict=True)
    expected = average_precision.average_precision(model.predict(X, verbose=0)[:, -1], Y)
    np.testing.assert_allclose(found["map"], average_precision.mean(expected), rtol=1e-6)
