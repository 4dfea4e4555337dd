"""`Shell`: what all connections of one live run share, and their only way to the balancer.

A shell holds the balancer: it brings the facts, and does what is decided. After each decision the gate is looked at, so
that a stage held "until the next event" stands still right behind that event, before anything follows from it.

Some requests are decided later: they wait for a free backend or for their next try, or are to be cut off in the middle.
Whoever brought one is its `Guest`, and is told what was decided in the next round of the loop, when nobody is in the
middle of anything. Those who wait are known by their ids; whom to cut off is asked of the doors, because that is seldom
and every other request then needs no list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Protocol

from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.events import Refused
from lbtutor.core.messages import (
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
    Wait,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.routing import Route
from lbtutor.live.clock import Clock
from lbtutor.live.gate import Gate

_CANCELLED = Outcome.failed("cancelled")


class Guest(Protocol):
    """Who brought a request, and does what is decided of it later."""

    id: int

    def go_on(self, forward: Forward) -> None:
        """It waited long enough: send it there."""

    def turn_away(self, reject: Reject) -> None:
        """It waited in vain."""

    def cut(self) -> None:
        """End its attempt now, and `finish` it."""


class Shell:
    """The balancer, its clock and its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, gate: Gate, balancer: Balancer) -> None:
        self.loop = loop
        self.clock = clock
        self.balancer = balancer
        self.next_id = count(1).__next__
        self.most_buffered = 0
        self.look_again: Callable[[], None] = _nothing
        """Called when the balancer's next deadline has come nearer."""
        self.guests: Callable[[], Iterable[Guest]] = tuple
        """Everybody who has a request under way."""
        self._waiting: dict[int, Guest] = {}
        self._decided: list[Decided] = []
        self._next_alarm = balancer.next_alarm
        self._gate = gate

    def __repr__(self) -> str:
        return f"<Shell {self.balancer!r} {self.clock!r}>"

    def stand_still_if_held(self) -> None:
        """Go no further while the stage is held."""
        if self._gate.closed:
            self._gate.wait()

    def arrive(self, request: Request) -> Decision:
        """A request is here; what to do with it."""
        decision = self.balancer.arrive(request)
        self.stand_still_if_held()
        return decision

    def finish(self, request: int, outcome: Outcome, repeatable: bool = True) -> Forward | Wait | None:
        """An attempt ended; a `Forward` asks for another, and so does a `Wait`, later."""
        again = self.balancer.finish(request, outcome, self.clock.now, repeatable)
        if self.balancer.next_alarm != self._next_alarm:
            self._mind_the_alarm()
        if self._waiting or self._decided:
            self._catch_up(request)
        self.stand_still_if_held()
        return again

    def refused(self, listener: str, client: str, status: int, because: str) -> None:
        """Somebody was refused at the door, before there was a request."""
        self.balancer.refused(Refused(self.clock.now, listener, client, status, because))
        self.stand_still_if_held()

    def wants_again(self, request: int, outcome: Outcome, repeatable: bool) -> bool:
        """Would an attempt that ended so be followed by another one?"""
        return self.balancer.wants_again(request, outcome, self.clock.now, repeatable)

    def tick(self) -> list[Probe]:
        """The probes to send now."""
        probes = self.balancer.tick(self.clock.now)
        self._next_alarm = self.balancer.next_alarm
        self._take_decided()
        self.stand_still_if_held()
        return probes

    def attend(self) -> list[Probe]:
        """The same once no probes are sent any more: none."""
        self.balancer.attend(self.clock.now)
        self._next_alarm = self.balancer.next_alarm
        self._take_decided()
        self.stand_still_if_held()
        return []

    def probed(self, backend: Backend, result: ProbeResult) -> None:
        """A probe was answered, or was not."""
        self.balancer.probed(backend, result, self.clock.now)
        self._take_decided()
        self.stand_still_if_held()

    def command(self, command: Command) -> None:
        """The operator's wish."""
        self.balancer.command(command, self.clock.now)
        self._take_decided()

    def reconfigure(self, pools: Sequence[PoolConfig], routes: Sequence[Route]) -> None:
        """Other pools and routes from here on, or `ConfigError` and none of them."""
        self.balancer.reconfigure(pools, routes, self.clock.now)
        self._take_decided()

    # -- what is decided later ------------------------------------------------------------------------------------

    def wait_for(self, guest: Guest) -> None:
        """The answer was `Wait`: this one wants to know what becomes of it."""
        self._waiting[guest.id] = guest
        self._mind_the_alarm()

    def leave(self, guest: Guest) -> None:
        """A client leaves before its request is over."""
        if self._waiting.pop(guest.id, None) is None or not self._was_turned_away(guest.id):
            self.finish(guest.id, _CANCELLED)

    def _was_turned_away(self, request: int) -> bool:
        """It was, and could not be told yet."""
        self._take_decided()
        return any(isinstance(decided, Reject) and decided.request == request for decided in self._decided)

    def _catch_up(self, ended: int) -> None:
        """The end of an attempt may help one that waits; and that attempt need not be cut off any more."""
        self._decided = [one for one in self._decided if not (isinstance(one, Cut) and one.request == ended)]
        self._take_decided()

    def _take_decided(self) -> None:
        decided = self.balancer.take_decided()
        if decided:
            if not self._decided:
                self.loop.call_soon(self._carry_out)
            self._decided += decided

    def _carry_out(self) -> None:
        """Tell those who wait what was decided of them, and those who are to be cut off."""
        decided, self._decided = self._decided, []
        doomed = {one.request for one in decided if isinstance(one, Cut)}
        for guest in [guest for guest in self.guests() if guest.id in doomed] if doomed else ():
            guest.cut()
        for one in decided:
            if isinstance(one, Cut):  # who was cut off may wait by now, for another try
                continue
            guest_that_waits = self._waiting.pop(one.request, None)
            if guest_that_waits is None:
                continue
            if isinstance(one, Forward):
                guest_that_waits.go_on(one)
            else:
                guest_that_waits.turn_away(one)

    def _mind_the_alarm(self) -> None:
        nearer = self.balancer.next_alarm < self._next_alarm
        self._next_alarm = self.balancer.next_alarm
        if nearer:
            self.look_again()

    def buffered(self, transport: asyncio.WriteTransport) -> None:
        """A peer takes less than it is given: remember the most bytes that ever waited for one."""
        self.most_buffered = max(self.most_buffered, transport.get_write_buffer_size())


def _nothing() -> None:
    """Nobody waits for the balancer yet."""
