"""A result as one JSON document: printed, or kept in a file, which then holds all of it or is not there."""

from __future__ import annotations

import os
from pathlib import Path

from lbtutor.cli.text import say
from lbtutor.core.errors import EnvironmentFault


def say_json(document: object) -> None:
    """Print it."""
    say(_written(document))


def keep_json(path: Path | None, document: object) -> None:
    """Put it in the place of the file, whole; without a path, nowhere. Raises `EnvironmentFault`."""
    if path is not None:
        keep_text(path, _written(document) + "\n")


def keep_text(path: Path | None, text: str) -> None:
    """The same for text as it is."""
    from lbtutor.course.keeping import replace_whole

    if path is None:
        return
    try:
        replace_whole(path, text)
    except OSError as error:
        raise _fault(path, error.strerror) from None


def check_keepable(path: Path | None) -> None:
    """Raises `EnvironmentFault` for a file that cannot be written: better now than after the work."""
    if path is None:
        return
    if path.is_dir():
        raise _fault(path, "it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise _fault(path, "its folder is not there, or may not be written to")


def _written(document: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _fault(path: Path, because: str | None) -> EnvironmentFault:
    return EnvironmentFault(f"{path} cannot be written: {because}")
