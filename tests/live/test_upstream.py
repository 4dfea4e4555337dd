"""The backend's side: what becomes of a request when its backend misbehaves, and how connections are kept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from lbtutor.core import Add, BackendConfig, ListenerConfig, Plan, Remove, Retry, Route, Seconds
from lbtutor.core.events import Finished, Picked
from lbtutor.live.addresses import Address
from lbtutor.live.proxy_protocol import Parsed, header_v1, parse
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Eventually = Callable[[Callable[[], object]], None]
Serve = Callable[["Script"], "Server"]
Start = Callable[..., LiveRun]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
ProxyPlan = Callable[..., Plan]
Connect = Callable[..., "Peer"]
Get = Callable[..., tuple[int, dict[str, str], bytes]]


def always(answer: bytes) -> Script:
    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.send(answer)

    return script


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


# -- what can go wrong ----------------------------------------------------------------------------------------------


def test_a_refused_connection_is_502(watched: Watched, proxy_plan: ProxyPlan, get: Get, nobody: str) -> None:
    run, watch = watched(proxy_plan(nobody))
    status, _, body = get(run)
    assert status == 502
    assert b"connection refused" in body
    assert watch.until(Finished).outcome == "connection refused"


def test_a_connection_that_is_not_made_in_time_is_504(
    watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:  # these fill the queue, so that the kernel lets the next one wait
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        try:
            run, watch = watched(proxy_plan(f"127.0.0.1:{full.getsockname()[1]}", connect_timeout=Seconds(3)))
            peer = connect(run)
            peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            watch.until(Picked)
            run.set_speed(300)
            assert peer.answer()[0] == 504
            assert watch.until(Finished).outcome == "no connection in time"
        finally:
            for client in waiting:
                client.close()


def test_a_name_that_nobody_has_is_502(watched: Watched, proxy_plan: ProxyPlan, get: Get) -> None:
    run, watch = watched(proxy_plan("a..invalid:80"))
    assert get(run)[0] == 502
    assert watch.until(Finished).status == 502


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200"])
def test_a_connection_closed_before_an_answer_is_502(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, get: Get, how: str, said: bytes
) -> None:
    def leave(peer: Peer) -> None:
        peer.read_request()
        peer.send(said)
        getattr(peer, how)()

    run, watch = watched(proxy_plan(server(leave).address))
    assert get(run)[0] == 502
    assert watch.until(Finished).outcome == "closed before an answer"


@pytest.mark.parametrize(
    "answer",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\x1bK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ICE/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_an_answer_that_is_not_http_is_502(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, answer: bytes
) -> None:
    run, watch = watched(proxy_plan(server(always(answer)).address))
    peer = connect(run)
    for _ in range(2):
        peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert peer.answer()[0] == 502
    assert watch.until(Finished).outcome == "answered with something that is not HTTP"


def test_an_answer_that_does_not_come_in_time_is_504(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    let_go = threading.Event()

    def silent(peer: Peer) -> None:
        peer.read_request()
        try:
            peer.rest()
        finally:
            let_go.set()

    run, watch = watched(proxy_plan(server(silent).address, response_timeout=Seconds(5)))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    watch.until(Picked)
    run.set_speed(1000)
    assert peer.answer()[0] == 504
    finished = watch.until(Finished)
    assert (finished.outcome, finished.took >= 5) == ("no answer in time", True)
    assert let_go.wait(20)


@pytest.mark.parametrize(
    "beginning",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ],
)
@pytest.mark.parametrize("how", ["close", "hang"])
def test_an_answer_that_breaks_off_does_not_look_whole(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, beginning: bytes, how: str
) -> None:
    def break_off(peer: Peer) -> None:
        peer.read_request()
        peer.send(beginning)
        if how == "hang":
            peer.rest()

    run, watch = watched(proxy_plan(server(break_off).address, response_timeout=Seconds(500)))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.read_head().startswith(b"HTTP/1.1 200 OK")
    run.set_speed(1000)
    rest = peer.rest()
    assert b"half" in rest
    assert len(rest) < 10
    assert b"0\r\n\r\n" not in rest
    finished = watch.until(Finished)
    assert (finished.outcome, finished.status, finished.ok) == ("broke off in mid-answer", 200, False)


def test_an_answer_cut_by_a_reset_is_not_taken_for_one_that_ends_with_its_connection(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    sent = threading.Event()
    seen = threading.Event()

    def cut(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        sent.set()
        seen.wait(20)
        peer.reset()

    run, watch = watched(proxy_plan(server(cut).address))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    peer.read_head()
    assert peer.read(4) == b"half"
    seen.set()
    assert watch.until(Finished).outcome == "broke off in mid-answer"
    with pytest.raises(ConnectionResetError):
        peer.rest()


def test_nobody_available_is_503_and_no_route_404(server: Serve, start: Start, proxy_plan: ProxyPlan, get: Get) -> None:
    plan = proxy_plan(server(always(OK)).address)
    run = start(Plan(plan.listeners, (Route("web", path="/api"),), plan.pools, lasts=plan.lasts, drain=plan.drain))
    assert get(run, "/api/users")[0] == 200
    assert get(run, "/else")[0] == 404
    run.act(Remove("web", "a"))
    status, _, body = get(run, "/api/users")
    assert status == 503
    assert b"no backend is available" in body


# -- trying again ---------------------------------------------------------------------------------------------------


def test_a_refused_request_is_tried_elsewhere_with_its_whole_body(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, nobody: str
) -> None:
    bodies: list[bytes] = []

    def keep_body(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            bodies.append(request[1])
            peer.send(OK)

    backend = server(keep_body)
    run, watch = watched(proxy_plan(nobody, nobody, backend.address, retry=Retry(3)))
    peer = connect(run)
    body = bytes(range(256)) * 2000
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert peer.answer()[0] == 200
    assert bodies == [body]
    watch.until(Finished, final=True)
    picked = [event.backend for event in watch.all(Picked)]
    assert picked == ["a", "b", "c"]
    assert [(event.attempt, event.final) for event in watch.all(Finished)] == [(1, False), (2, False), (3, True)]


def test_what_was_sent_is_not_sent_to_another_unless_that_is_wanted(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, get: Get
) -> None:
    def leave(peer: Peer) -> None:
        peer.read_request()

    spare = server(always(OK))
    retry = Retry(2, on=("connect",))
    run, watch = watched(proxy_plan(server(leave).address, spare.address, retry=retry))
    assert get(run)[0] == 502
    assert not spare.peers
    assert len(watch.all(Picked)) == 1


def _answers_once(fresh: bytes) -> tuple[Script, list[int]]:
    """A server that closes each connection on its second request, without an answer, as one does whose idle timeout
    strikes just then. The first connection's first request is answered; on later connections the answer is `fresh`."""
    connections: list[int] = []

    def script(peer: Peer) -> None:
        connections.append(1)
        number = len(connections)
        peer.read_request()
        peer.send(OK if number == 1 else fresh)
        if number == 1 or not fresh:
            if number == 1:
                peer.read_request()
            return
        while peer.read_request() is not None:
            peer.send(fresh)

    return script, connections


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n", 200),
        (b"DELETE / HTTP/1.1\r\nHost: lab\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n", 502),
        (b"PUT / HTTP/1.1\r\nHost: lab\r\nContent-Length: 1\r\n\r\nx", 502),
    ],
)
def test_a_harmless_request_on_a_stale_connection_is_sent_again_on_a_fresh_one(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, request_: bytes, status: int
) -> None:
    script, connections = _answers_once(OK)
    run, watch = watched(proxy_plan(server(script).address))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 200
    peer.send(request_)
    assert peer.answer()[0] == status
    assert len(connections) == (2 if status == 200 else 1)
    assert len(watch.all(Picked)) == 2


