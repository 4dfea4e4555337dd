"""`Balancer`: decides, and never waits.

Facts come in (a request arrived, an attempt ended, a probe was answered, time passed) and decisions go out. There is no
socket, clock or die in here: `now` is an argument, in seconds on whatever scale the shell keeps, never going back;
chance is the `Random` given at the start. The same calls with the same seed give the same decisions and trace.

What the shell must do, for each request and each tick:

    decision = balancer.arrive(request)
    # Forward: try that backend, then  again = balancer.finish(request.id, outcome, now)
    #          again is a Forward: try that one; a Wait: keep it; None: give the client what the outcome says
    # Wait:    keep the request; if its client leaves, balancer.finish(request.id, Outcome.failed("cancelled"), now)
    # Answer:  give the client this answer yourself
    # Reject:  answer it yourself, with an error

    for probe in balancer.tick(now):      # at the latest at balancer.next_deadline()
        ...                               # send it, then  balancer.probed(probe.backend, result, now)

    while decided := balancer.take_decided():     # after each call that is given a fact
        # Forward, Reject: what became of a request that waited, as above
        # Cut:             end that request's attempt now, then  balancer.finish(request, outcome, now)

The next deadline changes with `tick`, `probed` and `command`. An `arrive` that says Wait, and a `finish`, can bring it
nearer or put it off, but only by `next_alarm`: one number, so that a shell need not look at all members after each
request.

Choice and count are one step: `arrive` returns with the backend's `in_flight` already raised, so no other request can
decide in between.

Every decision says why (see `lbtutor.core.explain`). Listening changes nothing: with `report=None` no record is made,
and the decisions are the same. Who listens names the kinds of events that he wants, and no others are made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.algorithms.base import Breach, name_of
from lbtutor.core.backend import Backend
from lbtutor.core.errors import ConfigError, ContractError
from lbtutor.core.events import (
    EVERYTHING,
    Answered,
    Arrived,
    BackedOff,
    ContractBroken,
    Ejected,
    Event,
    Finished,
    Picked,
    Queued,
    Refused,
    Rejected,
    Reloaded,
    Routed,
    Shifted,
    Why,
)
from lbtutor.core.explain import explain, passed_over, unexplained, why_lost
from lbtutor.core.membership import Membership, known
from lbtutor.core.messages import (
    Answer,
    Command,
    Cut,
    Decided,
    Decision,
    Forward,
    Outcome,
    Probe,
    ProbeResult,
    Reject,
    Request,
    Shift,
    Wait,
)
from lbtutor.core.pool import Pool, PoolConfig
from lbtutor.core.reload import what_changed
from lbtutor.core.retry import NOBODY_ELSE
from lbtutor.core.routing import Route, Router, Rule
from lbtutor.core.snapshot import PoolSnapshot, snapshot_of
from lbtutor.core.waiting import LONGEST_LINE, Agenda, Waiting

__all__ = ["Balancer", "PoolSnapshot"]

_LONGEST_QUOTE = 200

_ALL_FULL = "every backend is full"

_CUT_OFF = "cut off by the end of its drain"

_NO_REASON = Why("", "lowest", "", ())
"""The record of a choice when nobody asked for it."""


class _Open(Struct, eq=False, gc=False):
    """A request under way: the attempt it is in, since when, which backends it has tried, and whether we cut it off."""

    request: Request
    pool: Pool
    backend: Backend
    tried: tuple[Backend, ...]
    started: float
    cut: bool = False


_Again = tuple[_Open | Waiting | None, Sequence[Event], str]
"""What follows the end of an attempt: another at once, another later or none; what is to be told of it; why none."""

_NO_RETRY: _Again = (None, (), "")


class Balancer:
    """Pools, routes, health, retries and draining: everything that a load balancer decides.

    `report` is called with each event as it happens, if it is of those `kinds` (see `report_to`); with None, nothing is
    told. `algorithms` replaces the configured algorithm of the named pools. Raises `ConfigError` when a route names a
    pool that does not exist, or when two pools share a name. `epoch` is the wall time at `now` 0, in
    Unix seconds: what outlives this process, such as a cookie, is dated by it.
    """

    def __init__(
        self,
        pools: Sequence[PoolConfig],
        routes: Sequence[Route],
        *,
        rng: Random,
        report: Callable[[Event], None] | None = None,
        kinds: frozenset[type] | None = None,
        now: float = 0.0,
        algorithms: Mapping[str, Algorithm] | None = None,
        epoch: float = 0.0,
    ) -> None:
        self._algorithms = algorithms or {}
        self._epoch = epoch
        self._rng = rng
        self._pools, self._router = self._built(pools, routes, now)
        self._open: dict[int, _Open] = {}
        self._waiting: dict[int, Waiting] = {}
        self._decided: list[Decided] = []
        self.agenda = Agenda()
        """What comes due other than probes; `next` of it is `next_alarm`, for who asks after each request."""
        self._tell_now = self._tell  # bound once: a choice is told at once, or after the end that asked for it
        self._membership = Membership(
            self._pools, self.agenda, tell=self._tell, room=self._serve_line, cut=self._cut_off
        )
        self.report_to(report, kinds)
        for pool in self._pools.values():
            self._membership.welcome(pool, now)
            self._membership.settle(pool, now)

    def _built(
        self, pools: Sequence[PoolConfig], routes: Sequence[Route], now: float
    ) -> tuple[dict[str, Pool], Router]:
        """Pools and a router that nobody has used so far; raises `ConfigError` for what cannot be."""
        built: dict[str, Pool] = {}
        for config in pools:
            if config.name in built:
                raise ConfigError(f"two pools are named {config.name!r}")
            mine = self._algorithms.get(config.name)
            built[config.name] = Pool(config, Random(self._rng.getrandbits(64)), now, mine)
        _check_targets(routes, built)
        return built, Router(routes)

    def __repr__(self) -> str:
        return f"<Balancer {list(self._pools.values())} open={len(self._open)}>"

    @property
    def open_requests(self) -> int:
        """Requests that were forwarded and have not finished."""
        return len(self._open)

    @property
    def waiting_requests(self) -> int:
        """Requests that wait for a backend to have room, or for their next try."""
        return len(self._waiting)

    @property
    def next_alarm(self) -> float:
        """When `tick` will next have something to do other than probes; infinity while there is nothing."""
        return self.agenda.next

    def report_to(self, report: Callable[[Event], None] | None, kinds: frozenset[type] | None = None) -> None:
        """From here on tell `report` what happens, or nobody.

        `kinds` are the types of events to tell; None is all of them. An event that nobody wants is not made. `Why` is
        a kind too, the dearest: without it, what is told of a choice or a refusal has an empty record.
        """
        kinds = EVERYTHING if kinds is None else kinds
        self._kinds = kinds if report is not None else frozenset()
        self._report = report
        self._on_arrived = report if Arrived in kinds else None
        self._on_routed = report if Routed in kinds else None
        self._on_picked = report if Picked in kinds else None
        self._on_finished = report if Finished in kinds else None
        self._explains = report is not None and Picked in kinds and Why in kinds

    def has(self, backend: Backend) -> bool:
        """True while this very backend is a member of its pool, and that is one of ours."""
        pool = self._pools.get(backend.pool)
        return pool is not None and pool.has(backend)

    def snapshot(self) -> tuple[PoolSnapshot, ...]:
        """The numbers of every pool at this moment."""
        return tuple(snapshot_of(pool) for pool in self._pools.values())

    def arrive(self, request: Request) -> Decision:
        """Decide where a request goes. After a `Forward`, `finish` must follow exactly once.

        Raises `ContractError` when a request of that id is still under way.
        """
        if request.id in self._open or request.id in self._waiting:
            raise ContractError(f"request {request.id} is under way already; each arrival needs an id of its own")
        if self._on_arrived is not None:
            self._on_arrived(_arrived(request))
        rule = self._router.catch_all or self._router.match(request)
        if rule is None:
            return self._reject(request, None, *self._router.refusal(request))
        name = rule.pool or rule.pool_for(request)
        if not name:
            return self._answer(request, rule)
        if self._on_routed is not None and self._router.has_choice:
            self._on_routed(Routed(request.at, request.id, rule.says(name), name, self._router.why(request, rule)))
        pool = self._pools[name]
        if pool.budget is not None:
            pool.budget.earn()
        if pool.key is not None:
            request = replace(request, key=pool.key(request))
        offered = pool.offered or pool.available
        if not offered:
            return self._stand_in_line(request, pool)
        return self._start(request, pool, offered)

    def _start(
        self, request: Request, pool: Pool, offered: tuple[Backend, ...], tried: tuple[Backend, ...] = ()
    ) -> Forward | Reject:
        """Begin the attempt of a request that is with nobody."""
        backend = self._choose(request, pool, offered, self._tell_now)
        if backend is None:
            return self._reject(request, pool, 500, "the algorithm broke its contract")
        return self._forward(_Open(request, pool, backend, tried, request.at))

    def _stand_in_line(self, request: Request, pool: Pool) -> Wait | Reject:
        """Nobody has room: let the request wait for its turn, if the pool has a queue and that is not full as well."""
        if not pool.standing.first:
            return self._reject(request, pool, 503, "no backend is available")
        if pool.config.queue is None:
            return self._reject(request, pool, 503, _ALL_FULL)
        if len(pool.line) >= LONGEST_LINE:
            return self._reject(request, pool, 503, f"{_ALL_FULL}, and so is the queue with {LONGEST_LINE}")
        waiting = Waiting(request, pool, request.at + pool.config.queue)
        pool.line[request.id] = waiting
        self._tell(Queued(request.at, request.id, pool.name, len(pool.line), waiting.until, _ALL_FULL))
        return self._wait(waiting)

    def _wait(self, waiting: Waiting) -> Wait:
        self._waiting[waiting.request.id] = waiting
        self.agenda.put(waiting.until, self._time_is_up, waiting)
        return Wait(waiting.request.id, waiting.until)

    def _wake(self, waiting: Waiting) -> None:
        """This request waits no longer, whatever comes of it."""
        del self._waiting[waiting.request.id]
        waiting.pool.line.pop(waiting.request.id, None)
        self.agenda.drop(self._time_is_up, waiting)

    def _time_is_up(self, waiting: Waiting, now: float) -> None:
        """Nobody in line has more patience than its pool's; who stands in none is tried again now."""
        in_line, request = waiting.request.id in waiting.pool.line, replace(waiting.request, at=now)
        self._wake(waiting)
        if in_line:
            because = f"waited {waiting.pool.config.queue or 0.0:g} s in the queue"
            self._decided.append(self._reject(request, waiting.pool, waiting.status, because))
            return
        offered = waiting.pool.available_without(waiting.tried)
        if offered:
            self._decided.append(self._start(request, waiting.pool, offered, waiting.tried))
        else:
            self._decided.append(self._reject(request, waiting.pool, waiting.status, NOBODY_ELSE))

    def take_decided(self) -> list[Decided]:
        """What was decided of requests since this was last asked: those that waited, and those to be cut off.

        To be asked after every call that brings a fact, until the list is empty. A client that leaves before its
        `Forward` was looked at has left an attempt that is under way: `finish` it, and do not send it.
        """
        if not self._decided:
            return []
        decided, self._decided = self._decided, []
        return decided

    def finish(self, request_id: int, outcome: Outcome, now: float, repeatable: bool = True) -> Forward | Wait | None:
        """An attempt ended. A `Forward` asks for another try, a `Wait` for another one later; None means that the
        outcome is what the client gets.

        `repeatable` is False when a part of the request was sent and is gone, so that it cannot be sent again. The
        client of a request that waits may leave: that is the outcome `cancelled`, and any other is a `ContractError`.
        So is the end of a request that is not under way.
        """
        ended = self._open.pop(request_id, None)
        if ended is None:
            self._give_up(request_id, outcome, now)
            return None
        backend, pool = ended.backend, ended.pool
        backend.in_flight -= 1
        if backend.limit is not None and backend.in_flight + 1 == backend.limit:
            pool.filled_or_freed()
        if outcome.kind == "answered" and outcome.status != 101:  # a tunnel's length is no latency
            backend.answered(now - ended.started, now)
        ejected = None if backend.ejection is None or ended.cut else self._judge(ended, outcome, now)
        content = pool.retries is None or (outcome.kind == "answered" and not pool.retries.wants(outcome))
        again, told, why_not = _NO_RETRY if content else self._try_again(ended, outcome, now, repeatable)
        if self._on_finished is not None or pool.observe is not None:
            self._tell_finished(ended, outcome, now, again is None, why_not)
        if ejected is not None:
            self._tell(ejected)
        followed = None if content else self._go_on(again, told)
        if backend.draining and not backend.in_flight and pool.has(backend):
            self._membership.drained(backend, now)
        if pool.line or ejected is not None:
            self._membership.settle(pool, now)
        return followed

    def _go_on(self, again: _Open | Waiting | None, told: Iterable[Event]) -> Forward | Wait | None:
        """Tell of the next try, and begin it."""
        for event in told:
            self._tell(event)
        if again is None:
            return None
        return self._forward(again) if isinstance(again, _Open) else self._wait(again)

    def _give_up(self, request_id: int, outcome: Outcome, now: float) -> None:
        """The client of a request that waits has left."""
        waiting = self._waiting.get(request_id)
        if waiting is None or outcome.kind != "cancelled":
            raise ContractError(f"request {request_id} has no attempt under way, so it cannot finish")
        self._wake(waiting)
        self._reject(replace(waiting.request, at=now), waiting.pool, outcome.status, outcome.says)

    def _judge(self, ended: _Open, outcome: Outcome, now: float) -> Ejected | None:
        """What the end of an attempt says about its backend: an `Ejected`, when it was one failure too many."""
        ejection = ended.backend.ejection
        because = None if ejection is None else ejection.judge(outcome, ended.started, now)
        return None if because is None else self._membership.eject(ended.backend, because, now)

    def _forward(self, entry: _Open) -> Forward:
        request, pool, backend = entry.request, entry.pool, entry.backend
        backend.in_flight += 1
        if backend.limit is not None and backend.in_flight >= backend.limit:
            pool.filled_or_freed()
        self._open[request.id] = entry
        affinity = pool.affinity
        if affinity is None:
            return Forward(request.id, pool.name, backend, request.attempt)
        set_cookie = affinity.keep(request, backend.name, self._epoch + request.at)
        return Forward(request.id, pool.name, backend, request.attempt, set_cookie, affinity.cookie)

    def _answer(self, request: Request, rule: Rule) -> Answer | Reject:
        answer = rule.answer(request)
        if answer is None:
            return self._reject(request, None, 400, "a redirect to the same host, and no Host is given")
        if Answered in self._kinds:
            because = f"{rule.route.target} for {rule.route.says} ({self._router.why(request, rule)})"
            self._tell(Answered(request.at, request.id, answer.status, because))
        return answer

    def _reject(self, request: Request, pool: Pool | None, status: int, because: str) -> Reject:
        if Rejected in self._kinds:
            name = None if pool is None else pool.name
            candidates = () if pool is None or Why not in self._kinds else passed_over(pool)
            self._tell(Rejected(request.at, request.id, status, because, name, candidates))
        return Reject(request.id, status, because)

    def refused(self, event: Refused) -> None:
        """A shell refused somebody at the door. Nothing follows from it, but it belongs into the trace."""
        self._tell(event)

    def wants_again(self, request_id: int, outcome: Outcome, now: float, repeatable: bool = True) -> bool:
        """Would `finish`, told this, ask for another try? For an answer of which nothing was passed on yet.

        Raises `ContractError` when no attempt of that request is under way.
        """
        entry = self._open.get(request_id)
        if entry is None:
            raise ContractError(f"request {request_id} has no attempt under way, so it cannot be tried again")
        return self._why_not_again(entry, outcome, repeatable) is None

    def _why_not_again(self, entry: _Open, outcome: Outcome, repeatable: bool) -> str | None:
        """What speaks against another try after such an end, empty where nobody would ask; None when nothing does."""
        retries = entry.pool.retries
        if retries is None:
            return ""
        if not retries.wants(outcome):
            return retries.excuse(outcome)
        others = bool(entry.pool.available_without((*entry.tried, entry.backend)))
        return retries.forbids(entry.request, outcome, repeatable=repeatable, others=others) or None

    def _try_again(self, ended: _Open, outcome: Outcome, now: float, repeatable: bool) -> _Again:
        """Another try for a request whose attempt ended so, at once or later; what is to be told of that; why not."""
        why_not, pool, retries = self._why_not_again(ended, outcome, repeatable), ended.pool, ended.pool.retries
        if why_not is not None or retries is None:
            return None, (), why_not or ""
        retries.spend()
        tried = (*ended.tried, ended.backend)
        retry = replace(ended.request, at=now, attempt=ended.request.attempt + 1)
        wait = retries.wait(ended.request.attempt, self._rng)
        if wait:
            backed_off = BackedOff(now, retry.id, pool.name, retry.attempt, now + wait)
            return Waiting(retry, pool, now + wait, tried, outcome.status), (backed_off,), ""
        told: list[Event] = []
        chosen = self._choose(retry, pool, pool.available_without(tried), told.append)
        return (None if chosen is None else _Open(retry, pool, chosen, tried, now)), told, ""

    def _choose(
        self, request: Request, pool: Pool, offered: tuple[Backend, ...], tell: Callable[[Event], None]
    ) -> Backend | None:
        """Whom the client had before, or else whom the algorithm says; None when that broke its contract."""
        if pool.affinity is not None and (had := self._had(request, pool, offered)) is not None:
            self._tell_of_return(request, pool, offered, had, tell)
            return had
        why = _explain(request, pool, offered, tell) if self._explains else _NO_REASON
        try:
            chosen = pool.algorithm.pick(request, offered)
        except (Exception, SystemExit) as error:
            tell(_broken(request, pool, _breach(error, "it")))
            return None
        if type(chosen) is not Backend or chosen not in offered:
            tell(_broken(request, pool, f"it picked {_quote(chosen)}, which was not offered"))
            return None
        if self._on_picked is not None:
            tell(_picked(request, pool, offered, chosen, why, self._says_affinity(request, pool, chosen)))
        return chosen

    def _had(self, request: Request, pool: Pool, offered: tuple[Backend, ...]) -> Backend | None:
        """The backend that the client had before, if it is offered."""
        if pool.affinity is None:
            return None
        had = pool.members.get(pool.affinity.recall(request, self._epoch + request.at))
        return had if had in offered else None

    def _tell_of_return(
        self,
        request: Request,
        pool: Pool,
        offered: tuple[Backend, ...],
        had: Backend,
        tell: Callable[[Event], None],
    ) -> None:
        """A client goes back to the backend it had: nobody was compared."""
        if self._on_picked is None or pool.affinity is None:
            return
        says = pool.affinity.confirm(request, had.name)
        why = unexplained(pool, offered) if self._explains else _NO_REASON
        tell(_picked(request, pool, offered, had, why, says, "sticky"))

    def _says_affinity(self, request: Request, pool: Pool, chosen: Backend) -> str:
        """What a sticky pool had to say before `chosen` was kept."""
        if pool.affinity is None:
            return ""
        wall = self._epoch + request.at
        had = pool.affinity.recall(request, wall)
        return pool.affinity.explain(request, wall, chosen.name, why_lost(pool, had))

    def _tell_finished(self, ended: _Open, outcome: Outcome, now: float, final: bool, because: str) -> None:
        """Tell the end of an attempt: to the algorithm, if it learns from outcomes, and to whoever listens."""
        request, pool = ended.request, ended.pool
        if ended.cut and not outcome.ok:
            because = f"{_CUT_OFF}; {because}" if because else _CUT_OFF
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
            because,
        )
        self._tell(event)
        if pool.observe is None:
            return
        try:
            pool.observe(event)
        except (Exception, SystemExit) as error:
            self._tell(_broken(request, pool, _breach(error, "its observe")))

    def attend(self, now: float) -> None:
        """Do what is due by `next_alarm`, and send no probes: for a shell that only waits for its last requests."""
        self.agenda.attend(now)

    def tick(self, now: float) -> list[Probe]:
        """Do what is due; the probes to send now."""
        self.agenda.attend(now)
        return self._membership.probes(now)

    def _serve_line(self, pool: Pool, now: float) -> None:
        """Begin the attempts of those who stand in line, for as long as there is room."""
        while pool.line and pool.available:
            waiting = next(iter(pool.line.values()))
            self._wake(waiting)
            self._decided.append(self._start(replace(waiting.request, at=now), pool, pool.available))

    def _cut_off(self, backend: Backend, now: float) -> None:
        """The time for a drain is over: whatever is still in flight there ends now."""
        for entry in self._open.values():
            if entry.backend is backend:
                entry.cut = True
                self._decided.append(Cut(entry.request.id, f"the time to drain {backend.pool}/{backend.name} is over"))

    def probed(self, backend: Backend, result: ProbeResult, now: float) -> None:
        """A probe of `backend` was answered, or failed. Ignored when the backend has left since."""
        if self.has(backend):
            self._membership.probed(backend, result, now)

    def next_deadline(self) -> float | None:
        """When `tick` will next have something to do; None while there is nothing to wait for."""
        deadline = min(self._membership.next_probe, self.agenda.next)
        return deadline if deadline < inf else None

    def command(self, command: Command, now: float) -> None:
        """Carry out the operator's wish; asking twice changes nothing.

        Raises `ConfigError` for a pool, backend or route that does not exist, a name already taken, or a weight that is
        less than 0.
        """
        if isinstance(command, Shift):
            self._shift(command, now)
        else:
            self._membership.command(command, now)

    def _shift(self, command: Shift, now: float) -> None:
        route = self._router.named(command.route)
        shifted = route.shifted(command.to)
        _check_targets([shifted], self._pools)
        if shifted != route:
            self._router = self._router.with_route(route, shifted)
            self._tell(Shifted(now, route.name, route.weights, shifted.weights))

    def reconfigure(self, pools: Sequence[PoolConfig], routes: Sequence[Route], now: float) -> None:
        """Go on with these pools and routes, all at once; what stays as it is keeps its past (`lbtutor.core.reload`).

        Requests under way in a pool that is gone still end; those that wait there are turned away. Raises `ConfigError`
        for what the constructor would refuse, and then nothing is changed.
        """
        dice = self._rng.getstate()
        try:
            fresh, router = self._built(pools, routes, now)
        except ConfigError:
            self._rng.setstate(dice)
            raise
        running = [pool.config for pool in self._pools.values()]
        because = what_changed(running, pools, self._router.routes, routes)
        for name, pool in self._pools.items():
            if name not in fresh:
                self._close(pool, now)
        pools_now = {name: self._membership.succeed(self._pools.get(name), pool, now) for name, pool in fresh.items()}
        self._pools.clear()
        self._pools.update(pools_now)
        self._router = router
        self._tell(Reloaded(now, because))
        for pool in self._pools.values():
            self._membership.settle(pool, now)

    def _close(self, pool: Pool, now: float) -> None:
        """A pool is gone, and with it its members; nobody waits there any longer."""
        self._membership.close(pool, now)
        for waiting in [waiting for waiting in self._waiting.values() if waiting.pool is pool]:
            self._wake(waiting)
            because = f"pool {pool.name} is gone"
            self._decided.append(self._reject(replace(waiting.request, at=now), pool, waiting.status, because))

    def _tell(self, event: Event) -> None:
        if self._report is not None and type(event) in self._kinds:
            self._report(event)


