"""The site: every page has its place, every link its target, every public name its page; nothing is loaded."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest
from made import ROOT

import keras_i3d
from keras_i3d import cli

sys.path.insert(0, str(ROOT / "tools"))

import build_site
import network_pages
import reference_pages
import site_pages

CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made():
    """{path in the site: Markdown} of the pages that are made, those of networks by their sections alone."""
    sections = site_pages.sections((ROOT / site_pages.ARCHITECTURES).read_text(encoding="utf-8"))
    assert {*sections} == {*network_pages.names()}
    linked = {
        f"networks/{name}.md": site_pages.relinked(
            text, site_pages.ARCHITECTURES, f"networks/{name}.md", networks=network_pages.names()
        )
        for name, text in sections.items()
    }
    return {**linked, **reference_pages.pages()}


@pytest.fixture(scope="module")
def assembled(made, tmp_path_factory):
    """The folder of the site's source, and the links that became words."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    plain = site_pages.assemble(folder, made, networks=network_pages.names())
    return folder, plain


def pages_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*.md")}


def test_every_page_is_in_the_navigation(assembled):
    folder, _ = assembled
    listed = re.findall(r"\s([\w/]+\.md)$", CONFIGURATION.split("\nnav:\n")[1], re.MULTILINE)
    assert {page for page in listed if listed.count(page) > 1} == set()
    assert set(listed) == pages_in(folder)


def test_no_link_leads_nowhere(assembled):
    """Relative to each page, as a server or a folder has them."""
    folder, plain = assembled
    assert plain == []
    for page in sorted(pages_in(folder)):
        text = site_pages.FENCE.sub("", (folder / page).read_text(encoding="utf-8"))
        for _, _, link in site_pages.LINK.findall(text):
            if not re.match(r"[a-z]+:|#", link):
                path, _, anchor = link.partition("#")
                target = (folder / page).parent / path
                assert target.is_file(), f"{page}: {link}"
                if anchor and not path.startswith("../reference/"):  # whose anchors mkdocstrings makes
                    assert anchor in headings(target), f"{page}: {link}"


def headings(path):
    text = site_pages.FENCE.sub("", path.read_text(encoding="utf-8"))
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_links_become_those_of_the_site(tmp_path):
    for name, text in {
        "README.md": "[a](docs/one.md#x) [pic](docs/p.svg) [L](LICENSE) [n](docs/architectures.md#net)\n",
        "LICENSE": "",
        "docs/one.md": "# X\n<!-- not run: why -->\n```sh\n[a](no)\n```\n[back](../README.md) [sub](sub/two.md)\n",
        "docs/sub/two.md": "[up](../one.md) [out](https://x.example/y) ![pic](../p.svg)\n",
        "docs/p.svg": "<svg/>",
        "docs/architectures.md": "## Net\n\nwords\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    made = {"networks/Net.md": "# Net\n"}
    plain = site_pages.assemble(tmp_path / "out", made, tmp_path, networks=["Net"])
    read = {page: (tmp_path / "out" / page).read_text(encoding="utf-8") for page in pages_in(tmp_path / "out")}
    assert plain == [("README.md", "LICENSE")]
    assert read == {
        "index.md": "[a](one.md#x) [pic](p.svg) L [n](networks/Net.md)\n",
        "one.md": "# X\n```sh\n[a](no)\n```\n[back](index.md) [sub](sub/two.md)\n",
        "sub/two.md": "[up](../one.md) [out](https://x.example/y) ![pic](../p.svg)\n",
        "networks/Net.md": "# Net\n",
    }
    for wrong in ("docs/none.md", "architectures.md#none"):
        (tmp_path / "docs/one.md").write_text(f"[x]({wrong})\n", encoding="utf-8")
        with pytest.raises(site_pages.LinkError, match=re.escape(wrong)):
            site_pages.assemble(tmp_path / "out", made, tmp_path, networks=["Net"])


def test_every_public_name_has_its_page():
    documented = reference_pages.documented()
    assert len(documented) == len({*documented})
    homes = [reference_pages.home(module, name) for module, name in documented]
    assert len(homes) == len({*homes})
    modules = {name for name in keras_i3d.__all__ if reference_pages.is_module("keras_i3d", name)}
    assert modules >= {"data", "facts", "features", "training"}
    wanted = {reference_pages.home("keras_i3d", name) for name in {*keras_i3d.__all__} - modules - {"__version__"}}
    for name in modules - {"facts", "visualize"}:  # which have no __all__; their pages say what is public
        wanted |= {
            reference_pages.home(f"keras_i3d.{name}", each)
            for each in reference_pages.public(f"keras_i3d.{name}")
            if not reference_pages.is_module(f"keras_i3d.{name}", each)
        }
    assert wanted <= {*homes}
    for module, name in documented:
        assert hasattr(importlib.import_module(module), name), (module, name)


def test_every_verb_has_its_help(made):
    page = made["reference/command_line.md"]
    assert [f"keras-i3d {verb}" for verb in cli.VERBS] == re.findall(r"^## (keras-i3d .+)$", page, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ('<a href="https://a.example">a</a><link rel="canonical" href="https://a.example">', []),
        ('<script src="https://a.example/x.js"></script>', ["https://a.example/x.js"]),
        ('<link rel="stylesheet" href="//a.example/x.css">', ["//a.example/x.css"]),
        ('<img src="x.png" srcset="https://a.example/x.png 2x">', ["https://a.example/x.png"]),
        ("<style>a{background:url(https://a.example/x)}</style>", ["https://a.example/x"]),
        ('<p style="background: url(//a.example/x)">https://a.example</p>', ["//a.example/x"]),
        ('<script src="x.js">fetch("x")</script><img src="data:image/png;base64,">', []),
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(tmp_path, text, loaded):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/page.html").write_text(text, encoding="utf-8")
    assert build_site.loaded_from_elsewhere(tmp_path) == [(str(pathlib.Path("a/page.html")), each) for each in loaded]


def test_a_style_sheet_loads_nothing_either(tmp_path):
    (tmp_path / "x.css").write_text('@import "https://a.example/y.css"; a{b:url(c.woff)}', encoding="utf-8")
    assert build_site.loaded_from_elsewhere(tmp_path) == [("x.css", "https://a.example/y.css")]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs: make docs")
def test_the_site_is_built_without_a_warning():
    """And has a page of HTML for each of its source, with search that a folder can do too."""
    done = subprocess.run([sys.executable, "tools/build_site.py"], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    built = {str(path.relative_to(ROOT / "site")) for path in (ROOT / "site").rglob("*.html")}
    assert {page.replace(".md", ".html") for page in pages_in(ROOT / "build/docs")} <= built
    assert (ROOT / "site/search/search_index.js").is_file()
    page = (ROOT / "site/reference/networks.html").read_text(encoding="utf-8")
    assert "depth_multiplier" in page  # which the builders get from `builder`
    assert "iframe-worker.js" in page
