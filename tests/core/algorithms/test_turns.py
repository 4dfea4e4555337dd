"""Turns: round robin robs nobody, and smooth weights come out as published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.algorithms.turns import RoundRobin, WeightedRoundRobin
from lbtutor.core.backend import Backend
from lbtutor.core.messages import BackendConfig, Request

FIRST_TRY = Request(id=1, at=0.0)
RETRY = Request(id=1, at=0.0, attempt=2)


def backends(*weights: float) -> tuple[Backend, ...]:
    """a, b, c … with these weights."""
    return tuple(
        Backend(BackendConfig(name, weight=weight), now=0.0) for name, weight in zip("abcdefgh", weights, strict=False)
    )


def picks(algorithm: RoundRobin | WeightedRoundRobin, pool: tuple[Backend, ...], count: int) -> str:
    return "".join(algorithm.pick(FIRST_TRY, pool).name for _ in range(count))


def purses(algorithm: WeightedRoundRobin, pool: tuple[Backend, ...]) -> tuple[float, ...]:
    """What each has in its purse."""
    numbers = algorithm.compare(FIRST_TRY, pool).numbers
    return tuple((number or 0) - backend.weight for number, backend in zip(numbers, pool, strict=True))


def test_round_robin_serves_in_configuration_order_and_begins_again() -> None:
    assert picks(RoundRobin(), backends(1, 1, 1), 7) == "abcabca"


def test_round_robin_ignores_weights() -> None:
    assert picks(RoundRobin(), backends(5, 1, 1), 6) == "abcabc"


def test_round_robin_says_how_long_each_has_to_wait_and_after_whom() -> None:
    algorithm, pool = RoundRobin(), backends(1, 1, 1)
    before = algorithm.compare(FIRST_TRY, pool)
    assert (before.rule, before.numbers) == ("turns to wait", (0.0, 1.0, 2.0))
    algorithm.pick(FIRST_TRY, pool)
    after = algorithm.compare(FIRST_TRY, pool)
    assert (after.rule, after.numbers) == ("turns to wait after a", (2.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("before", "picked", "after", "then"),
    [
        ("abc", "a", "ac", "cac"),
        ("abc", "ab", "bc", "cbc"),
        ("abc", "abc", "bc", "bcb"),
        ("ac", "ac", "abc", "abc"),
        ("ac", "a", "abc", "cab"),
        ("abc", "a", "abcd", "bcda"),
        ("abc", "abc", "abcd", "abcd"),
        ("abc", "ab", "de", "ded"),
    ],
)
def test_whoever_was_due_before_a_change_is_due_after_it(before: str, picked: str, after: str, then: str) -> None:
    everybody = {backend.name: backend for backend in backends(1, 1, 1, 1, 1)}
    algorithm = RoundRobin()
    assert picks(algorithm, tuple(everybody[name] for name in before), len(picked)) == picked
    assert picks(algorithm, tuple(everybody[name] for name in after), len(then)) == then


availability = st.lists(
    st.tuples(st.sets(st.integers(min_value=0, max_value=4), min_size=1), st.integers(min_value=0, max_value=3)),
    min_size=1,
    max_size=12,
)


@given(availability)
def test_between_two_turns_of_one_everybody_who_stayed_has_had_a_turn(stages: list[tuple[set[int], int]]) -> None:
    everybody = backends(1, 1, 1, 1, 1)
    algorithm = RoundRobin()
    history: list[tuple[Backend, tuple[Backend, ...]]] = []
    for up, count in stages:
        offered = tuple(everybody[index] for index in sorted(up))
        history += [(algorithm.pick(FIRST_TRY, offered), offered) for _ in range(count)]
    for start, (picked, _) in enumerate(history):
        ends = (end for end in range(start + 1, len(history)) if history[end][0] is picked)
        end = next(ends, None)
        if end is not None:
            between = history[start : end + 1]
            stayed = set(everybody).intersection(*(offered for _, offered in between))
            assert stayed <= {backend for backend, _ in between}


@given(availability, st.lists(st.booleans(), min_size=50, max_size=50))
def test_a_retry_disturbs_nobodys_turn(stages: list[tuple[set[int], int]], retries: list[bool]) -> None:
    everybody = backends(1, 1, 1, 1, 1)

    def play(*, with_retries: bool) -> list[Backend]:
        algorithm, picked, coins = RoundRobin(), [], iter(retries)
        for up, count in stages:
            offered = tuple(everybody[index] for index in sorted(up))
            for _ in range(count):
                chosen = algorithm.pick(FIRST_TRY, offered)
                picked.append(chosen)
                others = tuple(backend for backend in offered if backend is not chosen)
                if with_retries and others and next(coins):
                    assert algorithm.pick(RETRY, others) in others
        return picked

    assert play(with_retries=True) == play(with_retries=False)


def test_a_retry_goes_to_whoever_is_due_next() -> None:
    algorithm, pool = RoundRobin(), backends(1, 1, 1)
    assert picks(algorithm, pool, 1) == "a"
    assert algorithm.pick(RETRY, pool[1:]).name == "b"
    assert picks(algorithm, pool, 1) == "b"


@pytest.mark.parametrize(
    ("weights", "period"),
    [
        ((5, 1, 1), "aabacaa"),
        ((3, 2, 1), "abacba"),
        ((1, 2, 3), "cbacbc"),
        ((4, 2, 1), "abacaba"),
        ((5, 3, 2), "abcaabacba"),
        ((2, 1), "aba"),
        ((1, 1, 1), "abc"),
    ],
)
def test_smooth_weights_come_out_as_published_and_the_purses_return_to_zero(
    weights: tuple[int, ...], period: str
) -> None:
    algorithm, pool = WeightedRoundRobin(), backends(*weights)
    for _ in range(3):
        assert picks(algorithm, pool, len(period)) == period
        assert purses(algorithm, pool) == (0,) * len(weights)


@pytest.mark.parametrize(
    ("weights", "states"),
    [
        ((5, 1, 1), [(-2, 1, 1), (-4, 2, 2), (1, -4, 3), (-1, -3, 4), (4, -2, -2), (2, -1, -1), (0, 0, 0)]),
        ((3, 2, 1), [(-3, 2, 1), (0, -2, 2), (-3, 0, 3), (0, 2, -2), (3, -2, -1), (0, 0, 0)]),
    ],
)
def test_the_purses_after_each_pick_are_those_of_nginx(
    weights: tuple[int, ...], states: Sequence[tuple[int, ...]]
) -> None:
    algorithm, pool = WeightedRoundRobin(), backends(*weights)
    for state in states:
        algorithm.pick(FIRST_TRY, pool)
        assert purses(algorithm, pool) == state


def excess(sequence: Iterable[str], pool: tuple[Backend, ...]) -> float:
    """The most by which any window of picks gives one backend more or less than its share."""
    worst, total = 0.0, sum(backend.weight for backend in pool)
    for backend in pool:
        ahead, lowest, highest = 0.0, 0.0, 0.0
        for name in sequence:
            ahead += (name == backend.name) - backend.weight / total
            lowest, highest = min(lowest, ahead), max(highest, ahead)
        worst = max(worst, highest - lowest)
    return worst


@given(st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=8))
def test_over_one_period_each_is_picked_by_its_weight_smoothly(weights: list[int]) -> None:
    algorithm, pool = WeightedRoundRobin(), backends(*weights)
    common = gcd(*weights)
    sequence = picks(algorithm, pool, sum(weights) // common)
    assert Counter(sequence) == {backend.name: backend.weight // common for backend in pool}
    assert purses(algorithm, pool) == (0,) * len(weights)
    assert excess(sequence, pool) < 3


@given(st.lists(st.floats(min_value=0.01, max_value=100), min_size=1, max_size=8), st.integers(1, 300))
def test_the_purses_add_up_to_nothing(weights: list[float], count: int) -> None:
    algorithm, pool = WeightedRoundRobin(), backends(*weights)
    picks(algorithm, pool, count)
    assert sum(purses(algorithm, pool)) == pytest.approx(0, abs=1e-9 * count * sum(weights))


@given(st.lists(st.integers(min_value=1, max_value=9), min_size=2, max_size=5), st.integers(0, 30), st.integers(0, 9))
def test_after_a_change_the_rest_keep_their_proportions(weights: list[int], before: int, leaver: int) -> None:
    algorithm, pool = WeightedRoundRobin(), backends(*weights)
    picks(algorithm, pool, before)
    rest = tuple(backend for backend in pool if backend is not pool[leaver % len(pool)])
    assert excess(picks(algorithm, rest, 3 * sum(weights)), rest) < 4
    assert excess(picks(algorithm, pool, 3 * sum(weights)), pool) < 4


def test_equal_weights_are_plain_round_robin() -> None:
    pool = backends(1, 1, 1, 1)
    assert picks(WeightedRoundRobin(), pool, 12) == picks(RoundRobin(), pool, 12)


def test_a_weighted_retry_changes_no_purse() -> None:
    algorithm, pool = WeightedRoundRobin(), backends(5, 1, 1)
    picks(algorithm, pool, 3)
    before = purses(algorithm, pool)
    assert algorithm.pick(RETRY, pool[1:]).name == "c"
    assert purses(algorithm, pool) == before
