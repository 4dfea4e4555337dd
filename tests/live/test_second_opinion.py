"""A second opinion: h11 reads what clients said and what backends were told, and must find the same in both.

The balancer's real connections are driven in memory, without sockets, so that a case costs a fraction of a millisecond.
`LBTUTOR_FUZZ=100000 pytest tests/live/test_second_opinion.py` runs that many cases of each kind instead of a few.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import HealthCheck as Check
from hypothesis import given, settings
from hypothesis import strategies as st

from lbtutor.core import BackendConfig, ListenerConfig, PoolConfig, Route
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.messages import Forward, Outcome, Request
from lbtutor.live.addresses import Address
from lbtutor.live.clock import Clock
from lbtutor.live.gate import Gate
from lbtutor.live.l7 import ClientConnection, Front
from lbtutor.live.shell import Shell
from lbtutor.live.upstream import Upstream, UpstreamConnection, Upstreams

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

NOT_PASSED_ON = {
    *(b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"proxy-connection", b"te", b"upgrade"),
    *(b"host", b"expect", b"cookie", b"forwarded", b"x-request-id", b"x-real-ip"),
}


class Message(NamedTuple):
    """A request as h11 understood it: with the fields that are meant for the other end, and the trailers."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]


class Wire(asyncio.Transport):
    """A connection in memory: what was written and not yet read by the other end."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def take(self) -> bytes:
        data = bytes(self.written)
        self.written.clear()
        return data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class Reader:
    """h11 in the place of a server; `ignored` are bytes that may stand between two messages."""

    def __init__(self, ignored: bytes = b"") -> None:
        self._ignored = ignored
        self._h11 = _server()
        self._request: h11.Request | None = None
        self._body = bytearray()

    def read(self, data: bytes) -> Iterator[Message | None]:
        """The messages that are whole by now; None where a client waits to be told to go on."""
        self._h11.receive_data(data)
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._request = event
                self._body.clear()
                if self._h11.they_are_waiting_for_100_continue:
                    yield None
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                message = self._message(event)
                self._begin_again()
                yield message
            else:
                return

    @property
    def is_between_messages(self) -> bool:
        return self._h11.their_state is h11.IDLE and not self._h11.trailing_data[0]

    def _message(self, end: h11.EndOfMessage) -> Message:
        request = self._request
        assert request is not None
        pairs = [(bytes(name), bytes(value)) for name, value in request.headers]
        named = {
            option.strip().lower() for name, value in pairs if name == b"connection" for option in value.split(b",")
        }
        fields = [pair for pair in pairs if passes(pair[0]) and pair[0] not in named]
        trailers = [(bytes(name), bytes(value)) for name, value in end.headers if passes(name) and name not in named]
        return Message(request.method, bytes(request.target), fields, bytes(self._body), trailers)

    def _begin_again(self) -> None:
        """Another takes over behind each message, so that what the last one said about its connection is forgotten."""
        rest = self._h11.trailing_data[0].lstrip(self._ignored)
        self._h11 = _server()
        if rest:  # nothing would mean the end
            self._h11.receive_data(rest)


def _server() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)


def passes(name: bytes) -> bool:
    """Fields of that name are for the other end, and nobody's business between."""
    dashed = name.replace(b"_", b"-")
    return not (dashed in NOT_PASSED_ON or dashed.startswith(b"x-forwarded-") or (dashed == b"via" and name != b"via"))


class Rig:
    """A balancer with one backend, all in memory."""

    def __init__(self) -> None:
        loop = asyncio.new_event_loop()
        self.loop = loop
        pool = PoolConfig("web", backends=(BackendConfig("a", address="127.0.0.1:1"),))
        balancer = Balancer((pool,), (Route("web"),), rng=Random(1))
        self.shell = Shell(loop, Clock(), Gate(), balancer)
        self.upstreams = Upstreams(self.shell, (pool,), somewhere, nothing)
        self.front = Front(ListenerConfig("front"), self.shell, self.upstreams)
        self.backend = self._only_backend()
        self.upstream = self.upstreams.of(self.backend)

    def _only_backend(self) -> Backend:
        """The one that everybody is sent to."""
        decision = self.shell.arrive(Request(0, 0.0))
        assert isinstance(decision, Forward)
        self.shell.finish(0, Outcome.answered(200))
        return decision.backend

    def client(self) -> tuple[ClientConnection, Wire]:
        """A client connects."""
        connection, wire = self.front.connection(), Wire()
        connection.connection_made(wire)
        return connection, wire

    def backends(self) -> list[Ear]:
        """Idle connections to the backend, and no others; one is enough unless the balancer gives it up."""
        ears = [Ear(self.upstream) for _ in range(6)]
        self.upstream.idle[:] = [ear.connection for ear in ears]
        return ears


