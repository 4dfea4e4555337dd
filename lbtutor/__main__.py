"""The program: the command line, given the screen that it opens lessons on.

This is the one place that knows both; `cli` and `tui` do not know each other.
"""

from __future__ import annotations


def main() -> None:
    """What `lbtutor` and `python -m lbtutor` run."""
    from lbtutor.cli.app import main as command_line

    command_line(_open_screen)


def _open_screen(lesson: str | None) -> int:
    from lbtutor.tui.app import run

    return run(lesson)


if __name__ == "__main__":
    main()
