"""The pages that people read: their fenced blocks and tables, with the marks that say what checks them.

A mark is an HTML comment in the line before a block or a table:

  <!-- not run: REASON -->          a block that no test runs, and why
  <!-- run: slow -->                a block of Python that `make test-slow` runs
  <!-- run by: FILE::TEST -->       a block that a test of its own runs
  <!-- made by: COMMAND -->         a table of measured numbers, and what measures them again
  <!-- published: SOURCE -->        a table of numbers that others published
"""

import dataclasses
import re

from made import ROOT

MARK = re.compile(r"<!-- (not run|run by|run|made by|published): (.+?) -->")
RULE = re.compile(r"\|[-| :]+\|")
NUMBER = re.compile(r"[~<>]?=?\s*-?\d[\d,.]*(e-?\d+)?(\s?(%|px|s|min|h|k?B|MB|GB|GiB|G|M|x|of \d+)|\s?/ .*)?")


@dataclasses.dataclass(frozen=True)
class Part:
    """A fenced block, or a table.

    Attributes:
        page: path in the repository.
        line: of its first line, from 1.
        language: of a block; "table" of a table.
        text: what is in it.
        mark: kind and words of the mark before it; ("", "") without one.
    """

    page: str
    line: int
    language: str
    text: str
    mark: tuple

    def __str__(self):
        return f"{self.page}:{self.line}"


def pages():
    """Returns the paths in the repository of README, CONTRIBUTING, SECURITY and all of docs/."""
    inside = sorted((ROOT / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", "SECURITY.md", *(path.relative_to(ROOT).as_posix() for path in inside)]


def parts(page):
    """Returns the Parts of a page, in order."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    found, number, made = [], 0, ("", "")
    while number < len(lines):
        line, begin = lines[number], number
        mark = _mark(lines[number - 1]) if number else ("", "")
        number += 1
        if line.startswith("```"):
            while not lines[number].startswith("```"):
                number += 1
            text = "\n".join(lines[begin + 1 : number]) + "\n"
            found.append(Part(page, begin + 1, line[3:].strip(), text, mark))
            number += 1
        elif line.startswith("|") and number < len(lines) and RULE.fullmatch(lines[number]):
            while number < len(lines) and lines[number].startswith("|"):
                number += 1
            text = "\n".join(lines[begin:number]) + "\n"
            found.append(Part(page, begin + 1, "table", text, made if made[0] else mark))
        elif line.startswith("<!-- ") and not MARK.match(line):  # around what `make docs` makes
            made = ("", "") if line.startswith("<!-- end of ") else mark if mark[0] else ("made by", "make docs")
    return found


def blocks(language):
    """Returns the fenced blocks of all pages in a language."""
    return [part for page in pages() for part in parts(page) if part.language == language]


def cells(table):
    """Returns the rows of a table below its head, each a list of cells."""
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.text.splitlines()[2:]]


def is_of_numbers(table):
    """Whether at least a sixth of a table's cells, its first column left out, are numbers with or without a unit."""
    inner = [cell for row in cells(table) for cell in row[1:]]
    return 6 * sum(bool(NUMBER.fullmatch(cell)) for cell in inner) >= len(inner) > 0


def _mark(line):
    found = MARK.fullmatch(line.strip())
    return (found[1], found[2]) if found else ("", "")
