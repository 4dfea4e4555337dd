from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from lbtutor.core import ListenerConfig, Plan, Route
from lbtutor.core.answers import Respond
from lbtutor.core.events import Arrived
from lbtutor.live.addresses import Trust
from lbtutor.live.forwarding import Introduction
from lbtutor.live.heads import MOST_PASSES, RequestHead
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Serve = Callable[["Script"], "Server"]
Start = Callable[..., LiveRun]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
ProxyPlan = Callable[..., Plan]
Get = Callable[..., tuple[int, dict[str, str], bytes]]

TRUSTED = "10.0.0.1"


def always(answer: bytes) -> Script:
    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.send(answer)

    return script


def head(*fields: tuple[bytes, bytes], host: bytes = b"shop") -> RequestHead:
    return RequestHead(b"GET", b"/", "1.1", [(b"Host", host), *fields], keep_alive=True)


def told(peer: str, *fields: tuple[bytes, bytes], host: bytes = b"shop", scheme: str = "http") -> dict[str, str]:
    """What a backend is told when `peer` sends these fields."""
    introduction = Introduction(peer, scheme, Trust((TRUSTED, "10.0.0.2", "2001:db8::/32"), of="test"))
    lines = introduction.fields(head(*fields, host=host)).decode().split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


def client(peer: str, *fields: tuple[bytes, bytes]) -> str:
    introduction = Introduction(peer, "http", Trust((TRUSTED, "10.0.0.2", "2001:db8::/32"), of="test"))
    return introduction.client(head(*fields))


@pytest.mark.parametrize(
    ("peer", "host", "scheme", "element"),
    [
        ("192.0.2.1", b"shop", "http", "for=192.0.2.1;host=shop;proto=http"),
        ("192.0.2.1", b"shop:81", "https", 'for=192.0.2.1;host="shop:81";proto=https'),
        ("fe80::1", b"[::1]:81", "http", 'for="[fe80::1]";host="[::1]:81";proto=http'),
        ("fe80::1%eth0", b"shop", "http", 'for="[fe80::1]";host=shop;proto=http'),
        ("192.0.2.1", b"", "http", "for=192.0.2.1;proto=http"),
        ("unknown", b"shop", "http", "for=unknown;host=shop;proto=http"),
    ],
)
def test_a_peer_is_introduced_in_the_grammar_of_rfc_7239(peer: str, host: bytes, scheme: str, element: str) -> None:
    assert told(peer, host=host, scheme=scheme)["Forwarded"] == element


def test_of_a_stranger_only_what_was_seen_is_told() -> None:
    fields = (
        (b"X-Forwarded-For", b"6.6.6.6"),
        (b"x-forwarded-proto", b"https"),
        (b"X-Forwarded-Host", b"bank"),
        (b"X-Forwarded-Port", b"443"),
        (b"X-Forwarded-Prefix", b"/admin"),
        (b"Forwarded", b"for=6.6.6.6"),
        (b"X-Real-IP", b"6.6.6.6"),
        (b"True-Client-IP", b"6.6.6.6"),
    )
    assert told("192.0.2.1", *fields) == {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "shop",
        "Forwarded": "for=192.0.2.1;host=shop;proto=http",
    }
    assert client("192.0.2.1", *fields) == "192.0.2.1"
    assert head(*fields).for_backend(b"\r\n") == b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


def test_what_a_trusted_peer_says_is_kept_and_the_peer_is_added() -> None:
    fields = (
        (b"X-Forwarded-For", b"203.0.113.7"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"bank"),
        (b"X-Forwarded-Port", b"443"),
        (b"Forwarded", b"for=203.0.113.7;proto=https"),
    )
    assert told(TRUSTED, *fields) == {
        "X-Forwarded-For": "203.0.113.7, 10.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "bank",
        "Forwarded": "for=203.0.113.7;proto=https, for=10.0.0.1;host=shop;proto=http",
        "X-Forwarded-Port": "443",
    }


def introduced(peer: str, scheme: str, *fields: tuple[bytes, bytes]) -> bool:
    introduction = Introduction(peer, scheme, Trust((TRUSTED,), of="test"))
    return introduction.is_encrypted(head(*fields))


def test_a_client_speaks_tls_to_us_or_to_a_trusted_peer_that_says_so() -> None:
    https, forwarded = (b"X-Forwarded-Proto", b"HTTPS"), (b"Forwarded", b'for="[::1]:7";Proto="https", for=10.0.0.9')
    assert introduced("192.0.2.1", "https")
    assert not introduced("192.0.2.1", "http", https, forwarded)
    assert introduced(TRUSTED, "http", https)
    assert introduced(TRUSTED, "http", forwarded)
    assert not introduced(TRUSTED, "https", (b"X-Forwarded-Proto", b"http"), forwarded)
    assert introduced(TRUSTED, "https", (b"X-Forwarded-For", b"203.0.113.7"))


