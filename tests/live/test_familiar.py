"""What was heard before changes nothing of what is understood: with a habit and without, byte for byte the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from lbtutor.core import BackendConfig, ListenerConfig, PoolConfig, Retry, Route
from lbtutor.core.balancer import Balancer
from lbtutor.core.messages import Forward, Outcome, Request
from lbtutor.live.addresses import Address
from lbtutor.live.clock import Clock
from lbtutor.live.familiar import LONGEST, MOST_ANSWERS, Habit, Repertoire
from lbtutor.live.gate import Gate
from lbtutor.live.heads import AnswerHead, RequestHead
from lbtutor.live.l7 import Front
from lbtutor.live.shell import Shell
from lbtutor.live.upstream import UpstreamConnection, Upstreams

FIRST = b"GET /a HTTP/1.1\r\nHost: lab\r\nCookie: x=1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
BEHIND = FIRST[6:]
OK = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\nKeep-Alive: 1\r\n\r\nok"


def head(target: bytes = b"/a", method: bytes = b"GET", version: str = "1.1") -> RequestHead:
    fields = [(b"Host", b"lab"), (b"Cookie", b"x=1"), (b"X-Forwarded-For", b"6.6.6.6")]
    return RequestHead(method, target, version, fields, keep_alive=True)


def habit(most: int = 1000) -> Habit:
    made = Habit.of(head(), b"/a", BEHIND, most)
    assert made is not None
    return made


# -- a client's habit -----------------------------------------------------------------------------------------------


def test_a_head_that_comes_again_is_the_head_it_was() -> None:
    of = habit()
    assert of.repeated(FIRST) is of.repeated(FIRST)


def test_another_path_is_all_that_is_new() -> None:
    again = habit().repeated(FIRST.replace(b"/a", b"/b/c?d=%20e"))
    fresh = head(b"/b/c?d=%20e")
    assert again is not None
    assert (again.path, again.host, again.method, again.hearsay) == ("/b/c?d=%20e", "lab", "GET", fresh.hearsay)
    assert again.for_backend(b"\r\n") == fresh.for_backend(b"\r\n")


def test_our_own_cookie_may_be_another_the_next_time() -> None:
    one = head()
    assert b"Cookie" not in one.for_backend(b"\r\n", "x")
    assert b"Cookie: x=1\r\n" in one.for_backend(b"\r\n", "y")
    assert b"Cookie" not in one.for_backend(b"\r\n", "x")


def test_a_path_leaves_the_head_as_it_was() -> None:
    of = habit()
    of.repeated(FIRST.replace(b"/a", b"/b"))
    again = of.repeated(FIRST)
    assert again is not None
    assert again.path == "/a"


@pytest.mark.parametrize(
    "data",
    [
        FIRST[:-1],
        FIRST + b"\r\n",
        FIRST + FIRST,
        FIRST.replace(b"x=1", b"x=2"),
        FIRST.replace(b"GET", b"PUT"),
        FIRST.replace(b"1.1\r\n", b"1.0\r\n", 1),
        FIRST.replace(b"/a", b""),
        FIRST.replace(b"/a", b"*"),
        FIRST.replace(b"/a", b"http://lab/a"),
        FIRST.replace(b"/a", b"/a#b"),
        FIRST.replace(b"/a", b"/a b"),
        FIRST.replace(b"/a", b"/\x00"),
        FIRST.replace(b"/a", b"/\xe9"),
        FIRST.replace(b"/a", b"/a HTTP/1.1\r\nX: y\r\n\r\nGET /b"),
        b"GET" + BEHIND,
    ],
)
def test_what_is_anything_else_is_not_a_habit(data: bytes) -> None:
    assert habit().repeated(data) is None


def test_a_limit_holds_for_what_comes_again() -> None:
    path = b"/" + b"b" * 60
    data = FIRST.replace(b"/a", path)
    assert habit(most=len(data)).repeated(data) is not None
    assert habit(most=len(data) - 1).repeated(data) is None


@pytest.mark.parametrize(
    ("target", "behind"),
    [
        (b"/a", BEHIND + b"GET /b HT"),
        (b"/a", BEHIND[:-4] + b"\r\nX: " + b"y" * LONGEST + b"\r\n\r\n"),
        (b"http://lab/a", BEHIND),
        (b"*", BEHIND),
    ],
)
def test_not_every_head_is_remembered(target: bytes, behind: bytes) -> None:
    assert Habit.of(head(), target, behind, 100_000) is None


# -- a backend's repertoire -------------------------------------------------------------------------------------------


def answer_head(length: bytes = b"2") -> AnswerHead:
    return AnswerHead(200, b"OK", [(b"Server", b"s"), (b"Content-Length", length), (b"Keep-Alive", b"1")])


def test_an_answer_that_begins_as_one_before_is_known_with_its_own_body() -> None:
    repertoire, learned = Repertoire(), answer_head()
    repertoire.learn(OK, learned)
    assert repertoire.known(OK[:-2] + b"no") == (learned, b"no")


@pytest.mark.parametrize("data", [OK[:-1], OK + b"!", OK.replace(b"200", b"201"), OK[:20], b"", b"\r\n\r\nok"])
def test_what_begins_otherwise_or_is_not_whole_is_not_known(data: bytes) -> None:
    repertoire = Repertoire()
    repertoire.learn(OK, answer_head())
    assert repertoire.known(data) is None


def test_an_answer_without_a_body_is_known_too() -> None:
    repertoire, empty = Repertoire(), OK[:-2].replace(b": 2", b": 0")
    repertoire.learn(empty, answer_head(b"0"))
    known = repertoire.known(empty)
    assert known is not None
    assert known[1] == b""


def test_what_has_no_length_or_another_is_not_learned() -> None:
    repertoire = Repertoire()
    repertoire.learn(b"HTTP/1.1 304 Not Modified\r\n\r\n", AnswerHead(304, b"Not Modified", []))
    repertoire.learn(OK + b"!", answer_head())
    repertoire.learn(OK.replace(b"Server: s", b"Server: " + b"s" * LONGEST), answer_head())
    assert repr(repertoire) == "<Repertoire of 0 heads>"


def test_a_repertoire_stays_small() -> None:
    repertoire = Repertoire()
    for number in range(3 * MOST_ANSWERS):
        repertoire.learn(OK.replace(b"200", b"%d" % (200 + number)), answer_head())
        assert len(repertoire._heads) <= MOST_ANSWERS


# -- with and without -------------------------------------------------------------------------------------------------


class Wire(asyncio.Transport):
    """A connection in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def take(self) -> bytes:
        """What was written since; requests are numbered, which does not count."""
        data = re.sub(rb"X-Request-Id: \w+-\d+", b"X-Request-Id: 1", bytes(self.written))
        self.written.clear()
        return data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class Rig:
    """A balancer, one client and one connection to a backend, all in memory."""

    def __init__(self, retry: Retry | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        backends = (BackendConfig("a", address="127.0.0.1:1"),)
        pool = PoolConfig("web", backends=backends, retry=Retry() if retry is None else retry)
        shell = Shell(self.loop, Clock(), Gate(), Balancer((pool,), (Route("web"),), rng=Random(1)))
        upstreams = Upstreams(shell, (pool,), lambda _: Address("127.0.0.1", 1), lambda _: None)
        decision = shell.arrive(Request(0, 0.0))
        assert isinstance(decision, Forward)
        shell.finish(0, Outcome.answered(200))
        self.upstream = upstreams.of(decision.backend)
        self.front = Front(ListenerConfig("front", max_line_bytes=150), shell, upstreams)
        self.renew()

    def renew(self) -> None:
        """Another client comes, and another connection to the backend is ready for use."""
        self.client, self.to_client = self.front.connection(), Wire()
        self.client.connection_made(self.to_client)
        self.backend, self.to_backend = UpstreamConnection(self.upstream, None), Wire()  # type: ignore[arg-type]
        self.backend.connection_made(self.to_backend)
        self.upstream.idle[:] = [self.backend]

    def ask(self, said: bytes) -> tuple[bytes, bytes, bool]:
        """What becomes of that: what the backend gets, the client gets, and whether the client is still heard."""
        self.client.data_received(said)
        asked = self.to_backend.take()
        if asked.endswith(b"\r\n\r\n"):
            self.backend.data_received(OK)
        return asked, self.to_client.take(), self.to_client.closing

    def answer(self, said: bytes) -> tuple[bytes, bool, bool]:
        """What becomes of that answer: what the client gets, and whether either connection goes on."""
        self.client.data_received(FIRST)
        self.to_backend.take()
        self.backend.data_received(said)
        return self.to_client.take(), self.to_client.closing, self.to_backend.closing


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.loop.close()


SPICE = (b" ", b"\t", b"\r", b"\n", b"\r\n", b"\0", b"#", b"/", b"/..", b"%", b"\x7f", b"\xe9", b":", b"9", b"GET / ")


def spoilt(message: bytes, dice: Random) -> bytes:
    """The message with something put in, taken out or changed."""
    place = dice.randrange(len(message))
    if dice.random() < 0.3:
        return message[:place] + message[place + dice.randint(1, 3) :]
    return message[:place] + dice.choice(SPICE) + message[place + dice.randint(0, 1) :]


def test_a_client_with_a_habit_is_understood_as_one_without(rig: Rig) -> None:
    dice, known = Random(5), 0
    for _ in range(400):
        place = FIRST.index(b"/a") + 1
        path = FIRST[:place] + b"b" * dice.randint(0, 160) + FIRST[place:]
        again = dice.choice([spoilt(FIRST, dice), spoilt(path, dice), path])
        rig.renew()
        assert rig.ask(FIRST)[1].startswith(b"HTTP/1.1 200")
        known += rig.client._habit is not None and rig.client._habit.repeated(again) is not None
        with_habit = rig.ask(again)
        rig.renew()
        assert rig.ask(again) == with_habit, again
    assert 50 < known < 350, "both ways were gone"


def test_an_answer_that_is_familiar_is_passed_on_as_one_that_is_not(rig: Rig) -> None:
    dice, known = Random(6), 0
    for _ in range(400):
        again = dice.choice([spoilt(OK, dice), OK[:-2] + dice.randbytes(2)])
        rig.renew()
        rig.answer(OK)
        known += rig.upstream.repertoire.known(again) is not None
        familiar = rig.answer(again)
        rig.upstream.repertoire = Repertoire()
        rig.renew()
        rig.answer(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        assert rig.answer(again) == familiar, again
    assert 50 < known < 350, "both ways were gone"


def test_to_head_there_is_never_a_body(rig: Rig) -> None:
    rig.answer(OK)
    rig.client.data_received(FIRST.replace(b"GET", b"HEAD"))
    rig.backend.data_received(OK)
    assert rig.to_client.take().endswith(b"\r\n\r\n")


def test_what_a_connection_ends_with_is_not_familiar(rig: Rig) -> None:
    rig.answer(OK.replace(b"Keep-Alive: 1", b"Connection: close"))
    assert rig.to_backend.closing
    assert repr(rig.upstream.repertoire) == "<Repertoire of 0 heads>"


def test_an_answer_in_pieces_is_not_familiar(rig: Rig) -> None:
    rig.answer(OK[:-6])
    rig.backend.data_received(OK[-6:])
    assert rig.to_client.take().endswith(b"\r\n\r\nok")
    assert repr(rig.upstream.repertoire) == "<Repertoire of 0 heads>"


def test_an_answer_that_is_worth_a_retry_is_looked_at_each_time() -> None:
    rig = Rig(Retry(attempts=2, on=("503",)))
    rig.answer(OK.replace(b"200", b"503"))
    assert repr(rig.upstream.repertoire) == "<Repertoire of 0 heads>"
    rig.loop.close()
