"""Datagrams between lab clients and lab machines, through the balancer."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from lbtutor.core import Fault, ListenerConfig, Plan, Seconds, Traffic
from lbtutor.core.events import Arrived, Finished, Picked
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Watch

Eventually = Callable[[Callable[[], object]], None]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
LabPlan = Callable[..., Plan]

DOOR = ListenerConfig("front", mode="udp", pool="web", idle_timeout=Seconds(1))


def crowd(rate: float = 20.0, clients: int = 2, stop: float | None = None) -> tuple[Traffic, ...]:
    return (Traffic("front", rate, "steady", clients, stop=None if stop is None else Seconds(stop)),)


def test_each_client_is_one_session_and_every_datagram_is_echoed(watched: Watched, lab_plan: LabPlan) -> None:
    plan = lab_plan("ab", listeners=(DOOR,), traffic=crowd(), lasts=Seconds(3), speed=10, drain=Seconds(5))
    run, watch = watched(plan)
    assert run.ended.wait(20)
    assert [(event.method, event.client) for event in watch.all(Arrived)] == [
        ("UDP", "127.0.1.1"),
        ("UDP", "127.0.1.2"),
    ]
    assert [event.outcome for event in watch.all(Finished)] == ["ended well"] * 2
    assert run.complaints == {}


def test_a_machine_answers_with_its_name(watched: Watched, lab_plan: LabPlan) -> None:
    run, _ = watched(lab_plan("a", listeners=(DOOR,)))
    host, _, port = run.addresses["front"].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect((host, int(port)))
        client.send(b"hello")
        assert client.recv(100) == b"web/a hello"


def test_a_hung_machine_hears_nothing_and_clients_complain_when_their_patience_is_over(
    watched: Watched, lab_plan: LabPlan, eventually: Eventually
) -> None:
    run, watch = watched(lab_plan("a", listeners=(DOOR,), traffic=crowd(stop=0.12), speed=20), held=True)
    run.act(Fault("hang", "web", "a"))
    run.resume()
    eventually(lambda: run.complaints == {"no echo came": 2})
    assert len(watch.all(Picked)) == 2


def test_a_crash_closes_the_port_and_heal_opens_it_again(
    watched: Watched, lab_plan: LabPlan, eventually: Eventually
) -> None:
    run, watch = watched(lab_plan("a", listeners=(DOOR,), traffic=crowd(clients=1), speed=5))
    watch.until(Picked)
    run.act(Fault("crash", "web", "a"))
    watch.until(Finished, outcome="connection refused")
    run.act(Fault("heal", "web", "a"))
    sessions = len(watch.all(Picked))
    eventually(lambda: len(watch.all(Picked)) > sessions or len(watch.all(Finished)) < len(watch.all(Picked)))
    was = run.now
    eventually(lambda: run.now > was + 2)
    assert len(watch.all(Picked)) - len(watch.all(Finished)) == 1
