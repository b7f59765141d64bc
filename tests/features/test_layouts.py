"""A layout refuses what cannot be, and survives JSON."""

import json
import re

import pytest

from keras_i3d.features import Layout, feature_files, layouts


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
        ({"files": "per_stream"}, "name must be made of {stem}, {stream} for files='per_stream'"),
        ({"files": "per_crop", "crops": 5, "name": "{stem}__{crop}"}, "made of {crop}, {stem}, {stream} for files="),
        ({"streams": ("rgb",), "name": "{stem}_{crop}"}, "made of {stem}, and of {stream} if wanted for files='one'"),
        ({"name": "{stem}_{stream}"}, "name must be made of {stem} for files='one'"),
        ({"name": "{stem}{"}, "name must be made of {stem} for"),
        ({"name": "{stem:d}"}, "name must be made of {stem} for"),
        ({"name": None}, "name must be made of {stem} for"),
        ({"drop_last": "no"}, "drop_last must be True or False"),
        ({"one_more": 1}, "one_more must be True or False"),
        ({"mean": (0.5,)}, "mean must be three numbers, or None"),
        ({"std": (0.5, 0.5, 0)}, "std must be three numbers above 0, or None"),
        ({"gathered": 5}, "gathered must be a file's name"),
        ({"beside": ("fps", "size")}, "beside must be a tuple of fps and timestamps_ms"),
        (
            {"gathered": "all", "files": "per_stream", "name": "{stem}_{stream}"},
            "gathered must be a file's name, and of",
        ),
        ({"gathered": "a/b"}, "gathered must be a file's name"),
        ({"fps": 0}, "fps must be above 0"),
    ],
)
def test_each_rule(settings, rule):
    with pytest.raises(ValueError, match=re.escape(rule)):
        Layout(**settings)


def test_a_name_may_say_how_a_crop_is_written():
    layout = Layout(streams=("rgb",), crops=10, files="per_crop", name="{stream}/{stem}_{crop:02}")
    assert list(feature_files.names(layout, "a/b"))[-1] == "a/rgb/b_09.npy"


def test_record_and_back():
    layout = Layout(crops=10, axes="NTC", mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225), window=16, step=4)
    assert layout.step == 4
    assert Layout(window=24).step == 24
    assert Layout(window="all").step is None
    assert layout.crops[:5] == ("tl", "tr", "c", "bl", "br")
    assert layouts.parse(json.loads(json.dumps(layout.record()))) == layout
