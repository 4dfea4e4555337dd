"""`Balancers`: several balancers in front of the same stations, and clients that find one by DNS.

To the simulator they look like one `core.Balancer`. Each is one of its own, with its own counts, turns and beliefs, and
sees only what it sent itself: to the least connections of one of two, the half of the work is invisible that came
through the other. They share nothing but the stations, and the operator, who tells each the same.

One that dies takes along what was under way through it, and whoever still believes in it goes there in vain
(`Stranded`): no balancer sees those requests. One that comes back is started anew and has forgotten everything but the
operator's commands, which it is told again. A client asks the name server for each request whose answer is too old, so
a series of requests (`lbtutor.sim.series`) may change its balancer in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from random import Random

from msgspec.structs import replace

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.events import Arrived, BalancerChanged, Event, Stranded
from lbtutor.core.messages import (
    Command,
    Decided,
    Decision,
    Forward,
    Outcome,
    Probe,
    ProbeResult,
    Reject,
    Request,
    Wait,
)
from lbtutor.core.waiting import Agenda
from lbtutor.core.workload import Plan
from lbtutor.sim.loop import Loop, Order
from lbtutor.sim.names import NameServer

_CUT = Outcome.failed("cut")

_Make = Callable[[str, float], Balancer]


class Balancers:
    """The balancers of a plan.

    `lose` is called with the requests that were under way through one that dies, `changed` when one died or came back.
    """

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        report: Callable[[Event], None] | None,
        kinds: frozenset[type] | None,
        algorithms: Mapping[str, Algorithm] | None,
        lose: Callable[[list[int]], None],
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._report = report
        self._lose = lose
        self._changed = changed
        self._make = _maker(plan, report, kinds, algorithms)
        self._alive = {config.name: self._make(config.name, loop.now) for config in plan.balancers}
        self._names = NameServer(plan.dns, tuple(self._alive), loop, self._tell)
        self._home: dict[int, Balancer] = {}
        self._commands: list[Command] = []
        for config in plan.balancers:
            for at, call in ((config.dies, self._die), (config.returns, self._return)):
                if at is not None and at < plan.lasts:
                    loop.schedule(float(at), Order.ACT, call, config.name)

    def __repr__(self) -> str:
        return f"<Balancers alive={list(self._alive)}>"

    # -- as one balancer --------------------------------------------------------------------------------------------

    def arrive(self, request: Request) -> Decision:
        """A client sends a request to the balancer that it believes in."""
        name = self._names.find(request.client)
        balancer = self._alive.get(name)
        if balancer is None:
            self._tell(Stranded(request.at, request.client, name))
            return Reject(request.id, 0, f"{name} is dead")
        decision = balancer.arrive(request)
        if isinstance(decision, Forward | Wait):
            self._home[request.id] = balancer
        return decision

    def finish(self, request_id: int, outcome: Outcome, now: float, repeatable: bool = True) -> Forward | Wait | None:
        """An attempt ended: its balancer is told. A dead one tries nothing again."""
        balancer = self._home[request_id]
        if balancer not in self._alive.values() and outcome.kind != "cancelled":
            outcome = _CUT
        again = balancer.finish(request_id, outcome, now, repeatable)
        if again is None:
            del self._home[request_id]
        return again

    def take_decided(self) -> list[Decided]:
        """What any of them decided."""
        decided = [one for balancer in self._alive.values() for one in balancer.take_decided()]
        for one in decided:
            if isinstance(one, Reject):
                del self._home[one.request]
        return decided

    def tick(self, now: float) -> list[Probe]:
        """The probes of all: each sends its own."""
        return [probe for balancer in self._alive.values() for probe in balancer.tick(now)]

    def attend(self, now: float) -> None:
        """What is due other than probes."""
        for balancer in self._alive.values():
            balancer.attend(now)

    def probed(self, backend: Backend, result: ProbeResult, now: float) -> None:
        """The result goes to who sent the probe, if that one is alive."""
        for balancer in self._alive.values():
            if balancer.has(backend):
                balancer.probed(backend, result, now)

    def command(self, command: Command, now: float) -> None:
        """The operator tells each of them."""
        self._commands.append(command)
        for balancer in self._alive.values():
            balancer.command(command, now)

    def next_deadline(self) -> float | None:
        """When the first of them wants to be asked."""
        deadlines = (balancer.next_deadline() for balancer in self._alive.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @property
    def next_alarm(self) -> float:
        return self.agenda.next

    @property
    def agenda(self) -> Agenda:
        """The agenda on which something comes due first."""
        return min((balancer.agenda for balancer in self._alive.values()), key=_next_of, default=_NOTHING)

    @property
    def open_requests(self) -> int:
        return sum(balancer.open_requests for balancer in self._alive.values())

    # -- what befalls them ------------------------------------------------------------------------------------------

    def _die(self, name: str) -> None:
        dead = self._alive.pop(name)
        self._tell(BalancerChanged(self._loop.now, name, "died"))
        self._names.changed(name, alive=False)
        self._lose([request for request, home in self._home.items() if home is dead])
        self._changed()

    def _return(self, name: str) -> None:
        now = self._loop.now
        self._tell(BalancerChanged(now, name, "returned"))
        balancer = self._alive[name] = self._make(name, now)
        for command in self._commands:
            balancer.command(command, now)
        self._names.changed(name, alive=True)
        self._changed()

    def _tell(self, event: Event) -> None:
        if self._report is not None:
            self._report(event)


_NOTHING = Agenda()


def _next_of(agenda: Agenda) -> float:
    return agenda.next


def _maker(
    plan: Plan,
    report: Callable[[Event], None] | None,
    kinds: frozenset[type] | None,
    algorithms: Mapping[str, Algorithm] | None,
) -> _Make:
    """Starts a balancer of that name, as the plan has it: dice, algorithms and all else its own."""

    def make(name: str, now: float) -> Balancer:
        return Balancer(
            plan.pools,
            plan.every_route,
            rng=Random(f"{plan.seed}/balancer/{name}"),
            report=None if report is None else _signed(report, name),
            kinds=kinds,
            now=now,
            algorithms=deepcopy(dict(algorithms or {})),
        )

    return make


def _signed(report: Callable[[Event], None], name: str) -> Callable[[Event], None]:
    """Tells whom a request arrived at."""

    def tell(event: Event) -> None:
        report(replace(event, balancer=name) if isinstance(event, Arrived) else event)

    return tell
