"""`lbtutor author`: for those who write exercises and lessons."""

from __future__ import annotations

from typing import Annotated

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.text import say

author = typer.Typer(name="author", help="For those who write exercises and lessons.", rich_markup_mode=None)


@author.callback()
def begin() -> None:
    """For those who write exercises and lessons."""


@author.command()
def check(
    which: Annotated[str | None, typer.Argument(metavar="[ID]", help="One exercise; without it, all there is.")] = None,
    seed: Annotated[int | None, typer.Option(help="Judge with this seed (default: drawn anew each time).")] = None,
) -> None:
    """Does every exercise fail as given, for the reason it names, and does its solution pass? Do the lessons load?

    One line each. Exit codes: 0 all is well, 1 something is amiss.
    """
    from lbtutor.course.authoring import amiss_with, everything
    from lbtutor.course.exercises.manifest import exercise

    if which is None:
        sound = everything(_tell, seed=seed)
    else:
        faults = amiss_with(exercise(which), seed=seed)
        _tell(f"exercise {which}", faults)
        sound = not faults
    raise typer.Exit(Exit.PASSED if sound else Exit.FAILED)


def _tell(name: str, faults: list[str]) -> None:
    say(f"✕ {name}: {'; '.join(faults)}" if faults else f"✓ {name}")
