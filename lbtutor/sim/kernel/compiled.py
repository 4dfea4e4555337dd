"""`compiled`: the decorator of the kernel's inner functions. With numba they are machine code, without it plain Python.

So there is one source, and it keeps to what both understand: numbers, and flat arrays that are read and written by
index. With numba the arrays are numpy's; without it they are lists, which plain Python indexes fastest.

What numba compiled is kept in the user's cache folder, in a subfolder named for the source text and the version of
numba: numba itself looks only at the file of a function, and not at those of the functions that it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

_Module = Any  # the stubs of numba know none of the options that are used here


def _found(module: str) -> _Module:
    try:
        return import_module(module)
    except ImportError:
        return None


numba, numpy = _found("numba"), _found("numpy")
AVAILABLE = numba is not None and numpy is not None

_F = TypeVar("_F", bound=Callable[..., Any])

Array = Any
"""A flat array of numpy's, or a list."""

EXTRA = "lbtutor[fast]"
"""What to install so that the kernel is compiled."""


def compiled(function: _F) -> _F:
    """Machine code of `function`, made on its first call or found in the cache; itself where there is no numba."""
    if not AVAILABLE:
        return function
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_cache())
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # nowhere to keep it: then it is made anew in each process
        return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]
    finally:
        numba.config.CACHE_DIR = before


_OPTIONS = {"error_model": "numpy", "_nrt": False}
"""Nothing is allocated in the kernel, so nobody need count references to its arrays: that made it six times slower."""


def is_made() -> bool:
    """Is there nothing to wait for? To make the machine code takes half a minute, once for each version."""
    return not AVAILABLE or any(_cache().glob("**/*.advance-*.nbi"))


def ints(values: Iterable[int]) -> Array:
    """An array of 64-bit whole numbers."""
    return numpy.fromiter(values, numpy.int64) if AVAILABLE else list(values)


def floats(values: Iterable[float]) -> Array:
    """An array of floats."""
    return numpy.fromiter(values, numpy.float64) if AVAILABLE else list(map(float, values))


def words(values: Iterable[int]) -> Array:
    """An array of unsigned 64-bit words."""
    return numpy.fromiter(values, numpy.uint64) if AVAILABLE else list(values)


def longer(array: Array, values: Iterable[float]) -> Array:
    """A copy of `array` with these at its end."""
    if not AVAILABLE:
        return [*array, *values]
    return numpy.concatenate([array, numpy.fromiter(values, array.dtype)])


def _cache() -> Path:
    global _folder
    if _folder is None:
        from platformdirs import user_cache_dir

        digest = blake2b(numba.__version__.encode(), digest_size=8)
        for source in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        _folder = Path(user_cache_dir("lbtutor")) / "kernel" / digest.hexdigest()
    return _folder


_folder: Path | None = None
