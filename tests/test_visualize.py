"""The colour-wheel code of flow."""

import numpy as np
import pytest

from keras_i3d import lacking_characters, visualize


def test_still_is_white_and_directions_have_their_hues():
    flow = np.float32([[0, 0], [20, 0], [-20, 0], [0, 20], [0, -20]])
    still, right, left, down, up = visualize.flow_to_color(flow[None], 20)[0]
    assert tuple(still) == (255, 255, 255)
    assert tuple(right) == (255, 0, 0)
    assert left[0] == 0
    assert min(left[1:]) > 100  # cyan to blue
    assert down[0] > 100
    assert down[1] > 200
    assert down[2] == 0  # yellow
    assert up[2] == 255  # blue to magenta
    assert len({tuple(c) for c in (right, left, down, up)}) == 4


def test_speed_is_saturation_up_to_the_bound():
    colors = visualize.flow_to_color(np.float32([[0, 0], [5, 0], [10, 0], [20, 0], [40, 0]])[None], 20)[0].astype(int)
    assert list(colors[:, 1]) == sorted(colors[:, 1], reverse=True)
    np.testing.assert_array_equal(colors[2], visualize.flow_to_color(np.float32([[[5, 0]]]), bound=10)[0, 0])
    assert colors[4, 0] < colors[3, 0], "beyond the bound it is darkened"


def test_wheel_has_no_seam():
    angles = np.linspace(0, 2 * np.pi, 2000)
    flow = 20 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)[None]
    colors = visualize.flow_to_color(flow * 0.999, 20)[0].astype(int)
    assert abs(np.diff(colors, axis=0)).max() <= 5
    assert abs(colors[0] - colors[-1]).max() <= 5


def test_shapes_and_refusals():
    assert visualize.flow_to_color(np.zeros((3, 4, 5, 2))).shape == (3, 4, 5, 3)
    with pytest.raises(ValueError, match="dx and dy"):
        visualize.flow_to_color(np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match="finite"):
        visualize.flow_to_color(np.full((4, 5, 2), np.nan))
    with pytest.raises(ValueError, match="bound"):
        visualize.flow_to_color(np.zeros((4, 5, 2)), bound=0)


def test_sheet_lays_frames_over_their_flow():
    frames = np.zeros((5, 20, 40, 3), "uint8")
    frames[3] = (0, 0, 255)
    flow = np.zeros((4, 20, 40, 2), "float32")
    flow[3, ..., 0] = 20
    picture = visualize.sheet(frames, flow, "run", columns=2, count=5, width=40, legend=False)
    cell = (20 + 20 + 14 + 2, 40 + 2)  # frame, flow, time, lines
    assert picture.shape == (14 + 2 * cell[0], 2 * cell[1], 3)
    at = 14 + cell[0]  # the second row: frames 2 and 3
    np.testing.assert_array_equal(picture[at + 10, 42 + 20], (0, 0, 255))
    np.testing.assert_array_equal(picture[at + 30, 42 + 20], (255, 0, 0))
    np.testing.assert_array_equal(picture[at + 30, 20], (255, 255, 255))


def test_a_clip_is_painted_by_its_own_speed():
    """A few wrong vectors do not decide, nor does the noise of a still clip."""
    flow = np.zeros((3, 40, 80, 2))
    flow[1, :10, :, 1] = -5.71
    flow[2, 0, 0] = 300
    assert visualize.own_bound(flow) == 5.8
    assert visualize.own_bound(flow * 10) == 58
    ball = np.random.default_rng(0).normal(0, 0.05, (30, 64, 86, 2))
    ball[:, 20:25, 20:25, 0] = 12  # 0.5 % of the picture
    assert visualize.own_bound(ball) == 12
    assert visualize.own_bound(np.full((1, 4, 4, 2), 0.01)) == 0.5
    np.testing.assert_array_equal(visualize.flow_to_color(flow), visualize.flow_to_color(flow, 5.8))
    frames = np.zeros((4, 40, 80, 3), "uint8")
    cells = [visualize.sheet(frames, flow, bound=bound, legend=False) for bound in (None, 5.8, 20)]
    np.testing.assert_array_equal(cells[0], cells[1])
    assert (cells[0] != cells[2]).any()


