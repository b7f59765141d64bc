"""Videos as TFRecords, and TFRecords as batches of clips. Knows nothing of models."""

from keras_i3d.data import datasets
from keras_i3d.data.manifest import Manifest
from keras_i3d.data.pipeline import dropped, load
from keras_i3d.data.records import RecordSpec
from keras_i3d.data.source import Source, find

__all__ = ["Manifest", "RecordSpec", "Source", "datasets", "dropped", "find", "load"]
