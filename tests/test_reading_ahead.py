"""Work in a thread of its own: so far ahead, and no further."""

import threading
import time

import pytest

from keras_i3d.reading_ahead import NAME, ahead


def test_work_runs_ahead_and_ends_with_its_reader():
    began, closed = [], []

    def items():
        try:
            for number in range(100):
                began.append(number)
                yield number
        finally:
            closed.append(True)

    given = ahead(items(), 2)
    assert next(given) == 0
    for _ in range(100):
        if len(began) == 4:
            break
        time.sleep(0.02)
    time.sleep(0.1)
    assert len(began) == 4  # one taken, two that wait, and one that is made
    given.close()
    assert closed
    assert not [thread for thread in threading.enumerate() if thread.name == NAME]

    def failing():
        yield 1
        raise KeyError("broken")

    given = ahead(failing(), 2)
    assert next(given) == 1
    with pytest.raises(KeyError, match="broken"):
        next(given)

    def failing_at_its_end():
        try:
            yield 1
            yield 2
        finally:
            raise KeyError("not closed")

    given = ahead(failing_at_its_end(), 2)
    assert [next(given), next(given)] == [1, 2]
    with pytest.raises(KeyError, match="not closed"):
        next(given)
