"""The lessons: what there is, how long each takes, and where the learner is."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lbtutor.course.catalog import Entry, lessons
from lbtutor.course.progress import Progress


class HomeScreen(Screen[None]):
    """A list; Enter opens a lesson, Escape goes back to the one that is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,h,q", "dismiss", "back to the lesson", show=False, id="home.back"),
        Binding("x", "exercises", "the exercises", show=False, id="home.exercises"),
        Binding("j", "cursor('down')", "down", show=False, id="home.down"),
        Binding("k", "cursor('up')", "up", show=False, id="home.up"),
    ]

    def __init__(self, progress: Progress, open_lesson: str) -> None:
        super().__init__()
        self._progress = progress
        self._open = open_lesson

    def compose(self) -> ComposeResult:
        yield Static(" lbtutor  Lessons", id="home-head")
        entries = lessons()
        options = OptionList(*(Option(self._line(entry), id=entry.id) for entry in entries), id="lessons", markup=False)
        options.border_title = "Lessons"
        yield options
        yield Static(" Enter opens a lesson, x lists the exercises, Escape goes back", id="home-keys")

    def on_mount(self) -> None:
        options = self.query_one("#lessons", OptionList)
        ids = [option.id for option in options.options]
        options.highlighted = ids.index(self._open) if self._open in ids else None
        options.focus()

    def _line(self, entry: Entry) -> Content:
        return Content.assemble(
            (f"{entry.number}. {entry.title}", "bold"),
            (f"   {entry.minutes} min   {self._state(entry.id)}\n", "$foreground 60%"),
            f"   {entry.summary}",
        )

    def _state(self, lesson: str) -> str:
        if self._progress.finished(lesson):
            return "done"
        done = len(self._progress.done(lesson))
        where = f"{done} step{'' if done == 1 else 's'} done" if done else "new"
        return f"{where}, open now" if lesson == self._open else where

    def action_cursor(self, way: str) -> None:
        options = self.query_one("#lessons", OptionList)
        (options.action_cursor_down if way == "down" else options.action_cursor_up)()

    def action_exercises(self) -> None:
        from lbtutor.course.exercises.record import ExerciseRecord
        from lbtutor.tui.app import LbtutorApp
        from lbtutor.tui.screens.exercises import ExercisesScreen

        assert isinstance(self.app, LbtutorApp)
        screen = ExercisesScreen(ExerciseRecord(self._progress), self.app.glyphs, calm=self.app.calm)
        self.app.push_screen(screen)

    async def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        from lbtutor.tui.app import LbtutorApp

        assert isinstance(self.app, LbtutorApp)
        assert message.option_id is not None
        self.dismiss()
        if message.option_id != self._open:
            await self.app.open_lesson(message.option_id)
