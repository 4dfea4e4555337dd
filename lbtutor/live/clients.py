"""Lab clients: open loop, each with an address of its own.

Every request is sent at its scenario time, whether or not earlier ones were answered: that is what a crowd does, and
what shows queues as they are (closed-loop clients wait politely and hide them). A client keeps its connections and
opens another when all are busy, as browsers do.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from lbtutor.core.workload import Arrival, client_address
from lbtutor.live.addresses import Address, cause_of
from lbtutor.live.clock import Clock

MOST_IDLE = 128
"""Open connections that the crowd keeps while nobody uses them; beyond that, the one unused longest is closed."""

_WITH_BODY = ("POST", "PUT", "PATCH")


class Clients:
    """The crowd: sends every arrival when it is due, and reads the answers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        arrivals: Iterator[Arrival],
        doors: Mapping[str, Address],
        mode: Literal["loopback", "header"],
    ) -> None:
        self.waiting = 0
        self.complaints: Counter[str] = Counter()
        self._loop = loop
        self._clock = clock
        self._arrivals: Iterator[Arrival] | None = arrivals
        self._doors = doors
        self._mode = mode
        self._idle: defaultdict[tuple[int, str], list[Caller]] = defaultdict(list)
        self._longest_idle: OrderedDict[Caller, None] = OrderedDict()
        self.connections: set[Caller] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Clients waiting={self.waiting} connections={len(self.connections)}>"

    def start(self) -> None:
        """Send the first request when it is due, and each one after it."""
        self._await_arrival()

    def stop(self) -> None:
        """Send no more."""
        self._arrivals = None

    def close(self) -> None:
        """Go home, without waiting for answers."""
        self.stop()
        for task in self._tasks:
            task.cancel()
        for caller in list(self.connections):
            caller.transport.abort()

    def _await_arrival(self) -> None:
        arrival = next(self._arrivals, None) if self._arrivals is not None else None
        if arrival is not None:
            self._clock.call_at(arrival.at, lambda: self._arrive(arrival))

    def _arrive(self, arrival: Arrival) -> None:
        if self._arrivals is None:
            return
        self._await_arrival()
        self.waiting += 1
        idle = self._idle[arrival.client, arrival.to]
        while idle:
            caller = idle.pop()
            del self._longest_idle[caller]
            if not caller.transport.is_closing():
                caller.send(arrival)
                return
        task = self._loop.create_task(self._call(arrival))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, arrival: Arrival) -> None:
        host, port = self._doors[arrival.to]
        source = (client_address(arrival.client), 0) if self._mode == "loopback" else None
        try:
            _, caller = await self._loop.create_connection(lambda: Caller(self), host, port, local_addr=source)
        except OSError as error:
            self.gave_up(f"no connection to {arrival.to}: {cause_of(error)}")
        else:
            caller.send(arrival)

    def request_bytes(self, arrival: Arrival) -> bytes:
        """The request as it is sent."""
        said = client_address(arrival.client) if self._mode == "header" else ""
        return _request(arrival.method, arrival.host, arrival.path, said)

    def answered(self, caller: Caller, arrival: Arrival) -> None:
        """A whole answer came; the connection may be used again."""
        self.waiting -= 1
        if not caller.transport.is_closing():
            caller.kept_for = (arrival.client, arrival.to)
            self._idle[caller.kept_for].append(caller)
            self._longest_idle[caller] = None
            if len(self._longest_idle) > MOST_IDLE:
                oldest = next(iter(self._longest_idle))
                self._keep_no_longer(oldest)
                oldest.transport.close()

    def gave_up(self, because: str) -> None:
        """No answer, or no whole one; the trace has the balancer's side of it."""
        self.waiting -= 1
        self.complaints[because] += 1

    def forget(self, caller: Caller) -> None:
        """That connection is gone."""
        self.connections.discard(caller)
        if caller in self._longest_idle:
            self._keep_no_longer(caller)

    def _keep_no_longer(self, caller: Caller) -> None:
        del self._longest_idle[caller]
        self._idle[caller.kept_for].remove(caller)


class Caller(asyncio.Protocol):
    """One connection of one client: a request at a time, and its answer read to the end."""

    __slots__ = ("_arrival", "_clients", "_keep_alive", "_parser", "kept_for", "transport")

    transport: asyncio.Transport

    def __init__(self, clients: Clients) -> None:
        self.kept_for: tuple[int, str] = (0, "")
        self._clients = clients
        self._parser: Any = HttpResponseParser(self)
        self._arrival: Arrival | None = None
        self._keep_alive = True

    def __repr__(self) -> str:
        return f"<Caller {self._arrival}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._clients.connections.add(self)

    def send(self, arrival: Arrival) -> None:
        """Send this request."""
        self._arrival = arrival
        self.transport.write(self._clients.request_bytes(arrival))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.transport.abort()

    def on_headers_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        if self._arrival is not None and self._arrival.method == "HEAD":
            self._parser = HttpResponseParser(self)
            self._answered()

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._answered()

    def _answered(self) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            if not self._keep_alive:
                self.transport.close()
            self._clients.answered(self, arrival)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None
        self._clients.forget(self)
        if self._arrival is not None:
            self._clients.gave_up("the connection was closed before the answer was complete")


@lru_cache(maxsize=1024)
def _request(method: str, host: str, path: str, client: str) -> bytes:
    length = "Content-Length: 0\r\n" if method in _WITH_BODY else ""
    said = f"X-Forwarded-For: {client}\r\n" if client else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{said}{length}\r\n".encode("latin-1", "replace")
