"""What stands between a thread that reads frames and the networks that may be slower: a queue of bounded length."""

import collections
import dataclasses
import threading

TURN = 0.1  # seconds after which a wait looks whether it is still wanted: a signal handler may not notify


@dataclasses.dataclass(frozen=True)
class Block:
    """Frames that follow each other, uint8 (H, W, 3) each.

    Attributes:
        images: as many as a step has, but for the last ones of a stretch.
        stretch: number of the stretch that they are of.
        place: of the first one in its stretch.
        time: of the first one, in seconds after the first one of the source.
    """

    images: list
    stretch: int
    place: int
    time: float

    def follows(self, other):
        """Whether no frame is missing between another Block and this one."""
        return other.stretch == self.stretch and other.place + len(other.images) == self.place


class Backlog:
    """Blocks on their way from a thread that reads to one that takes, at most `capacity` of them.

    If it is full, the reading thread waits, or drops the oldest Block where the video does not wait: what is left is
    then the newest part of the video.

    Attributes:
        newest: seconds of the newest frame that was read.
        dropped: how many Blocks were dropped.
        stopped: whether reading is to end.
    """

    def __init__(self, capacity):
        self.capacity = capacity
        self.newest, self.dropped, self.stopped = 0.0, 0, False
        self._blocks = collections.deque()
        self._ended, self._error = False, None
        self._changed = threading.Condition()

    def put(self, block, late):
        """Adds a Block. If it is full, waits until one is taken or reading is to end, or drops the oldest one.

        Args:
            block: the Block.
            late: a function that says whether the video does not wait, so that the oldest one is to be dropped.
        """
        with self._changed:
            while len(self._blocks) >= self.capacity:
                if late():
                    self._blocks.popleft()
                    self.dropped += 1
                elif self.stopped:
                    return
                else:
                    self._changed.wait(TURN)
            self._blocks.append(block)
            self._changed.notify_all()

    def end(self, error=None):
        """Says that nothing more will come, and the exception that is to be raised when all is taken."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def take(self):
        """Waits for Blocks; returns all that are there, oldest first, or [] when no more will come.

        Raises:
            Exception: the one that ended the reading, once nothing is left.
        """
        with self._changed:
            while not self._blocks and not self._ended:
                self._changed.wait(TURN)
            taken = [*self._blocks]
            self._blocks.clear()
            self._changed.notify_all()
            if not taken and self._error is not None:
                raise self._error
            return taken

    def stop(self):
        """Ends the reading; what was read is still taken. It waits for nothing: a signal handler may call it."""
        self.stopped = True
