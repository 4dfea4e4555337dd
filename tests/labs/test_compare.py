"""Two algorithms on one seed."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from lbtutor.core import ConfigError, Event
from lbtutor.core.events import Picked
from lbtutor.labs.compare import compare
from lbtutor.labs.run import run_lab
from lbtutor.labs.scenario import Scenario, load_scenario

SLOW_ONE = """\
title = "b is slow"
lasts = "20s"
[pool.web]
retry = { attempts = 2 }
backends = [
    { name = "a", service = "50ms" },
    { name = "b", service = "900ms" },
    { name = "c", service = "50ms" },
]
[[traffic]]
to = "front"
rate = 10
arrivals = "steady"
[[timeline]]
at = "10s"
crash = { backend = "web/a" }
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "slow.toml").write_text(SLOW_ONE)
    return load_scenario(tmp_path / "slow.toml")


def picks(scenario: Scenario, algorithm: str, seed: int | None = None) -> list[Picked]:
    told: list[Event] = []
    run_lab(scenario, "sim", algorithm=algorithm, seed=seed, sinks=(told.append,))
    return [event for event in told if isinstance(event, Picked)]


def test_the_first_request_that_differs_is_told_with_both_reasons(scenario: Scenario) -> None:
    """The fifth request, at 0.5 s: it is b's turn again, but b still has the second in flight."""
    differs = compare(scenario, ("round_robin", "least_connections")).differs
    assert differs is not None
    assert (differs.request, differs.attempt) == (5, 1)
    assert differs.at == pytest.approx(0.5)
    one, other = differs.choices
    assert (one.algorithm, one.backend, one.because) == ("round_robin", "web/b", "its turn, after a")
    assert (other.algorithm, other.backend) == ("least_connections", "web/c")
    assert other.because.startswith("0 in flight")


def test_the_difference_holds_what_was_asked_and_both_records(scenario: Scenario) -> None:
    differs = compare(scenario, ("round_robin", "least_connections")).differs
    assert differs is not None
    assert differs.asked.startswith("GET / from 127.")
    turns, counts = (choice.why for choice in differs.choices)
    assert turns is not None
    assert counts is not None
    assert (turns.rule, turns.best) == ("turns to wait after a", "lowest")
    assert [(one.backend, one.number) for one in turns.candidates] == [("a", 2.0), ("b", 0.0), ("c", 1.0)]
    assert (counts.rule, counts.best) == ("in flight", "lowest")
    assert counts.tie == "the one picked longest ago"
    assert [(one.backend, one.number) for one in counts.candidates] == [("a", 0.0), ("b", 1.0), ("c", 0.0)]


@pytest.mark.parametrize("pair", [("random", "power_of_two"), ("consistent_hash", "maglev"), ("round_robin", "random")])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_until_that_request_both_chose_alike(scenario: Scenario, pair: tuple[str, str], seed: int) -> None:
    differs = compare(scenario, pair, seed=seed).differs
    assert differs is not None
    one, other = (picks(scenario, name, seed) for name in pair)
    number = next(at for at, (mine, its) in enumerate(zip(one, other, strict=False)) if mine.backend != its.backend)
    assert [(event.at, event.request, event.backend) for event in one[:number]] == [
        (event.at, event.request, event.backend) for event in other[:number]
    ]
    assert (one[number].request, one[number].attempt) == (differs.request, differs.attempt)
    assert [choice.backend for choice in differs.choices] == [f"web/{run[number].backend}" for run in (one, other)]


def test_the_numbers_are_those_of_each_run_alone(scenario: Scenario) -> None:
    comparison = compare(scenario, ("random", "maglev"), seed=4)
    for name, run in zip(("random", "maglev"), comparison.runs, strict=True):
        assert run.items() <= run_lab(scenario, "sim", algorithm=name, seed=4).as_dict().items()


def test_algorithms_that_choose_alike_never_differ(scenario: Scenario) -> None:
    """With equal weights the smooth weighted round robin is a plain one."""
    assert compare(scenario, ("round_robin", "weighted_round_robin")).differs is None


def test_the_document_can_be_written_as_json(scenario: Scenario) -> None:
    document = msgspec.json.decode(msgspec.json.encode(compare(scenario, ("round_robin", "random")).as_dict()))
    assert list(document) == ["scenario", "on", "seed", "differs", "runs"]
    assert [run["algorithm"] for run in document["runs"]] == ["round_robin", "random"]
    assert [choice["algorithm"] for choice in document["differs"]["choices"]] == ["round_robin", "random"]


def test_the_share_that_is_done_is_told(scenario: Scenario) -> None:
    shares: list[float] = []
    compare(scenario, ("round_robin", "random"), tell=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.01
    assert 0.5 < shares[-1] <= 1.0


@pytest.mark.parametrize("when", [0.1, 0.5, 0.7])
def test_an_interruption_is_not_half_a_comparison(
    scenario: Scenario, when: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first run, in the second, and in the look for the reason."""

    def interrupt(share: float) -> None:
        if share > when:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["lbtutor.labs.compare"], "_TOLD_EVERY", 1)
    with pytest.raises(KeyboardInterrupt):
        compare(scenario, ("round_robin", "least_connections"), tell=interrupt)


def test_an_algorithm_that_there_is_not_is_refused(scenario: Scenario) -> None:
    with pytest.raises(ConfigError, match="did you mean 'maglev'"):
        compare(scenario, ("random", "magleb"))
