"""`lbtutor challenge` in the terminal: the program, with the designs to choose from."""

from __future__ import annotations

from lbtutor.tui.program import Program
from lbtutor.tui.screens.challenge import DesignsScreen

_FAULT = 4
"""The exit code when the program itself broke: a fault of the tool."""


class ChallengeApp(Program):
    """The challenge on the whole terminal."""

    def first_screen(self) -> DesignsScreen:
        return DesignsScreen(self.glyphs, calm=self.calm)

    @property
    def as_text(self) -> str:
        return "lbtutor challenge run chapter"


def run() -> int:
    """Open the challenge; answers the exit code."""
    app = ChallengeApp()
    app.run()
    return _FAULT if app.return_code else 0
