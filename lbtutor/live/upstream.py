"""Connections to backends: one pool of idle ones each, and what is done with an answer as it comes.

A connection carries one exchange at a time and returns to the pool of its backend when the answer was whole and both
sides want to go on. The one used last is used first, so that a quiet pool shrinks.

A connection may be closed by the backend at the very moment when it is taken from the pool. Then the request comes to
nothing before a byte of answer, and nobody knows whether it arrived. If it is harmless to send twice (no body, an
idempotent method), it is sent once more on a fresh connection, within the same attempt, as NGINX and Go do; otherwise
the client gets 502. Machines of a lab never close an idle connection, so one that closes has crashed with the request
in hand, and the trace says that.

Where the backend is told of the client ahead of all else (`send_proxy`), a connection carries one exchange and is
closed: to the backend it speaks for one client, and the next exchange may be another's. (HAProxy keeps it for the same
client.)
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable, Sequence
from math import inf
from ssl import SSLError
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec.structs import replace

from lbtutor.core.backend import Backend
from lbtutor.core.messages import OutcomeKind
from lbtutor.core.pool import PoolConfig
from lbtutor.live.addresses import Address
from lbtutor.live.clock import Alarm
from lbtutor.live.exchange import Exchange, Unheard
from lbtutor.live.familiar import Repertoire
from lbtutor.live.fields import Fields, Refusal, check_size, trailers
from lbtutor.live.heads import AnswerHead
from lbtutor.live.proxy_protocol import header
from lbtutor.live.secured import connect
from lbtutor.live.shell import Shell
from lbtutor.live.tls import Expected
from lbtutor.live.tunnel import Handshake

IDLE_TIMEOUT = 60.0
"""Scenario seconds after which an idle connection is closed (NGINX `keepalive_timeout`)."""

MOST_IDLE = 256
"""Idle connections kept for one backend."""

HIGH_WATER = 65_536
"""Bytes that may wait for one peer before the other is no longer read."""

MOST_HEAD_BYTES = 65_536
"""The longest head of an answer."""

_BEGINNING = b"HTTP/1."

Locate = Callable[[Backend], Address]
"""Where a backend is now; raises `ConfigError` when it is nowhere."""

Expect = Callable[[Backend], Expected | None]
"""Whom to expect there, if what is sent there is encrypted."""


class Upstreams:
    """The backends as places to connect to."""

    def __init__(self, shell: Shell, pools: Iterable[PoolConfig], locate: Locate, expect: Expect) -> None:
        self._expect = expect
        self._shell = shell
        self._pools = {pool.name: pool for pool in pools}
        self._locate = locate
        self._upstreams: dict[Backend, Upstream] = {}
        self.connections: set[UpstreamConnection] = set()

    def of(self, backend: Backend) -> Upstream:
        """The way to `backend`, which is remembered for as long as that is a member."""
        upstream = self._upstreams.get(backend)
        if upstream is None:
            expected = self._expect(backend)
            pool = self._pools[backend.pool]
            upstream = Upstream(self._shell, backend, pool, self._locate, expected, self.connections)
            if self._shell.balancer.has(backend):
                self._upstreams[backend] = upstream
            else:  # it left between a decision and its being carried out
                upstream.retire()
        return upstream

    def announcement(self, backend: Backend) -> bytes:
        """What a connection of our own begins with, where backends are told who comes: that it speaks for nobody."""
        version = self._pools[backend.pool].send_proxy
        return header(version, None, None) if version else b""

    def reconfigure(self, pools: Sequence[PoolConfig], is_member: Callable[[Backend], bool]) -> None:
        """These are the pools now: connections to backends that left, or are to be dealt with otherwise, are not kept.

        Pools that are no more are remembered, because their last requests may still be tried elsewhere.
        """
        same = {pool.name for pool in pools if self._deals_alike(pool)}
        self._pools.update((pool.name, pool) for pool in pools)
        for backend in [known for known in self._upstreams if known.pool not in same or not is_member(known)]:
            self._upstreams.pop(backend).retire()

    def _deals_alike(self, pool: PoolConfig) -> bool:
        """With the members that stay; certificates may be others under the same name."""
        was = self._pools.get(pool.name)
        return was is not None and pool.tls is None and replace(was, backends=()) == replace(pool, backends=())

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
        expected: Expected | None,
        connections: set[UpstreamConnection],
    ) -> None:
        self.expected = expected
        self.shell = shell
        self.backend = backend
        self.connect_timeout = pool.connect_timeout
        self.send_proxy = pool.send_proxy
        self.response_timeout = pool.response_timeout
        self.retries = pool.retry.attempts > 1
        self.retried = frozenset(int(what) for what in pool.retry.on if what.isdigit() and self.retries)
        self.resends = bool(backend.address)
        self.idle_timeout = IDLE_TIMEOUT if backend.address else inf
        self.retired = False
        self.idle: list[UpstreamConnection] = []
        self.connections = connections
        self.repertoire = Repertoire()
        self._locate = locate
        self._place = locate(backend) if backend.address else None

    def __repr__(self) -> str:
        return f"<Upstream {self.backend.name} idle={len(self.idle)}>"

    @property
    def address(self) -> Address:
        """Where it is; a machine of the lab may come back elsewhere."""
        return self._place or self._locate(self.backend)

    async def connect(
        self, protocol: Callable[[], asyncio.Protocol], *, ahead: bytes = b"", encrypted: bool = True
    ) -> OutcomeKind | None:
        """Open a connection for that protocol; None, or how it failed.

        `ahead` is sent before all else, TLS too. It is not `encrypted` again where the client's TLS is passed through.
        """
        try:
            await connect(self.shell.loop, protocol, self.address, self.expected if encrypted else None, ahead)
        except SSLError:
            return "untrusted"
        except OSError as error:
            return "unreachable" if error.errno == errno.ETIMEDOUT else "refused"
        except UnicodeError:  # a name that cannot be looked up
            return "refused"
        return None

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
        upstream, exchange = self._upstream, self._exchange
        version = upstream.send_proxy
        ahead = header(version, *exchange.ends) if version and exchange is not None else b""
        failure = await upstream.connect(lambda: UpstreamConnection(upstream, self), ahead=ahead)
        if failure is not None:
            self._fail(failure)

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
        "_begun",
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
        self._begun = False
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

    def lend(self) -> None:
        """The protocol is another from here on; this one hears only of the end."""
        self.hold(held=False)
        self._exchange = None
        self._alarm.clear()

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
        if self._maybe_stale:
            self._maybe_stale = False
            familiar = None if exchange.for_head else self._upstream.repertoire.known(data)
            if familiar is not None:
                self._pass_on_whole(exchange, *familiar)
                return
        begins = not self._begun
        if begins and not _begins_well(data):
            self._fail("invalid")
            return
        self._unsettled += len(data)
        try:
            self._parser.feed_data(data)
            sound = self._unsettled <= MOST_HEAD_BYTES
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            sound = False
        except HttpParserUpgrade as switch:
            assert isinstance(exchange, Handshake), "nobody else is switched"
            exchange.open(self, data[switch.args[0] :])
            return
        except HttpParserError:
            sound = False
        exchange = self._exchange or exchange
        self._pass_on(exchange)
        if self._done:
            self._reusable = self._reusable and sound
            if begins and self._reusable:
                self._learn(data, exchange)
            self._finish(exchange)
        elif sound:
            self._be_patient()
        else:
            self._fail("cut" if exchange.answering else "invalid")

    def on_message_begin(self) -> None:
        self._begun = True
        if self._done:
            self._reusable = False  # something follows the answer, of which nobody knows what it is

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
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
            self._hear_interim(exchange, answer)
            return
        if answer.chunked and self._parser.get_http_version() != "1.1":
            raise Refusal(502, "a Transfer-Encoding in HTTP/1.0")
        self._answer = answer
        self._fields.clear()
        self._reusable = self._parser.should_keep_alive()
        if answer.status in self._upstream.retried and exchange.wants_again(answer.status):
            self._exchange = Unheard(exchange)
            exchange.try_again(answer.status)
        else:
            self._out.append(exchange.begin_answer(answer))
        self._done = exchange.for_head

    def _hear_interim(self, exchange: Exchange, answer: AnswerHead) -> None:
        if answer.status == 101:
            exchange.switch_to(answer)
        else:
            exchange.interim(answer)
        self._expect_answer()

    def on_body(self, data: bytes) -> None:
        self._unsettled = 0
        exchange = self._exchange
        if self._done or exchange is None:
            raise Refusal(502, "a body where none belongs")
        self._out.append(exchange.frame(data))

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._done and self._exchange is not None:
            trailing = trailers(self._fields, self._answer.named) if self._fields else b""
            self._out.append(self._exchange.end(trailing))
            self._done = True

    def _pass_on(self, exchange: Exchange) -> None:
        out = self._out
        if out:
            exchange.write(b"".join(out))
            out.clear()

    def _learn(self, data: bytes, exchange: Exchange) -> None:
        """An answer came in one piece, and as it should be; one that is worth a retry is looked at each time."""
        answer, upstream = self._answer, self._upstream
        if answer is not None and not exchange.for_head and answer.status not in upstream.retried:
            upstream.repertoire.learn(data, answer)

    def _pass_on_whole(self, exchange: Exchange, head: AnswerHead, body: bytes) -> None:
        self._reusable = True
        exchange.write(exchange.begin_answer(head) + body)
        self._finish(exchange)

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
        if len(upstream.idle) >= MOST_IDLE or upstream.retired or upstream.send_proxy:
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
        elif exc is None and not (self._answer.chunked or self._answer.length is not None):
            exchange.write(exchange.end())  # it ends where the connection does
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


def _begins_well(data: bytes) -> bool:
    """It may be HTTP/1; llhttp would also take RTSP, ICE and other versions."""
    return data.startswith(_BEGINNING) or _BEGINNING.startswith(data)
