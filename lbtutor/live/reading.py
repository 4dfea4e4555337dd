"""What a client says, request by request: bytes become requests, or a refusal.

llhttp does the reading, strictly. What it is content with and we are not is checked here (the form of the first line),
and so are the limits of the door, each exact to the byte; what could be understood in two ways is refused in `heads`.
A backend sees nothing of a request whose unsound part was read together with its beginning.

llhttp does not tell where in what it was given a message ends, so it is given no more than one at a time:

    part of a message         is given up to
    head, body in chunks      the next empty line, for nothing else ends one; and it may not, in the data of a chunk
    body of known length      its end

So what is kept of a head begins where the head does, and nothing that looks like one, in a field or a body, is taken
for it.

Bytes wait here in three cases only: of a head that is not whole, at most as many as a head may have; of bodies, in
their exchanges; and beside a request to switch protocols, in its `Handshake`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from lbtutor.live.familiar import Habit
from lbtutor.live.fields import Fields, Refusal, Role, check_size, request_roles
from lbtutor.live.heads import RequestHead

if TYPE_CHECKING:
    from lbtutor.live.exchange import Exchange
    from lbtutor.live.l7 import Front
    from lbtutor.live.tunnel import Handshake

LEAST_PIECE = 256
"""Bytes of a body, or its end, that must come within each `body_timeout`: a trickle is not a body."""

_EMPTY_LINE = b"\r\n\r\n"
"""With the end of the line before. llhttp takes no other line ends, but for empty lines ahead of a head."""


class Reading(asyncio.Protocol):
    """The half of a client's connection that listens; the half that serves is `ClientConnection`."""

    __slots__ = (
        "_before",
        "_begun",
        "_body_left",
        "_body_room",
        "_deaf",
        "_fields",
        "_habit",
        "_in_head",
        "_leaving",
        "_parser",
        "_piece",
        "_reading",
        "_requests",
        "_switching",
        "_target",
        "_unheeded",
        "_unsettled",
        "front",
    )

    def __init__(self, front: Front) -> None:
        self.front = front
        self._parser: Any = HttpRequestParser(self)
        self._requests: deque[Exchange] = deque()
        self._reading: Exchange | None = None
        self._switching: Handshake | None = None
        self._target = b""
        self._unheeded: RequestHead | None = None
        self._fields: Fields = []
        self._habit: Habit | None = None
        self._before = b""
        self._begun = b""
        self._body_left = 0
        self._body_room = inf
        self._piece = 0
        self._unsettled = 0
        self._in_head = True
        self._deaf = False
        self._leaving = False

    def admit(self, head: RequestHead) -> Exchange:
        """Here is another request; its body follows."""
        raise NotImplementedError

    def advance(self) -> None:
        """Serve what was read."""
        raise NotImplementedError

    def refuse(self, refusal: Refusal) -> None:
        """Hear no more, and say why."""
        raise NotImplementedError

    def pace(self) -> None:
        """Read on, or stop reading while what was read piles up."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._keep(data)
            return
        if self._habit is not None and not (self._begun or self._unsettled or self._reading):
            head = self._habit.repeated(data)
            if head is not None:
                self._in_head = False
                self.admit(head).complete = True
                self.advance()
                return
        try:
            self._parse(data)
        except HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            self.refuse(error.__context__)
        except HttpParserError as error:
            self.refuse(Refusal(400, str(error)))
        if len(self._target) > self.front.config.max_line_bytes:
            self.refuse(Refusal(414, "the first line is too long"))
        if self._unsettled > self.front.config.max_header_bytes:
            self.refuse(Refusal(431, "the head is too long"))
        self.advance()

    def _parse(self, data: bytes) -> None:
        """Parse it all, or up to the end of a request to switch protocols that may be granted; the rest is kept."""
        at, end = 0, len(data)
        while at < end and not self._deaf:
            upto = self._end_of_piece(data, at)
            piece = data[at:upto]
            at = upto
            self._unsettled += len(piece)
            if self._reading is None:
                self._begun = (self._begun + piece).lstrip(b"\r\n")  # empty lines ahead of it (RFC 9112, section 2.2)
            if self._asks_to_switch(piece):
                self._heed_or_not(data[at:])
        self._before = (self._before + data[-3:])[-3:]

    def _end_of_piece(self, data: bytes, at: int) -> int:
        """How far llhttp may read on from there without seeing the end of a message and something behind it."""
        if self._body_left:
            upto = min(at + self._body_left, len(data))
            self._body_left -= upto - at
            return upto
        if at == 0:
            across = (self._before + data[:3]).find(_EMPTY_LINE)  # it may have begun in what was read before
            if across >= 0:
                return across + len(_EMPTY_LINE) - len(self._before)
        place = data.find(_EMPTY_LINE, at)
        return place + len(_EMPTY_LINE) if place >= 0 else len(data)

    def _asks_to_switch(self, piece: bytes) -> bool:
        """Parse it; whether it is the end of a request to switch protocols, as llhttp understands it."""
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            return True
        return False

    def _heed_or_not(self, rest: bytes) -> None:
        """A wish to switch protocols was read; unless it may be granted, it is as if it had not been said."""
        if self._unheeded is not None:
            head, self._unheeded = self._unheeded, None
            self._parser, self._target = HttpRequestParser(self), b""  # one that has not heard it, and expects the body
            self._asks_to_switch(_without_the_wish(head))
        elif self._switching is not None:
            self._deaf = True
            self._switching.beside = rest

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

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        fields, self._fields = self._fields, []
        head = self._understand(fields)
        if head.has_body and self._parser.should_upgrade():
            self._unheeded = head  # a wish to ignore, but this parser would leave out the body
            return
        self._target = self._begun = b""
        self._unsettled = 0
        self._in_head = False
        self._body_left = head.length or 0
        self._reading = self.admit(head)

    def _understand(self, fields: Fields) -> RequestHead:
        parser = self._parser
        head = RequestHead(
            parser.get_method(), self._target, parser.get_http_version(), fields, keep_alive=parser.should_keep_alive()
        )
        self._check_head(head.line, fields)
        if head.upgrade and not parser.should_upgrade():
            raise Refusal(400, "an Upgrade that can be read in two ways")
        if head.has_body:
            self._body_room = self.front.most_body_bytes - (head.length or 0)
            self._check_room()
            self._piece = LEAST_PIECE
        self._habit = None if head.has_body or parser.should_upgrade() else self._habit_of(head)
        return head

    def _habit_of(self, head: RequestHead) -> Habit | None:
        config = self.front.config
        behind = self._begun[len(head.line) - len(b" HTTP/1.1\r\n") :]
        return Habit.of(head, self._target, behind, min(config.max_line_bytes, config.max_header_bytes))

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
        config, head = self.front.config, self._begun
        if not head.startswith(line):
            raise Refusal(400, "a first line that is not method, target and version with one space between them")
        if len(line) - 2 > config.max_line_bytes:
            raise Refusal(414, "the first line is too long")
        if len(fields) > config.max_headers:
            raise Refusal(431, "too many fields")
        if len(head) > config.max_header_bytes:
            raise Refusal(431, "the head is too long")

    def _check_room(self) -> None:
        if self._body_room < 0:
            raise Refusal(413, f"the body has more than {self.front.config.max_body_bytes} bytes")


def _without_the_wish(head: RequestHead) -> bytes:
    """The same head without Upgrade."""
    kept = [b"%b: %b\r\n" % field for field in head.fields if request_roles[field[0]] is not Role.UPGRADE]
    return b"".join((head.line, *kept, b"\r\n"))
