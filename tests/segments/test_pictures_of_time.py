"""The picture of labels along time, by its pixels."""

import io

import numpy as np
import pytest

from keras_i3d import charts, segments
from keras_i3d.inference.labels_in_time import LabelsInTime, StreamInTime
from keras_i3d.segments import pictures_of_time
from keras_i3d.specs import RGB_CLIP


@pytest.fixture(scope="module")
def timeline():
    """20 s: a for the first half, then b; the third class is called like the first, the label like a formula."""
    rows = {"rgb": StreamInTime(np.arange(20) + 0.5, np.float32([[6, 0, 1]] * 10 + [[0, 6, 1]] * 10))}
    return segments.find(LabelsInTime("x.mp4", rows, ["a$^$", "b", "b"], "softmax", 500, 25.0, RGB_CLIP))


@pytest.fixture
def picture():
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    image = pytest.importorskip("PIL.Image", reason="needs pillow")

    def pixels(content):
        return np.asarray(image.open(io.BytesIO(content)).convert("RGB"))

    return pixels


def test_bars_lie_where_the_segments_are(picture, timeline):
    """Of the darkest shade of each lane's colour there is most in its bar: the first in the left half, the second..."""
    pixels = picture(pictures_of_time.draw(timeline))
    centres = []
    for colour in charts.COLOURS[:2]:
        rgb = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        rows, columns = np.nonzero((pixels == rgb).all(axis=2))
        row = np.bincount(rows).argmax()
        centres.append(columns[rows == row])
    (first, second), width = centres, pixels.shape[1]
    assert first.max() <= second.min() + 3
    assert abs(np.ptp(first) - np.ptp(second)) < 0.02 * width
    assert np.ptp(first) + np.ptp(second) > 0.75 * width


def test_as_many_lanes_as_are_asked_for(picture, timeline, tmp_path):
    heights = [picture(pictures_of_time.draw(timeline, top)).shape[0] for top in (1, 2, 3)]
    assert heights[0] < heights[1] < heights[2]
    segments.save(tmp_path / "x.png", timeline, top=1)
    with open(tmp_path / "x.png", "rb") as file:
        assert picture(file.read()).shape[0] == heights[0]


@pytest.mark.parametrize(
    ("seconds", "digits", "said"),
    [
        (0, 0, "0:00"),
        (59.96, 1, "1:00.0"),
        (3.25, 2, "0:03.25"),
        (3599, 0, "59:59"),
        (3600, 0, "1:00:00"),
        (36061.5, 1, "10:01:01.5"),
    ],
)
def test_clock(seconds, digits, said):
    assert charts.clock(seconds, digits) == said
