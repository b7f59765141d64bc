"""Videos to answers: whole, in bounded memory."""

from keras_i3d.inference.classification import Classification, Prediction
from keras_i3d.inference.classifier import Classifier, classify

__all__ = ["Classification", "Classifier", "Prediction", "classify"]
