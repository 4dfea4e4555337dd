from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from lbtutor.core import BackendConfig, EnvironmentFault, ListenerConfig, Plan, PoolConfig, Seconds
from lbtutor.core.events import Arrived, Drained, Finished, Queued, Rejected
from lbtutor.core.messages import Drain, Remove
from lbtutor.live.addresses import Address
from lbtutor.live.run import LiveRun
from lbtutor.live.udp import datagram_socket

Begin = Callable[..., tuple[LiveRun, Any]]
Eventually = Callable[[Callable[[], object]], None]


class UdpServer:
    """Answers each datagram with its name and what it heard; counts the addresses that it heard from."""

    def __init__(self, name: bytes) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._name = name
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.heard: list[bytes] = []
        self.callers: set[Any] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                data, caller = self._socket.recvfrom(65_535)
                if data == b"\0close" and caller[1] == self._socket.getsockname()[1]:
                    break
                self.heard.append(data)
                self.callers.add(caller)
                self._socket.sendto((self._name + b":" + data)[:65_507], caller)
        self._socket.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.sendto(b"\0close", self._socket.getsockname())
        self._thread.join(20)


@pytest.fixture
def udp_server() -> Iterator[Callable[[bytes], UdpServer]]:
    servers: list[UdpServer] = []

    def start(name: bytes) -> UdpServer:
        servers.append(UdpServer(name))
        return servers[-1]

    yield start
    for one in servers:
        one.close()


@pytest.fixture
def client() -> Iterator[Callable[..., socket.socket]]:
    """A client's socket that speaks to a run's door only."""
    sockets: list[socket.socket] = []

    def connect(run: LiveRun, source: str = "127.0.0.1") -> socket.socket:
        host, _, port = run.addresses["front"].rpartition(":")
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sockets.append(one)
        one.settimeout(20)
        one.bind((source, 0))
        one.connect((host, int(port)))
        return one

    yield connect
    for one in sockets:
        one.close()


def plan(*addresses: str, drain: float = 0, limit: int | None = None, queue: float | None = None, **door: Any) -> Plan:
    backends = tuple(
        BackendConfig(name, address=address, limit=limit) for name, address in zip("abc", addresses, strict=False)
    )
    pool = PoolConfig("dns", backends=backends, queue=None if queue is None else Seconds(queue))
    listener = ListenerConfig("front", mode="udp", pool="dns", **door)
    return Plan((listener,), (), (pool,), lasts=Seconds(float("inf")), drain=Seconds(drain))


def ask(sock: socket.socket, data: bytes) -> bytes:
    sock.send(data)
    return sock.recv(65_535)


