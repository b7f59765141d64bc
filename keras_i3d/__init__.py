"""I3D video action recognition (Carreira & Zisserman, arXiv 1705.07750) in Keras 3."""

from keras_i3d import on_first_use
from keras_i3d.errors import (
    BuildError,
    KerasI3DError,
    ServerError,
    VideoError,
    WeightsError,
    WeightsUnreachableError,
)
from keras_i3d.version import __version__

# Loaded when they are first used, so that whoever needs a part of the package waits for that part alone.
_HOMES = {
    "Classification": "keras_i3d.inference",
    "Classifier": "keras_i3d.inference",
    "EvaluationError": "keras_i3d.errors",
    "ExportError": "keras_i3d.errors",
    "I3D": "keras_i3d.applications",
    "S3D": "keras_i3d.applications",
    "Prediction": "keras_i3d.inference",
    "TrainingError": "keras_i3d.errors",
    "TwoStreamI3D": "keras_i3d.applications",
    "boring_video_error": "keras_i3d.weights.inflation",
    "classify": "keras_i3d.inference",
    "decode_predictions": "keras_i3d.applications",
    "inflate": "keras_i3d.weights.inflation",
    "inflate_graph": "keras_i3d.weights.inflated_graphs",
    "optimize_for_inference": "keras_i3d.optimize",
    "preprocess_input": "keras_i3d.inputs",
}
_MODULES = ("data", "evaluation", "export", "facts", "flow", "records", "training", "video", "visualize")
# What `keras.models.load_model` has to find after a plain `import keras_i3d`: every module that registers a class.
_REGISTERED = (
    "keras_i3d.flow.layer",
    "keras_i3d.models.blocks",
    "keras_i3d.models.nonlocal_block",
    "keras_i3d.training.faster_step",
    "keras_i3d.training.objective",
)

__all__ = [
    "I3D",
    "S3D",
    "BuildError",
    "Classification",
    "Classifier",
    "EvaluationError",
    "ExportError",
    "KerasI3DError",
    "Prediction",
    "ServerError",
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
    "inflate_graph",
    "optimize_for_inference",
    "preprocess_input",
    "records",
    "training",
    "video",
    "visualize",
]
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES, _MODULES)
on_first_use.register_with_keras(_REGISTERED)
