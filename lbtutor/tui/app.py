"""`lbtutor`: the program in the terminal. It finds the lesson, chooses glyphs and motion, and shows the first screen.

What is heavy (sockets, HTTP, the other screens) is imported when it is first wanted: a learner should see the lesson
at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from textual.app import App
from textual.command import Provider
from textual.events import Resize
from textual.filter import LineFilter

from lbtutor.core import ConfigError
from lbtutor.course.catalog import lessons, load_lesson
from lbtutor.course.lesson import Lesson
from lbtutor.course.progress import Progress
from lbtutor.course.review import Returning, returning
from lbtutor.course.session import LessonSession
from lbtutor.tui.glyphs import detect
from lbtutor.tui.screens.lesson import LessonScreen
from lbtutor.tui.screens.plain import AsciiOnly
from lbtutor.tui.screens.small import SmallScreen, too_small
from lbtutor.tui.screens.view import NARROW
from lbtutor.tui.theme import THEMES

MOTION = "LBTUTOR_MOTION"
"""Environment variable; 0 asks for a picture without moving dots."""

WIDTHS = [(0, "-narrow"), (NARROW, "-wide"), (160, "-broad")]
HEIGHTS = [(0, "-short"), (30, "-normal"), (50, "-tall")]
"""From how many columns and rows on the screen has which style class."""

_FAULT = 4
"""The exit code when the program itself broke: a fault of the tool."""


def _commands() -> type[Provider]:
    from lbtutor.tui.screens.commands import KeyCommands

    return KeyCommands


class LbtutorApp(App[None]):
    """The program, with one lesson open. `step` is where to go in it; without it, where the learner was."""

    TITLE = "lbtutor"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = App.COMMANDS | {_commands}

    def __init__(self, lesson: Lesson, progress: Progress, *, step: str | None = None) -> None:
        super().__init__()
        self.progress = progress
        self.glyphs = detect()
        self._lesson = lesson
        self._step = step
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name

    async def on_mount(self) -> None:
        await self.push_screen(self._screen_for(self._lesson, self._step, returning(self.progress, datetime.now(UTC))))
        self._fit(*self.size)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        return [*filters, AsciiOnly()] if self.glyphs.name == "ascii" else filters

    @property
    def calm(self) -> bool:
        """Whether the learner asked for a picture without motion."""
        return os.environ.get(MOTION) == "0" or self.animation_level == "none"

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

    def on_resize(self, event: Resize) -> None:
        self._fit(*event.size)

    def _fit(self, width: int, height: int) -> None:
        """Below the least size one sentence takes the place of everything, and goes when there is room again."""
        small = too_small(width, height)
        shown = isinstance(self.screen, SmallScreen)
        if small and not shown and len(self.screen_stack) > 1:  # the first is Textual's own, before ours is there
            self.push_screen(SmallScreen(self._lesson.id))
        elif shown and not small:
            self.pop_screen()


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
