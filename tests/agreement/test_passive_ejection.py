"""Ejections come and go alike in both shells, also where no probe wakes the balancer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import pytest

from lbtutor.core import Act, Fault, PassiveCheck, Plan, Seconds
from lbtutor.core.events import Ejected, Event, Finished, Picked, Readmitted
from lbtutor.labs.scenario import find_scenario, load_scenario

MakePlan = Callable[..., Plan]
PlayBoth = Callable[[Plan], tuple[list[Event], list[Event]]]

LATENESS = 0.25
"""Scenario seconds by which a real ejection may come later than the simulated one."""

pytestmark = pytest.mark.slow


def picks(trace: Iterable[Event]) -> list[tuple[int, int, str]]:
    return [(event.request, event.attempt, event.backend) for event in trace if isinstance(event, Picked)]


def failures(trace: Iterable[Event]) -> dict[int, str]:
    return {event.request: event.outcome for event in trace if isinstance(event, Finished) and not event.ok}


def comings_and_goings(trace: Iterable[Event]) -> list[Ejected | Readmitted]:
    return [event for event in trace if isinstance(event, Ejected | Readmitted)]


def assert_same_ejections(simulated: list[Event], live: list[Event]) -> None:
    assert picks(live) == picks(simulated)
    assert failures(live) == failures(simulated)
    for virtual, real in zip(comings_and_goings(simulated), comings_and_goings(live), strict=True):
        assert (type(real), real.backend) == (type(virtual), virtual.backend)
        assert virtual.at <= real.at <= virtual.at + LATENESS
        if isinstance(real, Ejected) and isinstance(virtual, Ejected):
            assert real.because == virtual.because
            assert real.until - real.at == pytest.approx(virtual.until - virtual.at)


def test_the_scene_of_the_lab_is_the_same_story_in_both_shells(play_both: PlayBoth) -> None:
    simulated, live = play_both(load_scenario(find_scenario("passive-ejection")).plan())
    assert_same_ejections(simulated, live)
    assert [type(event).__name__ for event in comings_and_goings(live)] == ["Ejected", "Readmitted"] * 2


def test_a_pool_without_probes_wakes_for_readmissions_in_both_shells(make_plan: MakePlan, play_both: PlayBoth) -> None:
    acts = [Act(2.1, Fault("crash", "web", "b")), Act(9.1, Fault("heal", "web", "b"))]
    plan = make_plan(attempts=2, acts=acts, lasts=16)
    (pool,) = plan.pools
    check = PassiveCheck(fails=2, window=Seconds(5), eject=Seconds(3.05))
    plan = msgspec.structs.replace(plan, pools=(msgspec.structs.replace(pool, passive=check),))
    simulated, live = play_both(plan)
    assert_same_ejections(simulated, live)
    assert [type(event).__name__ for event in comings_and_goings(live)] == ["Ejected", "Readmitted"] * 2
