"""A model made ready to be trained: its optimizer, its loss and its figures, as a Recipe and its records ask for."""

import keras

from keras_i3d.training import optimizing
from keras_i3d.training.confusions import Confusions
from keras_i3d.training.losses import LabelCrossentropy
from keras_i3d.training.measures import MeanAveragePrecision, measuring
from keras_i3d.training.objective import OnHead, SmoothedCrossentropy, exact, top1, top5
from keras_i3d.training.targets import Targets


def compile_model(model, recipe, heads=(), asked=None, update=0):
    """Compiles a model that returns logits, as a Recipe says, and builds its optimizer.

    Args:
        model: of labels over time it returns rows of logits.
        recipe: the Recipe.
        heads: the Heads whose logits the model returns one after the other; none for a model of one.
        asked: the Targets; None for one class a clip, all of which count alike.
        update: the number of updates before, as for `optimizing.optimizer`.
    """
    sizes, asked = [head.classes for head in heads if head.name], asked or Targets()
    if asked.labelling == "single":
        loss = SmoothedCrossentropy(recipe.label_smoothing, sizes, asked.weights)
        metrics = _of_each(heads, recipe.label_smoothing) if sizes else _of_all(model.output_shape[-1])
    else:
        in_time = asked.frame_loss, asked.step, asked.window
        loss = LabelCrossentropy(recipe.label_smoothing, asked.weights, *in_time)
        metrics = _of_labels(model, asked)
    model.compile(optimizing.optimizer(recipe, model, update), loss=loss, metrics=metrics)
    model.optimizer.build(model.trainable_variables)


def _of_all(classes):
    return [
        keras.metrics.MeanMetricWrapper(top1, "top1"),
        keras.metrics.MeanMetricWrapper(top5, "top5"),
        Confusions(classes),
    ]


def _of_labels(model, asked):
    metrics = [keras.metrics.MeanMetricWrapper(exact, "exact")]
    if asked.held_out:
        measuring(model)
        metrics.append(MeanAveragePrecision(asked, model.output_shape[1:], model.input_shape[1]))
    return metrics


def _of_each(heads, smoothing):
    figures = {
        "loss": SmoothedCrossentropy(smoothing).call,
        "top1": top1,
        "top5": top5,
    }
    measured = []
    for head in heads:
        place = {"first": head.first, "classes": head.classes}
        measured += [OnHead(function, **place, name=head.called(figure)) for figure, function in figures.items()]
        measured.append(Confusions(**place, name=head.called("mean_class")))
    return measured
