"""Tables of text in columns of fixed width."""

import itertools
import textwrap


def row(cells, widths):
    """Returns the lines of a row: each cell broken to the width of its column, where it has words to break at."""
    broken = []
    for cell, width in zip(cells, widths):
        lines = str(cell).splitlines()
        broken.append([part for line in lines for part in wrapped(line, width)])
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(line, widths)).rstrip()
        for line in itertools.zip_longest(*broken, fillvalue="")
    )


def wrapped(text, width, indent=""):
    """Returns a text as lines of at most `width` characters, broken at spaces alone; all but the first are indented."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def fitted(rows, indent=""):
    """Returns the lines of a table whose columns are as wide as what is in them."""
    rows = [[str(cell) for cell in cells] for cells in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [indent + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in rows]
