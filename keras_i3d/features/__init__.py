"""Features of videos: what a network sees in each window or at each step, in the layouts that others' code reads."""

from keras_i3d import on_first_use

_HOMES = {
    "PRESETS": "keras_i3d.features.presets",
    "Extraction": "keras_i3d.features.extracting",
    "Extractor": "keras_i3d.features.video_extractor",
    "FeatureFolder": "keras_i3d.features.feature_folder",
    "FeaturesError": "keras_i3d.errors",
    "Layout": "keras_i3d.features.layouts",
    "VideoFeatures": "keras_i3d.features.video_features",
    "batches": "keras_i3d.features.batching",
    "compare": "keras_i3d.features.comparing",
    "dataset": "keras_i3d.features.batching",
    "extract": "keras_i3d.features.extracting",
    "read": "keras_i3d.features.feature_folder",
}

__all__ = [
    "PRESETS",
    "Extraction",
    "Extractor",
    "FeatureFolder",
    "FeaturesError",
    "Layout",
    "VideoFeatures",
    "batches",
    "compare",
    "dataset",
    "extract",
    "read",
]
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES)