def test_one_dialect_is_translated_into_the_other() -> None:
    of_client = told(TRUSTED, (b"Forwarded", b'for=203.0.113.7;host="bank:81";proto=https, for=10.0.0.2;proto=http'))
    assert of_client["X-Forwarded-Proto"] == "https"
    assert of_client["X-Forwarded-Host"] == "bank:81"
    assert told(TRUSTED, (b"X-Forwarded-For", b"203.0.113.7, 2001:db8::9"))["Forwarded"] == (
        'for=203.0.113.7, for="[2001:db8::9]", for=10.0.0.1;host=shop;proto=http'
    )
    spoken = (b"Forwarded", b'for="[2001:db8::9]:443";proto=https, For=10.0.0.2')
    assert told(TRUSTED, spoken)["X-Forwarded-For"] == "2001:db8::9, 10.0.0.2, 10.0.0.1"


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ([(b"X-Forwarded-For", b"6.6.6.6, 203.0.113.7, 10.0.0.2")], "203.0.113.7"),
        ([(b"X-Forwarded-For", b"6.6.6.6"), (b"X-Forwarded-For", b"203.0.113.7")], "203.0.113.7"),
        ([(b"Forwarded", b"for=6.6.6.6, for=203.0.113.7;proto=http, for=10.0.0.2")], "203.0.113.7"),
        ([(b"Forwarded", b'for="203.0.113.7:4711"')], "203.0.113.7"),
        ([(b"Forwarded", b'for="[2001:db9::1]"')], "2001:db9::1"),
        ([(b"Forwarded", b"for=_hidden")], TRUSTED),
        ([(b"Forwarded", b"for=1.1.1.1"), (b"X-Forwarded-For", b"203.0.113.7")], "203.0.113.7"),
        ([(b"X-Forwarded-Proto", b"https")], TRUSTED),
        ([], TRUSTED),
    ],
)
def test_the_client_is_the_last_one_that_is_not_trusted(fields: Sequence[tuple[bytes, bytes]], who: str) -> None:
    assert client(TRUSTED, *fields) == who


def test_what_is_told_follows_the_host_that_is_asked() -> None:
    introduction = Introduction("192.0.2.1", "http", Trust((), of="test"))
    for host in (b"a", b"b", b"b", b"a"):
        assert b"X-Forwarded-Host: %b\r\n" % host in introduction.fields(head(host=host))


@pytest.mark.parametrize(
    "name",
    [b"X_Forwarded_For", b"x-forwarded_for", b"Content_Length", b"TRANSFER_ENCODING", b"X_Real_IP", b"X_Request_Id"],
)
def test_a_name_that_some_backends_take_for_another_stops_here(name: bytes) -> None:
    assert name not in head((name, b"7")).for_backend(b"\r\n")


@pytest.mark.parametrize("name", [b"X_Api_Key", b"x_y", b"_", b"!#$%&'*+.^`|~"])
def test_other_odd_names_pass(name: bytes) -> None:
    assert b"%b: 7\r\n" % name in head((name, b"7")).for_backend(b"\r\n")


def test_a_request_has_one_name_for_the_backend_and_the_client(
    server: Serve, start: Start, proxy_plan: ProxyPlan, get: Get
) -> None:
    backend = server(always(OK.replace(b"Content", b"X-Request-Id: mine\r\nContent")))
    run = start(proxy_plan(backend.address))
    names = [get(run, "/", ["X-Request-Id: forged"])[1]["x-request-id"] for _ in range(3)]
    assert len(set(names)) == 3
    for name in names:
        assert f"X-Request-Id: {name}\r\n".encode() in backend.received
    assert not any(word in backend.received for word in (b"forged",))
    assert "mine" not in names


def test_a_request_that_the_balancer_answers_itself_has_a_name_too(
    start: Start, proxy_plan: ProxyPlan, get: Get
) -> None:
    plan = proxy_plan("127.0.0.1:1")
    routes = (Route("web"), Route(path="/gone", respond=Respond(410, "gone")))
    run = start(replace(plan, routes=routes))
    answers = [get(run, path) for path in ("/", "/gone")]
    assert [status for status, _, _ in answers] == [502, 410]
    assert len({fields["x-request-id"] for _, fields, _ in answers}) == 2
    assert get(run, "/a b")[1].get("x-request-id") is None, "what was no request has no name"


def test_a_trusted_peer_has_named_the_request_already(
    server: Serve, start: Start, proxy_plan: ProxyPlan, get: Get
) -> None:
    backend = server(always(OK))
    run = start(proxy_plan(backend.address, listener=ListenerConfig("front", trusted_proxies=("127.0.0.1",))))
    assert get(run, "/", ["X-Request-Id: theirs"])[1]["x-request-id"] == "theirs"
    assert backend.received.count(b"X-Request-Id: theirs\r\n") == 1


def test_via_tells_the_way_and_a_request_that_goes_round_is_stopped(
    server: Serve, start: Start, proxy_plan: ProxyPlan, get: Get
) -> None:
    backend = server(always(OK))
    run = start(proxy_plan(backend.address))
    assert get(run, "/", ["Via: 1.0 fred", "Via: 1.1 lbtutor"])[0] == 200
    assert b"Via: 1.0 fred\r\nVia: 1.1 lbtutor\r\n" in backend.received
    assert backend.received.endswith(b"Via: 1.1 lbtutor\r\n\r\n")
    assert get(run, "/", [f"Via: {', '.join(['1.1 lbtutor'] * (MOST_PASSES - 1))}"])[0] == 200
    assert get(run, "/", [f"Via: {', '.join(['1.1 lbtutor'] * MOST_PASSES)}"])[0] == 508
    assert len(backend.received.split(b"GET /")) == 3


def test_who_asked_is_told_to_the_trace_and_to_the_backend_alike(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, get: Get
) -> None:
    backend = server(always(OK))
    listener = ListenerConfig("front", trusted_proxies=("127.0.0.1",))
    run, watch = watched(proxy_plan(backend.address, listener=listener))
    get(run, "/", ["Forwarded: for=203.0.113.7"])
    assert watch.until(Arrived).client == "203.0.113.7"
    assert b"X-Forwarded-For: 203.0.113.7, 127.0.0.1\r\n" in backend.received
