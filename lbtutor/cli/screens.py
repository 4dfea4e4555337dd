"""What opens the TUI, handed in from above: this floor does not know it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Screens(NamedTuple):
    """Each opens the TUI on something and answers an exit code."""

    lesson: Callable[[str | None], int]
    """A lesson by its id; None: where the learner was."""
    challenge: Callable[[], int]
    replay: Callable[[Path], int]
    """A recorded trace."""
    exercise: Callable[[str | None], int]
    """An exercise by its id; None: the list of them."""


def is_terminal() -> bool:
    """Whether somebody sits at a terminal and sees what we print."""
    return sys.stdin.isatty() and sys.stdout.isatty()
