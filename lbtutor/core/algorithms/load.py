"""Algorithms that look at the load: least connections and least response time.

Both share one tie rule: among equals, the one picked longest ago, so that an idle pool is served in rotation instead
of hammering its first member (HAProxy rotates inside a key for the same reason).
"""

from __future__ import annotations

from collections.abc import Sequence

from lbtutor.core.algorithms.base import Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.messages import Request

STALE_AFTER = 10.0
"""Seconds without use after which a latency counts half (NGINX `least_time` halves it each `fail_timeout`)."""

TIE_RULE = "the one picked longest ago"


class Rotation:
    """Remembers who was picked when, and settles ties in favour of whoever waited longest."""

    def __init__(self) -> None:
        self._picks = 0
        self._last_pick: dict[Backend, int] = {}
        self._seen: tuple[Backend, ...] = ()

    def settle(self, request: Request, backends: tuple[Backend, ...], scores: Sequence[float]) -> Backend:
        """The backend with the lowest score; a retry spends nobody's place in the rotation."""
        lowest = min(scores)
        last_pick = self._last_pick
        chosen = min(
            (backend for backend, score in zip(backends, scores, strict=True) if score == lowest),
            key=lambda backend: last_pick.get(backend, 0),
        )
        if request.attempt == 1:
            if backends is not self._seen:
                self._last_pick = {backend: last_pick[backend] for backend in backends if backend in last_pick}
                self._seen = backends
            self._picks += 1
            self._last_pick[chosen] = self._picks
        return chosen


_DIGITS = 6
"""Latencies are compared to the microsecond: beneath that they differ by rounding alone, which must not break ties."""


class LeastConnections:
    """Fewest requests in flight for its weight.

    Counts what is under way, not what was served: a slow server collects requests and is spared by itself. Weights
    divide (HAProxy `leastconn`, NGINX `least_conn`).
    """

    def __init__(self) -> None:
        self._rotation = Rotation()

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return self._rotation.settle(request, backends, self._scores(backends))

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        weighted = any(backend.weight != 1 for backend in backends)
        rule = "in flight per weight" if weighted else "in flight"
        return Comparison(rule, tuple(self._scores(backends)), "lowest", TIE_RULE)

    def _scores(self, backends: tuple[Backend, ...]) -> list[float]:
        return [backend.in_flight / backend.weight for backend in backends]


class LeastResponseTime:
    """Lowest decaying mean of response times, times the requests it would then have in flight, for its weight.

    Without the factor `in_flight + 1` every request of a moment runs to the same fast server until its answers say
    that it is no longer fast: the herd. (NGINX `least_time`, Traefik `leasttime`, the load of Finagle's Peak EWMA.)

    A server not measured yet counts as fast as the fastest, so it gets work and is measured. What is known of a server
    fades while nobody asks it: it counts half for each whole `STALE_AFTER` seconds since it last answered, was picked
    or became available. So one that was slow once is asked again, and a dead one, which gives no answers, is asked once
    in a while instead of by everybody.
    """

    def __init__(self) -> None:
        self._rotation = Rotation()
        self._asked_at: dict[Backend, float] = {}
        self._seen: tuple[Backend, ...] = ()

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        if request.attempt == 1 and backends is not self._seen:
            self._asked_at = {backend: at for backend, at in self._asked_at.items() if backend in backends}
            self._seen = backends
        chosen = self._rotation.settle(request, backends, self._scores(request, backends))
        self._asked_at[chosen] = request.at
        return chosen

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        return Comparison("expected seconds", tuple(self._scores(request, backends)), "lowest", TIE_RULE)

    def _scores(self, request: Request, backends: tuple[Backend, ...]) -> list[float]:
        fading = [0.5 ** (self._idle(backend, request.at) // STALE_AFTER) for backend in backends]
        measured = [
            None if backend.latency is None else round(backend.latency * faded, _DIGITS)
            for backend, faded in zip(backends, fading, strict=True)
        ]
        fastest = min((seconds for seconds in measured if seconds is not None), default=1.0)
        return [
            (fastest * faded if seconds is None else seconds) * (backend.in_flight + 1) / backend.weight
            for backend, seconds, faded in zip(backends, measured, fading, strict=True)
        ]

    def _idle(self, backend: Backend, now: float) -> float:
        """Seconds since anything was heard of `backend` or asked of it."""
        answered = backend.since if backend.latency_at is None else backend.latency_at
        return now - max(backend.since, answered, self._asked_at.get(backend, backend.since))
