"""Training of I3D: recipes, precision, devices, checkpoints that resume to the step."""

from keras_i3d.errors import TrainingError
from keras_i3d.recipes import RECIPES, Recipe
from keras_i3d.training.faster_step import for_training
from keras_i3d.training.fit_check import FitCheck, fit_check
from keras_i3d.training.run import train

__all__ = ["RECIPES", "FitCheck", "Recipe", "TrainingError", "fit_check", "for_training", "train"]
