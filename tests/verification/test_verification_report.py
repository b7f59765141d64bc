"""A report names no place of the user's, and breaks no table."""

import pytest

from keras_i3d.verification import Check, Verification
from keras_i3d.verification.verification_report import clean


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("see /home/anna/x y/file.npy now", "see .../x y/file.npy now"),
        ("'/data/anna/set/test-*' is", "'.../test-*' is"),
        ("https://raw.host/a/b.npy", "https://raw.host/a/b.npy"),
        ("within 1/3 or rgb/flow, a/b", "within 1/3 or rgb/flow, a/b"),
        ("/srv/mirror/data/x.npy", "$KERAS_I3D_MIRROR/data/x.npy"),
        ("/home/ben/.keras/keras_i3d/x", "$KERAS_HOME/keras_i3d/x"),
        ("/home/ben/clips/x.mp4", "$HOME/clips/x.mp4"),
        ("in /home/ben.", "in $HOME."),
        ("/home/benny/x.mp4", ".../x.mp4"),
        (r"C:\Users\anna\x.npy", ".../x.npy"),
    ],
)
def test_paths_are_left_out(text, wanted, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ben")
    monkeypatch.setenv("KERAS_HOME", "/home/ben/.keras")
    monkeypatch.setenv("KERAS_I3D_MIRROR", "/srv/mirror")
    assert clean(text) == wanted
    assert clean({"a": [text], "b": 3}) == {"a": [wanted], "b": 3}


def test_a_mirror_with_a_password_is_not_told(monkeypatch):
    monkeypatch.setenv("KERAS_I3D_MIRROR", "http://anna:secret@inside.example/x/")
    for text in ("Cannot fetch http://inside.example/x/data/y", "Cannot fetch http://***@inside.example/x/data/y"):
        assert clean(text) == "Cannot fetch $KERAS_I3D_MIRROR/data/y"


def test_cells_of_the_table_are_text():
    check = Check("a.b", ("x|y", "<b>"), "source", "how\nit is")
    found = Verification((check.judged(("x|y", "c")), check.skipped("why")), {"Python": "3"}, {}, seconds=61.0)
    text = found.markdown()
    assert "| a.b | deviation | x\\|y, c | x\\|y, &lt;b> |  |  |" in text
    assert "| a.b | how it is | source |  |" in text
    assert "2 checks: 0 as expected, 1 deviating, 1 skipped" in text
