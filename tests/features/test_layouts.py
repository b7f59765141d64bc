"""A layout refuses what cannot be, and survives JSON."""

import json

import pytest

from keras_i3d.features import Layout, layouts


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"streams": ("rgb", "rgb")}, "streams must be"),
        ({"window": 0}, 'window must be a number of frames, or "all"'),
        ({"window": "all", "step": 8}, 'step must be left out with window="all", whose rows are steps'),
        ({"first": 3}, "first must be a frame, 0 or below"),
        ({"flow_end": "own"}, "flow_end must be common or repeat"),
        ({"resize": "256"}, "resize must be short:SIDE"),
        ({"crops": ("tl", "tl")}, "crops must be 1, 5, 10"),
        ({"crops": 10}, "axes must be TNC or NTC"),
        ({"files": "per_stream"}, "name must be made of stem, stream in braces"),
        ({"files": "per_crop", "crops": 5, "name": "{stem}__{crop}"}, "made of crop, stem, stream in braces"),
        (
            {"gathered": "all", "files": "per_stream", "name": "{stem}_{stream}"},
            "gathered must be a file's name, and of",
        ),
        ({"gathered": "a/b"}, "gathered must be a file's name"),
        ({"fps": 0}, "fps must be above 0"),
    ],
)
def test_each_rule(settings, rule):
    with pytest.raises(ValueError, match=rule):
        Layout(**settings)


def test_record_and_back():
    layout = Layout(crops=10, axes="NTC", mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225), window=16, step=4)
    assert layout.step == 4
    assert Layout(window=24).step == 24
    assert Layout(window="all").step is None
    assert layout.mirrored
    assert layout.crops[:5] == ("tl", "tr", "c", "bl", "br")
    assert layouts.parse(json.loads(json.dumps(layout.record()))) == layout
