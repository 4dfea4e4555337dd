"""`simulate`: a shell of the balancer whose clock is virtual.

It does what the live shell does with sockets, and in the same order:

    an arrival     balancer.arrive, then the request is carried to the station that was picked
    an end         balancer.finish; if that asks for another try, the request is carried there
    a decision     what became of requests that waited, and whom to cut off (balancer.take_decided)
    a deadline     `response_timeout` after a request was sent, the balancer stops waiting for its answer
    an alarm       balancer.tick when it says so: an ejection, a back-off, a drain, a place in a queue is over
    a probe        balancer.tick, too; the result is known at once, or after the probe's timeout
    an act         a fault befalls a station and the balancer is not told; a command goes to the balancer

A connection takes no time here and no message is lost, so `connect_timeout` is never reached; a message takes the
`delay` of the machine that it goes to or comes from (`lbtutor.sim.distant`). Most requests are plain: who sent them
does not matter any more once they are sent. Those that are not are `lbtutor.sim.guests`; several on one connection are
a series (`lbtutor.sim.series`), and datagrams come in sessions (`lbtutor.sim.datagrams`). Several balancers look like
one from here (`lbtutor.sim.balancers`).

The scenario is over at `plan.lasts`: from then on nothing arrives, no act is played and no probe is sent. Requests
under way may still end, for `plan.drain` at most; those that have not are cut off as `cancelled`, so that every arrival
has its end in the trace. `Ended` comes last, at `plan.lasts` or when the last of them ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from random import Random
from typing import Literal

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.events import Ended, Event, OriginChanged
from lbtutor.core.messages import Command, Cut, Decision, Forward, Outcome, Probe, ProbeResult, Request, Wait
from lbtutor.core.units import say_duration
from lbtutor.core.workload import Arrival, Fault, Plan, arrivals, client_address
from lbtutor.sim.balancers import Balancers
from lbtutor.sim.datagrams import Sessions
from lbtutor.sim.guests import Guests
from lbtutor.sim.lines import Line, LineTo, lines_of
from lbtutor.sim.loop import Loop, Order
from lbtutor.sim.series import Series

_TIMED_OUT = Outcome.failed("timed_out")
_CANCELLED = Outcome.failed("cancelled")
_CLOSED = Outcome.failed("closed")
_CUT = Outcome.failed("cut", 101)


def simulate(
    plan: Plan,
    report: Callable[[Event], None] | None,
    *,
    algorithms: Mapping[str, Algorithm] | None = None,
    kinds: frozenset[type] | None = None,
) -> None:
    """Play `plan` from 0 to its end, telling `report` each event as it happens; with None, no event is built.

    `algorithms` replaces the configured algorithm of the named pools. Of the balancer's events only those `kinds` are
    told, and built (see `Balancer.report_to`); what happens on the stage is told always. An interruption by the
    keyboard ends the run with `Ended(now, "interrupted")`, and `simulate` returns as usual: what was reported until
    then stands.

    Raises `ConfigError` when the plan needs a machine that it does not describe (somebody's server, for instance).
    """
    loop = Loop()
    because: Literal["lasted", "interrupted"] = "lasted"
    try:
        _Stage(plan, loop, report, algorithms, kinds).play()
    except KeyboardInterrupt:
        because = "interrupted"
    if report is not None:
        report(Ended(loop.now, because))


class _Stage:
    """One run of one plan: the balancer, the stations, and what passes between them."""

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        report: Callable[[Event], None] | None,
        algorithms: Mapping[str, Algorithm] | None,
        kinds: frozenset[type] | None,
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._report = report
        self._lines = lines_of(plan, loop, self._ended)
        self._line_to = LineTo(self._lines)
        self._guests = Guests(plan, loop, report)
        self._known_guests = self._guests.known
        self._manners = self._guests.manners
        self._sessions = Sessions(plan, loop, self._ended)
        self._series = Series(self._guests, loop, report, self._arrive, self._ask, self._ended)
        self._balancer = self._balancer_of(plan, kinds, algorithms)
        self._addresses = [client_address(client) for client in range(_most_clients(plan))]
        self._requests = 0
        self._waiting: set[int] = set()
        self._next_tick = inf
        self._over = False
        self._held_probes: dict[Backend, Probe] = {}

    def _balancer_of(
        self, plan: Plan, kinds: frozenset[type] | None, algorithms: Mapping[str, Algorithm] | None
    ) -> Balancer | Balancers:
        report = self._report
        if plan.balancers:
            return Balancers(plan, self._loop, report, kinds, algorithms, self._lose, self._await_tick)
        rng = Random(f"{plan.seed}/balancer")
        return Balancer(plan.pools, plan.every_route, rng=rng, report=report, kinds=kinds, algorithms=algorithms)

    def play(self) -> None:
        """From the first moment to the last request's end."""
        lasts = float(self._plan.lasts)  # times of events are plain floats: a journal cannot hold `Seconds`
        for act in self._plan.acts:
            if act.at < lasts:
                self._loop.schedule(float(act.at), Order.ACT, self._act, act.what)
        self._await_tick()
        self._loop.run_with(arrivals(self._plan.traffic, self._plan.seed, lasts), Order.ARRIVAL, self._arrive)
        self._loop.run(until=lasts)
        self._drain(lasts + self._plan.drain)

    def _drain(self, until: float) -> None:
        self._over, self._next_tick = True, inf
        self._series.close()
        self._await_tick()
        while self._under_way and self._loop.next_at <= until:
            self._loop.step()
        if self._under_way:
            self._loop.run(until)
            self._send_everybody_home()

    @property
    def _under_way(self) -> bool:
        return bool(self._balancer.open_requests or self._waiting)

    def _send_everybody_home(self) -> None:
        for request in sorted(self._waiting):
            self._balancer.finish(request, _CANCELLED, self._loop.now)
        self._waiting.clear()
        for line in self._lines.values():
            self._give_up(line, 0.0, _CANCELLED)
            for request in line.station.conversations:
                line.station.abandon(request)
                self._ended(request, _CANCELLED)
        for request in list(self._sessions.known):
            self._ended(request, _CANCELLED)

    # -- requests -------------------------------------------------------------------------------------------------

    def _arrive(self, arrival: Arrival) -> None:
        manner, client, request = self._manners[arrival.rule], self._addresses[arrival.client], self._requests + 1
        if manner.plain:
            fields = manner.fields
        elif self._sessions.takes(arrival):
            return
        else:
            fields = self._welcome(request, arrival, client)
        self._requests = request
        decision = self._balancer.arrive(
            Request(
                request,
                arrival.at,
                client,
                client,
                1,
                manner.method,
                manner.host,
                manner.path,
                fields,
                arrival.to,
                manner.server_name,
            )
        )
        if type(decision) is Forward:
            self._carry(decision)
        else:
            self._leave_or_wait(request, decision)

    def _welcome(self, request: int, arrival: Arrival, client: str) -> Mapping[str, str]:
        """Somebody comes who is to be remembered: what the request says."""
        self._sessions.begin(request, arrival)
        return self._guests.welcome(request, arrival, client)

    def _see_off(self, request: int, outcome: Outcome | None = None) -> None:
        """It is over, after an answer or without."""
        self._series.follow(request)
        self._guests.see_off(request, outcome)
        self._sessions.see_off(request)

    def _leave_or_wait(self, request: int, decision: Decision) -> None:
        """It was answered by the balancer itself, or waits."""
        if type(decision) is Wait:
            self._waiting.add(request)
            self._await_tick()
        else:
            self._see_off(request)

    def _carry(self, forward: Forward) -> None:
        """Bring a request to the station that was picked; if it ends there at once, the news takes a moment."""
        line = self._line_to[forward.backend]
        request = forward.request
        outcome = self._bring(forward, line) if self._known_guests else line.station.accept(request)
        if outcome is not None:
            self._loop.schedule(self._loop.now, Order.END, self._ended_at_once, (request, outcome))
        elif not line.alarmed:
            self._set_alarm(line, self._loop.now)

    def _ask(self, request: int, line: Line) -> None:
        """The next request on a connection reaches its station."""
        outcome = line.station.accept_again(request)
        if outcome is not None:
            self._loop.schedule(self._loop.now, Order.END, self._ended_at_once, (request, outcome))
        elif not line.alarmed:
            self._set_alarm(line, self._loop.now)

    def _ended_at_once(self, ended: tuple[int, Outcome]) -> None:
        self._ended(*ended)

    def _bring(self, forward: Forward, line: Line) -> Outcome | None:
        session = self._sessions.known.get(forward.request)
        return self._guests.bring(forward, line) if session is None else self._sessions.bring(session, line)

    def _ended(self, request: int, outcome: Outcome) -> None:
        if self._known_guests:
            again = self._finish_guest(request, outcome)
        else:
            again = self._balancer.finish(request, outcome, self._loop.now)
        if self._balancer.agenda.next < self._next_tick:
            self._await_tick()
        if again is not None:
            self._try_again(request, again)
        if self._waiting:  # only a request that waits is decided by the end of another
            self._settle()

    def _try_again(self, request: int, again: Forward | Wait) -> None:
        if type(again) is Forward:
            self._carry(again)
        else:
            self._waiting.add(request)

    def _finish_guest(self, request: int, outcome: Outcome) -> Forward | Wait | None:
        seen, outcome = outcome, self._guests.served(request, outcome)
        if self._series.stays(request, seen):
            return None
        is_repeatable = request not in self._sessions.known
        again = self._balancer.finish(request, outcome, self._loop.now, is_repeatable)
        if again is None:
            self._see_off(request, outcome)
        return again

    def _settle(self) -> None:
        """Do what the balancer decided of requests that came before."""
        while decided := self._balancer.take_decided():
            for decision in decided:
                if type(decision) is Cut:
                    self._cut(decision.request)
                    continue
                self._waiting.discard(decision.request)
                if type(decision) is Forward:
                    self._carry(decision)
                else:
                    self._see_off(decision.request)

    def _lose(self, requests: list[int]) -> None:
        """The balancer that they went through is dead: who waits goes first, for there will be no room."""
        waiting = self._waiting.intersection(requests)
        for request in sorted(waiting):
            self._waiting.remove(request)
            self._balancer.finish(request, _CANCELLED, self._loop.now)
            self._see_off(request)
        for request in requests:
            if request not in waiting:
                self._cut(request)

    def _cut(self, request: int) -> None:
        session = self._sessions.known.get(request)
        if session is not None:
            self._ended(request, self._sessions.cut_short(session))
        for line in self._lines.values():
            if line.station.has(request):
                outcome = _CUT if line.station.converses(request) else _CLOSED
                line.station.abandon(request)
                self._ended(request, outcome)

    # -- deadlines ------------------------------------------------------------------------------------------------

    def _set_alarm(self, line: Line, taken_in: float) -> None:
        """Requests reach a station in order of time, so one alarm, for its oldest, serves them all."""
        line.alarmed = True
        self._loop.schedule(taken_in + line.patience, Order.DEADLINE, self._alarm, line)

    def _alarm(self, line: Line) -> None:
        line.alarmed = False
        self._give_up(line, line.patience, _TIMED_OUT)
        oldest = line.station.oldest
        if oldest is not None:
            self._set_alarm(line, oldest.taken_in)

    def _give_up(self, line: Line, patience: float, outcome: Outcome) -> None:
        """Wait no longer for those that have been at the station for `patience`."""
        now = self._loop.now
        while (oldest := line.station.oldest) is not None and oldest.taken_in + patience <= now:
            line.station.abandon(oldest.request)
            self._ended(oldest.request, outcome)

    def _await_tick(self) -> None:
        """Ask the balancer again when it wants to be asked; once the scenario is over, not for probes."""
        deadline = self._balancer.next_alarm if self._over else self._balancer.next_deadline()
        horizon = inf if self._over else float(self._plan.lasts)
        if deadline is not None and deadline < min(self._next_tick, horizon):
            self._next_tick = max(deadline, self._loop.now)
            self._loop.schedule(self._next_tick, Order.PROBE, self._tick, self._next_tick)

    def _tick(self, when: float) -> None:
        if when != self._next_tick:  # another one was set for an earlier time, and has done it all
            return
        self._next_tick = inf
        if self._over:
            self._balancer.attend(self._loop.now)
        else:
            for probe in self._balancer.tick(self._loop.now):
                self._send_probe(probe)
        self._settle()
        self._await_tick()

    # -- probes ---------------------------------------------------------------------------------------------------

    def _send_probe(self, probe: Probe) -> None:
        station = self._lines[probe.pool, probe.backend.name].station
        result = station.knock() if probe.mode == "tcp" else station.probe()
        if result is not None:
            self._balancer.probed(probe.backend, result, self._loop.now)
        else:
            self._held_probes[probe.backend] = probe
            self._loop.schedule(self._loop.now + probe.timeout, Order.DEADLINE, self._probe_timed_out, probe)

    def _probe_timed_out(self, probe: Probe) -> None:
        if self._held_probes.get(probe.backend) is probe:
            del self._held_probes[probe.backend]
            silence = ProbeResult(ok=False, detail=f"no answer in {say_duration(probe.timeout)}")
            self._balancer.probed(probe.backend, silence, self._loop.now)
            self._settle()
            self._await_tick()

    def _settle_held_probes(self) -> None:
        for backend, probe in list(self._held_probes.items()):
            result = self._lines[probe.pool, backend.name].station.held_probe()
            if result is not None:
                del self._held_probes[backend]
                self._balancer.probed(backend, result, self._loop.now)

    # -- acts -----------------------------------------------------------------------------------------------------

    def _act(self, what: Fault | Command) -> None:
        if isinstance(what, Fault):
            self._befall(what)
        else:
            self._balancer.command(what, self._loop.now)
        self._settle()
        self._await_tick()

    def _befall(self, fault: Fault) -> None:
        if self._report is not None:
            event = OriginChanged(self._loop.now, fault.pool, fault.backend, fault.kind, fault.amount, "timeline")
            self._report(event)
        line = self._lines[fault.pool, fault.backend]
        if fault.kind == "crash":
            line.crash()
        line.station.befall(fault)
        self._settle_held_probes()


def _most_clients(plan: Plan) -> int:
    return max((rule.clients for rule in plan.traffic), default=0)
