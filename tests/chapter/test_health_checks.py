"""Chapter, section 4 (Health Checks) and step 5 of the design challenge (Health Checks and Failover)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from lbtutor.core import Act, Fault, Seconds
from lbtutor.core.events import Event, FaultKind, HealthChanged, Joined, Picked, Probed, ProbeSent
from lbtutor.core.health import HealthCheck, HealthState
from lbtutor.core.messages import Add, BackendConfig

Play = Callable[..., list[Event]]

CHAPTER = HealthCheck(path="/health", interval=Seconds(30), timeout=Seconds(5), rise=2, fall=3)


_GONE: tuple[FaultKind, FaultKind] = ("crash", "hang")


def befalls(kind: FaultKind, server: str, at: float, amount: float = 0.0) -> Act:
    return Act(at, Fault(kind, "servers", server, amount))


def changes(trace: Iterable[Event]) -> list[tuple[float, str]]:
    return [(event.at, event.now) for event in trace if isinstance(event, HealthChanged)]


def heard(trace: Iterable[Event], server: str = "1") -> list[tuple[float, str]]:
    return [(event.at, event.because) for event in trace if isinstance(event, Probed) and event.backend == server]


def test_the_chapters_numbers_are_what_a_pool_gets_when_it_says_nothing_else() -> None:
    assert HealthCheck() == CHAPTER


def test_each_server_is_probed_every_30_seconds(play: Play) -> None:
    trace = play(health=CHAPTER, rate=0.1, lasts=121)
    for server in "123":
        sent = [event.at for event in trace if isinstance(event, ProbeSent) and event.backend == server]
        assert [after - before for before, after in pairwise(sent)] == [30.0] * (len(sent) - 1)
        assert len(sent) >= 4


def test_three_failures_in_a_row_mark_a_server_down_and_two_passes_mark_it_up_again(play: Play) -> None:
    acts = [befalls("crash", "1", 10), befalls("heal", "1", 130)]
    trace = play(servers=1, health=CHAPTER, rate=0.1, acts=acts, lasts=200)
    assert heard(trace) == [
        (0, "200"),
        (30, "connection refused"),
        (60, "connection refused"),
        (90, "connection refused"),
        (120, "connection refused"),
        (150, "200"),
        (180, "200"),
    ]
    assert changes(trace) == [(90, "down"), (180, "up")]


def test_thresholds_count_results_in_a_row_so_one_pass_clears_two_failures() -> None:
    state = HealthState(CHAPTER, first_probe=0.0)
    changed = [state.result(ok)[-1] for ok in (False, False, True, False, False, False)]
    assert changed == [False, False, False, False, False, True]


def test_one_500_removes_nobody_the_third_in_a_row_does(play: Play) -> None:
    """ "500 Error (unhealthy, remove)" stands beside a threshold of 3; here that decides, as at ALB and HAProxy."""
    once = play(
        servers=1, health=CHAPTER, rate=0.1, acts=[befalls("error", "1", 10, 1.0), befalls("heal", "1", 40)], lasts=200
    )
    assert (30, "500") in heard(once)
    assert changes(once) == []
    for_good = play(servers=1, health=CHAPTER, rate=0.1, acts=[befalls("error", "1", 10, 1.0)], lasts=200)
    assert changes(for_good) == [(90, "down")]


def test_one_500_is_enough_where_the_threshold_is_one(play: Play) -> None:
    strict = HealthCheck(interval=Seconds(30), timeout=Seconds(5), fall=1)
    trace = play(servers=1, health=strict, rate=0.1, acts=[befalls("error", "1", 10, 1.0)], lasts=100)
    assert changes(trace) == [(30, "down")]


def test_one_timeout_removes_nobody_the_third_in_a_row_does(play: Play) -> None:
    once = play(
        servers=1, health=CHAPTER, rate=0.1, acts=[befalls("hang", "1", 10), befalls("heal", "1", 40)], lasts=200
    )
    assert (35, "no answer in 5s") in heard(once)
    assert changes(once) == []
    for_good = play(servers=1, health=CHAPTER, rate=0.1, acts=[befalls("hang", "1", 10)], lasts=200)
    assert changes(for_good) == [(95, "down")]


def test_a_crashed_server_refuses_its_probes_at_once_only_a_hung_one_lets_them_time_out(play: Play) -> None:
    """Step 5 has "Instance 1 crashes … Timeout": a dead process refuses; silence is that of a hung or unplugged one."""
    crashed, hung = ([befalls(kind, "1", 10)] for kind in _GONE)
    assert heard(play(servers=1, health=CHAPTER, rate=0.1, acts=crashed, lasts=59))[-1] == (30, "connection refused")
    assert heard(play(servers=1, health=CHAPTER, rate=0.1, acts=hung, lasts=59))[-1] == (35, "no answer in 5s")


@pytest.mark.parametrize(("kind", "soonest", "latest"), [("hang", 65, 95), ("crash", 60, 90)])
def test_after_3_failures_means_a_minute_or_more_of_lost_requests_by_the_phase_of_the_probes(
    play: Play, kind: FaultKind, soonest: float, latest: float
) -> None:
    found_out = []
    for second in range(31, 61):
        trace = play(servers=1, health=CHAPTER, rate=0.1, acts=[befalls(kind, "1", second)], lasts=second + 100)
        ((at, _),) = changes(trace)
        found_out.append(at - second)
    assert min(found_out) == soonest
    assert max(found_out) == latest - 1


def test_a_server_that_is_down_gets_no_requests_and_the_others_go_on(play: Play) -> None:
    trace = play(health=CHAPTER, acts=[befalls("crash", "2", 31)], lasts=200)
    ((down_at, _),) = changes(trace)
    later = [event.backend for event in trace if isinstance(event, Picked) and event.at > down_at]
    assert set(later) == {"1", "3"}
    assert later.count("1") == pytest.approx(later.count("3"), abs=1)


def test_a_healthy_server_is_not_removed_because_it_is_busy(play: Play) -> None:
    trace = play(servers=1, workers=[1], health=CHAPTER, rate=100, lasts=100)
    assert changes(trace) == []
    assert all(because == "200" for _, because in heard(trace))


@pytest.mark.parametrize(("initial", "waits"), [("unchecked", True), ("up", False)])
def test_a_new_server_waits_for_its_first_good_probe_only_where_newcomers_are_not_trusted(
    play: Play, initial: str, waits: bool
) -> None:
    """Step 5: "passes health checks → Added". One pass does it (as at ALB); HAProxy and NGINX trust a newcomer."""
    check = HealthCheck(interval=Seconds(30), timeout=Seconds(5), initial="unchecked" if waits else "up")
    acts = [befalls("hang", "4", 39), Act(40.05, Add("servers", BackendConfig("4"))), befalls("heal", "4", 43.05)]
    trace = play(health=check, acts=acts, newcomer="4", lasts=60)
    joined = [event.health for event in trace if isinstance(event, Joined) and event.backend == "4"]
    first_pick = min(event.at for event in trace if isinstance(event, Picked) and event.backend == "4")
    assert joined == [initial]
    assert (first_pick > 43.05) is waits
