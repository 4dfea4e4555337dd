"""Clients that ask one thing after another, and tell what came of each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

from httptools import HttpResponseParser

PATIENCE = 30.0
"""Wall seconds after which a test gives up waiting for what should be there in milliseconds."""

_LEAVES = 0.002
"""Wall seconds after which an impatient client leaves."""


class Ask(NamedTuple):
    """What a client wants: a request by its number. One that is impatient leaves before it can have an answer."""

    number: int
    method: str = "GET"
    body: bytes = b""
    impatient: bool = False

    @property
    def bytes(self) -> bytes:
        """The request as it is sent, in which the cookie of the client is still to be put."""
        length = b"Content-Length: %d\r\n" % len(self.body) if self.body else b""
        line = b"%b /r/%d HTTP/1.1\r\nHost: lab\r\nX-Storm: %d\r\n" % (
            self.method.encode(),
            self.number,
            self.number,
        )
        return line + length


NOTHING, BROKEN, LEFT = 1, 2, 3
"""In the place of a status: the connection ended without a word, or in mid-answer, or the client ended it."""


class Told(NamedTuple):
    """What a client was told: a status, the balancer's number of the request, and the body."""

    status: int
    name: int = 0
    body: bytes = b""


class Visit(asyncio.Protocol):
    """A client's connection, for one request at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.over = False
        self._parser: Any = None
        self._told: asyncio.Future[Told] | None = None
        self._cookie = b""
        self._begin()

    def _begin(self) -> None:
        self._status = self._name = 0
        self._body = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._parser = HttpResponseParser(self)

    async def ask(self, ask: Ask) -> Told:
        """Ask, and wait for what comes of it."""
        loop = asyncio.get_running_loop()
        self._begin()
        self._told = loop.create_future()
        self.transport.write(ask.bytes + self._cookie + b"\r\n" + ask.body)
        if ask.impatient:
            loop.call_later(_LEAVES, self._lose_patience, self._told)
        return await self._told

    def _lose_patience(self, told: asyncio.Future[Told]) -> None:
        if not told.done():
            self.transport.close()
            self._tell(Told(LEFT))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"x-request-id":
                self._name = int(value.rpartition(b"-")[2])
            case b"set-cookie":
                self._cookie = b"Cookie: %b\r\n" % value.partition(b";")[0]

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.over = self.over or not self._parser.should_keep_alive()
        if self.over:
            self.transport.close()
        self._tell(Told(self._status, self._name, self._body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        self._tell(Told(BROKEN if self._status else NOTHING, self._name, self._body))

    def _tell(self, told: Told) -> None:
        self.over = self.over or told.status in (NOTHING, BROKEN, LEFT)
        if self._told is not None and not self._told.done():
            self._told.set_result(told)


class Crowd:
    """Clients with one connection each, who ask one thing after another until there is nothing left to ask.

    `asks` makes the n-th request, `told` hears what came of it. Connections are opened anew as they end, and each
    client opens one anew by itself after `stays` requests.
    """

    def __init__(
        self,
        address: Callable[[], str],
        asks: Callable[[int], Ask],
        told: Callable[[Ask, Told], None],
        tls: ssl.SSLContext | None = None,
        stays: int = 1_000_000,
    ) -> None:
        self._address = address
        self._asks = asks
        self._told = told
        self._tls = tls
        self._stays = stays
        self._next = count().__next__
        self._over = False
        self.connects = 0

    async def ask(self, total: int, clients: int) -> None:
        """That many clients, and that many requests in all."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._be_client(total))

    def stop(self) -> None:
        """Nobody asks for anything more."""
        self._over = True

    async def _be_client(self, total: int) -> None:
        visit, stayed = None, 0
        while not self._over and (number := self._next()) < total:
            if visit is None or visit.over or stayed >= self._stays:
                if visit is not None:
                    visit.transport.close()
                visit, stayed = await self.connect(), 0
            ask = self._asks(number)
            self._told(ask, await visit.ask(ask))
            stayed += 1
        if visit is not None:
            visit.transport.close()

    async def connect(self) -> Visit:
        """Another connection."""
        host, _, port = self._address().rpartition(":")
        name = "lab" if self._tls is not None else None
        loop = asyncio.get_running_loop()
        self.connects += 1
        _, visit = await loop.create_connection(Visit, host, int(port), ssl=self._tls, server_hostname=name)
        return visit


async def watched(task: asyncio.Task[Any], look: Callable[[], object], every: float = 0.005) -> None:
    """Wait for the end of a task, and look after something meanwhile."""
    while not task.done():
        await asyncio.wait([task], timeout=every)
        look()
    await task


async def let_pass(seconds: float) -> None:
    """So much wall time."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition is true."""
    give_up = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < give_up, f"what was waited for never came true: {what}"
        await let_pass(0.005)
