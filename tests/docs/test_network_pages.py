"""The page of a network: its figures are its graph, and its tables are its card."""

import re
import sys

import keras
import pytest
from made import ROOT

from keras_i3d import network_cards
from keras_i3d.models import families
from keras_i3d.models.family import without_memory

sys.path.insert(0, str(ROOT / "tools"))

import graph_figures
import network_pages

CAPTION = re.compile(r"<figcaption>(.*?)\.")


def words(svg):
    return re.findall(r"<text [^>]*>([^<]+)</text>", svg)


def test_a_page_has_what_the_card_has():
    (rows,) = [rows for rows in network_cards.by_builder() if rows[0].of == "S3D"]
    page = network_pages.page(rows, "Words.")
    card = network_cards.card(families.find("S3D"))
    assert page.startswith("# S3D\n")
    for endpoint in card["by_stream"]["rgb"]["endpoints"]:
        shape = " x ".join(map(str, endpoint["shape"]))
        assert re.search(rf"^\| `{endpoint['name']}` \| {shape} \| ", page, re.MULTILINE)
    assert "| `Mixed_5c` | 16 x 7 x 7 x 1024 | 99 x 379 x 379 | 8 x 32 x 32 |" in page
    assert "8,320,048" in page
    assert "143.83 G" in page
    assert "68.4 / 88.1" in page
    assert card["protocol"] in page
    assert "| BSD-3-Clause |" in page
    assert '`S3D(variant="kylemin")`' in page


def test_forms_that_share_weights_do_not_take_their_accuracy():
    """Which was measured with the network that the weights are of."""
    (rows,) = [rows for rows in network_cards.by_builder() if rows[0].of == "I3D"]
    parts = network_pages._weights(rows)
    assert "| I3D | `kinetics` | rgb | 400 |" in parts[0]
    assert "strides" not in parts[0]
    assert parts[1] == (
        "I3D-strides-2-2-1, I3D-strides-2-1-1 and I3D-strides-1-1-1 take those of I3D. Nobody published an accuracy of "
        "theirs."
    )
    shared = network_cards.weights(families.find("I3D-strides-2-2-1"))
    assert {"kinetics", "imagenet"} <= {each["name"] for each in shared}
    assert {each["accuracy"] for each in shared} == {None}


def test_a_page_ends_with_links_to_pages_that_are_there():
    for name in network_pages.names():
        for link in re.findall(r"\]\((?:\.\./)(.+?)(?:#.+?)?\)", network_pages._read_on(name)):
            assert (ROOT / "docs" / link).is_file(), (name, link)
    assert "[Separable convolutions, and gates](../how/separable.md)" in network_pages._read_on("S3D")


def test_every_builder_has_a_block_to_draw():
    assert {*network_pages.BLOCKS} == {*network_pages.names()}


def test_a_block_is_drawn_as_its_graph_is():
    """Each convolution with its kernel and width, and what joins the branches."""
    (_, block) = network_pages.figures(families.find("S3DG"))
    said = words(block)
    for kernel in ("1 x 1 x 1, 64", "1 x 3 x 3, 128", "3 x 1 x 1, 128", "1 x 3 x 3, 32", "max pool 3 x 3 x 3"):
        assert kernel in said
    assert said.count("sigmoid") == said.count("multiply") == 4
    assert said.count("side by side") == 1
    assert said.count("MaxPool3d_3a_3x3") == 1


def test_a_strip_has_a_bar_for_each_endpoint():
    row = families.find("MC318")
    (strip, *_) = network_pages.figures(row)
    assert len(re.findall("<rect ", strip)) == len(row.endpoints) - 2  # logits and predictions have no size
    colors = re.findall(r'<rect [^>]*fill="(#\w+)"', strip)
    assert colors == [graph_figures.TIME] * 3 + [graph_figures.SPACE] * 6


def test_a_shortcut_goes_round_what_is_between():
    """It is one line more than the boxes in a row have, and leaves at the side."""

    def draw():
        clip = keras.Input((4, 8, 8, 3), name="clip")
        x = keras.layers.Conv3D(3, (3, 1, 1), padding="same", name="first")(clip)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Dropout(0.5)(x)
        x = keras.layers.Conv3D(3, 1, strides=1, name="second")(x)
        return graph_figures.block(keras.Model(clip, keras.layers.Add(name="sum")([clip, x])), ("clip",), "sum")

    svg = without_memory(draw)
    assert words(svg) == ["clip", "4 x 8 x 8 x 3", "3 x 1 x 1, 3", "batch norm, ReLU", "1 x 1 x 1, 3", "add"]
    assert len(re.findall("<path ", svg)) == 4
    assert len(re.findall(r"<path [^>]*H\d+ V", svg)) == 1


@pytest.mark.slow
def test_every_figure_says_what_it_shows():
    for rows in network_cards.by_builder():
        found = network_pages.figures(rows[0])
        assert len(found) >= 2
        assert all(CAPTION.search(figure) for figure in found)
        assert all("currentColor" in figure and "black" not in figure for figure in found)
