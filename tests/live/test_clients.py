from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from lbtutor.core import Act, Fault, ListenerConfig, Plan, Seconds, Sticky, Traffic
from lbtutor.core.events import Arrived, Exchanged, Finished, Picked
from lbtutor.core.workload import arrivals, client_address
from lbtutor.live import stage as stage_module
from lbtutor.live.addresses import Address, client_address_mode
from lbtutor.live.clients import Clients
from lbtutor.live.clock import Clock
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Server, Watch

Watched = Callable[..., "tuple[LiveRun, Watch]"]
LabPlan = Callable[..., Plan]

TRAFFIC = Traffic("front", 40.0, clients=5, path="/cart", host="shop")


@pytest.mark.parametrize("mode", ["loopback", "header"])
def test_every_arrival_is_sent_at_its_time_from_its_own_address(
    watched: Watched, lab_plan: LabPlan, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    if mode == "loopback" and client_address_mode() != "loopback":
        pytest.skip("this machine has no addresses for clients but 127.0.0.1")
    monkeypatch.setattr(stage_module, "client_address_mode", lambda: mode)
    run, watch = watched(lab_plan("ab", traffic=(TRAFFIC,), lasts=Seconds(3), seed=5, speed=10, drain=Seconds(5)))
    assert run.ended.wait(20)
    arrived = watch.all(Arrived)
    expected = list(arrivals((TRAFFIC,), 5, 3.0))
    assert len(arrived) == len(expected) > 80
    for event, arrival in zip(arrived, expected, strict=True):
        assert arrival.at <= event.at < arrival.at + 3
        assert (event.host, event.path, event.method) == ("shop", "/cart", "GET")
    assert {event.client for event in arrived} == {client_address(client) for client in range(5)}
    assert sum(event.client == "127.0.1.3" for event in arrived) == sum(arrival.client == 2 for arrival in expected)
    assert run.complaints == {}


def test_clients_do_not_wait_for_earlier_answers(watched: Watched, lab_plan: LabPlan) -> None:
    plan = lab_plan("a", traffic=(Traffic("front", 50.0, clients=1),), lasts=Seconds(1), speed=5, drain=Seconds(1))
    run, watch = watched(plan, held=True)
    run.act(Fault("hang", "web", "a"))
    run.resume()
    assert run.ended.wait(20)
    assert len(watch.all(Arrived)) == len(list(arrivals(plan.traffic, plan.seed, 1.0)))
    assert {event.outcome for event in watch.all(Finished)} == {"the client left first"}


def test_a_client_opens_another_connection_when_all_are_busy_and_uses_them_again(
    watched: Watched, lab_plan: LabPlan
) -> None:
    run, watch = watched(lab_plan("a", traffic=(Traffic("front", 20.0, arrivals="steady", clients=1),)), held=True)
    run.act(Fault("hang", "web", "a"))
    run.resume()
    watch.until(Arrived, count=3)
    run.pause()
    stage: Any = run._stage
    busy = len(stage._clients.connections)
    assert busy >= 3
    run.act(Fault("heal", "web", "a"))
    run.resume()
    watch.until(Finished, count=busy + 5)
    assert len(stage._clients.connections) == busy


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
def test_methods_are_sent_and_their_answers_read_to_the_end(watched: Watched, lab_plan: LabPlan, method: str) -> None:
    traffic = Traffic("front", 20.0, arrivals="steady", clients=1, method=method)
    run, watch = watched(lab_plan("a", traffic=(traffic,), lasts=Seconds(1), speed=5, drain=Seconds(5)))
    assert run.ended.wait(20)
    assert [event.method for event in watch.all(Arrived)] == [method] * 19
    assert all(event.status == 200 for event in watch.all(Finished))
    assert run.complaints == {}


def test_a_connection_that_cannot_be_made_is_noted(lab_plan: LabPlan) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = Address("127.0.0.1", listening.getsockname()[1])
    plan = lab_plan("a", traffic=(Traffic("front", 10.0, "steady", 1),), lasts=Seconds(0.35))

    async def scene() -> Clients:
        loop = asyncio.get_running_loop()
        clock = Clock(100)
        clients = Clients(loop, clock, plan, {"front": nobody}, "header")
        clock.start(loop)
        clients.start()
        while clients.complaints.total() < 3:
            await loop.run_in_executor(None, lambda: None)
        return clients

    clients = asyncio.run(scene())
    assert clients.complaints == {"no connection to front: connection refused": 3}
    assert clients.waiting == 0


def test_what_a_rule_says_is_sent_along_arrives_at_the_backend(
    server: Callable[..., Server], watched: Watched, proxy_plan: LabPlan
) -> None:
    heads: list[bytes] = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            heads.append(request[0])
            gifts = b"Set-Cookie: seen=1; Max-Age=3\r\nSet-Cookie: elsewhere=2; Path=/no\r\n"
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n" % gifts)

    traffic = Traffic("front", 2.0, "steady", 1, path="/cart", header={"X-Group": "b", "Cookie": "own=0"})
    plan = replace(
        proxy_plan(server(script).address), traffic=(traffic,), lasts=Seconds(2.1), speed=10, drain=Seconds(5)
    )
    run, _ = watched(plan)
    assert run.ended.wait(20)
    assert all(b"X-Group: b\r\n" in head for head in heads)
    cookies = [line for head in heads for line in head.split(b"\r\n") if line.startswith(b"Cookie")]
    assert cookies == [b"Cookie: own=0", *[b"Cookie: own=0; seen=1"] * 3]
    assert run.complaints == {}


def test_cookies_go_stale_in_scenario_time(
    server: Callable[..., Server], watched: Watched, proxy_plan: LabPlan
) -> None:
    shown: list[bool] = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            shown.append(b"Cookie: a=1" in request[0])
            gift = b"" if shown[-1] else b"Set-Cookie: a=1; Max-Age=5\r\n"
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n" % gift)

    traffic = Traffic("front", 0.5, "steady", 1)
    plan = replace(
        proxy_plan(server(script).address), traffic=(traffic,), lasts=Seconds(15), speed=30, drain=Seconds(5)
    )
    run, _ = watched(plan)
    assert run.ended.wait(20)
    assert shown == [False, True, True, False, True, True, False]


def test_a_client_that_keeps_no_cookies_shows_none(watched: Watched, lab_plan: LabPlan) -> None:
    traffic = Traffic("front", 20.0, "steady", 1, cookies=False)
    plan = lab_plan("ab", traffic=(traffic,), sticky=Sticky(cookie="SERVER"), lasts=Seconds(0.52), drain=Seconds(5))
    run, watch = watched(plan)
    assert run.ended.wait(20)
    assert [event.because for event in watch.all(Picked)] == ["algorithm"] * 10


def test_behind_a_bare_door_each_request_has_a_connection_of_its_own(watched: Watched, lab_plan: LabPlan) -> None:
    door = ListenerConfig("front", mode="tcp", pool="web")
    traffic = Traffic("front", 20.0, "steady", 1)
    run, watch = watched(lab_plan("ab", listeners=(door,), traffic=(traffic,), lasts=Seconds(0.52), drain=Seconds(5)))
    assert run.ended.wait(20)
    assert [(event.method, event.client) for event in watch.all(Arrived)] == [("TCP", "127.0.1.1")] * 10
    assert {event.outcome for event in watch.all(Finished)} == {"ended well"}
    assert run.complaints == {}


@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_where_a_door_wants_to_be_told_who_comes_clients_say_so(
    watched: Watched, lab_plan: LabPlan, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    monkeypatch.setattr(stage_module, "client_address_mode", lambda: "header")
    door = ListenerConfig("front", mode=mode, pool="web", accept_proxy=True)
    traffic = Traffic("front", 20.0, "steady", 2)
    run, watch = watched(lab_plan("a", listeners=(door,), traffic=(traffic,), lasts=Seconds(0.32), drain=Seconds(5)))
    assert run.ended.wait(20)
    assert [event.client for event in watch.all(Arrived)] == ["127.0.1.1", "127.0.1.2"] * 3
    assert run.complaints == {}


def test_a_crowd_keeps_only_so_many_idle_connections(watched: Watched, lab_plan: LabPlan) -> None:
    crowd = Traffic("front", 300.0, arrivals="steady", clients=300)
    run, watch = watched(lab_plan("a", traffic=(crowd,), lasts=Seconds(2), drain=Seconds(0)))
    watch.until(Finished, count=400)
    stage: Any = run._stage
    assert len(stage._clients.connections) < 160


RAW = ListenerConfig("front", mode="tcp", pool="web")


def series(requests: int, pause: float) -> Traffic:
    """One client, who comes once."""
    return Traffic("front", 10.0, "steady", 1, stop=Seconds(0.15), requests=requests, pause=Seconds(pause))


def test_a_series_at_a_tcp_door_is_one_connection_and_its_client_tells_of_each_answer(
    watched: Watched, lab_plan: LabPlan
) -> None:
    plan = lab_plan("ab", listeners=(RAW,), traffic=(series(4, 0.05),), lasts=Seconds(2), speed=5, drain=Seconds(5))
    run, watch = watched(plan)
    assert run.ended.wait(20)
    exchanged = [(event.pool, event.backend, event.status) for event in watch.all(Exchanged)]
    assert exchanged == [("web", "a", 200)] * 4
    assert [event.outcome for event in watch.all(Finished)] == ["ended well"]
    assert run.complaints == {}


def test_a_series_at_an_http_door_is_balanced_request_by_request(watched: Watched, lab_plan: LabPlan) -> None:
    plan = lab_plan("ab", traffic=(series(4, 0.05),), lasts=Seconds(2), speed=5, drain=Seconds(5))
    run, watch = watched(plan)
    assert run.ended.wait(20)
    assert [event.backend for event in watch.all(Picked)] == ["a", "b", "a", "b"]
    assert watch.all(Exchanged) == []


def test_at_the_end_who_pauses_leaves_and_its_connection_ended_well(watched: Watched, lab_plan: LabPlan) -> None:
    plan = lab_plan("a", listeners=(RAW,), traffic=(series(9, 50),), lasts=Seconds(1), speed=5, drain=Seconds(20))
    run, watch = watched(plan)
    assert run.ended.wait(20)
    assert len(watch.all(Exchanged)) == 1
    (end,) = watch.all(Finished)
    assert (end.outcome, end.at < 10) == ("ended well", True)


def test_a_crash_in_a_pause_ends_the_series_at_a_tcp_door(watched: Watched, lab_plan: LabPlan) -> None:
    act = Act(1.0, Fault("crash", "web", "a"))
    plan = lab_plan("a", listeners=(RAW,), traffic=(series(9, 2),), acts=(act,), lasts=Seconds(4), speed=5)
    run, watch = watched(plan)
    assert run.ended.wait(20)
    assert len(watch.all(Exchanged)) == 1
    assert [event.outcome for event in watch.all(Finished)] == ["broke off in mid-answer"]
    assert run.complaints == {}


def test_a_client_of_an_http_door_goes_on_with_another_connection_when_its_own_was_closed(
    watched: Watched, lab_plan: LabPlan
) -> None:
    door = ListenerConfig("front", idle_timeout=Seconds(0.5))
    plan = lab_plan("a", listeners=(door,), traffic=(series(3, 2),), lasts=Seconds(8), speed=5, drain=Seconds(5))
    run, watch = watched(plan)
    assert run.ended.wait(20)
    assert len(watch.all(Finished)) == 3
    assert run.complaints == {}
