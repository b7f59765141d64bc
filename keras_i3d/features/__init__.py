"""Features of videos: what a network sees in each window or at each step, in the layouts that others' code reads."""

from keras_i3d.features.layouts import Layout

__all__ = ["Layout"]
