"""The client's side of the HTTP/1.1 balancer: bytes become requests, and requests are served in their order.

Everything happens in callbacks; there is no task a request. What was read in one go is parsed in one go, so several
requests may come out of it (pipelining): they wait in line, nothing more is read meanwhile, and each is begun when the
one before it is over. Not a byte is sent on before the bytes that were read have all been found sound.

Reading stops when bytes would pile up: when requests wait in line, when the backend takes no more of a body, when the
client takes no more of its answers. The kernel then tells the peer, by TCP's own means. So what the balancer holds for
one connection is bounded by a read and a high-water mark for each direction, however long the message is.

A client that closes its connection, or its half of it, before its answer is complete has left (NGINX's rule): the
backend is let go, and the outcome is `cancelled`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from math import inf
from secrets import token_hex
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from lbtutor.core.listening import ListenerConfig
from lbtutor.live.addresses import Trust
from lbtutor.live.clock import Alarm
from lbtutor.live.exchange import Exchange
from lbtutor.live.forwarding import Introduction
from lbtutor.live.heads import Fields, Refusal, RequestHead, check_size, own_answer
from lbtutor.live.proxy_protocol import ProxyError, parse
from lbtutor.live.server import reset
from lbtutor.live.shell import Shell
from lbtutor.live.tunnel import Handshake
from lbtutor.live.upstream import HIGH_WATER, Upstreams

LEAST_PIECE = 256
"""Bytes of a body, or its end, that must come within each `body_timeout`: a trickle is not a body."""

LINGER = 2.0
"""Scenario seconds for a client that still sends to hear why it should not, before its connection is closed."""


class Front:
    """One door of the balancer, and the connections that came through it."""

    def __init__(self, config: ListenerConfig, shell: Shell, upstreams: Upstreams) -> None:
        self.config = config
        self.shell = shell
        self.upstreams = upstreams
        self.trust = Trust(config.trusted_proxies, of=f"listener {config.name}")
        self.run = token_hex(6).encode()
        """What tells the names of this run's requests from those of others."""
        self.most_body_bytes = inf if config.max_body_bytes is None else config.max_body_bytes
        self.most_connections = inf if config.max_connections is None else config.max_connections
        self.connections: set[ClientConnection] = set()
        self.draining = False
        """Each answer from here on is the last on its connection, and says so."""
        self.closing = False
        """Connections that have nothing under way are closed."""

    def __repr__(self) -> str:
        return f"<Front {self.config.name} connections={len(self.connections)}>"

    @property
    def guests(self) -> Iterator[Exchange]:
        """The requests that are under way."""
        return (guest for connection in self.connections if (guest := connection.guest) is not None)

    def connection(self) -> ClientConnection:
        """The protocol for a connection that was accepted."""
        return AnnouncedConnection(self) if self.config.accept_proxy else ClientConnection(self)

    def retire(self) -> None:
        """Each connection closes with its next answer; one that is idle may wait for that as long as ever."""
        self.draining = True

    def drain(self) -> None:
        """Each connection closes when its requests are over; those that have none, now."""
        self.draining = self.closing = True
        for connection in list(self.connections):
            connection.finish_soon()

    def abort(self) -> None:
        """Close all connections now, in the middle of whatever they do."""
        for connection in list(self.connections):
            connection.cut_off(abort=True)


