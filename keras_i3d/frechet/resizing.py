"""How frames are resized: each protocol's number depends on the kernel, so each kernel is written out here.

All take uint8 or float (T, H, W, C) and give float32 (T, height, width, C) in the same range, unrounded, unless they
say otherwise.
"""

import functools
import math

import numpy as np

from keras_i3d.errors import missing_package

GUARD = 1e-3  # of a level: how far a whole number may be off by rounding before it is cut off


def legacy(frames, height, width):
    """Returns frames resized as TensorFlow 1's `tf.image.resize_bilinear` does by default.

    Pixel i of the result is at i * (old size / new size) of the source: neither are pixels' centres taken for their
    places, nor is anything averaged where frames shrink. So the last rows and columns repeat where frames grow.
    """
    return _bilinear(frames, _legacy_taps(frames.shape[1], height), _legacy_taps(frames.shape[2], width))


def half_pixel(frames, height, width):
    """Returns frames resized as PyTorch's `interpolate(mode="bilinear", align_corners=False)` does, without antialias.

    The centre of pixel i is at (i + 0.5) * (old size / new size) - 0.5 of the source, and at 0 at least.
    """
    return _bilinear(frames, _half_pixel_taps(frames.shape[1], height), _half_pixel_taps(frames.shape[2], width))


def antialiased(frames, height, width):
    """Returns frames resized as PyTorch's `interpolate(mode="bilinear", antialias=True)` does: Pillow's triangle.

    Where frames shrink, each pixel of the result is a weighted mean of all that it covers.
    """
    for axis, size in ((1, height), (2, width)):
        if frames.shape[axis] != size:
            # Tap by tap, not as a product of matrices: the threads of several products would wait for each other.
            taps, weights = _triangle(frames.shape[axis], size)
            frames = sum(
                np.take(frames, tap, axis) * _along_axis(weight, axis, frames.ndim)
                for tap, weight in zip(taps, weights)
            )
    return np.asarray(frames, np.float32)


def lanczos(frames, size):
    """Returns uint8 frames as `size` x `size`, uint8, by Pillow's Lanczos.

    Raises:
        ImportError: Pillow is not installed; the message has the install line.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("PIL", "pillow", "Lanczos resizing") from error
    resized = [Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS) for frame in frames]
    return np.stack([np.asarray(frame) for frame in resized])


def shorter_side(height, width, size):
    """Returns (height, width) whose shorter one is `size`, and the other one rounded up.

    In the floating-point arithmetic of those who publish it: 25 * (224 / 25) is a little above 224, and becomes 225.
    """
    scale = size / min(height, width)
    if height < width:
        return size, math.ceil(width * scale)
    return math.ceil(height * scale), size


def centre(frames, size):
    """Returns the central `size` x `size` of frames that are no smaller."""
    top, left = ((side - size) // 2 for side in frames.shape[1:3])
    return frames[:, top : top + size, left : left + size]


def square(frames):
    """Returns the largest central square of frames."""
    return centre(frames, min(frames.shape[1:3]))


def levels(frames):
    """Returns float frames in [0, 255] as uint8, cut off as a cast cuts them off.

    A whole number that rounding has made a little smaller stays that number.
    """
    return np.floor(np.clip(frames, 0, 255) + np.float32(GUARD)).astype(np.uint8)


def _bilinear(frames, rows, columns):
    return _blended(_blended(frames, 1, *rows), 2, *columns)


def _blended(x, axis, lower, upper, part):
    """Blends neighbours along an axis: x[lower] + (x[upper] - x[lower]) * part."""
    if len(lower) == x.shape[axis] and not part.any() and np.array_equal(lower, np.arange(len(lower))):
        return np.asarray(x, np.float32)
    first = np.take(x, lower, axis).astype(np.float32)
    second = np.take(x, upper, axis).astype(np.float32)
    second -= first
    second *= _along_axis(part, axis, x.ndim)
    first += second
    return first


def _along_axis(values, axis, axes):
    """A row of values along one of so many axes."""
    return values.reshape([-1 if i == axis else 1 for i in range(axes)])


@functools.lru_cache(64)
def _legacy_taps(old, new):
    places = np.arange(new, dtype=np.float32) * np.float32(old / new)
    return _taps(places, old)


@functools.lru_cache(64)
def _half_pixel_taps(old, new):
    places = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new) - np.float32(0.5)
    return _taps(np.maximum(places, 0), old)


def _taps(places, old):
    lower = np.minimum(np.floor(places).astype(int), old - 1)
    return lower, np.minimum(lower + 1, old - 1), np.float32(places - lower)


@functools.lru_cache(64)
def _triangle(old, new):
    """Which old pixels a new one is made of, int (taps, new), and what each weighs, float32 (taps, new)."""
    scale = old / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    begin = np.maximum((centres - reach + 0.5).astype(int), 0)
    end = np.minimum((centres + reach + 0.5).astype(int), old)
    pixels = begin + np.arange((end - begin).max())[:, None]
    weights = np.where(pixels < end, np.maximum(1 - np.abs((pixels + 0.5 - centres) / reach), 0), 0)
    return np.minimum(pixels, old - 1), np.float32(weights / weights.sum(axis=0))
