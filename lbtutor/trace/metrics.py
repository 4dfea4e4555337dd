"""`Metrics`: the numbers of a run, as a fold over its trace.

Counters are exact; latencies are kept in a `Histogram` (quantiles within 1 %) and the last minute in a `Window`, so
that memory depends on the number of requests under way and not on how many there have been.

    metrics = Metrics()
    for event in events:
        metrics.take(event)
    metrics.requests.failed, metrics.backends["web/a"].share, metrics.latency.p99, metrics.rate(now=12.0, window=5.0)

The latency of a request is what its client saw: from `Arrived` to the final `Finished`, all tries included. Requests
that got no answer (refused, timed out, rejected) have none, and count as failed or rejected instead. Those that a route
told the balancer to answer itself have none either, and count as ok, or as failed when the answer is 500 or above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from lbtutor.core.events import Answered, Arrived, Event, Finished, Joined, Missed, Picked, Rejected
from lbtutor.trace.histogram import Histogram
from lbtutor.trace.window import Moment, Window


class RequestCounts:
    """Requests by how they ended: `total` arrived; `retried` were tried more than once, whatever came of it.

    `total` is `ok + failed + rejected + under_way`, unless events were missed.
    """

    __slots__ = ("failed", "ok", "rejected", "retried", "total")

    def __init__(self) -> None:
        self.total = self.ok = self.failed = self.rejected = self.retried = 0

    def __repr__(self) -> str:
        return f"<{self.total} requests: {self.ok} ok, {self.failed} failed, {self.rejected} rejected>"

    @property
    def under_way(self) -> int:
        """Arrived and not ended."""
        return max(0, self.total - self.ok - self.failed - self.rejected)


class _PoolPicks:
    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class BackendCounts:
    """Attempts at one backend: `picked` in all, of which `ok` and `failed` ended and `in_flight` have not."""

    __slots__ = ("_pool", "failed", "in_flight", "ok", "picked")

    def __init__(self, pool: _PoolPicks) -> None:
        self._pool = pool
        self.picked = self.ok = self.failed = self.in_flight = 0

    def __repr__(self) -> str:
        return f"<{self.picked} picked, {self.ok} ok, {self.failed} failed, {self.in_flight} in flight>"

    @property
    def share(self) -> float:
        """Its part (0 to 1) of all picks in its pool."""
        return self.picked / self._pool.total if self._pool.total else 0.0

    def pick(self) -> None:
        """Count one more attempt."""
        self.picked += 1
        self.in_flight += 1
        self._pool.total += 1

    def finish(self, *, ok: bool) -> None:
        """Count the end of one attempt."""
        self.in_flight = max(0, self.in_flight - 1)  # its pick may be among the events that were missed
        if ok:
            self.ok += 1
        else:
            self.failed += 1


class Latency:
    """Seconds from arrival to the last byte of an answer; all None while nothing was answered."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen = Histogram()

    def __repr__(self) -> str:
        return f"<Latency of {self.count}: p50={self.p50} p99={self.p99}>"

    def add(self, seconds: float) -> None:
        """Count one answered request."""
        self._seen.add(seconds)

    @property
    def count(self) -> int:
        """Requests answered."""
        return self._seen.count

    @property
    def mean(self) -> float | None:
        """The exact mean."""
        return self._seen.mean

    @property
    def p50(self) -> float | None:
        """The median, within 1 %."""
        return self._seen.quantile(0.5)

    @property
    def p90(self) -> float | None:
        """Nine of ten were at least as quick, within 1 %."""
        return self._seen.quantile(0.9)

    @property
    def p99(self) -> float | None:
        """99 of 100 were at least as quick, within 1 %."""
        return self._seen.quantile(0.99)

    @property
    def max(self) -> float | None:
        """The slowest, exactly."""
        return self._seen.greatest if self._seen.count else None


