from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from lbtutor.core import Fault, Plan, Seconds, Traffic
from lbtutor.core.events import Arrived, Finished
from lbtutor.core.workload import Arrival, arrivals, client_address
from lbtutor.live import stage as stage_module
from lbtutor.live.addresses import Address, client_address_mode
from lbtutor.live.clients import Clients
from lbtutor.live.clock import Clock
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Watch

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


def test_a_connection_that_cannot_be_made_is_noted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = Address("127.0.0.1", listening.getsockname()[1])

    async def scene() -> Clients:
        loop = asyncio.get_running_loop()
        clock = Clock(100)
        crowd = iter([Arrival(at, 0, "front", "GET", "", "/") for at in (0.1, 0.2, 0.3)])
        clients = Clients(loop, clock, crowd, {"front": nobody}, "header")
        clock.start(loop)
        clients.start()
        while clients.complaints.total() < 3:
            await loop.run_in_executor(None, lambda: None)
        return clients

    clients = asyncio.run(scene())
    assert clients.complaints == {"no connection to front: connection refused": 3}
    assert clients.waiting == 0


def test_a_crowd_keeps_only_so_many_idle_connections(watched: Watched, lab_plan: LabPlan) -> None:
    crowd = Traffic("front", 300.0, arrivals="steady", clients=300)
    run, watch = watched(lab_plan("a", traffic=(crowd,), lasts=Seconds(2), drain=Seconds(0)))
    watch.until(Finished, count=400)
    stage: Any = run._stage
    assert len(stage._clients.connections) < 160
