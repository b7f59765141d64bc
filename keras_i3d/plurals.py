"""A number and what is counted, in words: one of it, or several."""


def counted(number, noun, plural=None):
    """Returns "1 video", "2 videos", "1,200 videos".

    Args:
        number: int, how many there are.
        noun: what one of them is called, with an adjective if it has one, as "damaged packet".
        plural: what several are called; by default the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
