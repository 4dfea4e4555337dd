from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trustme import CA, KeyType

from lbtutor.core import BackendConfig, HealthCheck, ListenerConfig, Plan, PoolConfig, Retry, Seconds
from lbtutor.core.events import Finished, Picked, Probed
from lbtutor.core.listening import BackendTls, Tls
from lbtutor.live.run import LiveRun

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
UNTRUSTED = "no TLS connection to be trusted"

Script = Callable[[Any], None]


def always(answer: bytes) -> Script:
    def script(peer: Any) -> None:
        while peer.read_request() is not None:
            peer.send(answer)

    return script


@pytest.fixture(scope="module")
def ca() -> CA:
    return CA(key_type=KeyType.ECDSA)


@pytest.fixture
def ca_file(ca: CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def serving(ca: CA) -> Callable[..., ssl.SSLContext]:
    """A server's context with a certificate of that authority."""

    def make(*names: str, **options: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*(names or ("127.0.0.1",)), key_type=KeyType.ECDSA, **options).configure_cert(context)
        return context

    return make


def over_tls(context: ssl.SSLContext, script: Script, *, farewell: bool = True) -> Script:
    """The same script, spoken through TLS."""

    def secured(peer: Any) -> None:
        with context.wrap_socket(peer.sock, server_side=True, suppress_ragged_eofs=False) as sock:
            inner = type(peer)(sock)
            try:
                script(inner)
                if farewell:
                    sock.unwrap()
            finally:
                peer.received += inner.received
                inner.file.close()

    return secured


# -- whom the balancer believes ---------------------------------------------------------------------------------------


def test_a_backend_of_the_named_authority_is_believed_and_its_connection_is_kept(
    server: Any, watched: Any, proxy_plan: Any, get: Any, serving: Any, ca_file: str
) -> None:
    backend = server(over_tls(serving(), always(OK)))
    run, watch = watched(proxy_plan(backend.address, tls=BackendTls(ca=ca_file)))
    assert [get(run)[2] for _ in range(3)] == [b"ok"] * 3
    assert len(backend.peers) == 1
    assert {finished.outcome for finished in watch.all(Finished)} == {"answered 200"}


def test_a_name_that_the_pool_gives_is_asked_for_and_must_be_theirs(
    server: Any, start: Any, proxy_plan: Any, get: Any, serving: Any, ca_file: str
) -> None:
    asked_for = []
    context = serving("inner.example")
    context.sni_callback = lambda sock, name, context: asked_for.append(name)
    address = server(over_tls(context, always(OK))).address
    assert get(start(proxy_plan(address, tls=BackendTls(ca=ca_file, name="inner.example"))))[0] == 200
    assert get(start(proxy_plan(address, tls=BackendTls(ca=ca_file, name="other.example"))))[0] == 502
    assert asked_for == ["inner.example", "other.example"]


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (("other.example",), {}, "certificate not trusted: ip address mismatch"),
        (("127.0.0.1",), {"not_after": _LONG_AGO}, "certificate not trusted: certificate has expired"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said_by_probes_and_requests_get_502(
    server: Any,
    watched: Any,
    proxy_plan: Any,
    get: Any,
    serving: Any,
    ca_file: str,
    names: Any,
    options: Any,
    says: str,
) -> None:
    backend = server(over_tls(serving(*names, **options), always(OK)))
    check = HealthCheck(interval=Seconds(60), timeout=Seconds(10), fall=1, initial="up")
    run, watch = watched(proxy_plan(backend.address, tls=BackendTls(ca=ca_file), health=check, all_down="fail_open"))
    assert watch.until(Probed).because.lower().startswith(says)
    status, _fields, body = get(run)
    assert (status, body) == (502, f"502 Bad Gateway: {UNTRUSTED}\n".encode())
    assert watch.until(Finished).outcome == UNTRUSTED
    assert backend.received == b""


def test_a_backend_of_another_authority_is_not_believed(
    server: Any, start: Any, proxy_plan: Any, get: Any, serving: Any
) -> None:
    backend = server(over_tls(serving(), always(OK)))
    assert get(start(proxy_plan(backend.address, tls=BackendTls())))[0] == 502


def test_without_verification_anybody_is_believed(
    server: Any, start: Any, proxy_plan: Any, get: Any, serving: Any
) -> None:
    backend = server(over_tls(serving("other.example", not_after=_LONG_AGO), always(OK)))
    assert get(start(proxy_plan(backend.address, tls=BackendTls(verify=False))))[0] == 200


def test_a_backend_that_speaks_no_tls_is_not_sent_a_request(
    server: Any, watched: Any, proxy_plan: Any, get: Any, ca_file: str
) -> None:
    def plain(peer: Any) -> None:
        peer.sock.recv(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.rest()

    backend = server(plain)
    run, watch = watched(proxy_plan(backend.address, tls=BackendTls(ca=ca_file)))
    assert get(run)[0] == 502
    assert watch.until(Finished).outcome == UNTRUSTED
    assert b"GET" not in backend.received


def test_a_backend_that_never_answers_the_handshake_is_given_up_at_the_connect_timeout(
    server: Any, watched: Any, proxy_plan: Any, get: Any, ca_file: str
) -> None:
    backend = server(lambda peer: peer.rest())
    run, watch = watched(proxy_plan(backend.address, tls=BackendTls(ca=ca_file), connect_timeout=Seconds(0.05)))
    assert get(run)[0] == 504
    assert watch.until(Finished).outcome == "no connection in time"


def test_a_post_that_could_not_be_sent_over_tls_is_tried_elsewhere(
    server: Any, watched: Any, proxy_plan: Any, get: Any, serving: Any, ca_file: str
) -> None:
    untrusted = server(over_tls(serving("other.example"), always(OK)))
    trusted = server(over_tls(serving(), always(OK)))
    tls, retry = BackendTls(ca=ca_file), Retry(attempts=2)
    run, watch = watched(proxy_plan(untrusted.address, trusted.address, tls=tls, retry=retry))
    assert get(run, "/", ("Content-Length: 0",), "POST")[0] == 200
    watch.until(Finished, final=True)
    assert [picked.backend for picked in watch.all(Picked)] == ["a", "b"]
    assert [finished.outcome for finished in watch.all(Finished)] == [UNTRUSTED, "answered 200"]


# -- the ends of connections ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("farewell", "outcome"), [(True, "answered 200"), (False, "broke off in mid-answer")])
def test_an_answer_that_ends_with_its_connection_is_whole_only_with_a_farewell(
    server: Any, watched: Any, proxy_plan: Any, connect: Any, serving: Any, ca_file: str, farewell: bool, outcome: str
) -> None:
    def once(peer: Any) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nas much as came")

    backend = server(over_tls(serving(), once, farewell=farewell))
    run, watch = watched(proxy_plan(backend.address, tls=BackendTls(ca=ca_file)))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert watch.until(Finished).outcome == outcome


def test_a_kept_connection_that_the_backend_ends_is_not_used_again(
    server: Any, start: Any, proxy_plan: Any, get: Any, serving: Any, ca_file: str
) -> None:
    def once(peer: Any) -> None:
        peer.read_request()
        peer.send(OK)

    backend = server(over_tls(serving(), once))
    run = start(proxy_plan(backend.address, tls=BackendTls(ca=ca_file)))
    assert [get(run)[0] for _ in range(3)] == [200] * 3
    assert len(backend.peers) == 3


def test_large_bodies_go_through_tls_on_the_way_to_the_backend_and_back(
    server: Any, start: Any, proxy_plan: Any, get: Any, connect: Any, serving: Any, ca_file: str
) -> None:
    body = bytes(range(256)) * 4096 * 6

    def echo(peer: Any) -> None:
        while (request := peer.read_request()) is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request[1]) + request[1])

    run = start(proxy_plan(server(over_tls(serving(), echo)).address, tls=BackendTls(ca=ca_file)))
    peer = connect(run)
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert peer.answer()[2] == body


# -- the lab ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def encrypted_lab(lab_plan: Callable[..., Plan]) -> Plan:
    """Machines that speak TLS, behind a door that does."""
    pool = PoolConfig(
        "web",
        backends=tuple(BackendConfig(name) for name in "ab"),
        health=HealthCheck(interval=Seconds(1), timeout=Seconds(1), rise=1, initial="unchecked"),
        tls=BackendTls(),
    )
    plan: Plan = lab_plan("ab", listeners=(ListenerConfig("front", tls=Tls(auto=True)),), pools=(pool,))
    return plan


def test_lab_machines_are_believed_by_their_own_authority_probes_and_all(
    watched: Any, encrypted_lab: Plan, connect: Any
) -> None:
    run, watch = watched(encrypted_lab)
    assert {watch.until(Probed, backend=name).because for name in "ab"} == {"200"}
    context = ssl.create_default_context(cafile=str(run.authority))
    with context.wrap_socket(connect(run).sock, server_hostname="localhost") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_run_without_tls_has_no_authority(start: Callable[..., LiveRun], lab_plan: Callable[..., Plan]) -> None:
    assert start(lab_plan("a")).authority is None
