"""What is shown where nothing fits: one sentence, until the terminal is larger."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static

LEAST_WIDTH, LEAST_HEIGHT = 60, 16


def too_small(width: int, height: int) -> bool:
    """Whether a lesson does not fit."""
    return width < LEAST_WIDTH or height < LEAST_HEIGHT


class SmallScreen(Screen[None]):
    """Says what is needed and what there is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,escape", "app.quit", "Quit", id="small.quit")]

    def __init__(self, as_text: str) -> None:
        """`as_text` is the command that tells the same as text."""
        super().__init__()
        self._as_text = as_text

    def compose(self) -> ComposeResult:
        yield Static(id="needs")

    def on_resize(self, event: Resize) -> None:
        width, height = event.size
        self.query_one("#needs", Static).update(
            f"lbtutor needs {LEAST_WIDTH}x{LEAST_HEIGHT}, you have {width}x{height}; try: {self._as_text}"
        )
