"""Kernels against values worked out by hand, and against TensorFlow's and Pillow's own."""

import numpy as np
import pytest
from PIL import Image

from keras_i3d.frechet import resizing

ROW = np.array([0, 10, 20, 30], np.uint8)


def row(kernel, new, values=ROW):
    """A row of pixels resized to a new width, the height left alone."""
    frames = np.broadcast_to(values[None, None, :, None], (1, 1, len(values), 3))
    resized = kernel(frames, 1, new)
    assert resized.dtype == np.float32
    assert (resized == resized[..., :1]).all()
    return resized[0, 0, :, 0]


@pytest.mark.parametrize(
    ("kernel", "new", "values"),
    [
        # Pixel i is at 4 / new * i: 0, 0.5, 1, ... 3.5, of which the last has no right neighbour.
        (resizing.legacy, 8, [0, 5, 10, 15, 20, 25, 30, 30]),
        (resizing.legacy, 2, [0, 20]),  # at 0 and 2
        (resizing.legacy, 3, [0, 40 / 3, 80 / 3]),  # at 0, 4/3, 8/3
        # Pixel i is at 4 / new * (i + 0.5) - 0.5: -0.25 (taken for 0), 0.25, 0.75, ... 3.25.
        (resizing.half_pixel, 8, [0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30]),
        (resizing.half_pixel, 2, [5, 25]),  # at 0.5 and 2.5
        (resizing.half_pixel, 3, [5 / 3, 15, 85 / 3]),  # at 1/6, 1.5, 17/6
        # A triangle of half width 2 about 1: pixels 0, 1, 2 weigh 0.75, 0.75, 0.25 of 1.75.
        (resizing.antialiased, 2, [12.5 / 1.75, 30 - 12.5 / 1.75]),
        (resizing.antialiased, 8, [0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30]),  # growing, it is half_pixel
    ],
)
def test_by_hand(kernel, new, values):
    np.testing.assert_allclose(row(kernel, new), values, atol=1e-5)


def test_both_axes_by_hand():
    frames = np.array([[0, 10], [20, 40]], np.uint8)[None, :, :, None]
    expected = [[0, 5, 10, 10], [10, 17.5, 25, 25], [20, 30, 40, 40], [20, 30, 40, 40]]
    np.testing.assert_allclose(resizing.legacy(frames, 4, 4)[0, ..., 0], expected)


@pytest.mark.parametrize("size", [(224, 224), (20, 30), (37, 61), (64, 40)])
def test_as_tensorflow_and_pillow_do(size):
    import tensorflow as tf

    frames = np.random.default_rng(0).integers(0, 256, (2, 37, 61, 3)).astype(np.uint8)
    theirs = tf.compat.v1.image.resize_bilinear(frames, size)
    np.testing.assert_allclose(resizing.legacy(frames, *size), theirs, atol=1e-4)
    theirs = tf.raw_ops.ResizeBilinear(images=frames, size=size, half_pixel_centers=True)
    np.testing.assert_allclose(resizing.half_pixel(frames, *size), theirs, atol=1e-4)
    channels = [[Image.fromarray(np.float32(frame[..., c])) for c in range(3)] for frame in frames]
    theirs = [[np.asarray(c.resize(size[::-1], Image.Resampling.BILINEAR)) for c in frame] for frame in channels]
    np.testing.assert_allclose(resizing.antialiased(frames, *size), np.moveaxis(theirs, 1, -1), atol=1e-4)


def test_a_size_that_is_there_is_left_alone():
    frames = np.random.default_rng(1).integers(0, 256, (2, 9, 7, 3)).astype(np.uint8)
    for kernel in (resizing.legacy, resizing.half_pixel, resizing.antialiased):
        np.testing.assert_array_equal(kernel(frames, 9, 7), frames)


def test_sizes():
    assert resizing.shorter_side(240, 320, 224) == (224, 299)  # 298.67
    assert resizing.shorter_side(320, 240, 224) == (299, 224)
    assert resizing.shorter_side(64, 64, 224) == (224, 224)
    assert resizing.shorter_side(25, 25, 224) == (225, 224)  # 25 * (224 / 25) is 224.00000000000003


def test_the_centre():
    frames = np.arange(5 * 7).reshape(1, 5, 7, 1)
    np.testing.assert_array_equal(resizing.centre(frames, 4)[0, ..., 0], frames[0, 0:4, 1:5, 0])
    assert resizing.square(frames).shape == (1, 5, 5, 1)
    np.testing.assert_array_equal(resizing.square(frames)[0, ..., 0], frames[0, :, 1:6, 0])


def test_levels_are_cut_off_but_for_rounding():
    np.testing.assert_array_equal(
        resizing.levels(np.float32([127.9, 127.9999, 128.4, -3, 300])), [127, 128, 128, 0, 255]
    )
    assert resizing.levels(np.float32([1])).dtype == np.uint8


def test_lanczos_is_pillows():
    frames = np.random.default_rng(2).integers(0, 256, (2, 30, 30, 3)).astype(np.uint8)
    resized = resizing.lanczos(frames, 12)
    assert (resized.shape, resized.dtype) == ((2, 12, 12, 3), np.uint8)
    np.testing.assert_array_equal(resized[1], Image.fromarray(frames[1]).resize((12, 12), Image.LANCZOS))
