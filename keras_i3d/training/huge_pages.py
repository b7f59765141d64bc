"""Memory in pages of 2 MB where Linux gives them to a process that asks: a step then spends less time on addresses."""

import ctypes
import mmap
import pathlib

import keras

PAGE = 1 << 21  # bytes of a huge page, of the processors that TensorFlow runs on
LEAST = 1 << 25  # bytes; below lie the stacks of threads, whose memory would grow
COLLAPSE = 25  # MADV_COLLAPSE of Linux 6.1, which has no name in Python
MODE = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
MAPS = pathlib.Path("/proc/self/maps")


def can_ask():
    """Whether the system gives huge pages to who asks: not on other systems, nor where all or nobody has them."""
    return MODE.exists() and "[madvise]" in MODE.read_text(encoding="utf-8")


def ask():
    """Asks for huge pages for the memory that this process has now, in areas of 32 MB or more.

    Linux moves what is there already if it is of version 6.1 or newer, which takes seconds, once. No value changes.

    Returns:
        The number of bytes that huge pages were asked for; 0 where `can_ask` is False.
    """
    if not can_ask():
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    asked = 0
    for begin, end in areas():
        if madvise(begin, end - begin, mmap.MADV_HUGEPAGE) == 0:
            madvise(begin, end - begin, COLLAPSE)  # parts without memory yet make it fail after it has done the rest
            asked += end - begin
    return asked


def areas():
    """The (first, last + 1) addresses of large areas of memory of this process's own, whole huge pages of them."""
    found = []
    for line in MAPS.read_text(encoding="utf-8").splitlines():
        span, rights, _, _, inode, *name = line.split()
        begin, end = (int(address, 16) for address in span.split("-"))
        begin, end = -(-begin // PAGE) * PAGE, end // PAGE * PAGE
        if rights == "rw-p" and inode == "0" and name in ([], ["[heap]"]) and end - begin >= LEAST:
            found.append((begin, end))
    return found


class HugePages(keras.callbacks.Callback):
    """Asks once, after some batches: then TensorFlow has the memory that it keeps for its steps."""

    def __init__(self, after=3):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            ask()
