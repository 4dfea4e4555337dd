"""What a balancer does beyond choosing is the same story in both shells: stickiness, queues, retries, drains, panic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

import pytest
from msgspec.structs import replace

from lbtutor.core import (
    Act,
    Conversation,
    Drain,
    Event,
    Fault,
    HealthCheck,
    ListenerConfig,
    Plan,
    Retry,
    Seconds,
    Service,
    Sticky,
)
from lbtutor.core.events import (
    BackedOff,
    Calmed,
    Drained,
    Finished,
    Panicked,
    Picked,
    Queued,
    Rejected,
    SessionLost,
    SessionStarted,
    WeightChanged,
)

MakePlan = Callable[..., Plan]
PlayBoth = Callable[[Plan], tuple[list[Event], list[Event]]]

QUICK = HealthCheck(interval=Seconds(2), timeout=Seconds(1), rise=2, fall=2)

LATENESS = 0.25
"""Scenario seconds by which something real may come later than it does in the simulator."""

pytestmark = pytest.mark.slow


def befalls(kind: Literal["crash", "heal"], backend: str, at: float) -> Act:
    return Act(at, Fault(kind, "web", backend))


def picks(trace: Iterable[Event]) -> list[tuple[int, int, str, str]]:
    return [
        (event.request, event.attempt, event.backend, event.because) for event in trace if isinstance(event, Picked)
    ]


def ends(trace: Iterable[Event]) -> dict[tuple[int, int], tuple[str, int]]:
    """How each attempt ended; and attempt 0 of a request is the balancer's own answer."""
    attempts = {
        (event.request, event.attempt): (event.outcome, event.status) for event in trace if isinstance(event, Finished)
    }
    return attempts | {
        (event.request, 0): (event.because, event.status) for event in trace if isinstance(event, Rejected)
    }


def told(trace: Iterable[Event], *kinds: type[Event]) -> list[tuple[str, ...]]:
    """These events without their numbers, in order."""
    return [
        (type(event).__name__, *(value for value in _values(event) if isinstance(value, str)))
        for event in trace
        if isinstance(event, kinds)
    ]


def _values(event: Event) -> Iterable[object]:
    return (getattr(event, name) for name in type(event).__struct_fields__)


def assert_same_story(simulated: list[Event], live: list[Event], *kinds: type[Event]) -> None:
    assert picks(live) == picks(simulated)
    assert ends(live) == ends(simulated)
    assert told(live, *kinds) == told(simulated, *kinds)
    at, real = ([event.at for event in trace if isinstance(event, kinds)] for trace in (simulated, live))
    assert all(due <= came <= due + LATENESS for due, came in zip(at, real, strict=True))


@pytest.mark.parametrize(
    "sticky",
    [
        Sticky(cookie="SERVER", form="readable", ttl=Seconds(3.1)),
        Sticky(cookie="SERVER", ttl=Seconds(3.1), sliding=False, secret="a secret that outlives the process"),
    ],
    ids=["readable and sliding", "signed and fixed"],
)
def test_clients_are_brought_back_by_their_cookies_alike(
    make_plan: MakePlan, play_both: PlayBoth, sticky: Sticky
) -> None:
    acts = [befalls("crash", "b", 5.1), befalls("heal", "b", 7.1)]
    plan = make_plan("abc", sticky=sticky, health=QUICK, attempts=2, acts=acts, clients=5, lasts=10)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    reasons = Counter(because for _, _, _, because in picks(simulated))
    assert reasons["sticky"] > 20
    assert reasons["algorithm"] >= 5


def test_requests_wait_in_line_and_are_turned_away_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    """One comes each 0.4 s, the work takes 1.3 s and patience 0.75 s, so that no two of these fall together."""
    work = Service("constant", 1.3)
    plan = make_plan("ab", limit=1, queue=Seconds(0.75), service=work, rate=2.5, lasts=4.2)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live, Queued)
    waited = len(told(simulated, Queued))
    assert 0 < sum(status == 503 for _, status in ends(simulated).values()) < waited


def test_backups_take_over_and_step_back_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [befalls("crash", "a", 2.1), befalls("crash", "b", 2.1), befalls("heal", "a", 7.1)]
    simulated, live = play_both(make_plan("abc", backups="c", health=QUICK, acts=acts))
    assert_same_story(simulated, live)
    assert {backend for _, _, backend, _ in picks(simulated)} == {"a", "b", "c"}


