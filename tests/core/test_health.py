"""Health: the table against a dumb model, the times of probes, and the claims of the module about detection."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Event, Health, HealthChanged
from lbtutor.core.health import HealthCheck, HealthState
from lbtutor.core.messages import BackendConfig, ProbeResult
from lbtutor.core.pool import PoolConfig
from lbtutor.core.units import Seconds


def dumb_model(results: Sequence[bool], rise: int, fall: int, initial: Health) -> list[Health]:
    """What is believed after each result: down when the last `fall` failed, up when the last `rise` passed."""
    believed: Health = initial
    seen: list[bool] = []
    beliefs: list[Health] = []
    for result in results:
        seen.append(result)
        if believed == "unchecked":
            believed, seen = "up" if result else "down", []
        elif believed == "up" and len(seen) >= fall and not any(seen[-fall:]):
            believed, seen = "down", []
        elif believed == "down" and len(seen) >= rise and all(seen[-rise:]):
            believed, seen = "up", []
        beliefs.append(believed)
    return beliefs


@pytest.mark.parametrize("initial", ["up", "unchecked"])
def test_belief_follows_the_dumb_model_for_every_sequence_of_eight_probes(initial: Literal["up", "unchecked"]) -> None:
    for rise, fall in product(range(1, 5), repeat=2):
        check = HealthCheck(rise=rise, fall=fall, initial=initial)
        for results in product((True, False), repeat=8):
            state = HealthState(check, first_probe=0.0)
            beliefs = []
            for ok in results:
                was = state.believed
                _, _, _, changed = state.result(ok)
                assert changed == (state.believed != was)
                beliefs.append(state.believed)
            assert beliefs == dumb_model(results, rise, fall, initial), (rise, fall, results)


def test_a_result_counts_its_streak_towards_the_other_health() -> None:
    state = HealthState(HealthCheck(rise=2, fall=3), first_probe=0.0)
    told = [state.result(ok) for ok in (True, False, False, True, False, False, False, True, False, True, True)]
    assert told == [
        (0, 0, "up", False),
        (1, 3, "down", False),
        (2, 3, "down", False),
        (0, 0, "up", False),
        (1, 3, "down", False),
        (2, 3, "down", False),
        (3, 3, "down", True),
        (1, 2, "up", False),
        (0, 0, "down", False),
        (1, 2, "up", False),
        (2, 2, "up", True),
    ]


def test_it_says_what_is_believed_and_what_speaks_against_it() -> None:
    state = HealthState(HealthCheck(rise=2, fall=2, initial="unchecked"), first_probe=0.0)
    said = [state.says]
    for ok in (True, False, False, True):
        state.result(ok)
        said.append(state.says)
    assert said == ["not checked yet", "up", "up, 1 of 2 failures", "down", "down, 1 of 2 passes"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"interval": Seconds(0)}, "must be longer than 0"),
        ({"timeout": Seconds(0)}, "must be longer than 0"),
        ({"interval": Seconds(2), "timeout": Seconds(3)}, "is longer than `interval`"),
        ({"rise": 0}, "must be at least 1"),
        ({"fall": 0}, "must be at least 1"),
        ({"path": "health"}, "must start with a slash, not 'health'"),
    ],
)
def test_numbers_that_cannot_work_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        HealthCheck(**wrong)


@given(
    first=st.floats(min_value=0, max_value=100),
    interval=st.floats(min_value=0.01, max_value=100),
    steps=st.lists(st.floats(min_value=0, max_value=500), min_size=1, max_size=30),
)
def test_a_probe_is_due_once_and_the_next_lies_ahead_within_one_interval(
    first: float, interval: float, steps: list[float]
) -> None:
    state = HealthState(HealthCheck(interval=Seconds(interval), timeout=Seconds(interval)), first)
    now = 0.0
    for step in steps:
        now += step
        expected = now >= state.next_probe
        assert state.due(now) == expected
        assert not state.due(now), "while one is under way no other starts"
        if expected:
            assert now < state.next_probe <= now + interval * (1 + 1e-9)
            state.result(True)
            assert not state.due(now), "the next one waits for its time"


def test_the_next_probe_lies_ahead_even_where_floats_are_coarse() -> None:
    now = 0.73 + 47 * 0.1  # and yet (now - 0.73) / 0.1 is less than 47
    state = HealthState(HealthCheck(interval=Seconds(0.1), timeout=Seconds(0.1)), first_probe=0.73)
    assert state.due(now)
    assert state.next_probe > now


def test_probes_start_one_interval_apart_however_long_they_take() -> None:
    state = HealthState(HealthCheck(interval=Seconds(10)), first_probe=2.0)
    sent = []
    for now in range(60):
        if state.due(float(now)):
            sent.append(now)
        if now % 10 == 6:  # answered four seconds later
            state.result(True)
    assert sent == [2, 12, 22, 32, 42, 52]


def detection(hangs_at: float, check: HealthCheck) -> float:
    """Seconds until a machine that hangs at that time is believed down, on a balancer that is ticked on time."""
    events: list[Event] = []
    pool = PoolConfig("web", backends=(BackendConfig("a"),), health=check)
    balancer = Balancer([pool], [], rng=Random(1), report=events.append)
    while not any(isinstance(event, HealthChanged) for event in events):
        now = balancer.next_deadline()
        assert now is not None
        for probe in balancer.tick(now):
            hung = now >= hangs_at
            result = ProbeResult(False, "no answer in 5 s") if hung else ProbeResult(True, "200")
            balancer.probed(probe.backend, result, now + (probe.timeout if hung else 0))
    return events[-1].at - hangs_at


def test_a_hung_machine_is_found_out_after_65_to_95_seconds_with_the_chapters_numbers() -> None:
    check = HealthCheck(interval=Seconds(30), timeout=Seconds(5), fall=3)
    just_before_a_probe, just_after_one = detection(60.0, check), detection(60.001, check)
    assert just_before_a_probe == pytest.approx(2 * 30 + 5)
    assert just_after_one == pytest.approx(3 * 30 + 5, abs=0.01)
