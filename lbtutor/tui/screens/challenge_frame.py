"""What the challenge's screens share: the line at the top, help, and pictures of the screen."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.content import Content
from textual.screen import Screen

from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.screens.bars import apart
from lbtutor.tui.screens.challenge_keys import HELP_ON_DESIGNS, Table
from lbtutor.tui.screens.help import HelpScreen, Page

T = TypeVar("T")


class Framed(Screen[T]):
    """A screen with a table of keys (`KEYS`, which the command palette reads) and a page of help."""

    AUTO_FOCUS = ""
    KEYS: ClassVar[Table] = {}
    PAGE: ClassVar[Page] = HELP_ON_DESIGNS

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__()
        self._glyphs = glyphs

    def lay_out_again(self) -> None:
        """A bar knows its width after the first layout, and only then how many lines it takes."""
        self.call_after_refresh(self.query_one("#cue").refresh, layout=True)

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(self._glyphs, self.PAGE))

    def action_picture(self) -> None:
        name = "lbtutor-challenge.svg"
        if self.app.is_web:
            self.app.deliver_screenshot(filename=name)
            return
        try:
            self.notify(f"Saved as {self.app.save_screenshot(name, path='.')}.", markup=False)
        except OSError as error:
            self.notify(f"The picture could not be saved as {name}: {error.strerror}.", severity="error", markup=False)


class ChallengeScreen(Framed[None]):
    """One that answers nothing to whoever opened it."""


def head(title: str, state: str, width: int) -> Content:
    """The program, what is shown, and how it stands."""
    left = Content.assemble((" lbtutor ", "bold $primary"), " Challenge ", (f"/ {title}", "$foreground 60%"))
    return apart(left, Content.styled(f"{state} ", "bold"), width)
