"""A counterexample as events: what the stage animates, the narrator tells and a journal keeps.

Each moment of the story is a second (less in a long one): a `Remarked` with its sentence, and with it whatever events
show it. Which these are is the business of `lbtutor.testing.staging`, one module a family.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from lbtutor.core.events import Ended, Event, Judged, Remarked
from lbtutor.testing.components import component
from lbtutor.testing.program import SILENT, Moment
from lbtutor.testing.report import LawReport

USUAL = 1.0
"""Seconds that a moment has."""

LONGEST = 60.0
"""Seconds that a whole story has at most; moments of a longer one are shorter."""


def beat_of(moments: Iterable[Moment]) -> float:
    """Seconds that each of these moments has."""
    return min(USUAL, LONGEST / max(1, len(list(moments))))


def events_of(law: LawReport, of: str) -> list[Event]:
    """The counterexample of a law of that component, from the first member to the verdict.

    The last but one is the `Judged`, the last the `Ended`. Empty for a law that has none.
    """
    found = law.counterexample
    if found is None:
        return []
    beat = beat_of(found.moments)
    staging = _staging(of)
    told = list(_told(found.moments, beat))
    played = [] if staging is None else list(staging.events(found.program, found.moments, beat, of))
    end = (len(found.moments) + 1) * beat
    last: list[Event] = [Judged(end, law.says, found.expected, found.got, found.because), Ended(end + beat, "stopped")]
    return sorted([*told, *(event for event in played if event.at < end)], key=lambda event: event.at) + last


def legend(of: str) -> str:
    """What stands on the stage in stories of that component; empty where it is servers as everywhere."""
    return str(getattr(_staging(of), "LEGEND", ""))


def _staging(of: str) -> ModuleType | None:
    """The module that shows stories of that component, if there is one."""
    name = f"lbtutor.testing.staging.{component(of).family}"
    return import_module(name) if find_spec(name) is not None else None


def _told(moments: Iterable[Moment], beat: float) -> Iterator[Event]:
    for number, moment in enumerate(moments, 1):
        yield Remarked(number * beat, sentence(moment))


def sentence(moment: Moment) -> str:
    """A moment as one sentence, with the answer, if there was a question."""
    if not moment.asked:
        return moment.says
    return f"{moment.says} → {'no answer' if moment.answer is SILENT else _brief(moment.answer)}"


def _brief(answer: Any) -> str:
    return f"{len(answer)} answers" if isinstance(answer, tuple) and len(answer) > 12 else _plain(answer)


def _plain(answer: Any) -> str:
    return ", ".join(map(str, answer)) if isinstance(answer, tuple) else str(answer)
