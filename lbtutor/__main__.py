"""The program: the command line, given the screens that it opens.

This is the one place that knows both; `cli` and `tui` do not know each other.
"""

from __future__ import annotations

from pathlib import Path


def main() -> None:
    """What `lbtutor` and `python -m lbtutor` run."""
    from lbtutor.cli.app import main as command_line
    from lbtutor.cli.screens import Screens

    command_line(Screens(_open_lesson, _open_challenge, _open_replay, _open_exercise))


def _open_challenge() -> int:
    from lbtutor.tui.challenge import run

    return run()


def _open_replay(trace: Path) -> int:
    from lbtutor.tui.replay import run

    return run(trace)


def _open_exercise(which: str | None) -> int:
    from lbtutor.tui.exercise import run

    return run(which)


def _open_lesson(lesson: str | None) -> int:
    from lbtutor.tui.app import run

    return run(lesson)


if __name__ == "__main__":
    main()
