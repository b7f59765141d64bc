"""Videos as TFRecords: annotations, the build by Beam, the manifest of each split, and the check of what is there."""

from keras_i3d.records import annotations
from keras_i3d.records.manifest import Manifest
from keras_i3d.specs import RecordSpec

__all__ = ["Manifest", "RecordSpec", "annotations"]
