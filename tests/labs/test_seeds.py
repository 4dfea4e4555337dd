"""Several seeds of one lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbtutor.core import ConfigError
from lbtutor.labs.run import run_lab
from lbtutor.labs.scenario import Scenario, load_scenario
from lbtutor.labs.seeds import Series, run_seeds

LUCKY = """\
title = "Sometimes somebody waits"
lasts = "20s"
[pool.web]
algorithm = "random"
backends = [
    { name = "a", workers = 1, service = { lognormal = { mean = "80ms", cv = 1.2 } } },
    { name = "b", workers = 1, service = { bimodal = { fast = "10ms", slow = "300ms", share = 0.2 } } },
]
[[traffic]]
to = "front"
rate = 14
[[expect]]
p90 = { under = "500ms" }
says = "hardly anybody waits for half a second"
[[expect]]
failed = { under = 1 }
says = "and nobody in vain"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "lucky.toml").write_text(LUCKY)
    return load_scenario(tmp_path / "lucky.toml")


@pytest.mark.slow
def test_seeds_at_once_give_what_they_give_one_by_one_in_the_same_order(scenario: Scenario) -> None:
    series = run_seeds(scenario, range(3, 9))
    assert list(series.runs) == [run_lab(scenario, "sim", seed=seed).as_dict() for seed in range(3, 9)]
    assert not series.interrupted


@pytest.mark.slow
def test_an_algorithm_is_replaced_for_every_seed(scenario: Scenario) -> None:
    series = run_seeds(scenario, [5, 1], algorithm="least_connections")
    assert list(series.runs) == [
        run_lab(scenario, "sim", seed=seed, algorithm="least_connections").as_dict() for seed in (5, 1)
    ]


@pytest.mark.slow
def test_an_algorithm_that_there_is_not_is_refused(scenario: Scenario) -> None:
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        run_seeds(scenario, [1], algorithm="randon")


def series(*verdicts: str, seeds: int | None = None) -> Series:
    runs = tuple(
        {"seed": seed, "verdict": verdict, "expect": [{"says": "so", "verdict": verdict}]}
        for seed, verdict in enumerate(verdicts, start=1)
    )
    return Series("t", tuple(range(1, (seeds or len(verdicts)) + 1)), runs)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (series("passed", "passed"), "passed"),
        (series("passed", "unknown"), "unknown"),
        (series("unknown", "failed", "passed"), "failed"),
        (series("passed", seeds=2), "unknown"),
        (series("failed", seeds=2), "failed"),
        (series(seeds=2), "unknown"),
    ],
)
def test_it_is_so_when_it_was_so_with_every_seed(found: Series, verdict: str) -> None:
    assert found.verdict == verdict
    assert found.as_dict()["verdict"] == verdict


def test_each_expectation_names_the_seeds_by_what_they_say_of_it() -> None:
    (judged,) = series("passed", "failed", "passed").judged()
    assert judged == {"says": "so", "verdict": "failed", "seeds": {"passed": [1, 3], "failed": [2]}}


def test_a_series_is_interrupted_when_a_seed_is_missing() -> None:
    assert series("passed", seeds=2).interrupted
    assert not series("passed").interrupted
