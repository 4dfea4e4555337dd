"""`Program`: what every program on the whole terminal shares, whatever it shows first.

Glyphs that the terminal can show, our themes, no motion for those who want none, and one sentence in the place of
everything while the terminal is too small.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import App
from textual.command import Provider
from textual.events import Resize
from textual.filter import LineFilter
from textual.screen import Screen

from lbtutor.tui.glyphs import detect
from lbtutor.tui.screens.plain import AsciiOnly
from lbtutor.tui.screens.small import SmallScreen, too_small
from lbtutor.tui.screens.view import NARROW
from lbtutor.tui.theme import THEMES

MOTION = "LBTUTOR_MOTION"
"""Environment variable; 0 asks for a picture without moving dots."""

WIDTHS = [(0, "-narrow"), (NARROW, "-wide"), (160, "-broad")]
HEIGHTS = [(0, "-short"), (30, "-normal"), (50, "-tall")]
"""From how many columns and rows on the screen has which style class."""


def _commands() -> type[Provider]:
    from lbtutor.tui.screens.commands import KeyCommands

    return KeyCommands


class Program(App[None]):
    """The terminal, with a first screen."""

    TITLE = "lbtutor"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = App.COMMANDS | {_commands}

    def __init__(self) -> None:
        super().__init__()
        self.glyphs = detect()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name

    @abstractmethod
    def first_screen(self) -> Screen[None]:
        """What is shown at the start."""

    @property
    @abstractmethod
    def as_text(self) -> str:
        """The command that tells the same as text, for a terminal that is too small."""

    async def on_mount(self) -> None:
        await self.push_screen(self.first_screen())
        self._fit(*self.size)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        return [*filters, AsciiOnly()] if self.glyphs.name == "ascii" else filters

    @property
    def calm(self) -> bool:
        """Whether the learner asked for a picture without motion."""
        return os.environ.get(MOTION) == "0" or self.animation_level == "none"

    def on_resize(self, event: Resize) -> None:
        self._fit(*event.size)

    def _fit(self, width: int, height: int) -> None:
        """Below the least size one sentence takes the place of everything, and goes when there is room again."""
        small = too_small(width, height)
        shown = isinstance(self.screen, SmallScreen)
        if small and not shown and len(self.screen_stack) > 1:  # the first is Textual's own, before ours is there
            self.push_screen(SmallScreen(self.as_text))
        elif shown and not small:
            self.pop_screen()
