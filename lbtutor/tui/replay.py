"""`lbtutor replay` and `lbtutor check --show` in the terminal: the program, with a recorded trace on the stage."""

from __future__ import annotations

from pathlib import Path

from lbtutor.core.errors import JournalError
from lbtutor.course.found import case_in
from lbtutor.trace.journal import Journal, read_journal
from lbtutor.tui.program import Program
from lbtutor.tui.screens.replay import ReplayScreen
from lbtutor.tui.screens.travel import Travel

_FAULT = 4
"""The exit code when the program itself broke: a fault of the tool."""


class ReplayApp(Program):
    """A trace on the whole terminal."""

    def __init__(self, journal: Journal, path: Path) -> None:
        super().__init__()
        self._journal = journal
        self._path = path

    def first_screen(self) -> ReplayScreen:
        case = case_in(self._journal)
        travel = Travel(self._journal, case, ascii_only=self.glyphs.name == "ascii")
        title = self._journal.header.title or self._path.name
        return ReplayScreen(travel, travel.title or title, self.glyphs, calm=self.calm)

    @property
    def as_text(self) -> str:
        return f"lbtutor replay {self._path} --plain"


def run(path: Path) -> int:
    """Open a trace; answers the exit code. Of one that was cut or damaged, what can be read is shown.

    Raises `JournalError` for a file that is no trace.
    """
    try:
        journal = read_journal(path)
    except JournalError as damage:
        if not isinstance(damage.journal, Journal):
            raise
        journal = damage.journal
    app = ReplayApp(journal, path)
    app.run()
    return _FAULT if app.return_code else 0
