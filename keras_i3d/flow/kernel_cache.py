"""How the kernels of the TV-L1 engine are compiled, and kept on disk for the next process.

Importing this module imports Numba.
"""

import contextlib
import functools
import hashlib
import pathlib

import numba
from numba.core import caching, types
from numba.extending import intrinsic

from keras_i3d.errors import notice

# Contraction and reordering of sums only: zeros, infinities and NaN keep their meaning.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


def kernel(function):
    """Compiles at the first call and keeps the result on disk if any cache folder can be written."""
    compiled = numba.njit(**_OPTIONS)(function)
    with contextlib.suppress(RuntimeError):  # Numba found no folder to write to
        compiled._cache = _Cache(function)  # what cache=True would set, but for the failures below
    return compiled


def inlined(function):
    """Compiles into every kernel that calls it."""
    return numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


@intrinsic
def wide(typing):
    """Lets LLVM use the widest vectors of the processor for the loops of the kernel that calls it."""

    def generate(context, builder, signature, args):
        # llvmlite's own `add` knows only attributes without a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


class _Cache(caching.FunctionCache):
    """Numba's files of compiled kernels: a damaged one is made anew, and a line says if none can be written."""

    def _index_key(self, sig, codegen):
        return *super()._index_key(sig, codegen), _sources()

    def load_overload(self, signature, target_context):
        try:
            return super().load_overload(signature, target_context)
        except Exception:  # whatever a file cut short or overwritten makes of unpickling
            with contextlib.suppress(OSError):  # then saving fails as well, and says so
                self.flush()
            return None

    def save_overload(self, signature, data):
        try:
            super().save_overload(signature, data)
        except OSError as error:
            _not_kept(error.strerror)


@functools.cache
def _sources():
    """A hash of all files that kernels are made of: Numba itself looks at the file of each kernel alone."""
    folder = pathlib.Path(__file__).parent
    texts = [
        (folder / f"{name}.py").read_bytes()
        for name in ("kernel_cache", "lanes", "kernels", "sweeps", "coarse_to_fine")
    ]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


@functools.cache
def _not_kept(reason):
    notice(f"the compiled TV-L1 kernels could not be kept ({reason}); set NUMBA_CACHE_DIR to a folder with some room")
