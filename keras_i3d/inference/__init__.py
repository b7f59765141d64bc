"""Videos to answers: whole, in bounded memory; and live."""

from keras_i3d.inference.classification import Classification, Prediction
from keras_i3d.inference.classifier import Classifier, classify
from keras_i3d.inference.live_answers import LiveAnswer
from keras_i3d.inference.live_classifier import LiveClassifier

__all__ = ["Classification", "Classifier", "LiveAnswer", "LiveClassifier", "Prediction", "classify"]
