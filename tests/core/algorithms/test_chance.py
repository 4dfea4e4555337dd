"""Chance: by weight, two that differ, and the same luck whether or not anybody looks."""

from __future__ import annotations

import random
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.algorithms.chance import PowerOfTwo, Random
from lbtutor.core.backend import Backend
from lbtutor.core.messages import BackendConfig, Request

FIRST_TRY = Request(id=1, at=0.0)
RETRY = Request(id=1, at=0.0, attempt=2)

both = pytest.mark.parametrize("make", [Random, PowerOfTwo])

seeds = st.integers(min_value=0, max_value=2**32)
weights = st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0, 8.0])
loads = st.lists(st.tuples(weights, st.integers(min_value=0, max_value=9)), min_size=2, max_size=7)
any_weights = st.lists(
    st.floats(min_value=0, max_value=1e300, exclude_min=True, allow_subnormal=True) | weights, min_size=2, max_size=6
)


def backends(*weights: float) -> tuple[Backend, ...]:
    return tuple(Backend(BackendConfig(str(index), weight=weight), now=0.0) for index, weight in enumerate(weights))


def loaded(pool_loads: list[tuple[float, int]]) -> tuple[Backend, ...]:
    pool = backends(*(weight for weight, _ in pool_loads))
    for backend, (_, in_flight) in zip(pool, pool_loads, strict=True):
        backend.in_flight = in_flight
    return pool


def picks(algorithm: Random | PowerOfTwo, pool: tuple[Backend, ...], count: int) -> Counter[str]:
    return Counter(algorithm.pick(FIRST_TRY, pool).name for _ in range(count))


def drawn(algorithm: PowerOfTwo, pool: tuple[Backend, ...]) -> list[str]:
    """The names of the two, the first drawn first."""
    return algorithm.compare(FIRST_TRY, pool).rule.removeprefix("drew ").partition(":")[0].split(" and ")


def assert_in_proportion(counts: Counter[str], chances: dict[str, float]) -> None:
    """Within four standard deviations of the expectation."""
    total = sum(counts.values())
    for name, chance in chances.items():
        assert counts[name] == pytest.approx(total * chance, abs=4 * sqrt(total * chance * (1 - chance)))


@both
@given(seeds, loads, st.lists(st.integers(min_value=0, max_value=3), max_size=30))
def test_asking_for_reasons_changes_no_pick(
    make: type[Random | PowerOfTwo], seed: int, pool_loads: list[tuple[float, int]], questions: list[int]
) -> None:
    pool, heard, alone = loaded(pool_loads), make(random.Random(seed)), make(random.Random(seed))
    for asked in questions:
        for _ in range(asked):
            heard.compare(FIRST_TRY, pool)
        assert heard.pick(FIRST_TRY, pool) is alone.pick(FIRST_TRY, pool)


@both
@given(seeds, loads)
def test_what_it_says_is_what_it_does(
    make: type[Random | PowerOfTwo], seed: int, pool_loads: list[tuple[float, int]]
) -> None:
    pool, algorithm = loaded(pool_loads), make(random.Random(seed))
    comparison = algorithm.compare(FIRST_TRY, pool)
    best = min if comparison.best == "lowest" else max
    number = comparison.numbers[pool.index(algorithm.pick(FIRST_TRY, pool))]
    assert number == best(number for number in comparison.numbers if number is not None)


@both
def test_the_seed_decides(make: type[Random | PowerOfTwo]) -> None:
    pool = backends(1, 1, 1, 1)
    runs = {
        tuple(algorithm.pick(FIRST_TRY, pool).name for _ in range(20))
        for algorithm in (make(random.Random(seed)) for seed in (1, 1, 2, 3))
    }
    assert len(runs) == 3


@both
def test_an_idle_pool_is_shared_by_weight(make: type[Random | PowerOfTwo]) -> None:
    counts = picks(make(random.Random(1)), backends(1, 2, 5), 8000)
    assert_in_proportion(counts, {"0": 1 / 8, "1": 2 / 8, "2": 5 / 8})


@both
@given(seeds, any_weights)
def test_no_weight_is_too_small_or_too_large(
    make: type[Random | PowerOfTwo], seed: int, pool_weights: list[float]
) -> None:
    pool, algorithm = backends(*pool_weights), make(random.Random(seed))
    assert all(algorithm.pick(FIRST_TRY, pool) in pool for _ in range(5))


