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
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from lbtutor.core.listening import ListenerConfig
from lbtutor.live.addresses import Trust
from lbtutor.live.clock import Alarm
from lbtutor.live.exchange import Exchange
from lbtutor.live.heads import Fields, Refusal, RequestHead, check_size, own_answer
from lbtutor.live.server import reset
from lbtutor.live.shell import Shell
from lbtutor.live.upstream import HIGH_WATER, Upstreams

LINGER = 2.0
"""Scenario seconds for a client that still sends to hear why it should not, before its connection is closed."""


class Front:
    """One door of the balancer, and the connections that came through it."""

    def __init__(self, config: ListenerConfig, shell: Shell, upstreams: Upstreams) -> None:
        self.config = config
        self.shell = shell
        self.upstreams = upstreams
        self.trust = Trust(config.trusted_proxies, of=f"listener {config.name}")
        self.connections: set[ClientConnection] = set()
        self.draining = False

    def __repr__(self) -> str:
        return f"<Front {self.config.name} connections={len(self.connections)}>"

    def connection(self) -> ClientConnection:
        """The protocol for a connection that was accepted."""
        return ClientConnection(self)

    def drain(self) -> None:
        """Each connection closes when its requests are over; those that have none, now."""
        self.draining = True
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
        "_deaf",
        "_fields",
        "_forwarding",
        "_in_head",
        "_last_words",
        "_leaving",
        "_parser",
        "_peer",
        "_reading",
        "_reading_paused",
        "_requests",
        "_target",
        "_trusted",
        "_unsettled",
        "choked",
        "front",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, front: Front) -> None:
        self.front = front
        self.choked = False
        self._alarm = Alarm(front.shell.clock, self._alarm_rang)
        self._parser: Any = HttpRequestParser(self)
        self._requests: deque[Exchange] = deque()
        self._reading: Exchange | None = None
        self._target = b""
        self._fields: Fields = []
        self._unsettled = 0
        self._in_head = True
        self._reading_paused = False
        self._advancing = False
        self._deaf = False
        self._leaving = False
        self._last_words: Refusal | None = None
        self._trusted = False
        self._peer = ""
        self._forwarding = b""

    def __repr__(self) -> str:
        return f"<ClientConnection {self._peer} {list(self._requests)}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        front = self.front
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else "unknown"
        self._trusted = front.trust.believes(self._peer)
        self._forwarding = _forwarding(self._peer.encode(), b"http")
        self._alarm.set(front.shell.clock.now + front.config.head_timeout)
        front.connections.add(self)

    # -- who it is ------------------------------------------------------------------------------------------------

    def address_of(self, head: RequestHead) -> str:
        """The client that sent this request: the peer, or whom a trusted peer names."""
        if not (self._trusted and head.forwarded_for):
            return self._peer
        return self.front.trust.client(self._peer, b",".join(head.forwarded_for).decode("latin-1"))

    def said_of_client(self, head: RequestHead) -> bytes:
        """The forwarding fields for the backend, and the end of its head."""
        if not self._trusted:
            return self._forwarding
        chain = b", ".join([*head.forwarded_for, self._peer.encode()])
        return _forwarding(chain, head.forwarded_proto or b"http")

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unsettled += len(data)
        try:
            while data:
                data = self._parse(data)
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            self._refuse(error.__context__)
        except HttpParserError as error:
            self._refuse(Refusal(400, str(error)))
        if self._unsettled > self.front.config.max_header_bytes:
            self._refuse(Refusal(431, "the head is too long"))
        self.advance()

    def _parse(self, data: bytes) -> bytes:
        """Parse it all, or up to the end of a request to switch protocols, which is taken as if it had not asked."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as switch:
            return data[switch.args[0] :]
        return b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is None:  # trailers are dropped
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser, target, fields = self._parser, self._target, self._fields
        self._target, self._fields = b"", []
        if self._unsettled > self.front.config.max_header_bytes:
            check_size(target, fields, self.front.config.max_header_bytes)
        head = RequestHead(
            parser.get_method(), target, parser.get_http_version(), fields, keep_alive=parser.should_keep_alive()
        )
        if head.has_body and parser.should_upgrade():
            raise Refusal(501, "a request to switch protocols has no body here")
        self._unsettled = 0
        self._in_head = False
        self._reading = Exchange(self, head)
        self._requests.append(self._reading)

    def on_chunk_header(self) -> None:
        self._unsettled = 0
        if self._reading is not None:
            self._reading.first_chunk_seen = True

    def on_body(self, data: bytes) -> None:
        self._unsettled = 0
        if self._reading is not None:
            self._reading.take_in(data)

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        self._unsettled = 0
        if exchange is not None:
            exchange.complete = True

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
            else:
                self._alarm.set(front.shell.clock.now + front.config.idle_timeout)
        elif self._last_words is not None:
            self._say_last_words(self._last_words)
            return
        elif not self._in_head:
            self._in_head = self._unsettled > 0
            patience = front.config.head_timeout if self._in_head else front.config.idle_timeout
            self._alarm.set(front.shell.clock.now + patience)
            if front.draining and not self._in_head:
                self._leave(linger=False)
                return
        if requests or self._reading_paused:
            self.pace()

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
        if not self._requests and not self._unsettled:
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

    def _say_last_words(self, refusal: Refusal) -> None:
        self.write(own_answer(refusal.status, refusal.says, close=True))
        self._leave(linger=True)

    def _leave(self, *, linger: bool) -> None:
        """Close when all is sent. A client that may still be sending is heard out first, unheeded (RFC 9112, 9.6)."""
        shell, patience = self.front.shell, float(self.front.config.idle_timeout)
        self._deaf = self._leaving = True
        if not linger or self.transport.is_closing():
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
        elif self._requests or self._unsettled:
            self._refuse(Refusal(408, "the request did not come in time"))
            self.advance()
        else:
            self.transport.close()


def _forwarding(chain: bytes, proto: bytes) -> bytes:
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n\r\n" % (chain, proto)
