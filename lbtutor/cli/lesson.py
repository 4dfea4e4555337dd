"""`lbtutor` and `lbtutor lesson`: the TUI, or the same lesson as text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.screens import Screens, is_terminal
from lbtutor.cli.text import is_ascii_only, note, say
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Arrived, Event, Probed, ProbeSent

if TYPE_CHECKING:
    from lbtutor.course.lesson import Question
    from lbtutor.labs.run import Shell
    from lbtutor.trace.narrate import Narrator

FIRST_LESSON = "round-robin"


def resume(context: typer.Context) -> None:
    """Go on where the learner was; the first lesson when there is no past."""
    _open(context, None)


def lesson(
    context: typer.Context,
    id_: Annotated[str | None, typer.Argument(metavar="ID", help="Which one; without it, where you were.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="The same lesson as text: screen readers, SSH, logs.")] = False,
    sim: Annotated[bool, typer.Option("--sim", help="With --plain: scenes on the simulator, without waiting.")] = False,
) -> None:
    """Open a lesson on a live stage, or tell it as text.

    With --plain, questions are asked on the terminal; without one, the lesson is told to its end by itself.
    """
    if plain:
        raise typer.Exit(_tell(id_, "sim" if sim else "live"))
    if sim:
        raise typer.BadParameter("--sim goes with --plain; in the TUI the traffic is real")
    _open(context, id_)


def _open(context: typer.Context, lesson_id: str | None) -> None:
    if not is_terminal():
        raise ConfigError(f"a lesson needs a terminal; try: lbtutor lesson {lesson_id or FIRST_LESSON} --plain")
    screens: Screens = context.obj
    raise typer.Exit(screens.lesson(lesson_id))


def _tell(lesson_id: str | None, on: Shell) -> Exit:
    """Tell the lesson on stdout, asking on the terminal when there is one."""
    from lbtutor.course.catalog import load_lesson
    from lbtutor.course.plain import tell, tell_due
    from lbtutor.course.progress import Progress
    from lbtutor.course.session import LessonSession
    from lbtutor.labs.run import played
    from lbtutor.trace.narrate import Narrator

    progress = Progress.load()
    for notice in progress.notices:
        note(f"lbtutor: {notice}")
    where = progress.resume
    name = lesson_id or (where[0] if where is not None else FIRST_LESSON)
    session = LessonSession(load_lesson(name), progress)
    if not sys.stdin.isatty():
        session.go(0)  # nobody steers, so the whole story is wanted
    narrator = Narrator(ascii=is_ascii_only())
    for line in tell_due(progress, datetime.now(UTC), ask=_ask) if sys.stdin.isatty() else ():
        say(line)
    for line in tell(session, play=lambda plan: played(plan, on), say=_without_routine(narrator), ask=_ask):
        say(line)
    return Exit.PASSED


def _without_routine(narrator: Narrator) -> Callable[[Event], str | None]:
    """The narrator, silent about what only confirms: arrivals (the pick follows at once) and probes with no news."""

    def tell(event: Event) -> str | None:
        sentence = narrator.say(event)
        match event:
            case Arrived() | ProbeSent() | Probed(count=0):
                return None
            case _:
                return sentence

    return tell


def _ask(question: Question) -> str | None:
    """What the person types, or None when nobody is there to ask."""
    if not sys.stdin.isatty():
        return None
    letters = "/".join(choice.key for choice in question.choices)
    try:
        return input(f"Your answer ({letters}): ")
    except EOFError:
        return None
