"""The four protocols: what each does to frames, which clips it takes, and which of them do the same."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from keras_i3d.frechet import fvd_protocols, resizing
from keras_i3d.frechet.fvd_protocols import PROTOCOLS


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def test_the_estimators():
    found = {name: (each.ddof, each.form, each.multiple, each.least_frames) for name, each in PROTOCOLS.items()}
    assert found == {
        "original": (1, "symmetric", 16, 1),
        "stylegan-v": (0, "scipy", 1, 1),
        "cd-fvd": (0, "scipy", 1, 1),
        "common-metrics": (1, "scipy", 1, 10),
    }
    assert [name for name, each in PROTOCOLS.items() if each.same_shape] == ["common-metrics"]
    assert [name for name, each in PROTOCOLS.items() if each.refills] == ["cd-fvd"]


def made(name, frames, first=None):
    protocol = PROTOCOLS[name]
    return fvd_protocols.prepared(frames, protocol.recipe(*frames.shape[1:3], first))


def test_what_becomes_of_frames():
    frames = noise(2, 60, 80, 3)
    np.testing.assert_array_equal(made("original", frames), resizing.legacy(frames, 224, 224))
    np.testing.assert_array_equal(made("stylegan-v", frames), resizing.half_pixel(frames, 224, 224))
    np.testing.assert_array_equal(made("cd-fvd", frames), resizing.half_pixel(frames, 224, 224))
    wide = resizing.half_pixel(frames, 224, 299)
    np.testing.assert_array_equal(made("common-metrics", frames), wide[:, :, 37 : 37 + 224])
    assert abs(made("original", frames) - made("cd-fvd", frames)).mean() > 5


def test_the_loader_of_folders_of_cd_fvd():
    """Videos: bilinear with antialias, cropped, cut off to whole levels. Frames: cropped, then Lanczos."""
    protocol, frames = PROTOCOLS["cd-fvd"], noise(2, 50, 90, 3)
    assert protocol.first_step(None, None) is None
    assert protocol.first_step("video", None) == ("video", 256)
    assert protocol.first_step("pictures", 128) == ("pictures", 128)
    assert protocol.first_step(None, 128) == ("video", 128)
    assert PROTOCOLS["original"].first_step("video", 128) is None
    small = resizing.antialiased(frames, 32, 58)[:, :, 13 : 13 + 32]  # 90 * 32 / 50 is 57.6
    expected = resizing.half_pixel(np.floor(small + 1e-3), 224, 224)
    np.testing.assert_allclose(made("cd-fvd", frames, ("video", 32)), expected, atol=1e-3)
    one = np.asarray(Image.fromarray(frames[0, :, 20:70]).resize((32, 32), Image.LANCZOS))
    expected = resizing.half_pixel(one[None], 224, 224)
    np.testing.assert_array_equal(made("cd-fvd", frames, ("pictures", 32))[:1], expected)


def test_equal_clips_have_equal_recipes():
    """So that a network runs once over them."""

    def recipes(height, width):
        return {each.recipe(height, width) for each in PROTOCOLS.values()}

    assert len(recipes(240, 320)) == 3
    assert len(recipes(64, 64)) == 2  # a square is squashed and cropped alike
    assert len(recipes(224, 224)) == 1
    np.testing.assert_array_equal(made("common-metrics", noise(1, 224, 224, 3)), noise(1, 224, 224, 3))
    assert made("common-metrics", noise(1, 25, 25, 3)).shape == (1, 224, 224, 3)  # of 225 rows


def test_the_range():
    np.testing.assert_array_equal(fvd_protocols.scaled(np.float32([0, 127.5, 255])), [-1, 0, 1])


def test_where_clips_begin():
    places = {name: [each.spread(real, 40, 16, 1) for real in (True, False)] for name, each in PROTOCOLS.items()}
    assert places == {"original": [1, 1], "stylegan-v": [25, 1], "cd-fvd": [25, 25], "common-metrics": [1, 1]}
    # 16 frames, 2 apart: the last one that StyleGAN-V sees may be the last of the video.
    assert PROTOCOLS["stylegan-v"].spread(True, 40, 32, 2) == 10
    assert PROTOCOLS["cd-fvd"].spread(True, 40, 32, 2) == 9


def test_what_is_said():
    assert "no half-pixel centres" in PROTOCOLS["original"].resize
    assert PROTOCOLS["common-metrics"].resize.endswith("centre crop 224 x 224")
    assert PROTOCOLS["stylegan-v"].estimator.startswith("covariance by N,")
    with pytest.raises(ValueError, match="protocol must be one of original, stylegan-v.*Received: protocol='fvd'"):
        fvd_protocols.find("fvd")
    with pytest.raises(ValueError, match="common-metrics takes clips of at least 10 frames. Received: frames=9"):
        PROTOCOLS["common-metrics"].check_frames(9)
    own = dataclasses.replace(PROTOCOLS["original"], name="mine")
    assert fvd_protocols.find(own) is own
