"""Layer 4: whole connections go to one backend each, and nobody reads what is said on them.

    accepted ─▶ preamble ─▶ balancer ─▶ dialing ─▶ spliced ─▶ over
              (PROXY, SNI)     ▲           │
                               └───────────┘ a connect failure may be tried elsewhere

To the balancer a connection is one request of the method `TCP`, in flight for as long as it lives. What the client
says before its backend is there waits, bounded: when it is too much, nothing more is read.

With `accept_proxy` the first bytes say who the client is, and with TLS passed through they say which server it asks
for; only these are looked at, and the latter are passed on as they came. A connection that nobody takes, that says who
it is in no known words, or that comes when the door has as many as it may have (`max_connections`) is reset: an end
without a reset would look like an answer of nothing. (HAProxy lets the surplus wait in the kernel's queue, where nobody
sees it; Envoy's connection limit closes it, as here.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import Forward, Outcome, OutcomeKind, Reject, Request, Wait
from lbtutor.live.addresses import Address
from lbtutor.live.clock import Alarm
from lbtutor.live.preamble import Preamble, Unwelcome
from lbtutor.live.proxy_protocol import header
from lbtutor.live.server import reset
from lbtutor.live.shell import Shell
from lbtutor.live.splice import HIGH_WATER, Splice, fresh
from lbtutor.live.upstream import Upstream, Upstreams

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Visitor(Protocol):
    """Whoever came through a door; who still shakes hands (TLS) is one too."""

    def finish_soon(self) -> None:
        """Leave, unless something is under way."""

    def abort(self) -> None:
        """Leave in the middle of things."""


class TcpFront:
    """One door for TCP, and the connections that came through it."""

    def __init__(self, config: ListenerConfig, shell: Shell, upstreams: Upstreams) -> None:
        self.config = config
        self.shell = shell
        self.upstreams = upstreams
        self.connections: set[Visitor] = set()
        self.ends_tls = config.tls is not None and not config.tls.passthrough
        self.passes_tls = config.tls is not None and config.tls.passthrough
        self.patience = float(config.tls.handshake_timeout if config.tls and self.passes_tls else config.head_timeout)

    def __repr__(self) -> str:
        return f"<TcpFront {self.config.name} connections={len(self.connections)}>"

    @property
    def guests(self) -> Iterator[TcpConnection]:
        """The requests that are under way."""
        return (visitor for visitor in self.connections if isinstance(visitor, TcpConnection) and visitor.under_way)

    def connection(self) -> TcpConnection:
        """The protocol for a connection that was accepted."""
        return TcpConnection(self)

    def preamble(self) -> Preamble | None:
        """What must be read before anything can be decided; None when nothing must."""
        config, tls = self.config, self.config.tls
        if not (config.accept_proxy or self.passes_tls):
            return None
        return Preamble(proxy=config.accept_proxy, hello=self.passes_tls, strict=tls is not None and tls.strict)

    @property
    def is_full(self) -> bool:
        """There are as many connections as there may be."""
        most = self.config.max_connections
        return most is not None and len(self.connections) >= most

    def retire(self) -> None:
        """Nobody comes any more, and who is here may stay."""

    def drain(self) -> None:
        """Connections end when they end; those that have not yet said where they want to go leave now."""
        for connection in list(self.connections):
            connection.finish_soon()

    def abort(self) -> None:
        """Close all connections now, in the middle of whatever they do."""
        for connection in list(self.connections):
            connection.abort()


class TcpConnection(asyncio.Protocol):
    """A connection from a client: heard here until it is spliced to a backend's, and after that the splice's owner."""

    __slots__ = (
        "_alarm",
        "_held",
        "_held_bytes",
        "_landing",
        "_preamble",
        "_said_all",
        "_splice",
        "front",
        "id",
        "transport",
        "under_way",
    )

    transport: asyncio.Transport

    def __init__(self, front: TcpFront) -> None:
        self.front = front
        self.id = 0
        self._alarm = Alarm(front.shell.clock, self._alarm_rang)
        self._preamble = front.preamble()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._said_all = False
        self.under_way = False
        self._landing: Landing | None = None
        self._splice: Splice | None = None

    def __repr__(self) -> str:
        stage = "preamble" if not self.under_way else "on its way" if self._splice is None else repr(self._splice)
        return f"<TcpConnection r{self.id} {stage}>"

    # -- what the client says first ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        front = self.front
        self.transport = fresh(transport)
        welcome = not front.is_full and transport.get_extra_info("peername") is not None  # who has left has no name
        front.connections.add(self)
        if not welcome:
            self._refuse()
        elif self._preamble is None:
            self._ask()
        else:
            self._alarm.set(front.shell.clock.now + front.patience)

    def data_received(self, data: bytes) -> None:
        if self.under_way or self._preamble is None:
            self._hold(data)
            return
        try:
            rest = self._preamble.feed(data)
        except Unwelcome:
            self._refuse()
            return
        if rest is not None:
            self._hold(rest)
            self._ask()

    def _hold(self, data: bytes) -> None:
        """There is no backend yet."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HIGH_WATER and not self.transport.is_closing():
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._said_all = True
        if not self.under_way:
            self._refuse()
        return True

    # -- where it goes ----------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Ask the balancer where to, and go there."""
        shell = self.front.shell
        client, server_name = self._source.host, self._server_name
        self.id = shell.next_id()
        self._alarm.clear()
        self.under_way = True
        decision = shell.arrive(
            Request(
                self.id,
                shell.clock.now,
                client,
                client,
                1,
                "TCP",
                "",
                "",
                _NO_HEADERS,
                self.front.config.name,
                server_name,
            )
        )
        if isinstance(decision, Forward):
            self.go_on(decision)
        elif isinstance(decision, Wait):
            shell.wait_for(self)
        else:
            self._turned_away()

    def go_on(self, forward: Forward) -> None:
        """To that backend."""
        shell = self.front.shell
        upstream = self.front.upstreams.of(forward.backend)
        self._alarm.set(shell.clock.now + upstream.connect_timeout)
        self._landing = Landing(self, upstream)

    def turn_away(self, reject: Reject) -> None:
        """To nobody."""
        self._turned_away()

    def failed(self, kind: OutcomeKind) -> None:
        """No connection to that backend; nothing was sent, so another may be tried."""
        self._stop_dialing()
        again = self.front.shell.finish(self.id, Outcome.failed(kind))
        if isinstance(again, Forward):
            self.go_on(again)
        elif isinstance(again, Wait):
            self.front.shell.wait_for(self)
        else:
            self._turned_away()

    def landed(self, backend: asyncio.Transport) -> None:
        """The backend's connection is there: from here on bytes go through."""
        self._landing = None
        if self.transport.is_closing():  # its end is told next
            backend.abort()
            return
        if self._held_bytes > HIGH_WATER:
            self.transport.resume_reading()
        said = b"".join(self._held)
        self._held.clear()
        self._splice = splice = Splice(self, self.front.shell, self._alarm, self.front.config.idle_timeout)
        splice.join(self.transport, backend, said, client_said_all=self._said_all)

    # -- who it is --------------------------------------------------------------------------------------------------

    @property
    def _server_name(self) -> str:
        """Which server the client asks for, by TLS that ends here or is passed through."""
        if self.front.ends_tls:
            return str(self.transport.get_extra_info("server_name", ""))
        return "" if self._preamble is None else self._preamble.server_name

    @property
    def _source(self) -> Address:
        """Where the client is: the peer, or whom the peer names in the PROXY protocol."""
        named = None if self._preamble is None else self._preamble.source
        return named or _address(self.transport.get_extra_info("peername"))

    @property
    def _destination(self) -> Address:
        """Where the client wanted to be: at this door, or where the peer says."""
        named = None if self._preamble is None else self._preamble.destination
        return named or _address(self.transport.get_extra_info("sockname"))

    def ahead(self, upstream: Upstream) -> bytes:
        """What that backend is told of the client ahead of all else."""
        version = upstream.send_proxy
        return header(version, self._source, self._destination) if version else b""

    # -- how it ends ------------------------------------------------------------------------------------------------

    def ended(self, kind: OutcomeKind) -> None:
        self.under_way = False
        self.front.shell.finish(self.id, Outcome.failed(kind), repeatable=False)

    def gone(self) -> None:
        """Out of the door; nothing refers to itself any more, so the garbage collector has nothing to find."""
        self._splice = None
        del self._alarm
        self.front.connections.discard(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, and there is no backend yet."""
        self._stop_dialing()
        self._alarm.cancel()
        if self.under_way:
            self.under_way = False
            self.front.shell.leave(self)
        self.gone()

    def finish_soon(self) -> None:
        """Leave, unless something is under way."""
        if not self.under_way:
            self._refuse()

    def abort(self) -> None:
        """Leave in the middle of things."""
        if self._splice is None:
            self._refuse()
        else:
            self._splice.abort("cancelled")

    def cut(self) -> None:
        """The balancer wants this attempt to end now: its backend's drain is over."""
        if self._splice is not None:
            self._splice.cut()
        elif self.under_way:
            self.failed("closed")

    def _stop_dialing(self) -> None:
        self._alarm.clear()
        landing, self._landing = self._landing, None
        if landing is not None:
            landing.cancel()

    def _turned_away(self) -> None:
        self.under_way = False
        self._refuse()

    def _refuse(self) -> None:
        reset(self.transport)

    def _alarm_rang(self) -> None:
        if self._splice is not None:
            self._splice.alarm_rang()
        elif self.under_way:
            self.failed("unreachable")
        else:
            self._refuse()


class Landing(asyncio.Protocol):
    """One attempt to connect to a backend; tells the client's connection how that went, unless it is cancelled."""

    __slots__ = ("_client", "_task")

    def __init__(self, client: TcpConnection, upstream: Upstream) -> None:
        self._client: TcpConnection | None = client
        ahead, encrypted = client.ahead(upstream), not client.front.passes_tls
        self._task = upstream.shell.loop.create_task(self._connect(upstream, ahead, encrypted=encrypted))

    def __repr__(self) -> str:
        return f"<Landing for {self._client!r}>"

    async def _connect(self, upstream: Upstream, ahead: bytes, *, encrypted: bool) -> None:
        failure = await upstream.connect(lambda: self, ahead=ahead, encrypted=encrypted)
        client, self._client = self._client, None
        if failure is not None and client is not None:
            client.failed(failure)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client, self._client = self._client, None
        if client is None:
            transport.close()
        else:
            client.landed(fresh(transport))

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._client = None
        self._task.cancel()


def _address(name: tuple[str, int]) -> Address:
    """A socket's address; IPv6 says more than that."""
    return Address(*name[:2])
