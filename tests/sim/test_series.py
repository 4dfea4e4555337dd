"""Several requests on one connection: balanced one by one, or all with the connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from lbtutor.core import Act, Drain, Event, Fault, ListenerConfig, MachineConfig, Plan, Seconds, Service
from lbtutor.core.events import Arrived, Exchanged, Finished, Picked

MakePlan = Callable[..., Plan]
Play = Callable[[Plan], list[Event]]

HTTP = ListenerConfig("front")
TCP = ListenerConfig("front", mode="tcp", pool="web", idle_timeout=Seconds(2))
WORK = Service("constant", 0.5)


@pytest.fixture
def series(make_plan: MakePlan) -> Callable[..., Plan]:
    """A plan in which one client comes at 1.0 s (others each second, until `stop`) with so many requests."""

    def make(
        names: str, listener: ListenerConfig, requests: int, pause: float, stop: float = 1.5, **more: object
    ) -> Plan:
        plan = make_plan(names, listener=listener, rate=1, stop=stop, service=WORK, **more)
        rules = tuple(replace(rule, requests=requests, pause=Seconds(pause)) for rule in plan.traffic)
        return replace(plan, traffic=rules)

    return make


def exchanges(trace: list[Event]) -> list[tuple[float, str, int, float]]:
    return [(event.at, event.backend, event.status, event.took) for event in trace if isinstance(event, Exchanged)]


def ends(trace: list[Event]) -> list[tuple[float, int, str]]:
    return [(event.at, event.request, event.outcome) for event in trace if isinstance(event, Finished)]


def test_a_connection_stays_with_its_server_and_is_in_flight_in_the_pauses(
    series: Callable[..., Plan], play: Play
) -> None:
    trace = play(series("ab", TCP, 3, 0.25))
    assert exchanges(trace) == [(1.5, "a", 200, 0.5), (2.25, "a", 200, 0.5), (3.0, "a", 200, 0.5)]
    assert ends(trace) == [(3.0, 1, "ended well")]


def test_at_an_http_door_each_request_of_a_connection_is_balanced(series: Callable[..., Plan], play: Play) -> None:
    trace = play(series("ab", HTTP, 3, 0.25))
    assert [event.at for event in trace if isinstance(event, Arrived)] == [1.0, 1.75, 2.5]
    assert [event.backend for event in trace if isinstance(event, Picked)] == ["a", "b", "a"]
    assert exchanges(trace) == []


def test_a_client_goes_on_after_an_error_too(series: Callable[..., Plan], play: Play) -> None:
    assert [status for _, _, status, _ in exchanges(play(series("a", TCP, 2, 0.25, errors=1.0)))] == [500, 500]
    assert len([event for event in play(series("a", HTTP, 2, 0.25, errors=1.0)) if isinstance(event, Arrived)]) == 2


@pytest.mark.parametrize("at", [1.2, 1.6, 2.0])
def test_a_crash_breaks_the_connection_in_a_pause_as_well_as_at_work(
    series: Callable[..., Plan], play: Play, at: float
) -> None:
    trace = play(series("a", TCP, 3, 0.25, acts=[Act(at, Fault("crash", "web", "a"))]))
    outcome = "closed before an answer" if at < 1.5 else "broke off in mid-answer"
    assert ends(trace) == [(at, 1, outcome)]
    assert len(exchanges(trace)) == (at > 1.5)


def test_a_machine_that_refuses_new_connections_answers_on_those_that_are_open(
    series: Callable[..., Plan], play: Play
) -> None:
    trace = play(series("a", TCP, 3, 0.25, stop=2.5, acts=[Act(1.6, Fault("refuse", "web", "a"))]))
    assert ends(trace) == [(2.0, 2, "connection refused"), (3.0, 1, "ended well")]


def test_the_end_of_a_drain_cuts_off_who_pauses(series: Callable[..., Plan], play: Play) -> None:
    trace = play(series("a", TCP, 3, 1.0, acts=[Act(1.2, Drain("web", "a", Seconds(0.8)))]))
    assert ends(trace) == [(2.0, 1, "broke off in mid-answer")]


def test_a_pause_longer_than_the_door_bears_ends_the_connection_well(series: Callable[..., Plan], play: Play) -> None:
    trace = play(series("a", TCP, 3, 5.0))
    assert len(exchanges(trace)) == 1
    assert ends(trace) == [(3.5, 1, "ended well")]


@pytest.mark.parametrize(("lasts", "ended"), [(1.6, 1.6), (1.8, 2.25)])
def test_at_the_end_who_pauses_leaves_and_who_waits_is_answered(
    series: Callable[..., Plan], play: Play, lasts: float, ended: float
) -> None:
    trace = play(series("a", TCP, 9, 0.25, lasts=lasts))
    assert ends(trace) == [(ended, 1, "ended well")]


def test_nothing_follows_an_answer_after_the_end(series: Callable[..., Plan], play: Play) -> None:
    assert len(ends(play(series("a", HTTP, 9, 0.25, lasts=1.2)))) == 1


def test_a_series_goes_on_with_a_machine_that_is_far_away(series: Callable[..., Plan], play: Play) -> None:
    plan = series("a", TCP, 2, 0.25)
    far = replace(plan, machines=(MachineConfig("web", "a", 8, WORK, delay=Seconds(0.125)),))
    assert exchanges(play(far)) == [(1.75, "a", 200, 0.75), (2.75, "a", 200, 0.75)]


def test_every_arrival_of_a_series_has_its_end(series: Callable[..., Plan], play: Play) -> None:
    for listener in (HTTP, TCP):
        acts = [Act(4.3, Fault("crash", "web", "a")), Act(6.1, Fault("heal", "web", "a"))]
        trace = play(series("abc", listener, 7, 0.3, stop=9, lasts=10, workers=1, acts=acts))
        arrived = {event.request for event in trace if isinstance(event, Arrived)}
        assert sorted(event.request for event in trace if isinstance(event, Finished) and event.final) == sorted(
            arrived
        )
