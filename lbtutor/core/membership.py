"""Membership: who of a pool may be offered, and everything that changes it.

Probes change what is believed of a member, answers eject it, time readmits it, the operator drains it, disables it,
weighs it, adds and removes it. Whatever the cause, what follows is the same, and is in one place, `settle`: who is back
starts slowly, the pool panics or is calm again, and those who wait for room are told that there may be some.

What comes due later (an ejection that ends, the next step of a slow start, the deadline of a drain) stands in the
balancer's agenda.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from lbtutor.core.backend import STEPS, Backend
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import (
    Calmed,
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    Event,
    HealthChanged,
    Joined,
    Left,
    Panicked,
    Probed,
    ProbeSent,
    Readmitted,
    WeightChanged,
)
from lbtutor.core.messages import Add, Disable, Drain, Enable, Probe, ProbeResult, Remove, SetWeight
from lbtutor.core.pool import Pool, check_weight
from lbtutor.core.reload import take_over
from lbtutor.core.waiting import Agenda

MemberCommand = Add | Remove | Drain | Disable | Enable | SetWeight


class Membership:
    """The members of all pools. `pools` is shared with the balancer, by name, and may change under way.

    `tell` is told each event; `room(pool, now)` is called when a pool may have room for those who wait, and
    `cut(backend, now)` when the time to drain a backend is over.
    """

    def __init__(
        self,
        pools: dict[str, Pool],
        agenda: Agenda,
        *,
        tell: Callable[[Event], None],
        room: Callable[[Pool, float], None],
        cut: Callable[[Backend, float], None],
    ) -> None:
        self._pools = pools
        self._agenda = agenda
        self._tell = tell
        self._room = room
        self._cut = cut

    def __repr__(self) -> str:
        return f"<Membership of {list(self._pools.values())}>"

    def welcome(self, pool: Pool, now: float) -> None:
        """Tell of the members that a new pool begins with."""
        for backend in pool.members.values():
            self._tell(_joined(now, backend))

    def settle(self, pool: Pool, now: float) -> None:
        """What follows when somebody came in or went out, or has room again."""
        came, went = pool.look_again(now)
        for backend in went:
            self._agenda.drop(self._grow, backend)
        for backend in came:
            self._start_slowly(backend, now)
        self._tell_of_panic(pool, now)
        if pool.line:
            self._room(pool, now)

    def _tell_of_panic(self, pool: Pool, now: float) -> None:
        standing = pool.standing
        if standing.panics == pool.panicked:
            return
        pool.panicked = standing.panics
        up, willing = len(standing.up), standing.willing
        if standing.panics:
            self._tell(Panicked(now, pool.name, up, willing, pool.config.panic))
        else:
            self._tell(Calmed(now, pool.name, up, willing))

    # -- probes ---------------------------------------------------------------------------------------------------

    def probes(self, now: float) -> list[Probe]:
        """The probes to send now."""
        probes = []
        for pool in self._pools.values():
            check = pool.config.health
            if check is None:
                continue
            for backend in pool.members.values():
                if backend.health is not None and not backend.disabled and backend.health.due(now):
                    probes.append(Probe(pool.name, backend, check.path, check.timeout, check.mode))
                    self._tell(ProbeSent(now, pool.name, backend.name))
        return probes

    @property
    def next_probe(self) -> float:
        """When the next probe is to be sent; infinity when there is none to come."""
        return min(
            (
                backend.health.next_probe
                for pool in self._pools.values()
                for backend in pool.members.values()
                if backend.health is not None and not backend.health.probing and not backend.disabled
            ),
            default=inf,
        )

    def probed(self, backend: Backend, result: ProbeResult, now: float) -> None:
        """A probe of a member was answered, or failed."""
        if backend.health is None:
            return
        pool = self._pools[backend.pool]
        was = backend.health.believed
        count, needed, towards, changed = backend.health.result(result.ok)
        self._tell(Probed(now, pool.name, backend.name, result.ok, result.detail, count, needed, towards))
        if not changed:
            return
        pool.changed()
        because = _why_health_changed(count, result)
        self._tell(HealthChanged(now, pool.name, backend.name, was, towards, because))
        self.settle(pool, now)

    # -- ejection -------------------------------------------------------------------------------------------------

    def eject(self, backend: Backend, because: str, now: float) -> Ejected | None:
        """Throw a member out for its answers, unless the rules spare it; what is to be told of that."""
        pool = self._pools.get(backend.pool)
        until = None if pool is None else pool.eject(backend, now)
        if until is None:
            return None
        self._agenda.put(until, self._readmit, backend)
        return Ejected(now, backend.pool, backend.name, until, because)

    def _readmit(self, backend: Backend, now: float) -> None:
        pool = self._pools[backend.pool]
        pool.readmit(backend, now)
        self._tell(Readmitted(now, pool.name, backend.name))
        self.settle(pool, now)

    # -- slow start -----------------------------------------------------------------------------------------------

    def _start_slowly(self, backend: Backend, now: float) -> None:
        """Who is back gets a tenth of its share, and then by degrees the rest."""
        self._grow_to(1, backend, now)
        self._await_growth(backend)

    def _grow(self, backend: Backend, now: float) -> None:
        self._grow_to(backend.grown + 1, backend, now)
        if backend.grown < STEPS:
            self._await_growth(backend)

    def _await_growth(self, backend: Backend) -> None:
        """The share grows in a straight line over the window, so this step is due when the line has reached it."""
        window = self._pools[backend.pool].config.slow_start or 0.0
        self._agenda.put(backend.since + window * (backend.grown + 1) / STEPS, self._grow, backend)

    def _grow_to(self, step: int, backend: Backend, now: float) -> None:
        was = backend.weight
        backend.grow_to(step)
        if backend.weight != was:
            self._pools[backend.pool].changed()
            self._tell(_weight_changed(now, backend, was))

    # -- the operator's hand --------------------------------------------------------------------------------------

    def command(self, command: MemberCommand, now: float) -> None:
        """Carry out the operator's wish; asking twice changes nothing.

        Raises `ConfigError` for a pool or backend that does not exist, a name already taken, or a weight below 0.
        """
        pool = self._pools.get(command.pool)
        if pool is None:
            raise ConfigError(f"there is no pool {command.pool!r}; {known(self._pools)}")
        if isinstance(command, Add):
            self._tell(_joined(now, pool.join(command.backend, now)))
            self.settle(pool, now)
            return
        if command.backend not in pool.members:
            raise ConfigError(f"pool {pool.name} has no backend {command.backend!r}; {known(pool.members)}")
        if self._carry_out(command, pool, pool.members[command.backend], now):
            pool.changed()
            self.settle(pool, now)

    def _carry_out(
        self, command: Remove | Drain | Disable | Enable | SetWeight, pool: Pool, backend: Backend, now: float
    ) -> bool:
        """Do it; True when that may have changed who is offered, or how much each gets."""
        match command:
            case Remove():
                pool.leave(backend.name)
                self._part_with(backend, now)
            case Drain():
                return self._drain(backend, command.within, now)
            case Disable() if not backend.disabled:
                backend.disabled = True
                self._tell(Disabled(now, pool.name, backend.name))
            case Enable() if backend.disabled or backend.draining:
                backend.disabled = backend.draining = False
                self._agenda.drop(self._cut, backend)
                self._tell(Enabled(now, pool.name, backend.name))
            case SetWeight() if command.weight != backend.full_weight:
                check_weight(pool.name, backend.name, command.weight)
                was = backend.weight
                backend.weigh(command.weight)
                self._tell(_weight_changed(now, backend, was))
            case _:
                return False
        return True

    def _drain(self, backend: Backend, within: float | None, now: float) -> bool:
        """Begin a drain, or set another deadline for the one that is under way."""
        begins, backend.draining = not backend.draining, True
        if begins:
            self._tell(Draining(now, backend.pool, backend.name, backend.in_flight))
            if not backend.in_flight:
                self.drained(backend, now)
        if within is not None and backend.in_flight:
            self._agenda.put(now + within, self._cut, backend)
        return begins

    def drained(self, backend: Backend, now: float) -> None:
        """The last request of a draining member has ended."""
        self._agenda.drop(self._cut, backend)
        self._tell(Drained(now, backend.pool, backend.name))

    # -- reload ---------------------------------------------------------------------------------------------------

    def close(self, pool: Pool, now: float) -> None:
        """A pool is gone, and with it its members."""
        for backend in list(pool.members.values()):
            pool.leave(backend.name)
            self._part_with(backend, now)

    def succeed(self, pool: Pool | None, fresh: Pool, now: float) -> Pool:
        """The pool that goes on under that name: the one at work, configured like the fresh one, or that itself."""
        if pool is None:
            self.welcome(fresh, now)
            return fresh
        turnover = take_over(pool, fresh, now)
        for backend in turnover.left:
            self._part_with(backend, now)
        for backend in turnover.joined:
            self._tell(_joined(now, backend))
        for backend in turnover.readmitted:
            self._agenda.drop(self._readmit, backend)
            self._tell(Readmitted(now, pool.name, backend.name))
        for backend, was in turnover.reweighed:
            self._tell(_weight_changed(now, backend, was))
        return pool

    def _part_with(self, backend: Backend, now: float) -> None:
        """One has left its pool: nothing is due about it any more."""
        for matter in (self._readmit, self._cut, self._grow):
            self._agenda.drop(matter, backend)
        self._tell(Left(now, backend.pool, backend.name, backend.in_flight))


def known(names: Iterable[str]) -> str:
    """What there is, for somebody who asked for something else."""
    return f"there is {', '.join(names) or 'none'}"


def _why_health_changed(count: int, result: ProbeResult) -> str:
    word = "passed" if result.ok else "failed"
    if count == 1:
        return f"one probe {word}: {result.detail}"
    return f"{count} probes in a row {word}, the last with: {result.detail}"


def _weight_changed(now: float, backend: Backend, was: float) -> WeightChanged:
    return WeightChanged(now, backend.pool, backend.name, was, backend.weight, backend.slow_start)


def _joined(now: float, backend: Backend) -> Joined:
    return Joined(now, backend.pool, backend.name, backend.weight, backend.believed)
