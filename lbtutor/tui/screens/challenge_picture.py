"""One second of the day as lines of text: a table of numbers with bars, and what happened last.

Pure functions from a moment and a width to lines, so that a test needs no terminal. Every state is told by shape and
word as well as by colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from lbtutor.course.challenge.day import PEAK
from lbtutor.course.challenge.unfold import Happening, Moment, Service, Tone, clock, thousands
from lbtutor.tui.glyphs import Glyphs

_DIM = "$foreground 60%"
_BUSY_BAR = 10
_FULL = 0.995

_TOTALS = (
    ("offered", "offered", "$foreground"),
    ("served", "served", "$success"),
    ("turned away", "refused", "$warning"),
    ("failed", "failed", "$error"),
)
"""How each of a moment's rates is called, and its colour."""

TONES: dict[Tone, tuple[str, str]] = {
    "load": ("pointer", "$primary"),
    "trouble": ("failed", "$error"),
    "repair": ("up", "$success"),
    "change": ("unchecked", "$secondary"),
    "broken": ("ejected", "bold $warning"),
}
"""The mark of each kind of happening, as `Glyphs` names it, and its colour."""


def numbers(moment: Moment, glyphs: Glyphs, width: int) -> Content:
    """The whole table: totals against the peak, a line a service, balancers, carts and WebSockets."""
    lines = [_total(title, getattr(moment, field), colour, glyphs, width) for title, field, colour in _TOTALS]
    lines += [_heading(), *(_service(each, glyphs) for each in moment.services)]
    lines += [_others(moment, glyphs, width)]
    return Content("\n").join(line.truncate(max(width, 0)) for line in lines)


def _total(title: str, rate: float, colour: str, glyphs: Glyphs, width: int) -> Content:
    head = f"{title:<12}{thousands(rate):>9} "
    room = max(width - len(head), 0)
    return Content.assemble(head, _bar(rate / PEAK, room, colour, glyphs))


def _bar(share: float, room: int, colour: str, glyphs: Glyphs) -> Content:
    """At least one cell for whatever is not nothing."""
    full = min(room, max(round(share * room), 1 if share > 0 else 0))
    return Content.assemble((glyphs.full * full, colour), (glyphs.empty * (room - full), "$foreground 25%"))


def _heading() -> Content:
    return Content.styled(
        f"{'':<9}{'offered':>8}{'served':>9}{'turned':>9}{'failed':>9}  {'busy':<16}{'instances'}", _DIM
    )


def _service(one: Service, glyphs: Glyphs) -> Content:
    rates = f"{thousands(one.offered):>8}{thousands(one.served):>9}"
    lost = ((one.refused, "$warning"), (one.failed, "$error"))
    busy = "$warning" if one.busy >= _FULL else "$success"
    up = "" if one.up == one.instances else "$error"
    return Content.assemble(
        f"{one.name:<9}{rates}",
        *((f"{thousands(rate):>9}", colour if rate else _DIM) for rate, colour in lost),
        f"  {one.busy:>4.0%} ",
        _bar(one.busy, _BUSY_BAR, busy, glyphs),
        (f" {one.up} of {one.instances} up", up),
    )


def _others(moment: Moment, glyphs: Glyphs, width: int) -> Content:
    alive, of = sum(moment.balancers), len(moment.balancers)
    marks = [(glyphs.up, "$success") if up else (glyphs.failed, "$error") for up in moment.balancers]
    line = Content.assemble(
        (f" {alive} of {of} up", "" if alive == of else "$error"),
        (f"   carts missed {thousands(moment.carts_lost)}", "$warning" if moment.carts_lost else _DIM),
        (f"   WebSockets cut {thousands(moment.sockets_lost)}", _DIM),
    )
    roomy = len("balancers ") + of + line.cell_length <= width
    return Content.assemble("balancers ", *(marks if roomy else ()), line)


def news(happened: Sequence[Happening], glyphs: Glyphs, rows: int, width: int) -> Content:
    """The last of what happened, the newest at the bottom."""
    latest = list(happened)[-rows:] if rows else []
    return Content("\n").join(_told(one, glyphs).truncate(max(width, 0), ellipsis=True) for one in latest)


def _told(one: Happening, glyphs: Glyphs) -> Content:
    sign, colour = TONES[one.tone]
    return Content.assemble((f" {clock(one.second):>5} ", _DIM), (getattr(glyphs, sign), colour), f" {one.says}")
