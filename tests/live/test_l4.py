from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from trustme import CA

from lbtutor.core import BackendConfig, ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.core.events import Arrived, Drained, Finished, Picked, Queued, Rejected
from lbtutor.core.listening import Certificate, Tls
from lbtutor.core.messages import Drain
from lbtutor.core.retry import Retry
from lbtutor.live.addresses import Address
from lbtutor.live.proxy_protocol import header_v1, header_v2, parse
from lbtutor.live.run import LiveRun

TCP = ListenerConfig("front", mode="tcp")

Serve = Callable[[Callable[[Any], None]], Any]
Make = Callable[..., Plan]
Begin = Callable[..., tuple[LiveRun, Any]]
Connect = Callable[..., Any]
Eventually = Callable[[Callable[[], object]], None]


def echo(peer: Any) -> None:
    """Says what it hears, in capitals, until it hears no more."""
    while line := peer.file.readline():
        peer.received += line
        peer.send(line.upper())


def named(name: bytes) -> Callable[[Any], None]:
    """Says its name, and then nothing."""

    def script(peer: Any) -> None:
        peer.send(name)
        peer.rest()

    return script


def is_reset(peer: Any) -> bool:
    """Whether the other side breaks the connection, rather than ending it."""
    try:
        peer.rest()
    except ConnectionResetError:
        return True
    return False


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a machine that does not answer a knock: nobody takes those who wait there already."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        place = listening.getsockname()
        with socket.create_connection(place):
            yield f"127.0.0.1:{place[1]}"


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The address of a machine that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


# -- a connection is a request ----------------------------------------------------------------------------------------


