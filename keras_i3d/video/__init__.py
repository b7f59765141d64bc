"""A video file to RGB frames at 25 per second, as a stream."""

from keras_i3d.video.pixels import scaled_size
from keras_i3d.video.reader import MAX_SECONDS, Reader, damage, read

__all__ = ["MAX_SECONDS", "Reader", "damage", "read", "scaled_size"]
