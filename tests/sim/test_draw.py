"""Whom requests fall on: the arithmetic of a fluid, against numbers worked out by hand."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.sim.draw import Draw
from lbtutor.sim.herd import Herd, over_all
from lbtutor.sim.world import Fleet, Sockets


def draw(algorithm: str, *, sockets: bool = True) -> Draw:
    return Draw(Fleet("web", algorithm=algorithm, sockets=Sockets(1000) if sockets else None), 4)


def herds(*sizes_and_sockets: tuple[int, float]) -> list[Herd]:
    return [Herd(tuple(range(size)), 0.0, sockets) for size, sockets in sizes_and_sockets]


def test_least_connections_pours_requests_on_top_of_the_websockets() -> None:
    """30 in flight (6000 a second of 5 ms) on two with 10 and two with 20: ten each on the low ones, then 2.5 each."""
    low_and_high = herds((2, 10.0), (2, 20.0))
    weights = draw("least_connections").lean(low_and_high, 6000.0, [1.0, 1.0])
    assert weights == pytest.approx([12.5, 2.5])


def test_what_does_not_reach_the_others_stays_with_the_lowest() -> None:
    weights = draw("least_connections").lean(herds((1, 0.0), (9, 1000.0)), 6000.0, [1.0, 1.0])
    assert weights == pytest.approx([30.0, 0.0])


def test_two_choices_take_the_better_of_each_pair() -> None:
    """Of all pairs of ten, with one that is always better: it is in 1 - 0.81 of them."""
    lone = herds((1, 0.0), (9, 1000.0))
    weights = draw("power_of_two").lean(lone, 6000.0, [1.0, 1.0])
    pairs = list(product(range(10), repeat=2))
    assert weights[0] / over_all(lone, weights) == pytest.approx(sum(0 in pair for pair in pairs) / len(pairs))


@pytest.mark.parametrize("algorithm", ["round_robin", "random", "least_connections", "power_of_two"])
def test_without_websockets_nobody_leans(algorithm: str) -> None:
    weights = [0.3, 1.0]
    assert draw(algorithm, sockets=False).lean(herds((1, 0.0), (9, 10.0)), 6000.0, weights) == weights


@given(
    algorithm=st.sampled_from(["round_robin", "least_connections", "power_of_two", "least_response_time"]),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    factors=st.lists(st.floats(0.5, 8), min_size=5, max_size=5),
    flowing=st.floats(0, 1e6),
)
def test_all_that_flows_arrives_somewhere(
    algorithm: str, sizes: list[int], factors: list[float], flowing: float
) -> None:
    crowd = herds(*((size, 0.0) for size in sizes))
    for herd, factor in zip(crowd, factors, strict=False):
        herd.factor = factor
    ones = [1.0] * len(crowd)
    rates = draw(algorithm).fill(crowd, flowing, [0.0] * len(crowd), ones)
    assert over_all(crowd, rates) == pytest.approx(flowing, rel=1e-9, abs=1e-6)
    assert min(rates) >= -1e-9
