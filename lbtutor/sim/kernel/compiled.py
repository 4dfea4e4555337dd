"""`compiled`: the decorator of the kernel's inner functions. With numba they are machine code, without it plain Python.

So there is one source, and it keeps to what both understand: numbers, and flat arrays that are read and written by
index. With numba the arrays are numpy's; without it they are lists, which plain Python indexes fastest.

What numba compiled is kept in the user's cache folder, in a subfolder named for the source text and the version of
numba: numba itself looks only at the file of a function, and not at those of the functions that it calls.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
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
    _settle()
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
    return not AVAILABLE or bool(list(_cache().glob("*/*.advance-*.nbi")))


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


def tidy(folder: Path) -> None:
    """Remove the machine code of versions that were last used more than a day before the newest, save for three.

    Only what was made here is touched: in folders that are named as ours are, the files that numba writes. A folder
    that holds anything else stays, and so does that.
    """
    ours = [one for one in folder.iterdir() if _OURS.fullmatch(one.name) and one.is_dir() and not one.is_symlink()]
    newest, *others = sorted(ours, key=_last_used, reverse=True) or [folder]
    for old in others[_KEPT - 1 :]:
        if _last_used(newest) - _last_used(old) > _A_DAY:
            _remove(old)


_OURS, _MADE = re.compile(r"[0-9a-f]{16}"), re.compile(r"\.nb[ic](\.tmp\.[0-9a-f]+)?$")
"""What our folders are called, and how the files end that numba writes into them."""

_KEPT, _A_DAY = 3, 86_400.0
"""Who goes back and forth between a few versions need not wait for each of them again."""


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime


def _remove(folder: Path) -> None:
    inside = sorted((one for one in folder.rglob("*") if not one.is_symlink()), reverse=True)
    for one in inside:
        with suppress(OSError):  # somebody keeps something there
            if one.is_dir():
                one.rmdir()
            elif _MADE.search(one.name):
                one.unlink()
    with suppress(OSError):
        folder.rmdir()


def _settle() -> None:
    """Once a process: mark our folder as used, and when it is a new one, tidy up what older versions left."""
    global _settled
    if _settled:
        return
    _settled = True
    with suppress(OSError):  # nowhere to keep anything, so nothing to tidy up
        is_new = not _cache().exists()
        _cache().mkdir(parents=True, exist_ok=True)
        os.utime(_cache())
        if is_new:
            tidy(_cache().parent)


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
_settled = False
