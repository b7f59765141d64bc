"""The README and the pages of docs/: links, code, sizes, the table of networks, and the script that trains."""

import ast
import functools
import importlib
import inspect
import re

import keras
import numpy as np
import pytest
from made import ROOT, tiny

import keras_i3d
from keras_i3d import facts, features, network_cards
from keras_i3d.features import feature_files
from keras_i3d.models import families

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "benchmarks").glob("*.md"), *(ROOT / "weights").glob("*.md"), *DOCS})

SMALLER = (
    ("clip_frames=64", "clip_frames=9, size=32"),
    ("(64, 224, 224, 3)", "(9, 32, 32, 3)"),
    ("classes=len(source.labels)", "classes=len(source.labels), weights=None, depth_multiplier=0.125"),
    ("crop=224, frames=64", "crop=32, frames=9"),
    ("batch_size=8", "batch_size=3"),
    ("epochs=10", "epochs=1"),
)


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    """Returns the fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.+?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def headings(page):
    """Returns the anchors of a page, as GitHub makes them of its headings."""
    text = re.sub(r"^```.+?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page):
    text = re.sub(r"^```.+?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    for target in targets:
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked), target


@pytest.mark.parametrize("page", sorted({*PAGES} - {ROOT / "CHANGELOG.md"}), ids=name)
def test_files_that_are_named_exist(page):
    named = re.findall(r"`((?:keras_i3d|tests|tools|benchmarks|docs)/[\w/.]+)`", page.read_text(encoding="utf-8"))
    for path in named:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_pages_say_what_they_are_for(page):
    title, blank, first, *_ = page.read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ")
    assert not blank
    assert first.startswith("This page is for ")


def test_the_readme_is_a_front_door():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not line.startswith("<!-- ")]) <= 128
    linked = "\n".join(lines)
    placed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")  # by which every page is found in the site
    for page in DOCS:
        assert f"(docs/{page.name})" in linked or f" {page.name}\n" in placed or page.stem == "architectures"
    (picture,) = re.findall(r"!\[[^]]+\]\((\S+)\)", linked)
    assert (ROOT / picture).stat().st_size < 200_000


@pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS], ids=name)
def test_lines_fit(page):
    for line in page.read_text(encoding="utf-8").splitlines():
        assert len(line) <= 120 or line.startswith("|") or "https://" in line, line


@pytest.mark.parametrize(("page", "pick"), [("README.md", "defaults"), ("docs/networks.md", "all")])
def test_the_tables_of_networks_are_those_of_the_rows(page, pick):
    """The contract test holds the rows to the graphs."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert network_cards.markdown(pick, linked=True) in text
    assert network_cards.refreshed(text) == text, "make docs"


def test_the_table_of_all_networks_links_to_the_section_of_each_builder():
    """Which the site makes the page of that network; what the command prints has no links."""
    sections = {*re.findall(r"^## (\w+)$", (ROOT / "docs" / network_cards.SECTIONS).read_text(), re.MULTILINE)}
    lines = network_cards.markdown(linked=True).splitlines()[2:]
    assert len(lines) == len(families.FAMILIES)
    for line, row in zip(lines, [row for rows in network_cards.by_builder() for row in rows]):
        assert line.startswith(f"| [{row.name}](architectures.md#{row.of.lower()}) | `{row.of}(")
        assert row.of in sections
    assert "](" not in network_cards.markdown() + network_cards.markdown("defaults", linked=True)


def test_the_tables_name_builders_and_their_arguments():
    calls = re.findall(r"^\|[^|]+\| `(\w+)\((.*)\)` \|", network_cards.markdown("defaults"), re.MULTILINE)
    calls += re.findall(r"^\|[^|]+\| `(\w+)\((.*)\)` \|", network_cards.markdown(), re.MULTILINE)
    assert len(calls) >= len(families.FAMILIES)
    for builder, arguments in calls:
        call = ast.parse(f"_({arguments})", mode="eval").body
        passed = {keyword.arg for keyword in call.keywords}
        assert passed <= set(inspect.signature(getattr(keras_i3d, builder)).parameters), builder


def test_a_table_that_is_out_of_date_is_made_again():
    """And nothing around it changes."""
    begin, end = network_cards.BEGIN.format("all"), network_cards.END
    assert network_cards.refreshed(f"a\n{begin}\nold\n| table |\n{end}\n{end} b") == (
        f"a\n{begin}\n{network_cards.markdown(linked=True)}\n{end}\n{end} b"
    )
    assert network_cards.refreshed("no table") == "no table"


def test_the_picture_shows_the_demos_own_scene(monkeypatch):
    """Drawn larger and averaged, it is the demo's video up to the noise and half a pixel of the camera."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    demo_videos, readme_picture = map(importlib.import_module, ("demo_videos", "readme_picture"))
    draw = functools.partial(demo_videos.frames, shape="cross", motion="slides")
    small, large = (np.float32(draw(np.random.default_rng(8), scale=scale)) for scale in (1, 3))
    assert large.shape == (32, 192, 240, 3)
    averaged = large.reshape(32, 64, 3, 80, 3, 3).mean(axis=(2, 4))
    assert abs(averaged - small).mean() < 8
    assert abs(averaged - small[::-1]).mean() > 12  # of other moments it is not
    fields = np.random.default_rng(0).normal(0, 3, (31, 192, 240, 2)).astype("float32")
    shares = dict.fromkeys(("rgb", "flow", "both"), np.float32([0.2, 0.7, 0.1]))
    page = readme_picture.draw(np.uint8(large), fields, ["a", "b", "c"], shares, "b")
    assert page.size == (1600, 472)
    assert {readme_picture.COLORS[stream] for stream in shares} <= {
        "#{:02x}{:02x}{:02x}".format(*color) for _, color in page.getcolors(1 << 20)
    }


def test_fifteen_lines_train(tmp_path, monkeypatch, capsys):
    tiny.shorten(monkeypatch)
    (tmp_path / "records").mkdir()
    for split in ("train", "test"):
        tiny.write(tmp_path / "records", split, videos=6)
    monkeypatch.chdir(tmp_path)
    (script,) = [text for page in DOCS for text in blocks(page, "python") if "model.fit(train" in text]
    assert len([line for line in script.splitlines() if line]) <= 15
    for full, small in SMALLER:
        assert full in script
        script = script.replace(full, small)
    exec(script, {})
    assert "'accuracy'" in capsys.readouterr().out
    model = keras.models.load_model(tmp_path / "mine.keras")
    assert model.output_shape == (None, 3)
    noted = facts.of(model)
    assert (noted.labels, noted.clip.short_side, noted.clip.frames) == (tiny.LABELS, 32, 9)


def test_ten_lines_feed_a_temporal_model(tmp_path, monkeypatch, capsys):
    """Videos of different lengths, whose features are there."""
    draw = np.random.default_rng(0)
    layout = features.Layout(streams=("rgb",))
    for video, rows in (("one", 3), ("two", 5), ("three", 4)):
        times = {"rgb": 0.64 * np.arange(rows)}
        arrays = {"rgb": draw.uniform(0, 1, (1, rows, 8)).astype("float32")}
        found = features.VideoFeatures(video, arrays, times, times, times, 16 * rows, 25.0, notes={})
        feature_files.write(tmp_path / "features", video, layout, found, {"name": video, "bytes": 0})
    monkeypatch.chdir(tmp_path)
    (script,) = [text for page in DOCS for text in blocks(page, "python") if "temporal.fit" in text]
    assert len([line for line in script.splitlines() if line]) <= 10
    exec(script.replace("epochs=10", "epochs=1"), {})
    assert "accuracy" in capsys.readouterr().out
