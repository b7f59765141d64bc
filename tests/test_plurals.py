"""One is one, and nothing is several."""

from keras_i3d.plurals import counted


def test_counted():
    assert [counted(n, "damaged packet") for n in (0, 1, 2)] == [
        "0 damaged packets",
        "1 damaged packet",
        "2 damaged packets",
    ]
    assert [counted(n, "class", "classes") for n in (1, 1200)] == ["1 class", "1,200 classes"]
