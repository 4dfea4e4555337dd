"""`simulate`: a shell of the balancer whose clock is virtual.

It does what the live shell does with sockets, and in the same order:

    an arrival     balancer.arrive, then the request is carried to the station that was picked
    an end         balancer.finish; if that asks for another try, the request is carried there
    a deadline     `response_timeout` after a request was sent, the balancer stops waiting for its answer
    a probe        balancer.tick when it says so; the result is known at once, or after the probe's timeout
    a readmission  balancer.tick, too
    an act         a fault befalls a station and the balancer is not told; a command goes to the balancer

A connection takes no time here and no message is lost, so `connect_timeout` is never reached.

The scenario is over at `plan.lasts`: from then on nothing arrives, no act is played and no probe is sent. Requests
under way may still end, for `plan.drain` at most; those that have not are cut off as `cancelled`, so that every arrival
has its end in the trace. `Ended` comes last, at `plan.lasts` or when the last of them ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from random import Random
from typing import Literal

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Ended, Event, OriginChanged
from lbtutor.core.messages import Add, Command, Forward, Outcome, Probe, ProbeResult, Request
from lbtutor.core.units import say_duration
from lbtutor.core.workload import Arrival, Fault, Plan, arrivals, client_address
from lbtutor.sim.loop import Loop, Order
from lbtutor.sim.station import Station

_TIMED_OUT = Outcome.failed("timed_out")
_CANCELLED = Outcome.failed("cancelled")
_NO_HEADERS: Mapping[str, str] = {}


def simulate(
    plan: Plan, report: Callable[[Event], None] | None, *, algorithms: Mapping[str, Algorithm] | None = None
) -> None:
    """Play `plan` from 0 to its end, telling `report` each event as it happens; with None, no event is built.

    `algorithms` replaces the configured algorithm of the named pools. An interruption by the keyboard ends the run with
    `Ended(now, "interrupted")`, and `simulate` returns as usual: what was reported until then stands.

    Raises `ConfigError` when the plan needs a machine that it does not describe (somebody's server, for instance).
    """
    loop = Loop()
    because: Literal["lasted", "interrupted"] = "lasted"
    try:
        _Stage(plan, loop, report, algorithms).play()
    except KeyboardInterrupt:
        because = "interrupted"
    if report is not None:
        report(Ended(loop.now, because))


class _Line:
    """The balancer's line to one station: how long it waits for an answer, and whether an alarm is set for that."""

    __slots__ = ("alarmed", "patience", "station")

    def __init__(self, station: Station, patience: float) -> None:
        self.station = station
        self.patience = patience
        self.alarmed = False


class _Stage:
    """One run of one plan: the balancer, the stations, and what passes between them."""

    def __init__(
        self,
        plan: Plan,
        loop: Loop,
        report: Callable[[Event], None] | None,
        algorithms: Mapping[str, Algorithm] | None,
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._report = report
        self._lines = _lines(plan, loop, self._ended)
        rng = Random(f"{plan.seed}/balancer")
        self._balancer = Balancer(plan.pools, plan.routes, rng=rng, report=report, algorithms=algorithms)
        self._arrivals = arrivals(plan.traffic, plan.seed, plan.lasts)
        self._addresses: dict[int, str] = {}
        self._requests = 0
        self._next_tick = inf
        self._held_probes: dict[Backend, Probe] = {}

    def play(self) -> None:
        """From the first moment to the last request's end."""
        lasts = float(self._plan.lasts)  # times of events are plain floats: a journal cannot hold `Seconds`
        for act in self._plan.acts:
            if act.at < lasts:
                self._loop.schedule(float(act.at), Order.ACT, self._act, act.what)
        self._await_arrival()
        self._await_tick()
        self._loop.run(until=lasts)
        self._drain(lasts + self._plan.drain)

    def _drain(self, until: float) -> None:
        while self._balancer.open_requests and self._loop.next_at <= until:
            self._loop.step()
        if self._balancer.open_requests:
            self._loop.run(until)
            for line in self._lines.values():
                self._give_up(line, 0.0, _CANCELLED)

    def _await_arrival(self) -> None:
        arrival = next(self._arrivals, None)
        if arrival is not None:
            self._loop.schedule(arrival.at, Order.ARRIVAL, self._arrive, arrival)

    def _arrive(self, arrival: Arrival) -> None:
        self._await_arrival()
        self._requests += 1
        client = self._address(arrival.client)
        decision = self._balancer.arrive(
            Request(
                self._requests,
                arrival.at,
                client,
                client,
                1,
                arrival.method,
                arrival.host,
                arrival.path,
                _NO_HEADERS,
                arrival.to,
            )
        )
        if type(decision) is Forward:
            self._carry(decision)

    def _address(self, client: int) -> str:
        address = self._addresses.get(client)
        if address is None:
            address = self._addresses[client] = client_address(client)
        return address

    def _carry(self, forward: Forward | None) -> None:
        """Bring a request to the station that was picked, and to the next one for as long as it ends there at once."""
        while forward is not None:
            line = self._lines[forward.pool, forward.backend.name]
            outcome = line.station.accept(forward.request)
            if outcome is None:
                if not line.alarmed:
                    self._set_alarm(line, self._loop.now)
                return
            forward = self._finish(forward.request, outcome)

    def _ended(self, request: int, outcome: Outcome) -> None:
        self._carry(self._finish(request, outcome))

    def _finish(self, request: int, outcome: Outcome) -> Forward | None:
        again = self._balancer.finish(request, outcome, self._loop.now)
        if self._balancer.next_readmission < self._next_tick:
            self._await_tick()
        return again

    def _set_alarm(self, line: _Line, taken_in: float) -> None:
        """Requests reach a station in order of time, so one alarm, for its oldest, serves them all."""
        line.alarmed = True
        self._loop.schedule(taken_in + line.patience, Order.DEADLINE, self._alarm, line)

    def _alarm(self, line: _Line) -> None:
        line.alarmed = False
        self._give_up(line, line.patience, _TIMED_OUT)
        oldest = line.station.oldest
        if oldest is not None:
            self._set_alarm(line, oldest.taken_in)

    def _give_up(self, line: _Line, patience: float, outcome: Outcome) -> None:
        """Wait no longer for those that have been at the station for `patience`."""
        now = self._loop.now
        while (oldest := line.station.oldest) is not None and oldest.taken_in + patience <= now:
            line.station.abandon(oldest.request)
            self._ended(oldest.request, outcome)

    def _await_tick(self) -> None:
        deadline = self._balancer.next_deadline()
        if deadline is not None and deadline < min(self._next_tick, self._plan.lasts):
            self._next_tick = deadline
            self._loop.schedule(max(deadline, self._loop.now), Order.PROBE, self._tick, None)

    def _tick(self, _: None) -> None:
        self._next_tick = inf
        for probe in self._balancer.tick(self._loop.now):
            self._send_probe(probe)
        self._await_tick()

    def _send_probe(self, probe: Probe) -> None:
        result = self._lines[probe.pool, probe.backend.name].station.probe()
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
            self._await_tick()

    def _settle_held_probes(self) -> None:
        for backend, probe in list(self._held_probes.items()):
            result = self._lines[probe.pool, backend.name].station.held_probe()
            if result is not None:
                del self._held_probes[backend]
                self._balancer.probed(backend, result, self._loop.now)

    def _act(self, what: Fault | Command) -> None:
        if isinstance(what, Fault):
            self._befall(what)
        else:
            self._balancer.command(what, self._loop.now)
        self._await_tick()

    def _befall(self, fault: Fault) -> None:
        if self._report is not None:
            event = OriginChanged(self._loop.now, fault.pool, fault.backend, fault.kind, fault.amount, "timeline")
            self._report(event)
        self._lines[fault.pool, fault.backend].station.befall(fault)
        self._settle_held_probes()


def _lines(plan: Plan, loop: Loop, ended: Callable[[int, Outcome], None]) -> dict[tuple[str, str], _Line]:
    """A line to each machine of the plan; raises `ConfigError` when the plan needs one that it does not describe."""
    patience = {pool.name: pool.response_timeout for pool in plan.pools}
    lines = {
        (machine.pool, machine.name): _Line(Station(machine, plan.seed, loop, ended), patience[machine.pool])
        for machine in plan.machines
        if machine.pool in patience
    }
    for pool, name, needed_by in _needed_machines(plan):
        if (pool, name) not in lines:
            known = ", ".join(f"{pool}/{name}" for pool, name in lines) or "none"
            raise ConfigError(
                f"{needed_by} needs a machine {pool}/{name}, and the plan describes none of that name; known: {known}. "
                "The simulator plays machines of the plan only, not servers at an `address`"
            )
    return lines


def _needed_machines(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for pool in plan.pools:
        for backend in pool.backends:
            yield pool.name, backend.name, f"pool {pool.name}"
    for act in plan.acts:
        if isinstance(act.what, Fault):
            yield act.what.pool, act.what.backend, f"{act.what.kind} at {say_duration(act.at)}"
        elif isinstance(act.what, Add):
            yield act.what.pool, act.what.backend.name, f"add at {say_duration(act.at)}"
