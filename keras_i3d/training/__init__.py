"""Training of I3D: recipes, precision, devices, checkpoints that resume to the step."""

from keras_i3d.training.recipes import RECIPES, Recipe
from keras_i3d.training.run import train

__all__ = ["RECIPES", "Recipe", "train"]
