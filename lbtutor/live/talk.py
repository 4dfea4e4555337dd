"""Conversations: both ends of a WebSocket, a client that talks and a machine that echoes.

A client opens it, says something now and then, and hears every word again; when its time is up it says goodbye, and the
machine answers that. The protocol is the `websockets` library's, without its sockets (RFC 6455); the balancer between
the two only passes on bytes.

Nothing is lost in silence: of each message the client knows that it was echoed, or, when the connection breaks, that
nobody can tell what became of it (`lost`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from lbtutor.core.workload import Arrival, Conversation
from lbtutor.live.clock import Clock, Timer

GOODBYE = 10.0
"""Scenario seconds for the other side to answer a goodbye (`websockets`: `close_timeout`)."""


class Crowd(Protocol):
    """Whose clients talk."""

    clock: Clock
    messages: Counter[str]
    complaints: Counter[str]

    def remember(self, connection: Talker) -> None:
        """It is open."""

    def given(self, arrival: Arrival, cookie: str) -> None:
        """An answer brought a cookie."""

    def answered(self) -> None:
        """It went as it should."""

    def gave_up(self, because: str) -> None:
        """It did not."""

    def forget(self, connection: Talker) -> None:
        """It is over."""


class Talker(asyncio.Protocol):
    """The client's end."""

    transport: asyncio.Transport

    def __init__(self, crowd: Crowd, arrival: Arrival, about: Conversation) -> None:
        self._crowd = crowd
        self._arrival = arrival
        self._about = about
        self._socket = ClientProtocol(parse_uri("ws://lab/"))
        self._sent = self._echoed = 0
        self._opened: float | None = None
        self._timer: Timer | None = None
        self._refused = False

    def __repr__(self) -> str:
        return f"<Talker {self._arrival} sent={self._sent} echoed={self._echoed}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._crowd.remember(self)

    def begin(self, fields: Mapping[str, str]) -> None:
        """Ask for a conversation."""
        headers = self._socket.connect().headers
        del headers["Host"]
        headers.update(fields)
        self._socket.send_request(Request(self._arrival.path, headers))
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._socket.receive_data(data)
        self._flush()
        for event in self._socket.events_received():
            if isinstance(event, Response):
                self._welcomed(event)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._heard(event)

    def _welcomed(self, response: Response) -> None:
        """There is an answer: the conversation begins, or it does not."""
        for cookie in response.headers.get_all("Set-Cookie"):
            self._crowd.given(self._arrival, cookie)
        if response.status_code == 101 and self._socket.handshake_exc is None:
            self._opened = self._crowd.clock.now
            self._await_next()
        else:
            self._refused = True
            self.transport.close()

    def _await_next(self) -> None:
        """Say the next thing when it is time for it, or goodbye, if that is due before."""
        assert self._opened is not None, "nothing is said before"
        next_at, ends_at = self._opened + (self._sent + 1) * self._about.every, self._opened + self._about.lasts
        if next_at < ends_at:
            self._timer = self._crowd.clock.call_at(next_at, self._say)
        else:
            self._timer = self._crowd.clock.call_at(ends_at, self._say_goodbye)

    def _say(self) -> None:
        self._sent += 1
        self._crowd.messages["sent"] += 1
        self._socket.send_text(str(self._sent).encode())
        self._flush()
        self._await_next()

    def _heard(self, frame: Frame) -> None:
        self._echoed += 1
        self._crowd.messages["echoed"] += 1
        if bytes(frame.data) != str(self._echoed).encode():
            self._crowd.complaints["an echo of something else than was said"] += 1

    def _say_goodbye(self) -> None:
        self._socket.send_close(1000)
        self._flush()
        self._timer = self._crowd.clock.call_later(GOODBYE, self.transport.abort)

    def _flush(self) -> None:
        _flush(self._socket, self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._crowd.forget(self)
        self._crowd.messages["lost"] += self._sent - self._echoed
        if self._refused or self._socket.close_rcvd is not None:
            self._crowd.answered()
        elif self._opened is None:
            self._crowd.gave_up("the connection was closed before the answer was complete")
        else:
            self._crowd.gave_up("a conversation was cut off")


class Echoer(asyncio.Protocol):
    """The machine's end. It takes the place of the protocol that read the handshake, which hears of the end again."""

    def __init__(self, transport: asyncio.Transport, former: asyncio.Protocol) -> None:
        self._transport = transport
        self._former = former
        self._socket = ServerProtocol()

    def __repr__(self) -> str:
        return f"<Echoer in place of {self._former!r}>"

    def begin(self, path: str, fields: Iterable[tuple[str, str]], beside: bytes) -> None:
        """Answer the handshake, and hear what came beside it."""
        self._socket.receive_data(Request(path, Headers(fields)).serialize())
        (request,) = self._socket.events_received()
        self._socket.send_response(self._socket.accept(cast(Request, request)))
        self._transport.set_protocol(self)
        if beside:
            self._socket.receive_data(beside)
        self._answer()

    def data_received(self, data: bytes) -> None:
        self._socket.receive_data(data)
        self._answer()

    def _answer(self) -> None:
        for event in self._socket.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT and self._socket.state is OPEN:
                self._socket.send_text(event.data)
        _flush(self._socket, self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._former.connection_lost(exc)


def _flush(socket: ClientProtocol | ServerProtocol, transport: asyncio.Transport) -> None:
    """Send what the protocol wants to be sent; an empty piece says that it is done."""
    for data in socket.data_to_send():
        if not data:
            transport.close()
        elif not transport.is_closing():
            transport.write(data)
