"""`Shell`: what all connections of one live run share, and their only way to the balancer.

A shell holds the balancer: it brings the facts, and does what is decided. After each decision the gate is looked at, so
that a stage held "until the next event" stands still right behind that event, before anything follows from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.messages import Command, Decision, Forward, Outcome, Probe, ProbeResult, Request
from lbtutor.live.clock import Clock
from lbtutor.live.gate import Gate


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
        self._readmission = balancer.next_readmission
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

    def finish(self, request: int, outcome: Outcome) -> Forward | None:
        """An attempt ended; a `Forward` asks for another."""
        again = self.balancer.finish(request, outcome, self.clock.now)
        if self.balancer.next_readmission != self._readmission:
            self._readmission = self.balancer.next_readmission
            self.look_again()
        self.stand_still_if_held()
        return again

    def tick(self) -> list[Probe]:
        """The probes to send now."""
        probes = self.balancer.tick(self.clock.now)
        self.stand_still_if_held()
        return probes

    def probed(self, backend: Backend, result: ProbeResult) -> None:
        """A probe was answered, or was not."""
        self.balancer.probed(backend, result, self.clock.now)
        self.stand_still_if_held()

    def command(self, command: Command) -> None:
        """The operator's wish."""
        self.balancer.command(command, self.clock.now)

    def buffered(self, transport: asyncio.WriteTransport) -> None:
        """A peer takes less than it is given: remember the most bytes that ever waited for one."""
        self.most_buffered = max(self.most_buffered, transport.get_write_buffer_size())


def _nothing() -> None:
    """Nobody waits for the balancer yet."""
