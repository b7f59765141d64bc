"""Videos as TFRecords: annotations, the build by Beam, the manifest of each split, and the check of what is there.

from keras_i3d import records

listing = records.annotations.find("videos", split="train")
records.build(listing, "output", records.RecordSpec())
records.check("output").problems
"""

from keras_i3d.records import annotations
from keras_i3d.records.building import build
from keras_i3d.records.checking import check
from keras_i3d.records.manifest import Manifest
from keras_i3d.specs import RecordSpec

__all__ = ["Manifest", "RecordSpec", "annotations", "build", "check"]
