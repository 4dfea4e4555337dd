"""The numbers that the round robin lesson tells, each measured, whenever the learner may press the key."""

from __future__ import annotations

from functools import cache

import pytest
from msgspec.structs import replace

from lbtutor.core import Act, Event, Fault, Plan, Seconds
from lbtutor.core.events import Finished, HealthChanged, OriginChanged, Picked
from lbtutor.course.catalog import load_lesson
from lbtutor.sim.simulate import simulate

MOMENTS = [8 + tenth / 10 for tenth in range(21)]
"""A whole probe interval and a bit: every phase in which a crash may come."""


@cache
def plan_of(scene: str) -> Plan:
    return load_lesson("round-robin").scenes[scene].plan()


def events(scene: str, *acts: Act, lasts: float = 40.0, traffic_from: float | None = None) -> list[Event]:
    plan = plan_of(scene)
    if traffic_from is not None:
        plan = replace(plan, traffic=tuple(replace(rule, start=Seconds(traffic_from)) for rule in plan.traffic))
    told: list[Event] = []
    simulate(replace(plan, acts=(*plan.acts, *acts), lasts=Seconds(lasts)), told.append)
    return told


def test_the_nth_request_gets_the_nth_turn() -> None:
    picked = [event for event in events("round-robin-turns") if isinstance(event, Picked)]
    assert len(picked) > 100
    assert [event.backend for event in picked] == [f"srv-{1 + number % 4}" for number in range(len(picked))]


def test_the_record_of_a_pick_reads_as_the_lesson_shows_it() -> None:
    picked = [event for event in events("round-robin-turns") if isinstance(event, Picked)]
    third = picked[6]
    assert third.why.rule == "turns to wait after srv-2"
    assert third.why.best == "lowest"
    assert [(candidate.backend, candidate.number) for candidate in third.why.candidates] == [
        ("srv-1", 2),
        ("srv-2", 3),
        ("srv-3", 0),
        ("srv-4", 1),
    ]
    before_srv_1 = next(event for event in picked if event.why.candidates[0].number == 1)
    assert before_srv_1.backend == "srv-4"


def test_a_backend_that_is_down_has_a_reason_instead_of_a_number() -> None:
    told = events("round-robin-failover", Act(5.3, Fault("crash", "web", "srv-2")))
    last = [event for event in told if isinstance(event, Picked)][-1]
    assert (last.why.candidates[1].number, last.why.candidates[1].excluded) == (None, "down")


def test_one_server_is_picked_while_at_work_although_a_neighbour_is_idle() -> None:
    busy = dict.fromkeys(["srv-1", "srv-2", "srv-3", "srv-4"], 0)
    seen = 0
    for event in events("round-robin-turns"):
        if isinstance(event, Picked):
            seen += bool(busy[event.backend]) and 0 in busy.values()
            busy[event.backend] += 1
        elif isinstance(event, Finished):
            busy[event.backend] -= 1
    assert seen > 2


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_costs_4_to_7_requests_and_4_to_6_seconds_at_any_moment(moment: float) -> None:
    told = events("round-robin-failover", Act(moment, Fault("crash", "web", "srv-2")))
    failed = [event for event in told if isinstance(event, Finished) and not event.ok]
    (down,) = (event.at for event in told if isinstance(event, HealthChanged))
    assert 4 <= len(failed) <= 7
    assert {event.backend for event in failed} == {"srv-2"}
    assert 4 <= round(down - moment, 6) <= 6


def test_the_bounds_are_reached_so_they_are_not_wider_than_the_truth() -> None:
    costs = set()
    for moment in MOMENTS:
        for traffic_from in (0.1, 0.8):
            crash = Act(moment, Fault("crash", "web", "srv-2"))
            told = events("round-robin-failover", crash, traffic_from=traffic_from)
            costs.add(sum(isinstance(event, Finished) and not event.ok for event in told))
    assert (min(costs), max(costs)) == (4, 7)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_way_back_takes_2_to_4_seconds_and_costs_nothing(moment: float) -> None:
    crash, heal = Act(0.1, Fault("crash", "web", "srv-2")), Act(moment, Fault("heal", "web", "srv-2"))
    told = events("round-robin-failover", crash, heal)
    back = next(event.at for event in told if isinstance(event, HealthChanged) and event.now == "up")
    assert 2 <= round(back - moment, 6) <= 4
    assert not [event for event in told if isinstance(event, Finished) and not event.ok and event.at > moment]
    turn = next(
        event.at for event in told if isinstance(event, Picked) and event.backend == "srv-2" and event.at > back
    )
    assert turn - back <= 1


def test_the_chapters_health_check_takes_60_to_90_seconds_or_65_to_95_when_a_server_hangs() -> None:
    struck: dict[str, float] = {}
    took: dict[str, int] = {}
    for event in events("detection-window", lasts=180.0):
        if isinstance(event, OriginChanged):
            struck[event.backend] = event.at
        elif isinstance(event, HealthChanged):
            took[event.backend] = round(event.at - struck[event.backend])
    assert took == {"refuses-late": 90, "refuses-soon": 60, "hangs-late": 95, "hangs-soon": 65}


def test_the_lab_crashes_srv_2_while_it_holds_no_request() -> None:
    told = events("round-robin", lasts=30.0)
    crash = next(number for number, event in enumerate(told) if isinstance(event, OriginChanged))
    of_srv_2 = [event for event in told[:crash] if isinstance(event, Picked | Finished) and event.backend == "srv-2"]
    assert sum(isinstance(event, Picked) for event in of_srv_2) == sum(
        isinstance(event, Finished) for event in of_srv_2
    )


def test_no_request_of_the_lab_comes_at_the_moment_of_a_probe_or_of_the_crash() -> None:
    told = events("round-robin", lasts=30.0)
    of_others = {event.at for event in told if not isinstance(event, Picked | Finished)} - {
        event.at for event in told if isinstance(event, Picked)
    }
    moments = sorted(of_others)
    assert all(abs(event.at - at) > 0.02 for event in told if isinstance(event, Picked) for at in moments)


def test_a_slow_server_is_never_believed_down_and_its_line_grows_by_about_one_in_two_seconds() -> None:
    told = events("round-robin-slow", Act(5.0, Fault("slow", "web", "srv-3", 4)), lasts=125.0)
    line, at_25, at_65 = 0, 0, 0
    for event in told:
        if isinstance(event, Picked | Finished) and event.backend == "srv-3" and event.at <= 65:
            line += 1 if isinstance(event, Picked) else -1
            at_25 = line if event.at <= 25 else at_25
            at_65 = line
    assert 18 <= at_65 - at_25 <= 22
    assert not [event for event in told if isinstance(event, HealthChanged)]


def test_the_slow_pool_could_still_do_more_than_6_requests_a_second() -> None:
    plan = plan_of("round-robin-slow")
    paces = [machine.workers / machine.service.mean for machine in plan.machines]
    assert 6 < sum(paces) - paces[2] * 3 / 4 < 7
    assert plan.traffic[0].rate == 4
