"""`AccessLog`: the trace as an access log, one entry a request, told when the client has what it gets.

    {"time":"2026-03-01T12:00:00.250Z","client":"127.0.0.1","method":"GET","host":"shop","path":"/","status":200,
     "took":0.0213,"pool":"web","attempts":[{"backend":"b","outcome":"connection refused","took":0.0004},
     {"backend":"a","outcome":"answered 200","took":0.0209}],"because":"answered 200"}

What the balancer answered by itself has no attempts, and its reason says why. A request is remembered from its arrival
to its end, so memory follows the requests under way and not the requests served.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from lbtutor.core.events import Answered, Arrived, Event, Finished, Missed, Rejected

_DIGITS = 6
"""Microseconds: finer than any clock here is."""


class Attempt(Struct, frozen=True):
    """One try at one backend, and the seconds it took."""

    backend: str
    outcome: str
    took: float


class Access(Struct, frozen=True):
    """One request: when it arrived, the status that its client got, and the seconds from its arrival to its end.

    `pool` is None when no route led to one. `because` says why it ended so: the last outcome, or the balancer's
    own reason.
    """

    time: str
    client: str
    method: str
    host: str
    path: str
    status: int
    took: float
    pool: str | None
    attempts: tuple[Attempt, ...]
    because: str


class AccessLog:
    """Folds a trace into entries; `time` writes a moment of the trace (in seconds) as text.

    A reader that fell behind cannot know which requests ended meanwhile: at a `Missed` all that are under way are
    forgotten, and have no entry.
    """

    def __init__(self, time: Callable[[float], str]) -> None:
        self._time = time
        self._arrived: dict[int, Arrived] = {}
        self._failed: dict[int, tuple[Attempt, ...]] = {}

    def __repr__(self) -> str:
        return f"<AccessLog {len(self._arrived)} under way>"

    def take(self, event: Event) -> Access | None:
        """Fold one event; the entry of the request that ended with it."""
        match event:
            case Arrived():
                self._arrived[event.request] = event
            case Finished(final=False):
                self._remember(event)
            case Finished():
                return self._finished(event)
            case Rejected():
                return self._entry(event, event.pool, (), event.because)
            case Answered():
                return self._entry(event, None, (), event.because)
            case Missed():
                self._arrived.clear()
                self._failed.clear()
        return None

    def _remember(self, event: Finished) -> None:
        if event.request in self._arrived:
            self._failed[event.request] = (*self._failed.get(event.request, ()), _attempt(event))

    def _finished(self, event: Finished) -> Access | None:
        attempts = (*self._failed.pop(event.request, ()), _attempt(event))
        return self._entry(event, event.pool, attempts, event.outcome)

    def _entry(
        self, end: Finished | Rejected | Answered, pool: str | None, attempts: tuple[Attempt, ...], because: str
    ) -> Access | None:
        arrived = self._arrived.pop(end.request, None)
        if arrived is None:
            return None
        return Access(
            self._time(arrived.at),
            arrived.client,
            arrived.method,
            arrived.host,
            arrived.path,
            end.status,
            round(end.at - arrived.at, _DIGITS),
            pool,
            attempts,
            because,
        )


def _attempt(event: Finished) -> Attempt:
    return Attempt(event.backend, event.outcome, round(event.took, _DIGITS))
