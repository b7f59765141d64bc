"""The parts of frames: where, in which order, mirrored; fields at another size."""

import numpy as np
import pytest

from keras_i3d.features import cropping, layouts
from keras_i3d.inference import chunks


def frame(height, width, channels=3):
    """Each pixel is (row, column, 0)."""
    image = np.zeros((height, width, channels), "float32")
    image[..., 0], image[..., 1] = np.mgrid[:height, :width]
    return image


def test_ten_crops_in_order():
    image = frame(256, 340)
    corners = [tuple(cropping.crop(image, 224, place)[0, 0, :2]) for place in layouts.CROP_ORDERS[10]]
    assert corners == [(0, 0), (0, 116), (16, 58), (32, 0), (32, 116)] * 2
    mirrored = [cropping.clip([image], 224, layouts.CROP_ORDERS[10], p, "rgb") for p in layouts.CROP_ORDERS[10]]
    assert {each.shape for each in mirrored} == {(1, 224, 224, 3)}
    for plain, other in zip(mirrored[:5], mirrored[5:]):
        np.testing.assert_array_equal(plain[:, :, ::-1], other)


def test_the_centre_is_that_of_classify():
    for size in ((256, 341), (255, 340), (240, 201), (100, 300)):
        image = frame(*size)
        np.testing.assert_array_equal(cropping.crop(image, 224, "c"), chunks.centre_crop(image))


def test_of_a_side_that_is_shorter_all_there_is():
    image = frame(100, 300)
    shapes = {cropping.crop(image, 224, place).shape for place in layouts.CROP_ORDERS[10]}
    assert shapes == {(100, 224, 3)}


@pytest.mark.parametrize(("stream", "channels", "dx"), [("flow", 2, 0), ("both", 5, 3)])
def test_mirrored_motion_goes_the_other_way(stream, channels, dx):
    field = np.random.default_rng(0).standard_normal((40, 50, channels)).astype("float32")
    places = ("tl", "tl_mirrored")
    plain, mirrored = (cropping.clip([field] * 2, 32, places, place, stream) for place in places)
    sign = np.where(np.arange(channels) == dx, -1, 1)
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1] * sign)
    np.testing.assert_array_equal(plain[0], field[:32, :32])


def test_of_one_place_the_part_alone_is_kept():
    image = frame(40, 50)
    part = cropping.kept(image, 32, ("br",))
    assert part.base is None
    np.testing.assert_array_equal(cropping.clip([part], 32, ("br",), "br", "rgb"), image[None, 8:, 18:])
    assert cropping.kept(image, 32, ("br", "c")) is image


@pytest.mark.parametrize("size", [(24, 32), (96, 70), (48, 64)])
def test_a_field_at_another_size(size):
    """As OpenCV's INTER_LINEAR; values stay what they are."""
    cv2 = pytest.importorskip("cv2")
    field = np.random.default_rng(1).standard_normal((48, 64, 2)).astype("float32")
    found = cropping.resized(field, size[1], size[0])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cv2.resize(field, size[::-1], interpolation=cv2.INTER_LINEAR), atol=1e-5)
    steady = cropping.resized(np.full((48, 64, 2), 3, "float32"), *size)
    np.testing.assert_allclose(steady, 3, rtol=1e-6)