def test_a_request_whose_answer_had_begun_is_not_sent_again(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def breaks_off(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()
        peer.send(b"HTTP/1.1 200")

    backend = server(breaks_off)
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 200
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 502
    assert len(backend.peers) == 1


def test_it_is_sent_again_only_once(server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect) -> None:
    script, connections = _answers_once(b"")
    peer = connect(start(proxy_plan(server(script).address)))
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 200
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 502
    assert len(connections) == 2


# -- keeping connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokH",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_a_connection_that_is_to_close_or_says_too_much_is_not_used_again(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, answer: bytes
) -> None:
    backend = server(always(answer))
    peer = connect(start(proxy_plan(backend.address)))
    for _ in range(3):
        peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        status, _, body = peer.answer()
        assert (status, body) in ((200, b"ok"), (204, b""))
    assert len(backend.peers) == 3


def test_what_a_backend_says_unasked_reaches_nobody(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    closed = threading.Event()

    def talkative(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        first_answered.wait(20)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        try:
            peer.rest()
        finally:
            closed.set()

    first_answered = threading.Event()
    peer = connect(start(proxy_plan(server(talkative).address)))
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[2] == b"ok"
    first_answered.set()
    assert closed.wait(20)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[2] == b"ok"


def test_idle_connections_of_a_backend_that_was_removed_are_closed(
    server: Serve, start: Start, proxy_plan: ProxyPlan, get: Get
) -> None:
    closed = threading.Event()

    def until_closed(peer: Peer) -> None:
        always(OK)(peer)
        closed.set()

    backend = server(until_closed)
    run = start(proxy_plan(backend.address))
    assert get(run)[0] == 200
    run.act(Remove("web", "a"))
    assert closed.wait(20)
    run.act(Add("web", BackendConfig("a", address=backend.address)))
    assert get(run)[0] == 200


def test_the_way_to_a_backend_that_has_left_is_not_remembered_for_those_who_come_late(
    server: Serve, start: Start, proxy_plan: ProxyPlan
) -> None:
    run = start(proxy_plan(server(always(OK)).address))
    stage: Any = run._stage

    def decided_before_it_left() -> tuple[Any, int]:
        backend = stage.shell.balancer._pools["web"].members["a"]
        stage.act(Remove("web", "a"), by="hand")
        return stage._upstreams.of(backend), len(stage._upstreams._upstreams)

    upstream, remembered = run._gate.ask(decided_before_it_left)
    assert upstream.retired
    assert remembered == 0


def test_an_idle_connection_is_closed_after_a_while(
    server: Serve, start: Start, proxy_plan: ProxyPlan, get: Get
) -> None:
    closed = threading.Event()

    def until_closed(peer: Peer) -> None:
        always(OK)(peer)
        closed.set()

    run = start(proxy_plan(server(until_closed).address))
    assert get(run)[0] == 200
    run.set_speed(1000)
    assert closed.wait(20)


def test_a_backend_that_takes_its_time_over_a_body_is_waited_for(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, eventually: Eventually
) -> None:
    """The response timeout runs while the backend is waited for, not while the client is."""
    run, watch = watched(proxy_plan(server(always(OK)).address, response_timeout=Seconds(3)))
    peer = connect(run)
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\nx")
    watch.until(Picked)
    was = run.now
    run.set_speed(200)
    eventually(lambda: run.now > was + 10)  # three times the timeout, while the client makes up its mind
    run.set_speed(1)
    peer.send(b"y")
    assert peer.answer()[0] == 200


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_backend_that_is_told_of_the_client_gets_each_exchange_on_a_connection_of_its_own(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, version: str
) -> None:
    told: list[Parsed] = []

    def script(peer: Peer) -> None:
        said = b""
        while (header := parse(said)) is None:
            said += peer.read(1)
        told.append(header)
        always(OK)(peer)

    run = start(proxy_plan(server(script).address, send_proxy=version))
    first, second = connect(run, source="127.0.0.9"), connect(run)
    for peer in (first, second, first):
        peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert peer.answer()[0] == 200
    ends = [(Address(*peer.sock.getsockname()), Address(*peer.sock.getpeername())) for peer in (first, second, first)]
    assert [(header.source, header.destination) for header in told] == ends


def test_a_backend_is_told_of_the_client_that_a_proxy_in_front_has_named(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    named = header_v1(Address("203.0.113.7", 4711), Address("192.0.2.1", 80))

    def script(peer: Peer) -> None:
        peer.read(len(named))
        always(OK)(peer)

    one = server(script)
    run = start(proxy_plan(one.address, listener=ListenerConfig("front", accept_proxy=True), send_proxy="v1"))
    peer = connect(run)
    peer.send(named + b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 200
    assert one.received.startswith(named + b"GET / ")
