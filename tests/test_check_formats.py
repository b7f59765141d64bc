"""The check of formats: how rows get into the table of a page, and the weights that it draws."""

import keras
import numpy as np
import pytest
from made import tiny

from keras_i3d.export import card
from keras_i3d.models import families


@pytest.fixture(scope="module")
def formats(tool):
    return tool("check_formats")


def test_rows_of_a_page(formats, tmp_path):
    """In the family's order, whichever came first; those with settings of their own last."""
    page, head = tmp_path / "page.md", "| network | a 1 |\n|---|---|"
    page.write_text(f"before\n\n{formats.BEGIN}\n{formats.END}\n\nafter\n")
    for name, width, precision, frames, size, cell in (
        ("S3D", 0.125, None, 10, 48, "2e-06"),
        ("I3D", 1, "bfloat16", 16, 224, "8e-03"),
        ("I3D", 0.125, None, 10, 48, r"no \1"),
        ("I3D", 1, None, 16, 224, "1e-06"),
        ("S3D", 0.125, None, 10, 48, "1e-06"),
    ):
        called = formats.title(name, width, precision, frames, size)
        formats.put(page, head, called, f"| {called} | {cell} |")
    rows = formats.rows_of(page.read_text(), head)
    wide = "I3D, full width, 16 frames of 224 x 224"
    assert list(rows) == ["I3D", "S3D", wide, f"{wide}, bfloat16"]
    assert (rows["I3D"], rows["S3D"]) == (r"| I3D | no \1 |", "| S3D | 1e-06 |")
    assert page.read_text().startswith(f"before\n\n{formats.BEGIN}\n{head}\n| I3D |")
    assert page.read_text().endswith(f"| 8e-03 |\n{formats.END}\n\nafter\n")
    assert formats.rows_of(page.read_text(), head.replace("1", "2")) == {}  # of another version of the runtime
    formats.put(page, head.replace("1", "2"), "S3D", "| S3D | 3e-06 |")
    assert "I3D" not in page.read_text()


def test_drawn_weights_keep_values_of_order_1(formats, monkeypatch):
    """Also of blocks that multiply three values: of weights drawn by shape alone, these overflow in a whole network."""
    tiny.shorten(monkeypatch)
    row = families.find("I3DResNet50-mmaction2-nl5-dot")
    model, stream, frames = formats.drawn(row, 0.125, 10, 32)
    clip = card.spread(card.clip((frames, *model.input_shape[2:]), 0), row.clips[stream])
    sums = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert any(layer.name.endswith("_nonlocal") for layer in sums)
    for values in keras.Model(model.input, [layer.output for layer in sums])(clip[None]):
        assert 0.1 < np.sqrt(np.mean(np.square(values))) < 10
