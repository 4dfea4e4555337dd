"""Connections to backends: one pool of idle ones each, and what is done with an answer as it comes.

A connection carries one exchange at a time and returns to the pool of its backend when the answer was whole and both
sides want to go on. The one used last is used first, so that a quiet pool shrinks.

A connection may be closed by the backend at the very moment when it is taken from the pool. Then the request comes to
nothing before a byte of answer, and nobody knows whether it arrived. If it is harmless to send twice (no body, an
idempotent method), it is sent once more on a fresh connection, within the same attempt, as NGINX and Go do; otherwise
the client gets 502. Machines of a lab never close an idle connection, so one that closes has crashed with the request
in hand, and the trace says that.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from lbtutor.core.backend import Backend
from lbtutor.core.messages import OutcomeKind
from lbtutor.core.pool import PoolConfig
from lbtutor.live.addresses import Address
from lbtutor.live.clock import Alarm
from lbtutor.live.exchange import Exchange
from lbtutor.live.heads import AnswerHead, Fields, Refusal, check_size
from lbtutor.live.shell import Shell

IDLE_TIMEOUT = 60.0
"""Scenario seconds after which an idle connection is closed (NGINX `keepalive_timeout`)."""

MOST_IDLE = 256
"""Idle connections kept for one backend."""

HIGH_WATER = 65_536
"""Bytes that may wait for one peer before the other is no longer read."""

MOST_HEAD_BYTES = 65_536
"""The longest head of an answer."""

Locate = Callable[[Backend], Address]
"""Where a backend is now; raises `ConfigError` when it is nowhere."""


class Upstreams:
    """The backends as places to connect to."""

    def __init__(self, shell: Shell, pools: Iterable[PoolConfig], locate: Locate) -> None:
        self._shell = shell
        self._pools = {pool.name: pool for pool in pools}
        self._locate = locate
        self._upstreams: dict[Backend, Upstream] = {}
        self.connections: set[UpstreamConnection] = set()

    def of(self, backend: Backend) -> Upstream:
        """The way to `backend`."""
        upstream = self._upstreams.get(backend)
        if upstream is None:
            upstream = Upstream(self._shell, backend, self._pools[backend.pool], self._locate, self.connections)
            self._upstreams[backend] = upstream
        return upstream

    def forget(self, pool: str, name: str) -> None:
        """That backend has left: close its idle connections, and keep no others."""
        for backend in [known for known in self._upstreams if (known.pool, known.name) == (pool, name)]:
            self._upstreams.pop(backend).retire()


class Upstream:
    """One backend: where it is, how long to wait for it, and the connections to it that nobody uses."""

    def __init__(
        self,
        shell: Shell,
        backend: Backend,
        pool: PoolConfig,
        locate: Locate,
        connections: set[UpstreamConnection],
    ) -> None:
        self.shell = shell
        self.backend = backend
        self.connect_timeout = pool.connect_timeout
        self.response_timeout = pool.response_timeout
        self.resends = bool(backend.address)
        self.idle_timeout = IDLE_TIMEOUT if backend.address else inf
        self.retired = False
        self.idle: list[UpstreamConnection] = []
        self.connections = connections
        self._locate = locate

    def __repr__(self) -> str:
        return f"<Upstream {self.backend.name} idle={len(self.idle)}>"

    @property
    def address(self) -> Address:
        return self._locate(self.backend)

    def carry(self, exchange: Exchange) -> None:
        """Send on a connection that is open, or open one."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                connection.send(exchange)
                return
        self.dial(exchange)

    def dial(self, exchange: Exchange) -> None:
        """Send on a fresh connection."""
        exchange.carrier = Dial(self, exchange)

    def retire(self) -> None:
        """Close what nobody uses; what is in use is closed after that."""
        self.retired = True
        for connection in self.idle:
            connection.transport.close()
        self.idle.clear()


class Dial:
    """One attempt to connect, for one exchange, which it tells how that went."""

    choked = False

    def __init__(self, upstream: Upstream, exchange: Exchange) -> None:
        self._upstream = upstream
        self._exchange: Exchange | None = exchange
        shell = upstream.shell
        self._timer = shell.clock.call_later(upstream.connect_timeout, self._time_out)
        self._task = shell.loop.create_task(self._connect())

    def connected(self, connection: UpstreamConnection) -> None:
        """There it is; too late if nobody waits any more."""
        self._timer.cancel()
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            connection.transport.abort()
        else:
            connection.send(exchange)
            exchange.pace()

    def send_more(self, exchange: Exchange) -> None:
        """Not yet: what came waits in the exchange."""

    def hold(self, *, held: bool) -> None:
        """There is no answer to hold."""

    def drop(self) -> None:
        """Nobody waits for the connection any more."""
        self._exchange = None
        self._timer.cancel()
        self._task.cancel()

    async def _connect(self) -> None:
        upstream = self._upstream
        try:
            host, port = upstream.address
            await upstream.shell.loop.create_connection(lambda: UpstreamConnection(upstream, self), host, port)
        except OSError as error:
            self._fail("unreachable" if error.errno == errno.ETIMEDOUT else "refused")
        except UnicodeError:  # a name that cannot be looked up
            self._fail("refused")

    def _time_out(self) -> None:
        exchange, self._exchange = self._exchange, None
        self._task.cancel()
        if exchange is not None:
            exchange.failed("unreachable")

    def _fail(self, kind: OutcomeKind) -> None:
        self._timer.cancel()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.failed(kind)


