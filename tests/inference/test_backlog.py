"""The queue between reading and the networks: it drops or waits, and ends."""

import threading

import pytest

from keras_i3d.inference.backlog import Backlog, Block


def block(number):
    return Block([number] * 8, 1, 8 * number, 0.32 * number)


def test_it_drops_the_oldest():
    backlog = Backlog(3)
    for number in range(10):
        backlog.put(block(number), lambda: True)
    assert backlog.dropped == 7
    taken = backlog.take()
    assert [each.place for each in taken] == [56, 64, 72]
    assert all(b.follows(a) for a, b in zip(taken, taken[1:]))
    assert not taken[0].follows(block(5))
    assert not Block([1], 2, 80, 3.2).follows(taken[-1])  # of another stretch


def test_it_waits_until_there_is_room():
    backlog, put = Backlog(2), []

    def fill():
        for number in range(6):
            backlog.put(block(number), lambda: False)
            put.append(number)
            assert len(put) - len(taken) <= 3  # one was taken, and not yet counted here
        backlog.end()

    taken, thread = [], threading.Thread(target=fill)
    thread.start()
    while some := backlog.take():
        taken += some
    thread.join()
    assert [each.place for each in taken] == [0, 8, 16, 24, 32, 40]
    assert backlog.dropped == 0


def test_what_comes_faster_than_it_lasts_waits_before_it_is_dropped():
    backlog, asked = Backlog(1), []
    backlog.put(block(0), lambda: True)
    backlog.put(block(1), lambda: asked.append(1) or len(asked) > 2)
    assert (len(asked), backlog.dropped) == (3, 1)


def test_an_error_comes_after_what_was_read():
    backlog = Backlog(2)
    backlog.put(block(0), lambda: False)
    backlog.end(OSError("broke"))
    assert len(backlog.take()) == 1
    with pytest.raises(OSError, match="broke"):
        backlog.take()


def test_a_stopped_one_waits_for_no_room():
    backlog = Backlog(1)
    backlog.put(block(0), lambda: False)
    backlog.stop()
    backlog.put(block(1), lambda: False)
    backlog.end()
    assert [each.place for each in backlog.take()] == [0]
    assert backlog.take() == []
