"""The admin API on its socket: who may reach it, and what it puts up with."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from threading import Event
from typing import Any

import pytest

from lbtutor.core import ConfigError, EnvironmentFault, Plan
from lbtutor.live.admin import Admin
from lbtutor.live.admin_server import MOST_BODY_BYTES, MOST_CONNECTIONS, AdminServer
from lbtutor.live.run import LiveRun


@pytest.fixture
def run(start: Callable[..., LiveRun], proxy_plan: Callable[..., Plan]) -> LiveRun:
    return start(proxy_plan("127.0.0.1:9"))


@pytest.fixture
def open_at(run: LiveRun, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AdminServer]]:
    """Open an admin API for the run there."""
    monkeypatch.setattr("lbtutor.live.admin_server._LOOK_EVERY", 0.002)
    with ExitStack() as stack:

        def begin(at: str = "127.0.0.1:0", **more: Any) -> AdminServer:
            return stack.enter_context(AdminServer(Admin(run), at, **more))

        yield begin


@pytest.fixture
def api(open_at: Callable[..., AdminServer]) -> AdminServer:
    return open_at()


def ask(
    api: AdminServer, method: str = "GET", path: str = "/ready", body: bytes | None = None, **fields: str
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(str(api.address), timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def say(api: AdminServer, *pieces: bytes) -> bytes:
    """Send raw bytes; everything that comes back until it closes."""
    with socket.create_connection(api.address, timeout=20) as client:
        client.sendall(b"".join(pieces))
        client.shutdown(socket.SHUT_WR)
        received = b""
        while piece := client.recv(65_536):
            received += piece
        return received


def test_it_answers_json_and_keeps_the_connection(api: AdminServer) -> None:
    connection = HTTPConnection(str(api.address), timeout=20)
    for _ in range(2):
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Content-Type")) == (200, "application/json")
        assert json.loads(answer.read())["ready"] is True
    assert connection.sock is not None
    connection.close()


def test_without_file_descriptors_it_rests_between_two_tries_and_recovers(api: AdminServer) -> None:
    rested = Event()

    class Rest(Event):
        def wait(self, timeout: float | None = None) -> bool:
            rested.set()
            return super().wait(timeout)

    api._server.stopping = Rest()
    connection = HTTPConnection(str(api.address), timeout=20)
    with socket.socket() as client:
        with no_more_descriptors():
            client.connect(api.address)
            assert rested.wait(20)
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200
    connection.close()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """This process has those that it has, and can open no other."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_command_reaches_the_balancer(api: AdminServer, run: LiveRun) -> None:
    assert ask(api, "PUT", "/pools/web/backends/a/weight", b"3")[0] == 200
    assert run.snapshot()[0].backends[0].weight == 3


def test_the_wrong_method_is_405_with_allow(api: AdminServer) -> None:
    status, fields, _ = ask(api, "DELETE", "/ready")
    assert (status, fields["Allow"]) == (405, "GET")


def test_a_method_that_nobody_knows_is_refused_in_json(api: AdminServer) -> None:
    status, _, body = ask(api, "BREW")
    assert status == 501
    assert "BREW" in json.loads(body)["error"]


def test_a_head_has_no_body(api: AdminServer) -> None:
    status, fields, body = ask(api, "HEAD")
    assert (status, body) == (200, b"")
    assert int(fields["Content-Length"]) > 0


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.8.8.8:9", "[::1]:80", "[::1]"])
def test_this_machine_may_be_addressed_by_any_name_that_is_surely_its_own(api: AdminServer, host: str) -> None:
    assert ask(api, Host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.7", "", "127.0.0.1:x", "::1"],
)
def test_a_name_that_somebody_else_could_point_here_is_refused(api: AdminServer, run: LiveRun, host: str) -> None:
    status, _, body = ask(api, "POST", "/pools/web/backends/a/maint", Host=host)
    assert (status, "not as" in json.loads(body)["error"]) == (403, True)
    assert run.snapshot()[0].backends[0].excluded is None


def test_without_a_host_nothing_is_obeyed(api: AdminServer) -> None:
    assert say(api, b"GET /ready HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403 ")
    assert say(api, b"GET /ready HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_web_page_from_elsewhere_is_not_obeyed(api: AdminServer, run: LiveRun, fields: dict[str, str]) -> None:
    assert ask(api, "POST", "/pools/web/backends/a/maint", None, Host="localhost", **fields)[0] == 403
    assert run.snapshot()[0].backends[0].excluded is None


def test_a_page_that_came_from_here_is(api: AdminServer) -> None:
    assert ask(api, Host="localhost:1", Origin="http://localhost:1", Sec_Fetch_Site="same-origin")[0] == 200


def test_a_body_that_is_too_long_or_of_unknown_length_is_not_read(api: AdminServer) -> None:
    head = b"POST /reload HTTP/1.1\r\nHost: localhost\r\n"
    assert say(api, head, b"Content-Length: %d\r\n\r\n" % (MOST_BODY_BYTES + 1)).startswith(b"HTTP/1.1 413 ")
    assert say(api, head, b"Content-Length: 99999999999999999999\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert say(api, head, b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").startswith(b"HTTP/1.1 411 ")
    assert say(api, head, b"Content-Length: -1\r\n\r\n").startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_served(api: AdminServer, nonsense: bytes) -> None:
    received = say(api, nonsense)
    assert b" 4" in received[:40] or b" 5" in received[:40], received
    assert ask(api)[0] == 200


def test_so_many_and_no_more_connections_are_served_at_once(api: AdminServer) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(api.address, 20)) for _ in range(MOST_CONNECTIONS)]
        for client in idle:
            client.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        surplus = stack.enter_context(socket.create_connection(api.address, 20))
        assert surplus.recv(1) == b""


def test_beyond_loopback_it_opens_only_on_purpose(open_at: Callable[..., AdminServer]) -> None:
    with pytest.raises(ConfigError, match="add --expose-admin if that is what you mean"):
        open_at("0.0.0.0:0")
    api = open_at("0.0.0.0:0", exposed=True)
    assert ask(api, Host="192.0.2.7:80")[0] == 200
    assert ask(api, Host="evil.example")[0] == 403


def test_an_address_in_use_is_a_fault_that_says_so(api: AdminServer, open_at: Callable[..., AdminServer]) -> None:
    with pytest.raises(EnvironmentFault, match=f"the admin API cannot listen on {api.address}: address already in use"):
        open_at(str(api.address))


def test_a_bug_in_an_answer_is_told_and_costs_nobody_else_anything(
    api: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(Admin, "answer", broken)
        status, _, body = ask(api)
    assert (status, json.loads(body)) == (500, {"error": "a bug in lbtutor: LookupError: lost"})
    assert ask(api)[0] == 200


def test_a_held_run_still_answers(api: AdminServer, run: LiveRun) -> None:
    run.pause()
    assert ask(api, "POST", "/pools/web/backends/a/drain")[0] == 200
    run.resume()
