"""`lbtutor author`: for those who write exercises and lessons."""

from __future__ import annotations

from typing import Annotated

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.progress import progressing
from lbtutor.cli.text import note, say

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

    Is what a learner is told first about the gap, and does it name a line of the file? One line each. Exit codes:
    0 all is well, 1 something is amiss.
    """
    from lbtutor.course.authoring import amiss_with, everything
    from lbtutor.course.exercises.manifest import exercise

    if which is not None:
        found: list[tuple[str, list[str] | None]] = [(f"exercise {which}", amiss_with(exercise(which), seed=seed))]
    else:
        with progressing("checking") as tell:
            found = everything(tell or _nobody, seed=seed)
    for name, faults in found:
        if faults is not None:
            _tell(name, faults)
    if any(faults is None for _, faults in found):
        note("lbtutor: interrupted")
        raise typer.Exit(Exit.INTERRUPTED)
    raise typer.Exit(Exit.FAILED if any(faults for _, faults in found) else Exit.PASSED)


def _tell(name: str, faults: list[str]) -> None:
    say(f"✕ {name}: {'; '.join(faults)}" if faults else f"✓ {name}")


def _nobody(share: float) -> None:
    """No one watches."""