class Ear:
    """One connection to the backend, and what h11 hears there."""

    def __init__(self, upstream: Upstream) -> None:
        self.wire = Wire()
        self.connection = UpstreamConnection(upstream, Awaited())  # type: ignore[arg-type]
        self.connection.connection_made(self.wire)
        self.heard = bytearray()
        self._reader = Reader()

    def listen(self) -> Iterator[Message]:
        """What is whole by now; everything is answered at once."""
        while data := self.wire.take():
            self.heard += data
            for message in self._reader.read(data):
                if message is None:
                    self.connection.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")
                    continue
                yield message
                assert self._reader.is_between_messages, "one message was sent, and there is more"
                self.connection.data_received(OK)

    def hang_up(self) -> None:
        assert self.wire.closing or self._reader.is_between_messages, "half a message, and then nothing"
        self.connection.connection_lost(None)


def somewhere(backend: object) -> Address:
    """Nobody goes there: there are connections enough."""
    return Address("127.0.0.1", 1)


def nothing(backend: object) -> None:
    """What is sent there is not encrypted."""


class Awaited:
    """Nobody dialled: the connection is there before it is wanted."""

    def connected(self, connection: UpstreamConnection) -> None: ...


def understood(rig: Rig, pieces: list[bytes]) -> list[Message]:
    """What the backend understands when a client says this in so many pieces, and leaves."""
    client, _ = rig.client()
    ears = rig.backends()
    messages = [message for piece in pieces for message in hear(client, piece, ears)]
    client.connection_lost(None)
    for ear in ears:
        ear.hang_up()
    assert rig.backend.in_flight == 0
    return messages


def hear(client: ClientConnection, piece: bytes, ears: list[Ear]) -> Iterator[Message]:
    client.data_received(piece)
    yield from hear_all(ears)


def hear_all(ears: list[Ear]) -> Iterator[Message]:
    while any(ear.wire.written for ear in ears):
        for ear in ears:
            yield from ear.listen()


def check(rig: Rig, pieces: list[bytes]) -> int:
    """Both opinions; how many requests reached the backend."""
    there = [tidied(message) for message in understood(rig, pieces)]
    assert there == list(said(b"".join(pieces), len(there)))
    return len(there)


def said(data: bytes, count: int) -> Iterator[Message]:
    """The first `count` requests in what a client said, as h11 understands them; it knows no empty lines before one."""
    reader = Reader(ignored=b"\r\n")
    messages = reader.read(data.lstrip(b"\r\n"))
    while count:
        message = next(messages)
        if message is not None:
            count -= 1
            yield tidied(message)


def tidied(message: Message) -> Message:
    """Without what the balancer adds, and with the target in its own form."""
    fields = [pair for pair in message.fields if pair != (b"via", b"1.1 lbtutor") and pair != (b"via", b"1.0 lbtutor")]
    target = message.target
    if target.lower().startswith((b"http://", b"https://")):
        target = b"/" + target.split(b"/", 3)[3] if target.count(b"/") > 2 else b"/"
    return Message(message.method, target, fields, message.body, [pair for pair in message.trailers if may_trail(pair)])


def may_trail(pair: tuple[bytes, bytes]) -> bool:
    return pair[0].startswith(b"x-")


# -- what is said ---------------------------------------------------------------------------------------------------

METHODS = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"]
TARGETS = [b"/", b"/a/b?c=d&e", b"/%2e%2e/x", b"//x", b"/a;b=c", b"http://lab/x", b"http://LAB", b"*", b"/'\"<>|{}"]
FIELDS = [
    b"Accept: */*",
    b"X-Empty:",
    b"X-Spaces:  \t a b \t ",
    b"X_Under_Score: 1",
    b"Content_Length: 7",
    b"Cookie: a=b; c=d",
    b"X-Forwarded-For: 6.6.6.6",
    b"X_Forwarded_Proto: https",
    b"Forwarded: for=6.6.6.6",
    b"Connection: close",
    b"Connection: keep-alive, X-Empty",
    b"Connection: content-length, host",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"TE: trailers",
    b"X-Line: GET / HTTP/1.1",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA",
    b"Trailer: X-Sum",
    b"Expect: 100-continue",
    b"X-Latin: \xe9\xff",
    b"Via: 1.0 other",
    b"Host: lab",
    b"Host: [::1]:80",
    b"Content-Length: 3",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: ,chunked",
]
BODIES = [
    b"",
    b"abc",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n",
    b"0\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"12\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n",
]
SPICE = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"_", b"\x0b", b"\x7f", b"\x80", b"\r\n\r\n"),
    *(b"Content-Length: 3\r\n", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n"),
    *(b" HTTP/1.0", b" HTTP/1.1", b"0\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: lab\r\n\r\n"),
]


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """A few requests in a row, put together from parts that fit or not, then spoilt here and there, and cut in pieces.

    One draw feeds a generator of its own, which is many times as fast as a draw for each choice.
    """
    dice = Random(draw(st.integers(0, 2**63)))
    message = bytearray(b"".join(request(dice) for _ in range(dice.randint(1, 3))))
    for _ in range(dice.choice([0, 0, 1, 1, 2, 4])):
        place = dice.randint(0, len(message))
        if dice.random() < 0.6:
            message[place:place] = dice.choice(SPICE)
        elif dice.random() < 0.5:
            del message[place : place + dice.randint(1, 4)]
        else:
            message[place : place + 1] = dice.randbytes(1)
    cuts = sorted(dice.randint(0, len(message)) for _ in range(dice.choice([0, 0, 1, 3])))
    return [bytes(message[start:end]) for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)]


