"""From what is on stage, and where it stands, to rows of styled cells and the spans of them that changed.

Signs lie below, and are written again only when they say something new. Dots lie on top, and only rows that have or
had one are put together anew.

A terminal is sent each changed span from the widget's left edge to the span's right end, so that several spans in one
row cost more than one (measured). Hence each row has at most one: from its first changed cell to its last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.widgets.stage.faces import Style
from lbtutor.tui.widgets.stage.journeys import Dot, Mark
from lbtutor.tui.widgets.stage.layout import Layout
from lbtutor.tui.widgets.stage.scene import Scene
from lbtutor.tui.widgets.stage.signs import Sign, Signs

_BACKED: frozenset[Style] = frozenset({"selected"})
"""Styles in which a blank can be seen."""

_LOOKS: tuple[tuple[Mark, Style], ...] = (
    ("reply", "reply"),
    ("request", "request"),
    ("probe_passed", "probe"),
    ("probe", "probe"),
    ("failed", "failed"),
    ("probe_failed", "probe"),
)
"""Dots and their styles, in the order in which they are laid: where two meet in a cell, the later is seen."""


class Span(NamedTuple):
    """Cells of one row, from `left` up to but not including `right`."""

    row: int
    left: int
    right: int


class Cell(NamedTuple):
    """One character and how it looks."""

    glyph: str
    style: Style


_BLANK = Cell(" ", "text")


class Picture:
    """The stage as last painted: `height` rows of exactly `width` cells."""

    def __init__(self, layout: Layout, glyphs: Glyphs) -> None:
        self.layout = layout
        self._signs = Signs(layout, glyphs)
        self._looks = {mark: tuple(Cell(glyph, style) for glyph in getattr(glyphs, mark)) for mark, style in _LOOKS}
        self._rank = {mark: rank for rank, (mark, _) in enumerate(_LOOKS)}
        self._written: dict[tuple[int, int], Sign] = {}
        self._ground = [[_BLANK] * layout.width for _ in range(layout.height)]
        for sign in self._signs.scenery():
            self._write(sign)
        self._rows = [row.copy() for row in self._ground]
        self._dotted: set[int] = set()
        self._read: tuple[int, str | None, bool] | None = None

    def paint(self, scene: Scene, *, selected: str | None = None, next_hint: bool = True) -> list[Span]:
        """Bring the picture up to date; returns what changed."""
        rewritten = self._rewrite(scene, selected, next_hint)
        dots = {} if scene.still else self._lay(scene.journeys.dots(scene.shown))
        rows, self._dotted = sorted(rewritten | self._dotted | dots.keys()), set(dots)
        spans = (self._compose(row, dots.get(row, {})) for row in rows if row < self.layout.height)
        return [span for span in spans if span is not None]

    def runs(self, row: int) -> list[tuple[str, Style]]:
        """A row as texts of one style each; blanks join the text before them where that cannot be seen."""
        runs: list[tuple[list[str], Style]] = []
        for glyph, style in self._rows[row]:
            if runs and (style == runs[-1][1] or _invisible(glyph, style, runs[-1][1])):
                runs[-1][0].append(glyph)
            else:
                runs.append(([glyph], style))
        return [("".join(glyphs), style) for glyphs, style in runs]

    def text(self) -> list[str]:
        """The rows as plain text."""
        return ["".join(cell.glyph for cell in row) for row in self._rows]

    def _rewrite(self, scene: Scene, selected: str | None, next_hint: bool) -> set[int]:
        """Write the signs that say something new; the rows they are in."""
        state = (scene.version, selected, next_hint)
        if state == self._read:
            return set()
        self._read = state
        return {sign.row for sign in self._signs.now(scene, selected, next_hint=next_hint) if self._write(sign)}

    def _write(self, sign: Sign) -> bool:
        place = (sign.row, sign.left)
        if self._written.get(place) == sign:
            return False
        self._written[place] = sign
        if sign.row < self.layout.height:
            cells = [Cell(glyph, piece.style) for piece in sign.line for glyph in piece.text]
            cells += [_BLANK] * (sign.width - len(cells))
            self._put(self._ground[sign.row], sign.left, cells[: sign.width])
        return True

    @staticmethod
    def _put(row: list[Cell], left: int, cells: Iterable[Cell]) -> None:
        for column, cell in enumerate(cells, left):
            if 0 <= column < len(row):
                row[column] = cell

    def _lay(self, dots: Iterable[Dot]) -> dict[int, dict[int, Cell]]:
        """The dots' cells by row and column."""
        rows: dict[int, dict[int, Cell]] = {}
        for dot in sorted(dots, key=lambda dot: self._rank[dot.mark]):
            lane = self.layout.lane(dot.road)
            if lane is not None and lane.width:
                row, left = rows.setdefault(lane.row, {}), lane.cell(dot.share)
                for column, cell in zip(range(left, lane.left + lane.width), self._looks[dot.mark], strict=False):
                    row[column] = cell
        return rows

    def _compose(self, row: int, dots: dict[int, Cell]) -> Span | None:
        cells = self._ground[row].copy()
        for column, cell in dots.items():
            if column < len(cells):
                cells[column] = cell
        before, self._rows[row] = self._rows[row], cells
        changed = [column for column, cell in enumerate(cells) if cell != before[column]]
        return Span(row, changed[0], changed[-1] + 1) if changed else None


def _invisible(glyph: str, style: Style, before: Style) -> bool:
    return glyph == " " and style not in _BACKED and before not in _BACKED
