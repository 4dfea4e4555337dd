"""The list of what happened, and beside it all that is known of the chosen line.

`EventList` draws only the lines in view (Line API), so an afternoon's trace costs no more than a minute's. It follows
the newest line until somebody moves up; End follows again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lbtutor.core.events import (
    Calmed,
    Ejected,
    Event,
    Finished,
    HealthChanged,
    OriginChanged,
    Panicked,
    Probed,
    Readmitted,
    Rejected,
    Reloaded,
    Shifted,
)
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.screens.record import RecordView
from lbtutor.tui.screens.watched import Line

KEPT_LINES = 5_000
"""So many lines are kept: a scene may run all afternoon."""

_SPARE = 500
"""Old lines are dropped so many at a time, because dropping moves all that remain."""


class EventList(ScrollView, can_focus=True):
    """Sentences, the newest last, with a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "the line above", show=False, id="events.up"),
        Binding("down,j", "move(1)", "the line below", show=False, id="events.down"),
        Binding("pageup", "page(-1)", "a page up", show=False, id="events.page_up"),
        Binding("pagedown", "page(1)", "a page down", show=False, id="events.page_down"),
        Binding("home,g", "first", "the oldest line", show=False, id="events.first"),
        Binding("end,G", "follow", "the newest line, and follow", show=False, id="events.follow"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "events--time",
        "events--good",
        "events--bad",
        "events--change",
        "events--cursor",
    }

    cursor: reactive[int] = reactive(-1, repaint=False)
    """Index of the chosen line; -1 while there is none."""

    class Chosen(Message):
        """Another line is under the cursor: moved there `by_hand`, or because it is the newest."""

        def __init__(self, line: Line, *, by_hand: bool) -> None:
            super().__init__()
            self.line = line
            self.by_hand = by_hand

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines: list[Line] = []
        self._following = True

    @property
    def lines(self) -> list[Line]:
        """What the list holds, oldest first."""
        return self._lines

    @property
    def chosen(self) -> Line | None:
        """The line under the cursor."""
        return self._lines[self.cursor] if 0 <= self.cursor < len(self._lines) else None

    def clear(self) -> None:
        """Forget everything: a new run begins."""
        self._lines.clear()
        self._following = True
        self.cursor = -1
        self._resize()

    def extend(self, lines: Iterable[Line]) -> None:
        """Append lines; the cursor stays on its line, or follows the newest."""
        self._lines.extend(lines)
        surplus = len(self._lines) - KEPT_LINES
        if surplus > _SPARE:
            del self._lines[:surplus]
            self.cursor = max(self.cursor - surplus, 0)
        self._resize()
        if self._following:
            self.cursor = len(self._lines) - 1

    def on_show(self) -> None:
        self._resize()
        self.watch_cursor()

    def _resize(self) -> None:
        """Let the scroll bar know how long the list is; that lays the screen out anew, so not while it is hidden."""
        if self.size.area:
            self.virtual_size = Size(self.size.width, len(self._lines))
            self.refresh()

    def watch_cursor(self) -> None:
        if self.size.area and self.chosen is not None:
            self._find_cursor()
            self.refresh()
            self.post_message(self.Chosen(self.chosen, by_hand=not self._following))

    def _find_cursor(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def action_move(self, by: int) -> None:
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self.cursor + by * max(self.size.height - 1, 1))

    def action_first(self) -> None:
        self._go(0)

    def action_follow(self) -> None:
        self._go(len(self._lines) - 1)

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)  # None on the border
        if offset is not None:
            self._go(offset.y + int(self.scroll_offset.y))

    def _go(self, index: int) -> None:
        last = len(self._lines) - 1
        self._following = index >= last
        self.cursor = min(max(index, 0), last)

    def render_line(self, y: int) -> Strip:
        index = y + int(self.scroll_offset.y)
        if index >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        event, says = self._lines[index]
        base = self.get_component_rich_style("events--cursor") if index == self.cursor else self.rich_style
        time = base + self.get_component_rich_style("events--time", partial=True)
        style = base + self.get_component_rich_style(f"events--{_tone(event)}", partial=True) if _tone(event) else base
        return Strip([Segment(f"{event.at:7.2f}  ", time), Segment(says, style)]).adjust_cell_length(
            self.size.width, base
        )


def _tone(event: Event) -> str:
    match event:
        case Finished(ok=False) | Rejected() | Probed(ok=False) | HealthChanged(now="down") | Ejected() | Panicked():
            return "bad"
        case HealthChanged() | Readmitted() | Calmed():
            return "good"
        case OriginChanged() | Shifted() | Reloaded():
            return "change"
        case _:
            return ""


class LogPanel(Horizontal):
    """The list, and the record of the line under its cursor."""

    def __init__(self, events: EventList, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._events = events
        self._record = RecordView(glyphs, id="record")

    def compose(self) -> ComposeResult:
        self._events.border_title = "Events"
        yield self._events
        yield self._record

    def on_event_list_chosen(self, message: EventList.Chosen) -> None:
        self._record.show(message.line.event)
