from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import pytest

from lbtutor.core import Disable, Enable, HealthCheck, Plan, Remove, Seconds
from lbtutor.core.events import HealthChanged, Probed, ProbeSent
from lbtutor.live.proxy_protocol import header
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

Eventually = Callable[[Callable[[], object]], None]
Serve = Callable[["Script"], "Server"]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
ProxyPlan = Callable[..., Plan]

CHECK = HealthCheck(path="/up?x=1", interval=Seconds(2), timeout=Seconds(1), rise=2, fall=2)


def always(answer: bytes) -> Script:
    def script(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.send(answer)

    return script


def hear_out(peer: Peer) -> None:
    peer.rest()


@pytest.mark.parametrize(
    ("answer", "ok", "because"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True, "200"),
        (b"HTTP/1.1 302 Found\r\n\r\n", True, "302"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", True, "204"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False, "404"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False, "503"),
        (b"SSH-2.0-OpenSSH\r\n", False, "not HTTP"),
        (b"HTTP/1.1 20", False, "no answer in 1s"),
        (b"", False, "no answer in 1s"),
    ],
)
def test_a_probe_passes_below_400_and_says_what_it_saw(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, answer: bytes, ok: bool, because: str
) -> None:
    backend = server(always(answer))
    run, watch = watched(proxy_plan(backend.address, health=CHECK), held=True)
    run.set_speed(10)
    run.resume()
    probed = watch.until(Probed)
    assert (probed.ok, probed.because) == (ok, because)
    assert backend.received.startswith(b"GET /up?x=1 HTTP/1.1\r\nHost: %b\r\n" % backend.address.encode())
    assert b"Connection: close\r\n" in backend.received


def test_a_connection_closed_without_a_word_fails_the_probe(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan
) -> None:
    _, watch = watched(proxy_plan(server(lambda peer: None).address, health=CHECK))
    assert watch.until(Probed).because == "closed before an answer"


@pytest.mark.parametrize(("listens", "because"), [(True, "connected"), (False, "connection refused")])
def test_a_probe_that_asks_nothing_passes_when_a_connection_opens(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, listens: bool, because: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    silent = server(hear_out)
    check = HealthCheck(mode="tcp", interval=Seconds(2), timeout=Seconds(1), rise=2, fall=2)
    run, watch = watched(proxy_plan(silent.address if listens else nobody, health=check))
    probed = watch.until(Probed)
    assert (probed.ok, probed.because) == (listens, because)
    run.stop()
    assert silent.received == b""


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_backend_that_is_told_who_comes_hears_that_a_probe_speaks_for_nobody(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, version: Literal["v1", "v2"]
) -> None:
    said = header(version, None, None)

    def strict(peer: Peer) -> None:
        assert peer.read(len(said)) == said
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    backend = server(strict)
    _, watch = watched(proxy_plan(backend.address, health=CHECK, send_proxy=version))
    assert watch.until(Probed).because == "200"
    assert backend.received.startswith(said + b"GET /up?x=1 HTTP/1.1\r\n")


def test_enough_failures_take_a_backend_down_and_enough_passes_bring_it_back(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan
) -> None:
    answers = iter([b"500", b"500", b"200", b"200"] + [b"200"] * 50)

    def as_told(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 %b X\r\nContent-Length: 0\r\n\r\n" % next(answers))

    run, watch = watched(proxy_plan(server(as_told).address, health=CHECK))
    run.set_speed(50)
    assert watch.until(HealthChanged, now="down").because == "2 probes in a row failed, the last with: 500"
    up = watch.until(HealthChanged, now="up")
    assert up.because == "2 probes in a row passed, the last with: 200"
    assert [event.ok for event in watch.all(Probed)[:4]] == [False, False, True, True]


def test_probes_come_one_interval_apart_and_share_it_between_the_members(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan
) -> None:
    backend = server(always(b"HTTP/1.1 200 OK\r\n\r\n"))
    run, watch = watched(proxy_plan(backend.address, backend.address, health=CHECK))
    run.set_speed(6)
    watch.until(ProbeSent, count=6)
    sent = watch.all(ProbeSent)[:6]
    assert [event.backend for event in sent] == ["a", "b"] * 3
    for number, event in enumerate(sent):
        assert number <= event.at < number + 0.9


def test_a_backend_in_maintenance_is_not_probed_until_it_is_back(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, eventually: Eventually
) -> None:
    backend = server(always(b"HTTP/1.1 200 OK\r\n\r\n"))
    run, watch = watched(proxy_plan(backend.address, health=CHECK), held=True)
    run.act(Disable("web", "a"))
    run.set_speed(100)
    run.resume()
    eventually(lambda: run.now > 10)
    assert not watch.all(ProbeSent)
    run.set_speed(1)
    run.act(Enable("web", "a"))
    assert watch.until(Probed).ok


def test_the_result_for_a_backend_that_has_left_is_dropped(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, eventually: Eventually
) -> None:
    run, watch = watched(proxy_plan(server(always(b"")).address, health=CHECK))
    watch.until(ProbeSent)
    run.act(Remove("web", "a"))
    run.set_speed(100)
    was = run.now
    eventually(lambda: run.now > was + 10)
    assert not watch.all(Probed)
    assert run.trouble is None
