"""One request's way: kept and sent again, made to wait, turned away, cut off; and the cookie that is the balancer's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from lbtutor.core import Drain, ListenerConfig, Plan, Retry, Seconds
from lbtutor.core.affinity import Sticky
from lbtutor.core.events import BackedOff, Draining, Finished, Picked, Queued, Rejected
from lbtutor.live.exchange import MOST_KEPT
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: lab\r\n"

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


def answer(status: bytes, body: bytes = b"busy", fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


def hang_up(peer: Peer) -> None:
    """Hear the request out, and close."""
    peer.read_request()


def limited(plan: Plan, limit: int) -> Plan:
    """The same, with members that take only so many requests at once."""
    pool = plan.pools[0]
    return replace(plan, pools=(replace(pool, backends=tuple(replace(one, limit=limit) for one in pool.backends)),))


class Gatekeeper:
    """A server that keeps each request until it is told to answer."""

    def __init__(self, server: Serve) -> None:
        self.go = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.bodies: list[bytes] = []
        self.server = server(self._serve)

    @property
    def address(self) -> str:
        return self.server.address

    def _serve(self, peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            self.bodies.append(request[1])
            self.asked.release()
            if not self.go.acquire(timeout=20):
                return
            peer.send(OK)


@pytest.fixture
def gatekeeper(server: Serve) -> Iterator[Gatekeeper]:
    keeper = Gatekeeper(server)
    yield keeper
    keeper.go.release(100)


# -- sent again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 11\r\n\r\nhello world",
        b"Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
        b"Content-Length: %d\r\n\r\n%b" % (MOST_KEPT, b"x" * MOST_KEPT),
    ],
    ids=["length", "chunked", "longest"],
)
def test_an_idempotent_request_is_sent_again_whole(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, framed: bytes
) -> None:
    kept: list[bytes] = []

    def keep(peer: Peer) -> None:
        request = peer.read_request()
        assert request is not None
        kept.append(b"".join(request[1].split(b"\r\n")[1::2]) if b"chunked" in request[0] else request[1])
        peer.send(OK)

    backends = server(hang_up), server(keep)
    run = start(proxy_plan(*(backend.address for backend in backends), retry=Retry(attempts=2)))
    peer = connect(run)
    peer.send(PUT + framed)
    assert peer.answer()[0] == 200
    body = b"hello world" if b"hello" in framed else b"x" * MOST_KEPT
    assert kept == [body]
    assert backends[0].received.count(b"PUT ") == 1


def test_a_third_try_sends_what_the_second_sent(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    addresses = (server(hang_up).address, server(hang_up).address, backend.address)
    peer = connect(start(proxy_plan(*addresses, retry=Retry(attempts=3))))
    peer.send(PUT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert peer.answer()[0] == 200
    assert backend.received.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def test_a_body_too_long_to_keep_is_never_sent_a_second_time(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backends = server(hang_up), server(always(OK))
    run, watch = watched(proxy_plan(*(backend.address for backend in backends), retry=Retry(attempts=2)))
    peer = connect(run)
    peer.send(PUT + b"Content-Length: %d\r\n\r\n%b" % (MOST_KEPT + 1, b"x" * (MOST_KEPT + 1)))
    assert peer.answer()[0] == 502
    assert not backends[1].peers
    assert watch.until(Finished).final


def test_a_body_that_is_still_coming_follows_to_the_next_backend(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    bodies: list[bytes] = []

    def close_early(peer: Peer) -> None:
        peer.read_head()
        peer.read(5)

    def keep(peer: Peer) -> None:
        peer.read_head()
        bodies.append(peer.read(11))
        peer.send(OK)

    run, watch = watched(proxy_plan(server(close_early).address, server(keep).address, retry=Retry(attempts=2)))
    peer = connect(run)
    peer.send(PUT + b"Content-Length: 11\r\n\r\nhello")
    watch.until(Picked, attempt=2)
    peer.send(b" world")
    assert peer.answer()[0] == 200
    assert bodies == [b"hello world"]


def test_a_request_that_may_not_be_carried_out_twice_is_not_sent_twice(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backends = server(hang_up), server(always(OK))
    peer = connect(start(proxy_plan(*(backend.address for backend in backends), retry=Retry(attempts=2))))
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\nhi")
    assert peer.answer()[0] == 502
    assert not backends[1].peers


def test_a_body_that_reached_nobody_is_sent_whole_to_the_next_whatever_the_method(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    backend = server(always(OK))
    peer = connect(start(proxy_plan(nobody, backend.address, retry=Retry(attempts=2))))
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999)
    assert peer.answer()[0] == 200
    assert backend.received.endswith(b"x" * 99_999)


ON_503 = Retry(attempts=2, on=("503",))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_answer_worth_another_try_is_not_passed_on_and_its_connection_is_used_again(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, method: str, framing: str
) -> None:
    chunked = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
    busy = answer(b"503 Busy") if framing == "length" else chunked + b"4\r\nbusy\r\n0\r\n\r\n"
    if method == "HEAD":
        busy = busy.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    fine = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == "HEAD" else b"ok")
    backends = server(always(busy)), server(always(fine))
    peer = connect(start(proxy_plan(*(backend.address for backend in backends), retry=ON_503)))
    for _ in range(4):
        peer.send(f"{method} / HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\nhi".encode())
        status, _, body = peer.answer(method)
        assert (status, body) == (200, b"" if method == "HEAD" else b"ok")
    assert [len(backend.peers) for backend in backends] == [1, 1]


def test_a_long_answer_that_nobody_wants_is_not_heard_out(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    long = server(always(answer(b"503 Busy", b"x" * (1 << 22))))
    peer = connect(start(proxy_plan(long.address, server(always(OK)).address, retry=ON_503)))
    peer.send(GET)
    assert peer.answer()[2] == b"ok"
    peer.send(GET * 2)
    assert [peer.answer()[2], peer.answer()[2]] == [b"ok", b"ok"]
    assert len(long.peers) == 2, "the first connection was given up in the middle"


def test_the_answer_to_the_last_try_is_passed_on_whatever_it_is(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    busy = always(answer(b"503 Busy", fields=b"Retry-After: 7\r\n"))
    run, watch = watched(proxy_plan(server(busy).address, server(busy).address, retry=ON_503))
    peer = connect(run)
    for _ in range(2):
        peer.send(GET)
        status, fields, body = peer.answer()
        assert (status, fields["retry-after"], body) == (503, "7", b"busy")
    assert [event.final for event in watch.all(Finished)] == [False, True] * 2


def test_an_answer_to_what_must_not_be_done_twice_is_passed_on(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    fine = server(always(OK))
    peer = connect(start(proxy_plan(server(always(answer(b"503 Busy"))).address, fine.address, retry=ON_503)))
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\nhi")
    assert peer.answer()[0] == 503
    assert not fine.peers


def test_the_rest_of_a_body_goes_only_where_the_next_try_goes(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    """The first backend refuses by the head alone, while the body is still coming."""
    ends: list[bytes] = []

    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer(b"503 Busy"))
        ends.append(peer.rest())

    def keep(peer: Peer) -> None:
        peer.read_head()
        ends.append(peer.read(6))
        peer.send(OK)

    run, watch = watched(proxy_plan(server(refuse).address, server(keep).address, retry=ON_503))
    peer = connect(run)
    peer.send(PUT + b"Content-Length: 6\r\n\r\nabc")
    watch.until(Picked, attempt=2)
    peer.send(b"def")
    assert peer.answer()[0] == 200
    run.stop()
    assert b"abcdef" in ends
    assert all(b"def" not in end for end in ends if end != b"abcdef")


def test_the_next_try_waits_its_time(server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect) -> None:
    retry, patient = Retry(attempts=2, backoff=Seconds(100)), Seconds(1e7)
    plan = proxy_plan(
        server(hang_up).address,
        server(always(OK)).address,
        retry=retry,
        connect_timeout=patient,  # at the speed to come, seconds are nothing
        response_timeout=patient,
    )
    run, watch = watched(plan)
    peer = connect(run)
    peer.send(PUT + b"Content-Length: 2\r\n\r\nhi")
    watch.until(BackedOff)
    assert not watch.all(Rejected)
    run.set_speed(10_000)
    assert peer.answer()[0] == 200
    assert watch.until(Picked, attempt=2).at > 0


# -- waiting --------------------------------------------------------------------------------------------------------


def test_a_request_waits_for_a_backend_that_has_room(
    gatekeeper: Gatekeeper, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    run, watch = watched(limited(proxy_plan(gatekeeper.address, queue=Seconds(1000)), 1))
    peers = [connect(run) for _ in range(3)]
    for number, peer in enumerate(peers):
        peer.send(PUT + b"Content-Length: 1\r\n\r\n%d" % number)
        if number:
            watch.until(Queued, count=number)
        else:
            assert gatekeeper.asked.acquire(timeout=20)
    for peer in peers:
        gatekeeper.go.release()
        assert peer.answer()[0] == 200
    assert gatekeeper.bodies == [b"0", b"1", b"2"], "first come, first served"
    assert len(gatekeeper.server.peers) == 1


def test_who_waited_in_vain_is_told_and_the_next_on_that_connection_has_its_own_chance(
    gatekeeper: Gatekeeper, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    listener = ListenerConfig("front", idle_timeout=Seconds(1e6))
    plan = proxy_plan(gatekeeper.address, queue=Seconds(100), response_timeout=Seconds(1e6), listener=listener)
    run, watch = watched(limited(plan, 1))
    first, second = connect(run), connect(run)
    first.send(GET)
    assert gatekeeper.asked.acquire(timeout=20)
    second.send(GET)
    watch.until(Queued)
    run.set_speed(10_000)
    assert second.answer()[0] == 503
    run.set_speed(1)
    gatekeeper.go.release(2)
    assert first.answer()[0] == 200
    second.send(GET)
    assert second.answer()[0] == 200


def test_who_leaves_while_waiting_is_taken_out_of_the_line(
    gatekeeper: Gatekeeper, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    run, watch = watched(limited(proxy_plan(gatekeeper.address, queue=Seconds(1000)), 1))
    first, second, third = connect(run), connect(run), connect(run)
    first.send(GET)
    assert gatekeeper.asked.acquire(timeout=20)
    second.send(GET)
    third.send(GET)
    watch.until(Queued, count=2)
    second.close()
    assert watch.until(Rejected).status == 499
    gatekeeper.go.release(2)
    assert [first.answer()[0], third.answer()[0]] == [200, 200]
    assert len(gatekeeper.bodies) == 2


def test_the_body_of_who_waits_is_not_taken_in_without_bound(
    gatekeeper: Gatekeeper, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    size = 16 << 20
    run, watch = watched(limited(proxy_plan(gatekeeper.address, queue=Seconds(1000)), 1))
    first, second = connect(run), connect(run)
    first.send(GET)
    assert gatekeeper.asked.acquire(timeout=20)
    message = PUT + b"Content-Length: %d\r\n\r\n" % size + bytes(size)
    sent = second.send_until_stuck(message)
    assert sent < len(message), "the client has to wait as well"
    assert watch.until(Queued)
    gatekeeper.go.release(2)
    second.send(message[sent:])
    assert [first.answer()[0], second.answer()[0]] == [200, 200]
    assert gatekeeper.bodies[1] == bytes(size)


def test_those_who_wait_are_let_go_when_the_run_ends(
    gatekeeper: Gatekeeper, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    run, watch = watched(limited(proxy_plan(gatekeeper.address, queue=Seconds(1000)), 1))
    peers = [connect(run) for _ in range(5)]
    for peer in peers:
        peer.send(GET)
    watch.until(Queued, count=4)
    run.stop()
    assert len(watch.all(Rejected, Finished)) == 5


# -- cut off --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_in_flight_at_the_deadline_of_a_drain_is_tried_elsewhere_if_it_may_be(
    gatekeeper: Gatekeeper,
    server: Serve,
    watched: Watched,
    proxy_plan: ProxyPlan,
    connect: Connect,
    eventually: Eventually,
    method: str,
) -> None:
    patience = {"connect_timeout": Seconds(1e6), "response_timeout": Seconds(1e6)}
    backends = gatekeeper.address, server(always(OK)).address
    run, watch = watched(proxy_plan(*backends, retry=Retry(attempts=2), **patience))
    peer = connect(run)
    peer.send(f"{method} / HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n".encode())
    assert gatekeeper.asked.acquire(timeout=20)
    run.act(Drain("web", "a", Seconds(500)))
    watch.until(Draining)
    run.set_speed(10_000)
    assert peer.answer()[0] == (200 if method == "GET" else 502)
    finished = watch.until(Finished)
    assert (finished.backend, finished.outcome) == ("a", "closed before an answer")
    eventually(lambda: run.connections.to_backends == (1 if method == "GET" else 0))


def test_an_answer_under_way_at_the_deadline_of_a_drain_is_cut_off(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def slow(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        peer.rest()

    listener = ListenerConfig("front", idle_timeout=Seconds(1e6))
    run, watch = watched(proxy_plan(server(slow).address, response_timeout=Seconds(1e6), listener=listener))
    peer = connect(run)
    peer.send(GET)
    peer.read_head()
    run.act(Drain("web", "a", Seconds(500)))
    run.set_speed(10_000)
    assert peer.rest() == b"half"
    finished = watch.until(Finished)
    assert (finished.outcome, finished.ok) == ("broke off in mid-answer", False)


# -- the balancer's own cookie --------------------------------------------------------------------------------------


def test_the_balancers_cookie_is_for_the_client_alone(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backends = [server(always(answer(b"200 OK", name, b"Set-Cookie: theirs=1\r\n"))) for name in (b"a", b"b", b"c")]
    run = start(proxy_plan(*(backend.address for backend in backends), sticky=Sticky(cookie="SERVER_ID")))
    peer = connect(run)
    peer.send(GET)
    head = peer.read_head().decode()
    first = peer.read(1)
    assert head.lower().count("set-cookie:") == 2
    given = head.partition("SERVER_ID=")[2].partition(";")[0]
    for _ in range(4):
        cookies = f"theirs=1; SERVER_ID={given}; other=x=y; SERVER_IDLE=2"
        peer.send(f"GET / HTTP/1.1\r\nHost: lab\r\nCookie: {cookies}\r\n\r\n".encode())
        assert peer.answer()[2] == first
    received = b"".join(backend.received for backend in backends)
    assert received.count(b"\r\nCookie: theirs=1; other=x=y; SERVER_IDLE=2\r\n") == 4
    peer.send(f"GET /bare HTTP/1.1\r\nHost: lab\r\nCookie: SERVER_ID={given}\r\n\r\n".encode())
    peer.answer()
    assert given.encode() not in b"".join(backend.received for backend in backends)
    bare = next(text for backend in backends if (text := backend.received.partition(b"GET /bare ")[2]))
    assert b"cookie" not in bare.lower()
