"""Datagrams: clients that ask over UDP, and machines that echo.

A machine answers each datagram at once, by nobody's worker: its own name, and what it heard. There is no connection
that could break, so a client knows of a loss only by waiting: what is not echoed within `PATIENCE`, or is refused by
the machine that it reached, it complains about.

A client keeps its socket, so to the balancer its datagrams are one session for as long as they come often enough.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, cast

from lbtutor.live.addresses import Address, cause_of
from lbtutor.live.clock import Clock, Timer

PATIENCE = 5.0
"""Scenario seconds that a client waits for an echo (resolvers of the C library: `timeout:5`)."""


MOST_BYTES = 65_535
"""The longest datagram."""


def echo(ear: socket.socket, name: str, deaf: Callable[[], bool]) -> None:
    """Answer what waits at a machine's UDP socket; while it is `deaf`, it is heard in vain."""
    with suppress(OSError):  # nothing waits any more, or an earlier answer found nobody
        while True:
            data, peer = ear.recvfrom(MOST_BYTES)
            if not deaf():
                ear.sendto(b"%b %b" % (name.encode(), data), peer)


class Crowd(Protocol):
    """Whose clients ask."""

    def answered(self) -> None:
        """It went as it should."""

    def gave_up(self, because: str) -> None:
        """It did not."""


class Askers:
    """The clients' sockets, one for each client and door."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, doors: Mapping[str, Address], crowd: Crowd
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._doors = doors
        self._crowd = crowd
        self._open: dict[tuple[str, int], asyncio.Task[Asker]] = {}

    def __repr__(self) -> str:
        return f"<Askers {len(self._open)}>"

    async def ask(self, to: str, client: int, source: str) -> None:
        """Send a datagram to that door, from that address; the crowd hears what came of it."""
        try:
            opening = self._open.get((to, client))
            if opening is None:
                opening = self._open[to, client] = self._loop.create_task(self._asker(to, source))
            asker = await asyncio.shield(opening)
        except OSError as error:
            self._open.pop((to, client), None)
            self._crowd.gave_up(f"no socket for {to}: {cause_of(error)}")
        else:
            asker.ask()

    async def _asker(self, to: str, source: str) -> Asker:
        _, asker = await self._loop.create_datagram_endpoint(
            lambda: Asker(self._clock, self._crowd),
            local_addr=(source, 0) if source else None,
            remote_addr=self._doors[to],
        )
        return asker

    def close(self) -> None:
        """Wait for nothing any more."""
        for opening in self._open.values():
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().close()
            opening.cancel()
        self._open.clear()


class Asker(asyncio.DatagramProtocol):
    """One client's socket: numbers what it says, and ticks off what it hears."""

    def __init__(self, clock: Clock, crowd: Crowd) -> None:
        self._clock = clock
        self._crowd = crowd
        self._number = 0
        self._open: dict[bytes, Timer] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def __repr__(self) -> str:
        return f"<Asker waiting for {len(self._open)}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def ask(self) -> None:
        """Say the next number."""
        self._number += 1
        number = str(self._number).encode()
        self._open[number] = self._clock.call_later(PATIENCE, lambda: self._give_up(number, "no echo came"))
        if self._transport is not None:
            self._transport.sendto(number)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        timer = self._open.pop(data.rpartition(b" ")[2], None)
        if timer is not None:
            timer.cancel()
            self._crowd.answered()

    def error_received(self, exc: Exception) -> None:
        """The port is closed: nothing that was said arrived."""
        because = cause_of(exc) if isinstance(exc, OSError) else str(exc)
        for number in list(self._open):
            self._give_up(number, because)

    def _give_up(self, number: bytes, because: str) -> None:
        self._open.pop(number).cancel()
        self._crowd.gave_up(because)

    def close(self) -> None:
        """Wait for nothing any more."""
        for timer in self._open.values():
            timer.cancel()
        if self._transport is not None:
            self._transport.abort()
