"""Load: the least busy, the soonest, and who is asked again."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.algorithms.load import STALE_AFTER, LeastConnections, LeastResponseTime
from lbtutor.core.backend import Backend
from lbtutor.core.messages import BackendConfig, Request

weights = st.sampled_from([0.5, 1, 1, 2, 3, 8])
loads = st.lists(st.tuples(weights, st.integers(min_value=0, max_value=30)), min_size=1, max_size=6)


def backend(name: str, weight: float = 1, in_flight: int = 0, latency: float | None = None, at: float = 0.0) -> Backend:
    made = Backend(BackendConfig(name, weight=weight), now=0.0)
    made.in_flight = in_flight
    if latency is not None:
        made.answered(latency, at)
    return made


def request(at: float = 0.0, attempt: int = 1) -> Request:
    return Request(id=1, at=at, attempt=attempt)


def burst(algorithm: LeastConnections | LeastResponseTime, pool: tuple[Backend, ...], count: int) -> str:
    """So many requests at one moment, none of which ends."""
    picked = []
    for _ in range(count):
        chosen = algorithm.pick(request(), pool)
        chosen.in_flight += 1
        picked.append(chosen.name)
    return "".join(picked)


@given(loads)
def test_least_connections_picks_nobody_who_is_busier_for_its_weight(pool_loads: list[tuple[float, int]]) -> None:
    pool = tuple(backend(str(index), weight, in_flight) for index, (weight, in_flight) in enumerate(pool_loads))
    chosen = LeastConnections().pick(request(), pool)
    assert all(chosen.in_flight / chosen.weight <= other.in_flight / other.weight for other in pool)


@pytest.mark.parametrize("algorithm", [LeastConnections(), LeastResponseTime()])
def test_an_idle_pool_is_served_in_rotation(algorithm: LeastConnections | LeastResponseTime) -> None:
    pool = tuple(backend(name) for name in "abcd")
    assert "".join(algorithm.pick(request(), pool).name for _ in range(9)) == "abcdabcda"


@given(st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=20))
def test_a_tie_goes_to_whoever_was_picked_longest_ago(stages: list[set[int]]) -> None:
    everybody = tuple(backend(str(index)) for index in range(5))
    algorithm = LeastConnections()
    picked_at: dict[Backend, int] = {}
    for now, up in enumerate(stages):
        offered = tuple(everybody[index] for index in sorted(up))
        chosen = algorithm.pick(request(), offered)
        assert chosen is min(offered, key=lambda one: picked_at.get(one, -1))
        picked_at = {one: at for one, at in picked_at.items() if one in offered}  # whoever left begins anew
        picked_at[chosen] = now


def test_a_newcomer_wins_its_first_tie() -> None:
    algorithm, pool = LeastConnections(), tuple(backend(name) for name in "abc")
    assert [algorithm.pick(request(), pool[:2]).name for _ in range(3)] == ["a", "b", "a"]
    assert algorithm.pick(request(), pool).name == "c"


def test_a_retry_spends_nobodys_place_in_the_rotation() -> None:
    algorithm, pool = LeastConnections(), tuple(backend(name) for name in "abc")
    assert algorithm.pick(request(), pool).name == "a"
    assert algorithm.pick(request(attempt=2), pool[1:]).name == "b"
    assert algorithm.pick(request(), pool).name == "b"


def test_a_slow_backend_collects_requests_and_is_spared() -> None:
    pool = (backend("a", in_flight=5), backend("b", in_flight=2), backend("c", in_flight=8))
    comparison = LeastConnections().compare(request(), pool)
    assert (comparison.rule, comparison.numbers, comparison.best) == ("in flight", (5, 2, 8), "lowest")
    assert burst(LeastConnections(), pool, 4) == "bbba"


def test_weights_divide() -> None:
    pool = (backend("a", weight=3), backend("b", weight=1))
    assert LeastConnections().compare(request(), pool).rule == "in flight per weight"
    assert Counter(burst(LeastConnections(), pool, 40)) == {"a": 30, "b": 10}


@given(
    st.lists(st.tuples(weights, st.floats(min_value=0.001, max_value=2)), min_size=1, max_size=6),
    st.integers(min_value=1, max_value=60),
)
def test_a_burst_does_not_herd(measured: list[tuple[float, float]], count: int) -> None:
    """Nobody got a request that another would have answered sooner."""
    pool = tuple(backend(str(index), weight, 0, latency) for index, (weight, latency) in enumerate(measured))
    burst(LeastResponseTime(), pool, count)
    latency = {one: taken for one, (_, taken) in zip(pool, measured, strict=True)}
    expected = [latency[one] * one.in_flight / one.weight for one in pool]
    offered = [latency[one] * (one.in_flight + 1) / one.weight for one in pool]
    assert max(expected) <= min(offered) * (1 + 1e-9)


def test_twice_as_fast_gets_twice_as_many() -> None:
    pool = (backend("slow", latency=0.2), backend("fast", latency=0.1))
    burst(LeastResponseTime(), pool, 30)
    assert [one.in_flight for one in pool] == [10, 20]


def served_in_turn(pool: tuple[Backend, ...], seconds: int, takes: dict[str, float | None]) -> Counter[str]:
    """One request after the other, ten a second; a backend that takes None refuses. Who was asked how often."""
    algorithm, asked = LeastResponseTime(), Counter[str]()
    for tenth in range(10 * seconds):
        at = tenth / 10
        chosen = algorithm.pick(request(at), pool)
        asked[chosen.name] += 1
        took = takes[chosen.name]
        if took is not None:
            chosen.answered(took, at + took)
    return asked


@pytest.mark.parametrize("weight", [0.125, 1, 8])
def test_one_that_is_not_measured_yet_gets_work(weight: float) -> None:
    pool = (backend("known", latency=0.01), backend("new", weight=weight))
    asked = served_in_turn(pool, 60, {"known": 0.01, "new": 0.01})
    assert asked["new"] >= 1
    assert pool[1].latency is not None


def test_one_that_is_not_measured_yet_counts_as_fast_as_the_fastest() -> None:
    pool = (backend("a", latency=0.3), backend("b", latency=0.1), backend("new"))
    assert LeastResponseTime().compare(request(), pool).numbers == pytest.approx((0.3, 0.1, 0.1))


def test_one_that_was_slow_once_is_asked_again_in_time() -> None:
    asked = []
    for seconds in (30, 60, 1200):
        pool = (backend("a", latency=0.01), backend("once slow", latency=0.1))
        asked.append(served_in_turn(pool, seconds, {"a": 0.01, "once slow": 0.01})["once slow"])
    assert asked[0] == 0, "it counts half after ten seconds and a quarter after twenty"
    assert asked[1] == 1
    assert asked[2] > 1200 / 60, "each quick answer brings the next question nearer"


def test_a_dead_one_is_asked_once_in_a_while_and_not_by_everybody() -> None:
    pool = (backend("a", latency=0.01), backend("dead", latency=0.02))
    asked = served_in_turn(pool, 300, {"a": 0.01, "dead": None})
    assert 300 / STALE_AFTER / 3 <= asked["dead"] <= 300 / STALE_AFTER + 1


def test_one_that_returns_is_not_flooded() -> None:
    pool = (backend("a", latency=0.01), backend("back", latency=0.01))
    algorithm = LeastResponseTime()
    for _ in pool:
        algorithm.pick(request(), pool)
    pool[0].answered(0.01, now=100.0)
    pool[1].since = 100.0
    assert algorithm.compare(request(at=101.0), pool).numbers == pytest.approx((0.01, 0.01))


def test_what_is_known_counts_half_for_each_whole_ten_seconds() -> None:
    pool = (backend("a", latency=0.08),)
    numbers = [LeastResponseTime().compare(request(at), pool).numbers[0] for at in (0, 9.9, 10, 19.9, 20, 1e6)]
    assert numbers == pytest.approx([0.08, 0.08, 0.04, 0.04, 0.02, 0])


def test_instant_answers_leave_a_rotation() -> None:
    pool = tuple(backend(name, latency=0.0) for name in "abc")
    algorithm = LeastResponseTime()
    assert "".join(algorithm.pick(request(), pool).name for _ in range(6)) == "abcabc"


def test_latencies_that_differ_by_rounding_alone_are_a_tie() -> None:
    pool = tuple(
        backend(name, latency=0.05 + rounding) for name, rounding in zip("abc", (0, 1e-17, 3e-12), strict=True)
    )
    algorithm = LeastResponseTime()
    assert "".join(algorithm.pick(request(at=0.1), pool).name for _ in range(6)) == "abcabc"
