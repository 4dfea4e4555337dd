"""`lbtutor list`: what there is to do, and what is done."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from lbtutor.cli.text import say


class Kind(StrEnum):
    """What can be listed."""

    LESSONS = "lessons"
    EXERCISES = "exercises"
    LABS = "labs"


def list_(
    kind: Annotated[Kind | None, typer.Argument(help="Only these; without it, everything.")] = None,
) -> None:
    """Lessons, exercises and labs, and what is done."""
    for wanted in [kind] if kind else list(Kind):
        say(f"{wanted.value.capitalize()}")
        for line in _LISTERS[wanted]() or ["(none yet)"]:
            say(f"  {line}")


def _lessons() -> list[str]:
    from lbtutor.course.catalog import lessons
    from lbtutor.course.progress import Progress

    progress = Progress.load()

    def state(lesson: str) -> str:
        if progress.finished(lesson):
            return "✓ done"
        return "● begun" if progress.done(lesson) else "· new"

    return [f"{state(entry.id):<7} {entry.id:<16} {entry.minutes:>3} min  {entry.title}" for entry in lessons()]


def _labs() -> list[str]:
    from lbtutor.labs.scenario import load_scenario, scenario_names

    return [f"{name:<22} {load_scenario(path).title}" for name, path in scenario_names().items()]


def _exercises() -> list[str]:
    from lbtutor.cli.exercise import listed

    return listed()


_LISTERS = {Kind.LESSONS: _lessons, Kind.EXERCISES: _exercises, Kind.LABS: _labs}
