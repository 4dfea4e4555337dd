"""`HourChart`: the hour so far. Full blocks are requests served, light ones those that were offered and not served.

One column stands for so many seconds of the day, from the left to where time is now; what is still to come is left
empty. Below it stands a mark under every column in which something happened.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from lbtutor.course.challenge.day import PEAK
from lbtutor.course.challenge.unfold import Day, Tone
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.screens.challenge_picture import TONES

_LOUDEST: tuple[Tone, ...] = ("broken", "trouble", "load", "change", "repair")
"""Which of several happenings in one column gets the mark."""


class HourChart(Widget):
    """The day up to a second: `show` another one, or more of it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"hour--served", "hour--missed", *(f"hour--{tone}" for tone in TONES)}
    DEFAULT_CSS = """
    HourChart {
        height: 1fr;
        border: round $panel-lighten-2;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        background: $background;
        & > .hour--served { color: $success; }
        & > .hour--missed { color: $warning; }
        & > .hour--load { color: $primary; }
        & > .hour--trouble { color: $error; }
        & > .hour--repair { color: $success; }
        & > .hour--change { color: $secondary; }
        & > .hour--broken { color: $warning; text-style: bold; }
    }
    """

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._glyphs = glyphs
        self._day: Day | None = None
        self._second = 0
        self._drawn: tuple[object, list[str]] = (None, [])
        self.border_title = f"the hour: {glyphs.full} served, {glyphs.empty} offered only"
        self.border_subtitle = "top: 1 000 000 a second"

    def show(self, day: Day | None, second: int) -> None:
        """Show the day from its beginning to that second."""
        if (day, second) != (self._day, self._second):
            self._day, self._second = day, second
            self.refresh()

    def rows(self, width: int, height: int) -> list[str]:
        """The picture as text, top row first; the last row holds the marks."""
        key = (self._day, self._second, width, height)
        if self._drawn[0] != key:  # asked for once a row, made once a second
            self._drawn = (key, self._draw(width, height))
        return self._drawn[1]

    def _draw(self, width: int, height: int) -> list[str]:
        columns = self._columns(width, max(height - 1, 0))
        rows = ["".join(column[row] for column in columns).ljust(width) for row in range(max(height - 1, 0))]
        return [*rows, "".join(self._sign(tone) for tone in self._marks(width))]

    def _columns(self, width: int, height: int) -> list[str]:
        """Each column up to now, from the top down."""
        if self._day is None:
            return []
        reached = min(width, self._second * width // self._day.seconds + 1)
        return [self._column(*self._span(number, width), height) for number in range(reached)]

    def _span(self, number: int, width: int) -> tuple[int, int]:
        assert self._day is not None
        since, until = number * self._day.seconds // width, (number + 1) * self._day.seconds // width
        return since, max(since + 1, min(until, self._second + 1))

    def _column(self, since: int, until: int, height: int) -> str:
        assert self._day is not None
        scale = height / PEAK / (until - since)
        offered = round(scale * sum(self._day.offered[since:until]))
        served = min(offered, round(scale * sum(self._day.served[since:until])))
        return " " * (height - offered) + self._glyphs.empty * (offered - served) + self._glyphs.full * served

    def _marks(self, width: int) -> list[Tone | None]:
        """For each column the loudest kind of what happened in it so far."""
        if self._day is None:
            return [None] * width
        told: list[set[Tone]] = [set() for _ in range(width)]
        edges = [number * self._day.seconds // width for number in range(1, width + 1)]
        for one in self._day.until(self._second):
            told[min(bisect_left(edges, one.second + 1), width - 1)].add(one.tone)
        return [next((tone for tone in _LOUDEST if tone in here), None) for here in told]

    def _sign(self, tone: Tone | None) -> str:
        return " " if tone is None else str(getattr(self._glyphs, TONES[tone][0]))

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if not (0 <= y < height and width):
            return Strip.blank(max(width, 0), self.rich_style)
        if y == height - 1:
            return Strip([self._marked(tone) for tone in self._marks(width)], width).simplify()
        styles = {self._glyphs.full: "hour--served", self._glyphs.empty: "hour--missed"}
        row = self.rows(width, height)[y]
        cells = [
            Segment(cell, self.get_component_rich_style(styles[cell]) if cell in styles else self.rich_style)
            for cell in row
        ]
        return Strip(cells, width).simplify()

    def _marked(self, tone: Tone | None) -> Segment:
        style = self.rich_style if tone is None else self.get_component_rich_style(f"hour--{tone}")
        return Segment(self._sign(tone), style)
