"""Builds the site: puts its pages together in build/docs, makes HTML of them in site/, and checks that.

  python tools/build_site.py [--serve]

A warning of mkdocs is an error. The HTML must load nothing from elsewhere: no script, style, picture or font. With
--serve the pages are served on 127.0.0.1:8000, made again when one of build/docs changes.

Takes the extra `docs` of setup.py, and no network.
"""

import html.parser
import os
import pathlib
import re
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import network_pages  # noqa: E402
import reference_pages  # noqa: E402
import site_pages  # noqa: E402
from absl import app, flags  # noqa: E402

ROOT = site_pages.ROOT
SOURCE, SITE, THEME = ROOT / "build/docs", ROOT / "site", ROOT / "tools/site_theme"

# {tag: the attribute by which a browser loads something at once}. A link to click is none.
LOADS = {
    **dict.fromkeys(("script", "img", "iframe", "source", "video", "audio", "embed", "track", "input"), ("src",)),
    "link": ("href",),
    "object": ("data",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
ELSEWHERE = re.compile(r"^\s*(https?:)?//")
STYLED = re.compile(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)|@import\s+[\"']((?:https?:)?//[^\"']+)")
NOT_LOADED = {"canonical", "alternate", "next", "prev", "author", "license"}  # of <link rel=>

_SERVE = flags.DEFINE_bool("serve", False, "Serve the pages instead of building them.")


class _Loaded(html.parser.HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.style = False

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.style = tag == "style"
        if tag == "link" and {*(attributes.get("rel") or "").split()} & NOT_LOADED:
            return
        self.found += [attributes[name] for name in LOADS.get(tag, ()) if ELSEWHERE.match(attributes.get(name) or "")]
        self.found += [part.split()[0] for part in (attributes.get("srcset") or "").split(",") if ELSEWHERE.match(part)]
        self.found += styled(attributes.get("style") or "")

    def handle_data(self, data):
        if self.style:
            self.found += styled(data)

    def handle_endtag(self, tag):
        self.style = False


def styled(text):
    """Returns what a style sheet loads from elsewhere."""
    return [first or second for first, second in STYLED.findall(text)]


def loaded_from_elsewhere(site):
    """Returns [(file, address)] of all that the pages and style sheets in a folder load from elsewhere."""
    found = []
    for path in sorted(pathlib.Path(site).rglob("*")):
        if path.suffix == ".html":
            page = _Loaded()
            page.feed(path.read_text(encoding="utf-8"))
            found += [(str(path.relative_to(site)), address) for address in page.found]
        elif path.suffix == ".css":
            addresses = styled(path.read_text(encoding="utf-8"))
            found += [(str(path.relative_to(site)), address) for address in addresses]
    return found


def put_together():
    """Writes build/docs; returns how many pages it has."""
    made = {**network_pages.pages(), **reference_pages.pages()}
    plain = site_pages.assemble(SOURCE, made, networks=network_pages.names())
    for name, link in plain:
        print(f"{name}: {link} is no page of the site, and its words stand alone")
    return len(site_pages.sources()) + len(made)


def main(_):
    print(f"{put_together()} pages are in {SOURCE.relative_to(ROOT)}")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    # Not --quiet, with which --strict counts no warnings.
    command = [sys.executable, "-m", "mkdocs", *(["serve"] if _SERVE.value else ["build", "--strict", "--clean"])]
    status = subprocess.run(command, cwd=ROOT, env=environment).returncode
    if status or _SERVE.value:
        sys.exit(status)
    loaded = loaded_from_elsewhere(SITE)
    for name, address in loaded:
        print(f"{name} loads {address}", file=sys.stderr)
    if loaded:
        sys.exit("The site must load nothing from elsewhere")
    print(f"the site is in {SITE.relative_to(ROOT)}: open {SITE.relative_to(ROOT)}/index.html")


if __name__ == "__main__":
    app.run(main)
