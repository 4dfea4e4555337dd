"""Several balancers in front of the same machines: what each sees, and what one takes along when it dies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from lbtutor.core import Act, BalancerConfig, Dns, Event, Fault, HealthCheck, Plan, Remove, Retry, Seconds, Service
from lbtutor.core.events import (
    Arrived,
    BalancerChanged,
    Finished,
    HealthChanged,
    Joined,
    Picked,
    Rejected,
    Stranded,
)

MakePlan = Callable[..., Plan]
Play = Callable[[Plan], list[Event]]

SLOW = Service("constant", 9.0)
CHECK = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5), rise=1, fall=2)


def two(
    plan: Plan,
    *,
    ttl: float = 100,
    check: HealthCheck | None = None,
    dies: float | None = None,
    returns: float | None = None,
) -> Plan:
    """The same plan with two balancers, the second of which may die."""
    lost = BalancerConfig("y", None if dies is None else Seconds(dies), None if returns is None else Seconds(returns))
    return replace(plan, balancers=(BalancerConfig("x"), lost), dns=Dns(Seconds(ttl), check))


def who(trace: list[Event]) -> list[tuple[str, str]]:
    """Each request's balancer and backend."""
    homes = {event.request: event.balancer for event in trace if isinstance(event, Arrived)}
    return [(homes[event.request], event.backend) for event in trace if isinstance(event, Picked)]


def test_least_connections_is_blind_to_what_came_through_the_other(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("ab", algorithm="least_connections", service=SLOW, rate=1, clients=2, lasts=4.5, drain=99)
    assert [backend for _, backend in who(play(plan))] == ["a", "b", "a", "b"]
    assert who(play(two(plan))) == [("x", "a"), ("y", "a"), ("x", "b"), ("y", "b")]


def test_each_probes_for_itself_and_is_told_what_the_operator_wants(make_plan: MakePlan, play: Play) -> None:
    acts = [Act(1.2, Fault("crash", "web", "a")), Act(5.0, Remove("web", "b"))]
    trace = play(two(make_plan("ab", health=CHECK, acts=acts, rate=1, lasts=7)))
    assert len([event for event in trace if isinstance(event, HealthChanged)]) == 2
    assert {event.status for event in trace if isinstance(event, Rejected) and event.at > 5} == {503}
    assert len([event for event in trace if isinstance(event, Rejected)]) == 2


def test_who_believes_in_a_dead_one_goes_there_in_vain_until_the_answer_is_old(make_plan: MakePlan, play: Play) -> None:
    trace = play(two(make_plan("a", rate=2, clients=2, lasts=10), ttl=4, check=CHECK, dies=2.25))
    stranded = [(event.at, event.client, event.balancer) for event in trace if isinstance(event, Stranded)]
    assert stranded == [(3.0, "127.0.1.2", "y"), (4.0, "127.0.1.2", "y")]
    served = [event.at for event in trace if isinstance(event, Arrived) and event.client == "127.0.1.2"]
    assert served == [1.0, 2.0, 5.0, 6.0, 7.0, 8.0, 9.0]


@pytest.mark.parametrize("attempts", [1, 2])
def test_what_was_under_way_through_one_is_lost_with_it_and_tried_by_nobody(
    make_plan: MakePlan, play: Play, attempts: int
) -> None:
    retry = Retry(attempts, on=("connect", "close"))
    plan = make_plan("ab", service=SLOW, rate=1, clients=2, retry=retry, stop=2.5, lasts=20)
    trace = play(two(plan, dies=3))
    ends = [(event.at, event.request, event.outcome) for event in trace if isinstance(event, Finished)]
    assert ends == [(3.0, 2, "broke off in mid-answer"), (10.0, 1, "answered 200")]


def test_a_place_in_its_queue_is_lost_too(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("a", service=SLOW, limit=1, queue=Seconds(30), rate=2, clients=2, stop=2.2, lasts=20)
    trace = play(two(plan, dies=3))
    assert [(event.at, event.request) for event in trace if isinstance(event, Rejected)] == [(3.0, 4)]
    assert [event.request for event in trace if isinstance(event, Finished)] == [2, 1, 3]


def test_one_that_is_back_knows_nothing_but_what_the_operator_said(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("ab", acts=[Act(1.0, Remove("web", "a"))], rate=1, clients=2, lasts=12)
    trace = play(two(plan, dies=3, returns=7))
    changes = [(event.at, event.change) for event in trace if isinstance(event, BalancerChanged)]
    assert changes == [(3.0, "died"), (7.0, "returned")]
    assert [event.backend for event in trace if isinstance(event, Joined) and event.at == 7] == ["a", "b"]
    assert set(who(trace)[2:]) == {("x", "b"), ("y", "b")}


def test_the_same_seed_tells_the_same_story_and_no_arrival_is_without_its_end(make_plan: MakePlan, play: Play) -> None:
    plan = two(
        make_plan("abc", algorithm="random", arrivals="poisson", clients=30, rate=60, workers=1, lasts=10),
        ttl=1,
        dies=3,
        returns=6,
    )
    trace = play(plan)
    assert trace == play(plan)
    arrived = sorted(event.request for event in trace if isinstance(event, Arrived))
    ended = [event.request for event in trace if isinstance(event, Rejected)]
    ended += [event.request for event in trace if isinstance(event, Finished) and event.final]
    assert sorted(ended) == arrived
    assert 30 < len([event for event in trace if isinstance(event, Stranded)]) < 200
