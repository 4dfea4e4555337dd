"""What a learner's class costs in another process: `pytest -m benchmark -s tests/benchmarks/test_deputy.py`.

The same lab is simulated with our own class and with a learner's file that says the same, which a deputy asks over a
pipe. They take turns, and the median of the rounds counts, so that a busy machine slows both. The last line is a choice
by itself: a question to the confined process and its answer, beside a call of the class right here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from lbtutor.core import ALGORITHMS, Plan, Seconds
from lbtutor.core.backend import Backend
from lbtutor.core.messages import BackendConfig, Request
from lbtutor.core.pool import PoolConfig
from lbtutor.course.deputy import IN_SIM, deputies
from lbtutor.labs.run import Own, run_lab
from lbtutor.labs.scenario import Scenario, load_scenario

pytestmark = pytest.mark.benchmark

ROUNDS = 7
REQUESTS = 4_000
LAB = f"""\
title = "Three"
lasts = "10s"
[pool.web]
algorithm = "least_connections"
backends = [{{ name = "a" }}, {{ name = "b" }}, {{ name = "c" }}]
[[traffic]]
to = "front"
rate = {REQUESTS // 10}
arrivals = "steady"
"""
SAME = "class Same:\n    def pick(self, request, backends):\n        return min(backends, key=lambda b: b.in_flight)\n"


@pytest.fixture
def lab(tmp_path: Path) -> Scenario:
    (tmp_path / "lab.toml").write_text(LAB)
    return load_scenario(tmp_path / "lab.toml")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    (tmp_path / "same.py").write_text(SAME)
    with deputies(f"{tmp_path / 'same.py'}:Same", call=IN_SIM) as made:
        yield made


def medians(*ways: Callable[[], object]) -> list[float]:
    """Seconds that each way takes, in turns."""
    rounds = [[_seconds(way) for way in ways] for _ in range(ROUNDS)]
    return [median(times) for times in zip(*rounds, strict=True)]


def _seconds(way: Callable[[], object]) -> float:
    began = perf_counter()
    way()
    return perf_counter() - began


def test_a_simulated_lab_with_a_class_of_ours_and_with_a_learners(lab: Scenario, own: Own) -> None:
    ours, theirs = medians(
        lambda: run_lab(lab, "sim", explained=False),
        lambda: run_lab(lab, "sim", algorithm="same.py:Same", own=own, explained=False),
    )
    each = (theirs - ours) / REQUESTS * 1e6
    print(f"\n{REQUESTS} requests: {ours:.3f} s with ours, {theirs:.3f} s with a learner's, {theirs / ours:.1f} times")
    print(f"{each:.0f} us more for each request")
    assert theirs > ours


def test_a_choice_by_itself(own: Own) -> None:
    pool = PoolConfig("web", "least_connections", tuple(BackendConfig(name) for name in "abc"))
    deputy = own(Plan(listeners=(), routes=(), pools=(pool,), lasts=Seconds(1)))["web"]
    here = ALGORITHMS["least_connections"]()
    backends = tuple(Backend(config, 0.0) for config in pool.backends)
    requests = [Request(id=number, at=float(number), client="10.0.0.1") for number in range(REQUESTS)]

    def all_of(algorithm: object) -> Callable[[], object]:
        pick = algorithm.pick  # type: ignore[attr-defined]
        return lambda: [pick(request, backends) for request in requests]

    right_here, over_the_pipe = (seconds / REQUESTS * 1e6 for seconds in medians(all_of(here), all_of(deputy)))
    print(f"\na choice: {right_here:.2f} us here, {over_the_pipe:.1f} us in the confined process")
    assert over_the_pipe > right_here
