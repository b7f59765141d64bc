"""TFRecords as batches of clips. Knows nothing of models."""

from keras_i3d.data.pipeline import dropped, load
from keras_i3d.data.record_files import Source, find

__all__ = ["Source", "dropped", "find", "load"]
