"""Charts of labels that the font of the charts cannot write."""

import warnings

import numpy as np
import pytest

from keras_i3d import charts


def test_characters_that_the_font_lacks_are_told_once(capsys):
    """Each chart printed a warning of matplotlib's and a line of code for each of them."""
    pytest.importorskip("matplotlib", reason="charts need matplotlib")
    labels = ["plain", "\U00012000\U00012001"]  # cuneiform, which DejaVu Sans lacks
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert charts.confusion(np.eye(2, dtype=int), labels).startswith(b"\x89PNG")
    assert not [each for each in caught if "Glyph" in str(each.message)]
    said = "keras_i3d: the font of the charts lacks \U00012000 \U00012001, where it has boxes; the tables have them\n"
    assert capsys.readouterr().err == said