def _explain(request: Request, pool: Pool, offered: tuple[Backend, ...], tell: Callable[[Event], None]) -> Why:
    """The record of the choice about to be made; an algorithm that cannot explain itself may still choose."""
    try:
        return explain(request, pool, offered)
    except (Exception, SystemExit) as error:
        tell(_broken(request, pool, f"its compare raised {_quote_error(error)}"))
        return unexplained(pool, offered)


def _picked(
    request: Request,
    pool: Pool,
    offered: tuple[Backend, ...],
    chosen: Backend,
    why: Why,
    affinity: str,
    because: Literal["sticky"] | None = None,
) -> Picked:
    asked: Literal["algorithm", "only", "retry"] = (
        "retry" if request.attempt > 1 else "only" if len(offered) == 1 else "algorithm"
    )
    return Picked(request.at, request.id, request.attempt, pool.name, chosen.name, because or asked, why, affinity)


def _broken(request: Request, pool: Pool, because: str) -> ContractBroken:
    return ContractBroken(request.at, request.id, pool.name, name_of(pool.algorithm), because)


def _breach(error: BaseException, who: str) -> str:
    return str(error) if isinstance(error, Breach) else f"{who} raised {_quote_error(error)}"


def _arrived(request: Request) -> Arrived:
    return Arrived(
        request.at,
        request.id,
        request.client,
        request.method,
        request.host,
        request.path,
        request.listener,
        request.sni,
    )


def _quote_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {_quote(error, str)}"


def _quote(value: object, to_text: Callable[[object], str] = repr) -> str:
    """What a learner's code gave us, in words; even its `__repr__` may raise."""
    try:
        text = to_text(value)
    except (Exception, SystemExit):
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"


def _check_targets(routes: Iterable[Route], pools: Collection[str]) -> None:
    """Raises `ConfigError` when a route leads to a pool that does not exist."""
    for route in routes:
        for name in route.pools:
            if name not in pools:
                raise ConfigError(f"a route leads to pool {name!r}, which does not exist; {known(pools)}")
