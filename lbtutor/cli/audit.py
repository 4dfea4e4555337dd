"""`lbtutor challenge audit`: the hunt through the chapter's numbers, as text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.text import note, say

if TYPE_CHECKING:
    from lbtutor.course.lesson import Question


def audit(
    plain: Annotated[bool, typer.Option("--plain", help="Tell everything; ask nothing.")] = False,
) -> None:
    """Hunt through the numbers of the chapter's solution: predict, then a day is run, and you see.

    Each answer is recorded at once, and the next time begins with what is left. Without a terminal, or with --plain,
    everything is told by itself.
    """
    from lbtutor.course.challenge.audit import Hunt, load_audit
    from lbtutor.course.challenge.audit_told import tell_audit
    from lbtutor.course.progress import Progress

    progress = Progress.load()
    asks = not plain and sys.stdin.isatty()
    for line in tell_audit(Hunt(load_audit(), progress), ask=_ask if asks else _nobody, everything=not asks):
        say(line)
    for notice in progress.notices:
        note(f"lbtutor: {notice}")


def _nobody(_question: Question) -> None:
    return None


def _ask(question: Question) -> str | None:
    """What the person types; None when they have had enough of this question."""
    letters = "/".join(choice.key for choice in question.choices)
    try:
        return input(f"Your prediction ({letters}): ")
    except EOFError:
        return None
