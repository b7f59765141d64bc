"""Characters that a font lacks: each is told of once, in a line."""

from keras_i3d.errors import notice

SHOWN = 10  # that a line names

_told = set()  # (words, character)


def tell(characters, words):
    """Prints a line that names those of some characters of which it was not said before.

    Args:
        characters: an iterable of characters.
        words: the line, with {} in the place of the characters.
    """
    new = sorted({each for each in characters if (words, each) not in _told})
    if new:
        _told.update((words, each) for each in new)
        notice(words.format(" ".join(new[:SHOWN]) + (" ..." if len(new) > SHOWN else "")))
