"""I3D video action recognition (Carreira & Zisserman, arXiv 1705.07750) in Keras 3."""

from keras_i3d import backend
from keras_i3d.errors import BuildError, KerasI3DError, VideoError, WeightsError, WeightsUnreachableError
from keras_i3d.version import __version__

_problem = backend.problem()
if _problem is None:
    from keras_i3d import data, evaluation, export, facts, flow, training, video, visualize
    from keras_i3d.applications import I3D, TwoStreamI3D, decode_predictions
    from keras_i3d.evaluation import EvaluationError
    from keras_i3d.export import ExportError
    from keras_i3d.inference import Classification, Classifier, Prediction, classify
    from keras_i3d.optimize import optimize_for_inference
    from keras_i3d.specs import preprocess_input
    from keras_i3d.training import TrainingError
    from keras_i3d.weights.inflation import boring_video_error, inflate
else:
    # The command line, which is part of this package, says it in a line; so does the first use of anything here.
    def __getattr__(name):
        if name in __all__:
            raise ImportError(_problem)
        raise AttributeError(f"module 'keras_i3d' has no attribute {name!r}")


__all__ = [
    "I3D",
    "BuildError",
    "Classification",
    "Classifier",
    "EvaluationError",
    "ExportError",
    "KerasI3DError",
    "Prediction",
    "TrainingError",
    "TwoStreamI3D",
    "VideoError",
    "WeightsError",
    "WeightsUnreachableError",
    "__version__",
    "boring_video_error",
    "classify",
    "data",
    "decode_predictions",
    "evaluation",
    "export",
    "facts",
    "flow",
    "inflate",
    "optimize_for_inference",
    "preprocess_input",
    "training",
    "video",
    "visualize",
]
