"""`Spark`: a small area chart on a scale that is declared beforehand and stays.

A chart that rescales itself hides the very change it should show, so `top` is fixed, and what goes beyond it is drawn
full and in another style. Blocks of an eighth of a cell; the newest value stands at the right and, exactly, in the
lower border.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from lbtutor.tui.glyphs import SETS, Glyphs, detect

_MOST_VALUES = 512


class Spark(Widget):
    """One number over time, from 0 to `top` (in `unit`); title and newest value stand in the borders."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"spark--area", "spark--beyond"}
    DEFAULT_CSS = """
    Spark {
        height: 5;
        border: round $panel-lighten-2;
        border-title-color: $text-muted;
        border-subtitle-color: $text;
        background: $background;
        & > .spark--area { color: $primary; }
        & > .spark--beyond { color: $warning; }
    }
    """

    def __init__(
        self,
        title: str,
        unit: str,
        top: float,
        *,
        glyphs: str | None = None,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        """Raises `ValueError` when `top` is not above 0."""
        if not top > 0:
            raise ValueError(f"the top of the scale must be above 0, not {top!r}")
        super().__init__(name=name, id=id, classes=classes)
        self.border_title = title
        self.unit = unit
        self.top = top
        self._glyphs: Glyphs = detect() if glyphs is None else SETS[glyphs]
        self._values: deque[float | None] = deque(maxlen=_MOST_VALUES)

    def push(self, value: float | None) -> None:
        """Add the newest value; None leaves a gap."""
        self._values.append(value)
        self.border_subtitle = "" if value is None else f"{_short(value)} {self.unit}".rstrip()
        self.refresh()

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()
        self.border_subtitle = ""
        self.refresh()

    def columns(self, width: int, height: int) -> list[str]:
        """The newest values as columns of `height` characters, from the bottom up; the newest is last."""
        newest = list(self._values)[-width:] if width else []
        return [" " * height] * (width - len(newest)) + [self._column(value, height) for value in newest]

    def _column(self, value: float | None, height: int) -> str:
        """A value above 0 shows at least an eighth: nothing and nearly nothing are different."""
        share = 0.0 if value is None else max(0.0, min(value / self.top, 1.0))
        eighths = max(round(share * height * 8), 1 if share else 0)
        full, rest = divmod(eighths, 8)
        return (self._glyphs.eighths[8] * full + self._glyphs.eighths[rest] + " " * height)[:height]

    def _beyond(self, width: int) -> list[bool]:
        newest = [value is not None and value > self.top for value in list(self._values)[-width:]]
        return [False] * (width - len(newest)) + newest

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if not 0 <= y < height:
            return Strip.blank(width, self.rich_style)
        area, beyond = (self.get_component_rich_style(f"spark--{name}") for name in ("area", "beyond"))
        glyphs = (column[height - 1 - y] for column in self.columns(width, height))
        styles = (beyond if is_beyond else area for is_beyond in self._beyond(width))
        cells = [Segment(glyph, style) for glyph, style in zip(glyphs, styles, strict=True)]
        return Strip(cells, width).simplify()


def _short(value: float) -> str:
    """Three digits, or as many as a whole number has: 4.05, 40.5, 3780."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
