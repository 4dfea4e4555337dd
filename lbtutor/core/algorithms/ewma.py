"""Peak EWMA: believe bad news at once and good news slowly."""

from __future__ import annotations

from math import exp, inf

from msgspec import Struct

from lbtutor.core.algorithms.base import Comparison
from lbtutor.core.algorithms.load import TIE_RULE, Rotation
from lbtutor.core.backend import Backend
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Event, Finished
from lbtutor.core.messages import Outcome, OutcomeKind, Request

UNMEASURED = 1e6
"""The load of one that has work and has never answered: more than any that was measured (Envoy's number)."""

_FAILED: tuple[OutcomeKind, ...] = (
    "refused",
    "unreachable",
    "untrusted",
    "closed",
    "invalid",
    "timed_out",
    "cut",
)
_NO_ANSWER = {Outcome.failed(kind).says for kind in _FAILED}


class Cost(Struct, frozen=True):
    """What is thought of a backend's response time: `seconds`, as of `at`."""

    seconds: float
    at: float

    def now(self, at: float, tau: float) -> float:
        """The cost as it has faded until `at`, as if an answer in no time were seen then."""
        return self.seconds * exp((self.at - at) / tau)

    def seen(self, took: float, at: float, tau: float) -> Cost:
        """After an answer that took so long: a peak counts at once, anything better by the time since the last."""
        if took > self.seconds:
            return Cost(took, at)
        kept = exp((self.at - at) / tau)
        return Cost(self.seconds * kept + took * (1 - kept), at)


class PeakEwma:
    """Lowest response time, as a moving mean that jumps up to every peak, times the requests it would then have.

    Load is `cost * (in_flight + 1) / weight`. An answer slower than the cost becomes the cost; a faster one moves it by
    1 - exp(-dt / tau), dt being the time since the last answer. So one slow answer is enough to be spared, and `tau`
    seconds of silence let 37 % of it remain. (Finagle's Peak EWMA; tower, linkerd; Envoy has it as a contribution. They
    draw two and compare these; here everybody is compared.)

    Nobody knows yet how slow one is that has never answered: idle it costs nothing, so it gets one request; with that
    under way its load is `UNMEASURED`, so it gets no second before an answer. Among equals, the one picked longest ago.

    Two departures. Reading a cost changes nothing (Finagle and tower write the faded value back, so that who looks
    changes what is measured). And an attempt that brought no answer counts as one of `tau` seconds at least: taken for
    what it took, a server that refuses at once would seem the fastest of all and draw everything to itself, which
    elsewhere a circuit breaker must prevent.
    """

    def __init__(self, tau: float = 10.0) -> None:
        if type(tau) not in (int, float) or not 0 < tau < inf:
            raise ConfigError(f"peak_ewma: `tau` is seconds, more than 0, not {tau!r}")
        self._tau = tau
        self._rotation = Rotation()
        self._costs: dict[Backend, Cost] = {}
        self._by_name: dict[str, Backend] = {}
        self._seen: tuple[Backend, ...] = ()

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        if request.attempt == 1 and backends is not self._seen:
            self._costs = {backend: cost for backend, cost in self._costs.items() if backend in backends}
            self._by_name = {backend.name: backend for backend in backends}
            self._seen = backends
        return self._rotation.settle(request, backends, self._loads(request, backends))

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        return Comparison("expected seconds", tuple(self._loads(request, backends)), "lowest", TIE_RULE)

    def observe(self, event: Event) -> None:
        """Learn from how an attempt ended."""
        if not isinstance(event, Finished) or event.backend not in self._by_name:
            return
        backend = self._by_name[event.backend]
        took = max(event.took, self._tau) if event.outcome in _NO_ANSWER else event.took
        cost = self._costs.get(backend, Cost(0.0, event.at))
        self._costs[backend] = cost.seen(took, event.at, self._tau)

    def _loads(self, request: Request, backends: tuple[Backend, ...]) -> list[float]:
        return [self._load(backend, request.at) for backend in backends]

    def _load(self, backend: Backend, now: float) -> float:
        cost = self._costs.get(backend)
        seconds = 0.0 if cost is None else cost.now(now, self._tau)
        if not seconds and backend.in_flight:
            return UNMEASURED + backend.in_flight / backend.weight
        return seconds * (backend.in_flight + 1) / backend.weight
