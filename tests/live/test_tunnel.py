"""Requests to switch protocols, and the tunnels that some of them become."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbtutor.core import Drain, ListenerConfig, Plan, Retry, Seconds
from lbtutor.core.events import Draining, Finished, Picked
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ASK = (
    b"GET /chat HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
POST = (
    b"POST /form HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
)
"""As Java's HttpClient begins; the framing of its body is still to come."""
NEXT = b"GET /next HTTP/1.1\r\nHost: lab\r\n\r\n"

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


def switch(then: Script) -> Script:
    """Agree to the first request, and go on in the other protocol."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(SWITCH)
        then(peer)

    return script


def echo(peer: Peer) -> None:
    while data := peer.sock.recv(65_536):
        peer.send(data)


def opened(peer: Peer) -> Peer:
    """A tunnel from this client."""
    peer.send(ASK)
    assert peer.read_head().startswith(b"HTTP/1.1 101 ")
    return peer


# -- the handshake --------------------------------------------------------------------------------------------------


def test_both_sides_hear_that_protocols_are_switched_and_nothing_of_the_handshake_is_lost(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(switch(echo))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(ASK)
    answer = peer.read_head()
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" in answer
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    peer.send(b"\x00GET / HTTP/1.1\r\n\r\n\xff")
    assert peer.read(20) == b"\x00GET / HTTP/1.1\r\n\r\n\xff"
    asked = backend.peers[0].received
    assert b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" in asked
    assert b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" in asked
    assert asked.lower().count(b"upgrade:") == 1


def test_what_rides_beside_the_handshake_arrives_on_both_sides(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    heard: list[bytes] = []

    def talkative(peer: Peer) -> None:
        peer.read_head()
        readable, _, _ = select.select([peer.sock], [], [], 0)
        heard.append(peer.sock.recv(10, socket.MSG_DONTWAIT) if readable else b"")
        peer.send(SWITCH + b"first words")
        heard.append(peer.read(10))
        peer.send(b"heard")

    peer = connect(start(proxy_plan(server(talkative).address)))
    peer.send(ASK + b"also ")
    peer.send(b"first")
    peer.read_head()
    assert peer.read(16) == b"first wordsheard"
    assert heard == [b"", b"also first"], "nothing goes beyond the request before the backend agrees"


def test_what_is_said_too_early_is_not_taken_in_without_bound(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    size, agree = 16 << 20, threading.Event()
    heard: list[bytes] = []

    def late(peer: Peer) -> None:
        peer.read_head()
        agree.wait(20)
        peer.send(SWITCH)
        heard.append(peer.rest())

    run = start(proxy_plan(server(late).address))
    peer = connect(run)
    peer.send(ASK)
    sent = peer.send_until_stuck(bytes(size))
    assert sent < size
    agree.set()
    peer.send(bytes(size - sent))
    peer.sock.shutdown(socket.SHUT_WR)
    peer.read_head()
    assert peer.rest() == b""
    assert heard == [bytes(size)]


@pytest.mark.parametrize("status", [b"200 OK", b"403 Forbidden", b"426 Upgrade Required"])
def test_an_answer_that_does_not_switch_is_an_answer_like_any_other(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, status: bytes
) -> None:
    backend = server(always(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nno" % status))
    run, watch = watched(proxy_plan(backend.address))
    peer = connect(run)
    for _ in range(2):
        peer.send(ASK + NEXT)
        answers = [peer.answer(), peer.answer()]
        assert [answer[2] for answer in answers] == [b"no", b"no"]
        assert "upgrade" not in answers[0][1]
    assert backend.received.count(b"GET /next ") == 2
    assert watch.until(Picked, count=4), "what came beside the request passed the balancer as a request of its own"


def test_what_is_said_too_early_and_is_no_http_either_is_refused_after_the_answer(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(ASK + b"\x81\x05hello")
    assert [peer.answer()[0], peer.answer()[0]] == [200, 400]
    assert b"hello" not in backend.received


def test_nobody_to_ask_is_said_to_who_wants_to_switch(start: Start, proxy_plan: ProxyPlan, connect: Connect) -> None:
    peer = connect(start(proxy_plan()))
    peer.send(ASK + NEXT)
    assert [peer.answer()[0], peer.answer()[0]] == [503, 503]


@pytest.mark.parametrize(
    "request_",
    [
        ASK.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        ASK.replace(b"Upgrade: websocket", b"Upgrade: HTTP/2.0, TLS/1.0"),
        ASK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ASK.replace(b", Upgrade", b""),
        ASK.replace(b"Upgrade: websocket\r\n", b""),
    ],
)
def test_a_wish_that_cannot_be_granted_is_not_passed_on(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, request_: bytes
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(request_)
    assert peer.answer()[0] == 200
    assert b"upgrade" not in backend.received.lower()


def test_of_several_protocols_those_that_would_hide_requests_are_not_offered(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    backend = server(switch(echo))
    peer = connect(start(proxy_plan(backend.address)))
    peer.send(ASK.replace(b"Upgrade: websocket", b"Upgrade: h2c, WebSocket, foo/2"))
    peer.read_head()
    assert b"\r\nUpgrade: WebSocket, foo/2\r\n" in backend.received


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
@pytest.mark.parametrize("piece", [1, 100, 1_000])
@pytest.mark.parametrize(
    "framed", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
def test_a_request_to_switch_that_has_a_body_is_served_as_if_it_had_not_asked(
    server: Serve,
    start: Start,
    proxy_plan: ProxyPlan,
    connect: Connect,
    framed: bytes,
    piece: int,
    protocol: bytes,
) -> None:
    heard: list[tuple[bytes, bytes]] = []

    def listen(peer: Peer) -> None:
        while head := peer.read_head():
            size = 3 if head.startswith(b"POST") else 0
            heard.append((head, peer.read_chunks()[1] if b"chunked" in head else peer.read(size)))
            peer.send(OK)

    backend = server(listen)
    peer = connect(start(proxy_plan(backend.address)))
    asked = POST.replace(b"h2c", protocol) + framed + NEXT
    for begin in range(0, len(asked), piece):
        peer.send(asked[begin : begin + piece])
    assert [peer.answer()[0], peer.answer()[0]] == [200, 200]
    (first, body), (second, nothing) = heard
    assert first.startswith(b"POST /form HTTP/1.1\r\n")
    assert second.startswith(b"GET /next HTTP/1.1\r\n")
    assert (body, nothing) == (b"abc", b""), "in whatever chunks"
    assert b"upgrade" not in backend.received.lower()
    assert b"settings" not in backend.received.lower()


@pytest.mark.parametrize(
    ("framed", "status"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: lab\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400),
        (b"Content-Length: 6\r\n\r\nabcdef", 413),
    ],
)
def test_a_wish_that_is_not_heeded_makes_nobody_less_strict(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, framed: bytes, status: int
) -> None:
    backend = server(always(OK))
    peer = connect(start(proxy_plan(backend.address, listener=ListenerConfig("front", max_body_bytes=5))))
    peer.send(POST + framed)
    assert peer.answer()[0] == status
    assert peer.rest() == b""
    assert not backend.peers


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (NEXT, SWITCH),
        (ASK, SWITCH.replace(b"websocket", b"irc")),
        (ASK, SWITCH.replace(b"Upgrade: websocket\r\n", b"")),
        (ASK, SWITCH.replace(b"Connection: Upgrade\r\n", b"")),
        (ASK, SWITCH.replace(b"websocket", b"")),
    ],
    ids=["unasked", "another", "unnamed", "without-connection", "empty"],
)
def test_a_backend_that_switches_to_what_nobody_offered_is_not_followed(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, asked: bytes, answer: bytes
) -> None:
    run, watch = watched(proxy_plan(server(always(answer + b"secret")).address))
    peer = connect(run)
    peer.send(asked)
    status, _, body = peer.answer()
    assert status == 502
    assert b"secret" not in body
    assert watch.until(Finished).outcome == "answered with something that is not HTTP"


def test_a_handshake_that_reaches_nobody_is_tried_elsewhere(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    run, watch = watched(proxy_plan(nobody, server(switch(echo)).address, retry=Retry(attempts=2)))
    peer = connect(run)
    peer.send(ASK + b"kept")
    peer.read_head()
    assert peer.read(4) == b"kept"
    assert [event.outcome for event in watch.all(Finished)] == ["connection refused"]


# -- a life ---------------------------------------------------------------------------------------------------------


def test_a_tunnel_is_in_flight_until_both_sides_have_closed_and_says_nothing_of_latency(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, eventually: Eventually
) -> None:
    run, watch = watched(proxy_plan(server(switch(echo)).address))
    peer = opened(connect(run))
    assert run.snapshot()[0].backends[0].in_flight == 1
    peer.close()
    finished = watch.until(Finished)
    assert (finished.outcome, finished.ok, finished.final) == ("answered 101", True, True)
    backend = run.snapshot()[0].backends[0]
    assert (backend.in_flight, backend.latency) == (0, None)
    eventually(lambda: run.connections.to_backends == 0 == sum(run.connections.of_clients.values()))


@pytest.mark.parametrize("first", ["client", "backend"])
def test_who_has_said_all_can_still_listen(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, first: str
) -> None:
    def listen_then_speak(peer: Peer) -> None:
        heard = peer.rest()
        peer.send(b"you said " + heard)

    def speak_then_listen(peer: Peer) -> None:
        peer.send(b"I am done")
        peer.sock.shutdown(socket.SHUT_WR)
        heard.put(peer.rest())

    heard = SimpleQueue[bytes]()
    run, watch = watched(
        proxy_plan(server(switch(listen_then_speak if first == "client" else speak_then_listen)).address)
    )
    peer = opened(connect(run))
    if first == "client":
        peer.send(b"all")
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.rest() == b"you said all"
    else:
        assert peer.rest() == b"I am done"
        peer.send(b"I see")
        peer.sock.shutdown(socket.SHUT_WR)
        assert heard.get(timeout=20) == b"I see"
    assert watch.until(Finished).outcome == "answered 101"


@pytest.mark.parametrize(
    ("who", "outcome"), [("backend", "broke off in mid-answer"), ("client", "the client left first")]
)
def test_a_reset_is_passed_on_as_a_reset(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, who: str, outcome: str
) -> None:
    go, ends = threading.Event(), SimpleQueue[str]()

    def until_told(peer: Peer) -> None:
        if who == "backend":
            go.wait(20)
            peer.reset()
        else:
            try:
                peer.rest()
                ends.put("end")
            except ConnectionResetError:
                ends.put("reset")

    run, watch = watched(proxy_plan(server(switch(until_told)).address))
    peer = opened(connect(run))
    if who == "backend":
        go.set()
        with pytest.raises(ConnectionResetError):
            peer.rest()
    else:
        peer.reset()
        assert ends.get(timeout=20) == "reset"
    assert watch.until(Finished).outcome == outcome


def test_a_tunnel_in_which_nobody_speaks_is_closed(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    listener = ListenerConfig("front", idle_timeout=Seconds(30))
    run, watch = watched(proxy_plan(server(switch(echo)).address, listener=listener))
    peer = opened(connect(run))
    run.set_speed(3000)
    assert peer.rest() == b""
    assert watch.until(Finished).outcome == "answered 101"


def test_a_drained_balancer_leaves_its_tunnels_alone_until_the_deadline(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, eventually: Eventually
) -> None:
    listener = ListenerConfig("front", idle_timeout=Seconds(1e6))
    run, watch = watched(proxy_plan(server(switch(echo)).address, listener=listener, drain=1000))
    peer, idle = opened(connect(run)), connect(run)
    threading.Thread(target=run.stop, daemon=True).start()
    assert idle.rest() == b"", "it drains"
    peer.send(b"still there?")
    assert peer.read(12) == b"still there?"
    run.set_speed(10_000)
    with pytest.raises(ConnectionResetError):
        peer.rest()
    assert watch.until(Finished).outcome == "the client left first"


def test_a_drained_backend_keeps_its_tunnels_until_its_deadline(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect
) -> None:
    listener = ListenerConfig("front", idle_timeout=Seconds(1e6))
    backends = (server(switch(echo)).address, server(switch(echo)).address)
    run, watch = watched(proxy_plan(*backends, listener=listener))
    first, second = opened(connect(run)), opened(connect(run))
    run.act(Drain("web", "a", Seconds(500)))
    watch.until(Draining)
    first.send(b"still there?")
    assert first.read(12) == b"still there?"
    run.set_speed(10_000)
    assert first.rest() == b""
    finished = watch.until(Finished)
    assert (finished.backend, finished.outcome) == ("a", "broke off in mid-answer")
    second.send(b"and you?")
    assert second.read(8) == b"and you?"


MEBIBYTE = bytes(range(256)) * 4096


@pytest.mark.slow
def test_neither_side_is_sent_more_than_it_takes(
    server: Serve, start: Start, proxy_plan: ProxyPlan, connect: Connect, eventually: Eventually
) -> None:
    """Each side begins to read only when something has piled up in between."""

    def late_reader(peer: Peer) -> None:
        eventually(lambda: run.most_buffered)
        received.append(peer.read(32 << 20))
        peer.send(MEBIBYTE * 32)
        peer.sock.shutdown(socket.SHUT_WR)

    received: list[bytes] = []
    run = start(proxy_plan(server(switch(late_reader)).address))
    peer = opened(connect(run))
    peer.send(MEBIBYTE * 32)
    piled_up = run.most_buffered
    eventually(lambda: select.select([peer.sock], [], [], 0)[0])
    assert peer.rest() == MEBIBYTE * 32
    assert received == [MEBIBYTE * 32]
    assert 0 < piled_up < 1 << 20
    assert run.most_buffered < 1 << 20


# -- streams --------------------------------------------------------------------------------------------------------


class Lines:
    """Backends of one run, whose connections wait here for the test to play them."""

    def __init__(self, server: Serve) -> None:
        self._accepted: list[Peer] = []
        self._some = threading.Condition()
        self.address = server(self._serve).address

    def _serve(self, peer: Peer) -> None:
        over = threading.Event()
        peer.over = over  # type: ignore[attr-defined]
        with self._some:
            self._accepted.append(peer)
            self._some.notify_all()
        over.wait(20)

    def next(self) -> Peer:
        """The connection that is opened next."""
        with self._some:
            assert self._some.wait_for(lambda: self._accepted, 20)
            return self._accepted.pop(0)


Saying = tuple[str, bytes]
SAYINGS = st.lists(
    st.tuples(st.sampled_from(["client", "backend"]), st.binary(min_size=1, max_size=64) | st.just(ASK + SWITCH)),
    max_size=8,
)


@pytest.fixture
def lines(server: Serve) -> Lines:
    return Lines(server)


@pytest.fixture
def streams(lines: Lines, start: Start, proxy_plan: ProxyPlan, connect: Connect) -> Callable[..., None]:
    """Play one tunnel: what each side says before the backend agrees, beside its answer, and after it."""
    run = start(proxy_plan(lines.address))

    def play(early: list[bytes], beside: bytes, later: list[Saying], last: str) -> None:
        client = connect(run)
        client.send(ASK)
        backend = lines.next()
        backend.read_head()
        for piece in early:
            client.send(piece)
        backend.send(SWITCH + beside)
        client.read_head()
        said = {"client": b"".join(early), "backend": beside}
        for who, what in later:
            (client if who == "client" else backend).send(what)
            said[who] += what
        one, other = (client, backend) if last == "client" else (backend, client)
        one.sock.shutdown(socket.SHUT_WR)
        heard = {last: other.rest()}
        other.sock.shutdown(socket.SHUT_WR)
        heard["backend" if last == "client" else "client"] = one.rest()
        backend.over.set()  # type: ignore[attr-defined]
        assert heard == said

    return play


@pytest.mark.parametrize("examples", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_each_side_hears_exactly_what_the_other_says(streams: Callable[..., None], examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        early=st.lists(st.binary(min_size=1, max_size=64) | st.just(NEXT), max_size=4),
        beside=st.binary(max_size=64),
        later=SAYINGS,
        last=st.sampled_from(["client", "backend"]),
    )
    def check(early: list[bytes], beside: bytes, later: list[Saying], last: str) -> None:
        streams(early, beside, later, last)

    check()
