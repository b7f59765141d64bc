"""HTML of fragments: everything that is put in is escaped, once."""

import pytest

from keras_i3d import markup
from keras_i3d.markup import Fragments, Html

EVIL = """<b onclick="x">'&lt;$name"""
ESCAPED = "&lt;b onclick=&quot;x&quot;&gt;&#x27;&amp;lt;$name"


def test_what_is_put_in_is_escaped_once():
    assert markup.escaped(EVIL) == ESCAPED
    assert markup.escaped(markup.escaped(EVIL)) == ESCAPED
    assert markup.escaped(3) == "3"
    joined = markup.join([Html("<i>"), EVIL])
    assert (joined, type(joined)) == (f"<i>{ESCAPED}", Html)


def test_fragments_of_a_file(monkeypatch):
    text = """<!-- For the reader. -->

<!-- fragment: row -->
<!-- A comment
     of two lines. -->
<tr>
  <td>$name</td> <td>$$</td>
</tr>
<!-- fragment: other -->
<p>$text</p>
"""
    monkeypatch.setattr(markup, "read", lambda package, name: text)
    fragments = Fragments("some.package", "some.html")
    row = fragments.fill("row", name=EVIL)
    assert row == f"<tr><td>{ESCAPED}</td> <td>$</td></tr>"
    assert fragments.fill("other", text=row) == f"<p>{row}</p>"
    with pytest.raises(KeyError, match="text"):
        fragments.fill("other", name="x")
    with pytest.raises(KeyError, match="third"):
        fragments.fill("third")


@pytest.mark.parametrize(
    ("package", "name"), [("keras_i3d.evaluation", "report.html"), ("keras_i3d.inference", "classification.html")]
)
def test_the_files_of_the_package_load_nothing(package, name):
    text = markup.read(package, name)
    assert text.count("<!-- fragment: ") == len(Fragments(package, name)._fragments)
    for part in ("http:", "https:", "<script", "<link", "@import", "url(", "javascript:"):
        assert part not in text
