"""`Balancer`: decides, and never waits.

Facts come in (a request arrived, an attempt ended, a probe was answered, time passed) and decisions go out. There is no
socket, clock or die in here: `now` is an argument, in seconds on whatever scale the shell keeps, never going back;
chance is the `Random` given at the start. The same calls with the same seed give the same decisions and trace.

What the shell must do, for each request and each tick:

    decision = balancer.arrive(request)
    # Forward: try that backend, then  again = balancer.finish(request.id, outcome, now)
    #          again is a Forward: try that one; None: give the client what the outcome says
    # Answer:  give the client this answer yourself
    # Reject:  answer it yourself, with an error

    for probe in balancer.tick(now):      # at the latest at balancer.next_deadline()
        ...                               # send it, then  balancer.probed(probe.backend, result, now)

The next deadline changes with `tick`, `probed` and `command`. A `finish` can only bring it nearer, to
`next_readmission`: one number, so that a shell need not look at all members after each request.

Choice and count are one step: `arrive` returns with the backend's `in_flight` already raised, so no other request can
decide in between.

Every decision says why (see `lbtutor.core.explain`). Listening changes nothing: with `report=None` no record is made,
and the decisions are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from random import Random
from typing import Literal

from msgspec.structs import replace

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.ejection import why_ejected
from lbtutor.core.errors import ConfigError, ContractError
from lbtutor.core.events import (
    Answered,
    Arrived,
    ContractBroken,
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    Event,
    Finished,
    HealthChanged,
    Joined,
    Left,
    Picked,
    Probed,
    ProbeSent,
    Readmitted,
    Rejected,
    Routed,
    WeightChanged,
    Why,
)
from lbtutor.core.explain import explain, passed_over, unexplained
from lbtutor.core.messages import (
    Add,
    Answer,
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
    Shift,
)
from lbtutor.core.pool import Pool, PoolConfig, check_weight
from lbtutor.core.routing import Route, Router, Rule
from lbtutor.core.snapshot import PoolSnapshot, snapshot_of

__all__ = ["Balancer", "PoolSnapshot"]

_LONGEST_QUOTE = 200


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

    `report` is called with each event as it happens; with None, nothing is told. `algorithms` replaces the configured
    algorithm of the named pools. Raises `ConfigError` when a route names a pool that does not exist, or when two pools
    share a name.
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
        self._pools: dict[str, Pool] = {}
        for config in pools:
            if config.name in self._pools:
                raise ConfigError(f"two pools are named {config.name!r}")
            self._pools[config.name] = Pool(config, Random(rng.getrandbits(64)), now, replaced.get(config.name))
        for route in routes:
            for name in route.pools:
                if name not in self._pools:
                    raise ConfigError(f"a route leads to pool {name!r}, which does not exist; {_known(self._pools)}")
        self._router = Router(routes)
        self._open: dict[int, _Open] = {}
        self._report = report
        self.next_readmission = inf
        """When the next ejection is over; infinity while nobody is ejected."""
        for pool in self._pools.values():
            for backend in pool.members.values():
                self._tell(_joined(now, backend))

    def __repr__(self) -> str:
        return f"<Balancer {list(self._pools.values())} open={len(self._open)}>"

    @property
    def open_requests(self) -> int:
        """Requests that were forwarded and have not finished."""
        return len(self._open)

    def report_to(self, report: Callable[[Event], None] | None) -> None:
        """From here on tell `report` what happens, or nobody."""
        self._report = report

    def snapshot(self) -> tuple[PoolSnapshot, ...]:
        """The numbers of every pool at this moment."""
        return tuple(snapshot_of(pool) for pool in self._pools.values())

    def arrive(self, request: Request) -> Decision:
        """Decide where a request goes. After a `Forward`, `finish` must follow exactly once.

        Raises `ContractError` when a request of that id is still under way.
        """
        if request.id in self._open:
            raise ContractError(f"request {request.id} is under way already; each arrival needs an id of its own")
        if self._report is not None:
            self._report(_arrived(request))
        rule = self._router.match(request)
        if rule is None:
            return self._reject(request, None, *self._router.refusal(request))
        name = rule.pool or rule.pool_for(request)
        if not name:
            return self._answer(request, rule)
        if self._router.has_choice and self._report is not None:
            self._report(Routed(request.at, request.id, rule.says(name), name, self._router.why(request, rule)))
        pool = self._pools[name]
        offered = pool.available
        if not offered:
            return self._reject(request, pool, 503, "no backend is available")
        if pool.key is not None:
            request = replace(request, key=pool.key(request))
        backend, told = self._choose(request, pool, offered)
        for event in told:
            self._tell(event)
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
        ended.backend.in_flight -= 1
        if outcome.kind == "answered":
            ended.backend.answered(now - ended.started, now)
        ejected = None if ended.backend.ejection is None else self._judge(ended, outcome, now)
        again, told = self._try_again(ended, outcome, now)
        if self._report is not None or ended.pool.observe is not None:
            self._tell_finished(ended, outcome, now, final=again is None)
        if ejected is not None:
            self._tell(ejected)
        for event in told:
            self._tell(event)
        if ended.backend.draining and not ended.backend.in_flight and ended.pool.has(ended.backend):
            self._tell(Drained(now, ended.pool.name, ended.backend.name))
        return None if again is None else self._forward(again)

    def _judge(self, ended: _Open, outcome: Outcome, now: float) -> Ejected | None:
        """What the end of an attempt says about its backend: an `Ejected`, when it was one failure too many."""
        backend, pool, check = ended.backend, ended.pool, ended.pool.config.passive
        if check is None or backend.ejection is None or not backend.ejection.judge(outcome, ended.started, now):
            return None
        until = pool.eject(backend, now)
        if until is None:
            return None
        self.next_readmission = min(self.next_readmission, until)
        return Ejected(now, pool.name, backend.name, until, why_ejected(check.fails, outcome))

    def _forward(self, entry: _Open) -> Forward:
        entry.backend.in_flight += 1
        self._open[entry.request.id] = entry
        return Forward(entry.request.id, entry.pool.name, entry.backend, entry.request.attempt)

    def _answer(self, request: Request, rule: Rule) -> Answer | Reject:
        answer = rule.answer(request)
        if answer is None:
            return self._reject(request, None, 400, "a redirect to the same host, and no Host is given")
        if self._report is not None:
            because = f"{rule.route.target} for {rule.route.says} ({self._router.why(request, rule)})"
            self._report(Answered(request.at, request.id, answer.status, because))
        return answer

    def _reject(self, request: Request, pool: Pool | None, status: int, because: str) -> Reject:
        if self._report is not None:
            name, candidates = (None, ()) if pool is None else (pool.name, passed_over(pool))
            self._report(Rejected(request.at, request.id, status, because, name, candidates))
        return Reject(request.id, status, because)

    def _try_again(self, ended: _Open, outcome: Outcome, now: float) -> tuple[_Open | None, Sequence[Event]]:
        """Another try for a request whose attempt ended so, or None; and what is to be told of the choice."""
        offered = _offered_again(ended, outcome)
        if not offered:
            return None, ()
        retry = replace(ended.request, at=now, attempt=ended.request.attempt + 1)
        chosen, told = self._choose(retry, ended.pool, offered)
        return (None if chosen is None else _Open(retry, ended.pool, chosen, (*ended.tried, chosen))), told

    def _choose(
        self, request: Request, pool: Pool, offered: tuple[Backend, ...]
    ) -> tuple[Backend | None, Sequence[Event]]:
        """Ask the algorithm. The backend, or None when the contract was broken; and what is to be told of it."""
        told: list[Event] = []
        why = None if self._report is None else _explain(request, pool, offered, told)
        try:
            chosen = pool.algorithm.pick(request, offered)
        except (Exception, SystemExit) as error:
            told.append(_broken(request, pool, f"it raised {_quote_error(error)}"))
            return None, told
        if type(chosen) is not Backend or chosen not in offered:
            told.append(_broken(request, pool, f"it picked {_quote(chosen)}, which was not offered"))
            return None, told
        if why is not None:
            told.append(_picked(request, pool, offered, chosen, why))
        return chosen, told

    def _tell_finished(self, ended: _Open, outcome: Outcome, now: float, *, final: bool) -> None:
        """Tell the end of an attempt: to the algorithm, if it learns from outcomes, and to whoever listens."""
        request, pool = ended.request, ended.pool
        event = Finished(
            now,
            request.id,
            request.attempt,
            pool.name,
            ended.backend.name,
            outcome.says,
            outcome.status,
            now - ended.started,
            outcome.ok,
            final,
        )
        self._tell(event)
        if pool.observe is None:
            return
        try:
            pool.observe(event)
        except (Exception, SystemExit) as error:
            self._tell(_broken(request, pool, f"its observe raised {_quote_error(error)}"))

    def tick(self, now: float) -> list[Probe]:
        """Readmit whose ejection is over; the probes to send now."""
        if self.next_readmission <= now:
            self._readmit(now)
        probes = []
        for pool in self._pools.values():
            check = pool.config.health
            if check is None:
                continue
            for backend in pool.members.values():
                if backend.health is not None and not backend.disabled and backend.health.due(now):
                    probes.append(Probe(pool.name, backend, check.path, check.timeout))
                    self._tell(ProbeSent(now, pool.name, backend.name))
        return probes

    def _readmit(self, now: float) -> None:
        for pool in self._pools.values():
            for backend in pool.readmit(now):
                self._tell(Readmitted(now, pool.name, backend.name))
        self._await_readmission()

    def _await_readmission(self) -> None:
        self.next_readmission = min((pool.next_readmission for pool in self._pools.values()), default=inf)

    def probed(self, backend: Backend, result: ProbeResult, now: float) -> None:
        """A probe of `backend` was answered, or failed. Ignored when the backend has left since."""
        pool = self._pools[backend.pool]
        if backend.health is None or not pool.has(backend):
            return
        was = backend.health.believed
        count, needed, towards, changed = backend.health.result(result.ok)
        self._tell(Probed(now, pool.name, backend.name, result.ok, result.detail, count, needed, towards))
        if not changed:
            return
        if towards == "up":
            backend.since = now
        pool.changed()
        because = _why_health_changed(count, result)
        self._tell(HealthChanged(now, pool.name, backend.name, was, towards, because))

    def next_deadline(self) -> float | None:
        """When `tick` will next have something to do; None while there is nothing to wait for."""
        next_probe = min(
            (
                backend.health.next_probe
                for pool in self._pools.values()
                for backend in pool.members.values()
                if backend.health is not None and not backend.health.probing and not backend.disabled
            ),
            default=inf,
        )
        deadline = min(next_probe, self.next_readmission)
        return deadline if deadline < inf else None

    def command(self, command: Command, now: float) -> None:
        """Carry out the operator's wish; asking twice changes nothing.

        Raises `ConfigError` for a pool or backend that does not exist, a name already taken, or a weight below 0.
        """
        if isinstance(command, Shift):
            raise ConfigError(f"there is no route named {command.route!r}")
        pool = self._pools.get(command.pool)
        if pool is None:
            raise ConfigError(f"there is no pool {command.pool!r}; {_known(self._pools)}")
        if isinstance(command, Add):
            self._tell(_joined(now, pool.join(command.backend, now)))
            return
        if command.backend not in pool.members:
            raise ConfigError(f"pool {pool.name} has no backend {command.backend!r}; {_known(pool.members)}")
        backend = pool.members[command.backend]
        was_available = backend.excluded is None
        match command:
            case Remove():
                pool.leave(backend.name)
                self._await_readmission()
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
                check_weight(pool.name, backend.name, command.weight)
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


def _offered_again(ended: _Open, outcome: Outcome) -> tuple[Backend, ...]:
    """Who may be tried next: nobody unless the failure is definite, tries are left, and somebody is untried."""
    pool = ended.pool
    if outcome.kind == "answered" or not outcome.definite or ended.request.attempt >= pool.config.retry.attempts:
        return ()
    return pool.available_without(ended.tried)


def _explain(request: Request, pool: Pool, offered: tuple[Backend, ...], told: list[Event]) -> Why:
    """The record of the choice about to be made; an algorithm that cannot explain itself may still choose."""
    try:
        return explain(request, pool, offered)
    except (Exception, SystemExit) as error:
        told.append(_broken(request, pool, f"its compare raised {_quote_error(error)}"))
        return unexplained(pool, offered)


def _picked(request: Request, pool: Pool, offered: tuple[Backend, ...], chosen: Backend, why: Why) -> Picked:
    because: Literal["algorithm", "only", "retry"] = (
        "retry" if request.attempt > 1 else "only" if len(offered) == 1 else "algorithm"
    )
    return Picked(request.at, request.id, request.attempt, pool.name, chosen.name, because, why)


def _broken(request: Request, pool: Pool, because: str) -> ContractBroken:
    return ContractBroken(request.at, request.id, pool.name, type(pool.algorithm).__name__, because)


def _why_health_changed(count: int, result: ProbeResult) -> str:
    word = "passed" if result.ok else "failed"
    if count == 1:
        return f"one probe {word}: {result.detail}"
    return f"{count} probes in a row {word}, the last with: {result.detail}"


def _arrived(request: Request) -> Arrived:
    return Arrived(request.at, request.id, request.client, request.method, request.host, request.path, request.listener)


def _joined(now: float, backend: Backend) -> Joined:
    return Joined(now, backend.pool, backend.name, backend.weight, backend.believed)


def _quote_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {_quote(error, str)}"


def _quote(value: object, to_text: Callable[[object], str] = repr) -> str:
    """What a learner's code gave us, in words; even its `__repr__` may raise."""
    try:
        text = to_text(value)
    except (Exception, SystemExit):
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"


def _known(names: Iterable[str]) -> str:
    return f"there is {', '.join(names) or 'none'}"
