"""Routes over real sockets: what the balancer answers by itself, and who gets the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from lbtutor.core import Plan, PoolConfig, Redirect, Respond, Route
from lbtutor.core.events import Answered, Finished, Rejected, Routed
from lbtutor.core.messages import BackendConfig
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

Serve = Callable[["Script"], "Server"]
Start = Callable[..., LiveRun]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
ProxyPlan = Callable[..., Plan]
Connect = Callable[..., "Peer"]
Get = Callable[..., tuple[int, dict[str, str], bytes]]

PAGE = Respond(503, "Back at noon — été")
OLD = Redirect("https://{host}/new{path}{query}", 308)


def named(name: bytes) -> Script:
    """A script: every request is answered with that name."""

    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    return script


@pytest.fixture
def routed(server: Serve, proxy_plan: ProxyPlan) -> Callable[[Sequence[Route]], Plan]:
    """A plan with these routes and the pools `web` and `api`, one server each, that answer with their names."""

    def make(routes: Sequence[Route]) -> Plan:
        pools = [
            PoolConfig(name, backends=(BackendConfig("a", address=server(named(name.encode())).address),))
            for name in ("web", "api")
        ]
        return replace(proxy_plan(), routes=tuple(routes), pools=tuple(pools))

    return make


def test_a_fixed_response_arrives_as_written(start: Start, routed: Callable[..., Plan], get: Get) -> None:
    status, fields, body = get(start(routed([Route(respond=PAGE)])))
    assert (status, body.decode()) == (503, "Back at noon — été")
    assert fields["content-type"] == "text/plain; charset=utf-8"
    assert int(fields["content-length"]) == len(body)


def test_a_redirect_names_the_place_with_the_requests_own_words(
    start: Start, routed: Callable[..., Plan], get: Get
) -> None:
    run = start(routed([Route(redirect=OLD, path="/shop"), Route("web")]))
    status, fields, body = get(run, "/shop/7?a=b")
    assert (status, fields["location"]) == (308, "https://lab/new/shop/7?a=b")
    assert body == b"https://lab/new/shop/7?a=b\n"
    assert get(run, "/shopping")[2] == b"web"


@pytest.mark.parametrize("own", [Route(respond=PAGE), Route(redirect=OLD)])
def test_the_answer_to_head_is_that_to_get_without_its_body(
    start: Start, routed: Callable[..., Plan], connect: Connect, own: Route
) -> None:
    peer = connect(start(routed([own])))
    for method in ("HEAD", "GET", "HEAD"):
        peer.send(f"{method} /x HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
    (_, head, nothing), (_, got, body), (_, again, _) = (peer.answer(method) for method in ("HEAD", "GET", "HEAD"))
    assert len({fields.pop("x-request-id") for fields in (head, got, again)}) == 3
    assert head == got == again
    assert (nothing, len(body)) == (b"", int(got["content-length"]))


def test_answers_of_its_own_keep_the_connection_and_their_place_in_the_line(
    start: Start, routed: Callable[..., Plan], connect: Connect
) -> None:
    routes = [Route("web"), Route(respond=Respond(200, "hello"), path="/hi"), Route(respond=Respond(204), path="/none")]
    peer = connect(start(routed(routes)))
    ask = "{} HTTP/1.1\r\nHost: lab\r\n\r\n"
    peer.send("".join(map(ask.format, ("GET /hi", "GET /", "GET /none", "GET /hi"))).encode())
    answers = [peer.answer() for _ in range(4)]
    assert [(status, body) for status, _, body in answers] == [
        (200, b"hello"),
        (200, b"web"),
        (204, b""),
        (200, b"hello"),
    ]
    assert answers[0][1]["connection"] == "keep-alive"
    assert "content-length" not in answers[2][1]
    peer.send(b"POST /hi HTTP/1.1\r\nHost: lab\r\nContent-Length: 3\r\n\r\nabcGET /hi HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert [peer.answer()[2], peer.answer()[2]] == [b"hello", b"hello"]


def test_a_client_that_wants_to_close_is_closed_after_a_redirect(
    start: Start, routed: Callable[..., Plan], connect: Connect
) -> None:
    peer = connect(start(routed([Route(redirect=OLD)])))
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
    status, fields, _ = peer.answer()
    assert (status, fields["connection"]) == (308, "close")
    assert peer.rest() == b""


def test_the_trace_tells_the_answer_and_no_backend_has_seen_the_request(
    watched: Watched, routed: Callable[..., Plan], get: Get
) -> None:
    run, watch = watched(routed([Route(respond=PAGE, path="/closed"), Route("web")]))
    get(run, "/closed")
    answered = watch.until(Answered)
    assert (answered.request, answered.status) == (1, 503)
    assert get(run, "/")[2] == b"web"
    watch.until(Finished)
    assert [event.pool for event in watch.all(Routed)] == ["web"]
    assert not watch.all(Rejected)


def test_headers_and_cookies_lead_the_way(start: Start, routed: Callable[..., Plan], get: Get) -> None:
    routes = [Route("web"), Route("api", header={"X-Beta": "yes"}), Route("api", cookie={"group": "b"})]
    run = start(routed(routes))
    assert get(run, "/", ["x-BETA: yes"])[2] == b"api"
    assert get(run, "/", ["X-Beta: no"])[2] == b"web"
    assert get(run, "/", ["Cookie: a=1; group=b"])[2] == b"api"
    assert get(run, "/", ["Cookie: group=c"])[2] == b"web"


def test_a_split_by_cookie_keeps_its_user(start: Start, routed: Callable[..., Plan], get: Get) -> None:
    run = start(routed([Route(split={"web": 1, "api": 1}, split_key="cookie:user")]))
    groups = {user: get(run, "/", [f"Cookie: user={user}"])[2] for user in "abcdefgh"}
    assert set(groups.values()) == {b"web", b"api"}
    assert {user: get(run, "/", [f"Cookie: user={user}"])[2] for user in "abcdefgh"} == groups


@pytest.mark.parametrize("path", ["/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public//admin"])
def test_a_path_that_reads_two_ways_reaches_nobody(
    watched: Watched, routed: Callable[..., Plan], connect: Connect, path: str
) -> None:
    run, watch = watched(routed([Route("api", path="/public"), Route(respond=Respond(403), path="/admin")]))
    peer = connect(run)
    peer.send(f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
    status, _, body = peer.answer()
    assert status == 400
    assert b"ambiguous path" in body
    assert watch.until(Rejected).status == 400
    peer.send(b"GET /%70ublic HTTP/1.1\r\nHost: lab\r\n\r\n")
    assert peer.answer()[2] == b"api", "and the connection goes on"