def free_port() -> str:
    """The address of a port that refuses datagrams, surely enough."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"


def test_datagrams_of_one_client_are_one_session_at_one_backend(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    servers = [udp_server(b"a"), udp_server(b"b")]
    run, watch = watched(plan(*(one.address for one in servers)))
    one = client(run, "127.0.0.9")
    assert [ask(one, b"1"), ask(one, b"2"), ask(one, b"3")] == [b"a:1", b"a:2", b"a:3"]
    assert ask(client(run), b"4") == b"b:4"
    arrived, _ = watch.all(Arrived)
    assert (arrived.method, arrived.client, arrived.path) == ("UDP", "127.0.0.9", "")
    assert [len(one.callers) for one in servers] == [1, 1]
    assert [backend.in_flight for backend in run.snapshot()[0].backends] == [1, 1]


def test_another_port_of_the_same_client_is_another_session(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, _ = watched(plan(udp_server(b"a").address, udp_server(b"b").address))
    assert [ask(client(run), b"x"), ask(client(run), b"x")] == [b"a:x", b"b:x"]


def test_an_idle_session_ends_in_peace_and_the_next_datagram_begins_another(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan(udp_server(b"a").address, udp_server(b"b").address, idle_timeout=Seconds(0.05)))
    one = client(run)
    assert ask(one, b"1") == b"a:1"
    finished = watch.until(Finished)
    assert (finished.outcome, finished.ok) == ("ended well", True)
    assert finished.took >= 0.05
    assert ask(one, b"2") == b"b:2"


@pytest.mark.parametrize("size", [0, 1, 1500, 65_507])
def test_a_datagram_of_any_size_arrives_whole(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket], size: int
) -> None:
    server = udp_server(b"a")
    run, _ = watched(plan(server.address))
    assert ask(client(run), bytes(size)) == (b"a:" + bytes(size))[:65_507]
    assert server.heard == [bytes(size)]


def test_a_refused_session_is_over_and_the_next_datagram_picks_anew(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan(free_port(), udp_server(b"b").address))
    one = client(run)
    one.send(b"lost")
    finished = watch.until(Finished)
    assert (finished.backend, finished.outcome, finished.final) == ("a", "connection refused", True)
    assert ask(one, b"2") == b"b:2"


def test_a_refusal_that_comes_back_with_the_next_datagram_is_heard_as_well(
    watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan(free_port()))
    one = client(run)
    run.pause()
    one.send(b"this is refused")
    one.send(b"and this is told so")
    run.resume()
    assert watch.until(Finished).outcome == "connection refused"


def test_the_datagram_that_finds_its_session_over_begins_another(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    server = udp_server(b"a")
    run, watch = watched(plan(server.address, udp_server(b"b").address))
    one = client(run)
    assert ask(one, b"1") == b"a:1"
    server.close()
    run.pause()
    one.send(b"2")
    one.send(b"3")
    run.resume()
    assert one.recv(100) == b"b:3"
    assert watch.until(Finished).outcome == "broke off in mid-answer"


def test_a_client_that_keeps_sending_keeps_its_session_though_nobody_answers(
    watched: Begin, client: Callable[..., socket.socket], eventually: Eventually
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        run, _ = watched(plan(f"127.0.0.1:{silent.getsockname()[1]}"))
        assert run._stage is not None
        (front,) = run._stage.doors.fronts
        one = client(run)
        one.send(b"1")
        assert silent.recv(100) == b"1"
        (session,) = front.guests
        before = session._alarm._deadline  # type: ignore[union-attr]  # a Session
        one.send(b"2")
        assert silent.recv(100) == b"2"
        assert session._alarm._deadline > before  # type: ignore[union-attr]  # put off


def test_a_server_that_dies_in_mid_session_cuts_it(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    server = udp_server(b"a")
    run, watch = watched(plan(server.address))
    one = client(run)
    assert ask(one, b"1") == b"a:1"
    server.close()
    one.send(b"2")
    assert watch.until(Finished).outcome == "broke off in mid-answer"


def test_at_the_limit_strangers_are_dropped_and_those_who_are_here_stay(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan(udp_server(b"a").address, max_connections=1))
    here, stranger = client(run), client(run)
    assert ask(here, b"1") == b"a:1"
    stranger.send(b"let me in")
    assert ask(here, b"2") == b"a:2"
    assert len(watch.all(Arrived)) == 1


def test_where_nobody_is_available_the_datagram_is_dropped(
    watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan())
    client(run).send(b"anybody?")
    assert watch.until(Rejected).status == 503


def test_datagrams_wait_with_their_session_for_a_free_backend(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan(udp_server(b"a").address, limit=1, queue=20, idle_timeout=Seconds(0.3)))
    assert ask(client(run), b"first") == b"a:first"
    second = client(run)
    second.send(b"1")
    second.send(b"2")
    watch.until(Queued)
    assert {second.recv(100), second.recv(100)} == {b"a:1", b"a:2"}
    assert len(watch.all(Arrived)) == 2


def test_the_end_of_a_drain_ends_the_sessions(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan(udp_server(b"a").address, udp_server(b"b").address))
    one = client(run)
    assert ask(one, b"1") == b"a:1"
    run.act(Drain("dns", "a", within=Seconds(0.05)))
    watch.until(Drained)
    assert watch.until(Finished).outcome == "broke off in mid-answer"
    assert ask(one, b"2") == b"b:2"


def test_a_session_outlives_the_removal_of_its_backend(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, _ = watched(plan(udp_server(b"a").address, udp_server(b"b").address))
    one = client(run)
    assert ask(one, b"1") == b"a:1"
    run.act(Remove("dns", "a"))
    assert ask(one, b"2") == b"a:2"
    assert ask(client(run), b"3") == b"b:3"


def test_a_run_that_stops_serves_its_sessions_until_they_are_idle(
    udp_server: Callable[[bytes], UdpServer],
    watched: Begin,
    client: Callable[..., socket.socket],
    eventually: Eventually,
) -> None:
    run, watch = watched(plan(udp_server(b"a").address, drain=20, idle_timeout=Seconds(0.3)))
    assert run._stage is not None
    (front,) = run._stage.doors.fronts
    one, stranger = client(run), client(run)
    assert ask(one, b"1") == b"a:1"
    stopping = threading.Thread(target=run.stop)
    stopping.start()
    eventually(lambda: not front.door.takes_new)  # type: ignore[union-attr]  # a UdpFront
    stranger.send(b"let me in")
    assert ask(one, b"2") == b"a:2"
    stopping.join(20)
    assert len(watch.all(Arrived)) == 1
    with pytest.raises(ConnectionRefusedError):
        ask(stranger, b"too late")
    assert [finished.outcome for finished in watch.all(Finished)] == ["ended well"]


def test_a_run_that_stops_at_once_ends_its_sessions_and_frees_the_port(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    run, watch = watched(plan(udp_server(b"a").address))
    one = client(run)
    assert ask(one, b"1") == b"a:1"
    run.stop()
    assert watch.until(Finished).outcome == "the client left first"
    datagram_socket(Address.parse(run.addresses["front"], "front"), "listener front").close()


def test_a_port_in_use_is_named_with_its_owner_and_cause() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = Address(*taken.getsockname())
        with pytest.raises(EnvironmentFault, match=f"listener dns cannot listen on {address}: address already in use"):
            datagram_socket(address, "listener dns")


def test_a_session_closes_its_socket(
    udp_server: Callable[[bytes], UdpServer],
    watched: Begin,
    client: Callable[..., socket.socket],
    eventually: Eventually,
) -> None:
    run, watch = watched(plan(udp_server(b"a").address, idle_timeout=Seconds(0.05)))
    assert run._stage is not None
    (front,) = run._stage.doors.fronts
    assert ask(client(run), b"1") == b"a:1"
    (session,) = front.guests
    watch.until(Finished)
    eventually(lambda: not front.connections)
    assert session._socket is None  # type: ignore[union-attr]  # a Session


def test_a_port_goes_on_under_other_rules(
    udp_server: Callable[[bytes], UdpServer], watched: Begin, client: Callable[..., socket.socket]
) -> None:
    before = plan(udp_server(b"a").address)
    run, watch = watched(before)
    one = client(run)
    assert ask(one, b"1") == b"a:1"
    (listener,) = before.listeners
    run.reconfigure(replace(before, listeners=(replace(listener, idle_timeout=Seconds(0.05)),)))
    assert ask(one, b"2") == b"a:2"
    assert watch.until(Finished).outcome == "ended well"
    run.reconfigure(replace(before, listeners=(replace(listener, name="other"),)))
    with pytest.raises(ConnectionRefusedError):
        ask(one, b"3")
