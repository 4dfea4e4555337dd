"""Listeners that come, go and change while others are served: a reload as clients see it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from lbtutor.core import BackendConfig, ConfigError, EnvironmentFault, ListenerConfig, Plan, PoolConfig, Route, Seconds
from lbtutor.core.events import Finished, Joined, Left, Picked, Reloaded
from lbtutor.live.run import LiveRun

Serve = Callable[..., Any]
Watched = Callable[..., tuple[LiveRun, Any]]
ProxyPlan = Callable[..., Plan]
Connect = Callable[..., Any]
Get = Callable[..., tuple[int, dict[str, str], bytes]]

ASK = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"


def says(name: bytes) -> Callable[[Any], None]:
    """A script: the server says its name to every request of a connection."""

    def script(peer: Any) -> None:
        while peer.read_request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    return script


def at(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def is_closed(address: str) -> bool:
    try:
        at(address).close()
    except ConnectionRefusedError:
        return True
    return False


def with_doors(plan: Plan, *listeners: ListenerConfig) -> Plan:
    return replace(plan, listeners=listeners)


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


def test_a_listener_that_is_new_opens_and_the_others_stay_where_they_are(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, get: Get
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    before = run.addresses["front"]
    run.reconfigure(with_doors(plan, ListenerConfig("front"), ListenerConfig("side")))
    assert run.addresses["front"] == before
    with at(run.addresses["side"]) as client:
        client.sendall(ASK)
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert get(run)[2] == b"a"


def test_a_listener_that_is_gone_is_closed_and_its_connections_end_with_their_next_answer(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, connect: Connect
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    idle = connect(run)
    idle.send(ASK)
    assert "connection" not in idle.answer()[1]
    before = run.addresses["front"]
    run.reconfigure(with_doors(plan, ListenerConfig("other")))
    assert is_closed(before)
    assert list(run.addresses) == ["other"]
    idle.send(ASK)
    status, fields, _ = idle.answer()
    assert (status, fields["connection"]) == (200, "close")
    assert idle.rest() == b""


def test_another_address_is_opened_before_the_old_one_closes_and_nobody_is_cut_off(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, connect: Connect
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    busy = connect(run)
    busy.send(ASK[:-2])  # in the middle of its head
    run.snapshot()
    before = run.addresses["front"]
    run.reconfigure(with_doors(plan, ListenerConfig("front", at="127.0.0.2:0")))
    assert run.addresses["front"].startswith("127.0.0.2:")
    assert is_closed(before)
    busy.send(ASK[-2:])
    assert busy.answer()[0] == 200


def test_other_rules_at_the_same_address_are_for_those_who_come_after(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, connect: Connect
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    old = connect(run)
    old.send(ASK)
    old.answer()
    before = run.addresses["front"]
    run.reconfigure(with_doors(plan, ListenerConfig("front", max_header_bytes=64)))
    assert run.addresses["front"] == before
    long = b"GET / HTTP/1.1\r\nHost: lab\r\nX-Long: " + b"x" * 100 + b"\r\n\r\n"
    old.send(long)
    assert old.answer()[0] == 200
    new = connect(run)
    new.send(long)
    assert new.answer()[0] == 431


def test_two_listeners_may_change_places(server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(with_doors(plan, ListenerConfig("one"), ListenerConfig("two", at="127.0.0.2:0")))
    one, two = run.addresses["one"], run.addresses["two"]
    run.reconfigure(with_doors(plan, ListenerConfig("one", at=two), ListenerConfig("two", at=one)))
    assert run.addresses == {"one": two, "two": one}


def test_a_listener_may_be_given_the_very_port_that_it_got_for_port_0(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, get: Get, taken: str
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    before = run.addresses["front"]
    run.reconfigure(with_doors(plan, ListenerConfig("front", at=before)))
    assert run.addresses["front"] == before
    assert get(run)[2] == b"a"
    run.reconfigure(with_doors(plan, ListenerConfig("renamed", at=before)))
    assert run.addresses == {"renamed": before}
    with pytest.raises(EnvironmentFault, match=f"listener renamed cannot listen on {taken}"):
        run.reconfigure(with_doors(plan, ListenerConfig("renamed", at=taken)))


def test_an_address_that_cannot_be_had_changes_nothing_at_all(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, get: Get, taken: str
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run, watch = watched(plan)
    addresses = run.addresses
    other = PoolConfig("web", backends=(BackendConfig("z", address="127.0.0.1:9"),))
    wrong = replace(
        with_doors(plan, ListenerConfig("new"), ListenerConfig("front", at=taken)), pools=(other,), drain=Seconds(9)
    )
    with pytest.raises(EnvironmentFault, match=f"listener front cannot listen on {taken}: address already in use"):
        run.reconfigure(wrong)
    assert run.addresses == addresses
    assert run.plan == plan
    assert get(run)[2] == b"a"
    assert not watch.all(Left, Reloaded)


def test_pools_that_make_no_sense_open_no_door(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, get: Get
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    wrong = replace(with_doors(plan, ListenerConfig("new", at=place)), routes=(Route("nowhere"),))
    with pytest.raises(ConfigError, match="nowhere"):
        run.reconfigure(wrong)
    assert is_closed(place)
    assert get(run)[2] == b"a"


def test_members_are_exchanged_and_what_is_under_way_at_one_that_left_still_ends(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, get: Get
) -> None:
    def one_by_one(peer: Any) -> None:
        for _ in range(2):
            peer.read_request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            peer.read_request()

    a, b = server(one_by_one), server(says(b"b"))
    run, watch = watched(proxy_plan(a.address))
    busy = connect(run)
    busy.send(ASK)
    assert busy.read_head().startswith(b"HTTP/1.1 200")
    assert run.reconfigure(proxy_plan(b.address)) == "pool web: a has another address"
    assert watch.until(Left, backend="a").in_flight == 1
    assert [event.backend for event in watch.all(Joined)] == ["a", "a"]
    assert watch.until(Reloaded).because == "pool web: a has another address"
    assert get(run)[2] == b"b"
    a.peers[0].send(b"!")
    assert busy.read(2) == b"a!"
    assert watch.until(Finished, request=1).status == 200


def test_timeouts_and_limits_of_a_pool_are_those_of_the_new_plan(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, get: Get
) -> None:
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"]

    def once(peer: Any) -> None:
        peer.read_request()
        if answers:  # whoever hears it may ask again at once
            peer.send(answers.pop())
        peer.rest()

    address = server(once).address
    run = start(proxy_plan(address, response_timeout=Seconds(600)))
    assert get(run)[0] == 200
    run.reconfigure(proxy_plan(address, response_timeout=Seconds(0.05)))
    assert get(run)[0] == 504


def test_connections_to_a_backend_that_stays_are_kept(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, get: Get
) -> None:
    kept, other = server(says(b"kept")), server(says(b"other"))
    run = start(proxy_plan(kept.address))
    get(run)
    run.reconfigure(proxy_plan(kept.address, other.address))
    assert {get(run)[2] for _ in range(4)} == {b"kept", b"other"}
    assert len(kept.peers) == 1


def test_a_client_that_knocked_at_a_closing_door_is_let_in(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    run.pause()  # nobody accepts, and the kernel lets clients stand in line
    waiting = [at(run.addresses["front"]) for _ in range(5)]
    run.reconfigure(with_doors(plan, ListenerConfig("other")))
    run.resume()
    for client in waiting:
        with client:
            client.sendall(ASK)
            assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_connections_are_counted_by_the_door_that_they_came_through(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, connect: Connect
) -> None:
    plan = proxy_plan(server(says(b"a")).address)
    run = start(plan)
    client = connect(run)
    client.send(ASK)
    client.answer()
    assert dict(run.connections.of_clients) == {"front": 1}
    assert run.connections.to_backends == 1
    run.reconfigure(with_doors(plan, ListenerConfig("other")))
    assert dict(run.connections.of_clients) == {"other": 0, "front": 1}


def test_a_run_that_is_ending_takes_no_other_plan(
    server: Serve, watched: Watched, proxy_plan: ProxyPlan, connect: Connect, eventually: Callable[..., None]
) -> None:
    released = threading.Event()

    def slow(peer: Any) -> None:
        peer.read_request()
        released.wait(20)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")

    plan = proxy_plan(server(slow).address, drain=20)
    run, watch = watched(plan)
    client = connect(run)
    client.send(ASK)
    watch.until(Picked)
    stopping = threading.Thread(target=run.stop)
    stopping.start()
    eventually(lambda: run.is_ending)
    with pytest.raises(EnvironmentFault, match="it is ending"):
        run.reconfigure(plan)
    released.set()
    assert client.answer()[0] == 200
    stopping.join(20)
    with pytest.raises(EnvironmentFault, match="it is ending"):
        run.reconfigure(plan)


def test_fifty_reloads_lose_no_request(
    server: Serve, start: Callable[..., LiveRun], proxy_plan: ProxyPlan, connect: Connect
) -> None:
    a, b = server(says(b"a")), server(says(b"b"))
    plans = [
        proxy_plan(a.address, b.address),
        proxy_plan(b.address),
        proxy_plan(a.address, algorithm="least_connections"),
        proxy_plan(b.address, a.address, listener=ListenerConfig("front", idle_timeout=Seconds(30))),
    ]
    run = start(plans[0])
    client = connect(run)
    for count in range(1, 51):
        client.send(ASK)
        run.reconfigure(plans[count % len(plans)])
        status, fields, _ = client.answer()
        assert status == 200
        if fields.get("connection") == "close":
            client = connect(run)
