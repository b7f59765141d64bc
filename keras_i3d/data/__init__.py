"""Videos as TFRecords, and TFRecords as batches of clips. Knows nothing of models."""

from keras_i3d.data import datasets
from keras_i3d.data.datasets import Example, Listing, Missing, find

__all__ = ["Example", "Listing", "Missing", "datasets", "find"]