@both
def test_a_retry_is_drawn_among_those_left(make: type[Random | PowerOfTwo]) -> None:
    pool, algorithm = backends(1, 1, 1), make(random.Random(1))
    for _ in range(50):
        tried = algorithm.pick(FIRST_TRY, pool)
        left = tuple(backend for backend in pool if backend is not tried)
        assert algorithm.pick(RETRY, left) in left


@both
def test_a_new_weight_counts_from_the_next_pick_on(make: type[Random | PowerOfTwo]) -> None:
    pool, algorithm = backends(1, 1), make(random.Random(1))
    picks(algorithm, pool, 10)
    pool[1].weight = 1e12
    assert picks(algorithm, (*pool,), 100) == {"1": 100}


def test_random_says_the_place_it_drew() -> None:
    comparison = Random(random.Random(1)).compare(FIRST_TRY, backends(1, 2, 3))
    assert (comparison.rule, comparison.numbers) == ("drew place 0.806 of 6", (1, 0, 0))


@given(seeds, any_weights)
def test_two_that_differ_are_drawn(seed: int, pool_weights: list[float]) -> None:
    first, second = drawn(PowerOfTwo(random.Random(seed)), backends(*pool_weights))
    assert first != second


def test_the_second_is_drawn_by_weight_among_the_others() -> None:
    pool, algorithm, seconds = backends(1, 2, 5), PowerOfTwo(random.Random(2)), {name: Counter[str]() for name in "012"}
    for _ in range(12_000):
        first, second = drawn(algorithm, pool)
        seconds[first][second] += 1
        algorithm.pick(FIRST_TRY, pool)
    assert_in_proportion(seconds["0"], {"0": 0, "1": 2 / 7, "2": 5 / 7})
    assert_in_proportion(seconds["1"], {"0": 1 / 6, "1": 0, "2": 5 / 6})
    assert_in_proportion(seconds["2"], {"0": 1 / 3, "1": 2 / 3, "2": 0})


@given(seeds, loads)
def test_of_the_two_the_less_busy_for_its_weight_wins_and_in_a_tie_the_first(
    seed: int, pool_loads: list[tuple[float, int]]
) -> None:
    pool, algorithm = loaded(pool_loads), PowerOfTwo(random.Random(seed))
    first, second = (pool[int(name)] for name in drawn(algorithm, pool))
    chosen = algorithm.pick(FIRST_TRY, pool)
    first_wins = first.in_flight / first.weight <= second.in_flight / second.weight
    assert chosen is (first if first_wins else second)


@given(seeds, loads)
def test_whoever_is_busier_than_everybody_else_is_never_picked(seed: int, pool_loads: list[tuple[float, int]]) -> None:
    pool = loaded(pool_loads)
    busiest = pool[0]
    busiest.in_flight = int(busiest.weight * (1 + max(other.in_flight / other.weight for other in pool))) + 1
    algorithm = PowerOfTwo(random.Random(seed))
    assert all(algorithm.pick(FIRST_TRY, pool) is not busiest for _ in range(20))


@pytest.mark.parametrize("seed", range(5))
def test_a_second_choice_takes_the_luck_out_of_chance(seed: int) -> None:
    """A thousand requests on a thousand servers: ln n / ln ln n = 3.6 and ln ln n / ln 2 = 2.8, and a little."""
    unluckiest = {}
    for make in (Random, PowerOfTwo):
        pool, algorithm = backends(*[1] * 1000), make(random.Random(seed))
        for _ in pool:
            algorithm.pick(FIRST_TRY, pool).in_flight += 1
        unluckiest[make] = max(backend.in_flight for backend in pool)
    assert unluckiest[Random] >= 5
    assert unluckiest[PowerOfTwo] == 3


def test_power_of_two_says_which_it_drew_and_leaves_the_others_out() -> None:
    pool = loaded([(1, 1), (1, 0), (1, 4)])
    comparison = PowerOfTwo(random.Random(1)).compare(FIRST_TRY, pool)
    assert (comparison.rule, comparison.numbers) == ("drew 0 and 2: in flight", (1, None, 4))
    assert comparison.skipped == "not drawn"
    pool[2].weight = 2
    weighted = PowerOfTwo(random.Random(1)).compare(FIRST_TRY, (*pool,))
    assert (weighted.rule, weighted.numbers) == ("drew 0 and 2: in flight per weight", (1, None, 2))


def test_one_alone_is_drawn_alone() -> None:
    comparison = PowerOfTwo(random.Random(1)).compare(FIRST_TRY, backends(1))
    assert (comparison.rule, comparison.numbers) == ("drew 0: in flight", (0,))