class Metrics:
    """Folds a trace into numbers; `keeps` is how many scenario seconds the questions about a window can reach back."""

    def __init__(self, keeps: float = 60.0) -> None:
        self.requests = RequestCounts()
        self.backends: dict[str, BackendCounts] = {}
        self.latency = Latency()
        self.errors_by_kind: Counter[str] = Counter()
        self.missed = 0
        self._window = Window(keeps)
        self._pools: dict[str, _PoolPicks] = {}
        self._arrived_at: dict[int, float] = {}
        self._takers: dict[type, Callable[[Any], None]] = {
            Arrived: self._arrived,
            Picked: self._picked,
            Finished: self._finished,
            Answered: self._answered,
            Rejected: self._rejected,
            Joined: self._joined,
            Missed: self._missed,
        }

    def __repr__(self) -> str:
        return f"<Metrics {self.requests} {self.backends}>"

    def take(self, event: Event) -> None:
        """Fold one event."""
        taker = self._takers.get(type(event))
        if taker is not None:
            taker(event)

    def rate(self, now: float, window: float = 5.0) -> float:
        """Requests that arrived a second, over the last `window` scenario seconds."""
        return self._window.rate(now, window)

    def error_share(self, now: float, window: float = 5.0) -> float:
        """Which part (0 to 1) of the requests that ended in the last `window` scenario seconds failed."""
        return self._window.error_share(now, window)

    def p95(self, now: float, window: float = 5.0) -> float | None:
        """The 95th percentile (seconds) of the answers of the last `window` scenario seconds; None without answers."""
        return self._window.latency(now, window, 0.95)

    def history(self, now: float, window: float = 30.0) -> tuple[Moment, ...]:
        """The last `window` scenario seconds as columns of a chart, half a second each, oldest first."""
        return self._window.history(now, window)

    def summary(self) -> dict[str, Any]:
        """The parts of `lab run --json` that are numbers: `requests`, `backends`, `latency` (seconds, or null)."""
        counts, latency = self.requests, self.latency
        return {
            "requests": {name: getattr(counts, name) for name in ("total", "ok", "failed", "rejected", "retried")},
            "backends": {
                label: {"picked": backend.picked, "ok": backend.ok, "failed": backend.failed, "share": backend.share}
                for label, backend in self.backends.items()
            },
            "latency": {name: getattr(latency, name) for name in ("mean", "p50", "p90", "p99", "max")},
        }

    def _arrived(self, event: Arrived) -> None:
        self.requests.total += 1
        self._arrived_at[event.request] = event.at
        self._window.arrived(event.at)

    def _picked(self, event: Picked) -> None:
        self._backend(event.pool, event.backend).pick()
        if event.attempt == 2:
            self.requests.retried += 1

    def _finished(self, event: Finished) -> None:
        self._backend(event.pool, event.backend).finish(ok=event.ok)
        if event.final:
            self._ended(event)

    def _ended(self, event: Finished) -> None:
        """The client got the outcome of this attempt."""
        arrived_at = self._arrived_at.pop(event.request, event.at - event.took)
        latency = max(0.0, event.at - arrived_at) if _is_answer(event) else None
        if latency is not None:
            self.latency.add(latency)
        if event.ok:
            self.requests.ok += 1
        else:
            self.requests.failed += 1
            self.errors_by_kind[event.outcome] += 1
        self._window.ended(event.at, ok=event.ok, latency=latency)

    def _answered(self, event: Answered) -> None:
        self._arrived_at.pop(event.request, None)
        ok = event.status < 500
        if ok:
            self.requests.ok += 1
        else:
            self.requests.failed += 1
            self.errors_by_kind[f"answered {event.status}"] += 1
        self._window.ended(event.at, ok=ok)

    def _rejected(self, event: Rejected) -> None:
        self._arrived_at.pop(event.request, None)
        self.requests.rejected += 1
        self.errors_by_kind[f"rejected {event.status}"] += 1
        self._window.ended(event.at, ok=False)

    def _joined(self, event: Joined) -> None:
        self._backend(event.pool, event.backend)

    def _missed(self, event: Missed) -> None:
        self.missed += event.count

    def _backend(self, pool: str, name: str) -> BackendCounts:
        label = f"{pool}/{name}"
        backend = self.backends.get(label)
        if backend is None:
            backend = self.backends[label] = BackendCounts(self._pools.setdefault(pool, _PoolPicks()))
        return backend


def _is_answer(event: Finished) -> bool:
    """Something was answered, and that was all; a tunnel (101) goes on for as long as its ends like."""
    return event.outcome == f"answered {event.status}" and event.status != 101
