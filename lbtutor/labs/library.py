"""Where the lessons lie: inside an installed package, or beside it in a checkout."""

from __future__ import annotations

import os
from pathlib import Path

import lbtutor

_PACKAGE = Path(lbtutor.__file__).parent


def library_folder(name: str) -> Path:
    """The folder `lessons` or `exercises` that ships with this copy of lbtutor."""
    shipped = _PACKAGE / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def lesson_folders() -> list[Path]:
    """Every lesson's folder in the order of their numbers; `LBTUTOR_LESSONS` adds an author's own."""
    roots = [library_folder("lessons")]
    if own := os.environ.get("LBTUTOR_LESSONS"):
        roots.append(Path(own))
    return [
        folder
        for root in roots
        if root.is_dir()
        for folder in sorted(root.iterdir())
        if (folder / "lesson.md").is_file()
    ]
