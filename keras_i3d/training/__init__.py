"""Training of I3D: recipes, precision, devices, checkpoints that resume to the step."""

from keras_i3d import on_first_use

_HOMES = {
    "RECIPES": "keras_i3d.recipes",
    "FitCheck": "keras_i3d.training.fit_checking",
    "Recipe": "keras_i3d.recipes",
    "TrainingError": "keras_i3d.errors",
    "fit_check": "keras_i3d.training.fit_checking",
    "for_training": "keras_i3d.training.faster_step",
    "train": "keras_i3d.training.run",
}

__all__ = ["RECIPES", "FitCheck", "Recipe", "TrainingError", "fit_check", "for_training", "train"]
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES)
