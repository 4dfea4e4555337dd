"""The client's side: messages in and out, on real sockets, in front of servers that do as they are told."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from lbtutor.core import ListenerConfig, Plan, Redirect, Respond, Route, Seconds
from lbtutor.core.events import Arrived, Finished, Refused
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"POST / HTTP/1.1\r\nHost: lab\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

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


# -- keep-alive and order -------------------------------------------------------------------------------------------


def test_one_connection_carries_many_requests_and_so_does_the_one_to_the_backend(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    for number in range(20):
        peer.send(b"GET /%d HTTP/1.1\r\nHost: lab\r\n\r\n" % number)
        assert peer.answer()[2] == b"ok"
    assert len(backend.peers) == 1
    assert backend.received.count(b"GET /") == 20


def test_pipelined_requests_are_answered_in_their_order(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def echo(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            path = request[0].split()[1]
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    backend = server(echo)
    peer = connect(start(proxy_plan(backend.address, backend.address, backend.address)))
    peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: lab\r\n\r\n" % number for number in range(100)))
    assert [peer.answer()[2] for _ in range(100)] == [b"/%d" % number for number in range(100)]


def test_a_thousand_pipelined_requests_that_nobody_can_serve_are_all_refused(
    start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    peer = connect(start(proxy_plan()))
    threading.Thread(target=peer.send, args=(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n" * 5000,), daemon=True).start()
    assert {peer.answer()[0] for _ in range(5000)} == {503}


def test_answers_of_all_kinds_keep_their_order_behind_a_slow_one(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    """The backend answers the first only when the balancer could have answered all the others long ago."""
    may_answer = threading.Event()

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            method, path, _ = request[0].split(b" ", 2)
            if path == b"/slow":
                may_answer.wait(20)
            body = b"" if method == b"HEAD" or path == b"/304" else path + request[1]
            status = b"304 Not Modified" if path == b"/304" else b"200 OK"
            peer.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(path + request[1]), body))

    plan = proxy_plan(server(script).address)
    routes = (
        *plan.routes,
        Route(path="/own", respond=Respond(418, "tea")),
        Route(path="/moved", redirect=Redirect("/there", 301)),
    )
    peer = connect(start(replace(plan, routes=routes)))
    asked: list[tuple[str, str, bytes, int, bytes]] = [
        ("GET", "/slow", b"", 200, b"/slow"),
        ("GET", "/own", b"", 418, b"tea"),
        ("HEAD", "/a", b"", 200, b""),
        ("HEAD", "/own", b"", 418, b""),
        ("GET", "/304", b"", 304, b""),
        ("POST", "/b", b"Content-Length: 3\r\n\r\nabc", 200, b"/babc"),
        ("GET", "/moved", b"", 301, b"/there\n"),
        ("PUT", "/c", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, b"/c1\r\nx\r\n0\r\n\r\n"),
        ("GET", "/last", b"Connection: close\r\n\r\n", 200, b"/last"),
    ]
    for method, path, rest, _, _ in asked:
        peer.send(f"{method} {path} HTTP/1.1\r\nHost: lab\r\n".encode() + (rest or b"\r\n"))
    may_answer.set()
    for method, path, _, status, body in asked:
        got, _, content = peer.answer(method)
        assert (got, content) == (status, body), path
    assert peer.rest() == b""


def test_an_error_in_the_middle_leaves_the_answers_around_it_in_place(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            peer.send(b"nonsense\r\n\r\n" if b"/bad" in request[0] else OK)

    peer = connect(start(proxy_plan(server(script).address)))
    peer.send(b"".join(b"GET %b HTTP/1.1\r\nHost: lab\r\n\r\n" % path for path in (b"/", b"/bad", b"/", b"/bad", b"/")))
    assert [peer.answer()[0] for _ in range(5)] == [200, 502, 200, 502, 200]


def test_requests_that_come_byte_by_byte_are_understood(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"POST /a?b HTTP/1.1\r\nHost: lab\r\nX-Empty:\r\nContent-Length: 3\r\n\r\nabc":
        peer.send(bytes([byte]))
    assert peer.answer()[0] == 200
    assert backend.received.startswith(b"POST /a?b HTTP/1.1\r\nHost: lab\r\nX-Empty: \r\n")
    assert backend.received.endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "keep-alive", True)],
)
def test_the_connection_stays_open_if_version_and_client_say_so(
    server: Serve,
    start: Start,
    proxy_plan: ProxyPlan,
    connect: Connect,
    version: str,
    connection: str,
    stays: bool,
) -> None:
    peer = connect(start(proxy_plan(server(always(OK)).address)))
    fields = f"Connection: {connection}\r\n" if connection else ""
    request = f"GET / HTTP/{version}\r\nHost: lab\r\n{fields}\r\n".encode()
    peer.send(request)
    status, answered, body = peer.answer()
    assert (status, body) == (200, b"ok")
    if stays:
        assert answered.get("connection", "keep-alive") == "keep-alive"
        peer.send(request)
        assert peer.answer()[0] == 200
    else:
        assert answered["connection"] == "close"
        assert peer.rest() == b""


def test_what_follows_a_last_request_is_not_heard(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\nGET /second HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 200
    assert peer.rest() == b""
    assert b"/second" not in backend.received


# -- what passes through --------------------------------------------------------------------------------------------


def test_hop_by_hop_fields_stop_in_both_directions(
    server: Serve, start: Start, proxy_plan: ProxyPlan, get: Get
) -> None:
    backend = server(
        always(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive, X-Secret\r\n"
            b"X-Secret: s\r\nProxy-Connection: x\r\nX-Kept: yes\r\n\r\nok"
        )
    )
    asked = ("TE: trailers", "Connection: X-Hop, keep-alive", "X-Hop: 1", "Upgrade: h2c", "X-Passes: 2")
    status, fields, _ = get(start(proxy_plan(backend.address)), "/", asked)
    assert status == 200
    assert {"keep-alive", "connection", "x-secret", "proxy-connection"}.isdisjoint(fields)
    assert fields["x-kept"] == "yes"
    head = backend.received.lower()
    assert b"x-passes: 2" in head
    assert not any(word in head for word in (b"te:", b"connection:", b"x-hop", b"upgrade"))


def test_forwarding_fields_of_a_stranger_are_replaced(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, get: Get
) -> None:
    backend = server(always(OK))
    run, watch = watched(proxy_plan(backend.address))
    get(run, "/", ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "x-forwarded-for: 7.7.7.7"))
    assert b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n" in backend.received
    assert backend.received.lower().count(b"x-forwarded-for") == 1
    assert b".6.6" not in backend.received
    assert watch.until(Arrived).client == "127.0.0.1"


def test_forwarding_fields_of_a_trusted_peer_are_extended(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, get: Get
) -> None:
    backend = server(always(OK))
    listener = ListenerConfig("front", trusted_proxies=("127.0.0.0/8",))
    run, watch = watched(proxy_plan(backend.address, listener=listener))
    get(run, "/", ("X-Forwarded-For: 9.9.9.9, 203.0.113.7", "X-Forwarded-Proto: https"))
    assert b"X-Forwarded-For: 9.9.9.9, 203.0.113.7, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n" in backend.received
    assert watch.until(Arrived).client == "203.0.113.7"


def test_a_request_to_switch_protocols_is_taken_as_an_ordinary_one(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(
        b"GET /ws HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        b"GET /next HTTP/1.1\r\nHost: lab\r\n\r\n"
    )
    assert [peer.answer()[0], peer.answer()[0]] == [200, 200]
    assert b"GET /ws" in backend.received
    assert b"GET /next" in backend.received


# -- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (b"Content-Length: 0\r\n\r\n", b""),
        (
            b"Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n",
        ),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    ],
)
def test_a_body_arrives_whole_in_its_own_framing(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, sent: bytes, received: bytes
) -> None:
    bodies: list[bytes] = []
    heads: list[bytes] = []

    def keep_body(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            heads.append(request[0])
            bodies.append(request[1])
            peer.send(OK)

    backend = server(keep_body)
    peer = connect(start(proxy_plan(backend.address)))
    for _ in range(2):
        peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\n" + sent)
        assert peer.answer()[2] == b"ok"
    assert bodies == [received, received]
    assert not any(b"x-trailer" in head.lower() for head in heads), "a trailer must not become a field of the next head"


TRAILERS = (
    b"X-Sum: 1\r\nGrpc-Status: 0\r\nContent-Type: a/b\r\nAuthorization: x\r\nSet-Cookie: a=b\r\nHost: evil\r\n"
    b"X-Forwarded-For: 6.6.6.6\r\nX-Once: 1\r\nCookie: a\r\nTrailer: b\r\n"
)
"""Two that may go on, and others that only a head may hold, that are hearsay, or that Connection names."""


@pytest.mark.parametrize("pieces", [1, 40])
def test_trailers_pass_in_both_directions_and_the_announcement_with_them(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, pieces: int
) -> None:
    rest = (
        b"Connection: X-Once\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n%b\r\n" % TRAILERS
    )
    passed = b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\n"
    heads: list[bytes] = []
    bodies: list[bytes] = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            heads.append(request[0])
            bodies.append(request[1])
            in_pieces(peer, b"HTTP/1.1 200 OK\r\n" + rest)

    def in_pieces(peer: Peer, message: bytes) -> None:
        size = len(message) // pieces + 1
        for start in range(0, len(message), size):
            peer.send(message[start : start + size])

    peer = connect(start(proxy_plan(server(script).address)))
    for _ in range(2):
        in_pieces(peer, b"POST / HTTP/1.1\r\nHost: lab\r\n" + rest)
        assert b"\r\nTrailer: X-Sum\r\n" in peer.read_head()
        chunks, body = peer.read_chunks()
        assert body == b"abc"
        assert chunks.endswith(b"0\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\n")
    assert [body[-34:] for body in bodies] == [passed[-34:]] * 2
    assert all(b"\r\nTrailer: X-Sum\r\n" in head for head in heads)


def test_a_client_of_http_1_0_is_spared_the_trailers(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    peer = connect(start(proxy_plan(server(always(chunked)).address)))
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    assert peer.rest().endswith(b"\r\n\r\nhello")


def test_hints_pass_to_those_who_know_them(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    hinted = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n" * 2 + OK
    run = start(proxy_plan(server(always(hinted)).address))
    new, old = connect(run), connect(run)
    new.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    for _ in range(2):
        assert new.read_head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert new.answer()[2] == b"ok"
    old.send(b"GET / HTTP/1.0\r\n\r\n")
    assert old.answer()[2] == b"ok"


@pytest.mark.parametrize("status", [b"204 No Content", b"100 Continue", b"103 Early Hints"])
def test_an_answer_without_a_body_has_no_length_either(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, status: bytes
) -> None:
    backend = server(always(b"HTTP/1.1 %b\r\nContent-Length: 7\r\nDate: now\r\n\r\n" % status + OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx")
    assert peer.read_head().split(b"\r\n")[:2] == [b"HTTP/1.1 " + status, b"Date: now"]
    assert b"Content-Length: 7" not in peer.received


PROXY = {
    "version 1": b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n",
    "version 2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x12\x67\0\x50",
}


@pytest.mark.parametrize("pieces", [1, 30])
@pytest.mark.parametrize("header", PROXY.values(), ids=PROXY.keys())
def test_a_proxy_says_first_for_whom_it_speaks(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, header: bytes, pieces: int
) -> None:
    backend = server(always(OK))
    run, watch = watched(proxy_plan(backend.address, listener=ListenerConfig("front", accept_proxy=True)))
    peer = connect(run)
    message = header + b"GET / HTTP/1.1\r\nHost: lab\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    size = len(message) // pieces + 1
    for begin in range(0, len(message), size):
        peer.send(message[begin : begin + size])
    assert peer.answer()[0] == 200
    assert watch.until(Arrived).client == "203.0.113.7"
    assert b"X-Forwarded-For: 203.0.113.7\r\n" in backend.received
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 200, "only the first bytes of a connection speak of it"


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n", b"PROXY TCP4 x y 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n1234"]
)
def test_whoever_does_not_say_for_whom_it_speaks_is_hung_up_on(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, said: bytes
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address, listener=ListenerConfig("front", accept_proxy=True))))
    peer.send(said)
    with suppress(ConnectionResetError):
        assert peer.rest() == b""
    assert not backend.peers


def test_a_proxy_that_speaks_for_nobody_is_the_client_itself(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    run, watch = watched(proxy_plan(server(always(OK)).address, listener=ListenerConfig("front", accept_proxy=True)))
    peer = connect(run)
    peer.send(b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[0] == 200
    assert watch.until(Arrived).client == "127.0.0.1"


@pytest.mark.parametrize(
    ("answer", "method", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "GET",
            200,
            b"hello",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", 200, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", 304, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", 200, b"ok"),
    ],
)
def test_an_answer_ends_where_it_should_and_the_connection_goes_on(
    server: Serve,
    start: Start,
    proxy_plan: ProxyPlan,
    connect: Connect,
    answer: bytes,
    method: str,
    status: int,
    body: bytes,
) -> None:
    peer = connect(start(proxy_plan(server(always(answer)).address)))
    for _ in range(3):
        peer.send(f"{method} / HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
        got, _, content = peer.answer(method)
        assert (got, content) == (status, body)


def test_an_answer_that_ends_with_its_connection_is_chunked_for_the_client(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def until_close(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello ")
        peer.send(b"world")

    peer = connect(start(proxy_plan(server(until_close).address)))
    for _ in range(2):
        peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        _, fields, body = peer.answer()
        assert (fields["transfer-encoding"], body) == ("chunked", b"hello world")


def test_a_client_of_http_1_0_gets_no_chunks(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    peer = connect(start(proxy_plan(server(always(chunked)).address)))
    peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head, _, body = peer.rest().partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert b"Connection: close" in head
    assert body == b"hello"


def test_expect_100_continue_is_settled_between_client_and_backend(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def careful(peer: Peer) -> None:
        head = peer.read_head()
        assert b"Expect: 100-continue" in head
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.read(5) == b"hello"
        peer.send(OK)

    peer = connect(start(proxy_plan(server(careful).address)))
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert peer.read_head().startswith(b"HTTP/1.1 100 Continue\r\n")
    peer.send(b"hello")
    assert peer.answer()[2] == b"ok"


def test_a_backend_may_refuse_a_body_before_it_comes(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def unwilling(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        peer.rest()

    peer = connect(start(proxy_plan(server(unwilling).address)))
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 500\r\nExpect: 100-continue\r\n\r\n")
    status, fields, _ = peer.answer()
    assert (status, fields["connection"]) == (413, "close")
    assert peer.rest() == b""


MEBIBYTE = bytes(range(256)) * 4096


@pytest.mark.slow
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_64_mebibytes_pass_both_ways_in_bounded_memory(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, framing: str, eventually: Eventually
) -> None:
    """First the backend and then the client begin to read only when something has piled up in between."""

    def late_reader(peer: Peer) -> None:
        head = peer.read_head()
        eventually(lambda: run.most_buffered)
        if framing == "chunked":
            assert b"Transfer-Encoding: chunked" in head
            received.append(peer.read_chunks()[1])
        else:
            received.append(peer.file.read(64 * len(MEBIBYTE)))
        assert looked.wait(20)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * len(MEBIBYTE)))
        for _ in range(64):
            peer.send(MEBIBYTE)

    def upload() -> None:
        if framing == "chunked":
            peer.send(CHUNKED)
            for _ in range(64):
                peer.send(b"%x\r\n%b\r\n" % (len(MEBIBYTE), MEBIBYTE))
            peer.send(b"0\r\n\r\n")
        else:
            peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % (64 * len(MEBIBYTE)))
            for _ in range(64):
                peer.send(MEBIBYTE)

    received: list[bytes] = []
    looked = threading.Event()
    run = start(proxy_plan(server(late_reader).address))
    peer = connect(run)
    uploading = threading.Thread(target=upload)
    uploading.start()
    uploading.join()
    assert run.most_buffered < 1_000_000
    stage: Any = run._stage
    stage.shell.most_buffered = 0
    looked.set()
    eventually(lambda: run.most_buffered)
    assert peer.read_head().startswith(b"HTTP/1.1 200 OK")
    assert peer.file.read(64 * len(MEBIBYTE)) == MEBIBYTE * 64
    assert received == [MEBIBYTE * 64]
    assert run.most_buffered < 1_000_000


@pytest.mark.slow
def test_pipelined_requests_do_not_pile_up_behind_one_that_takes_its_time(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    def silent(peer: Peer) -> None:
        peer.rest()

    request = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
    run, _ = watched(proxy_plan(server(silent).address))
    peer = connect(run)
    peer.sock.setblocking(False)
    sent = 0
    while sent < 16 * len(MEBIBYTE) and select.select([], [peer.sock], [], 0.5)[1]:
        sent += peer.sock.send(request * 1000)
    run.snapshot()
    stage: Any = run._stage
    (connection,) = next(stage.doors.fronts).connections
    one_read = 262_144
    assert 1 < len(connection._requests) <= one_read / len(request) + 1


# -- refusals -------------------------------------------------------------------------------------------------------

MALFORMED = {
    "length and coding": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "one length twice": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": HEAD + b"Content-Length: -3\r\n\r\nabc",
    "a hexadecimal length": HEAD + b"Content-Length: 0x3\r\n\r\nabc",
    "an endless length": HEAD + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "an empty length": HEAD + b"Content-Length:\r\n\r\n",
    "coding that is not chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked before another coding": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding with a control character": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : lab\r\n\r\n",
    "a space before the coding's colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: lab\r\nX: a\r\n b\r\n\r\n",
    "a folded first line": b"GET / HTTP/1.1\r\n X: a\r\nHost: lab\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: lab\r\nX: a\0b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nHost: lab\r\nX\0: a\r\n\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: lab\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a bare CR": b"GET / HTTP/1.1\r\nHost: lab\r\nX: a\rY: b\r\n\r\n",
    "a bare LF in the head": b"GET / HTTP/1.1\r\nHost: lab\r\nX: a\nY: b\r\n\r\n",
    "bare LFs everywhere": b"GET / HTTP/1.1\nHost: lab\n\n",
    "an empty name": b"GET / HTTP/1.1\r\nHost: lab\r\n: a\r\n\r\n",
    "a line without a colon": b"GET / HTTP/1.1\r\nHost: lab\r\nabc\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an impossible Host": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a method that is none": b"FROBNICATE / HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a version that is none": b"GET / HTTP/1.7\r\nHost: lab\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a negative chunk": CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
    "a chunk in C's hexadecimal": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a space after the size of a chunk": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "an endless chunk": CHUNKED + b"fffffffffffffffff\r\nabc",
    "a chunk longer than it says": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "a bare LF after the size of a chunk": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "a bare LF in a chunk's extension": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a coding among the trailers": CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a length among the trailers": CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n",
    "a bare LF among the trailers": CHUNKED + b"0\r\nX: a\n\r\n",
    "a space before a trailer's colon": CHUNKED + b"0\r\nX : a\r\n\r\n",
    "a list of equal lengths": HEAD + b"Content-Length: 3,3\r\n\r\nabc",
    "a length with an underscore": HEAD + b"Content-Length: 3_0\r\n\r\nabc",
    "a length in other digits": HEAD + b"Content-Length: \xd9\xa3\r\n\r\nabc",
    "two lengths in one": HEAD + b"Content-Length: 3 4\r\n\r\nabc",
    "an empty coding": HEAD + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "a coding in quotes": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding with a parameter": HEAD + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "chunked and identity": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a folded coding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHost: lab\r\nX Y: a\r\n\r\n",
    "a tab before the colon": b"GET / HTTP/1.1\r\nHost: lab\r\nX\t: a\r\n\r\n",
    "a name beyond ASCII": b"GET / HTTP/1.1\r\nHost: lab\r\nX\xe9: a\r\n\r\n",
    "a vertical tab in a value": b"GET / HTTP/1.1\r\nHost: lab\r\nX: a\x0bb\r\n\r\n",
    "DEL in a value": b"GET / HTTP/1.1\r\nHost: lab\r\nX: a\x7f\r\n\r\n",
    "two spaces before the target": b"GET  / HTTP/1.1\r\nHost: lab\r\n\r\n",
    "two spaces before the version": b"GET /  HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a tab before the target": b"GET\t/ HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a tab before the version": b"GET /\tHTTP/1.1\r\nHost: lab\r\n\r\n",
    "a tab in the target": b"GET /a\tb HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a target beyond ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: lab\r\n\r\n",
    "DEL in the target": b"GET /\x7f HTTP/1.1\r\nHost: lab\r\n\r\n",
    "an asterisk and more": b"OPTIONS *a HTTP/1.1\r\nHost: lab\r\n\r\n",
    "an asterisk for GET": b"GET * HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a target at another host": b"GET http://other/ HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a target with somebody's name": b"GET http://me@lab/ HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a target in another scheme": b"GET ftp://lab/ HTTP/1.1\r\nHost: lab\r\n\r\n",
    "a Host with two ports": b"GET / HTTP/1.1\r\nHost: lab:80:80\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: lab/x\r\n\r\n",
    "a Host with half a bracket": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "a space after the version": b"GET / HTTP/1.1 \r\nHost: lab\r\n\r\n",
    "a version in lower case": b"GET / http/1.1\r\nHost: lab\r\n\r\n",
    "a version with more digits": b"GET / HTTP/1.10\r\nHost: lab\r\n\r\n",
    "a bare CR after the version": b"GET / HTTP/1.1\rHost: lab\r\n\r\n",
    "two CRs at the end of a line": b"GET / HTTP/1.1\r\nHost: lab\r\r\n\r\n",
    "a bare LF at the end of the head": b"GET / HTTP/1.1\r\nHost: lab\r\n\n",
    "a space before the method": b" GET / HTTP/1.1\r\nHost: lab\r\n\r\n",
    "RTSP": b"OPTIONS / RTSP/1.0\r\nHost: lab\r\n\r\n",
    "ICE": b"SOURCE / ICE/1.0\r\nHost: lab\r\n\r\n",
    "a signed chunk": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a space before the size of a chunk": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "a chunk of 2 to the 64th": CHUNKED + b"10000000000000000\r\nabc",
    "a chunk with an underscore": CHUNKED + b"1_0\r\nabc",
    "a bare CR after the size of a chunk": CHUNKED + b"3\rabc\r\n0\r\n\r\n",
    "NUL in a chunk's extension": CHUNKED + b"3;a\0\r\nabc\r\n0\r\n\r\n",
    "a line in a chunk's quoted extension": CHUNKED + b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n',
}

MALFORMED_LATER = {
    "a chunk that ends without CRLF": b"3\r\nabc0\r\n\r\n",
    "a chunk that ends with a bare LF": b"3\r\nabc\n0\r\n\r\n",
    "a chunk that ends with a bare CR": b"3\r\nabc\r0\r\n\r\n",
    "a second chunk in C's hexadecimal": b"3\r\nabc\r\n0x0\r\n\r\n",
    "an empty line instead of a last chunk": b"3\r\nabc\r\n\r\n",
    "a bare LF after the last chunk": b"3\r\nabc\r\n0\n\r\n",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_or_ambiguous_request_is_answered_400_and_no_backend_sees_it(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, message: bytes
) -> None:
    backend = server(always(OK))
    run = start(proxy_plan(backend.address))
    peer = connect(run)
    peer.send(message)
    status, fields, body = peer.answer()
    assert (status, fields["connection"]) == (400, "close"), body
    assert peer.rest() == b""
    assert not backend.peers


@pytest.mark.parametrize("body", MALFORMED_LATER.values(), ids=MALFORMED_LATER.keys())
def test_a_body_that_is_malformed_further_on_is_refused_too_when_it_was_read_in_one_go(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, body: bytes
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(CHUNKED + body)
    assert peer.answer()[0] == 400
    assert peer.rest() == b""
    assert not backend.peers


@pytest.mark.parametrize("first", [b"\r\n", b"\r\n\r\n"])
def test_empty_lines_before_a_request_are_ignored(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, first: bytes
) -> None:
    """RFC 9112, section 2.2: old clients send one behind a body."""
    peer = connect(start(proxy_plan(server(always(OK)).address)))
    for _ in range(2):
        peer.send(first + b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert peer.answer()[0] == 200


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"CONNECT lab:443 HTTP/1.1\r\nHost: lab\r\n\r\n", 501),
        (HEAD + b"Expect: the unexpected\r\nContent-Length: 3\r\n\r\nabc", 417),
        (b"GET / HTTP/2.0\r\nHost: lab\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: lab\r\nX: %b\r\n\r\n" % (b"x" * 3000), 431),
        (b"GET /%b HTTP/1.1\r\nHost: lab\r\n\r\n" % (b"x" * 3000), 431),
        (b"GET / HTTP/1.1\r\nHost: lab\r\nX: %b" % (b"x" * 3000), 431),
        (CHUNKED + b"1;%b" % (b"x" * 600_000), 431),
        (b"\r\n" * 2000, 431),
    ],
)
def test_what_is_not_spoken_here_is_refused_by_name(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, message: bytes, status: int
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address, listener=ListenerConfig("front", max_header_bytes=2048))))
    peer.send(message)
    assert peer.answer()[0] == status
    assert peer.rest() == b""
    assert not backend.peers


def test_a_body_may_be_longer_than_a_head(server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address, listener=ListenerConfig("front", max_header_bytes=2048))))
    peer.send(HEAD + b"Content-Length: 9000\r\n\r\n" + b"x" * 9000)
    assert peer.answer()[0] == 200
    peer.send(CHUNKED + b"bb8\r\n%b\r\n" % (b"x" * 3000) * 9 + b"0\r\n\r\n")
    assert peer.answer()[0] == 200


def test_a_refusal_is_told_although_there_was_no_request(
    watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    run, watch = watched(proxy_plan())
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert peer.answer()[0] == 400
    refused = watch.until(Refused)
    assert (refused.listener, refused.client, refused.status) == ("front", "127.0.0.1", 400)
    assert refused.because == "more than one Host"
    assert not watch.all(Arrived)


def test_good_requests_before_a_bad_one_are_served(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(b"GET /good HTTP/1.1\r\nHost: lab\r\n\r\n" * 2 + b"GET /bad HTTP/1.1\r\nHost : lab\r\n\r\n")
    assert [peer.answer()[0] for _ in range(3)] == [200, 200, 400]
    assert peer.rest() == b""
    assert b"/bad" not in backend.received


def test_a_body_that_turns_bad_on_its_way_is_never_completed_at_the_backend(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    started = threading.Event()
    ends: list[bytes] = []

    def read_all(peer: Peer) -> None:
        peer.read_head()
        peer.read(8)
        started.set()
        ends.append(peer.rest())

    run, watch = watched(proxy_plan(server(read_all).address))
    peer = connect(run)
    peer.send(CHUNKED + b"3\r\nabc\r\n")
    assert started.wait(20)
    peer.send(b"oops\r\n")
    assert peer.answer()[0] == 400
    assert watch.until(Finished).outcome == "the client left first"
    run.stop()
    assert ends in ([b""], [])


def test_a_head_that_does_not_come_in_time_is_answered_408(
    start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    run = start(proxy_plan(listener=ListenerConfig("front", head_timeout=Seconds(3))))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost:")
    run.set_speed(1000)
    assert peer.answer()[0] == 408
    assert peer.rest() == b""


def test_a_body_that_does_not_come_in_time_is_answered_408(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    run, watch = watched(proxy_plan(backend.address, listener=ListenerConfig("front", body_timeout=Seconds(3))))
    peer = connect(run)
    peer.send(HEAD + b"Content-Length: 10\r\n\r\nabc")
    watch.until(Arrived)
    run.set_speed(1000)
    assert peer.answer()[0] == 408
    assert watch.until(Finished).outcome == "the client left first"


def test_a_silent_connection_is_closed_without_a_word(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    listener = ListenerConfig("front", idle_timeout=Seconds(3))
    run = start(proxy_plan(server(always(OK)).address, listener=listener))
    silent, spoke = connect(run), connect(run)
    spoke.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert spoke.answer()[0] == 200
    run.set_speed(1000)
    assert spoke.rest() == b""
    assert silent.rest() == b""


# -- leaving --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_leaves_early_is_cancelled_and_its_backend_let_go(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, how: str
) -> None:
    asked, let_go = threading.Event(), threading.Event()

    def silent(peer: Peer) -> None:
        peer.read_head()
        asked.set()
        try:
            peer.rest()
        finally:
            let_go.set()

    run, watch = watched(proxy_plan(server(silent).address))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert asked.wait(20)
    if how == "half":
        peer.sock.shutdown(socket.SHUT_WR)
    else:
        getattr(peer, how)()
    finished = watch.until(Finished)
    assert (finished.outcome, finished.status) == ("the client left first", 499)
    assert let_go.wait(20)
    assert run.snapshot()[0].backends[0].in_flight == 0


def test_a_client_that_does_not_read_its_answer_is_given_up(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + bytes(99999999)
    run, watch = watched(proxy_plan(server(always(endless)).address, response_timeout=Seconds(1000)))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    peer.read_head()
    run.set_speed(300)
    assert watch.until(Finished).outcome == "the client left first"