def test_the_legend_is_the_wheel_and_says_the_bound(monkeypatch):
    texts, line = [], visualize.text_line
    monkeypatch.setattr(visualize, "text_line", lambda text, width: texts.append(text) or line(text, width))
    frames, flow = np.zeros((4, 20, 160, 3), "uint8"), np.full((3, 20, 160, 2), (3.0, 0.0))
    plain, own, given = (
        visualize.sheet(frames, flow, count=3, **settings) for settings in ({"legend": False}, {}, {"bound": 20})
    )
    assert [text for text in texts if "wheel" in text] == [
        "the wheel: where a point moves to; full colour: 3 pixels per frame; 0.1% of this clip is faster, and darker",
        "the wheel: where a point moves to; full colour: 20 pixels per frame",
    ]
    np.testing.assert_array_equal(own[: len(plain)], plain)
    middle = len(plain) + (len(own) - len(plain)) // 2
    np.testing.assert_allclose(own[middle, 6 + 43], (255, 0, 0), atol=25)  # its right end: motion to the right
    np.testing.assert_allclose(own[middle, 6 + 22], (255, 255, 255), atol=25)
    assert given.shape == own.shape
    assert visualize.sheet(frames).shape[0] < len(plain)
    for width in (1, 10, 30):
        visualize.sheet(frames, flow, width=width)


@pytest.mark.parametrize(("name", "pictures"), [("a.png", 1), ("a.gif", 4)])
def test_save(tmp_path, name, pictures):
    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 255, (5, 20, 40, 3), "uint8")
    visualize.save(tmp_path / name, frames, np.zeros((4, 20, 40, 2)), "run")
    with Image.open(tmp_path / name) as image:
        assert getattr(image, "n_frames", 1) == pictures
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_pictures_of_nothing_are_refused(tmp_path):
    frames = np.zeros((5, 20, 40, 3), "uint8")
    with pytest.raises(ValueError, match=r"ends in .png or .gif"):
        visualize.save(tmp_path / "a.jpg", frames)
    with pytest.raises(ValueError, match="uint8"):
        visualize.sheet(frames / 255)
    with pytest.raises(ValueError, match="Flow belongs to frames"):
        visualize.sheet(frames, np.zeros((4, 10, 40, 2)))


def test_the_wheel_of_an_animation_is_the_same_in_each_picture(tmp_path):
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (4, 64, 96, 3)).astype("uint8")
    visualize.save(tmp_path / "x.gif", frames, draw.normal(0, 5, (4, 64, 96, 2)), width=300)
    from PIL import Image

    with Image.open(tmp_path / "x.gif") as image:
        pictures = []
        for i in range(4):
            image.seek(i)
            pictures.append(np.asarray(image.convert("RGB"))[-len(visualize._legend(302, 5, True)) :].astype(int))
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, pictures[0])


def test_characters_beyond_ascii(monkeypatch, capsys):
    """Each was a box, in silence: of any label but an English one."""
    monkeypatch.setattr(lacking_characters, "_told", set())
    plain, other = (visualize.text_line(text, 100) for text in ("ecole", "\u00e9cole"))
    boxes = visualize.text_line("\U000f0000", 100)
    assert "keras_i3d: the fonts of pictures lack \U000f0000, where they have boxes\n" in capsys.readouterr().err
    visualize.text_line("\U000f0000", 100)
    assert capsys.readouterr().err == ""
    assert plain.shape == other.shape == boxes.shape
    if len(visualize._fonts()) > 1:  # as wherever matplotlib is
        assert visualize._font(frozenset("\u00e9\u0436\u03a9"))[1] == frozenset()
