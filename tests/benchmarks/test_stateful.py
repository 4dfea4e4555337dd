"""Examples a second over the pipe: `pytest -m benchmark -s tests/benchmarks/test_stateful.py`.

The same right balancers are tried in this process and in a confined worker, in turns, with a clean interpreter for each
example there. Once Hypothesis draws 30 steps for a state machine: the goal is that of 100 examples a second in this
process 60 are left when confined. Once our own dice draw programs, which costs so little that most of what is left is
the pipe; no goal is set for these.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from lbtutor.testing import machine_for
from lbtutor.testing.checking import opened
from lbtutor.testing.search import Profile, Search
from lbtutor.testing.zoo import Specimen, specimens

pytestmark = pytest.mark.benchmark

RIGHT = (("least_connections", "Counting"), ("least_connections", "Offered"), ("round_robin", "LongestAgo"))
GOAL = 0.60
ROUNDS = 5

DRAWN = settings(
    deadline=None, max_examples=100, stateful_step_count=30, phases=(Phase.generate,), database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
THROWN = Profile("measured", programs=200, own=0, seconds=600)


def by_hypothesis(one: Specimen, *, confined: bool) -> float:
    """Examples a second that Hypothesis gets through."""
    machine = machine_for(one.file, one.component, cls=one.name, confined=confined)
    try:
        began = perf_counter()
        run_state_machine_as_test(machine, settings=DRAWN)
        return DRAWN.max_examples / (perf_counter() - began)
    finally:
        machine.close()


def by_dice(one: Specimen, *, confined: bool) -> float:
    """Programs a second that our own search gets through."""
    with opened(one.file, one.component, cls=one.name, in_process=not confined) as held:
        began = perf_counter()
        reports = Search(held.room, held.target, THROWN, 7).reports()
        took = perf_counter() - began
    assert not any(report.verdict == "failed" for report in reports)
    return THROWN.programs / took


def compared(rate: Callable[..., float], component: str, name: str) -> float:
    """The median share of the rate here that is left when confined; told as a row."""
    one = next(one for one in specimens(component) if one.name == name)
    rounds = [(rate(one, confined=False), rate(one, confined=True)) for _ in range(ROUNDS + 1)][1:]
    here, there = (median(rates) for rates in zip(*rounds, strict=True))
    shares = [confined / free for free, confined in rounds]
    print(f"\n{one!r:<32} {here:6.0f}/s here {there:6.0f}/s confined {median(shares):5.0%} "
          f"({min(shares):.0%} to {max(shares):.0%})")  # fmt: skip
    return median(shares)


@pytest.mark.parametrize(("component", "name"), RIGHT)
def test_hypothesis_keeps_most_of_its_examples_when_confined(component: str, name: str) -> None:
    assert compared(by_hypothesis, component, name) >= GOAL


@pytest.mark.parametrize(("component", "name"), RIGHT)
def test_our_own_search_here_and_confined(component: str, name: str) -> None:
    assert compared(by_dice, component, name) > 0
