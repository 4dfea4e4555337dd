"""Lab clients: open loop, each with an address and a memory of its own.

Every request is sent at its scenario time, whether or not earlier ones were answered: that is what a crowd does, and
what shows queues as they are (closed-loop clients wait politely and hide them). What a client does depends on the door
it goes to and on its traffic rule:

    http         a request on a connection that is open and idle, or on a new one when all are busy, as browsers do
    tcp          a request on a connection of its own: behind such a door, connections are what is balanced
    udp          a datagram, and an echo of it is awaited (`lbtutor.live.echo`)
    websocket    a conversation on a connection of its own (`lbtutor.live.talk`)

Of a series (`Traffic.requests`) the next request follows on the same connection, a pause after the answer. At a door
for TCP nobody else reads what is said there, so the client tells of each answer (`Exchanged`); it is over when the
connection is. At a door for HTTP the client goes on with another connection.

What the balancer never saw is not in the trace: what a client could not do, it complains about.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Literal, TypeVar, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from lbtutor.core.cookies import Jars
from lbtutor.core.events import Event, Exchanged
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.workload import Arrival, Plan, Traffic, arrivals, client_address
from lbtutor.live import proxy_protocol
from lbtutor.live.addresses import Address, cause_of
from lbtutor.live.clock import Clock
from lbtutor.live.echo import Askers
from lbtutor.live.talk import Talker

MOST_IDLE = 128
"""Open connections that the crowd keeps while nobody uses them; beyond that, the one unused longest is closed."""

_WITH_BODY = ("POST", "PUT", "PATCH")

_Connection = TypeVar("_Connection", "Caller", Talker)
_Key = tuple[int, str, str]


class Clients:
    """The crowd: sends every arrival of `plan` when it is due, and reads the answers.

    `doors` tells where each listener is, `mode` how clients get addresses of their own. `contexts` holds, for the
    listeners that speak TLS, what their clients believe. `epoch` is the wall time of scenario time 0, for cookies.
    `tell` hears of what only clients know.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        plan: Plan,
        doors: Mapping[str, Address],
        mode: Literal["loopback", "header"],
        contexts: Mapping[str, ssl.SSLContext] | None = None,
        epoch: float = 0.0,
        tell: Callable[[Event], None] | None = None,
    ) -> None:
        self.waiting = 0
        self.complaints: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        """What was said in conversations: `sent`, `echoed`, and `lost`, of which the sender knows that it came to
        nothing."""
        self.clock = clock
        self.connections: set[Caller | Talker] = set()
        self._loop = loop
        self._arrivals: Iterator[Arrival] | None = arrivals(plan.traffic, plan.seed, plan.lasts)
        self._doors = doors
        self._mode = mode
        self._contexts = contexts or {}
        listeners = {listener.name: listener for listener in plan.listeners}
        self._manners = [Manner(rule, listeners[rule.to]) for rule in plan.traffic]
        self._jars = Jars(epoch)
        self._idle: defaultdict[_Key, list[Caller]] = defaultdict(list)
        self._longest_idle: OrderedDict[Caller, None] = OrderedDict()
        self._askers = Askers(loop, clock, doors, self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._tell = tell
        self._pausing: set[Caller] = set()

    def __repr__(self) -> str:
        return f"<Clients waiting={self.waiting} connections={len(self.connections)}>"

    def start(self) -> None:
        """Send the first request when it is due, and each one after it."""
        self._await_arrival()

    def stop(self) -> None:
        """Send no more; who pauses in the middle of a series leaves."""
        self._arrivals = None
        for caller in self._pausing:
            caller.transport.close()

    def close(self) -> None:
        """Go home, without waiting for answers."""
        self.stop()
        self._askers.close()
        for task in self._tasks:
            task.cancel()
        for connection in list(self.connections):
            connection.transport.abort()

    def _await_arrival(self) -> None:
        arrival = next(self._arrivals, None) if self._arrivals is not None else None
        if arrival is not None:
            self.clock.call_at(arrival.at, lambda: self._arrive(arrival))

    def _arrive(self, arrival: Arrival) -> None:
        if self._arrivals is None:
            return
        self._await_arrival()
        self.waiting += 1
        manner = self._manners[arrival.rule]
        caller = None if manner.alone else self._idle_caller(arrival)
        if caller is not None:
            caller.send(arrival, manner.follow_ups)
        else:
            self._do(manner.meet(self, arrival))

    def _do(self, meeting: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(meeting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _idle_caller(self, arrival: Arrival) -> Caller | None:
        idle = self._idle[_key(arrival)]
        while idle:
            caller = idle.pop()
            del self._longest_idle[caller]
            if not caller.transport.is_closing():
                return caller
        return None

    # -- what they do ---------------------------------------------------------------------------------------------

    async def call(self, arrival: Arrival) -> None:
        """Send a request on a new connection, and what follows it."""
        await self._call(arrival, self._manners[arrival.rule].follow_ups)

    async def _call(self, arrival: Arrival, left: int) -> None:
        caller = await self._connect(arrival, lambda: Caller(self))
        if caller is not None:
            caller.send(arrival, left)

    async def talk(self, arrival: Arrival) -> None:
        """Open a conversation."""
        manner = self._manners[arrival.rule]
        assert manner.rule.websocket is not None, "only rules that say so"
        about = manner.rule.websocket
        talker = await self._connect(arrival, lambda: Talker(self, arrival, about))
        if talker is not None:
            talker.begin(manner.fields(self._said(arrival), self._shown(arrival)))

    async def ask(self, arrival: Arrival) -> None:
        """Send a datagram."""
        source = client_address(arrival.client) if self._mode == "loopback" else ""
        await self._askers.ask(arrival.to, arrival.client, source)

    async def _connect(self, arrival: Arrival, make: Callable[[], _Connection]) -> _Connection | None:
        """A new connection, or None and a complaint."""
        try:
            return await self._connection(arrival, make)
        except OSError as error:
            because = f"TLS: {error.reason}" if isinstance(error, ssl.SSLError) else cause_of(error)
            self.gave_up(f"no connection to {arrival.to}: {because}")
            return None

    async def _connection(self, arrival: Arrival, make: Callable[[], _Connection]) -> _Connection:
        manner, door = self._manners[arrival.rule], self._doors[arrival.to]
        source = (client_address(arrival.client), 0) if self._mode == "loopback" else None
        transport, connection = await self._loop.create_connection(make, *door, local_addr=source)
        if manner.announced:
            port = transport.get_extra_info("sockname")[1]
            transport.write(proxy_protocol.header("v1", Address(client_address(arrival.client), port), door))
        context = self._contexts.get(arrival.to)
        if context is not None:
            name = arrival.host or "localhost"
            secured = await self._loop.start_tls(transport, connection, context, server_hostname=name)
            connection.transport = cast(asyncio.Transport, secured)
        return connection

    # -- what they say and hear -----------------------------------------------------------------------------------

    def request_bytes(self, arrival: Arrival, *, is_last: bool) -> bytes:
        """The request as it is sent; after the last one that a connection is for, it shall be closed."""
        return self._manners[arrival.rule].request(self._said(arrival), self._shown(arrival), is_last=is_last)

    def _said(self, arrival: Arrival) -> str:
        """What a client must say of its address, because its connection does not show it."""
        return client_address(arrival.client) if self._mode == "header" else ""

    def _shown(self, arrival: Arrival) -> str:
        """The cookies that go with the request."""
        if not self._jars or not self._manners[arrival.rule].rule.cookies:
            return ""
        secure = arrival.to in self._contexts
        return self._jars.show(arrival.client, arrival.host, arrival.path, self.clock.now, secure=secure)

    def given(self, arrival: Arrival, cookie: str) -> None:
        """An answer brought a cookie."""
        if self._manners[arrival.rule].rule.cookies:
            self._jars.take(arrival.client, arrival.host, arrival.path, cookie, self.clock.now)

    def answered(self) -> None:
        """It went as it should."""
        self.waiting -= 1

    def overhear(self, arrival: Arrival, machine: str, status: int, took: float) -> None:
        """A machine answered, and perhaps nobody else knows."""
        pool, _, name = machine.partition("/")
        if self._tell is not None and name and self._manners[arrival.rule].overheard:
            self._tell(Exchanged(self.clock.now, pool, name, client_address(arrival.client), status, took))

    def pause(self, caller: Caller, arrival: Arrival, left: int) -> None:
        """So many requests of the series are left: the next one follows after the pause, if nothing has ended then."""
        if self._arrivals is None:
            caller.transport.close()
            return
        self._pausing.add(caller)
        self.clock.call_later(self._manners[arrival.rule].rule.pause, lambda: self._go_on(caller, arrival, left))

    def _go_on(self, caller: Caller, arrival: Arrival, left: int) -> None:
        self._pausing.discard(caller)
        is_open = not caller.transport.is_closing()
        if self._arrivals is None or not (is_open or self._manners[arrival.rule].reconnects):
            return
        self.waiting += 1
        if is_open:
            caller.send(arrival, left - 1)
        else:
            self._do(self._call(arrival, left - 1))

    def gave_up(self, because: str) -> None:
        """No answer, or no whole one; the trace has the balancer's side of it."""
        self.waiting -= 1
        self.complaints[because] += 1

    # -- their connections ----------------------------------------------------------------------------------------

    def keep(self, caller: Caller, arrival: Arrival) -> None:
        """That connection may be used again."""
        caller.kept_for = _key(arrival)
        self._idle[caller.kept_for].append(caller)
        self._longest_idle[caller] = None
        if len(self._longest_idle) > MOST_IDLE:
            oldest = next(iter(self._longest_idle))
            self._keep_no_longer(oldest)
            oldest.transport.close()

    def remember(self, connection: Caller | Talker) -> None:
        """That connection is open."""
        self.connections.add(connection)

    def forget(self, connection: Caller | Talker) -> None:
        """That connection is gone."""
        self.connections.discard(connection)
        if connection in self._longest_idle:
            self._keep_no_longer(cast(Caller, connection))

    def _keep_no_longer(self, caller: Caller) -> None:
        del self._longest_idle[caller]
        self._idle[caller.kept_for].remove(caller)


def _key(arrival: Arrival) -> _Key:
    """Whose connection may carry that request: the same client's, to the same door, for the same host."""
    return arrival.client, arrival.to, arrival.host


class Manner:
    """How the clients of one traffic rule go about it, given the door that they go to."""

    def __init__(self, rule: Traffic, door: ListenerConfig) -> None:
        self.rule = rule
        self.alone = door.mode != "http" or rule.websocket is not None
        self.reconnects = door.mode == "http"
        self.overheard = door.mode == "tcp" and rule.requests > 1
        self.follow_ups = rule.requests - 1
        self.announced = door.accept_proxy
        self.meet = Clients.ask if door.mode == "udp" else Clients.talk if rule.websocket is not None else Clients.call
        self._own = {name: value for name, value in rule.header.items() if name.lower() != "cookie"}
        self._cookie = rule.fields.get("cookie", "")
        about = {"Host": rule.host, **self._own}
        if rule.method in _WITH_BODY:
            about["Content-Length"] = "0"
        lines = [f"{rule.method} {rule.path} HTTP/1.1", *(f"{name}: {value}" for name, value in about.items())]
        self._head = "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace")

    def __repr__(self) -> str:
        return f"<Manner {self.rule.method} {self.rule.path} at {self.rule.to}>"

    def request(self, said: str, cookies: str, *, is_last: bool) -> bytes:
        """A request, where the client says who it is, or nothing, and shows its cookies."""
        fields = self._particular(said, cookies)
        if self.alone and is_last:
            fields["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return b"%b%b\r\n" % (self._head, lines.encode("latin-1", "replace"))

    def fields(self, said: str, cookies: str) -> dict[str, str]:
        """The fields of a handshake, without those of WebSocket itself."""
        return {"Host": self.rule.host, **self._own, **self._particular(said, cookies)}

    def _particular(self, said: str, cookies: str) -> dict[str, str]:
        """The fields that differ from client to client."""
        shown = "; ".join(filter(None, (self._cookie, cookies)))
        return {name: value for name, value in (("X-Forwarded-For", said), ("Cookie", shown)) if value}


class Caller(asyncio.Protocol):
    """One connection of one client: a request at a time, and its answer read to the end."""

    __slots__ = (
        "_arrival",
        "_asked_at",
        "_clients",
        "_keep_alive",
        "_left",
        "_machine",
        "_parser",
        "kept_for",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, clients: Clients) -> None:
        self.kept_for: _Key = (0, "", "")
        self._clients = clients
        self._parser: Any = HttpResponseParser(self)
        self._arrival: Arrival | None = None
        self._keep_alive = True
        self._left = 0
        self._asked_at = 0.0
        self._machine = ""

    def __repr__(self) -> str:
        return f"<Caller {self._arrival}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._clients.remember(self)

    def send(self, arrival: Arrival, left: int) -> None:
        """Send this request; so many follow it."""
        self._arrival = arrival
        self._left = left
        self._asked_at = self._clients.clock.now
        self.transport.write(self._clients.request_bytes(arrival, is_last=not left))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._arrival is not None and name.lower() == b"set-cookie":
            self._clients.given(self._arrival, value.decode("latin-1"))
        elif name == b"X-Origin":
            self._machine = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        if self._arrival is not None and self._arrival.method == "HEAD":
            status = self._parser.get_status_code()
            self._parser = HttpResponseParser(self)
            self._answered(status)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._answered(status)

    def _answered(self, status: int) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is None:
            return
        self._clients.answered()
        self._clients.overhear(arrival, self._machine, status, self._clients.clock.now - self._asked_at)
        if self._left:
            if not self._keep_alive:
                self.transport.close()
            self._clients.pause(self, arrival, self._left)
        elif not self._keep_alive:
            self.transport.close()
        elif not self.transport.is_closing():
            self._clients.keep(self, arrival)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None
        self._clients.forget(self)
        if self._arrival is not None:
            self._clients.gave_up("the connection was closed before the answer was complete")