def request(dice: Random) -> bytes:
    """A request, sound about every other time."""
    body = dice.choice(BODIES)
    chosen = dice.sample(FIELDS, dice.randint(0, 4))
    if dice.random() < 0.6:
        framing = b"Transfer-Encoding: chunked" if body[-4:] == b"\r\n\r\n" and body[0] < 65 else b"Content-Length: %d"
        chosen = [line for line in chosen if line[:4] not in (b"Host", b"Cont", b"Tran")]
        chosen += [b"Host: lab", framing % len(body) if b"%d" in framing else framing]
    if not body:
        chosen = [line for line in chosen if line[:4] not in (b"Cont", b"Tran")]
    version = dice.choice([b"1.1", b"1.1", b"1.1", b"1.0"])
    first = b"%b %b HTTP/%b" % (
        dice.choice(METHODS),
        dice.choice(TARGETS[:5] if dice.random() < 0.7 else TARGETS),
        version,
    )
    return b"\r\n".join([first, *chosen, b"", body])


WANTED = int(os.environ.get("LBTUTOR_FUZZ", "0"))
FUZZ: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [Check.function_scoped_fixture, Check.too_slow],
}
ANSWERS = [
    OK,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 404 Not Found\r\nX-A: 1\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
]


class Said(NamedTuple):
    """What a backend said, and how."""

    method: bytes
    pieces: list[bytes]
    closes: bool


