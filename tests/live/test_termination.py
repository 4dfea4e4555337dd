from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from trustme import CA, KeyType

from lbtutor.core import ConfigError, ListenerConfig, PoolConfig, Route, Seconds
from lbtutor.core.affinity import Sticky
from lbtutor.core.events import Arrived, Finished, HandshakeFailed
from lbtutor.core.listening import Certificate, Tls
from lbtutor.live.run import LiveRun

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

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
def issue(ca: CA, tmp_path: Path) -> Callable[..., Certificate]:
    """A certificate for these names in files; a second one for the same names takes the place of the first."""

    def make(*names: str) -> Certificate:
        leaf = ca.issue_cert(*names, key_type=KeyType.ECDSA)
        cert, key = tmp_path / f"{names[0]}.pem", tmp_path / f"{names[0]}.key"
        leaf.cert_chain_pems[0].write_to_path(cert)
        leaf.private_key_pem.write_to_path(key)
        return Certificate(str(cert), str(key))

    return make


@pytest.fixture
def trusting(ca: CA) -> Callable[..., ssl.SSLContext]:
    """A client's context that believes that authority."""

    def make(*alpn: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ca.configure_trust(context)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    return make


@pytest.fixture
def call(connect: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Connect over TLS, asking for that name."""
    with ExitStack() as stack:

        def to(run: LiveRun, context: ssl.SSLContext, name: str | None = "a.example", **options: Any) -> Any:
            plain = connect(run)
            options.setdefault("suppress_ragged_eofs", False)
            secured = stack.enter_context(context.wrap_socket(plain.sock, server_hostname=name, **options))
            peer = type(plain)(secured)
            stack.callback(peer.file.close)
            return peer

        yield to


def door(*certificates: Certificate, **tls: Any) -> ListenerConfig:
    return ListenerConfig("front", tls=Tls(certificates=certificates, **tls))


def names_of(peer: Any) -> set[str]:
    return {value for kind, value in peer.sock.getpeercert()["subjectAltName"] if kind == "DNS"}


def asked(peer: Any, path: str = "/") -> tuple[int, dict[str, str], bytes]:
    peer.send(f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
    answer: tuple[int, dict[str, str], bytes] = peer.answer()
    return answer


# -- who is shown what ----------------------------------------------------------------------------------------------


def test_each_name_is_shown_its_own_certificate(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    config = door(issue("a.example"), issue("*.b.example"))
    run = start(proxy_plan(server(always(OK)).address, listener=config))
    for name, held in (("a.example", "a.example"), ("x.b.example", "*.b.example")):
        peer = call(run, trusting(), name)
        assert names_of(peer) == {held}
        assert asked(peer)[2] == b"ok"


@pytest.mark.parametrize("name", ["b.example", None])
def test_a_strict_door_refuses_other_names_and_none_with_their_alert(
    start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any, name: str | None
) -> None:
    run = start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example"), strict=True)))
    context = trusting()
    context.check_hostname = False
    with pytest.raises(ssl.SSLError) as caught:
        call(run, context, name)
    assert caught.value.reason == "TLSV1_UNRECOGNIZED_NAME"
    assert call(run, trusting()).sock.version() == "TLSv1.3"


def test_a_door_that_is_not_strict_shows_its_first_certificate_to_the_nameless(
    start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    run = start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example"), issue("b.example"))))
    context = trusting()
    context.check_hostname = False
    assert names_of(call(run, context, None)) == {"a.example"}


def test_http_1_1_is_agreed_on_and_a_client_without_it_is_refused_with_its_alert(
    start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    run = start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example"))))
    assert call(run, trusting("h2", "http/1.1")).sock.selected_alpn_protocol() == "http/1.1"
    assert call(run, trusting()).sock.selected_alpn_protocol() is None
    with pytest.raises(ssl.SSLError) as caught:
        call(run, trusting("h2"))
    assert "tlsv1 alert no application protocol" in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("lowest", "speaks"),
    [("1.2", ssl.TLSVersion.TLSv1), ("1.2", ssl.TLSVersion.TLSv1_1), ("1.3", ssl.TLSVersion.TLSv1_2)],
)
def test_a_version_below_the_lowest_is_refused(
    start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any, lowest: str, speaks: ssl.TLSVersion
) -> None:
    run = start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example"), min_version=lowest)))
    context = trusting()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = speaks
    with pytest.raises(ssl.SSLError) as caught:
        call(run, context)
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_tls_1_2_has_only_ciphers_with_forward_secrecy_and_sessions_can_be_resumed(
    start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    run = start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example"))))
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    first = call(run, context).sock
    assert first.cipher()[0].startswith("ECDHE-")
    second = call(run, context, session=first.session).sock
    assert (first.session_reused, second.session_reused) == (False, True)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")  # without authenticated encryption
    with pytest.raises(ssl.SSLError):
        call(run, context)


def test_a_tls_1_3_session_is_resumed_after_its_ticket_came(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    run = start(proxy_plan(server(always(OK)).address, listener=door(issue("a.example"))))
    context = trusting()
    first = call(run, context)
    asked(first)
    assert call(run, context, session=first.sock.session).sock.session_reused


# -- what is known behind the door ----------------------------------------------------------------------------------


def test_backends_learn_that_the_client_spoke_https(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    backend = server(always(OK))
    run = start(proxy_plan(backend.address, listener=door(issue("a.example"))))
    asked(call(run, trusting()))
    assert b"X-Forwarded-Proto: https\r\n" in backend.received


def test_the_balancers_cookie_is_for_encrypted_connections_if_it_was_given_on_one(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any, get: Any
) -> None:
    plan = proxy_plan(server(always(OK)).address, listener=door(issue("a.example")), sticky=Sticky(cookie="SERVER_ID"))
    encrypted, plain = start(plan), start(replace(plan, listeners=(ListenerConfig("front"),)))
    assert asked(call(encrypted, trusting()))[1]["set-cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")
    assert get(plain)[1]["set-cookie"].endswith("; HttpOnly; SameSite=Lax")


def test_routes_know_which_server_name_was_asked_for(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    plan = proxy_plan(server(always(OK)).address, listener=door(issue("a.example", "b.example")))
    other = PoolConfig("other")
    run = start(replace(plan, routes=(Route("other", sni="b.example"), Route("web")), pools=(*plan.pools, other)))
    assert asked(call(run, trusting(), "a.example"))[0] == 200
    assert asked(call(run, trusting(), "b.example"))[0] == 503


def test_the_host_of_a_request_may_differ_from_the_name_that_was_asked_for(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    run = start(proxy_plan(server(always(OK)).address, listener=door(issue("a.example"))))
    peer = call(run, trusting())
    peer.send(b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
    assert peer.answer()[0] == 200


def test_a_client_that_is_announced_ahead_of_tls_is_known_by_its_own_address(
    server: Any, watched: Any, proxy_plan: Any, issue: Any, trusting: Any, connect: Any
) -> None:
    config = replace(door(issue("a.example")), mode="tcp", pool="web", accept_proxy=True)
    run, watch = watched(proxy_plan(server(always(OK)).address, listener=config))
    plain = connect(run)
    plain.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n")
    with trusting().wrap_socket(plain.sock, server_hostname="a.example") as secured:
        secured.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert secured.recv(100).endswith(b"ok")
    assert watch.until(Arrived).client == "192.0.2.7"


# -- messages of any size, and how connections end ------------------------------------------------------------------


def test_requests_follow_one_another_on_one_connection(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    run = start(proxy_plan(server(always(OK)).address, listener=door(issue("a.example"))))
    peer = call(run, trusting())
    assert [asked(peer)[2] for _ in range(5)] == [b"ok"] * 5
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n" * 3)
    assert [peer.answer()[2] for _ in range(3)] == [b"ok"] * 3


def test_large_bodies_go_both_ways_and_arrive_as_they_were(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    body = bytes(range(256)) * 4096 * 6

    def echo(peer: Any) -> None:
        while (request := peer.read_request()) is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request[1]) + request[1])

    run = start(proxy_plan(server(echo).address, listener=door(issue("a.example"))))
    peer = call(run, trusting())
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert peer.answer()[2] == body


def test_what_a_slow_reader_does_not_take_stays_with_the_backend(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any, eventually: Any
) -> None:
    body = bytes(16 << 20)
    run = start(
        proxy_plan(
            server(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)).address,
            listener=door(issue("a.example")),
        )
    )
    peer = call(run, trusting())
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    eventually(lambda: run.most_buffered)
    assert peer.answer()[2] == body
    assert run.most_buffered < 1 << 20


def test_an_answer_to_the_end_of_the_connection_ends_with_a_farewell(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    def once(peer: Any) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.0 200 OK\r\n\r\nto the end")

    run = start(proxy_plan(server(once).address, listener=door(issue("a.example"))))
    peer = call(run, trusting())
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    assert peer.rest().endswith(b"\r\n\r\nto the end")  # without a farewell: SSLEOFError


@pytest.mark.parametrize("farewell", [True, False])
def test_a_client_that_leaves_in_mid_answer_with_or_without_farewell_lets_go_of_the_backend(
    server: Any, watched: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any, farewell: bool
) -> None:
    arrived = threading.Event()

    def silent(peer: Any) -> None:
        peer.read_request()
        arrived.set()
        peer.rest()

    run, watch = watched(proxy_plan(server(silent).address, listener=door(issue("a.example"))))
    peer = call(run, trusting())
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert arrived.wait(20)
    if farewell:
        peer.sock.settimeout(0)
        with suppress(ssl.SSLWantReadError):
            peer.sock.unwrap()
    else:
        peer.sock.shutdown(socket.SHUT_WR)
    assert watch.until(Finished).status == 499


def test_a_tcp_door_keeps_the_half_open_that_the_other_end_has_not_closed(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, connect: Any
) -> None:
    def echo_at_the_end(peer: Any) -> None:
        said = peer.rest()
        peer.send(said)

    config = replace(door(issue("a.example")), mode="tcp", pool="web")
    run = start(proxy_plan(server(echo_at_the_end).address, listener=config))
    plain, incoming, outgoing = connect(run).sock, ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = trusting().wrap_bio(incoming, outgoing, server_hostname="a.example")

    def until_done(step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65_536))

    until_done(secured.do_handshake)
    secured.write(b"all that I have to say")
    with suppress(ssl.SSLWantReadError):
        secured.unwrap()  # a farewell of one direction (RFC 8446, 6.1)
    assert until_done(lambda: secured.read(100)) == b"all that I have to say"


# -- those who never get that far -----------------------------------------------------------------------------------


def test_plain_http_is_told_that_this_is_an_https_door(start: Any, proxy_plan: Any, issue: Any, get: Any) -> None:
    run = start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example"))))
    status, _fields, body = get(run)
    assert (status, body) == (400, b"400 Bad Request: this door speaks HTTPS, and that was plain HTTP\n")


def test_a_handshake_that_does_not_come_is_not_waited_for(
    start: Any, proxy_plan: Any, issue: Any, connect: Any
) -> None:
    listener = door(issue("a.example"), handshake_timeout=Seconds(0.05))
    run = start(proxy_plan("127.0.0.1:1", listener=listener))
    silent, slow = connect(run), connect(run)
    slow.send(b"\x16\x03\x01")
    for peer in (silent, slow):
        with suppress(ConnectionResetError):
            assert peer.rest() == b""


def test_clients_who_do_not_trust_us_or_vanish_in_mid_handshake_disturb_nobody_and_are_told_of(
    server: Any, watched: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any, connect: Any
) -> None:
    run, watch = watched(proxy_plan(server(always(OK)).address, listener=door(issue("a.example"))))
    with pytest.raises(ssl.SSLCertVerificationError):
        call(run, ssl.create_default_context())
    hello = said_first(trusting())
    for size in (0, 3, len(hello) // 2, len(hello)):
        peer = connect(run)
        peer.send(hello[:size])
        peer.reset()
    watch.until(HandshakeFailed, client="127.0.0.1", listener="front", because="tlsv1 alert unknown ca")
    watch.until(HandshakeFailed, count=5)
    assert asked(call(run, trusting()))[2] == b"ok"


def test_a_thousand_half_open_handshakes_keep_nobody_waiting(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any, connect: Any
) -> None:
    run = start(proxy_plan(server(always(OK)).address, listener=door(issue("a.example"))))
    hello = said_first(trusting())
    for number in range(1000):
        connect(run).send(hello[: number % len(hello)])
    assert asked(call(run, trusting()))[2] == b"ok"


def test_those_who_still_shake_hands_are_guests_until_the_door_is_closed(
    start: Any, proxy_plan: Any, issue: Any, connect: Any, eventually: Any
) -> None:
    run = start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example")), drain=20))
    peer = connect(run)
    peer.send(b"\x16")
    eventually(lambda: run.connections.of_clients["front"] == 1)
    run.stop()
    with suppress(ConnectionResetError):
        assert peer.rest() == b""


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_break_the_door(garbage_door: tuple[LiveRun, bytes], data: st.DataObject) -> None:
    run, hello = garbage_door
    bent = bytearray(hello)
    for at, instead in data.draw(st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=4)))):
        bent[at : at + len(instead)] = instead
    said = data.draw(st.one_of(st.binary(max_size=200), st.just(bytes(bent)), st.just(hello + bytes(bent))))
    host, _, port = run.addresses["front"].rpartition(":")
    with closing(socket.create_connection((host, int(port)), timeout=20)) as sock, suppress(ConnectionError):
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass
    assert run.trouble is None


@pytest.fixture
def garbage_door(start: Any, proxy_plan: Any, issue: Any, trusting: Any) -> tuple[LiveRun, bytes]:
    return start(proxy_plan("127.0.0.1:1", listener=door(issue("a.example")))), said_first(trusting())


def said_first(context: ssl.SSLContext) -> bytes:
    """A client's hello."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example").do_handshake()
    return outgoing.read()


# -- new certificates -----------------------------------------------------------------------------------------------


def serial(peer: Any) -> str:
    return str(peer.sock.getpeercert()["serialNumber"])


def test_a_renewed_certificate_is_shown_to_those_who_come_and_nobody_has_to_leave(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    plan = proxy_plan(server(always(OK)).address, listener=door(issue("a.example")))
    run = start(plan)
    before = call(run, trusting())
    asked(before)
    assert run.reconfigure(plan) == "nothing is different"
    issue("a.example")
    assert run.reconfigure(plan) == "listener front has its certificates from new files"
    after = call(run, trusting())
    assert serial(after) != serial(before)
    for peer in (after, before, before):
        status, fields, _body = asked(peer)
        assert (status, fields.get("connection")) == (200, None)


def test_a_certificate_that_cannot_be_used_changes_nothing_and_says_why(
    server: Any, start: Any, proxy_plan: Any, issue: Any, trusting: Any, call: Any
) -> None:
    certificate = issue("a.example")
    plan = proxy_plan(server(always(OK)).address, listener=door(certificate))
    run = start(plan)
    before = call(run, trusting())
    Path(certificate.cert).write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match=f"listener front: cannot use {re.escape(certificate.cert)} with "):
        run.reconfigure(plan)
    assert serial(call(run, trusting())) == serial(before)
    assert asked(before)[0] == 200


# -- the lab's own authority ----------------------------------------------------------------------------------------


def test_curl_verifies_the_lab_with_the_file_of_its_authority(start: Any, lab_plan: Any) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    listener = ListenerConfig("front", tls=Tls(auto=True))
    run = start(lab_plan("a", listeners=(listener,), routes=(Route("web", host="shop.example"), Route("web"))))
    port = run.addresses["front"].rpartition(":")[2]
    authority = run.authority
    assert authority is not None
    ask = [curl, "--silent", "--show-error", "--connect-to", f"::127.0.0.1:{port}", "--cacert", str(authority)]
    for name in ("localhost", "127.0.0.1", "shop.example"):
        said = subprocess.run([*ask, f"https://{name}:{port}/"], capture_output=True, text=True, check=True)
        assert said.stdout == "web/a\n"
    stranger = subprocess.run([*ask, f"https://else.example:{port}/"], capture_output=True, text=True, check=False)
    assert stranger.returncode == 60
    run.stop()
    assert run.authority is None
    assert not authority.exists()