class UpstreamConnection(asyncio.Protocol):
    """A connection to a backend, carrying one exchange or none."""

    __slots__ = (
        "_alarm",
        "_answer",
        "_dial",
        "_done",
        "_exchange",
        "_fields",
        "_held",
        "_maybe_stale",
        "_out",
        "_parser",
        "_reason",
        "_reusable",
        "_unsettled",
        "_upstream",
        "choked",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, upstream: Upstream, dial: Dial) -> None:
        self._upstream = upstream
        self._dial: Dial | None = dial
        self._alarm = Alarm(upstream.shell.clock, self._alarm_rang)
        self._exchange: Exchange | None = None
        self._parser: Any = HttpResponseParser(self)
        self._out: list[bytes] = []
        self._maybe_stale = False
        self._held = False
        self.choked = False
        self._expect_answer()

    def _expect_answer(self) -> None:
        self._answer: AnswerHead | None = None
        self._done = False
        self._fields: Fields = []
        self._reason = b""
        self._reusable = False
        self._unsettled = 0

    def __repr__(self) -> str:
        return f"<UpstreamConnection {self._upstream.backend.name} {self._exchange or 'idle'}>"

    # -- the request ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self._upstream.connections.add(self)
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.connected(self)

    def send(self, exchange: Exchange) -> None:
        """Carry this one: its head, and what there is of its body."""
        self._exchange = exchange
        exchange.carrier = self
        self.transport.write(exchange.head_for_backend() + exchange.body_for_backend())
        self._be_patient()

    def send_more(self, exchange: Exchange) -> None:
        """Some more of the body came."""
        self.transport.write(exchange.body_for_backend())
        self._be_patient()

    def hold(self, *, held: bool) -> None:
        """Read no more of the answer, or read on."""
        if held != self._held and not self.transport.is_closing():
            self._held = held
            if held:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
                self._be_patient()

    def drop(self) -> None:
        """Nobody wants the answer any more; the connection is of no use in the middle of one."""
        self._exchange = None
        self.transport.abort()

    def pause_writing(self) -> None:
        self.choked = True
        self._upstream.shell.buffered(self.transport)
        if self._exchange is not None:
            self._exchange.pace()

    def resume_writing(self) -> None:
        self.choked = False
        if self._exchange is not None:
            self._be_patient()
            self._exchange.pace()

    # -- the answer -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.transport.abort()  # nobody asked, so it is no answer
            return
        self._maybe_stale = False
        self._unsettled += len(data)
        try:
            self._parser.feed_data(data)
            sound = self._unsettled <= MOST_HEAD_BYTES
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            sound = False
        except (HttpParserError, HttpParserUpgrade):
            sound = False
        self._pass_on(exchange)
        if self._done:
            self._reusable = self._reusable and sound
            self._finish(exchange)
        elif sound:
            self._be_patient()
        else:
            self._fail("cut" if exchange.answering else "invalid")

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        if self._done or exchange is None:
            raise Refusal(502, "more than one answer")
        if self._unsettled > MOST_HEAD_BYTES:
            check_size(self._reason, self._fields, MOST_HEAD_BYTES)
        answer = AnswerHead(self._parser.get_status_code(), self._reason, self._fields)
        self._unsettled = 0
        if answer.status < 200:
            exchange.interim(answer)
            self._expect_answer()
            return
        self._answer = answer
        self._reusable = self._parser.should_keep_alive()
        self._out.append(exchange.begin_answer(answer))
        self._done = exchange.for_head

    def on_body(self, data: bytes) -> None:
        self._unsettled = 0
        exchange = self._exchange
        if self._done or exchange is None:
            raise Refusal(502, "a body where none belongs")
        self._out.append(exchange.frame(data))

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._done and self._exchange is not None:
            self._out.append(self._exchange.end)
            self._done = True

    def _pass_on(self, exchange: Exchange) -> None:
        out = self._out
        if out:
            exchange.write(b"".join(out))
            out.clear()

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = None
        if self._reusable and exchange.complete and not self.transport.is_closing():
            self._rest(exchange)
        else:
            self.transport.abort()
        exchange.answered()

    def _rest(self, exchange: Exchange) -> None:
        """Back into the pool, as good as new."""
        upstream = self._upstream
        if len(upstream.idle) >= MOST_IDLE or upstream.retired:
            self.transport.close()
            return
        if exchange.for_head:
            self._parser = HttpResponseParser(self)  # the old one waits for a body
        self.hold(held=False)
        self._maybe_stale = True
        self._expect_answer()
        self._alarm.set(upstream.shell.clock.now + upstream.idle_timeout)
        upstream.idle.append(self)

    # -- the end --------------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        upstream, exchange = self._upstream, self._exchange
        upstream.connections.discard(self)
        self._alarm.cancel()
        self._exchange = None
        if exchange is None:
            if self in upstream.idle:
                upstream.idle.remove(self)
        elif self._answer is None:
            self._closed_unanswered(exchange)
        elif exc is None and not (self._answer.chunked or self._answer.has_length):
            exchange.write(exchange.end)  # it ends where the connection does
            exchange.answered()
        else:
            exchange.failed("cut")
        self._parser = None

    def _closed_unanswered(self, exchange: Exchange) -> None:
        if self._maybe_stale and self._upstream.resends and exchange.is_repeatable:
            self._upstream.dial(exchange)
        else:
            exchange.failed("closed")

    def _be_patient(self) -> None:
        upstream = self._upstream
        self._alarm.set(upstream.shell.clock.now + upstream.response_timeout)

    def _alarm_rang(self) -> None:
        exchange = self._exchange
        if exchange is None:
            self.transport.close()
        elif exchange.client_is_late(self):
            self._be_patient()
        else:
            self._fail("cut" if exchange.answering else "timed_out")

    def _fail(self, kind: OutcomeKind) -> None:
        exchange, self._exchange = self._exchange, None
        self.transport.abort()
        if exchange is not None:
            exchange.failed(kind)
