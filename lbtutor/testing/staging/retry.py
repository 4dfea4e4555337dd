"""The stories of retries: each lane is a try, the first, the second, and so on; where one is, the code allowed it.

A lane for a try that should never have been made appears with it. Only the try that the story is about is told: what
became of those before it, the story does not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lbtutor.core.events import BackedOff, Event
from lbtutor.core.messages import Outcome
from lbtutor.testing.program import SILENT, Program
from lbtutor.testing.staging.telling import ENDS, POOL, REFUSED, SETTLES, WELL, arrived, ended, joined, sent
from lbtutor.testing.worlds.retry import Asking

LEGEND = "each try has its lane"

OUTCOMES: Mapping[str, Outcome] = {
    "ok": WELL, "404": Outcome.answered(404), "503": Outcome.answered(503), "refused": REFUSED,
    "closed": Outcome.failed("closed"), "timeout": Outcome.failed("timed_out"),
}  # fmt: skip
MADE = "that try was made"
"""Why a request is on the lane of a try that nobody was asked about."""
ALLOWED = "the code allowed it"


def events(program: Program, moments: Sequence[Asking], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    play = Play(program.setting["attempts"])
    yield from play.lanes(program.setting["attempts"], 0.0)
    for number, moment in enumerate(moments, 1):
        yield from play.tell(moment, number * beat, beat)


class Play:
    """How many lanes there are, and how many requests have come."""

    def __init__(self, attempts: int) -> None:
        self._lanes = 0
        self._request = 0
        self._attempts = attempts

    def lanes(self, upto: int, at: float) -> Iterator[Event]:
        """Lanes for that many tries, as far as there are none yet."""
        yield from joined([_lane(number) for number in range(self._lanes + 1, upto + 1)], at)
        self._lanes = max(self._lanes, upto)

    def tell(self, moment: Asking, at: float, beat: float) -> Iterator[Event]:
        match moment.kind:
            case "arrive":
                yield from self._arrive(moment.count, at, beat)
            case "retry":
                yield from self._asked(moment, at, beat)
            case "fail":
                yield from self._outage(moment, at, beat)
            case "wait":
                yield from self._waits(moment, at, beat)
            case _:
                return

    def _comes(self, at: float, method: str = "GET") -> Event:
        self._request += 1
        return arrived(at, self._request, method=method)

    def _arrive(self, count: int, at: float, beat: float) -> Iterator[Event]:
        """They are somebody's business from here on: nothing else is said of them."""
        for number in range(count):
            yield self._comes(at + number * beat * ENDS / count)

    def _asked(self, asking: Asking, at: float, beat: float) -> Iterator[Event]:
        attempt, again = asking.attempt, asking.answer is not SILENT and bool(asking.answer)
        yield self._comes(at, asking.method)
        yield from self.lanes(attempt, at)
        yield sent(at, self._request, _lane(attempt), MADE, attempt)
        outcome, no = OUTCOMES[asking.outcome], "" if again else "the code allows no other"
        yield ended(at + ENDS * beat, self._request, _lane(attempt), outcome, no, attempt=attempt, final=not again)
        if again:
            yield from self.lanes(attempt + 1, at + SETTLES * beat)
            yield sent(at + SETTLES * beat, self._request, _lane(attempt + 1), ALLOWED, attempt + 1)

    def _outage(self, asking: Asking, at: float, beat: float) -> Iterator[Event]:
        """Each request in turn, with all tries that it had."""
        yield from self.lanes(max(asking.tries, default=0), at)
        step = beat * ENDS / max(1, len(asking.tries))
        for number, tries in enumerate(asking.tries):
            when = at + number * step
            yield self._comes(when)
            for attempt in range(1, tries + 1):
                last = attempt == tries
                yield sent(when, self._request, _lane(attempt), MADE if attempt == 1 else ALLOWED, attempt)
                yield ended(when, self._request, _lane(attempt), REFUSED, attempt=attempt, final=last)

    def _waits(self, asking: Asking, at: float, beat: float) -> Iterator[Event]:
        """A request whose tries so far have failed, and the time until its next one, if that is a time at all."""
        attempt = asking.attempt
        yield self._comes(at)
        yield from self.lanes(attempt, at)
        yield sent(at, self._request, _lane(attempt), MADE, attempt)
        yield ended(at + ENDS * beat, self._request, _lane(attempt), REFUSED, attempt=attempt, final=False)
        if isinstance(asking.answer, int | float) and 0 <= asking.answer < 1e9:
            back = at + SETTLES * beat
            yield BackedOff(back, self._request, POOL, attempt + 1, back + asking.answer)


def _lane(attempt: int) -> str:
    return f"try {attempt}"
