"""Origins that tell of each request they carry out, and that misbehave when they are told to."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, Literal, Self

from tests.storms.crowd import eventually

BIG_BYTES = 4_194_304
"""What `/big` has: more than the kernel keeps for somebody who does not read."""

Mood = Literal["well", "slow", "sick", "deaf", "abrupt", "hung", "refusing", "dead"]
"""How an origin is; only `refusing` and `dead` take no new connections, and `dead` breaks those that it has.

`sick` answers 503, `deaf` hangs up instead of answering, `abrupt` hangs up in the middle of its answer, `hung` says
nothing at all. All of these have carried the request out.
"""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NAME = re.compile(rb"\r\nx-request-id: *[^\r]*-(\d+)\r", re.IGNORECASE)
_NUMBER = re.compile(rb"/r/(\d+)")

_SLOW = 0.03
_PAUSE = 0.002
"""Wall seconds that a slow origin takes, and that pass between the two halves of an answer in pieces."""

_BIG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (BIG_BYTES, bytes(BIG_BYTES))

IN_PIECES = 16
"""Every so many-th answer comes in two chunks with a pause between."""

Noted = Callable[[int, int, int], None]
"""Is told of each request that an origin carries out: the origin's index, the client's number, the balancer's."""


class Origin:
    """A server that tells of each request it carries out, on an address that is its own for good."""

    def __init__(self, index: int, loop: asyncio.AbstractEventLoop, noted: Noted, tls: ssl.SSLContext | None) -> None:
        self.index = index
        self.name = "abcdefgh"[index]
        self.mood: Mood = "well"
        self.noted = noted
        self.loop = loop
        self.connections: set[_Served] = set()
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._place = (f"127.0.9.{index + 1}", 0)

    def __repr__(self) -> str:
        return f"<Origin {self.name} {self.mood}>"

    @property
    def address(self) -> str:
        """Nobody else's outgoing connection can take that port: those come from 127.0.0.1."""
        return f"{self._place[0]}:{self._place[1]}"

    async def become(self, mood: Mood) -> None:
        """Change for better or worse."""
        self.mood = mood
        if mood in ("refusing", "dead"):
            self._close_door()
        elif self._server is None:
            await self._open_door()
        if mood == "dead":
            self._break_all()

    async def _open_door(self) -> None:
        door = socket.create_server(self._place, backlog=1024)
        self._place = door.getsockname()
        self._server = await self.loop.create_server(lambda: _Served(self), sock=door, ssl=self._tls)

    def _close_door(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _break_all(self) -> None:
        for connection in list(self.connections):
            connection.transport.abort()


class _Served(asyncio.Protocol):
    """One connection to an origin."""

    transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._read = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._origin.connections.add(self)
        if self._origin.mood == "dead":  # it was accepted a moment before
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._read, 0, end + 2)
            end += 4 + (int(length[1]) if length else 0)
            if len(self._read) < end:
                return
            request, self._read = self._read[:end], self._read[end:]
            self._serve(request)

    def _serve(self, request: bytes) -> None:
        origin, number, name = self._origin, _NUMBER.search(request), _NAME.search(request)
        if request.startswith(b"GET /big "):
            self.transport.write(_BIG)
            return
        if number is None or name is None:  # a probe
            self._answer(b"well", 1)
            return
        origin.noted(origin.index, int(number[1]), int(name[1]))
        if origin.mood == "slow":
            origin.loop.call_later(_SLOW, self._answer, number[1], int(number[1]))
        else:
            self._answer(number[1], int(number[1]))

    def _answer(self, body: bytes, number: int) -> None:
        if self.transport.is_closing():
            return
        match self._origin.mood:
            case "hung" | "dead":
                return
            case "deaf":
                self.transport.close()
            case "abrupt":
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthis is not a hund")
                self.transport.close()
            case "sick":
                self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            case _ if number % IN_PIECES == 0:
                half = len(body) // 2
                first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunk(body[:half])
                self.transport.write(first)
                self._origin.loop.call_later(_PAUSE, self._go_on, _chunk(body[half:]) + b"0\r\n\r\n")
            case _:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _go_on(self, rest: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(rest)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class Farm:
    """Origins, on the loop that runs now; all are gone at the end of the `async with`."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []

    async def grow(self, size: int, noted: Noted, tls: ssl.SSLContext | None = None) -> list[Origin]:
        """So many origins that are well."""
        loop = asyncio.get_running_loop()
        for index in range(size):
            self.origins.append(Origin(index, loop, noted, tls))
            await self.origins[-1].become("well")
        return self.origins

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for origin in self.origins:
            await origin.become("dead")
        await eventually(lambda: not any(origin.connections for origin in self.origins), "the origins are alone")
