"""Every table of measured or published numbers says what makes them again, or who published them."""

import re

import pytest
from made import ROOT, pages

TABLES = [table for page in pages.pages() for table in pages.parts(page) if table.language == "table"]
# What a table of numbers is of, when nobody measured them: {page: the first cell of its head}.
SETTINGS = {"CONTRIBUTING.md": {"package", "advisory"}}


def head(table):
    return table.text.split("|")[1].strip()


@pytest.mark.parametrize("table", [table for table in TABLES if pages.is_of_numbers(table)], ids=str)
def test_numbers_have_their_source(table):
    if head(table) in SETTINGS.get(table.page, ()):
        return
    assert table.mark[0] in ("made by", "published"), (
        f"{table}: a table of numbers has <!-- made by: COMMAND --> or <!-- published: SOURCE --> in the line before it"
    )


@pytest.mark.parametrize("table", [table for table in TABLES if table.mark[0] == "made by"], ids=str)
def test_the_command_that_makes_them_is_there(table):
    """A target of make, a script of the repository, or a verb."""
    words = table.mark[1].split()
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        name = words[1]
        assert re.search(rf"^(\S+ )*({name}|{name.partition('-')[0]}-%)( \S+)*:", makefile, re.MULTILINE), words
    elif words[0] == "python":
        scripts = [word.partition("::")[0] for word in words[1:] if word.partition("::")[0].endswith(".py")]
        assert scripts
        assert all((ROOT / script).is_file() for script in scripts), words
    else:
        assert words[0] == "keras-i3d", words


def test_what_a_table_of_numbers_is():
    def table(*rows):
        text = "| a | b | c |\n|---|---|---|\n" + "".join(f"| {row} |\n" for row in rows)
        return pages.Part("x", 1, "table", text, ("", ""))

    assert pages.is_of_numbers(table("x | 1.5 s | -", "y | 2e-7 | 12,345 / 3"))
    assert pages.is_of_numbers(table("x | 97.2% | words", "y | words | words", "z | 3 of 13 | words"))
    assert not pages.is_of_numbers(table("1 | words | I3D", "2 | 3 x 3 x 3 kernels | words"))
