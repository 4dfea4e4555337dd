"""The client's side of the HTTP/1.1 balancer: bytes become requests, and requests are served in their order.

Everything happens in callbacks; there is no task a request. What was read in one go is parsed in one go, so several
requests may come out of it (pipelining): they wait in line, nothing more is read meanwhile, and each is begun when the
one before it is over. Not a byte is sent on before the bytes that were read have all been found sound.

Reading stops when bytes would pile up: when requests wait in line, when the backend takes no more of a body, when the
client takes no more of its answers. The kernel then tells the peer, by TCP's own means. So what the balancer holds for
one connection is bounded by a read and a high-water mark for each direction, however long the message is.

Nobody holds the balancer by being slow. A head has its time as a whole, whatever comes meanwhile; a body must bring at
least `LEAST_PIECE` bytes within each stretch of its time (NGINX and HAProxy are content with one byte); and a client
that does not take its answer is given up. Limits are exact, and what exceeds one is refused before a backend sees it,
but for a chunked body, whose size only its end tells: then the backend is cut off.

A client that closes its connection, or its half of it, before its answer is complete has left (NGINX's rule): the
backend is let go, and the outcome is `cancelled`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from math import inf
from secrets import token_hex
from typing import cast

from lbtutor.core.listening import ListenerConfig
from lbtutor.live.addresses import Address, Trust
from lbtutor.live.answers import own_answer
from lbtutor.live.clock import Alarm
from lbtutor.live.exchange import Exchange
from lbtutor.live.fields import Refusal
from lbtutor.live.forwarding import Introduction
from lbtutor.live.heads import RequestHead
from lbtutor.live.proxy_protocol import ProxyError, parse
from lbtutor.live.reading import LEAST_PIECE, Reading
from lbtutor.live.server import reset
from lbtutor.live.shell import Shell
from lbtutor.live.tunnel import Handshake
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


class ClientConnection(Reading):
    """A connection from a client: what is heard is served, one request after another."""

    __slots__ = (
        "_advancing",
        "_alarm",
        "_last_words",
        "_reading_paused",
        "choked",
        "introduction",
        "server_name",
        "transport",
    )

    introduction: Introduction
    server_name: str
    transport: asyncio.Transport

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self.choked = False
        self._alarm = Alarm(front.shell.clock, self._alarm_rang)
        self._reading_paused = False
        self._advancing = False
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
    def ends(self) -> tuple[Address, Address]:
        """Where the client is, and where it wanted to be: the ends of this connection, as backends are told of them."""
        peer, here = (self.transport.get_extra_info(name) for name in ("peername", "sockname"))
        return Address(*(peer or ("unknown", 0))[:2]), Address(*here[:2])

    @property
    def guest(self) -> Exchange | None:
        """The request that is under way, if any is."""
        first = self._requests[0] if self._requests else None
        return first if first is not None and first.under_way and not first.over else None

    def introduce(self, peer: str) -> None:
        """From here on this is who is at the other end."""
        encrypted = self.transport.get_extra_info("sslcontext") is not None
        self.introduction = Introduction(peer, "https" if encrypted else "http", self.front.trust)

    def admit(self, head: RequestHead) -> Exchange:
        exchange: Exchange
        if head.upgrade:
            exchange = self._switching = Handshake(self, head)
        else:
            exchange = Exchange(self, head)
        self._requests.append(exchange)
        return exchange

    def refuse(self, refusal: Refusal) -> None:
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

    def lend(self) -> None:
        """The protocol is another from here on; this one hears only of the end."""
        self._alarm.clear()
        if self._reading_paused and not self.transport.is_closing():
            self.transport.resume_reading()

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
            self._in_head = self._unsettled > 0
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
        front = self.front
        front.shell.refused(front.config.name, self.introduction.peer, refusal.status, refusal.says)
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
        if self.choked:
            reset(self.transport)  # what it did not read would stay with the kernel for long
        elif self._leaving:
            self.transport.abort()
        elif self._reading_paused:
            self._await_more()
        elif self._requests or self._begun:
            self.refuse(Refusal(408, "the request did not come in time"))
            self.advance()
        else:
            self._leave(linger=False)


class AnnouncedConnection(ClientConnection):
    """A connection from a proxy, which says first for whom it speaks; whoever does not is hung up on."""

    __slots__ = ("_announced_ends", "_announcement")

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._announcement: bytes | None = b""
        self._announced_ends: tuple[Address, Address] | None = None

    @property
    def ends(self) -> tuple[Address, Address]:
        return self._announced_ends or super().ends

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
        if header.source is not None and header.destination is not None:
            self._announced_ends = header.source, header.destination
            self.introduce(header.source.host)
        return said[header.size :]
