"""A decision record as a small table: every candidate with its number, or the reason why it was not considered.

r12 → srv-3, at 4.20 s
server   turns to wait
srv-1                2
srv-2                -  down
srv-3                0  ← picked
srv-4                1
lowest wins; in a tie: nobody shares a turn
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from textual.content import Content
from textual.widgets import Static

from lbtutor.core import Event
from lbtutor.core.events import Candidate, Picked, Rejected
from lbtutor.tui.glyphs import Glyphs

_DIM = "$foreground 60%"
_CHOSEN = "bold $success"
_EXCLUDED = "$warning"

_BECAUSE = {
    "algorithm": "",
    "only": "the only one available",
    "retry": "tried again elsewhere",
    "sticky": "the client stays",
}


class Record(NamedTuple):
    """All that is known of one event: what it is, its table, and the rule that decided."""

    title: str
    rows: tuple[Content, ...]
    rule: str = ""


def record(event: Event, glyphs: Glyphs) -> Record:
    """All that is known of one event; for a decision, the decision record."""
    match event:
        case Picked():
            return Record(
                _pick(event, glyphs), (_heading(event), *_candidates(event, glyphs), *_affinity(event)), _rule(event)
            )
        case Rejected():
            title = f"r{event.request} was answered {event.status} by the balancer"
            return Record(title, (Content.styled(event.because, _EXCLUDED), *_excluded(event.candidates)))
        case _:
            return Record(_kind(event), _fields(event))


def _pick(event: Picked, glyphs: Glyphs) -> str:
    notes = [f"attempt {event.attempt}"] if event.attempt > 1 else []
    notes += [_BECAUSE[event.because]] if _BECAUSE[event.because] else []
    return ", ".join((f"r{event.request} {glyphs.outward} {event.backend}", f"at {event.at:.2f} s", *notes))


def _rule(event: Picked) -> str:
    if event.because == "sticky":
        return event.affinity
    if not event.why.rule:
        return "this algorithm does not explain itself"
    return f"{event.why.best} wins; in a tie: {event.why.tie}"


def _heading(event: Picked) -> Content:
    return Content.styled(f"{'server':<{_name_width(event)}}  {_rule_name(event)}", _DIM)


def _candidates(event: Picked, glyphs: Glyphs) -> list[Content]:
    return [_candidate(each, event, glyphs) for each in event.why.candidates]


def _candidate(candidate: Candidate, event: Picked, glyphs: Glyphs) -> Content:
    chosen = candidate.backend == event.backend
    number = "-" if candidate.number is None else f"{candidate.number:.4g}"
    note = f"{glyphs.homeward} picked" if chosen else candidate.excluded or ""
    style = _CHOSEN if chosen else _EXCLUDED if candidate.excluded else ""
    row = f"{candidate.backend:<{_name_width(event)}}  {number:>{len(_rule_name(event))}}  {note}"
    return Content.styled(row.rstrip(), style)


def _affinity(event: Picked) -> list[Content]:
    """What stickiness had to say, where it did not decide."""
    return [Content.styled(event.affinity, _DIM)] if event.affinity and event.because != "sticky" else []


def _name_width(event: Picked) -> int:
    return max(len("server"), *(len(each.backend) for each in event.why.candidates))


def _rule_name(event: Picked) -> str:
    return event.why.rule or "number"


def _excluded(candidates: tuple[Candidate, ...]) -> list[Content]:
    return [Content(f"{each.backend}  {each.excluded or 'available'}") for each in candidates]


def _fields(event: Event) -> tuple[Content, ...]:
    fields = msgspec.structs.asdict(event)
    width = max(len(name) for name in fields)
    return tuple(
        Content.assemble((f"{name:<{width}}  ", _DIM), _value(name, value))
        for name, value in fields.items()
        if value not in ("", None)
    )


def _value(name: str, value: object) -> str:
    if name in ("at", "took") and isinstance(value, float):
        return f"{value:.3f} s"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _kind(event: Event) -> str:
    """The class name as words: HealthChanged is "health changed"."""
    name = type(event).__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


class RecordView(Static):
    """Shows one record: what it is in the upper border, the rule in the lower."""

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._glyphs = glyphs
        self.event: Event | None = None

    def show(self, event: Event | None) -> None:
        """Tell all that is known of this event."""
        if event is None:
            told = Record("Why", (Content("Nothing was decided yet."),))
        elif event is self.event:
            return
        else:
            told = record(event, self._glyphs)
        self.event = event
        self.border_title = Content(told.title)  # a str would be read as markup
        self.border_subtitle = Content(told.rule)
        self.update(Content("\n").join(told.rows))
