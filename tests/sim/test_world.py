"""A world is data: what can be written, what cannot, and what its mishaps mean machine by machine."""

from __future__ import annotations

from typing import Any

import pytest

from lbtutor.core import PassiveCheck, Retry, Seconds
from lbtutor.core.errors import ConfigError
from lbtutor.core.scaling import Scaling
from lbtutor.sim.world import Balancers, Dns, Fleet, Load, Mishap, Stroke, World


def world(*mishaps: Mishap, fleet: Fleet | None = None, **parts: Any) -> World:
    return World(fleets=(fleet or Fleet(name="web", instances=10),), mishaps=mishaps, **parts)


def test_slots_are_as_many_as_the_capacity_takes() -> None:
    assert Fleet(name="web", capacity=10_000, work=Seconds(0.005)).slots == 50
    assert Fleet(name="web", capacity=1, work=Seconds(0.005)).slots == 1


def test_there_is_room_for_as_many_instances_as_the_scaling_allows() -> None:
    assert Fleet(name="web", instances=4).room == 4
    assert Fleet(name="web", instances=4, scaling=Scaling(min=2, max=9, target=0.7)).room == 9


def test_weights_begin_again_where_they_end() -> None:
    fleet = Fleet(name="web", weights=(3.0, 1.0))
    assert [fleet.weight(i) for i in range(4)] == [3.0, 1.0, 3.0, 1.0]


def test_the_rate_is_a_line_between_its_points_and_level_outside() -> None:
    load = Load(rate=((10.0, 100.0), (20.0, 300.0)))
    assert [load.at(second) for second in (0, 10, 15, 20, 99)] == [100, 100, 200, 300, 300]
    assert load.between(0, 30) == pytest.approx(1000 + 2000 + 3000)


def test_shares_need_not_add_up() -> None:
    two = World(fleets=(Fleet(name="a", share=3.0), Fleet(name="b", share=1.0)))
    assert (two.share(0), two.share(1)) == (0.75, 0.25)


def test_a_share_hits_whom_the_seed_says_and_one_at_least() -> None:
    mishap = Mishap(at=Seconds(1), kind="crash", fleet="web", share=0.01, lasts=Seconds(5))
    crash, heal = world(mishap, seed=3).timeline()
    assert (crash.kind, heal.kind, heal.at, heal.machine) == ("crash", "heal", 6.0, crash.machine)
    assert world(mishap, seed=3).timeline() == world(mishap, seed=3).timeline()
    assert len({world(mishap, seed=seed).timeline()[0].machine for seed in range(30)}) > 1


def test_a_zone_falls_as_one() -> None:
    zone = Mishap(at=Seconds(1), kind="hang", fleet="web", zone=1)
    strokes = world(zone, fleet=Fleet(name="web", instances=7, zones=3)).timeline()
    assert [stroke.machine for stroke in strokes] == [1, 4]


def test_a_deploy_takes_one_batch_after_another() -> None:
    deploy = Mishap(at=Seconds(5), kind="deploy", fleet="web", amount=0.5, drain=Seconds(2), restart=Seconds(1))
    strokes = world(deploy, fleet=Fleet(name="web", instances=2)).timeline()
    assert strokes == (
        Stroke(5.0, "drain", 0, 0),
        Stroke(7.0, "stop", 0, 0),
        Stroke(8.0, "start", 0, 0),
        Stroke(8.0, "drain", 0, 1),
        Stroke(10.0, "stop", 0, 1),
        Stroke(11.0, "start", 0, 1),
    )


def test_a_balancer_is_struck_by_its_number() -> None:
    crash = Mishap(at=Seconds(1), kind="crash", balancer=1, lasts=Seconds(2))
    assert world(crash).timeline() == (Stroke(1.0, "crash", -1, 1), Stroke(3.0, "heal", -1, 1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Fleet(name="web", algorithm="least_conections"), "did you mean 'least_connections'"),
        (lambda: Fleet(name="web", instances=0), "`instances` is a whole number from 1"),
        (lambda: Fleet(name="web", instances=3, scaling=Scaling(min=4, max=9)), "between the scaling's `min`"),
        (lambda: Fleet(name="web", capacity=0), "`capacity` is requests a second"),
        (lambda: Fleet(name="web", weights=(1.0, 0.0)), "`weights` are above 0"),
        (lambda: Fleet(name="web", retry=Retry(attempts=5)), "at most 4"),
        (lambda: Fleet(name="web", passive=PassiveCheck(share=0.5)), "`fails` in a row is"),
        (lambda: Fleet(name="web", sticky=Seconds(0)), "`sticky` must be longer than 0"),
        (lambda: Dns(ttl=Seconds(-1)), "`ttl` is 0 or longer"),
        (lambda: Balancers(count=0), "`count` is a whole number from 1"),
        (lambda: Balancers(capacity=0), "`capacity` is requests a second"),
        (lambda: Load(rate=()), "at least one point"),
        (lambda: Load(rate=((5.0, 1.0), (5.0, 2.0))), "in order of time"),
        (lambda: Mishap(at=Seconds(1), kind="crash", fleet="web"), "say whom it hits in one way"),
        (lambda: Mishap(at=Seconds(1), kind="hang", balancer=0), "a balancer can crash or heal"),
        (lambda: Mishap(at=Seconds(1), kind="slow", fleet="web", zone=0), "`amount` is a factor above 0"),
        (lambda: Mishap(at=Seconds(1), kind="deploy", fleet="web"), "`amount` is the share at a time"),
        (lambda: World(fleets=()), "it needs fleets"),
        (lambda: World(fleets=(Fleet(name="a"), Fleet(name="a"))), "each of another name"),
        (lambda: World(fleets=(Fleet(name="a", share=0.0),)), "no fleet has a `share`"),
        (lambda: world(Mishap(at=Seconds(1), kind="crash", fleet="wep", zone=0)), "did you mean 'web'"),
        (lambda: world(Mishap(at=Seconds(1), kind="crash", fleet="web", zone=1)), "zones 0 to 0"),
        (lambda: world(Mishap(at=Seconds(1), kind="crash", fleet="web", instances=(10,))), "instances 0 to 9"),
        (lambda: world(Mishap(at=Seconds(1), kind="crash", balancer=2)), "balancers 0 to 1"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()