@st.composite
def answers(draw: st.DrawFn) -> Said:
    """An answer, spoilt here and there, and cut in pieces."""
    dice = Random(draw(st.integers(0, 2**63)))
    message = bytearray(dice.choice(ANSWERS) + (OK if dice.random() < 0.1 else b""))
    for _ in range(dice.choice([0, 1, 1, 2])):
        place = dice.randint(0, len(message))
        if dice.random() < 0.7:
            message[place:place] = dice.choice(SPICE)
        else:
            del message[place : place + dice.randint(1, 4)]
    cuts = sorted(dice.randint(0, len(message)) for _ in range(dice.choice([0, 0, 1, 3])))
    pieces = [bytes(message[start:end]) for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    return Said(dice.choice([b"GET", b"GET", b"HEAD"]), [piece for piece in pieces if piece], dice.random() < 0.5)


def read_answer(method: bytes, data: bytes, *, at_end: bool) -> tuple[int, bytes, bytes] | None:
    """Status, body and what follows, as h11 understands it; None when it is not a whole answer."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_000_000)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "lab")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    if at_end:
        reader.receive_data(b"")
    status, body = 0, bytearray()
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError:
            return None
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body), reader.trailing_data[0]
        elif not isinstance(event, h11.InformationalResponse):
            return None


@pytest.mark.slow
@settings(max_examples=WANTED or 2000, **FUZZ)
@given(said=answers())
def test_a_client_understands_what_the_backend_said_and_the_next_answer_is_its_own(rig: Rig, said: Said) -> None:
    client, wire = rig.client()
    ears = rig.backends()
    client.data_received(said.method + b" / HTTP/1.1\r\nHost: lab\r\n\r\n")
    (first,) = [ear for ear in ears if ear.wire.take()]
    for piece in said.pieces:
        if not first.wire.closing:
            first.connection.data_received(piece)
    if said.closes or first.wire.closing:
        first.connection.connection_lost(None)
        ears.remove(first)
    heard = wire.take()
    raw = re.sub(
        rb"\r\n\r\n[\r\n]+HTTP/", b"\r\n\r\nHTTP/", b"".join(said.pieces)
    )  # h11 knows no empty lines here either
    meant = read_answer(said.method, raw, at_end=said.closes)
    got = read_answer(said.method, heard, at_end=False)
    if got is not None:
        assert got[2] == b"", "more than one answer to one request"
        assert got[0] == 502 or (meant is not None and got[:2] == meant[:2]), (heard, meant)
    if got is not None and not wire.closing:
        client.data_received(b"GET /next HTTP/1.1\r\nHost: lab\r\n\r\n")
        (message,) = hear_all(ears)
        assert message.target == b"/next"
        assert read_answer(b"GET", wire.take(), at_end=False) == (200, b"ok", b"")
    client.connection_lost(None)
    for ear in ears:
        ear.connection.connection_lost(None)
    assert rig.backend.in_flight == 0


def test_an_answer_is_the_same_wherever_it_is_cut_in_two(rig: Rig) -> None:
    said = ANSWERS[3]
    for cut in range(1, len(said)):
        client, wire = rig.client()
        ears = rig.backends()
        client.data_received(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        (first,) = [ear for ear in ears if ear.wire.take()]
        first.connection.data_received(said[:cut])
        first.connection.data_received(said[cut:])
        assert read_answer(b"GET", wire.take(), at_end=False) == (200, b"abc", b"")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    one = Rig()
    yield one
    one.loop.close()


reached: list[int] = []


@pytest.mark.slow
@settings(max_examples=WANTED or 3000, **FUZZ)
@given(pieces=conversations())
def test_a_backend_understands_what_the_client_said_and_where_it_ends(rig: Rig, pieces: list[bytes]) -> None:
    reached.append(check(rig, pieces))


@pytest.mark.slow
def test_a_good_part_of_what_is_tried_reaches_the_backend() -> None:
    """Else the opinions would agree about nothing at all."""
    assert sum(reached) > len(reached) / 3, f"{sum(reached)} requests of {len(reached)} conversations"


@pytest.mark.slow
@settings(max_examples=WANTED or 300, **FUZZ)
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_random_bytes_reach_nobody_or_mean_the_same(rig: Rig, data: bytes, cut: int) -> None:
    check(rig, [data[:cut], data[cut:]])


def test_a_body_that_begins_like_the_request_before_is_not_taken_for_one(rig: Rig) -> None:
    first = b"GET / HTTP/1.1\r\n"
    fields = b"Host: lab\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n%b" % (len(first), fields)
    assert check(rig, [first + fields, head, first + b"GET /other HTTP/1.1\r\n" + fields]) == 3
    assert check(rig, [first + fields, head + first, b"GET /other HTTP/1.1\r\n" + fields, first + fields]) == 4


@pytest.mark.parametrize("line", [b"GET  / HTTP/1.1\r\n", b"GET /  HTTP/1.1\r\n", b"GET / RTSP/1.1\r\n"])
def test_a_first_line_that_is_not_just_so_is_refused_wherever_it_stands_just_so_as_well(rig: Rig, line: bytes) -> None:
    just_so, fields = b"GET / HTTP/1.1\r\n", b"Host: lab\r\n\r\n"
    wrong, right = line + fields, just_so + fields
    framed = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n%b%b"
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n%b%x\r\n%b\r\n0\r\n\r\n" % (fields, len(right), right)
    assert check(rig, [wrong + right]) == 0
    assert check(rig, [line + b"X: " + just_so + fields]) == 0
    assert check(rig, [line + b"X: " + just_so + fields, right]) == 0
    assert check(rig, [framed % (len(right), fields, right) + wrong + right]) == 1
    assert check(rig, [framed % (len(right), fields, right[:9]), right[9:] + wrong + right]) == 1
    assert check(rig, [chunked + wrong + right]) == 1
    for cut in range(1, len(chunked)):
        assert check(rig, [chunked[:cut], chunked[cut:] + wrong + right]) == 1
        assert check(rig, [chunked[:cut], chunked[cut:] + b"\r\n" + right + right]) == 3


def test_how_http_2_begins_is_no_request_though_there_is_an_empty_line_in_its_middle(rig: Rig) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for cut in range(len(preface)):
        assert check(rig, [preface[:cut], preface[cut:] + b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"]) == 0


def test_the_second_opinion_sees_a_request_that_was_put_into_another(rig: Rig) -> None:
    """The judge is judged: a backend that was sent two messages for one would be noticed."""
    message = b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 3\r\n\r\nabc"
    assert check(rig, [message, message]) == 2
    whole = list(said(message * 2, 2))
    assert [one.body for one in whole] == [b"abc", b"abc"]
    smuggled = message.replace(b"Content-Length: 3", b"Content-Length: 0") + b" / HTTP/1.1\r\nHost: lab\r\n\r\n"
    assert [one.method for one in said(smuggled, 2)] == [b"POST", b"abc"]
