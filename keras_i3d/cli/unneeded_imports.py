"""What Keras and TensorFlow import only because it is installed, and no command uses: a third of their own time.

It counts as not installed while they are imported, and is there again afterwards, for whoever asks for it by name.
"""

import contextlib
import functools
import os
import pathlib
import sys
import threading

from keras_i3d import on_first_use

# Keras wraps the first one's models and draws by the second; TensorFlow's converter to LiteRT reads functions of JAX,
# and a callback of Keras saves its arrays.
UNNEEDED = {"keras": ("sklearn", "matplotlib", "jax"), "tensorflow": ("jax",)}

_installed = False


def install():
    """Leaves them out of the imports of Keras and of TensorFlow that are still to come, in this process."""
    global _installed
    if not _installed:
        _installed = True
        for importer, names in UNNEEDED.items():
            kept = {"jax"} if importer == "keras" and _may_need_jax() else set()
            on_first_use.around_import([importer], functools.partial(without, {*names} - kept))


def _may_need_jax():
    """Whether Keras is told to run on JAX, or on NumPy, which imports JAX too, by the environment or by its file."""
    told = os.environ.get("KERAS_BACKEND")
    if told is None:
        file = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras") / "keras.json"
        with contextlib.suppress(OSError, RuntimeError):
            told = file.read_text(encoding="utf-8", errors="replace")
    return any(name in (told or "") for name in ("jax", "numpy"))


@contextlib.contextmanager
def without(names):
    """Makes imports of packages fail in this thread, but for those that were imported before.

    Args:
        names: of top-level packages.
    """
    finder = _Absent(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Absent:
    """A finder of what is not to be found."""

    def __init__(self, names):
        self.names, self.thread = frozenset(names), threading.get_ident()

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"No module named {name!r} here: its importer does not need it", name=name)
