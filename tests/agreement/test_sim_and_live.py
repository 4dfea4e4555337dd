"""The two shells tell the same story of the same plan: same picks, same failures, same turns of health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
import pytest

from lbtutor.core import Act, BackendConfig, Fault, Plan, Redirect, Route, Seconds, Service, Traffic
from lbtutor.core.events import (
    Answered,
    Ended,
    Event,
    FaultKind,
    Finished,
    HealthChanged,
    OriginChanged,
    Picked,
    Rejected,
    Routed,
)
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import Command, Disable, Drain, Enable, SetWeight

MakePlan = Callable[..., Plan]
PlayBoth = Callable[[Plan], tuple[list[Event], list[Event]]]

QUICK = HealthCheck(interval=Seconds(2), timeout=Seconds(1), rise=2, fall=3)
"""With four members these are probed half a second apart."""

LATENESS = 1.0
"""Scenario seconds by which a real event may come later than the simulated one: half a probe interval."""

pytestmark = pytest.mark.slow


def befalls(kind: FaultKind, backend: str, at: float, amount: float = 0.0) -> Act:
    return Act(at, Fault(kind, "web", backend, amount))


def commands(at: float, command: Command) -> Act:
    return Act(at, command)


def picks(trace: Iterable[Event]) -> list[tuple[int, int, str, str]]:
    return [
        (event.request, event.attempt, event.backend, event.because) for event in trace if isinstance(event, Picked)
    ]


def endings(trace: Iterable[Event]) -> dict[tuple[int, int], tuple[str, str, int, bool]]:
    return {
        (event.request, event.attempt): (event.backend, event.outcome, event.status, event.final)
        for event in trace
        if isinstance(event, Finished)
    }


def failures(trace: Iterable[Event]) -> dict[int, str]:
    return {event.request: event.outcome for event in trace if isinstance(event, Finished) and not event.ok}


def rejections(trace: Iterable[Event]) -> dict[int, tuple[int, str]]:
    return {event.request: (event.status, event.because) for event in trace if isinstance(event, Rejected)}


def turns_of_health(trace: Iterable[Event]) -> list[tuple[str, str, str]]:
    return [(event.backend, event.now, event.because) for event in trace if isinstance(event, HealthChanged)]


def when(trace: Iterable[Event], *kinds: type[Event]) -> list[float]:
    return [event.at for event in trace if isinstance(event, kinds)]


def assert_same_story(simulated: list[Event], live: list[Event]) -> None:
    assert picks(live) == picks(simulated)
    assert endings(live) == endings(simulated)
    assert rejections(live) == rejections(simulated)
    assert turns_of_health(live) == turns_of_health(simulated)
    for kind in (HealthChanged, OriginChanged):
        for real, virtual in zip(when(live, kind), when(simulated, kind), strict=True):
            assert virtual <= real <= virtual + LATENESS
    assert isinstance(live[-1], Ended)
    assert live[-1].because == "lasted"


@pytest.mark.parametrize(
    ("algorithm", "weights"),
    [
        ("round_robin", (1, 1, 1, 1)),
        ("weighted_round_robin", (4, 3, 2, 1)),
        ("ip_hash", (1, 1, 1, 1)),
        ("least_connections", (1, 1, 1, 1)),
        ("least_connections", (2, 1, 1, 1)),
    ],
)
def test_a_crash_and_a_recovery_are_the_same_story_in_both_shells(
    make_plan: MakePlan, play_both: PlayBoth, algorithm: str, weights: tuple[float, ...]
) -> None:
    acts = [befalls("crash", "b", 2.1), befalls("heal", "b", 8.1)]
    plan = make_plan(algorithm=algorithm, weights=weights, service=Service("constant", 1.1), health=QUICK, acts=acts)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    assert len(failures(simulated)) >= 4
    assert set(failures(simulated).values()) == {"closed before an answer", "connection refused"}
    assert [(backend, now) for backend, now, _ in turns_of_health(simulated)] == [("b", "down"), ("b", "up")]


def test_shares_of_four_healthy_servers_are_a_quarter_each_in_both_shells(
    make_plan: MakePlan, play_both: PlayBoth
) -> None:
    for trace in play_both(make_plan(lasts=8.1, health=QUICK)):
        shares = Counter(event.backend for event in trace if isinstance(event, Picked))
        assert shares == {"a": 10, "b": 10, "c": 10, "d": 10}


def test_every_fault_is_the_same_story_in_both_shells(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [
        befalls("error", "a", 2.1, 0.5),
        befalls("slow", "b", 2.1, 3.0),
        befalls("hang", "c", 2.1),
        befalls("refuse", "d", 2.1),
        befalls("heal", "c", 9.1),
        befalls("heal", "d", 9.1),
        befalls("error", "b", 10.1, 1.0),
        befalls("heal", "a", 11.1),
    ]
    simulated, live = play_both(make_plan(health=QUICK, response_timeout=3.1, acts=acts, workers=3))
    assert_same_story(simulated, live)
    assert set(failures(simulated).values()) == {"answered 500", "no answer in time"}


def test_held_requests_go_on_where_they_stood_in_both_shells(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [befalls("hang", "a", 2.1), befalls("heal", "a", 4.1)]
    plan = make_plan("ab", service=Service("constant", 2.5), workers=4, acts=acts, lasts=7)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    took = {event.request: event.took for event in live if isinstance(event, Finished)}
    for event in simulated:
        if isinstance(event, Finished):
            assert took[event.request] == pytest.approx(event.took, abs=LATENESS / 4)


def test_whoever_is_let_down_leaves_the_worker_to_the_next_in_both_shells(
    make_plan: MakePlan, play_both: PlayBoth
) -> None:
    acts = [befalls("slow", "a", 1.1, 20.0), befalls("heal", "a", 3.95)]
    plan = make_plan("ab", service=Service("constant", 0.23), workers=1, response_timeout=1.1, acts=acts, lasts=8)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    outcomes = [outcome for _, (backend, outcome, _, _) in sorted(endings(simulated).items()) if backend == "a"]
    assert outcomes.count("no answer in time") >= 5
    assert outcomes[-5:] == ["answered 200"] * 5


def test_retries_go_the_same_ways_in_both_shells(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [befalls("crash", "b", 2.1), befalls("crash", "c", 4.1), befalls("heal", "b", 8.1)]
    simulated, live = play_both(make_plan(health=QUICK, attempts=3, acts=acts))
    assert_same_story(simulated, live)
    assert any(attempt == 3 for _, attempt, _, _ in picks(simulated))


def test_a_pool_without_anybody_rejects_the_same_requests_in_both_shells(
    make_plan: MakePlan, play_both: PlayBoth
) -> None:
    acts = [befalls("crash", name, 3.1) for name in "abcd"] + [befalls("heal", "c", 10.1)]
    simulated, live = play_both(make_plan(health=QUICK, acts=acts, lasts=15))
    assert_same_story(simulated, live)
    assert len(rejections(simulated)) >= 10


def test_the_operators_commands_have_the_same_effect_in_both_shells(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [
        commands(1.1, SetWeight("web", "a", 3)),
        commands(2.1, Drain("web", "b")),
        commands(3.1, Disable("web", "c")),
        commands(6.1, Enable("web", "c")),
        commands(7.1, Enable("web", "b")),
        commands(8.1, SetWeight("web", "a", 0)),
    ]
    simulated, live = play_both(make_plan(algorithm="weighted_round_robin", health=QUICK, acts=acts, lasts=10))
    assert_same_story(simulated, live)


@pytest.mark.parametrize(
    "service", [Service("exponential", 1.0), Service("lognormal", 1.0, 0.6), Service("bimodal", 0.3, 1.7, 0.4)]
)
def test_the_nth_request_at_a_machine_takes_as_long_in_both_shells(
    make_plan: MakePlan, play_both: PlayBoth, service: Service
) -> None:
    plan = make_plan(service=service, errors=0.2, workers=100, lasts=10)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    took = {event.request: event.took for event in live if isinstance(event, Finished)}
    for event in simulated:
        if isinstance(event, Finished):
            assert took[event.request] == pytest.approx(event.took, abs=LATENESS / 4)


def test_poisson_arrivals_come_from_the_same_clients_in_both_shells(make_plan: MakePlan, play_both: PlayBoth) -> None:
    """Two that come almost at once may change places on the wire, so the count for each server is compared."""
    simulated, live = play_both(make_plan(algorithm="ip_hash", arrivals="poisson", clients=20, lasts=10))
    assert Counter(backend for _, _, backend, _ in picks(live)) == Counter(
        backend for _, _, backend, _ in picks(simulated)
    )


def test_a_split_and_a_redirect_are_the_same_story_in_both_shells(make_plan: MakePlan, play_both: PlayBoth) -> None:
    plan = make_plan("ab", clients=20, lasts=10)
    (blue,) = plan.pools
    green = msgspec.structs.replace(blue, name="green", backends=(BackendConfig("c"), BackendConfig("d")))
    machines = tuple(msgspec.structs.replace(plan.machines[0], pool="green", name=name) for name in "cd")
    routes = (Route(split={"web": 70, "green": 30}), Route(redirect=Redirect("https://b.org{path}"), path="/old"))
    simulated, live = play_both(
        msgspec.structs.replace(
            plan,
            routes=routes,
            pools=(blue, green),
            machines=(*plan.machines, *machines),
            traffic=(*plan.traffic, Traffic("front", 1, "steady", 3, path="/old", start=Seconds(0.05))),
        )
    )
    assert_same_story(simulated, live)
    for kind in (Routed, Answered):
        untimed = [
            [msgspec.structs.replace(event, at=0.0) for event in trace if isinstance(event, kind)]
            for trace in (simulated, live)
        ]
        assert untimed[0] == untimed[1] != []
    assert {event.pool for event in simulated if isinstance(event, Routed)} == {"web", "green"}


def test_what_is_under_way_at_the_end_is_cut_off_after_the_drain_in_both_shells(
    make_plan: MakePlan, play_both: PlayBoth
) -> None:
    plan = make_plan("ab", acts=[befalls("hang", "a", 2.1)], lasts=5)
    plan = msgspec.structs.replace(plan, drain=Seconds(2))
    simulated, live = play_both(plan)
    assert endings(live) == endings(simulated)
    assert "the client left first" in failures(simulated).values()
    assert 7.0 <= live[-1].at <= 7.0 + LATENESS
    assert simulated[-1].at == 7.0
