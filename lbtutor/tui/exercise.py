"""`lbtutor exercise open` in the terminal: the program, with the exercises to choose from."""

from __future__ import annotations

import sys

from lbtutor.course.exercises.manifest import Exercise, exercises
from lbtutor.course.exercises.record import ExerciseRecord
from lbtutor.course.exercises.workspace import find
from lbtutor.course.progress import Progress
from lbtutor.tui.program import Program
from lbtutor.tui.screens.exercises import ExercisesScreen

_FAULT = 4
"""The exit code when the program itself broke: a fault of the tool."""


class ExerciseApp(Program):
    """The exercises on the whole terminal; `first` is opened at once."""

    def __init__(self, record: ExerciseRecord, first: Exercise | None = None) -> None:
        super().__init__()
        self._record = record
        self._first = first

    def first_screen(self) -> ExercisesScreen:
        return ExercisesScreen(self._record, self.glyphs, first=self._first, calm=self.calm)

    @property
    def as_text(self) -> str:
        return "lbtutor exercise watch"


def run(which: str | None = None) -> int:
    """Open the exercises, or one of them; answers the exit code. Raises `ConfigError` for one that there is not."""
    progress = Progress.load()
    app = ExerciseApp(ExerciseRecord(progress), find(which, exercises()) if which else None)
    app.run()
    for notice in progress.notices:
        print(notice, file=sys.stderr)
    return _FAULT if app.return_code else 0
