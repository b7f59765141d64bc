"""Videos as TFRecords: annotations, the build by Beam, the manifest of each split, and the check of what is there.

from keras_i3d import records

division = records.divide(records.annotations.find("videos"), {"train": 0.8, "test": 0.2})
for listing in division.listings:
    records.build(listing, "output", records.RecordSpec())
records.check("output").problems
"""

from keras_i3d import on_first_use

_HOMES = {
    "Manifest": "keras_i3d.records.manifest",
    "RecordSpec": "keras_i3d.specs",
    "build": "keras_i3d.records.building",
    "check": "keras_i3d.records.checking",
    "divide": "keras_i3d.records.dividing",
    "overlaps": "keras_i3d.records.source_videos",
}

__all__ = ["Manifest", "RecordSpec", "annotations", "build", "check", "divide", "overlaps"]
# The command line asks `video_files` alone before it knows whether there is anything to do; that takes no TensorFlow.
__getattr__, __dir__ = on_first_use.names(__name__, _HOMES, ("annotations",))
