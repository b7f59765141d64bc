"""HTML made of fragments that lie in files of the package. Whatever is put into a fragment is escaped."""

import html
import importlib.resources
import re
import string


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def join(parts):
    """Returns pieces of Html one after the other; anything else among them is escaped."""
    return Html("".join(map(escaped, parts)))


def escaped(value):
    """Returns Html as it is, and anything else as text: `<` is `&lt;`, quotes too."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def read(package, name):
    """Returns the text of a file that lies in a package, such as `read("keras_i3d.evaluation", "report.css")`."""
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")


class Fragments:
    """The fragments of a file in a package.

    A fragment begins with the line `<!-- fragment: NAME -->` and has `$value` wherever something is put in. Its lines
    are joined without the space around them; other comments are for the reader of the file.

    Args:
        package, name: as for `read`.
    """

    def __init__(self, package, name):
        parts = re.split(r"^<!-- fragment: ([\w-]+) -->$", read(package, name), flags=re.MULTILINE)
        self._fragments = {
            fragment: string.Template(
                "".join(line.strip() for line in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines())
            )
            for fragment, text in zip(parts[1::2], parts[2::2])
        }

    def fill(self, fragment, **values):
        """Returns Html of a fragment with the values in it, each escaped unless it is Html.

        Raises:
            KeyError: no such fragment, or a value that it has and was not given.
        """
        return Html(self._fragments[fragment].substitute({name: escaped(value) for name, value in values.items()}))
