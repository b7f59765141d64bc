"""How far a video is, and how long each stage of its way took: decoding, flow, networks, some at the same time."""

import contextlib
import threading
import time


class Work:
    """How far a video is, over all of its stages together.

    Args:
        bar: a Bar to count on.
        costs: {stage: what it takes of the whole, in any unit}.
    """

    def __init__(self, bar, costs):
        self.bar, self.costs, self.shares = bar, costs, dict.fromkeys(costs, 0.0)
        self.lock = threading.Lock()  # stages run in several threads
        bar.expect(sum(costs.values()))

    def reach(self, stage, share):
        """Says that `share` of a stage is done, in [0, 1]."""
        with self.lock:
            self.bar.update((share - self.shares[stage]) * self.costs[stage])
            self.shares[stage] = share

    def over(self, stage, items, total):
        """Passes on the items of a stage, `total` in number."""
        for number, item in enumerate(items, 1):
            yield item
            self.reach(stage, min(number / total, 1))


def timed(iterator, clock, stage, inner=None):
    """Passes items on, adding the seconds that they took to `clock[stage]`, less those that `inner` took of them."""
    with contextlib.closing(iterator):
        while True:
            began, before = time.perf_counter(), clock[inner]
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                clock[stage] += time.perf_counter() - began - (clock[inner] - before)
            yield item
