"""`Splice`: two connections that are one. What one end says the other hears, no faster than it takes it.

    client ──bytes──▶ backend        an end that closes its half has said all; the other half stays open
    client ◀──bytes── backend        an end that breaks takes the other with it, by a reset

So each end learns of the other what it would learn if there were nobody between them: the end of a stream is passed on
as an end, a reset as a reset, and a slow reader as silence from the kernel. At most a read and a high-water mark of
bytes wait for each end, however much goes through.

It ends in peace (`served`) when both ends have said all; or when nobody has spoken for too long and everybody has what
was sent; or when the backend has said all, the client has been given all of it, and leaves however it likes. Otherwise
it was the client that broke it (`cancelled`), or the backend: `closed` before it said a word, `cut` after.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from lbtutor.core.messages import OutcomeKind
from lbtutor.live.clock import Alarm
from lbtutor.live.server import reset
from lbtutor.live.shell import Shell

HIGH_WATER = 65_536
"""Bytes that may wait for one end before the other is no longer read."""


class Owner(Protocol):
    """Whoever made the splice."""

    def ended(self, kind: OutcomeKind) -> None:
        """It ended so; told once, before the connections are gone."""

    def gone(self) -> None:
        """Both connections are gone; told once, and last."""


class Splice:
    """Two ends, and how it ends. The `alarm` is the owner's, who calls `alarm_rang` when it rings."""

    __slots__ = ("_over", "_owner", "_shell", "alarm", "backend", "client", "clock", "idle_timeout")

    def __init__(self, owner: Owner, shell: Shell, alarm: Alarm, idle_timeout: float) -> None:
        self._owner = owner
        self._shell = shell
        self._over = False
        self.alarm = alarm
        self.clock = shell.clock
        self.idle_timeout = idle_timeout
        self.client = End(self)
        self.backend = End(self)
        self.client.other, self.backend.other = self.backend, self.client

    def __repr__(self) -> str:
        return f"<Splice {'over' if self._over else 'open'}>"

    def join(
        self, client: asyncio.Transport, backend: asyncio.Transport, said: bytes, *, client_said_all: bool
    ) -> None:
        """Take over both transports; `said` is what the client has said by now, and perhaps all that it will."""
        self.client.transport, self.backend.transport = client, backend
        client.set_protocol(self.client)
        backend.set_protocol(self.backend)
        self.heard()
        if said:
            backend.write(said)
        if client_said_all:
            self.client.eof_received()

    def heard(self) -> None:
        """A sign of life."""
        self.alarm.set(self.clock.now + self.idle_timeout)

    def choked(self, end: End) -> None:
        """That end takes less than the other gives."""
        self._shell.buffered(end.transport)

    def said_all(self, end: End) -> None:
        """One end closes its half: the other hears of it, and may still speak, unless its connection has no halves."""
        other = end.other
        if other.has_said_all or not (end.transport.can_write_eof() and other.transport.can_write_eof()):
            self.close("served")
        elif not other.transport.is_closing():
            self.heard()
            other.transport.write_eof()

    def close(self, kind: OutcomeKind) -> None:
        """Close both when all is sent; whoever does not take it in time loses it."""
        self._end(kind)
        self.heard()
        self.client.transport.close()
        self.backend.transport.close()

    def abort(self, kind: OutcomeKind) -> None:
        """Close both now, so that nobody can take what came for the whole."""
        self._end(kind)
        reset(self.client.transport)
        reset(self.backend.transport)

    def cut(self) -> None:
        """Abort it, and blame the backend."""
        self.abort("cut" if self.backend.has_spoken else "closed")

    def lost(self, end: End) -> None:
        """One connection is gone, and with it what the other could still say."""
        if not self._over:
            if end is self.backend:
                self.cut()
            else:
                self.abort("served" if self._has_given_all() else "cancelled")
        if end.other.is_lost:
            self.alarm.cancel()
            self._owner.gone()
            self._part()

    def _part(self) -> None:
        """Let go of one another, so that there is nothing for the garbage collector to find."""
        del self.client.other, self.backend.other, self.client, self.backend, self._owner

    def _has_given_all(self) -> bool:
        return self.backend.has_said_all and not self.client.waits

    def _end(self, kind: OutcomeKind) -> None:
        if not self._over:
            self._over = True
            self._owner.ended(kind)

    def alarm_rang(self) -> None:
        """Nobody has spoken for too long, or not taken what was sent."""
        if self._over:
            self.client.transport.abort()
            self.backend.transport.abort()
        elif self.client.waits:
            self.abort("cancelled")
        elif self.backend.waits:
            self.cut()
        else:
            self.close("served")


class End(asyncio.Protocol):
    """One end of a splice; its transport is given to it when both ends have one."""

    __slots__ = ("_splice", "has_said_all", "has_spoken", "is_lost", "other", "transport")

    other: End
    transport: asyncio.Transport

    def __init__(self, splice: Splice) -> None:
        self._splice = splice
        self.has_said_all = False
        self.has_spoken = False
        self.is_lost = False

    def __repr__(self) -> str:
        return f"<End of {self._splice!r}>"

    @property
    def waits(self) -> bool:
        """It has not taken all that it was sent."""
        return self.transport.get_write_buffer_size() > 0

    def data_received(self, data: bytes) -> None:
        splice, transport = self._splice, self.other.transport
        splice.alarm.set(splice.clock.now + splice.idle_timeout)
        self.has_spoken = True
        if not transport.is_closing():
            transport.write(data)

    def pause_writing(self) -> None:
        self._splice.choked(self)
        self.other.hold(held=True)

    def resume_writing(self) -> None:
        self._splice.heard()
        self.other.hold(held=False)

    def hold(self, *, held: bool) -> None:
        """Read no more, or read on; after the end there is nothing to read, and its news came already."""
        if self.has_said_all or self.transport.is_closing():
            return
        if held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        if not self.has_said_all:
            self.has_said_all = True
            self._splice.said_all(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._splice.lost(self)


def fresh(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """The transport of a connection that was just made, with its high-water mark set."""
    made = cast(asyncio.Transport, transport)
    made.set_write_buffer_limits(HIGH_WATER)
    return made
