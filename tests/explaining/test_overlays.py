"""Evidence over frames: where it lies, its colours, bars over time."""

import numpy as np
import pytest

from keras_i3d.explaining import overlays


def test_a_map_is_spread_smoothly():
    weights = overlays.smoothing(np.array([0.0, 8, 16]), np.arange(-40, 60))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights[0].tolist() == pytest.approx([1, 0, 0])  # far outside the nearest one counts
    assert weights[48].argmax() == 1
    assert weights[44, :2].tolist() == pytest.approx([0.5, 0.5], abs=5e-3)
    assert overlays.smoothing(np.array([3.0]), np.arange(4)).tolist() == [[1]] * 4


def test_evidence_lies_where_its_position_looks():
    values = np.zeros((3, 4, 4))
    values[1, 2, 0], values[1, 0, 3] = 2, -1
    at = 8 * np.arange(4) + 3.5
    painter = overlays.Painter(values, (10 * np.arange(3.0), at, at), (32, 32), 2)
    assert painter.bound == 2
    moment = painter.at(10)
    assert moment.shape == (64, 64)
    assert np.unravel_index(moment.argmax(), moment.shape)[0] in range(32, 48)
    assert np.unravel_index(moment.argmax(), moment.shape)[1] in range(16)
    assert moment[:16, 48:].mean() < -0.3
    assert np.abs(painter.at(0)).max() < 0.25 * moment.max()
    picture = painter.paint(np.full((32, 32, 3), 200, "uint8"), 10)
    orange, purple, nothing = (picture[y, x].astype(int) for y, x in ((39, 7), (7, 56), (60, 60)))
    assert orange[0] > orange[2] + 60
    assert purple[2] > purple[1]
    assert np.ptp(nothing) <= 4


def test_flow_keeps_its_colours():
    painter = overlays.Painter(np.zeros((1, 1, 1)), ([0.0], [2.0], [2.0]), (4, 4))
    red = np.broadcast_to(np.uint8([255, 0, 0]), (4, 4, 3))
    assert painter.paint(red, 0, keep_colours=True)[0, 0].tolist() == [255, 115, 115]
    assert np.ptp(painter.paint(red, 0)[0, 0]) == 0


def test_a_line_surrounds_what_counts_most():
    evidence = np.zeros((9, 9))
    evidence[2:7, 2:7] = 0.8
    picture = overlays.paint(np.full((9, 9, 3), 255.0), evidence)
    line = np.rint(0.6 * np.float64(overlays.FOR)).tolist()
    assert picture[2, 4].tolist() == line
    assert picture[4, 4].tolist() != line
    assert picture[1, 4].tolist() == [255, 255, 255]


def test_bars_over_time():
    strip = overlays.bars(np.array([1.0, -0.5, 0.25]), np.array([1.0, 5.0, 9.0]), 12, 90, cursor=6)
    assert strip.shape == (overlays.BAR_HEIGHT, 90, 3)
    counted = [(strip[:, x] == overlays.FOR).all(axis=1).sum() for x in (10, 80)]
    assert counted[0] == pytest.approx(4 * counted[1], abs=3)
    assert (strip[:, 40] == overlays.AGAINST).all(axis=1).any()
    assert (strip[:, 48] == overlays.INK).all()


def test_a_picture_is_enlarged():
    picture = np.array([[[0, 0, 0], [100, 100, 100]]], "uint8")
    assert overlays.enlarged(picture, 2)[0, :, 0].tolist() == [0, 25, 75, 100]
    assert overlays.enlarged(picture, 1).shape == (1, 2, 3)
