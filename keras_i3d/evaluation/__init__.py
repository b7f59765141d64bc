"""How well a trained stream, or several fused, name the videos of a split: protocols, metrics, fusion, reports."""

from keras_i3d.errors import EvaluationError
from keras_i3d.evaluation.evaluation import evaluate, rescore
from keras_i3d.evaluation.fusion import FUSIONS, fuse
from keras_i3d.evaluation.label_metrics import LabelMetrics
from keras_i3d.evaluation.measuring import Evaluation
from keras_i3d.evaluation.metrics import Metrics, measure
from keras_i3d.evaluation.protocols import Protocol
from keras_i3d.evaluation.scores import Scores
from keras_i3d.evaluation.temporal_precision import TemporalMAP, temporal_map

__all__ = [
    "FUSIONS",
    "Evaluation",
    "EvaluationError",
    "LabelMetrics",
    "Metrics",
    "Protocol",
    "Scores",
    "TemporalMAP",
    "evaluate",
    "fuse",
    "measure",
    "rescore",
    "temporal_map",
]
