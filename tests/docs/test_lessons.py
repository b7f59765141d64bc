"""The pages of docs/how, their figures and tables: what a figure shows is measured, and a table is made of the rows."""

import ast
import inspect
import re
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from made import ROOT, benchmarks

import keras_i3d

sys.path.insert(0, str(ROOT / "tools"))

import lesson_blocks
import lesson_motion
import lesson_tables
import lesson_time

draw_figures = benchmarks.module("draw_figures")
HOW = ROOT / "docs/how"
PAGES = sorted(HOW.glob("*.md"))
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")


def text(page):
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_lesson_has_a_figure_and_says_what_to_remember(page):
    lines = text(page).splitlines()
    assert lines[2].startswith("This page is for ")
    assert "## To remember" in lines
    assert PICTURE.findall(text(page).replace("\n", " "))
    for line in lines:
        assert len(line) <= 120 or line.startswith("|"), line


def test_every_figure_is_drawn_by_the_tool_and_is_on_a_page():
    shown = [name for page in PAGES for name in PICTURE.findall(text(page).replace("\n", " "))]
    assert sorted(shown) == sorted(f"{name}.svg" for name in draw_figures.FIGURES)
    assert sorted(path.name for path in HOW.glob("*.svg")) == sorted(shown)


@pytest.mark.parametrize("name", sorted(draw_figures.FIGURES))
def test_a_figure_is_one_file_that_is_read_on_light_and_on_dark_pages(name):
    path = HOW / f"{name}.svg"
    check(text(path))
    assert path.stat().st_size < 60_000


def check(svg):
    """Parses a figure; all words are within its card, and it loads nothing."""
    root = xml.etree.ElementTree.fromstring(svg)
    assert "prefers-color-scheme: dark" in svg
    assert not re.search(r"(href|src)=\"(?!data:)", svg)
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(element.get("x")) <= width, element.text
        assert 0 <= float(element.get("y")) <= height - 4, element.text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_are_those_of_the_rows(page):
    assert lesson_tables.refreshed(text(page)) == text(page), "make docs"


def test_a_table_that_is_out_of_date_is_made_again():
    old = "a\n<!-- lesson: inflation -->\nold\n<!-- end of lesson -->\nb"
    assert "| I3D | 12,689,984 | 111.15 G |" in lesson_tables.refreshed(old)


def test_an_inflated_network_answers_the_boring_video_as_the_2d_one():
    """But for as many frames at each end as it has convolutions."""
    found = lesson_time.boring_differences(frames=9, depth=3, side=6)
    for depth, name in enumerate(("conv1", "conv2", "conv3"), 1):
        assert found[name][depth:-depth].max() < 1e-5
        assert found[name][[0, -1]].min() > 0.05


def test_an_inflated_kernel_is_a_third_of_the_2d_one_three_times():
    np.testing.assert_allclose(lesson_blocks.inflated(), [np.float32(lesson_blocks.EDGE) / 3] * 3, rtol=1e-6)


def test_gradients_fade_without_shortcuts():
    plain, shortcuts = lesson_blocks.gradient_norms(depth=12), lesson_blocks.gradient_norms(depth=12, shortcuts=True)
    assert plain[0] < 0.05 < 0.5 < shortcuts[0] < 5


def test_the_flow_of_a_recoloured_video_is_the_same():
    """Frames are far apart; flow, which the greys give, is not."""
    frames, fields = lesson_motion.recoloured(scale=1)
    assert abs(frames[0].astype(float) - frames[1]).mean() > 50
    apart = np.hypot(*np.moveaxis(fields[0] - fields[1], -1, 0))
    assert apart.mean() < 0.3 < np.hypot(*np.moveaxis(fields[0], -1, 0)).max()


def test_flow_is_clamped_at_20_and_zero_is_zero():
    values, back = lesson_motion.levels()
    np.testing.assert_allclose(back, np.clip(values, -20, 20), atol=20 / 254 + 1e-6)
    assert lesson_motion.levels(0, 0, 1)[1][0] == 0
    assert abs(lesson_motion.levels(0, 0, 1, "rounded")[1][0] - 0.0784) < 1e-4


def test_a_non_local_block_finds_the_ball():
    weights = lesson_motion.looks(lesson_motion.scene())
    assert abs(weights.sum() - 1) < 1e-4
    ball = sum(weights[number][lesson_motion._on_ball(number)].sum() for number in range(4))
    assert ball > 0.8
    assert min(weights[number].sum() for number in range(4)) > 0.1  # in every frame


def test_the_clips_of_protocols_lie_where_the_data_pipeline_takes_them():
    assert lesson_time.clip_starts(None, 250) == [0]
    assert lesson_time.clip_starts(1, 64) == [93]
    assert lesson_time.clip_starts(5, 16) == [0, 59, 117, 176, 234]


def test_receptive_fields_are_those_of_the_graph():
    found = lesson_time.fields()
    assert found["Conv3d_1a_7x7"] == (7, 2, -2, 32)
    assert found["Mixed_5c"][:2] == (99, 8)
    assert found["Mixed_5c"][3] == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(draw_figures.FIGURES))
def test_figures_are_drawn(name):
    check(str(draw_figures.FIGURES[name]()))


@pytest.mark.parametrize("page", ["docs/migrating.md", "docs/faq.md", *(f"docs/how/{page.name}" for page in PAGES)])
def test_calls_in_running_text_and_in_tables_exist(page):
    """Each `keras_i3d.NAME(argument=...)`, with the arguments that it passes."""
    checked = 0
    for code in re.findall(r"`(keras_i3d\.[^`]+)`", re.sub(r"^```.+?^```", "", text(ROOT / page), flags=re.S | re.M)):
        node = ast.parse(code, mode="eval").body
        call = node if isinstance(node, ast.Call) else None
        found = keras_i3d
        for part in ast.unparse(call.func if call else node).split(".")[1:]:
            found = getattr(found, part)
        if call:
            parameters = inspect.signature(found).parameters
            passed = {keyword.arg for keyword in call.keywords}
            assert passed <= {*parameters} or "settings" in parameters, code
        checked += 1
    assert checked or page.startswith("docs/how")


def test_the_questions_name_findings_that_doctor_makes():
    known = {*re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", text(ROOT / "docs/doctor.md"), re.MULTILINE)}
    groups = {code.partition(".")[0] for code in known}
    named = re.findall(r"`([a-z]+\.[a-z_]+)`", text(ROOT / "docs/faq.md"))
    named = {each for each in named if each.partition(".")[0] in groups and not each.endswith((".csv", ".mp4"))}
    assert len(named) > 20
    assert named <= known
