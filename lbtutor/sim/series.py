"""Series: several requests of one client on one connection, each a pause after the answer to the one before.

What the balancer makes of them depends on the door:

    http    each request is balanced anew; the connection is nobody's concern but the client's
    tcp     the connection is what was balanced: it stays with one station, where its requests come one by one, and is
            in flight in the pauses too; what passes on it only its two ends know (`Exchanged`)

A connection that breaks ends its series. So does a pause that is longer than the door's `idle_timeout`, and the end of
the scenario: whoever pauses then leaves at once, and whoever waits for an answer leaves with that.
"""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.events import Event, Exchanged
from lbtutor.core.messages import Outcome
from lbtutor.core.workload import Arrival
from lbtutor.sim.guests import SERVED, Following, Guest, Guests
from lbtutor.sim.lines import Line
from lbtutor.sim.loop import Loop, Order


class Series:
    """The series of a run.

    `arrive` is called with the next request of a client that has each balanced, `ask` with the number of a connection
    whose next request reaches its station, `ended` with one that was closed in a pause.
    """

    def __init__(
        self,
        guests: Guests,
        loop: Loop,
        report: Callable[[Event], None] | None,
        arrive: Callable[[Arrival], None],
        ask: Callable[[int, Line], None],
        ended: Callable[[int, Outcome], None],
    ) -> None:
        self._guests = guests
        self._loop = loop
        self._report = report
        self._arrive = arrive
        self._ask = ask
        self._ended = ended
        self._pausing: dict[int, Line] = {}
        self._over = False

    def __repr__(self) -> str:
        return f"<Series pausing={list(self._pausing)}>"

    def stays(self, request: int, outcome: Outcome) -> bool:
        """A station has done with a request: does its connection stay open for another?"""
        guest = self._guests.known.get(request)
        if guest is None or guest.line is None or not guest.manner.overheard or outcome.kind != "answered":
            return False
        self._tell(guest, guest.line, outcome)
        guest.was_answered = True
        if not guest.left or self._over:
            return False
        self._pause(request, guest, guest.line)
        return True

    def follow(self, request: int) -> None:
        """A request is over: where each is balanced, its client's next one comes after the pause."""
        self._pausing.pop(request, None)
        guest = self._guests.known.get(request)
        if guest is not None and guest.left and not guest.manner.bare:
            arrival, at = guest.arrival, self._loop.now + guest.manner.rule.pause
            following = Following(
                at, arrival.client, arrival.to, arrival.method, arrival.host, arrival.path, arrival.rule, guest.left - 1
            )
            self._loop.schedule(at, Order.ARRIVAL, self._follow, following)

    def close(self) -> None:
        """The scenario is over: nothing follows any more."""
        self._over = True
        for request in list(self._pausing):
            self._hang_up(request)

    def _pause(self, request: int, guest: Guest, line: Line) -> None:
        self._pausing[request] = line
        line.station.keep(request)
        pause, patience = guest.manner.rule.pause, line.patience
        if pause < patience:
            self._loop.schedule_in(pause, Order.ARRIVAL, self._go_on, request)
        else:
            self._loop.schedule_in(patience, Order.END, self._hang_up, request)

    def _go_on(self, request: int) -> None:
        line = self._pausing.pop(request, None)
        if line is not None:  # it did not break meanwhile
            guest = self._guests.known[request]
            guest.left -= 1
            guest.asked_at = self._loop.now
            self._ask(request, line)

    def _hang_up(self, request: int) -> None:
        line = self._pausing.pop(request, None)
        if line is not None:
            line.station.abandon(request)
            self._ended(request, SERVED)

    def _follow(self, arrival: Following) -> None:
        if not self._over:
            self._arrive(arrival)

    def _tell(self, guest: Guest, line: Line, outcome: Outcome) -> None:
        if self._report is not None:
            now, machine = self._loop.now, line.machine
            took = now - guest.asked_at
            self._report(Exchanged(now, machine.pool, machine.name, guest.client, outcome.status, took))
