"""The pages of the site as plain Markdown in one folder: those of the repository, and those that are made.

A page of the repository keeps its words. Links between pages become links within the site; one to a file that is no
page, such as a script, becomes its words alone. HTML comments, which mark tables and blocks for the tests, are left
out.
"""

import os
import pathlib
import posixpath
import re
import shutil

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Pages outside of docs/, {path in the repository: path in the site}. Each of docs/ keeps its name.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "tests/goldens/README.md": "goldens.md",
    "weights/README.md": "weights_folder.md",
}
ARCHITECTURES = "docs/architectures.md"  # each of its sections begins the page of a network
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
COMMENT = re.compile(r"^[ \t]*<!--.*?-->[ \t]*\n", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^(```.*?^```)[ \t]*$", re.DOTALL | re.MULTILINE)


class LinkError(ValueError):
    """A link that leads nowhere."""


def sources(root=ROOT):
    """Returns {path in the repository: path in the site} of every page that is written by hand."""
    inside = {str(path.relative_to(root)): path for path in sorted((root / "docs").rglob("*.md"))}
    return {
        **{name: target for name, target in OUTSIDE.items() if (root / name).is_file()},
        **{name.replace(os.sep, "/"): posixpath.relpath(name, "docs") for name in inside if name != ARCHITECTURES},
    }


def assemble(folder, made, root=ROOT, networks=()):
    """Writes the whole source of the site into a folder, which is emptied first.

    Args:
        folder: path of it.
        made: {path in the site: Markdown} of the pages that are made.
        root: of the repository.
        networks: names of pages in networks/, each a section of docs/architectures.md.

    Returns:
        The links that became words, as (page, target).

    Raises:
        LinkError: a link to a file or to a section of architectures.md that is not there.
    """
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    pages, plain = sources(root), []
    for name, target in pages.items():
        text = (root / name).read_text(encoding="utf-8")
        text, words = _linked(_without_comments(text), name, target, pages, root, networks)
        plain += [(name, link) for link in words]
        _write(folder / target, text)
    for target, text in made.items():
        _write(folder / target, text)
    for path in sorted((root / "docs").rglob("*")):
        if path.is_file() and path.suffix != ".md":
            (folder / path.relative_to(root / "docs")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.relative_to(root / "docs"))
    return plain


def sections(text):
    """Returns {heading: what stands below it} of a page's headings of the second level."""
    parts = re.split(r"^## (.+)\n", _without_comments(text), flags=re.MULTILINE)[1:]
    return {name.strip(): body.strip() for name, body in zip(parts[::2], parts[1::2])}


def relinked(text, name, target, root=ROOT, networks=()):
    """Returns a text of the file `name` with its links as the page `target` of the site has them."""
    return _linked(text, name, target, sources(root), root, networks)[0]


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _outside_of_fences(text, change):
    """A text with `change` done to all but its fenced blocks."""
    return "".join(part if part.startswith("```") else change(part) for part in FENCE.split(text))


def _without_comments(text):
    return _outside_of_fences(text, lambda part: COMMENT.sub("", part))


def _linked(text, name, target, pages, root, networks):
    words = []

    def one(found):
        image, label, link = found.groups()
        if re.match(r"[a-z]+:|#", link):
            return found[0]
        path, _, anchor = link.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        if path == ARCHITECTURES:
            place = {network.lower(): f"networks/{network}.md" for network in networks}.get(anchor, "networks.md")
            if anchor and place == "networks.md":
                raise LinkError(f"A section of {path} is a network. Received: {link} in {name}")
            anchor = ""
        elif path in pages:
            place = pages[path]
        elif (root / path).is_file() and path.startswith("docs/"):
            place = posixpath.relpath(path, "docs")
        elif (root / path).exists():
            words.append(link)
            return label
        else:
            raise LinkError(f"A link leads to a file of the repository. Received: {link} in {name}")
        place = posixpath.relpath(place, posixpath.dirname(target) or ".")
        return f"{image}[{label}]({place}{anchor and '#'}{anchor})"

    return _outside_of_fences(text, lambda part: LINK.sub(one, part)), words
