"""A trained stream, or both, as a SavedModel for TensorFlow Serving and whatever else reads one."""

from keras_i3d.errors import ExportError
from keras_i3d.export.saving import Export, saved_model

__all__ = ["Export", "ExportError", "saved_model"]