class ClientConnection(asyncio.Protocol):
    """A connection from a client."""

    __slots__ = (
        "_advancing",
        "_alarm",
        "_begun",
        "_body_room",
        "_deaf",
        "_fields",
        "_in_head",
        "_last",
        "_last_words",
        "_leaving",
        "_parser",
        "_piece",
        "_read",
        "_reading",
        "_reading_paused",
        "_requests",
        "_seen",
        "_switching",
        "_target",
        "_unsettled",
        "choked",
        "front",
        "introduction",
        "server_name",
        "transport",
    )

    introduction: Introduction
    server_name: str
    transport: asyncio.Transport

    def __init__(self, front: Front) -> None:
        self.front = front
        self.choked = False
        self._alarm = Alarm(front.shell.clock, self._alarm_rang)
        self._parser: Any = HttpRequestParser(self)
        self._requests: deque[Exchange] = deque()
        self._reading: Exchange | None = None
        self._switching: Handshake | None = None
        self._target = b""
        self._fields: Fields = []
        self._last: RequestHead | None = None
        self._body_room = inf
        self._begun = False
        self._piece = 0
        self._read = b""
        self._seen = 0
        self._unsettled = 0
        self._in_head = True
        self._reading_paused = False
        self._advancing = False
        self._deaf = False
        self._leaving = False
        self._last_words: Refusal | None = None

    def __repr__(self) -> str:
        return f"<ClientConnection {list(self._requests)}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        front = self.front
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.introduce(peer[0] if peer else "unknown")
        self.server_name = transport.get_extra_info("server_name", "")
        self._alarm.set(front.shell.clock.now + front.config.head_timeout)
        front.connections.add(self)
        if len(front.connections) > front.most_connections:
            self._say_last_words(Refusal(503, "too many connections"), linger=False)

    @property
    def guest(self) -> Exchange | None:
        """The request that is under way, if any is."""
        first = self._requests[0] if self._requests else None
        return first if first is not None and first.under_way and not first.over else None

    def introduce(self, peer: str) -> None:
        """From here on this is who is at the other end."""
        encrypted = self.transport.get_extra_info("sslcontext") is not None
        self.introduction = Introduction(peer, "https" if encrypted else "http", self.front.trust)

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._keep(data)
            return
        self._unsettled += len(data)
        self._read = self._read + data if self._begun else data
        self._seen = 0 if self._reading is None else 1  # what begins in a body does not begin with a head
        try:
            while data:
                data = self._parse(data)
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            self._refuse(error.__context__)
        except HttpParserError as error:
            self._refuse(Refusal(400, str(error)))
        if self._begun:
            self._read = self._read[self._seen :]
            if len(self._target) > self.front.config.max_line_bytes:
                self._refuse(Refusal(414, "the first line is too long"))
        if self._unsettled > self.front.config.max_header_bytes:
            self._refuse(Refusal(431, "the head is too long"))
        self.advance()

    def _parse(self, data: bytes) -> bytes:
        """Parse it all, or up to the end of a request to switch protocols; the rest is kept, if it may be granted."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as switch:
            rest = data[switch.args[0] :]
            if self._switching is None:
                return rest
            self._deaf = True
            self._switching.beside = rest
        return b""

    def _keep(self, data: bytes) -> None:
        """What it means is not known before it is known whether protocols are switched."""
        if self._switching is not None:
            self._switching.beside += data
            self.pace()

    def stay(self, beside: bytes) -> None:
        """Protocols are not switched after all: what came beside the request is HTTP, as the request was."""
        self._switching = None
        if not self._leaving:
            self._deaf = False
            if beside:
                self.data_received(beside)

    def lend(self) -> None:
        """The protocol is another from here on; this one hears only of the end."""
        self._alarm.clear()
        if self._reading_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        self._begun = True

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        fields, self._fields = self._fields, []
        last = self._last
        if last is not None and fields == last.fields and not self._seen and self._read.startswith(last.line):
            head, self._seen = last, len(last.line)  # clients repeat themselves
        else:
            head = self._understand(fields)
        self._target = b""
        self._unsettled = 0
        self._begun = self._in_head = False
        if head.upgrade:
            self._reading = self._switching = Handshake(self, head)
        else:
            self._reading = Exchange(self, head)
        self._requests.append(self._reading)

    def _understand(self, fields: Fields) -> RequestHead:
        parser = self._parser
        head = RequestHead(
            parser.get_method(), self._target, parser.get_http_version(), fields, keep_alive=parser.should_keep_alive()
        )
        self._check_head(head.line, fields)
        if head.has_body and parser.should_upgrade():
            raise Refusal(501, "a request to switch protocols has no body here")
        if head.upgrade and not parser.should_upgrade():
            raise Refusal(400, "an Upgrade that can be read in two ways")
        if head.has_body:
            self._body_room = self.front.most_body_bytes - (head.length or 0)
            self._check_room()
            self._piece = LEAST_PIECE
        self._last = None if head.has_body or head.upgrade else head
        return head

    def on_chunk_header(self) -> None:
        self._unsettled = 0
        if self._reading is not None:
            self._reading.first_chunk_seen = True

    def on_body(self, data: bytes) -> None:
        self._unsettled = 0
        self._piece += len(data)
        exchange = self._reading
        if exchange is not None:
            if exchange.is_chunked:
                self._body_room -= len(data)
                self._check_room()
            exchange.take_in(data)

    def on_message_complete(self) -> None:
        self._unsettled = 0
        exchange = self._reading
        if exchange is not None:
            if self._fields:
                self._take_trailers(exchange)
            exchange.complete = True
            self._reading = None

    def _take_trailers(self, exchange: Exchange) -> None:
        config, fields = self.front.config, self._fields
        self._fields = []
        check_size(b"", fields, config.max_header_bytes)
        if len(fields) > config.max_headers:
            raise Refusal(431, "too many trailer fields")
        exchange.take_trailers(fields)

    def _check_head(self, line: bytes, fields: Fields) -> None:
        """The first line came just so, since llhttp also takes it with more spaces, or in RTSP and ICE; and nothing is
        longer than it may be."""
        config, read = self.front.config, self._read
        place = read.find(line, self._seen)
        if place < 0:
            raise Refusal(400, "a first line that is not method, target and version with one space between them")
        self._seen = end = place + len(line)
        if len(line) - 2 > config.max_line_bytes:
            raise Refusal(414, "the first line is too long")
        if len(fields) > config.max_headers:
            raise Refusal(431, "too many fields")
        if len(read) > config.max_header_bytes < read.find(b"\r\n\r\n", end - 2) + 4 - place:
            raise Refusal(431, "the head is too long")

    def _check_room(self) -> None:
        if self._body_room < 0:
            raise Refusal(413, f"the body has more than {self.front.config.max_body_bytes} bytes")

    def _refuse(self, refusal: Refusal) -> None:
        """Hear no more. Say why, when the requests before are over, unless the last one said that nothing follows."""
        if self._deaf:
            return
        self._deaf = True
        unfinished, self._reading = self._reading, None
        if unfinished is not None:
            self._requests.remove(unfinished)
            unfinished.cancel()
        if unfinished is not None and unfinished.answering:
            self.cut_off(abort=False)
        elif not (self._requests and self._requests[-1].is_last):
            self._last_words = refusal

    # -- serving --------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Serve whoever is first in line, for as long as that can be done at once; then wait for what must come."""
        if self._advancing:
            return
        self._advancing = True
        requests = self._requests
        while requests and not self.choked and not self._leaving:
            first = requests[0]
            if not first.over:
                if not first.under_way:
                    if not first.ready:
                        break
                    first.begin()
                elif first.sends_more:
                    first.send_more()
                if not first.over:
                    break
            requests.popleft()
            if first.closes:
                self._leave(linger=not first.complete)
        self._advancing = False
        if not self._leaving:
            self._await_more()

    def _await_more(self) -> None:
        """Everything that could be done is done: say the last words, or see how long to wait for whom."""
        requests, front = self._requests, self.front
        if self.choked:
            if not self._alarm.is_set:
                self._alarm.set(front.shell.clock.now + front.config.idle_timeout)
        elif requests:
            if self._reading is None:
                self._alarm.clear()
            elif self._piece >= LEAST_PIECE or not self._alarm.is_set:
                self._await_piece()
        elif self._last_words is not None:
            self._say_last_words(self._last_words)
            return
        elif not self._in_head:
            self._in_head = self._begun or self._unsettled > 0
            patience = front.config.head_timeout if self._in_head else front.config.idle_timeout
            self._alarm.set(front.shell.clock.now + patience)
            if front.closing and not self._in_head:
                self._leave(linger=False)
                return
        if requests or self._reading_paused:
            self.pace()

    def _await_piece(self) -> None:
        self._piece = 0
        self._alarm.set(self.front.shell.clock.now + self.front.config.body_timeout)

    def pace(self) -> None:
        """Read on, or stop reading while what was read piles up."""
        requests = self._requests
        piles_up = self.choked or len(requests) > 1 or (bool(requests) and requests[0].piles_up(HIGH_WATER))
        if piles_up != self._reading_paused and not self.transport.is_closing():
            self._reading_paused = piles_up
            if piles_up:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
                if self._reading is not None:
                    self._await_piece()  # while nobody read, nobody was late

    # -- answering ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Bytes of an answer."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        self.choked = True
        self.front.shell.buffered(self.transport)
        self._hold_answer(held=True)
        self._await_more()

    def resume_writing(self) -> None:
        self.choked = False
        self._alarm.clear()
        self._hold_answer(held=False)
        self.advance()

    def _hold_answer(self, *, held: bool) -> None:
        if self._requests:
            self._requests[0].hold_answer(held=held)

    # -- leaving --------------------------------------------------------------------------------------------------

    def finish_soon(self) -> None:
        """Close as soon as nothing is under way; told when the door is closed."""
        if not self._requests and not self._begun:
            self._leave(linger=False)

    def cut_off(self, *, abort: bool) -> None:
        """Close in the middle of things; with `abort`, so that nobody can take what was sent for the whole."""
        if abort:
            reset(self.transport)
        self._leave(linger=False)

    def eof_received(self) -> None:
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self._alarm.cancel()
        self._parser = None
        self.front.connections.discard(self)

    def _gone(self) -> None:
        """Nobody is there any more who could read an answer."""
        self._deaf = self._leaving = True
        while self._requests:
            self._requests.popleft().cancel()

    def _say_last_words(self, refusal: Refusal, *, linger: bool = True) -> None:
        self.write(own_answer(refusal.status, refusal.says, close=True))
        self._leave(linger=linger)

    def _leave(self, *, linger: bool) -> None:
        """Close when all is sent. A client that may still be sending is heard out first, unheeded (RFC 9112, 9.6)."""
        shell, patience = self.front.shell, float(self.front.config.idle_timeout)
        self._deaf = self._leaving = True
        if not linger or self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
        else:
            patience = min(patience, LINGER)
            self._reading_paused = False
            self.transport.write_eof()
            self.transport.resume_reading()
        self._alarm.set(shell.clock.now + patience)

    def _alarm_rang(self) -> None:
        if self._leaving or self.choked:
            self.transport.abort()
        elif self._reading_paused:
            self._await_more()
        elif self._requests or self._begun:
            self._refuse(Refusal(408, "the request did not come in time"))
            self.advance()
        else:
            self._leave(linger=False)


class AnnouncedConnection(ClientConnection):
    """A connection from a proxy, which says first for whom it speaks; whoever does not is hung up on."""

    __slots__ = ("_announcement",)

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._announcement: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        if self._announcement is not None and not self._leaving:
            data = self._hear_announcement(self._announcement + data)
        if data:
            super().data_received(data)

    def _hear_announcement(self, said: bytes) -> bytes:
        """What follows the announcement; nothing before it is whole."""
        try:
            header = parse(said)
        except ProxyError:
            self.cut_off(abort=True)
            return b""
        if header is None:
            self._announcement = said
            return b""
        self._announcement = None
        if header.source is not None:
            self.introduce(header.source.host)
        return said[header.size :]
