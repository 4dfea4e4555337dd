"""The shipped designs on their day: what passes passes, and what must miss a requirement misses it, on every seed."""

from __future__ import annotations

from functools import cache

import pytest
from msgspec import structs

from lbtutor.course.challenge.design import HIDDEN, Design, design_names, find_design, load_design
from lbtutor.course.challenge.judge import BUDGET
from lbtutor.course.challenge.run import Result, run_challenge, run_challenges
from lbtutor.labs.processes import cores
from lbtutor.sim import kernel

SEEDS = (1, 2, 3, 4, 5)
MUST_MISS = {
    "chapter": {"capacity", "even", "failures", "carts", "websocket", "latency", "availability"},
    "no-headroom": {"capacity"},
    "ttl-one-hour": {"failures", "availability"},
    "sticky-scale-out": {"even", "carts"},
    "touching-thresholds": {"websocket", "availability"},
    "retries-without-budget": {"capacity", "availability"},
    "one-balancer": {"capacity", "failures", "websocket", "availability"},
}

pytestmark = pytest.mark.slow


def shipped(name: str) -> Design:
    return load_design(find_design(name))


@cache
def run(name: str, *seeds: int) -> Result:
    return run_challenge(shipped(name), name, seeds, exact=False)


def verdicts(result: Result) -> dict[str, str]:
    return {one.id: one.verdict for one in result.requirements}


def test_the_passing_design_passes_every_requirement_on_every_seed() -> None:
    result = run(HIDDEN, *SEEDS)
    assert result.verdict == "passed", [one for one in result.requirements if one.verdict != "passed"]
    assert len(result.requirements) == 10


@pytest.mark.parametrize("name", MUST_MISS)
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_an_instructive_failure_misses_what_it_is_there_to_miss(name: str, seed: int) -> None:
    result = run(name, seed)
    missed = {one.id for one in result.requirements if one.verdict == "failed"}
    assert missed >= MUST_MISS[name]
    assert result.verdict == "failed"


def test_each_shipped_design_is_one_that_passes_or_one_that_must_miss_something() -> None:
    assert set(design_names()) == {HIDDEN, *MUST_MISS}


def test_the_chapter_keeps_what_it_does_right() -> None:
    assert {name for name, verdict in verdicts(run("chapter", 1)).items() if verdict == "passed"} == {
        "routing",
        "tls",
        "cost",
    }


def test_the_chapters_evidence_names_its_contradictions() -> None:
    """T8: 500k of capacity for 1M; T9: three balancers of 333k, one of which dies; T10: 65 to 95 s."""
    told = {one.id: one.measured for one in run("chapter", 1).requirements}
    assert "instances up where 20 are busy" in told["capacity"]
    assert "the balancers can take 666 000 a second" in told["capacity"]
    assert "after 65 to 95 s" in told["failures"]


def test_buying_a_thousand_instances_costs_too_much() -> None:
    design = shipped(HIDDEN)
    many = {name: structs.replace(pool, instances=250, scale=None) for name, pool in design.pool.items()}
    result = run_challenge(structs.replace(design, pool=many), "many", (1,), exact=False)
    assert verdicts(result)["cost"] == "failed"
    assert result.cost.total > 4 * BUDGET


def test_the_same_seeds_give_the_same_result_and_others_another() -> None:
    assert run("chapter", 1) == run_challenge(shipped("chapter"), "chapter", (1,), exact=False)
    assert run("chapter", 1).requirements != run("chapter", 2).requirements


def test_over_several_seeds_the_worst_of_each_requirement_is_told() -> None:
    together = run("chapter", 1, 2)
    alone = [run("chapter", seed) for seed in (1, 2)]
    for number, one in enumerate(together.requirements):
        same = [result.requirements[number] for result in alone]
        assert one in same
        firsts = [each.first_broken_at for each in same if each.first_broken_at is not None]
        assert one.first_broken_at == (min(firsts) if firsts else None)


def test_several_designs_at_once_give_what_they_give_one_by_one_in_their_order() -> None:
    names = ("one-balancer", "chapter")
    assert run_challenges({name: shipped(name) for name in names}, (1, 2), exact=False) == [
        run(name, 1, 2) for name in names
    ]


def test_an_interrupt_keeps_the_seeds_that_are_complete() -> None:
    seeds = range(1, 3 * cores() + 1)

    def stop(share: float) -> None:
        if 0.34 < share < 1:  # nobody has played more than one of three, and somebody all of it
            raise KeyboardInterrupt

    result = run_challenge(shipped("no-headroom"), "it", seeds, stop, exact=False)
    assert result.interrupted
    assert 1 <= len(result.seeds) < len(seeds)
    assert set(result.seeds) < set(seeds)


def test_an_interrupted_run_has_passed_nothing() -> None:
    def stop(share: float) -> None:
        if 0.34 < share < 1:
            raise KeyboardInterrupt

    result = run_challenge(shipped(HIDDEN), HIDDEN, range(1, 3 * cores() + 1), stop, exact=False)
    assert verdicts(result) == verdicts(run(HIDDEN, 1))
    assert result.verdict == "unknown"


def test_without_one_complete_day_there_is_no_result() -> None:
    def stop(share: float) -> None:
        if 0.1 < share < 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_challenge(shipped("no-headroom"), "it", (1,), stop, exact=False)


@pytest.mark.skipif(not kernel.AVAILABLE, reason="without numba two seconds of the peak take minutes")
def test_each_day_is_held_against_the_exact_simulation_of_its_own_peak_and_the_worst_is_told() -> None:
    alone = [run_challenge(shipped(HIDDEN), HIDDEN, (seed,), exact=True).exact for seed in (1, 2)]
    together = run_challenge(shipped(HIDDEN), HIDDEN, (1, 2), exact=True).exact
    assert together == max((one for one in alone if one is not None), key=lambda one: one.off)
    assert together is not None
    assert "both call it handled" in together.says


def test_what_was_not_played_exactly_is_not_told_as_if() -> None:
    assert run("chapter", 1).exact is None
