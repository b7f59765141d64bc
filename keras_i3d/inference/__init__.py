"""Videos to answers: whole, in bounded memory."""

from keras_i3d.inference.classifier import Classification, Classifier, Prediction, classify

__all__ = ["Classification", "Classifier", "Prediction", "classify"]