def test_who_comes_back_starts_slowly_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [befalls("crash", "a", 1.1), befalls("heal", "a", 4.6)]
    plan = make_plan("ab", algorithm="weighted_round_robin", health=QUICK, slow_start=Seconds(4), acts=acts)
    between_steps = replace(plan.traffic[0], start=Seconds(0.1))
    simulated, live = play_both(replace(plan, traffic=(between_steps,)))
    assert_same_story(simulated, live, WeightChanged)
    assert len(told(simulated, WeightChanged)) > 5


def test_retries_back_off_for_as_long_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    retry = Retry(3, backoff=Seconds(0.4))
    acts = [befalls("crash", "b", 2.1), befalls("heal", "b", 5.1)]
    plan = make_plan("abc", retry=retry, acts=acts, service=Service("constant", 0.05), rate=2, lasts=8)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live, BackedOff)
    waits, real = (
        [event.until - event.at for event in trace if isinstance(event, BackedOff)] for trace in (simulated, live)
    )
    assert len(waits) >= 2
    assert real == pytest.approx(waits)


def test_an_answer_that_is_worth_another_try_gets_one_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    plan = make_plan("abc", retry=Retry(2, on=("500",)), errors=0.3, service=Service("constant", 0.1), lasts=6)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    assert any(because == "retry" for _, _, _, because in picks(simulated))


def test_what_is_still_under_way_when_a_drain_is_over_is_cut_off_alike(
    make_plan: MakePlan, play_both: PlayBoth
) -> None:
    acts = [Act(2.1, Drain("web", "a", Seconds(0.75)))]
    plan = make_plan("ab", service=Service("constant", 1.5), workers=20, acts=acts, lasts=5)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live, Drained)
    assert [status for _, status in ends(simulated).values() if status != 200] == [502] * 2


def test_a_pool_panics_and_calms_down_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [befalls("crash", name, 2.1) for name in "abc"] + [befalls("heal", name, 7.1) for name in "abc"]
    simulated, live = play_both(make_plan(panic=0.5, health=QUICK, acts=acts, lasts=12))
    assert_same_story(simulated, live, Panicked, Calmed)
    assert [name for name, *_ in told(simulated, Panicked, Calmed)] == ["Panicked", "Calmed"]


def test_connections_are_balanced_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    door = ListenerConfig("front", mode="tcp", pool="web")
    health = HealthCheck(interval=Seconds(2), timeout=Seconds(1), rise=2, fall=2, mode="tcp")
    acts = [befalls("crash", "b", 2.15), befalls("heal", "b", 7.15)]
    simulated, live = play_both(make_plan(listener=door, health=health, attempts=2, acts=acts, lasts=11))
    assert_same_story(simulated, live)
    assert {"ended well", "connection refused"} <= {outcome for outcome, _ in ends(simulated).values()}


def test_datagrams_are_in_sessions_alike(make_plan: MakePlan, play_both: PlayBoth) -> None:
    door = ListenerConfig("front", mode="udp", pool="web", idle_timeout=Seconds(1.5))
    plan = make_plan("abc", listener=door, rate=2, clients=2, stop=5.2, lasts=7)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    assert ends(simulated) == {(1, 1): ("ended well", 0), (2, 1): ("ended well", 0)}


def test_conversations_last_as_long_alike_and_break_with_their_machine(
    make_plan: MakePlan, play_both: PlayBoth
) -> None:
    talk = Conversation(Seconds(3), Seconds(0.5))
    plan = make_plan("ab", websocket=talk, rate=2, stop=3.2, acts=[befalls("crash", "b", 4.1)], lasts=5)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live)
    took, real = (
        {event.request: event.took for event in trace if isinstance(event, Finished)} for trace in (simulated, live)
    )
    assert real == pytest.approx(took, abs=LATENESS)
    assert Counter(status for _, status in ends(simulated).values()) == {101: 6}
    assert sum(not event.ok for event in simulated if isinstance(event, Finished)) == 2


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_sessions_are_begun_and_lost_alike(make_plan: MakePlan, play_both: PlayBoth, store: str) -> None:
    acts = [befalls("crash", "b", 2.1), befalls("heal", "b", 3.1)]
    plan = make_plan("abc", sessions=store, acts=acts, clients=4, service=Service("constant", 0.1), lasts=6)
    simulated, live = play_both(plan)
    assert_same_story(simulated, live, SessionStarted, SessionLost)
    assert len(told(simulated, SessionStarted)) >= 4
    assert bool(told(simulated, SessionLost)) == (store == "memory")
