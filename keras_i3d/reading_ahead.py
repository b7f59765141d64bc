"""Work that a thread of its own does ahead of whoever needs it, in bounded memory."""

import contextlib
import queue
import threading

NAME = "keras_i3d-ahead"  # of the thread


def ahead(items, size):
    """Yields what a generator gives, which a thread of its own asks for up to `size` items ahead, but for None.

    The thread ends with this generator, also where that is closed before its end; the one that is read is closed in it.
    It can stop wherever `items` gives something, None included.
    """
    given, stopped = queue.Queue(size), threading.Event()

    def put(item):
        """Returns whether it is still wanted."""
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                given.put(item, timeout=0.1)
                return True
        return False

    def run():
        error = None
        try:
            with contextlib.closing(items):
                for item in items:
                    if stopped.is_set() or (item is not None and not put((item, None))):
                        break
        except BaseException as raised:  # whoever reads raises it
            error = raised
        put((None, error or StopIteration()))

    thread = threading.Thread(target=run, name=NAME, daemon=True)
    thread.start()
    try:
        while True:
            item, error = given.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()
