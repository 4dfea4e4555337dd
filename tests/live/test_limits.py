"""Limits of a door, each exact to the byte, and clients that take their time, who hold nobody up for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from lbtutor.core import ListenerConfig, Plan, Seconds
from lbtutor.core.events import Arrived, Finished
from lbtutor.live.reading import LEAST_PIECE
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: lab\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

Eventually = Callable[[Callable[[], object]], None]
Serve = Callable[["Script"], "Server"]
Start = Callable[..., LiveRun]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
ProxyPlan = Callable[..., Plan]
Connect = Callable[..., "Peer"]


def always(answer: bytes) -> Script:
    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.send(answer)

    return script


def with_line_of(size: int) -> bytes:
    return b"GET /%b HTTP/1.1\r\nHost: lab\r\n\r\n" % (b"x" * (size - len(b"GET / HTTP/1.1")))


def with_head_of(size: int) -> bytes:
    head = b"GET / HTTP/1.1\r\nHost: lab\r\nX: %b\r\n\r\n"
    return head % (b"x" * (size - len(head) + 2))


def with_fields(count: int) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: lab\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n"


def with_trailers(count: int) -> bytes:
    return CHUNKED + b"0\r\n" + b"X: y\r\n" * count + b"\r\n"


def with_length(size: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n%b" % (size, b"x" * size)


def in_chunks(size: int) -> bytes:
    return CHUNKED + b"1\r\nx\r\n" * size + b"0\r\n\r\n"


LIMITS: dict[str, tuple[Callable[[int], bytes], str, int, int]] = {
    "first line": (with_line_of, "max_line_bytes", 200, 414),
    "head": (with_head_of, "max_header_bytes", 300, 431),
    "fields": (with_fields, "max_headers", 12, 431),
    "trailers": (with_trailers, "max_headers", 12, 431),
    "body with a length": (with_length, "max_body_bytes", 1000, 413),
    "body in chunks": (in_chunks, "max_body_bytes", 1000, 413),
}


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize(("make", "name", "most", "status"), LIMITS.values(), ids=LIMITS.keys())
def test_a_limit_is_exact(
    server: Serve,
    start: Start,
    proxy_plan: ProxyPlan,
    connect: Connect,
    make: Callable[[int], bytes],
    name: str,
    most: int,
    status: int,
    pieces: int,
) -> None:
    settings: dict[str, Any] = {name: most}
    run = start(proxy_plan(server(always(OK)).address, listener=ListenerConfig("front", **settings)))

    def answered(message: bytes) -> int:
        peer = connect(run)
        third = len(message) // pieces + 1
        for piece in range(pieces):
            peer.send(message[piece * third : (piece + 1) * third])
        return peer.answer()[0]

    assert answered(make(most)) == 200
    assert answered(make(most + 1)) == status


def test_a_body_that_says_that_it_is_too_long_is_refused_before_anybody_sees_it(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address, listener=ListenerConfig("front", max_body_bytes=10))))
    peer.send(POST + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n")
    status, fields, _ = peer.answer()
    assert (status, fields["connection"]) == (413, "close")
    assert peer.rest() == b""
    assert not backend.peers


def test_a_body_that_becomes_too_long_on_its_way_is_cut_off_at_the_backend_and_413_for_the_client(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    begun, cut = threading.Event(), threading.Event()
    seen: list[bytes] = []

    def read_all(peer: Peer) -> None:
        peer.read_head()
        seen.append(peer.read(8))
        begun.set()
        try:
            seen.append(peer.rest())
        finally:
            cut.set()

    run, watch = watched(proxy_plan(server(read_all).address, listener=ListenerConfig("front", max_body_bytes=10)))
    peer = connect(run)
    peer.send(CHUNKED + b"3\r\nabc\r\n")
    assert begun.wait(20)
    peer.send(b"8\r\nabcdefgh\r\n0\r\n\r\n")
    assert peer.answer()[0] == 413
    assert watch.until(Finished).outcome == "the client left first"
    assert cut.wait(20)
    assert seen in ([b"3\r\nabc\r\n"], [b"3\r\nabc\r\n", b""])


def test_a_first_line_without_an_end_is_refused_when_it_has_become_too_long(
    start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    peer = connect(start(proxy_plan(listener=ListenerConfig("front", max_line_bytes=100))))
    peer.send(b"GET /" + b"x" * 101)
    assert peer.answer()[0] == 414


def test_a_door_has_at_most_so_many_connections_and_tells_the_rest(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, eventually: Eventually
) -> None:
    run = start(proxy_plan(server(always(OK)).address, listener=ListenerConfig("front", max_connections=2)))
    guests = [connect(run), connect(run)]
    for guest in guests:
        guest.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert guest.answer()[0] == 200
    turned_away = connect(run)
    status, fields, _ = turned_away.answer()
    assert (status, fields["connection"]) == (503, "close")
    assert turned_away.rest() == b""
    guests[0].close()

    def let_in() -> bool:
        peer = connect(run)
        peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        try:
            return peer.answer()[0] == 200
        except ConnectionError:
            return False

    eventually(let_in)


# -- slow clients ---------------------------------------------------------------------------------------------------


def drip(run: LiveRun, peer: Peer, data: bytes, until: Callable[[], bool]) -> None:
    """One byte after another, each well within the time for the next, until that is enough."""
    for byte in data * 10_000:
        now = run.now
        while run.now < now + 2 and not until():
            run.ended.wait(0.001)
        if until():
            return
        peer.send(bytes([byte]))


def test_a_head_has_its_time_as_a_whole_however_many_bytes_come_within_it(
    start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    run = start(proxy_plan(listener=ListenerConfig("front", head_timeout=Seconds(10))))
    peer, over = connect(run), threading.Event()
    run.set_speed(100)
    peer.send(b"GET / HTTP/1.1\r\nX: ")
    dripping = threading.Thread(target=lambda: _quietly(lambda: drip(run, peer, b"x", over.is_set)))
    dripping.start()
    status = peer.answer()[0]
    over.set()
    dripping.join()
    assert status == 408
    assert run.now < 1000


def test_a_trickle_is_not_a_body(server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect) -> None:
    listener = ListenerConfig("front", body_timeout=Seconds(10))
    run, watch = watched(proxy_plan(server(always(OK)).address, listener=listener, response_timeout=Seconds(10_000)))
    peer, over = connect(run), threading.Event()
    peer.send(POST + b"Content-Length: 1000000\r\n\r\n")
    watch.until(Arrived)
    run.set_speed(100)
    dripping = threading.Thread(target=lambda: _quietly(lambda: drip(run, peer, b"x", over.is_set)))
    dripping.start()
    status = peer.answer()[0]
    over.set()
    dripping.join()
    assert status == 408
    assert watch.until(Finished).outcome == "the client left first"


def test_a_body_that_takes_long_and_moves_on_is_waited_for(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    listener = ListenerConfig("front", body_timeout=Seconds(10))
    run, watch = watched(proxy_plan(server(always(OK)).address, listener=listener, response_timeout=Seconds(10_000)))
    peer = connect(run)
    peer.send(POST + b"Content-Length: %d\r\n\r\n" % (4 * LEAST_PIECE))
    arrived = watch.until(Arrived).at
    run.set_speed(20)
    for _ in range(4):
        now = run.now
        while run.now < now + 4:
            run.ended.wait(0.001)
        peer.send(b"x" * LEAST_PIECE)
    assert peer.answer()[0] == 200
    assert watch.until(Finished).at > arrived + 15


def _quietly(what: Callable[[], None]) -> None:
    with suppress(OSError):  # the other side had enough
        what()
