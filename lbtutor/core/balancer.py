"""`Balancer`: decides, and never waits.

Facts come in (a request arrived, an attempt ended, a probe was answered, time passed) and decisions go out. There is no
socket, clock or die in here: `now` is an argument, in seconds on whatever scale the shell keeps, never going back;
chance is the `Random` given at the start. The same calls with the same seed give the same decisions and trace.

What the shell must do, for each request and each tick:

    decision = balancer.arrive(request)
    # Forward: try that backend, then  again = balancer.finish(request.id, outcome, now)
    #          again is a Forward: try that one; None: give the client what the outcome says
    # Reject:  answer it yourself

    for probe in balancer.tick(now):      # at the latest at balancer.next_deadline()
        ...                               # send it, then  balancer.probed(probe.backend, result, now)

Choice and count are one step: `arrive` returns with the backend's `in_flight` already raised, so no other request can
decide in between.

Every decision says why, and the record is built only while somebody listens (`report`), before the algorithm moves on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core.algorithms import Algorithm, Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.errors import ConfigError, ContractError
from lbtutor.core.events import (
    Arrived,
    Candidate,
    ContractBroken,
    Disabled,
    Drained,
    Draining,
    Enabled,
    Event,
    Finished,
    Health,
    HealthChanged,
    Joined,
    Left,
    Picked,
    Probed,
    ProbeSent,
    Rejected,
    WeightChanged,
    Why,
)
from lbtutor.core.messages import (
    Add,
    Command,
    Decision,
    Disable,
    Drain,
    Enable,
    Forward,
    Outcome,
    Probe,
    ProbeResult,
    Reject,
    Remove,
    Request,
    SetWeight,
)
from lbtutor.core.pool import Pool, PoolConfig
from lbtutor.core.routing import Route, Router

_UNEXPLAINED = Comparison("", (), "lowest", "")


class BackendSnapshot(Struct, frozen=True):
    """One backend's numbers at a moment; `excluded` says why it gets no traffic, None when it is available."""

    name: str
    weight: float
    in_flight: int
    latency: float | None
    health: Health
    excluded: str | None


class PoolSnapshot(Struct, frozen=True):
    """One pool's members in configuration order."""

    name: str
    algorithm: str
    backends: tuple[BackendSnapshot, ...]


class _Open:
    """A request under way: the attempt it is in, since when, and which backends it has tried."""

    __slots__ = ("backend", "pool", "request", "started", "tried")

    def __init__(self, request: Request, pool: Pool, backend: Backend, tried: tuple[Backend, ...]) -> None:
        self.request = request
        self.pool = pool
        self.backend = backend
        self.started = request.at
        self.tried = tried


