"""The record of a decision."""

from __future__ import annotations

from random import Random

import pytest

from lbtutor.core.algorithms import Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.events import Candidate, Why
from lbtutor.core.explain import explain, passed_over, unexplained
from lbtutor.core.messages import BackendConfig, Request
from lbtutor.core.pool import Pool, PoolConfig

REQUEST = Request(id=1, at=0.0)


class Says:
    """Explains itself with the numbers it was given."""

    def __init__(self, *numbers: float | None, skipped: str = "") -> None:
        self.numbers = numbers
        self.skipped = skipped

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return backends[0]

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        return Comparison("distance", self.numbers, "lowest", "a coin", self.skipped)


def pool_with(algorithm: Says) -> Pool:
    backends = tuple(BackendConfig(name) for name in "abc")
    pool = Pool(PoolConfig("web", backends=backends), Random(1), now=0.0, algorithm=algorithm)
    pool.members["b"].draining = True
    pool.changed()
    return pool


def test_the_record_holds_every_member_with_its_number_or_its_exclusion() -> None:
    pool = pool_with(Says(3, 1))
    assert explain(REQUEST, pool, pool.available) == Why(
        "distance",
        "lowest",
        "a coin",
        (Candidate("a", 3, None), Candidate("b", None, "draining"), Candidate("c", 1, None)),
    )


def test_one_that_is_available_but_not_offered_was_tried_already() -> None:
    pool = pool_with(Says(3))
    why = explain(REQUEST, pool, pool.available_without([pool.members["a"]]))
    assert why.candidates[0] == Candidate("a", None, "tried already")


def test_one_that_was_not_looked_at_has_the_reason_instead_of_a_number() -> None:
    pool = pool_with(Says(None, 1, skipped="not drawn"))
    why = explain(REQUEST, pool, pool.available)
    assert why.candidates[0] == Candidate("a", None, "not drawn")
    assert why.candidates[2] == Candidate("c", 1, None)


@pytest.mark.parametrize("numbers", [(), (1,), (1, 2, 3)])
def test_an_algorithm_that_counts_wrong_is_told(numbers: tuple[float, ...]) -> None:
    pool = pool_with(Says(*numbers))
    with pytest.raises(ValueError, match=f"{len(numbers)} numbers for 2 backends"):
        explain(REQUEST, pool, pool.available)


def test_without_reasons_the_record_still_holds_the_members() -> None:
    pool = pool_with(Says())
    candidates = (Candidate("a", None, None), Candidate("b", None, "draining"), Candidate("c", None, None))
    assert unexplained(pool, pool.available) == Why("", "lowest", "", candidates)
    assert passed_over(pool) == candidates


def test_a_record_of_everybody_serves_until_something_else_is_to_be_said() -> None:
    pool = pool_with(Says())
    pool.members["b"].draining = False
    pool.changed()
    everybody = unexplained(pool, pool.available)
    assert unexplained(pool, pool.available) is everybody
    pool.members["a"].grow_to(3)
    pool.changed()
    assert unexplained(pool, pool.available).candidates[0].note == "slow start, 30% of weight 1"
    pool.members["c"].disabled = True
    pool.changed()
    assert unexplained(pool, pool.available).candidates[2].excluded == "in maintenance"
