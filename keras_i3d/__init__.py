"""I3D video action recognition (Carreira & Zisserman, arXiv 1705.07750) in Keras 3."""

from keras_i3d import data, evaluation, export, flow, training, video, visualize
from keras_i3d.applications import I3D, TwoStreamI3D, decode_predictions
from keras_i3d.conversion import boring_video_error, inflate
from keras_i3d.inference import Classification, Classifier, Prediction, classify
from keras_i3d.messages import KerasI3DError, VideoError, WeightsError
from keras_i3d.optimize import optimize_for_inference
from keras_i3d.specs import preprocess_input
from keras_i3d.version import __version__

__all__ = [
    "I3D",
    "Classification",
    "Classifier",
    "KerasI3DError",
    "Prediction",
    "TwoStreamI3D",
    "VideoError",
    "WeightsError",
    "__version__",
    "boring_video_error",
    "classify",
    "data",
    "decode_predictions",
    "evaluation",
    "export",
    "flow",
    "inflate",
    "optimize_for_inference",
    "preprocess_input",
    "training",
    "video",
    "visualize",
]