class Balancer:
    """Pools, routes, health, retries and draining: everything that a load balancer decides.

    `report` is called with each event as it happens; with None, no event is built. `algorithms` replaces the configured
    algorithm of the named pools. Raises `ConfigError` when a route names a pool that does not exist.
    """

    def __init__(
        self,
        pools: Sequence[PoolConfig],
        routes: Sequence[Route],
        *,
        rng: Random,
        report: Callable[[Event], None] | None = None,
        now: float = 0.0,
        algorithms: Mapping[str, Algorithm] | None = None,
    ) -> None:
        replaced = algorithms or {}
        self._pools = {
            config.name: Pool(config, Random(rng.getrandbits(64)), now, replaced.get(config.name)) for config in pools
        }
        for route in routes:
            if route.pool not in self._pools:
                raise ConfigError(f"a route leads to pool {route.pool!r}, which does not exist; {_known(self._pools)}")
        self._router = Router(routes)
        self._open: dict[int, _Open] = {}
        self._report = report
        if report is not None:
            for pool in self._pools.values():
                for backend in pool.members.values():
                    report(Joined(now, pool.name, backend.name, backend.weight, backend.believed))

    def __repr__(self) -> str:
        return f"<Balancer {list(self._pools.values())} open={len(self._open)}>"

    # -- requests -------------------------------------------------------------------------------------------------

    def arrive(self, request: Request) -> Decision:
        """Decide where a request goes. After a `Forward`, `finish` must follow exactly once."""
        if self._report is not None:
            self._report(_arrived(request))
        route = self._router.match(request)
        if route is None:
            return self._reject(request, None, 404, f"no route for {request.host}{request.path}")
        pool = self._pools[route.pool]
        offered = pool.available
        if not offered:
            return self._reject(request, pool, 503, "no backend is available")
        backend, event = self._pick(request, pool, offered)
        if event is not None and self._report is not None:
            self._report(event)
        if backend is None:
            return self._reject(request, pool, 500, "the algorithm broke its contract")
        return self._forward(_Open(request, pool, backend, (backend,)))

    def finish(self, request_id: int, outcome: Outcome, now: float) -> Forward | None:
        """An attempt ended. A `Forward` asks for another try; None means that the outcome is what the client gets.

        Raises `ContractError` when no attempt of that request is under way.
        """
        ended = self._open.pop(request_id, None)
        if ended is None:
            raise ContractError(f"request {request_id} has no attempt under way, so it cannot finish")
        request, pool, backend = ended.request, ended.pool, ended.backend
        took = now - ended.started
        backend.in_flight -= 1
        if outcome.kind == "answered":
            backend.answered(took, now)

        again: _Open | None = None
        event: Event | None = None
        offered = self._offered_again(ended, outcome)
        if offered:
            retry = replace(request, at=now, attempt=request.attempt + 1)
            chosen, event = self._pick(retry, pool, offered)
            if chosen is not None:
                again = _Open(retry, pool, chosen, (*ended.tried, chosen))

        if self._report is not None or pool.observe is not None:
            finished = Finished(
                now,
                request_id,
                request.attempt,
                pool.name,
                backend.name,
                outcome.says,
                outcome.status,
                took,
                outcome.ok,
                again is None,
            )
            if pool.observe is not None:
                pool.observe(finished)
            if self._report is not None:
                self._report(finished)
                if event is not None:
                    self._report(event)
                if backend.draining and not backend.in_flight:
                    self._report(Drained(now, pool.name, backend.name))
        return None if again is None else self._forward(again)

    def _forward(self, entry: _Open) -> Forward:
        entry.backend.in_flight += 1
        self._open[entry.request.id] = entry
        return Forward(entry.request.id, entry.pool.name, entry.backend, entry.request.attempt)

    def _reject(self, request: Request, pool: Pool | None, status: int, because: str) -> Reject:
        if self._report is not None:
            members = () if pool is None else pool.members.values()
            candidates = tuple(Candidate(backend.name, None, backend.excluded) for backend in members)
            name = None if pool is None else pool.name
            self._report(Rejected(request.at, request.id, status, because, name, candidates))
        return Reject(request.id, status, because)

    @staticmethod
    def _offered_again(ended: _Open, outcome: Outcome) -> tuple[Backend, ...]:
        """Who may be tried next: nobody unless the failure is definite, tries are left, and somebody is untried."""
        pool = ended.pool
        if outcome.kind == "answered" or not outcome.definite or ended.request.attempt >= pool.config.retry.attempts:
            return ()
        return pool.available_without(ended.tried)

    def _pick(
        self, request: Request, pool: Pool, offered: tuple[Backend, ...]
    ) -> tuple[Backend | None, Picked | ContractBroken | None]:
        """Ask the algorithm: the backend and the record of the choice, or None and how the contract was broken."""
        why: Why | None = None
        try:
            if self._report is not None:
                why = _explain(request, pool, offered)
            chosen = pool.algorithm.pick(request, offered)
        except Exception as error:  # a learner's algorithm may raise anything, and the balancer goes on
            return None, self._broken(request, pool, f"it raised {type(error).__name__}: {error}")
        if type(chosen) is not Backend or chosen not in offered:
            return None, self._broken(request, pool, f"it picked {chosen!r}, which was not offered")
        if why is None:
            return chosen, None
        because: Literal["algorithm", "only", "retry"] = (
            "retry" if request.attempt > 1 else "only" if len(offered) == 1 else "algorithm"
        )
        return chosen, Picked(request.at, request.id, request.attempt, pool.name, chosen.name, because, why)

    def _broken(self, request: Request, pool: Pool, because: str) -> ContractBroken:
        return ContractBroken(request.at, request.id, pool.name, type(pool.algorithm).__name__, because)

    # -- health ---------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Probe]:
        """The probes to send now."""
        probes = []
        for pool in self._pools.values():
            check = pool.config.health
            if check is None:
                continue
            for backend in pool.members.values():
                if backend.health is not None and not backend.disabled and backend.health.due(now):
                    probes.append(Probe(pool.name, backend, check.path, check.timeout))
                    if self._report is not None:
                        self._report(ProbeSent(now, pool.name, backend.name))
        return probes

    def probed(self, backend: Backend, result: ProbeResult, now: float) -> None:
        """A probe of `backend` was answered, or failed. Ignored when the backend has left since."""
        pool = self._pools[backend.pool]
        if backend.health is None or pool.members.get(backend.name) is not backend:
            return
        was = backend.health.believed
        count, needed, towards, changed = backend.health.result(result.ok)
        if self._report is not None:
            self._report(Probed(now, pool.name, backend.name, result.ok, result.detail, count, needed, towards))
        if not changed:
            return
        if towards == "up":
            backend.since = now
        pool.changed()
        if self._report is not None:
            word = "passed" if result.ok else "failed"
            because = f"{count} probe{'s' if count > 1 else ''} in a row {word}, the last with: {result.detail}"
            self._report(HealthChanged(now, pool.name, backend.name, was, towards, because))

    def next_deadline(self) -> float | None:
        """When `tick` will next have something to do; None while there is nothing to wait for."""
        return min(
            (
                backend.health.next_probe
                for pool in self._pools.values()
                for backend in pool.members.values()
                if backend.health is not None and not backend.health.probing and not backend.disabled
            ),
            default=None,
        )

    # -- the operator ---------------------------------------------------------------------------------------------

    def command(self, command: Command, now: float) -> None:
        """Carry out the operator's wish; asking twice changes nothing.

        Raises `ConfigError` for a pool or backend that does not exist, a name already taken, or a weight below 0.
        """
        pool = self._pools.get(command.pool)
        if pool is None:
            raise ConfigError(f"there is no pool {command.pool!r}; {_known(self._pools)}")
        if isinstance(command, Add):
            backend = pool.join(command.backend, now)
            self._tell(Joined(now, pool.name, backend.name, backend.weight, backend.believed))
            return
        if command.backend not in pool.members:
            raise ConfigError(f"pool {pool.name} has no backend {command.backend!r}; {_known(pool.members)}")
        backend = pool.members[command.backend]
        was_available = backend.excluded is None
        match command:
            case Remove():
                pool.leave(backend.name)
                self._tell(Left(now, pool.name, backend.name, backend.in_flight))
            case Drain() if not backend.draining:
                backend.draining = True
                self._tell(Draining(now, pool.name, backend.name, backend.in_flight))
                if not backend.in_flight:
                    self._tell(Drained(now, pool.name, backend.name))
            case Disable() if not backend.disabled:
                backend.disabled = True
                self._tell(Disabled(now, pool.name, backend.name))
            case Enable() if backend.disabled or backend.draining:
                backend.disabled = backend.draining = False
                self._tell(Enabled(now, pool.name, backend.name))
            case SetWeight() if command.weight != backend.weight:
                if not 0 <= command.weight < float("inf"):
                    raise ConfigError(f"weight of {pool.name}/{backend.name} must be 0 or more, not {command.weight!r}")
                was, backend.weight = backend.weight, command.weight
                self._tell(WeightChanged(now, pool.name, backend.name, was, backend.weight))
            case _:
                return
        if not was_available and backend.excluded is None:
            backend.since = now
        pool.changed()

    def _tell(self, event: Event) -> None:
        if self._report is not None:
            self._report(event)

    # -- what can be read -----------------------------------------------------------------------------------------

    @property
    def open_requests(self) -> int:
        """Requests that were forwarded and have not finished."""
        return len(self._open)

    def snapshot(self) -> tuple[PoolSnapshot, ...]:
        """The numbers of every pool at this moment."""
        return tuple(
            PoolSnapshot(
                pool.name,
                type(pool.algorithm).__name__,
                tuple(
                    BackendSnapshot(
                        backend.name,
                        backend.weight,
                        backend.in_flight,
                        backend.latency,
                        backend.believed,
                        backend.excluded,
                    )
                    for backend in pool.members.values()
                ),
            )
            for pool in self._pools.values()
        )


def _explain(request: Request, pool: Pool, offered: tuple[Backend, ...]) -> Why:
    """The record of the decision about to be made: every member, its number or why it is left out."""
    comparison = _UNEXPLAINED if pool.compare is None else pool.compare(request, offered)
    numbers = dict(zip(offered, comparison.numbers, strict=False))
    candidates = tuple(
        Candidate(member.name, numbers.get(member), None if member in offered else member.excluded or "tried already")
        for member in pool.members.values()
    )
    return Why(comparison.rule, comparison.best, comparison.tie, candidates)


def _arrived(request: Request) -> Arrived:
    return Arrived(request.at, request.id, request.client, request.method, request.host, request.path, request.listener)


def _known(names: Iterable[str]) -> str:
    return f"there is {', '.join(names) or 'none'}"
