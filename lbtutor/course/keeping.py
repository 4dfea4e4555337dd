"""Keeping a small file: it is replaced whole or not at all, and by one lbtutor at a time."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def replace_whole(path: Path, text: str) -> None:
    """Put `text` in the place of the file; whoever reads it finds the old text or the new, never a part.

    Raises `OSError`, and leaves the old one, when that cannot be done.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock at `path`, so that no other lbtutor reads what is about to be replaced. Not on Windows."""
    with open(path, "w", encoding="utf-8") as lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
