"""The clients as shares: nobody is lost, and names turn over within one TTL."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core import HealthCheck, Seconds
from lbtutor.sim.crowd import Crowd, noticed_after
from lbtutor.sim.world import Balancers, Dns

CHECK = HealthCheck(interval=Seconds(10), timeout=Seconds(2), rise=2, fall=3)


def crowd(count: int = 4, ttl: float = 20, check: HealthCheck | None = CHECK) -> Crowd:
    return Crowd(Balancers(count, dns=Dns(Seconds(ttl), check)), Random(1))


@given(
    count=st.integers(1, 6),
    ttl=st.integers(0, 40),
    strikes=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5), st.booleans()), max_size=6),
)
def test_the_shares_of_all_balancers_are_always_the_whole(
    count: int, ttl: int, strikes: list[tuple[int, int, bool]]
) -> None:
    clients = crowd(count, ttl)
    for second in range(150):
        for _, balancer, alive in [strike for strike in strikes if strike[0] == second and strike[1] < count]:
            clients.strike(second, balancer, alive)
        clients.step(second)
        assert sum(clients.share) == pytest.approx(1)
        assert min(clients.share) > -1e-9


def test_once_it_is_noticed_a_dead_balancer_has_lost_its_clients_after_one_ttl_and_not_before() -> None:
    clients = crowd()
    clients.strike(0, 2, alive=False)
    noticed = -1
    while clients.listed[2]:
        noticed += 1
        clients.step(noticed)
    for second in range(noticed + 1, noticed + 19):
        clients.step(second)
        assert clients.share[2] > 0
    for second in range(noticed + 19, noticed + 21):
        clients.step(second)
    assert clients.share == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])


def test_who_comes_back_gets_its_share_again() -> None:
    clients = crowd()
    for second in range(200):
        if second in (10, 80):
            clients.strike(second, 0, alive=second == 80)
        clients.step(second)
    assert clients.share == pytest.approx([0.25] * 4)


def test_when_none_is_healthy_all_are_given_out() -> None:
    clients = crowd(2)
    for balancer in (0, 1):
        clients.strike(0, balancer, alive=False)
    for second in range(100):
        clients.step(second)
    assert not any(clients.listed)
    assert clients.share == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("phase", "silent", "after"), [(0.0, False, 60), (1.0, False, 90), (0.0, True, 65), (1.0, True, 95)]
)
def test_the_chapters_check_takes_65_to_95_seconds(phase: float, after: float, *, silent: bool) -> None:
    """T10: 30 s, 5 s, 3 failures; a machine that refuses is found out 5 s sooner."""
    chapter = HealthCheck(interval=Seconds(30), timeout=Seconds(5), fall=3)
    assert noticed_after(chapter, alive=False, phase=phase, silent=silent) == after
