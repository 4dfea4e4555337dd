"""`ExercisesScreen`: all exercises in their order, and how far the learner is."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lbtutor.core.errors import LbtutorError
from lbtutor.course.exercises.manifest import Exercise, exercises
from lbtutor.course.exercises.record import ExerciseRecord
from lbtutor.course.exercises.workspace import DEFAULT, Workspace
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar, apart
from lbtutor.tui.screens.challenge_frame import Framed
from lbtutor.tui.screens.exercise import ExerciseScreen
from lbtutor.tui.screens.exercise_keys import EXERCISES, HELP_ON_EXERCISES

_DIM = "$foreground 60%"


class ExercisesScreen(Framed[None]):
    """A list; Enter begins an exercise, or goes on with it. `first` is opened at once."""

    KEYS = EXERCISES
    PAGE = HELP_ON_EXERCISES
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EXERCISES)]

    def __init__(
        self, record: ExerciseRecord, glyphs: Glyphs, *, first: Exercise | None = None, calm: bool = False
    ) -> None:
        super().__init__(glyphs)
        self._record = record
        self._first = first
        self._calm = calm

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        yield OptionList(id="exercises", markup=False)
        by_id = {row.id: row for row in rows(EXERCISES)}
        yield KeyBar([by_id[name] for name in ("exercise.open", "app.help", "app.back")], id="keys")

    def on_mount(self) -> None:
        self.query_one(KeyBar).show_keys({}, {})
        self._fill(self._first or self._record.next_of(exercises()))
        if self._first is not None:
            self._open(self._first)

    def on_screen_resume(self) -> None:
        if self.query_one("#exercises", OptionList).option_count:
            self._fill(self.selected)

    def _fill(self, select: Exercise | None) -> None:
        options = self.query_one("#exercises", OptionList)
        options.clear_options()
        options.add_options([Option(self._line(number, one)) for number, one in enumerate(exercises(), 1)])
        options.highlighted = exercises().index(select) if select is not None else 0
        options.focus()
        passed = sum(self._record.has_passed(one) for one in exercises())
        self.query_one("#head", Bar).show(partial(_head, f"{passed} of {len(exercises())} passed"))

    def _line(self, number: int, one: Exercise) -> Content:
        state = self._record.state(one)
        signs = {"passed": ("up", "$success"), "failed": ("failed", "$error"), "begun": ("pointer", "$primary")}
        sign, colour = signs.get(state, ("unchecked", _DIM))
        return Content.assemble(
            (f"{getattr(self._glyphs, sign)} {state:<6} ", f"bold {colour}"),
            (f"{number:>2}. {one.title}", "bold"),
            (f"   {one.kind}, level {one.level}", _DIM),
        )

    @property
    def selected(self) -> Exercise | None:
        """The exercise under the cursor."""
        index = self.query_one("#exercises", OptionList).highlighted
        return None if index is None else exercises()[index]

    def on_option_list_option_selected(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        if self.selected is not None:
            self._open(self.selected)

    def _open(self, chosen: Exercise) -> None:
        last = self._record.folder
        workspace = Workspace(last if last is not None and last.is_dir() else Path(DEFAULT))
        try:
            workspace.start(chosen)
        except LbtutorError as error:
            self.notify(str(error), severity="error", timeout=20, markup=False)
            return
        self._record.record_start(chosen, workspace.folder, datetime.now(UTC))
        self.app.push_screen(ExerciseScreen(chosen, workspace, self._record, self._glyphs, calm=self._calm))

    def action_cursor(self, way: str) -> None:
        options = self.query_one("#exercises", OptionList)
        (options.action_cursor_down if way == "down" else options.action_cursor_up)()

    def action_back(self) -> None:
        if len(self.app.screen_stack) > 2:  # below it is a lesson, and below that Textual's own
            self.dismiss(None)
        else:
            self.app.exit()


def _head(state: str, width: int) -> Content:
    left = Content.assemble((" lbtutor ", "bold $primary"), " Exercises")
    return apart(left, Content.styled(f"{state} ", "bold"), width)
