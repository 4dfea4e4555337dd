"""`Travel`: a recorded trace as a row of lines, and the moments at which a clock may stand on them.

The lines of a counterexample are the sentences of its story; what was recorded beside them is for the stage. The lines
of any other run are all its events. After a line of a story the clock stands when everybody who set out with it has
arrived; after a line of a run, at its very time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from lbtutor.core.events import Arrived, Ended, Event, Joined, Judged, Picked, Rejected, Remarked
from lbtutor.testing.cases import Case
from lbtutor.testing.scenes import legend
from lbtutor.trace.journal import Journal
from lbtutor.trace.narrate import Narrator
from lbtutor.tui.screens.watched import Line

_ARRIVED = 0.95
"""Part of a story's moment after which nobody is on the way any more."""

_NUMBERED = re.compile(r"\s*(\d+|…)  ")


class Travel:
    """One trace, and where in it one is: `at` is a line's number, `now` the time in seconds."""

    def __init__(self, journal: Journal, case: Case | None, *, ascii_only: bool) -> None:
        self.case = case
        self.events: Sequence[Event] = journal.events
        narrator = Narrator(ascii=ascii_only, algorithms=journal.header.pools)
        self.lines = [Line(event, narrator.say(event)) for event in self._told(journal.events)]
        self._starts = [line.event.at for line in self.lines]
        self._rests = self._resting()
        self.at = 0
        self.now = self._rests[0] if self._rests else 0.0

    def _told(self, events: Sequence[Event]) -> Iterator[Event]:
        if self.case is None:
            yield from events
            return
        yield Remarked(0.0, opening(self.case.story) or "the beginning")
        yield from (event for event in events if isinstance(event, Remarked | Judged))

    def _resting(self) -> list[float]:
        if self.case is None or not self._starts:
            return self._starts
        return [start + _ARRIVED * self.beat for start in self._starts]

    @property
    def beat(self) -> float:
        """Seconds that each line of a story has."""
        return self._starts[1] - self._starts[0] if len(self._starts) > 1 else 1.0

    # -- what is there --------------------------------------------------------------------------------------------

    @property
    def on_stage(self) -> bool:
        """Whether there is anything for a stage to show."""
        return any(isinstance(event, Joined | Arrived) for event in self.events)

    @property
    def clients(self) -> list[str]:
        """The addresses that requests come from, in the order of their first."""
        return list(dict.fromkeys(event.client for event in self.events if isinstance(event, Arrived)))

    @property
    def judged(self) -> Judged | None:
        """The verdict at the end of a counterexample, once it is reached."""
        event = self.lines[self.at].event if self.lines else None
        return event if isinstance(event, Judged) else None

    @property
    def last_choice(self) -> Picked | Rejected | None:
        """The last choice up to now, of a server or of none."""
        here = bisect_right(self.events, self.now, key=lambda event: event.at)
        return next((event for event in reversed(self.events[:here]) if isinstance(event, Picked | Rejected)), None)

    @property
    def title(self) -> str:
        """What it is of, in a few words."""
        if self.case is None:
            return ""
        return f"{self.case.cls} as {self.case.component.replace('_', ' ')}"

    @property
    def legend(self) -> str:
        """What stands on the stage, in a few words."""
        return legend(self.case.component) if self.case is not None else ""

    @property
    def whole(self) -> bool:
        """Whether the trace goes to its end."""
        return bool(self.events) and isinstance(self.events[-1], Ended)

    # -- going about ----------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the last line is reached, and the clock stands on it."""
        return not self._rests or self.now >= self._rests[-1]

    def rest(self, at: int) -> float:
        """When the clock stands on that line; on the first or last one for a number that is none."""
        return self._rests[min(max(at, 0), len(self._rests) - 1)] if self._rests else 0.0

    def stand_on(self, at: int) -> None:
        """Go to a line."""
        self.at = min(max(at, 0), max(len(self.lines) - 1, 0))
        self.now = self.rest(self.at)

    def pass_to(self, now: float) -> None:
        """Let time pass up to then."""
        self.now = now
        self.at = max(bisect_right(self._starts, now) - 1, 0)


def opening(story: Sequence[str]) -> str:
    """What is there when a story begins, in one line; a list follows its heading."""
    lines = [line.strip() for line in story if not _NUMBERED.match(line)]
    return "; ".join(lines).replace(":; ", ": ")
