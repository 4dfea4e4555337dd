"""`lbtutor`: the program in the terminal. It finds the lesson and shows it.

What is heavy (sockets, HTTP, the other screens) is imported when it is first wanted: a learner should see the lesson
at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from lbtutor.core import ConfigError
from lbtutor.course.catalog import lessons, load_lesson
from lbtutor.course.lesson import Lesson
from lbtutor.course.progress import Progress
from lbtutor.course.review import Returning, returning
from lbtutor.course.session import LessonSession
from lbtutor.tui.program import Program
from lbtutor.tui.screens.lesson import LessonScreen

_FAULT = 4
"""The exit code when the program itself broke: a fault of the tool."""


class LbtutorApp(Program):
    """The program, with one lesson open. `step` is where to go in it; without it, where the learner was."""

    def __init__(self, lesson: Lesson, progress: Progress, *, step: str | None = None) -> None:
        super().__init__()
        self.progress = progress
        self._lesson = lesson
        self._step = step

    def first_screen(self) -> LessonScreen:
        return self._screen_for(self._lesson, self._step, returning(self.progress, datetime.now(UTC)))

    @property
    def as_text(self) -> str:
        return f"lbtutor lesson {self._lesson.id} --plain"

    async def open_lesson(self, name: str) -> None:
        """Show another lesson in place of the one that is open."""
        try:
            lesson = load_lesson(name)
        except ConfigError as error:
            self.notify(str(error), severity="error", timeout=20, markup=False)
            return
        self._lesson = lesson
        await self.switch_screen(self._screen_for(lesson, None, ()))

    def _screen_for(self, lesson: Lesson, step: str | None, asked_first: Sequence[Returning]) -> LessonScreen:
        session = LessonSession(lesson, self.progress)
        if step is not None:
            session.go([each.id for each in lesson.steps].index(step))
        return LessonScreen(session, self.glyphs, calm=self.calm, returning=asked_first)


def run(lesson: str | None = None, *, step: str | None = None) -> int:
    """Open a lesson by its id, or the one where the learner was, or the first. Answers the exit code.

    Raises `ConfigError` when there is no such lesson or step, or when its files cannot be used.
    """
    progress = Progress.load()
    opened = load_lesson(lesson or _where_they_were(progress))
    if step is not None and step not in (each.id for each in opened.steps):
        known = ", ".join(each.id for each in opened.steps)
        raise ConfigError(f"lesson {opened.id} has no step `{step}`; its steps are {known}")
    app = LbtutorApp(opened, progress, step=step)
    app.run()
    for notice in progress.notices:
        print(notice, file=sys.stderr)
    return _FAULT if app.return_code else 0


def _where_they_were(progress: Progress) -> str:
    known = [entry.id for entry in lessons()]
    if not known:
        raise ConfigError("there are no lessons in this installation; reinstall lbtutor, or set LBTUTOR_LESSONS")
    return progress.resume[0] if progress.resume is not None and progress.resume[0] in known else known[0]
