"""Where lessons and labs lie: inside an installed package, or beside it in a checkout."""

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
    return [
        folder
        for root in _roots()
        if root.is_dir()
        for folder in sorted(root.iterdir())
        if (folder / "lesson.md").is_file()
    ]


def lab_folders() -> list[Path]:
    """Every folder of scenarios that belong to no lesson."""
    return [labs for root in _roots() if (labs := root / "labs").is_dir()]


def _roots() -> list[Path]:
    own = os.environ.get("LBTUTOR_LESSONS")
    return [library_folder("lessons"), *([Path(own)] if own else [])]
