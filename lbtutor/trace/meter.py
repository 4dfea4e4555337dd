"""`Meter`: the trace as counts, for whoever wants to know how much and how long, and not each thing that happened.

It counts what `KINDS` names. The dear record of a pick is not among them, so counting requests costs a fraction of
watching them. The keys of its counts are names of pools and backends, and words from tables that are closed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from threading import Lock
from typing import Any

from lbtutor.core.events import (
    Answered,
    BackedOff,
    Ejected,
    Event,
    Finished,
    HealthChanged,
    Missed,
    Probed,
    Queued,
    Rejected,
    Reloaded,
)

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of a histogram's buckets, in seconds: those of Prometheus' clients, and two for what is faster."""

_LIVES = (0, 101)
"""Statuses of connections and tunnels: they last as long as their ends like, and that is nobody's slowness."""


class Histogram:
    """How many of what was seen fell between which of the `BUCKETS`."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"<Histogram of {sum(self.counts)}>"

    def take(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    @property
    def buckets(self) -> list[tuple[str, int]]:
        """Cumulative, as Prometheus writes them."""
        return list(zip([*map(str, BUCKETS), "+Inf"], accumulate(self.counts), strict=True))


class Meter:
    """Folds a trace into counts. One thread may `take` while another exposes."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.attempts: Counter[tuple[str, str, str, int, bool]] = Counter()
        """By pool, backend, outcome in words, status, and whether it was the last one."""
        self.took: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.waited: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.rejected: Counter[tuple[str, int]] = Counter()
        self.answered: Counter[int] = Counter()
        self.backed_off: Counter[str] = Counter()
        self.probes: Counter[tuple[str, str, bool]] = Counter()
        self.health_changes: Counter[tuple[str, str, str]] = Counter()
        self.ejections: Counter[tuple[str, str]] = Counter()
        self.reloads = 0
        self.missed = 0
        self._queued: dict[int, Queued] = {}

    def __repr__(self) -> str:
        return f"<Meter {self.attempts.total()} attempts>"

    def take(self, batch: Iterable[Event]) -> None:
        """Count these; what it does not know leaves it as it is."""
        with self.lock:
            for event in batch:
                count = _COUNTS.get(type(event))
                if count is not None:
                    count(self, event)

    def _finished(self, event: Finished) -> None:
        self.attempts[event.pool, event.backend, event.outcome, event.status, event.final] += 1
        if event.status not in _LIVES:
            self.took[event.pool].take(event.took)
        if self._queued:
            self._waited(event.request, event.at - event.took)

    def _rejected(self, event: Rejected) -> None:
        self.rejected[event.pool or "", event.status] += 1
        self._waited(event.request, event.at)

    def _queue(self, event: Queued) -> None:
        self._queued[event.request] = event

    def _waited(self, request: int, until: float) -> None:
        queued = self._queued.pop(request, None)
        if queued is not None:
            self.waited[queued.pool].take(until - queued.at)

    def _answer(self, event: Answered) -> None:
        self.answered[event.status] += 1

    def _back_off(self, event: BackedOff) -> None:
        self.backed_off[event.pool] += 1

    def _probed(self, event: Probed) -> None:
        self.probes[event.pool, event.backend, event.ok] += 1

    def _health_changed(self, event: HealthChanged) -> None:
        self.health_changes[event.pool, event.backend, event.now] += 1

    def _ejected(self, event: Ejected) -> None:
        self.ejections[event.pool, event.backend] += 1

    def _reloaded(self, event: Reloaded) -> None:
        self.reloads += 1

    def _missed(self, event: Missed) -> None:
        self.missed += event.count
        self._queued.clear()  # nobody knows which of them have been served meanwhile


_COUNTS: Mapping[type, Callable[[Meter, Any], None]] = {
    Finished: Meter._finished,
    Rejected: Meter._rejected,
    Queued: Meter._queue,
    Answered: Meter._answer,
    BackedOff: Meter._back_off,
    Probed: Meter._probed,
    HealthChanged: Meter._health_changed,
    Ejected: Meter._ejected,
    Reloaded: Meter._reloaded,
    Missed: Meter._missed,
}

KINDS: frozenset[type] = frozenset(_COUNTS)
"""The kinds of events that a meter counts."""