def test_a_connection_is_one_request_in_flight_for_as_long_as_it_lives(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    run, watch = watched(proxy_plan(server(echo).address, listener=TCP))
    client = connect(run, source="127.0.0.9")
    client.send(b"one\n")
    assert client.read(4) == b"ONE\n"
    client.send(b"two\n")
    assert client.read(4) == b"TWO\n"
    (arrived,) = watch.all(Arrived)
    assert (arrived.method, arrived.host, arrived.path, arrived.client) == ("TCP", "", "", "127.0.0.9")
    assert run.snapshot()[0].backends[0].in_flight == 1
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b""
    finished = watch.until(Finished)
    assert (finished.outcome, finished.ok, finished.final) == ("ended well", True, True)
    assert run.snapshot()[0].backends[0].in_flight == 0


def test_a_client_that_only_listens_is_served_as_well(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    run, _ = watched(proxy_plan(server(named(b"220 ready\r\n")).address, listener=TCP))
    assert connect(run).read(11) == b"220 ready\r\n"


def test_what_was_said_before_the_backend_was_there_reaches_it_with_its_end(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    one = server(echo)
    run, _ = watched(proxy_plan(one.address, listener=TCP), held=True)
    client = connect(run)
    client.send(b"all that I say\n")
    client.sock.shutdown(socket.SHUT_WR)
    run.resume()
    assert client.rest() == b"ALL THAT I SAY\n"
    assert one.received == b"all that I say\n"


def test_a_listener_that_names_its_pool_needs_no_route(server: Serve, watched: Begin, connect: Connect) -> None:
    backend = BackendConfig("a", address=server(named(b"a")).address)
    pools = (PoolConfig("other"), PoolConfig("own", backends=(backend,)))
    listener = ListenerConfig("front", mode="tcp", pool="own")
    run, _ = watched(Plan((listener,), (Route("other", path="/x"),), pools, lasts=Seconds(float("inf"))))
    assert connect(run).read(1) == b"a"


# -- who takes it -----------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_tried_elsewhere_with_all_that_was_said(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect, closed_port: str
) -> None:
    run, watch = watched(proxy_plan(closed_port, server(echo).address, listener=TCP, retry=Retry(attempts=2)))
    client = connect(run)
    client.send(b"hello\n")
    assert client.read(6) == b"HELLO\n"
    assert [picked.backend for picked in watch.all(Picked)] == ["a", "b"]
    first = watch.until(Finished)
    assert (first.backend, first.outcome, first.final) == ("a", "connection refused", False)


def test_one_that_does_not_answer_in_time_is_left_for_another(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect, silent: str
) -> None:
    plan = proxy_plan(
        silent, server(named(b"b")).address, listener=TCP, connect_timeout=Seconds(0.05), retry=Retry(attempts=2)
    )
    run, watch = watched(plan)
    assert connect(run).read(1) == b"b"
    assert watch.until(Finished).outcome == "no connection in time"


def test_a_connection_that_nobody_takes_is_reset(
    proxy_plan: Make, watched: Begin, connect: Connect, closed_port: str
) -> None:
    run, watch = watched(proxy_plan(closed_port, listener=TCP))
    assert is_reset(connect(run))
    finished = watch.until(Finished)
    assert (finished.outcome, finished.final) == ("connection refused", True)


def test_where_no_backend_is_available_the_connection_is_reset(
    proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    run, watch = watched(proxy_plan(listener=TCP))
    assert is_reset(connect(run))
    assert watch.until(Rejected).status == 503


def test_a_client_that_leaves_before_the_backend_is_there_has_cancelled(
    proxy_plan: Make, watched: Begin, connect: Connect, silent: str
) -> None:
    run, watch = watched(proxy_plan(silent, listener=TCP))
    client = connect(run)
    watch.until(Picked)
    client.reset()
    assert watch.until(Finished).outcome == "the client left first"


def test_a_door_that_is_full_resets_who_comes_and_takes_the_next_when_one_has_left(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    listener = ListenerConfig("front", mode="tcp", max_connections=1)
    run, watch = watched(proxy_plan(server(named(b"a")).address, listener=listener))
    first = connect(run)
    assert first.read(1) == b"a"
    assert is_reset(connect(run))
    assert len(watch.all(Arrived)) == 1
    first.reset()
    watch.until(Finished)
    assert connect(run).read(1) == b"a"


# -- waiting, draining, ending ----------------------------------------------------------------------------------------


def limited(address: str, **pool: Any) -> Plan:
    """One backend that takes one connection at a time."""
    backend = BackendConfig("a", address=address, limit=1)
    return Plan(
        (TCP,),
        (Route("web"),),
        (PoolConfig("web", backends=(backend,), **pool),),
        lasts=Seconds(float("inf")),
        drain=Seconds(0),
    )


def test_a_connection_may_wait_for_a_free_backend(server: Serve, watched: Begin, connect: Connect) -> None:
    run, watch = watched(limited(server(echo).address, queue=Seconds(20)))
    first, second = connect(run), connect(run)
    watch.until(Queued)
    second.send(b"patience\n")
    first.reset()
    assert second.read(9) == b"PATIENCE\n"


def test_a_connection_that_waited_in_vain_is_reset(server: Serve, watched: Begin, connect: Connect) -> None:
    run, watch = watched(limited(server(echo).address, queue=Seconds(0.05)))
    first = connect(run)
    first.send(b"here\n")
    assert first.read(5) == b"HERE\n"
    assert is_reset(connect(run))
    assert watch.until(Rejected).status == 503


def test_a_client_that_leaves_while_it_waits_is_waited_for_no_more(
    server: Serve, watched: Begin, connect: Connect
) -> None:
    run, watch = watched(limited(server(echo).address, queue=Seconds(20)))
    first, second = connect(run), connect(run)
    queued = watch.until(Queued)
    (second if queued.request == 2 else first).reset()
    assert watch.until(Rejected).status == 499


def test_the_end_of_a_backends_drain_resets_its_connections(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    run, watch = watched(proxy_plan(server(echo).address, listener=TCP))
    client = connect(run)
    client.send(b"hello\n")
    assert client.read(6) == b"HELLO\n"
    run.act(Drain("web", "a", within=Seconds(0.05)))
    assert is_reset(client)
    assert watch.until(Finished).outcome == "broke off in mid-answer"
    watch.until(Drained)


def test_a_run_that_stops_lets_connections_end_and_takes_no_new_ones(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect, eventually: Eventually
) -> None:
    run, watch = watched(proxy_plan(server(echo).address, listener=TCP, drain=20))
    client = connect(run)
    client.send(b"one\n")
    assert client.read(4) == b"ONE\n"
    stopping = threading.Thread(target=run.stop)
    stopping.start()

    def refused() -> bool:
        try:
            connect(run).reset()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused)
    client.send(b"two\n")
    assert client.read(4) == b"TWO\n"
    client.sock.shutdown(socket.SHUT_WR)
    stopping.join(20)
    assert run.ended.is_set()
    assert [finished.outcome for finished in watch.all(Finished) if finished.request == 1] == ["ended well"]


def test_a_run_that_stops_at_once_resets_what_is_open(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    one = server(named(b"a"))
    run, watch = watched(proxy_plan(one.address, listener=TCP))
    client = connect(run)
    assert client.read(1) == b"a"
    run.stop()
    assert is_reset(client)
    assert watch.until(Finished).outcome == "the client left first"


# -- the PROXY protocol -----------------------------------------------------------------------------------------------

ANNOUNCING = ListenerConfig("front", mode="tcp", accept_proxy=True)
FAR = Address("203.0.113.7", 4711)
WANTED = Address("192.0.2.1", 443)


@pytest.mark.parametrize("header", [header_v1, header_v2])
def test_the_client_is_whom_the_header_names(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect, header: Callable[..., bytes]
) -> None:
    one = server(echo)
    run, watch = watched(proxy_plan(one.address, listener=ANNOUNCING))
    client = connect(run)
    for byte in header(FAR, WANTED) + b"hello\n":
        client.send(bytes((byte,)))
    assert client.read(6) == b"HELLO\n"
    assert watch.until(Arrived).client == "203.0.113.7"
    assert one.received == b"hello\n"


def test_a_header_that_speaks_for_nobody_leaves_the_peer_as_the_client(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    run, watch = watched(proxy_plan(server(named(b"a")).address, listener=ANNOUNCING))
    client = connect(run, source="127.0.0.9")
    client.send(header_v2(None, None))
    assert client.read(1) == b"a"
    assert watch.until(Arrived).client == "127.0.0.9"


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 x 1\r\n", header_v1(FAR, WANTED)[1:]]
)
def test_whoever_does_not_say_who_it_is_is_reset_and_reaches_nobody(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect, said: bytes
) -> None:
    one = server(echo)
    run, watch = watched(proxy_plan(one.address, listener=ANNOUNCING))
    client = connect(run)
    client.send(said)
    assert is_reset(client)
    assert not watch.all(Arrived)
    assert not one.peers


@pytest.mark.parametrize("listener", [ANNOUNCING, ListenerConfig("front", mode="tcp", tls=Tls(passthrough=True))])
def test_whoever_is_too_slow_to_say_anything_is_reset(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect, listener: ListenerConfig
) -> None:
    tls = listener.tls and replace(listener.tls, handshake_timeout=Seconds(0.05))
    impatient = replace(listener, head_timeout=Seconds(0.05), tls=tls)
    run, watch = watched(proxy_plan(server(echo).address, listener=impatient))
    assert is_reset(connect(run))
    assert not watch.all(Arrived)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("listener", [TCP, ANNOUNCING])
def test_the_backend_is_told_who_the_client_is_ahead_of_all_else(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect, listener: ListenerConfig, version: str
) -> None:
    one = server(lambda peer: peer.rest())
    run, _ = watched(proxy_plan(one.address, listener=listener, send_proxy=version))
    client = connect(run)
    ends = (Address(*client.sock.getsockname()), Address(*client.sock.getpeername()))
    if listener.accept_proxy:
        client.send(header_v2(FAR, WANTED))
    client.send(b"hello")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b""
    told = parse(one.received)
    assert told is not None
    assert (told.source, told.destination) == ((FAR, WANTED) if listener.accept_proxy else ends)
    assert one.received[told.size :] == b"hello"
    assert one.received.startswith(b"PROXY ") == (version == "v1")


# -- TLS that is passed through ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> CA:
    return CA()


def tls_server(ca: CA, *names: str) -> Callable[[Any], None]:
    """A server that says under which name it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)

    def script(peer: Any) -> None:
        asked: list[str | None] = []
        context.sni_callback = lambda _object, name, _context: asked.append(name)
        with context.wrap_socket(peer.sock, server_side=True) as secured:
            secured.recv(10)
            secured.sendall(f"{names[0]} asked as {asked[-1]}".encode())

    return script


def ask_over_tls(ca: CA, run: LiveRun, name: str | None, *, ahead: bytes = b"") -> bytes:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    context.check_hostname = name is not None
    host, _, port = run.addresses["front"].rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=20)
    sock.sendall(ahead)
    with sock, context.wrap_socket(sock, server_hostname=name) as secured:
        secured.sendall(b"hello")
        return secured.recv(100)


def passing(shop: str, blog: str, rest: str = "", *, strict: bool = False, accept_proxy: bool = False) -> Plan:
    listener = ListenerConfig("front", mode="tcp", tls=Tls(passthrough=True, strict=strict), accept_proxy=accept_proxy)
    pools = [
        PoolConfig(name, backends=(BackendConfig(name, address=address),))
        for name, address in (("shop", shop), ("blog", blog), ("rest", rest))
        if address
    ]
    routes = [Route("shop", sni="shop.example"), Route("blog", sni="*.blog.example")] + [Route("rest")] * bool(rest)
    return Plan((listener,), tuple(routes), tuple(pools), lasts=Seconds(float("inf")), drain=Seconds(0))


def test_the_name_that_a_client_asks_for_chooses_the_pool_and_nobody_opens_the_letter(
    server: Serve, watched: Begin, ca: CA
) -> None:
    shop, blog = server(tls_server(ca, "shop.example")), server(tls_server(ca, "ann.blog.example"))
    run, watch = watched(passing(shop.address, blog.address))
    assert ask_over_tls(ca, run, "shop.example") == b"shop.example asked as shop.example"
    assert ask_over_tls(ca, run, "ANN.blog.example") == b"ann.blog.example asked as ANN.blog.example"
    assert [picked.pool for picked in watch.all(Picked)] == ["shop", "blog"]


def test_other_names_and_none_go_by_the_other_routes(server: Serve, watched: Begin, ca: CA) -> None:
    shop, rest = server(tls_server(ca, "shop.example")), server(tls_server(ca, "other.example"))
    run, watch = watched(passing(shop.address, shop.address, rest.address))
    assert ask_over_tls(ca, run, "other.example") == b"other.example asked as other.example"
    assert ask_over_tls(ca, run, None) == b"other.example asked as None"
    assert [picked.pool for picked in watch.all(Picked)] == ["rest", "rest"]


def test_a_route_for_a_host_is_for_requests_and_takes_no_connection_that_asks_for_the_name(
    server: Serve, watched: Begin, ca: CA
) -> None:
    shop = server(tls_server(ca, "shop.example"))
    plan = passing(shop.address, shop.address)
    plain = PoolConfig("plain", backends=(BackendConfig("web", address=shop.address),))
    routes = (Route("plain", host="shop.example"), *plan.routes)
    run, watch = watched(replace(plan, routes=routes, pools=(*plan.pools, plain)))
    assert ask_over_tls(ca, run, "shop.example") == b"shop.example asked as shop.example"
    assert watch.until(Picked).pool == "shop"
    arrived = watch.until(Arrived)
    assert (arrived.host, arrived.sni) == ("", "shop.example")


def test_what_is_no_tls_goes_by_the_other_routes_unless_the_door_is_strict(
    server: Serve, watched: Begin, connect: Connect
) -> None:
    rest = server(echo)
    run, _ = watched(passing(rest.address, rest.address, rest.address))
    client = connect(run)
    client.send(b"plain words\n")
    assert client.read(12) == b"PLAIN WORDS\n"
    run, watch = watched(passing(rest.address, rest.address, rest.address, strict=True))
    client = connect(run)
    client.send(b"plain words\n")
    assert is_reset(client)
    assert not watch.all(Arrived)


def test_a_name_that_no_route_knows_is_reset(server: Serve, watched: Begin, ca: CA) -> None:
    shop = server(tls_server(ca, "shop.example"))
    run, watch = watched(passing(shop.address, shop.address))
    with pytest.raises(ConnectionError):
        ask_over_tls(ca, run, "other.example")
    assert watch.until(Rejected).status == 404


def test_a_client_that_leaves_in_mid_hello_reaches_nobody(
    server: Serve, watched: Begin, connect: Connect, eventually: Eventually
) -> None:
    shop = server(echo)
    run, watch = watched(passing(shop.address, shop.address, shop.address))
    client = connect(run)
    client.send(b"\x16\x03\x01\x02\x00\x01")
    client.sock.shutdown(socket.SHUT_WR)
    assert is_reset(client)
    assert not watch.all(Arrived)


def test_the_header_of_a_proxy_stands_ahead_of_tls(server: Serve, watched: Begin, ca: CA) -> None:
    shop = server(tls_server(ca, "shop.example"))
    run, watch = watched(passing(shop.address, shop.address, accept_proxy=True))
    said = ask_over_tls(ca, run, "shop.example", ahead=header_v1(FAR, WANTED))
    assert said == b"shop.example asked as shop.example"
    assert watch.until(Arrived).client == "203.0.113.7"


# -- TLS that ends here -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [False, True])
def test_tls_may_end_at_the_door_and_the_name_that_was_asked_for_chooses_the_pool(
    server: Serve, watched: Begin, tmp_path: Path, ca: CA, announced: bool
) -> None:
    certificate = ca.issue_cert("shop.example", "other.example")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(key)
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(cert, append=True)
    shop, rest = server(named(b"shop")), server(named(b"rest"))
    tls = Tls(certificates=(Certificate(str(cert), str(key)),))
    listener = ListenerConfig("front", mode="tcp", tls=tls, accept_proxy=announced)
    pools = tuple(
        PoolConfig(name, backends=(BackendConfig(name, address=one.address),))
        for name, one in (("shop", shop), ("rest", rest))
    )
    routes = (Route("shop", sni="shop.example"), Route("rest"))
    run, watch = watched(Plan((listener,), routes, pools, lasts=Seconds(float("inf")), drain=Seconds(0)))
    ahead = header_v1(FAR, WANTED) if announced else b""
    assert ask_over_tls(ca, run, "shop.example", ahead=ahead) == b"shop"
    assert ask_over_tls(ca, run, "other.example", ahead=ahead) == b"rest"
    assert {arrived.client for arrived in watch.all(Arrived)} == {"203.0.113.7" if announced else "127.0.0.1"}


# -- other rules at run time ------------------------------------------------------------------------------------------


def test_connections_live_on_under_the_rules_under_which_they_came(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> None:
    plan = proxy_plan(server(echo).address, listener=TCP)
    run, watch = watched(plan)
    before = connect(run)
    before.send(b"one\n")
    assert before.read(4) == b"ONE\n"
    run.reconfigure(replace(plan, listeners=(replace(TCP, max_connections=1),)))
    after = connect(run)
    after.send(b"two\n")
    assert after.read(4) == b"TWO\n"
    assert is_reset(connect(run))
    before.send(b"three\n")
    assert before.read(6) == b"THREE\n"
    assert not watch.all(Finished)
