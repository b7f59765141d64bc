"""Trained networks, one stream or both, as files that others run: a SavedModel, or one of OpenVINO, ONNX or LiteRT."""

from keras_i3d.errors import ExportError
from keras_i3d.export.runtime_files import RuntimeExport, runtime_file
from keras_i3d.export.saving import Export, saved_model

__all__ = ["Export", "ExportError", "RuntimeExport", "runtime_file", "saved_model"]
