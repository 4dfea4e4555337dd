"""Where TLS ends: a door's side of it, from a client's first words to the protocol that serves it.

    accepted ─▶ which name, which protocols? ─▶ handshake ─▶ whoever serves at this door
                     │ not TLS, declined             │ failed, or not in time
                     ▼                               ▼
                  an alert, if that would be understood, and the end

A client that has not said its first words costs a timer and a few hundred bytes: the machinery of a handshake is made
when they are whole and welcome. A header of the PROXY protocol stands ahead of TLS; it is not looked into here, and is
handed on to the one who serves as the first that was said. Those who shake hands are guests of the door like all
others, so that closing the door shows them out too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from ssl import SSLError
from typing import Any

from lbtutor.live.addresses import cause_of
from lbtutor.live.answers import own_answer
from lbtutor.live.clock import Clock
from lbtutor.live.hello import Hello, HelloReader, NotHello
from lbtutor.live.proxy_protocol import ProxyError, parse
from lbtutor.live.secured import Secured
from lbtutor.live.tls import Declined, Keyring, trouble_of

_ALERT = (21, 3, 3, 0, 2, 2)
"""A fatal alert in the clear, up to its description: record type, version, length, level."""

_IS_HTTP = re.compile(rb"[A-Z]{3,10} \S")

_PLAIN_HTTP = own_answer(400, "this door speaks HTTPS, and that was plain HTTP", close=True)
"""What NGINX answers as well."""


class Termination:
    """TLS at one door. Those who come in are served by the protocols that `serve` makes; until then, they are among
    `guests`. With `announced`, a header of the PROXY protocol comes first. `tell` hears who got no further than the
    handshake, and why."""

    def __init__(
        self,
        keyring: Keyring,
        clock: Clock,
        timeout: float,
        serve: Callable[[], asyncio.Protocol],
        guests: set[Any],
        *,
        announced: bool = False,
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        self.announced = announced
        self.keyring = keyring
        self.clock = clock
        self.timeout = timeout
        self.serve = serve
        self.guests = guests
        self.tell = tell

    def __repr__(self) -> str:
        return f"<Termination {self.keyring!r}>"

    def connection(self) -> Answering:
        """The protocol for a connection that was accepted."""
        return Answering(self)


class Answering(Secured):
    """A server's side of TLS: waits for the client's first words, and then knows how to answer them."""

    __slots__ = ("_announcement", "_reader", "_termination", "_timer")

    def __init__(self, termination: Termination) -> None:
        super().__init__()
        self._announcement = bytearray()
        self._reader: HelloReader | None = HelloReader()
        self._termination = termination

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        termination = self._termination
        self._timer = termination.clock.call_later(termination.timeout, self._time_out)
        termination.guests.add(self)

    def finish_soon(self) -> None:
        """Whoever still shakes hands has nothing under way."""
        self.abort()

    guest = None
    """Of a door's connections: the request that is under way."""

    @property
    def transport(self) -> asyncio.Transport:
        """What to close, if it must be."""
        return self

    def cut_off(self, *, abort: bool) -> None:
        """The door is closed."""
        self.abort()

    def begin(self) -> asyncio.Protocol:
        self._be_no_guest()
        return self._termination.serve()

    def failed(self, error: OSError) -> None:
        self._be_no_guest()
        if self._termination.tell is not None:
            peer = self.get_extra_info("peername")
            because = trouble_of(error) if isinstance(error, SSLError) else cause_of(error)
            self._termination.tell(peer[0] if peer else "unknown", because)

    def _be_no_guest(self) -> None:
        self._timer.cancel()
        self._termination.guests.discard(self)

    def _greet(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            super()._greet(data)
            return
        if self._termination.announced and not self._ahead:
            data = self._hear_announcement(data)
        hello = reader.feed(data)
        if isinstance(hello, Hello):
            self._reader = None
            self._answer(hello, bytes(reader.received))
        elif isinstance(hello, NotHello):
            self._turn_away(_PLAIN_HTTP if _IS_HTTP.match(reader.received) else b"", hello.because)

    def _hear_announcement(self, data: bytes) -> bytes:
        """Set the header aside; what follows it is returned."""
        said = self._announcement
        said += data
        try:
            header = parse(said)
        except ProxyError:
            self._turn_away(b"", "not the PROXY protocol")
            return b""
        if header is None:
            return b""
        self._ahead = bytes(said[: header.size])
        return bytes(said[header.size :])

    def _answer(self, hello: Hello, received: bytes) -> None:
        answer = self._termination.keyring.answer(hello)
        if isinstance(answer, Declined):
            self._turn_away(bytes((*_ALERT, answer.alert)), answer.because)
            return
        self.server_name = hello.server_name
        self._tls = answer.wrap_bio(self._incoming, self._outgoing, server_side=True)
        super()._greet(received)

    def _turn_away(self, last_words: bytes, because: str) -> None:
        if last_words:
            self._below.write(last_words)
        self._give_up(ConnectionAbortedError(because))

    def _time_out(self) -> None:
        self._give_up(TimeoutError("no handshake in time"))
        self._below.abort()
