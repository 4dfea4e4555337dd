"""`Story`: all lines of a recorded trace, the present one marked, those to come told quietly."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.message import Message
from textual.strip import Strip

from lbtutor.core.events import Judged
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.screens.log import EventList
from lbtutor.tui.screens.watched import Line


class Story(EventList):
    """The list of what happened, as a way through time."""

    class Wanted(Message):
        """Somebody wants to go to that line."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, glyphs: Glyphs, *, timed: bool, id: str | None = None) -> None:  # noqa: A002
        """`timed`: the time of each line is worth telling."""
        super().__init__(id=id)
        self._glyphs = glyphs
        self._timed = timed

    def fill(self, lines: Sequence[Line]) -> None:
        """Show these lines."""
        self._lines = list(lines)
        self._following = False
        self._resize()

    def point(self, index: int) -> None:
        """This line is the present."""
        self.cursor = index

    def watch_cursor(self) -> None:
        if self.size.area and self.chosen is not None:
            self._find_cursor()
            self.refresh()

    def _go(self, index: int) -> None:
        self.post_message(self.Wanted(min(max(index, 0), len(self._lines) - 1)))

    def render_line(self, y: int) -> Strip:
        index = y + int(self.scroll_offset.y)
        if index >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        event, says = self._lines[index]
        here = index == self.cursor
        base = self.get_component_rich_style("events--cursor") if here else self.rich_style
        mark = f"{self._glyphs.pointer if here else ' '} "
        time = f"{event.at:7.2f}  " if self._timed else ""
        style = base + self._style(index, bad=isinstance(event, Judged))
        return Strip([Segment(mark + time, base), Segment(says, style)]).adjust_cell_length(self.size.width, base)

    def _style(self, index: int, *, bad: bool) -> Style:
        if index > self.cursor:
            return self.get_component_rich_style("events--time", partial=True)
        return self.get_component_rich_style("events--bad", partial=True) if bad else Style.null()
